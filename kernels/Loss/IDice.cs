namespace MeanShiftGpu.Kernels.Loss;

/// <summary>The launchers of one variant of the Dice loss over a whole batch.</summary>
/// <remarks>
/// L = 1 − (2·Σ p·t + 1) / (Σ p + Σ t + 1), over all elements of scores p and target t (the 1 keeps an empty
/// map defined). Both are dense and of the same arrangement. Launchers queue on the stream and do not wait;
/// one instance serves one stream at a time.
/// </remarks>
internal interface IDice<T> : IDisposable
    where T : unmanaged
{
    /// <summary>
    /// Elements of workspace that <see cref="Forward"/> needs; the content does not matter before or after.
    /// </summary>
    long WorkspaceLength(FlatShape shape);

    /// <summary>
    /// Overwrites loss [1] and sums [2], which <see cref="Backward"/> reads. Sums are taken in an order that
    /// depends on the shape alone.
    /// </summary>
    sealed void Forward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> target,
        ArrayView<T> workspace,
        ArrayView<T> sums,
        ArrayView<T> loss,
        FlatShape shape)
    {
        using Launch launch = Launch.Begin(stream, "Dice.Forward");
        launch.Least(shape.Count, 1, "count");
        launch.Require(scores, shape.Count, nameof(scores));
        launch.Require(target, shape.Count, nameof(target));
        launch.Require(workspace, WorkspaceLength(shape), nameof(workspace));
        launch.Require(sums, 2, nameof(sums));
        launch.Require(loss, 1, nameof(loss));
        LaunchForward(stream, scores, target, workspace, sums, loss, shape);
    }

    /// <summary>
    /// Overwrites gradScores with ∂L/∂p multiplied by gradLoss [1]. With B = Σ p + Σ t + 1: ∂L/∂p = (2·Σ p·t
    /// + 1)/B² − 2t/B.
    /// </summary>
    sealed void Backward(
        AcceleratorStream stream,
        ArrayView<T> target,
        ArrayView<T> sums,
        ArrayView<T> gradLoss,
        ArrayView<T> gradScores,
        FlatShape shape)
    {
        using Launch launch = Launch.Begin(stream, "Dice.Backward");
        launch.Least(shape.Count, 1, "count");
        launch.Require(target, shape.Count, nameof(target));
        launch.Require(sums, 2, nameof(sums));
        launch.Require(gradLoss, 1, nameof(gradLoss));
        launch.Require(gradScores, shape.Count, nameof(gradScores));
        LaunchBackward(stream, target, sums, gradLoss, gradScores, shape);
    }

    /// <summary>Queues <see cref="Forward"/>, whose arguments are checked.</summary>
    protected void LaunchForward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> target,
        ArrayView<T> workspace,
        ArrayView<T> sums,
        ArrayView<T> loss,
        FlatShape shape);

    /// <summary>Queues <see cref="Backward"/>, whose arguments are checked.</summary>
    protected void LaunchBackward(
        AcceleratorStream stream,
        ArrayView<T> target,
        ArrayView<T> sums,
        ArrayView<T> gradLoss,
        ArrayView<T> gradScores,
        FlatShape shape);
}
