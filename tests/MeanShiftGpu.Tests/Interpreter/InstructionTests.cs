using System.Globalization;
using MeanShiftGpu.PtxInterpreter.Machine;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Interpreter;

/// <summary>
/// Instructions of the interpreter against results written by hand from NVIDIA's "Parallel Thread Execution
/// ISA".</summary>
public sealed class InstructionTests
{
    [TestCase("add.s32 %r5, %r3, 1", 0x7FFFFFFF, 0, 0x80000000)]
    [TestCase("sub.s32 %r5, 3, %r3", 5, 0, 0xFFFFFFFE)]
    [TestCase("mul.lo.s32 %r5, %r3, %r4", 0x10001, 0x10000, 0x10000)]
    [TestCase("mad.lo.s32 %r5, %r3, %r4, %r3", 3, 5, 18)]
    [TestCase("min.s32 %r5, %r3, %r4", 0xFFFFFFFB, 3, 0xFFFFFFFB)]
    [TestCase("max.s32 %r5, %r3, %r4", 0xFFFFFFFB, 3, 3)]
    [TestCase("neg.s32 %r5, %r3", 7, 0, 0xFFFFFFF9)]
    [TestCase("div.s32 %r5, %r3, %r4", 0xFFFFFFF9, 2, 0xFFFFFFFD)]
    [TestCase("rem.s32 %r5, %r3, %r4", 0xFFFFFFF9, 2, 0xFFFFFFFF)]
    [TestCase("div.u32 %r5, %r3, %r4", 0xFFFFFFF9, 2, 0x7FFFFFFC)]
    [TestCase("and.b32 %r5, %r3, %r4", 12, 10, 8)]
    [TestCase("or.b32 %r5, %r3, %r4", 12, 10, 14)]
    [TestCase("xor.b32 %r5, %r3, %r4", 12, 10, 6)]
    [TestCase("not.b32 %r5, %r3", 12, 0, 0xFFFFFFF3)]
    [TestCase("shl.b32 %r5, %r3, 31", 3, 0, 0x80000000)]
    [TestCase("shl.b32 %r5, %r3, %r4", 3, 32, 0)]
    [TestCase("shr.s32 %r5, %r3, 1", 0xFFFFFFF8, 0, 0xFFFFFFFC)]
    [TestCase("shr.s32 %r5, %r3, %r4", 0xFFFFFFF8, 40, 0xFFFFFFFF)]
    [TestCase("shr.u32 %r5, %r3, %r4", 0xFFFFFFF8, 31, 1)]
    [TestCase("shr.u32 %r5, %r3, %r4", 0xFFFFFFF8, 32, 0)]
    [TestCase("cvt.s64.s32 %rd5, %r3; shr.s64 %rd5, %rd5, 32; cvt.u32.u64 %r5, %rd5", 0x80000000, 0, 0xFFFFFFFF)]
    [TestCase("cvt.u64.u32 %rd5, %r3; shr.u64 %rd5, %rd5, 31; cvt.u32.u64 %r5, %rd5", 0x80000000, 0, 1)]
    [TestCase("cvt.u64.u32 %rd5, %r3; shl.b64 %rd5, %rd5, %r4; cvt.u32.u64 %r5, %rd5", 3, 64, 0)]
    [TestCase("mul.wide.u32 %rd5, %r3, %r4; shr.u64 %rd5, %rd5, 32; cvt.u32.u64 %r5, %rd5", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE)]
    [TestCase("cvt.s64.s32 %rd5, %r3; mul.lo.s64 %rd6, %rd5, %rd5; cvt.s32.s64 %r5, %rd6", 0xFFFFFFFD, 0, 9)]
    [TestCase("cvt.s64.s32 %rd5, %r3; mad.lo.u64 %rd6, %rd5, 4, %rd5; cvt.s32.s64 %r5, %rd6", 0xFFFFFFFD, 0, 0xFFFFFFF1)]
    [TestCase("cvt.s64.s32 %rd5, %r3; div.s64 %rd6, %rd5, 2; cvt.s32.s64 %r5, %rd6", 0xFFFFFFF9, 0, 0xFFFFFFFD)]
    [TestCase("cvt.s64.s32 %rd5, %r3; rem.s64 %rd6, %rd5, 2; cvt.s32.s64 %r5, %rd6", 0xFFFFFFF9, 0, 0xFFFFFFFF)]
    [TestCase("cvt.s64.s32 %rd5, %r3; min.s64 %rd6, %rd5, -2; cvt.s32.s64 %r5, %rd6", 0xFFFFFFFD, 0, 0xFFFFFFFD)]
    [TestCase("cvt.s64.s32 %rd5, %r3; max.s64 %rd6, %rd5, -2; cvt.s32.s64 %r5, %rd6", 0xFFFFFFFD, 0, 0xFFFFFFFE)]
    [TestCase("cvt.u16.u32 %rs0, %r3; cvt.s32.s16 %r5, %rs0", 0x1234FFFE, 0, 0xFFFFFFFE)]
    [TestCase("cvt.u16.u32 %rs0, %r3; cvt.s32.u16 %r5, %rs0", 0x1234FFFE, 0, 0xFFFE)]
    [TestCase("setp.lt.s32 %p0, %r3, %r4; selp.b32 %r5, 1, 2, %p0", 0xFFFFFFFF, 0, 1)]
    [TestCase("setp.lo.u32 %p0, %r3, %r4; selp.b32 %r5, 1, 2, %p0", 0xFFFFFFFF, 0, 2)]
    [TestCase("setp.hi.u32 %p0, %r3, %r4; selp.b32 %r5, 1, 2, %p0", 0xFFFFFFFF, 0, 1)]
    [TestCase("setp.ls.u32 %p0, %r3, %r4; not.pred %p1, %p0; selp.b32 %r5, 1, 2, %p1", 4, 4, 2)]
    [TestCase("setp.ge.s32 %p0, %r3, %r4; setp.ne.s32 %p1, %r3, %r4; and.pred %p2, %p0, %p1; selp.b32 %r5, 1, 2, %p2", 4, 4, 2)]
    [TestCase("setp.ge.s32 %p0, %r3, %r4; mov.pred %p1, 0; or.pred %p2, %p0, %p1; selp.b32 %r5, 1, 2, %p2", 4, 4, 1)]
    public void Integers_GiveWhatTheIsaSays(string body, long first, long second, long expected)
        => Check(body, (uint)first, (uint)second, (uint)expected);

