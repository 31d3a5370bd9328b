namespace MeanShiftGpu.Kernels.Optimizer;

/// <summary>
/// The launchers of one variant of the gradient's Euclidean norm and the factor that clips it.
/// </summary>
/// <remarks>
/// norm = √Σ g², summed in a fixed order (the same bits on the same device, whatever the number of threads);
/// factor = min(1, maxNorm / (norm + 10⁻⁶)). Squares are summed in the real type: norms above about 10¹⁹
/// overflow float32 and count as infinite. Launchers queue on the stream and do not wait; one instance serves
/// one stream at a time.
/// </remarks>
internal interface IGradientNorm<T> : IDisposable
    where T : unmanaged
{
    /// <summary>Elements of workspace for <paramref name="count"/> gradients.</summary>
    long WorkspaceLength(long count);

    /// <summary>Overwrites norm and factor.</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="gradients">[n]; read only.</param>
    /// <param name="workspace">[<see cref="WorkspaceLength"/>(n)]: undefined before and after.</param>
    /// <param name="norm">[1]: the norm before clipping.</param>
    /// <param name="factor">[1]: what to multiply the gradients by; NaN where the norm is not finite.</param>
    /// <param name="maxNorm">The largest norm to let pass; 0 or less means no clipping, factor 1.</param>
    sealed void ClipFactor(
        AcceleratorStream stream,
        ArrayView<T> gradients,
        ArrayView<T> workspace,
        ArrayView<T> norm,
        ArrayView<T> factor,
        double maxNorm)
    {
        using Launch launch = Launch.Begin(stream, "GradientNorm.ClipFactor");
        launch.Require(gradients, 0, nameof(gradients));
        launch.Require(workspace, WorkspaceLength(gradients.Length), nameof(workspace));
        launch.Require(norm, 1, nameof(norm));
        launch.Require(factor, 1, nameof(factor));
        LaunchClipFactor(stream, gradients, workspace, norm.SubView(0, 0), norm, factor, maxNorm);
    }

    /// <summary>
    /// The same for a run that nobody watches step by step: where the norm or the loss is not finite the
    /// factor becomes −1, with which <see cref="IAdam{T}"/> changes nothing, and stays −1 until somebody sets
    /// another.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="gradients">[n]; read only.</param>
    /// <param name="workspace">[<see cref="WorkspaceLength"/>(n)]: undefined before and after.</param>
    /// <param name="loss">[1]; read only.</param>
    /// <param name="norm">[1]: the norm before clipping.</param>
    /// <param name="factor">[1]: that of the step before, below 0 where the run has stopped;
    /// overwritten.</param>
    /// <param name="maxNorm">The largest norm to let pass; 0 or less means no clipping, factor 1.</param>
    sealed void ClipFactorOrStop(
        AcceleratorStream stream,
        ArrayView<T> gradients,
        ArrayView<T> workspace,
        ArrayView<T> loss,
        ArrayView<T> norm,
        ArrayView<T> factor,
        double maxNorm)
    {
        using Launch launch = Launch.Begin(stream, "GradientNorm.ClipFactorOrStop");
        launch.Require(gradients, 0, nameof(gradients));
        launch.Require(workspace, WorkspaceLength(gradients.Length), nameof(workspace));
        launch.Require(loss, 1, nameof(loss));
        launch.Require(norm, 1, nameof(norm));
        launch.Require(factor, 1, nameof(factor));
        LaunchClipFactor(stream, gradients, workspace, loss.SubView(0, 1), norm, factor, maxNorm);
    }

    /// <summary>Queues <see cref="ClipFactorOrStop"/>, or <see cref="ClipFactor"/> where the loss is empty;
    /// arguments are checked.</summary>
    protected void LaunchClipFactor(
        AcceleratorStream stream,
        ArrayView<T> gradients,
        ArrayView<T> workspace,
        ArrayView<T> loss,
        ArrayView<T> norm,
        ArrayView<T> factor,
        double maxNorm);
}
