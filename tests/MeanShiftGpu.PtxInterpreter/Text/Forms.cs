using System.Numerics;
using MeanShiftGpu.PtxInterpreter.Machine;

namespace MeanShiftGpu.PtxInterpreter.Text;

/// <summary>
/// Every form that the shipped kernels use, and no other. A text with another form is refused.
/// </summary>
internal static unsafe class Forms
{
    private static readonly Dictionary<string, Form> All = [];

    static Forms()
    {
        Integers();
        Floats<float>("f32", 'r');
        Floats<double>("f64", 'l');
        Conversions();
        Moves();
        Memory();
        Matrices();
        Control();
    }

    /// <summary>Every name, for lists.</summary>
    public static IEnumerable<string> Names => All.Keys;

    public static Form? Find(string name) => All.GetValueOrDefault(name);

    private static void Integers()
    {
        Add("add.s32", "rrr", &Lanes.Binary<int, Plus<int>>);
        Add("sub.s32", "rrr", &Lanes.Binary<int, Minus<int>>);
        Add("mul.lo.s32", "rrr", &Lanes.Binary<int, Times<int>>);
        Add("mad.lo.s32", "rrrr", &Lanes.Ternary<int, TimesPlus<int>>);
        Add("min.s32", "rrr", &Lanes.Binary<int, Least<int>>);
        Add("max.s32", "rrr", &Lanes.Binary<int, Most<int>>);
        Add("neg.s32", "rr", &Lanes.Unary<int, Negated<int>>);
        Add("div.s32", "rrr", &Lanes.Each<int, Quotient<int>>);
        Add("div.u32", "rrr", &Lanes.Each<uint, Quotient<uint>>);
        Add("rem.s32", "rrr", &Lanes.Each<int, Remainder<int>>);
        Add("mul.wide.u32", "lrr", &Conversion.MultiplyWide);
        Add("add.s64", "lll", &Lanes.Binary<long, Plus<long>>);
        Add("add.u64", "lll", &Lanes.Binary<long, Plus<long>>);
        Add("sub.s64", "lll", &Lanes.Binary<long, Minus<long>>);
        Add("mul.lo.s64", "lll", &Lanes.Binary<long, Times<long>>);
        Add("mad.lo.u64", "llll", &Lanes.Ternary<long, TimesPlus<long>>);
        Add("min.s64", "lll", &Lanes.Binary<long, Least<long>>);
        Add("max.s64", "lll", &Lanes.Binary<long, Most<long>>);
        Add("div.s64", "lll", &Lanes.Each<long, Quotient<long>>);
        Add("rem.s64", "lll", &Lanes.Each<long, Remainder<long>>);
        Bits<uint>("b32", 'r');
        Bits<ulong>("b64", 'l');
        Add("shr.s32", "rrr", &Lanes.Shift<int, ShiftedRight<int>>);
        Add("shr.u32", "rrr", &Lanes.Shift<uint, ShiftedRight<uint>>);
        Add("shr.s64", "llr", &Lanes.Shift<long, ShiftedRight<long>>);
        Add("shr.u64", "llr", &Lanes.Shift<ulong, ShiftedRight<ulong>>);
        Comparisons<int>("s32", 'r', "lt", "le", "gt", "ge");
        Comparisons<uint>("u32", 'r', "lo", "ls", "hi", "hs");
        Comparisons<long>("s64", 'l', "lt", "le", "gt", "ge");
        Comparisons<ulong>("u64", 'l', "lo", "ls", "hi", "hs");
    }

    private static void Bits<T>(string type, char register)
        where T : unmanaged, IBinaryInteger<T>
    {
        string three = new(register, 3);
        Add($"and.{type}", three, &Lanes.Binary<T, And<T>>);
        Add($"or.{type}", three, &Lanes.Binary<T, Or<T>>);
        Add($"xor.{type}", three, &Lanes.Binary<T, Xor<T>>);
        Add($"not.{type}", three[1..], &Lanes.Unary<T, Not<T>>);
        Add($"shl.{type}", $"{three[1..]}r", &Lanes.Shift<T, ShiftedLeft<T>>);
    }