    [TestCase("add.f32 %f5, %f3, %f4", 1f, 2.5f, 3.5f)]
    [TestCase("sub.f32 %f5, %f3, %f4", 1f, 2.5f, -1.5f)]
    [TestCase("mul.f32 %f5, %f3, %f4", 3f, 1e-45f, 4e-45f)]
    [TestCase("div.rn.f32 %f5, %f3, %f4", 1f, 3f, 0.333333343f)]
    [TestCase("rcp.rn.f32 %f5, %f3", 3f, 0f, 0.333333343f)]
    [TestCase("sqrt.rn.f32 %f5, %f3", 2f, 0f, 1.41421354f)]
    [TestCase("neg.f32 %f5, %f3", 0f, 0f, -0f)]
    [TestCase("ex2.approx.f32 %f5, %f3", 3f, 0f, 8f)]
    [TestCase("lg2.approx.f32 %f5, %f3", 8f, 0f, 3f)]
    [TestCase("cvt.rzi.s32.f32 %r5, %f3; cvt.rn.f32.s32 %f5, %r5", -2.7f, 0f, -2f)]
    [TestCase("cvt.rzi.s32.f32 %r5, %f3; cvt.rn.f32.s32 %f5, %r5", 3e9f, 0f, 2147483648f)]
    [TestCase("cvt.rzi.s32.f32 %r5, %f3; cvt.rn.f32.s32 %f5, %r5", float.NaN, 0f, 0f)]
    [TestCase("mov.b32 %r5, 16777217; cvt.rn.f32.s32 %f5, %r5", 0f, 0f, 16777216f)]
    [TestCase("mov.b32 %r5, 7; cvt.rn.f64.s32 %fd0, %r5; mul.f64 %fd1, %fd0, 0d3FE0000000000000; cvt.rzi.s32.f64 %r6, %fd1; "
        + "cvt.rn.f32.s32 %f5, %r6", 0f, 0f, 3f)]
    // Ties of TF32 (10 bits of fraction) go away from zero.
    [TestCase("cvt.rna.tf32.f32 %r5, %f3; mov.f32 %f5, %r5", 1.00048828125f, 0f, 1.0009765625f)]
    [TestCase("cvt.rna.tf32.f32 %r5, %f3; mov.f32 %f5, %r5", -1.00048828125f, 0f, -1.0009765625f)]
    [TestCase("cvt.rna.tf32.f32 %r5, %f3; mov.f32 %f5, %r5", 1.0004882f, 0f, 1f)]
    // Ties of BF16 (7 bits of fraction) go to even; the first source becomes the upper half.
    [TestCase("cvt.rn.bf16x2.f32 %r5, %f3, %f4; and.b32 %r5, %r5, 4294901760; mov.f32 %f5, %r5", 1.00390625f, 5f, 1f)]
    [TestCase("cvt.rn.bf16x2.f32 %r5, %f3, %f4; and.b32 %r5, %r5, 4294901760; mov.f32 %f5, %r5", 1.01171875f, 5f, 1.015625f)]
    [TestCase("cvt.rn.bf16x2.f32 %r5, %f3, %f4; shl.b32 %r5, %r5, 16; mov.f32 %f5, %r5", 1f, 5f, 5f)]
    public void Floats_GiveWhatTheIsaSays(string body, float first, float second, float expected)
        => Check($"{body}; mov.b32 %r5, %f5", BitConverter.SingleToUInt32Bits(first), BitConverter.SingleToUInt32Bits(second),
            BitConverter.SingleToUInt32Bits(expected));

