namespace MeanShiftGpu.Kernels.Loss;

/// <summary>The launchers of one variant of the binary cross-entropy, the mean over all elements.</summary>
/// <remarks>
/// L = −1/n · Σ t·log p + (1 − t)·log(1 − p), each logarithm taken as at least −100, so that a saturated map
/// has a finite loss. Scores p (0 to 1) and target t (0 to 1) are dense and of the same arrangement.
/// Launchers queue on the stream and do not wait; one instance serves one stream at a time.
/// </remarks>
internal interface IBinaryCrossEntropy<T> : IDisposable
    where T : unmanaged
{
    /// <summary>
    /// Elements of workspace that <see cref="Forward"/> needs; the content does not matter before or after.
    /// </summary>
    long WorkspaceLength(FlatShape shape);

    /// <summary>Overwrites loss [1]. The sum is taken in an order that depends on the shape alone.</summary>
    sealed void Forward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> target,
        ArrayView<T> workspace,
        ArrayView<T> loss,
        FlatShape shape)
    {
        using Launch launch = Launch.Begin(stream, "BinaryCrossEntropy.Forward");
        launch.Least(shape.Count, 1, "count");
        launch.Require(scores, shape.Count, nameof(scores));
        launch.Require(target, shape.Count, nameof(target));
        launch.Require(workspace, WorkspaceLength(shape), nameof(workspace));
        launch.Require(loss, 1, nameof(loss));
        LaunchForward(stream, scores, target, workspace, loss, shape);
    }

    /// <summary>
    /// Overwrites gradScores with (p − t) / max(p·(1 − p), 1e−12) / n, multiplied by gradLoss [1]: the
    /// convention of libtorch, which does not follow the clamp of the logarithms.
    /// </summary>
    sealed void Backward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> target,
        ArrayView<T> gradLoss,
        ArrayView<T> gradScores,
        FlatShape shape)
    {
        using Launch launch = Launch.Begin(stream, "BinaryCrossEntropy.Backward");
        launch.Least(shape.Count, 1, "count");
        launch.Require(scores, shape.Count, nameof(scores));
        launch.Require(target, shape.Count, nameof(target));
        launch.Require(gradLoss, 1, nameof(gradLoss));
        launch.Require(gradScores, shape.Count, nameof(gradScores));
        LaunchBackward(stream, scores, target, gradLoss, gradScores, shape);
    }

    /// <summary>Queues <see cref="Forward"/>, whose arguments are checked.</summary>
    protected void LaunchForward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> target,
        ArrayView<T> workspace,
        ArrayView<T> loss,
        FlatShape shape);

    /// <summary>Queues <see cref="Backward"/>, whose arguments are checked.</summary>
    protected void LaunchBackward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> target,
        ArrayView<T> gradLoss,
        ArrayView<T> gradScores,
        FlatShape shape);
}
