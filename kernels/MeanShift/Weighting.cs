namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>
/// How much a voxel at distance d = u·b from a point counts in its mean; 0 for d ≥ b, always. Cone and
/// Epanechnikov are 0 at the rim itself, so that their gradient misses nothing.
/// </summary>
public enum Weighting
{
    /// <summary>k = 1: what the authors' published program does.</summary>
    Flat,

    /// <summary>k = u: the paper's Algorithm 1 taken literally.</summary>
    Linear,

    /// <summary>k = 1 − u.</summary>
    Cone,

    /// <summary>k = 1 − u².</summary>
    Epanechnikov,

    /// <summary>k = exp(−d²/2σ²), σ = b/2, that is exp(−2u²).</summary>
    Gaussian,
}

/// <summary>
/// A weighting as a type parameter of the kernels, so that each compiles to its own code. Everything is a
/// function of u² = d²/b², which saves the square root where the weighting does not need it.
/// </summary>
internal interface IWeighting<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>k.</summary>
    static abstract T Weight(T squaredRatio);

    /// <summary>k'(u)/u, so that ∇ₚk = Slope·(p − q)/b²; 0 at u = 0.</summary>
    static abstract T Slope(T squaredRatio, T weight);
}

/// <summary>What is made for a weighting, whose struct is a type argument of it.</summary>
internal interface IWeightingUse<T, TResult>
    where T : unmanaged, INumber<T>
{
    /// <summary>Makes it.</summary>
    TResult With<TWeighting>()
        where TWeighting : struct, IWeighting<T>;
}

/// <summary>The one place that ties a weighting to its struct.</summary>
internal static class Weightings
{
    /// <summary>Makes something for a weighting.</summary>
    public static TResult For<T, TReal, TResult>(Weighting weighting, IWeightingUse<T, TResult> use)
        where T : unmanaged, INumber<T>
        where TReal : struct, IReal<T>
        => weighting switch
        {
            Weighting.Flat => use.With<FlatWeighting<T, TReal>>(),
            Weighting.Linear => use.With<LinearWeighting<T, TReal>>(),
            Weighting.Cone => use.With<ConeWeighting<T, TReal>>(),
            Weighting.Epanechnikov => use.With<EpanechnikovWeighting<T, TReal>>(),
            Weighting.Gaussian => use.With<GaussianWeighting<T, TReal>>(),
            _ => throw UnknownValue.Of(weighting),
        };
}

/// <summary><see cref="Weighting.Flat"/>.</summary>
internal readonly struct FlatWeighting<T, TReal> : IWeighting<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Weight(T squaredRatio) => T.One;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Slope(T squaredRatio, T weight) => T.Zero;
}

/// <summary><see cref="Weighting.Linear"/>.</summary>
internal readonly struct LinearWeighting<T, TReal> : IWeighting<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Weight(T squaredRatio) => TReal.Sqrt(squaredRatio);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Slope(T squaredRatio, T weight) => squaredRatio > T.Zero ? T.One / weight : T.Zero;
}

/// <summary><see cref="Weighting.Cone"/>.</summary>
internal readonly struct ConeWeighting<T, TReal> : IWeighting<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Weight(T squaredRatio) => T.One - TReal.Sqrt(squaredRatio);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Slope(T squaredRatio, T weight) => squaredRatio > T.Zero ? -T.One / TReal.Sqrt(squaredRatio) : T.Zero;
}

/// <summary><see cref="Weighting.Epanechnikov"/>.</summary>
internal readonly struct EpanechnikovWeighting<T, TReal> : IWeighting<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Weight(T squaredRatio) => T.One - squaredRatio;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Slope(T squaredRatio, T weight) => TReal.From(-2);
}

/// <summary><see cref="Weighting.Gaussian"/>.</summary>
internal readonly struct GaussianWeighting<T, TReal> : IWeighting<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Weight(T squaredRatio) => TReal.Exp(TReal.From(-2) * squaredRatio);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Slope(T squaredRatio, T weight) => TReal.From(-4) * weight;
}
