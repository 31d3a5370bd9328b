using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.PtxInterpreter.Machine;

/// <summary>An operation on a vector of lanes.</summary>
internal interface IUnary<T>
{
    static abstract Vector256<T> Of(Vector256<T> a);
}

internal interface IBinary<T>
{
    static abstract Vector256<T> Of(Vector256<T> a, Vector256<T> b);
}

internal interface ITernary<T>
{
    static abstract Vector256<T> Of(Vector256<T> a, Vector256<T> b, Vector256<T> c);
}

/// <summary>An operation on one lane, for what vectors cannot do.</summary>
internal interface IEach<T>
{
    static abstract T Of(T a, T b);
}

internal interface IShift<T>
{
    static abstract T Of(T a, int amount);

    static abstract Vector256<T> Of(Vector256<T> a, int amount);
}

/// <summary>
/// How instructions go through the 32 lanes of their operands. A lane that is not active keeps what it has.
/// </summary>
internal static unsafe class Lanes
{
    public const int Count = 32;
    public const uint All = uint.MaxValue;

    public static void Unary<T, TOperation>(Warp warp, Instruction i)
        where T : unmanaged
        where TOperation : struct, IUnary<T>
    {
        T* d = warp.Plane<T>(i.D), a = warp.Plane<T>(i.A);
        for (int k = 0; k < Count; k += Vector256<T>.Count)
            Put(warp, d, k, TOperation.Of(Vector256.Load(a + k)));
    }

    public static void Binary<T, TOperation>(Warp warp, Instruction i)
        where T : unmanaged
        where TOperation : struct, IBinary<T>
    {
        T* d = warp.Plane<T>(i.D), a = warp.Plane<T>(i.A), b = warp.Plane<T>(i.B);
        for (int k = 0; k < Count; k += Vector256<T>.Count)
            Put(warp, d, k, TOperation.Of(Vector256.Load(a + k), Vector256.Load(b + k)));
    }

    public static void Ternary<T, TOperation>(Warp warp, Instruction i)
        where T : unmanaged
        where TOperation : struct, ITernary<T>
    {
        T* d = warp.Plane<T>(i.D), a = warp.Plane<T>(i.A), b = warp.Plane<T>(i.B), c = warp.Plane<T>(i.C);
        for (int k = 0; k < Count; k += Vector256<T>.Count)
            Put(warp, d, k, TOperation.Of(Vector256.Load(a + k), Vector256.Load(b + k), Vector256.Load(c + k)));
    }

    public static void Each<T, TOperation>(Warp warp, Instruction i)
        where T : unmanaged
        where TOperation : struct, IEach<T>
    {
        T* d = warp.Plane<T>(i.D), a = warp.Plane<T>(i.A), b = warp.Plane<T>(i.B);
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            d[lane] = TOperation.Of(a[lane], b[lane]);
        }
    }

    // Amounts of the width and more are as many: nothing, or the sign alone, is left.
    public static void Shift<T, TOperation>(Warp warp, Instruction i)
        where T : unmanaged
        where TOperation : struct, IShift<T>
    {
        T* d = warp.Plane<T>(i.D), a = warp.Plane<T>(i.A);
        uint* amounts = warp.Plane<uint>(i.B);
        if (warp.IsConstant(i.B) && *amounts < 8 * sizeof(T))
        {
            for (int k = 0; k < Count; k += Vector256<T>.Count)
                Put(warp, d, k, TOperation.Of(Vector256.Load(a + k), (int)*amounts));
            return;
        }

        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            d[lane] = TOperation.Of(a[lane], (int)uint.Min(amounts[lane], (uint)(8 * sizeof(T))));
        }
    }

    public static void Compare<T, TOperation>(Warp warp, Instruction i)
        where T : unmanaged
        where TOperation : struct, IBinary<T>
    {
        T* a = warp.Plane<T>(i.A), b = warp.Plane<T>(i.B);
        uint result = 0;
        for (int k = 0; k < Count; k += Vector256<T>.Count)
            result |= TOperation.Of(Vector256.Load(a + k), Vector256.Load(b + k)).ExtractMostSignificantBits() << k;
        warp.SetPredicate(i.D, result);
    }

    public static void Test<T, TOperation>(Warp warp, Instruction i)
        where T : unmanaged
        where TOperation : struct, IUnary<T>
    {
        T* a = warp.Plane<T>(i.A);
        uint result = 0;
        for (int k = 0; k < Count; k += Vector256<T>.Count)
            result |= TOperation.Of(Vector256.Load(a + k)).ExtractMostSignificantBits() << k;
        warp.SetPredicate(i.D, result);
    }

    /// <summary>selp: the first operand where the predicate holds, else the second.</summary>
    public static void Select<T>(Warp warp, Instruction i)
        where T : unmanaged
    {
        T* d = warp.Plane<T>(i.D), a = warp.Plane<T>(i.A), b = warp.Plane<T>(i.B);
        uint predicate = warp.Predicates[i.C];
        for (int k = 0; k < Count; k += Vector256<T>.Count)
            Put(warp, d, k, Vector256.ConditionalSelect(Mask<T>(predicate >> k), Vector256.Load(a + k), Vector256.Load(b + k)));
    }

    /// <summary>Stores a vector from a lane on, where lanes are active.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Put<T>(Warp warp, T* plane, int lane, Vector256<T> value)
        where T : unmanaged
    {
        if (warp.Active != All)
            value = Vector256.ConditionalSelect(Mask<T>(warp.Active >> lane), value, Vector256.Load(plane + lane));
        value.Store(plane + lane);
    }

    /// <summary>All bits of the elements whose bit is set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<T> Mask<T>(uint bits)
        where T : unmanaged
    {
        if (sizeof(T) == 4)
        {
            Vector256<uint> each = Vector256.Create(1u, 2, 4, 8, 16, 32, 64, 128);
            return Vector256.Equals(Vector256.Create(bits) & each, each).As<uint, T>();
        }

        Vector256<ulong> wide = Vector256.Create(1ul, 2, 4, 8);
        return Vector256.Equals(Vector256.Create((ulong)bits) & wide, wide).As<ulong, T>();
    }
}