    // Less, equal, greater, and with NaN.
    [TestCase("eq", "FTFF")]
    [TestCase("lt", "TFFF")]
    [TestCase("le", "TTFF")]
    [TestCase("gt", "FFTF")]
    [TestCase("ge", "FTTF")]
    [TestCase("neu", "TFTT")]
    [TestCase("ltu", "TFFT")]
    [TestCase("leu", "TTFT")]
    [TestCase("gtu", "FFTT")]
    [TestCase("geu", "FTTT")]
    public void Comparisons_WithNaN_AreOrderedOrNot(string comparison, string expected)
    {
        float[] first = [1, 2, 3, float.NaN];
        for (int k = 0; k < first.Length; k++)
            Check($"setp.{comparison}.f32 %p0, %f3, %f4; selp.b32 %r5, 1, 0, %p0", BitConverter.SingleToUInt32Bits(first[k]),
                BitConverter.SingleToUInt32Bits(2), expected[k] == 'T' ? 1u : 0);
        Check("testp.notanumber.f32 %p0, %f3; selp.b32 %r5, 1, 0, %p0", BitConverter.SingleToUInt32Bits(float.NaN), 0, 1);
        Check("testp.notanumber.f32 %p0, %f3; selp.b32 %r5, 1, 0, %p0", BitConverter.SingleToUInt32Bits(1), 0, 0);
    }

    [Test]
    public void Branches_ThreadsPart_MeetAgainAtThePostDominator()
    {
        // Thread t adds 1 for t rounds; odd threads then subtract 100 and even ones 200; all add 1000
        // together.
        const string body = """
            mov.b32 %r5, 0
            ROUND:
            setp.ge.s32 %p0, %r5, %r0
            @%p0 bra DONE
            add.s32 %r5, %r5, 1
            bra ROUND
            DONE:
            and.b32 %r6, %r0, 1
            setp.eq.s32 %p1, %r6, 0
            @%p1 bra EVEN
            sub.s32 %r5, %r5, 100
            bra.uni ALL
            EVEN:
            sub.s32 %r5, %r5, 200
            ALL:
            bar.sync 0
            add.s32 %r5, %r5, 1000
            st.global.b32 [%rd3], %r5
            """;
        Assert.That(Sample.Run(body, []), Is.EqualTo(Sample.Each(t => (uint)(t - (t % 2 == 0 ? 200 : 100) + 1000))));
    }

