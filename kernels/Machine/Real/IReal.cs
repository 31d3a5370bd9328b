using ILGPU.Algorithms;

namespace MeanShiftGpu.Kernels.Machine.Real;

/// <summary>
/// The conversions and functions that a kernel needs of its real type. Arithmetic goes through
/// <see cref="INumber{T}"/>; what ILGPU cannot compile from there (conversions use System.Type) stands here
/// as static members of a struct, which a kernel takes as a second type parameter, so that one source serves
/// float32 and float64.
/// </summary>
/// <typeparam name="T">The real type: <see cref="float"/> or <see cref="double"/>.</typeparam>
internal interface IReal<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>The real nearest to an integer.</summary>
    static abstract T From(int value);

    /// <summary>The real nearest to a 64-bit integer.</summary>
    static abstract T From(long value);

    /// <summary>The real nearest to a double, for constants and parameters.</summary>
    static abstract T From(double value);

    /// <summary>The largest integer not above a value that fits an int.</summary>
    static abstract int FloorToInt(T value);

    /// <summary>Square root.</summary>
    static abstract T Sqrt(T value);

    /// <summary>Natural exponential.</summary>
    static abstract T Exp(T value);

    /// <summary>Natural logarithm.</summary>
    static abstract T Log(T value);
}

/// <summary>float32 arithmetic of a kernel.</summary>
internal readonly struct Float32 : IReal<float>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float From(int value) => value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float From(long value) => value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float From(double value) => (float)value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int FloorToInt(float value) => (int)XMath.Floor(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sqrt(float value) => XMath.Sqrt(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Exp(float value) => XMath.Exp(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Log(float value) => XMath.Log(value);
}

/// <summary>float64 arithmetic of a kernel.</summary>
internal readonly struct Float64 : IReal<double>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double From(int value) => value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double From(long value) => value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double From(double value) => value;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int FloorToInt(double value) => (int)XMath.Floor(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Sqrt(double value) => XMath.Sqrt(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Exp(double value) => Float64Math.Exp(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Log(double value) => Float64Math.Log(value);
}
