using System.Numerics;
using System.Runtime.Intrinsics;
using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.PtxInterpreter.Machine;

/// <summary>A function of one lane.</summary>
internal interface IConversion<TFrom, TTo>
{
    static abstract TTo Of(TFrom a);
}

/// <summary>Instructions whose operands are of different widths, and functions of single lanes.</summary>
internal static unsafe class Conversion
{
    public static void Each<TFrom, TTo, TConversion>(Warp warp, Instruction i)
        where TFrom : unmanaged
        where TTo : unmanaged
        where TConversion : struct, IConversion<TFrom, TTo>
    {
        TTo* d = warp.Plane<TTo>(i.D);
        TFrom* a = warp.Plane<TFrom>(i.A);
        // Wide before narrow would overwrite lanes that are still to be read if both shared a plane; planes
        // of different widths never do.
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            d[lane] = TConversion.Of(a[lane]);
        }
    }

    public static void SignExtend(Warp warp, Instruction i)
    {
        long* d = warp.Plane<long>(i.D);
        int* a = warp.Plane<int>(i.A);
        for (int k = 0; k < Lanes.Count; k += Vector256<int>.Count)
        {
            (Vector256<long> lower, Vector256<long> upper) = Vector256.Widen(Vector256.Load(a + k));
            Lanes.Put(warp, d, k, lower);
            Lanes.Put(warp, d, k + Vector256<long>.Count, upper);
        }
    }

    public static void Truncate(Warp warp, Instruction i)
    {
        uint* d = warp.Plane<uint>(i.D);
        ulong* a = warp.Plane<ulong>(i.A);
        for (int k = 0; k < Lanes.Count; k += Vector256<uint>.Count)
            Lanes.Put(warp, d, k, Vector256.Narrow(Vector256.Load(a + k), Vector256.Load(a + k + Vector256<ulong>.Count)));
    }

    public static void MultiplyWide(Warp warp, Instruction i)
    {
        ulong* d = warp.Plane<ulong>(i.D);
        uint* a = warp.Plane<uint>(i.A), b = warp.Plane<uint>(i.B);
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            d[lane] = (ulong)a[lane] * b[lane];
        }
    }

    /// <summary>cvt.rn.bf16x2.f32: the first operand becomes the upper half.</summary>
    public static void ToBf16Pair(Warp warp, Instruction i)
    {
        uint* d = warp.Plane<uint>(i.D), a = warp.Plane<uint>(i.A), b = warp.Plane<uint>(i.B);
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            d[lane] = Bf16(a[lane]) << 16 | Bf16(b[lane]);
        }
    }

    // To the nearest number of 8 bits of significand, ties to even; NaN becomes 0x7FFF.
    private static uint Bf16(uint bits)
        => float.IsNaN(BitConverter.UInt32BitsToSingle(bits)) ? 0x7FFF : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

/// <summary>The hardware's error of 2⁻²² is not imitated.</summary>
internal readonly struct Exp2 : IConversion<float, float>
{
    public static float Of(float a) => (float)Math.Pow(2, a);
}

internal readonly struct Log2 : IConversion<float, float>
{
    public static float Of(float a) => (float)Math.Log2(a);
}

internal readonly struct ZeroExtend : IConversion<uint, ulong>
{
    public static ulong Of(uint a) => a;
}

internal readonly struct Rounded<TFrom, TTo> : IConversion<TFrom, TTo>
    where TFrom : IBinaryInteger<TFrom>
    where TTo : IFloatingPointIeee754<TTo>
{
    public static TTo Of(TFrom a) => TTo.CreateChecked(a);
}

/// <summary>cvt.rzi.s32: without the fraction; numbers beyond the range become its ends, NaN 0.</summary>
internal readonly struct TowardsZero<T> : IConversion<T, int>
    where T : IFloatingPointIeee754<T>
{
    public static int Of(T a) => int.CreateSaturating(a);
}

internal readonly struct LowHalf : IConversion<uint, uint>
{
    public static uint Of(uint a) => (ushort)a;
}

internal readonly struct SignedLowHalf : IConversion<uint, uint>
{
    public static uint Of(uint a) => (uint)(short)a;
}

/// <summary>
/// cvt.rna.tf32.f32: to the nearest number of 11 bits of significand, ties away from zero; the other 13 bits
/// are 0. NaN becomes 0x7FFFFFFF.</summary>
internal readonly struct ToTf32 : IConversion<uint, uint>
{
    public static uint Of(uint a)
    {
        float value = BitConverter.UInt32BitsToSingle(a);
        return float.IsNaN(value) ? 0x7FFFFFFF : float.IsInfinity(value) ? a : a + 0x1000 & 0xFFFFE000;
    }
}

/// <summary>Instructions on predicates.</summary>
internal static unsafe class Predicate
{
    // The source is a predicate, or a constant behind them.
    public static void Move(Warp warp, Instruction i) => warp.SetPredicate(i.D, warp.Predicates[i.A]);

    public static void Not(Warp warp, Instruction i) => warp.SetPredicate(i.D, ~warp.Predicates[i.A]);

    public static void And(Warp warp, Instruction i) => warp.SetPredicate(i.D, warp.Predicates[i.A] & warp.Predicates[i.B]);

    public static void Or(Warp warp, Instruction i) => warp.SetPredicate(i.D, warp.Predicates[i.A] | warp.Predicates[i.B]);
}