    [Test]
    public void Returns_OfSomeThreads_LeaveTheOthersRunning()
        => Assert.That(
            Sample.Run("setp.lt.s32 %p0, %r0, 10; @%p0 ret; st.global.b32 [%rd3], %r0", Sample.Each(_ => 7)),
            Is.EqualTo(Sample.Each(t => t < 10 ? 7u : (uint)t)));

    [TestCase("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", 8)]
    [TestCase("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", 16)]
    public void Mma_FragmentsOfTheIsasTables_AreMultiplied(string instruction, int depth)
    {
        Random random = new(5);
        float[,] a = Matrix(16, depth), b = Matrix(depth, 8), c = Matrix(16, 8);
        // A word for each register of each thread: 4 of A, 2 of B, 4 of C.
        uint[] words = new uint[10 * 32];
        Place(a, depth == 8 ? FragmentTables.Tf32A : FragmentTables.Bf16A, 0, pairs: depth == 16);
        Place(b, depth == 8 ? FragmentTables.Tf32B : FragmentTables.Bf16B, 4, pairs: depth == 16);
        Place(c, FragmentTables.Sums, 6, pairs: false);
        string loads = string.Concat(Enumerable.Range(0, 6).Select(k => $"ld.global.b32 %r{10 + k}, [%rd3+{128 * k}]; "))
            + string.Concat(Enumerable.Range(0, 4).Select(k => $"ld.global.f32 %f{k}, [%rd3+{128 * (6 + k)}]; "));
        uint[] result = Sample.Run(
            loads + $"{instruction} {{%f0, %f1, %f2, %f3}}, {{%r10, %r11, %r12, %r13}}, {{%r14, %r15}}, {{%f0, %f1, %f2, %f3}}; "
            + string.Concat(Enumerable.Range(0, 4).Select(k => $"st.global.f32 [%rd3+{128 * k}], %f{k}; ")).TrimEnd(' ', ';'),
            words);
        for (int row = 0; row < 16; row++)
        {
            for (int column = 0; column < 8; column++)
            {
                float expected = c[row, column];
                for (int k = 0; k < depth; k++)
                    expected += a[row, k] * b[k, column];
                (int thread, int element) = Cell(FragmentTables.Sums, row, column);
                Assert.That(BitConverter.UInt32BitsToSingle(result[32 * element + thread]), Is.EqualTo(expected),
                    $"row {row}, column {column}");
            }
        }

        // Small integers, which every precision holds.
        float[,] Matrix(int rows, int columns)
        {
            float[,] matrix = new float[rows, columns];
            for (int row = 0; row < rows; row++)
            {
                for (int column = 0; column < columns; column++)
                    matrix[row, column] = random.Next(-9, 10);
            }

            return matrix;
        }

        void Place(float[,] matrix, string[] table, int first, bool pairs)
        {
            for (int row = 0; row < matrix.GetLength(0); row++)
            {
                for (int column = 0; column < matrix.GetLength(1); column++)
                {
                    (int thread, int element) = Cell(table, row, column);
                    uint bits = BitConverter.SingleToUInt32Bits(matrix[row, column]);
                    if (pairs)
                        words[32 * (first + element / 2) + thread] |= element % 2 == 0 ? bits >> 16 : bits & 0xFFFF0000;
                    else
                        words[32 * (first + element) + thread] = bits;
                }
            }
        }
    }

    [Test]
    public void Mma_Tf32_IgnoresTheLower13Bits()
    {
        uint[] result = Sample.Run(
            "mov.b32 %r10, 1065361407; mov.b32 %r11, 0; mov.f32 %f0, 0f00000000; "
            + "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f0, %f1, %f2, %f3}, {%r10, %r11, %r11, %r11}, {%r10, "
            + "%r11}, {%f0, %f0, %f0, %f0}; st.global.f32 [%rd3], %f0",
            []);
        // 1065361407 is 1 with every lower bit set: four products of 1.
        Assert.That(BitConverter.UInt32BitsToSingle(result[0]), Is.EqualTo(4f));
    }

