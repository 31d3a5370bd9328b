namespace MeanShiftGpu.Kernels.Optimizer;

/// <summary>The launchers of one variant of the Adam and AdamW optimiser.</summary>
/// <remarks>
/// Kingma and Ba 2015, with the decoupled weight decay of Loshchilov and Hutter 2019. With g =
/// factor·gradient: θ ← θ·(1 − αλ); m ← m + (1 − β₁)·(g − m); v ← β₂·v + (1 − β₂)·g²; θ ← θ − α/(1 − β₁ᵗ)·m /
/// (√v/√(1 − β₂ᵗ) + ε). Launchers queue on the stream and do not wait.
/// </remarks>
internal interface IAdam<T> : IDisposable
    where T : unmanaged
{
    /// <summary>Updates values, firstMoments and secondMoments in place, all [n]; both moments are 0 before
    /// the first step.</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="gradients">[n]; read only.</param>
    /// <param name="factor">[1]: multiplies every gradient, as <see cref="IGradientNorm{T}.ClipFactor"/>
    /// gives it. NaN makes everything NaN; below 0 (<see cref="IGradientNorm{T}.ClipFactorOrStop"/>) all
    /// stays as it is.</param>
    /// <param name="values">[n]: the parameters θ.</param>
    /// <param name="firstMoments">[n]: m.</param>
    /// <param name="secondMoments">[n]: v.</param>
    /// <param name="parameters">The settings of this step.</param>
    sealed void Step(
        AcceleratorStream stream,
        ArrayView<T> gradients,
        ArrayView<T> factor,
        ArrayView<T> values,
        ArrayView<T> firstMoments,
        ArrayView<T> secondMoments,
        AdamParameters parameters)
    {
        using Launch launch = Launch.Begin(stream, "Adam.Step");
        launch.Require(values, 0, nameof(values));
        launch.RequireExactly(gradients, values.Length, nameof(gradients));
        launch.RequireExactly(firstMoments, values.Length, nameof(firstMoments));
        launch.RequireExactly(secondMoments, values.Length, nameof(secondMoments));
        launch.Require(factor, 1, nameof(factor));
        if (values.Length == 0)
            return;
        LaunchStep(stream, gradients, factor, factor.SubView(0, 0), values, firstMoments, secondMoments, parameters);
    }

    /// <summary>The same with what follows from the step's settings in device memory, so that the launch is
    /// the same in every step.</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="gradients">[n]; read only.</param>
    /// <param name="factor">[1].</param>
    /// <param name="settings">[7], as <see cref="AdamFactors{T}.CopyTo"/> writes them.</param>
    /// <param name="values">[n].</param>
    /// <param name="firstMoments">[n].</param>
    /// <param name="secondMoments">[n].</param>
    sealed void Step(
        AcceleratorStream stream,
        ArrayView<T> gradients,
        ArrayView<T> factor,
        ArrayView<T> settings,
        ArrayView<T> values,
        ArrayView<T> firstMoments,
        ArrayView<T> secondMoments)
    {
        using Launch launch = Launch.Begin(stream, "Adam.Step");
        launch.Require(values, 0, nameof(values));
        launch.RequireExactly(gradients, values.Length, nameof(gradients));
        launch.RequireExactly(firstMoments, values.Length, nameof(firstMoments));
        launch.RequireExactly(secondMoments, values.Length, nameof(secondMoments));
        launch.Require(factor, 1, nameof(factor));
        launch.RequireExactly(settings, 7, nameof(settings));
        if (values.Length == 0)
            return;
        LaunchStep(stream, gradients, factor, settings, values, firstMoments, secondMoments, default);
    }

    /// <summary>Queues a step, with its settings in memory unless those are empty; arguments are
    /// checked.</summary>
    protected void LaunchStep(
        AcceleratorStream stream,
        ArrayView<T> gradients,
        ArrayView<T> factor,
        ArrayView<T> settings,
        ArrayView<T> values,
        ArrayView<T> firstMoments,
        ArrayView<T> secondMoments,
        AdamParameters parameters);
}
