using System.Runtime.Intrinsics;

namespace MeanShiftGpu.Kernels.Machine.Host;

/// <summary>
/// float32 arithmetic on the processor's vectors. Host kernels take the vector type and its operations as
/// type parameters, so that one source is compiled for each width, with everything inlined.
/// </summary>
/// <remarks>
/// Only convolutions choose a width: they compute more than they load. Poolings, heads, losses and the
/// optimiser wait for memory and take Vector&lt;T&gt;, which is as wide as .NET prefers; the mean shift takes
/// Vector256, because its rows of a ball, some ten voxels, are no longer.
/// </remarks>
/// <typeparam name="TVector">Vector128, Vector256 or Vector512 of float.</typeparam>
internal unsafe interface IHostVector<TVector>
    where TVector : unmanaged
{
    /// <summary>Number of floats in a vector.</summary>
    static abstract int Width { get; }

    /// <summary>
    /// Rows of a register tile with two vectors of columns: AVX-512 has 32 vector registers, the others 16.
    /// </summary>
    static abstract int TileRows { get; }

    /// <summary>The vector at an address of any alignment.</summary>
    static abstract TVector Load(float* address);

    /// <summary>Stores a vector at an address of any alignment.</summary>
    static abstract void Store(TVector value, float* address);

    /// <summary>A vector of equal elements.</summary>
    static abstract TVector Broadcast(float value);

    /// <summary>a·b + c, fused where the processor has such an instruction.</summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

    /// <summary>a + b.</summary>
    static abstract TVector Add(TVector a, TVector b);

    /// <summary>a − b.</summary>
    static abstract TVector Subtract(TVector a, TVector b);

    /// <summary>a·b.</summary>
    static abstract TVector Multiply(TVector a, TVector b);

    /// <summary>The value where the gate is above 0, otherwise 0 (also where the gate is NaN).</summary>
    static abstract TVector WherePositive(TVector gate, TVector value);

    /// <summary>The value, or 0 where it is below 0; a NaN stays a NaN.</summary>
    static abstract TVector Relu(TVector value);
}

/// <summary>4 floats: every processor.</summary>
internal readonly unsafe struct HostVector128 : IHostVector<Vector128<float>>
{
    public static int Width => 4;

    public static int TileRows => 6;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Load(float* address) => Vector128.Load(address);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector128<float> value, float* address) => value.Store(address);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Broadcast(float value) => Vector128.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> MultiplyAdd(Vector128<float> a, Vector128<float> b, Vector128<float> c)
        => Vector128.MultiplyAddEstimate(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Add(Vector128<float> a, Vector128<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Subtract(Vector128<float> a, Vector128<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Multiply(Vector128<float> a, Vector128<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> WherePositive(Vector128<float> gate, Vector128<float> value)
        => Vector128.GreaterThan(gate, Vector128<float>.Zero) & value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Relu(Vector128<float> value)
        => Vector128.AndNot(value, Vector128.LessThan(value, Vector128<float>.Zero));
}

/// <summary>8 floats: AVX2.</summary>
internal readonly unsafe struct HostVector256 : IHostVector<Vector256<float>>
{
    public static int Width => 8;

    public static int TileRows => 6;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(float* address) => Vector256.Load(address);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> value, float* address) => value.Store(address);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Broadcast(float value) => Vector256.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MultiplyAdd(Vector256<float> a, Vector256<float> b, Vector256<float> c)
        => Vector256.MultiplyAddEstimate(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(Vector256<float> a, Vector256<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Subtract(Vector256<float> a, Vector256<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Multiply(Vector256<float> a, Vector256<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> WherePositive(Vector256<float> gate, Vector256<float> value)
        => Vector256.GreaterThan(gate, Vector256<float>.Zero) & value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Relu(Vector256<float> value)
        => Vector256.AndNot(value, Vector256.LessThan(value, Vector256<float>.Zero));
}

/// <summary>16 floats: AVX-512.</summary>
internal readonly unsafe struct HostVector512 : IHostVector<Vector512<float>>
{
    public static int Width => 16;

    public static int TileRows => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(float* address) => Vector512.Load(address);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<float> value, float* address) => value.Store(address);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Broadcast(float value) => Vector512.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> MultiplyAdd(Vector512<float> a, Vector512<float> b, Vector512<float> c)
        => Vector512.MultiplyAddEstimate(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Add(Vector512<float> a, Vector512<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Subtract(Vector512<float> a, Vector512<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Multiply(Vector512<float> a, Vector512<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> WherePositive(Vector512<float> gate, Vector512<float> value)
        => Vector512.GreaterThan(gate, Vector512<float>.Zero) & value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Relu(Vector512<float> value)
        => Vector512.AndNot(value, Vector512.LessThan(value, Vector512<float>.Zero));
}

/// <summary>Which vectors the host variants use.</summary>
internal static class HostVector
{
    /// <summary>
    /// The widest vectors that the just-in-time compiler maps to the processor's own: 512, 256 or 128 bits.
    /// </summary>
    public static int PreferredBits
        => Vector512.IsHardwareAccelerated ? 512
            : Vector256.IsHardwareAccelerated ? 256
            : 128;

    /// <summary>The refusal of another width.</summary>
    public static ArgumentOutOfRangeException Unknown(int vectorBits)
        => new(nameof(vectorBits), vectorBits, "Vectors have 128, 256 or 512 bits.");
}