    // Element e of the memory holds e; a row is 8 elements, matrix m the rows 8·m to 8·m + 7.
    [TestCase("", 0)]
    [TestCase(".trans", 1)]
    public void LdMatrix_GivesTheRowsOfTheIsasTable(string modifier, int transposed)
    {
        string body = "mul.lo.s32 %r21, %r0, 16; add.s32 %r21, %r21, %r1; "
            + string.Concat(Enumerable.Range(0, 4).Select(k => $"ld.global.b32 %r{10 + k}, [%rd3+{128 * k}]; "))
            + "st.shared.v4.b32 [%r21], {%r10, %r11, %r12, %r13}; bar.sync 0; "
            + $"ldmatrix.sync.aligned.m8n8.x4{modifier}.shared.b16 {{%r10, %r11, %r12, %r13}}, [%r21]; "
            + string.Concat(Enumerable.Range(0, 4).Select(k => $"st.global.b32 [%rd3+{128 * k}], %r{10 + k}; ")).TrimEnd(' ',
                ';');
        // Thread t stores words 4·t to 4·t + 3, which hold elements 8·t and on.
        uint[] words = new uint[4 * 32];
        for (int t = 0; t < 32; t++)
        {
            for (int k = 0; k < 4; k++)
                words[32 * k + t] = Pair(8 * t + 2 * k, 8 * t + 2 * k + 1);
        }

        uint[] result = Sample.Run(body, words);
        for (int matrix = 0; matrix < 4; matrix++)
        {
            for (int t = 0; t < 32; t++)
            {
                // Thread t: row t/4, elements 2·(t%4) and the next; of the transposed matrix rows and columns
                // change places.
                int first = transposed == 0 ? 8 * (t / 4) + t % 4 * 2 : 8 * (t % 4 * 2) + t / 4;
                int second = transposed == 0 ? first + 1 : first + 8;
                Assert.That(result[32 * matrix + t], Is.EqualTo(Pair(64 * matrix + first, 64 * matrix + second)),
                    $"matrix {matrix}, thread {t}");
            }
        }

        static uint Pair(int lower, int upper) => (uint)(lower | upper << 16);
    }

    [TestCase(0, false, 0)]
    [TestCase(0, true, 0)]
    [TestCase(2, false, 0)]
    [TestCase(4, true, 0)]
    [TestCase(4, false, 8)]
    public void CpAsync_ReadsSoManyBytes_AndTheRestBecomesZero(int bytes, bool early, int offset)
    {
        string body = $"cp.async.ca.shared.global [%r2+{offset}], [%rd3], 4, {bytes}; cp.async.commit_group; "
            + "cp.async.wait_group 0; "
            + $"bar.sync 0; ld.shared.b32 %r5, [%r2+{offset}]; st.global.b32 [%rd3], %r5";
        uint[] result = Sample.Run(
            body,
            Sample.Each(t => 0xABCD0000 + (uint)t),
            options: new LaunchOptions(CopiesArriveEarly: early));
        Assert.That(result, Is.EqualTo(Sample.Each(t => bytes switch { 0 => 0u, 2 => (uint)t, _ => 0xABCD0000 + (uint)t })));
    }

    private static (int Thread, int Element) Cell(string[] table, int row, int column)
    {
        string cell = table[row].Split(' ')[column];
        return (int.Parse(cell.AsSpan(1, cell.Length - 3), CultureInfo.InvariantCulture), cell[^1] - '0');
    }

    // Words 0 and 1 come in registers of both names.
    private static void Check(string body, uint first, uint second, uint expected)
    {
        uint[] result = Sample.Run(
            $"ld.global.b32 %r3, [%rd0]; ld.global.b32 %r4, [%rd0+4]; mov.f32 %f3, %r3; mov.f32 %f4, %r4; {body}; bar.sync 0; "
            + "st.global.b32 [%rd3], %r5",
            [first, second]);
        Assert.That(result, Is.All.EqualTo(expected), body);
    }
}
