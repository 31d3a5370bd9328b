using System.Runtime.Intrinsics;

namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>
/// A weighting on eight voxels at a time; the same functions as <see cref="IWeighting{T}"/>.
/// </summary>
internal interface IHostWeighting
{
    /// <summary>Whether the slope is 0 everywhere, so that the reverse chain needs W alone.</summary>
    static abstract bool IsFlat { get; }

    /// <summary>k of u².</summary>
    static abstract Vector256<float> Weight(Vector256<float> squaredRatio);

    /// <summary>k'(u)/u; 0 at u = 0.</summary>
    static abstract Vector256<float> Slope(Vector256<float> squaredRatio, Vector256<float> weight);
}

internal readonly struct HostFlat : IHostWeighting
{
    public static bool IsFlat => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Weight(Vector256<float> squaredRatio) => Vector256<float>.One;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Slope(Vector256<float> squaredRatio, Vector256<float> weight) => Vector256<float>.Zero;
}

internal readonly struct HostLinear : IHostWeighting
{
    public static bool IsFlat => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Weight(Vector256<float> squaredRatio) => Vector256.Sqrt(squaredRatio);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Slope(Vector256<float> squaredRatio, Vector256<float> weight)
        => Vector256<float>.One / weight & Vector256.GreaterThan(squaredRatio, Vector256<float>.Zero);
}

internal readonly struct HostCone : IHostWeighting
{
    public static bool IsFlat => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Weight(Vector256<float> squaredRatio) => Vector256<float>.One - Vector256.Sqrt(squaredRatio);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Slope(Vector256<float> squaredRatio, Vector256<float> weight)
        => Vector256.Create(-1f) / Vector256.Sqrt(squaredRatio) & Vector256.GreaterThan(squaredRatio, Vector256<float>.Zero);
}

internal readonly struct HostEpanechnikov : IHostWeighting
{
    public static bool IsFlat => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Weight(Vector256<float> squaredRatio) => Vector256<float>.One - squaredRatio;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Slope(Vector256<float> squaredRatio, Vector256<float> weight) => Vector256.Create(-2f);
}

internal readonly struct HostGaussian : IHostWeighting
{
    private const float InverseE = 0.36787944f;

    public static bool IsFlat => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Weight(Vector256<float> squaredRatio)
    {
        // exp(−2u²) = e⁻¹·exp(v), v = 1 − 2u². Inside the ball |v| ≤ 1, where eleven terms of the series
        // leave 3e-8; what lies outside is clamped, for it never counts. The runtime's vector exponential
        // takes ten times as long.
        Vector256<float> v = Vector256.Max(
            Vector256.MultiplyAddEstimate(squaredRatio, Vector256.Create(-2f), Vector256<float>.One),
            Vector256.Create(-1f));
        Vector256<float> sum = Vector256.Create(InverseE / 3628800);
        sum = Vector256.MultiplyAddEstimate(sum, v, Vector256.Create(InverseE / 362880));
        sum = Vector256.MultiplyAddEstimate(sum, v, Vector256.Create(InverseE / 40320));
        sum = Vector256.MultiplyAddEstimate(sum, v, Vector256.Create(InverseE / 5040));
        sum = Vector256.MultiplyAddEstimate(sum, v, Vector256.Create(InverseE / 720));
        sum = Vector256.MultiplyAddEstimate(sum, v, Vector256.Create(InverseE / 120));
        sum = Vector256.MultiplyAddEstimate(sum, v, Vector256.Create(InverseE / 24));
        sum = Vector256.MultiplyAddEstimate(sum, v, Vector256.Create(InverseE / 6));
        sum = Vector256.MultiplyAddEstimate(sum, v, Vector256.Create(InverseE / 2));
        sum = Vector256.MultiplyAddEstimate(sum, v, Vector256.Create(InverseE));
        return Vector256.MultiplyAddEstimate(sum, v, Vector256.Create(InverseE));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Slope(Vector256<float> squaredRatio, Vector256<float> weight)
        => Vector256.Create(-4f) * weight;
}

/// <summary>
/// A weighting that has no vectors of its own, voxel by voxel; what lies outside the ball never counts.
/// </summary>
internal readonly struct HostOneByOne<TWeighting> : IHostWeighting
    where TWeighting : struct, IWeighting<float>
{
    public static bool IsFlat => false;

    public static Vector256<float> Weight(Vector256<float> squaredRatio)
    {
        Vector256<float> weight = default;
        for (int i = 0; i < Vector256<float>.Count; i++)
            weight = weight.WithElement(i, TWeighting.Weight(MathF.Min(1, squaredRatio[i])));
        return weight;
    }

    public static Vector256<float> Slope(Vector256<float> squaredRatio, Vector256<float> weight)
    {
        Vector256<float> slope = default;
        for (int i = 0; i < Vector256<float>.Count; i++)
            slope = slope.WithElement(i, TWeighting.Slope(MathF.Min(1, squaredRatio[i]), weight[i]));
        return slope;
    }
}
