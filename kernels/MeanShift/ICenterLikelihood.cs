namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>
/// The launchers of one variant of the soft likelihood at annotated centres: what keeps a score map from
/// vanishing where it is known to be wanted.
/// </summary>
/// <remarks>
/// L is the mean over the items that have centres of the mean over an item's centres of log(1 + τ/s(c)), 0 if
/// no item has one; s(c) is the score at the centre, trilinear between voxels, and a centre outside the
/// volume counts at the nearest point inside. ∂L/∂s(c) = −τ/(s(c)·(s(c) + τ)), times the mean's weight: on
/// the logit of a sigmoid −(1 − s)·τ/(s + τ), about −1 where the centre is dead and next to 0 where it is
/// alive. Scores must be above 0, as the head's floor makes them: a score of 0 makes the loss infinite.
/// Layouts: scores and gradScores [N,D,H,W] at <see cref="CenterLikelihoodShape.ScorePitch"/>; centerScores
/// [M]. Launchers queue on the stream and do not wait; one instance serves one stream at a time. Offsets are
/// checked as in <see cref="IMeanShift{T}"/>.
/// </remarks>
internal interface ICenterLikelihood<T> : IDisposable
    where T : unmanaged
{
    /// <summary>
    /// Overwrites loss, and centerScores with s(c) of every centre, which the backward pass reads; centres
    /// from Offsets[N] on get 0.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="scores">[N, D, H, W] at ScorePitch.</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="centerScores">[M].</param>
    /// <param name="loss">[1].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="softScore">τ, above 0: the score below which a centre counts as dead.</param>
    sealed void Forward(
        AcceleratorStream stream, ArrayView<T> scores, CenterViews<T> centers, ArrayView<T> centerScores, ArrayView<T> loss,
        CenterLikelihoodShape shape, double softScore)
    {
        using Launch launch = Launch.Begin(stream, "CenterLikelihood.Forward");
        Check(launch, scores, nameof(scores), centers, centerScores, shape, softScore);
        launch.Require(loss, 1, nameof(loss));
        LaunchForward(stream, scores, centers, centerScores, loss, shape, softScore);
    }

    /// <summary>
    /// Overwrites gradScores with the gradient times gradLoss [1]. Its sums have a fixed order, so the bits
    /// repeat.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="gradLoss">[1], the upstream gradient.</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="centerScores">[M], from the forward pass.</param>
    /// <param name="gradScores">[N, D, H, W] at ScorePitch; other channels are left alone.</param>
    /// <param name="shape">Extents.</param>
    /// <param name="softScore">τ.</param>
    sealed void Backward(
        AcceleratorStream stream, ArrayView<T> gradLoss, CenterViews<T> centers, ArrayView<T> centerScores,
            ArrayView<T> gradScores,
        CenterLikelihoodShape shape, double softScore)
        => CheckAndQueue("CenterLikelihood.Backward", stream, gradLoss, centers, centerScores, gradScores, shape, softScore,
            overwrite: true);

    /// <summary>
    /// As <see cref="Backward"/>, but adds to gradScores: few voxels of a map change, so that writing it
    /// aside would cost more than the pass.
    /// </summary>
    sealed void BackwardAdd(
        AcceleratorStream stream, ArrayView<T> gradLoss, CenterViews<T> centers, ArrayView<T> centerScores,
            ArrayView<T> gradScores,
        CenterLikelihoodShape shape, double softScore)
        => CheckAndQueue("CenterLikelihood.BackwardAdd", stream, gradLoss, centers, centerScores, gradScores, shape, softScore,
            overwrite: false);

    /// <summary>Queues <see cref="Forward"/>, whose arguments are checked.</summary>
    protected void LaunchForward(
        AcceleratorStream stream, ArrayView<T> scores, CenterViews<T> centers, ArrayView<T> centerScores, ArrayView<T> loss,
        CenterLikelihoodShape shape, double softScore);

    /// <summary>
    /// Queues <see cref="Backward"/> or <see cref="BackwardAdd"/>, whose arguments are checked.
    /// </summary>
    protected void LaunchBackward(
        AcceleratorStream stream, ArrayView<T> gradLoss, CenterViews<T> centers, ArrayView<T> centerScores,
            ArrayView<T> gradScores,
        CenterLikelihoodShape shape, double softScore, bool overwrite);

    private void CheckAndQueue(
        string name, AcceleratorStream stream, ArrayView<T> gradLoss, CenterViews<T> centers, ArrayView<T> centerScores,
            ArrayView<T> gradScores,
        CenterLikelihoodShape shape, double softScore, bool overwrite)
    {
        using Launch launch = Launch.Begin(stream, name);
        Check(launch, gradScores, nameof(gradScores), centers, centerScores, shape, softScore);
        launch.Require(gradLoss, 1, nameof(gradLoss));
        LaunchBackward(stream, gradLoss, centers, centerScores, gradScores, shape, softScore, overwrite);
    }

    private static void Check(
        in Launch launch, ArrayView<T> map, string mapName, CenterViews<T> centers, ArrayView<T> centerScores,
            CenterLikelihoodShape shape,
        double softScore)
    {
        shape.Check(launch);
        launch.Within(softScore, 1e-6, 1, nameof(softScore));
        launch.Require(map, shape.ScoreLength, mapName);
        long count = centers.Positions.Length / 3;
        launch.Require(centerScores, count, nameof(centerScores));
        launch.FitsInt(count * 8, "corners of all centres");
        CenterChecks.RequireOffsets(launch, centers, count, shape.Batch);
    }
}