    private static void Comparisons<T>(string type, char register, string less, string atMost, string greater, string atLeast)
        where T : unmanaged
    {
        string operands = $"p{register}{register}";
        Add($"setp.eq.{type}", operands, &Lanes.Compare<T, IsEqual<T>>);
        Add($"setp.ne.{type}", operands, &Lanes.Compare<T, IsUnequalOrNaN<T>>);
        Add($"setp.{less}.{type}", operands, &Lanes.Compare<T, IsLess<T>>);
        Add($"setp.{atMost}.{type}", operands, &Lanes.Compare<T, IsAtMost<T>>);
        Add($"setp.{greater}.{type}", operands, &Lanes.Compare<T, IsGreater<T>>);
        Add($"setp.{atLeast}.{type}", operands, &Lanes.Compare<T, IsAtLeast<T>>);
    }

    // Subnormal numbers are kept and every result is rounded once, to the nearest: no form has .ftz, and none
    // multiplies and adds at once.
    private static void Floats<T>(string type, char register)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        string two = new(register, 2);
        string three = new(register, 3);
        Add($"add.{type}", three, &Lanes.Binary<T, Plus<T>>);
        Add($"sub.{type}", three, &Lanes.Binary<T, Minus<T>>);
        Add($"mul.{type}", three, &Lanes.Binary<T, Times<T>>);
        Add($"div.rn.{type}", three, &Lanes.Binary<T, Over<T>>);
        Add($"neg.{type}", two, &Lanes.Unary<T, Negated<T>>);
        Add($"sqrt.rn.{type}", two, &Lanes.Unary<T, SquareRoot<T>>);
        Add($"rcp.rn.{type}", two, &Lanes.Unary<T, Reciprocal<T>>);
        string compared = $"p{two}";
        Add($"setp.eq.{type}", compared, &Lanes.Compare<T, IsEqual<T>>);
        Add($"setp.lt.{type}", compared, &Lanes.Compare<T, IsLess<T>>);
        Add($"setp.le.{type}", compared, &Lanes.Compare<T, IsAtMost<T>>);
        Add($"setp.gt.{type}", compared, &Lanes.Compare<T, IsGreater<T>>);
        Add($"setp.ge.{type}", compared, &Lanes.Compare<T, IsAtLeast<T>>);
        Add($"setp.neu.{type}", compared, &Lanes.Compare<T, IsUnequalOrNaN<T>>);
        Add($"setp.ltu.{type}", compared, &Lanes.Compare<T, IsLessOrNaN<T>>);
        Add($"setp.leu.{type}", compared, &Lanes.Compare<T, IsAtMostOrNaN<T>>);
        Add($"setp.gtu.{type}", compared, &Lanes.Compare<T, IsGreaterOrNaN<T>>);
        Add($"setp.geu.{type}", compared, &Lanes.Compare<T, IsAtLeastOrNaN<T>>);
        Add($"testp.notanumber.{type}", $"p{register}", &Lanes.Test<T, IsNaN<T>>);
    }

    private static void Conversions()
    {
        Add("ex2.approx.f32", "rr", &Conversion.Each<float, float, Exp2>);
        Add("lg2.approx.f32", "rr", &Conversion.Each<float, float, Log2>);
        Add("cvt.s64.s32", "lr", &Conversion.SignExtend);
        Add("cvt.u32.u64", "rl", &Conversion.Truncate);
        Add("cvt.s32.s64", "rl", &Conversion.Truncate);
        Add("cvt.u64.u32", "lr", &Conversion.Each<uint, ulong, ZeroExtend>);
        Add("cvt.rn.f32.s32", "rr", &Conversion.Each<int, float, Rounded<int, float>>);
        Add("cvt.rn.f64.s32", "lr", &Conversion.Each<int, double, Rounded<int, double>>);
        Add("cvt.rn.f32.s64", "rl", &Conversion.Each<long, float, Rounded<long, float>>);
        Add("cvt.rn.f64.s64", "ll", &Conversion.Each<long, double, Rounded<long, double>>);
        Add("cvt.rzi.s32.f32", "rr", &Conversion.Each<float, int, TowardsZero<float>>);
        Add("cvt.rzi.s32.f64", "rl", &Conversion.Each<double, int, TowardsZero<double>>);
        Add("cvt.u16.u32", "hr", &Conversion.Each<uint, uint, LowHalf>);
        Add("cvt.s16.s32", "hr", &Conversion.Each<uint, uint, LowHalf>);
        Add("cvt.s32.u16", "rh", &Conversion.Each<uint, uint, LowHalf>);
        Add("cvt.s32.s16", "rh", &Conversion.Each<uint, uint, SignedLowHalf>);
        Add("cvt.rna.tf32.f32", "rr", &Conversion.Each<uint, uint, ToTf32>);
        Add("cvt.rn.bf16x2.f32", "rrr", &Conversion.ToBf16Pair);
        Add("cvta.to.global.u64", "ll", &Lanes.Unary<ulong, Same<ulong>>);
    }

    private static void Moves()
    {
        Add("mov.b16", "hh", &Lanes.Unary<uint, Same<uint>>);
        Add("mov.b32", "rr", &Lanes.Unary<uint, Same<uint>>);
        Add("mov.f32", "rr", &Lanes.Unary<uint, Same<uint>>);
        Add("mov.b64", "ll", &Lanes.Unary<ulong, Same<ulong>>);
        Add("mov.f64", "ll", &Lanes.Unary<ulong, Same<ulong>>);
        Add("selp.b16", "hhhp", &Lanes.Select<uint>);
        Add("selp.b32", "rrrp", &Lanes.Select<uint>);
        Add("selp.b64", "lllp", &Lanes.Select<ulong>);
        Add("mov.pred", "pc", &Predicate.Move);
        Add("not.pred", "pp", &Predicate.Not);
        Add("and.pred", "ppp", &Predicate.And);
        Add("or.pred", "ppp", &Predicate.Or);
    }

    private static void Memory()
    {
        foreach ((string type, char register, int size) in (ReadOnlySpan<(string, char, int)>)[("b16", 'h', 2), ("b32", 'r', 4),
            ("f32", 'r', 4), ("f64", 'l', 8)])
        {
            foreach ((string vector, int count) in (ReadOnlySpan<(string, int)>)[("", 1), (".v2", 2), (".v4", 4)])
            {
                if (size * count > 16)
                    continue;
                string values = count == 1 ? $"{register}" : $"{count}{register}";
                Access($"ld.global{vector}.{type}", $"{values}g", size, count, size switch
                {
                    2 => &Access16.LoadGlobal,
                    4 => &Access32.LoadGlobal,
                    _ => &Access64.LoadGlobal
                });
                Access($"st.global{vector}.{type}", $"g{values}", size, count, size switch
                {
                    2 => &Access16.StoreGlobal,
                    4 => &Access32.StoreGlobal,
                    _ => &Access64.StoreGlobal
                });
                if (size == 2)
                    continue;
                Access($"ld.shared{vector}.{type}", $"{values}s", size, count,
                    size == 4 ? &Access32.LoadShared : &Access64.LoadShared);
                Access($"st.shared{vector}.{type}", $"s{values}", size, count,
                    size == 4 ? &Access32.StoreShared : &Access64.StoreShared);
            }
        }

        Access("ld.param.b32", "rm", 4, 1, &Access32.LoadParameter);
        Access("ld.param.f32", "rm", 4, 1, &Access32.LoadParameter);
        Access("ld.param.b64", "lm", 8, 1, &Access64.LoadParameter);
        Access("ld.param.f64", "lm", 8, 1, &Access64.LoadParameter);
        Access("cp.async.cg.shared.global", "sgnr", 16, 1, &AsyncCopy.Begin);
        Access("cp.async.ca.shared.global", "sgnr", 4, 1, &AsyncCopy.Begin);
        Add("cp.async.commit_group", "", &AsyncCopy.Commit);
        Add("cp.async.wait_group", "n", &AsyncCopy.Wait);
    }

    private static void Matrices()
    {
        Add("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", "4r4r2r4r", &Matrix.MultiplyTf32);
        Add("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "4r4r2r4r", &Matrix.MultiplyBf16);
        Access("ldmatrix.sync.aligned.m8n8.x4.shared.b16", "4rs", 4, 4, &Matrix.Load);
        Access("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", "4rs", 4, 4, &Matrix.LoadTransposed);
    }

    private static void Control()
    {
        All.Add("bra", new Form("bra", "b", Flow.Branch));
        All.Add("bra.uni", new Form("bra.uni", "b", Flow.Branch));
        All.Add("ret", new Form("ret", "", Flow.Return));
        All.Add("bar.sync", new Form("bar.sync", "n", Flow.Barrier));
    }

    private static void Add(string name, string operands, delegate*<Warp, Instruction, void> run)
        => All.Add(name, new Form(name, operands) { Run = run });

    private static void Access(string name, string operands, int size, int count, delegate*<Warp, Instruction, void> run)
        => All.Add(name, new Form(name, operands) { Run = run, Size = size, Count = count });
}
