namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>
/// The launchers of one variant of the differentiable mean shift (Lamm, Righetto, Peng, "Mean Shift
/// clustering as a loss function", Algorithm 1, in offset form) and of the loss between its end points and
/// true centres.
/// </summary>
/// <remarks>
/// One iteration moves a point p by Σ_q m_q·(q − p) / W with m_q = (s_q + s₀)·k(|p − q|/b), W = Σ_q m_q, over
/// every voxel q of the volume at a distance below b; where W = 0 the point stays. Positions are (z, y, x) in
/// voxels. Layouts: scores and gradScores [N,D,H,W] at <see cref="MeanShiftShape.ScorePitch"/>; trajectory
/// [T+1,N,S,3]. Launchers queue on the stream and do not wait; one instance serves one stream at a time. On
/// the CPU device a call with offsets or pairs that point outside is refused; on a GPU, where looking would
/// wait for the stream, they must be right. The workspace may hold anything and is left holding anything; a
/// launcher holds no other memory.
/// <para> Scores that are not finite: where one lies in the ball of a seed, under any weighting, or where
/// sums over a ball overflow the real type, the point becomes NaN and stays NaN, and so the loss is NaN. The
/// gradient is then NaN in the whole item, or, where only the last shift met it, in the voxels of that ball:
/// a loss that scores make NaN never comes with a gradient that is finite. Scores that no ball reaches are
/// not looked at. A given seed so far outside that its squared distance overflows makes the loss infinite,
/// and adds nothing to the gradient. Where W is so small that 1/W overflows (a float32 W below 3·10⁻³⁹, which
/// a score floor rules out), the loss is finite and the gradient, which is as large, is not.
/// </para>
/// </remarks>
internal interface IMeanShift<T> : IDisposable
    where T : unmanaged
{
    /// <summary>Bytes of workspace that every launcher which takes one needs: one size fits all.</summary>
    /// <param name="shape">Extents.</param>
    /// <param name="parameters">Bandwidth, floor, weighting.</param>
    /// <param name="centers">M, the rows of centers that <see cref="LossForward"/> will get; the others take
    /// none.</param>
    long WorkspaceBytes(MeanShiftShape shape, MeanShiftParameters parameters, long centers);

    /// <summary>
    /// Draws S seeds per item, uniform in balls around the item's centres in turn, clipped to the margin
    /// inside the volume (or to its middle, where the volume is too thin). An item without centres gets all
    /// its seeds at the volume's middle. Overwrites seeds.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="seeds">[N, S, 3].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="sampling">Radius, margin and random counters.</param>
    sealed void SampleSeeds(
        AcceleratorStream stream,
        CenterViews<T> centers,
        ArrayView<T> seeds,
        MeanShiftShape shape,
        SeedSampling sampling)
    {
        using Launch launch = Launch.Begin(stream, "MeanShift.SampleSeeds");
        CheckSampling(launch, centers, seeds, shape, sampling);
        LaunchSampleSeeds(stream, centers, centers.Offsets.SubView(0, 0), seeds, shape, sampling);
    }

    /// <summary>The same with the training step in device memory, so that the launch is the same in every
    /// step.</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="step">[1]: takes the place of the sampling's.</param>
    /// <param name="seeds">[N, S, 3].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="sampling">Radius, margin and random counters.</param>
    sealed void SampleSeeds(
        AcceleratorStream stream,
        CenterViews<T> centers,
        ArrayView<int> step,
        ArrayView<T> seeds,
        MeanShiftShape shape,
        SeedSampling sampling)
    {
        using Launch launch = Launch.Begin(stream, "MeanShift.SampleSeeds");
        launch.Require(step, 1, nameof(step));
        CheckSampling(launch, centers, seeds, shape, sampling);
        LaunchSampleSeeds(stream, centers, step.SubView(0, 1), seeds, shape, sampling);
    }

    private static void CheckSampling(in Launch launch, CenterViews<T> centers, ArrayView<T> seeds, MeanShiftShape shape,
        SeedSampling sampling)
    {
        shape.Check(launch);
        launch.Within(sampling.RadiusVoxels, 0, SeedSampling.MaxRadiusVoxels, nameof(sampling.RadiusVoxels));
        launch.Within(sampling.MarginVoxels, 0, SeedSampling.MaxRadiusVoxels, nameof(sampling.MarginVoxels));
        CenterChecks.Require(launch, centers, shape);
        launch.Require(seeds, shape.Points * 3, nameof(seeds));
    }

    /// <summary>
    /// Shifts every seed T times, in one launch. Overwrites trajectory, whose first [N, S, 3] become the
    /// seeds.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="scores">[N, D, H, W] at ScorePitch.</param>
    /// <param name="seeds">[N, S, 3]; may be the beginning of the trajectory itself.</param>
    /// <param name="trajectory">[T + 1, N, S, 3].</param>
    /// <param name="workspace">[<see cref="WorkspaceBytes"/>].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="parameters">Bandwidth, floor, weighting.</param>
    sealed void Forward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> seeds,
        ArrayView<T> trajectory,
        ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters)
    {
        using Launch launch = Launch.Begin(stream, "MeanShift.Forward");
        shape.Check(launch);
        parameters.Check(launch);
        launch.Require(scores, shape.ScoreLength, nameof(scores));
        launch.Require(seeds, shape.Points * 3, nameof(seeds));
        launch.Require(trajectory, shape.TrajectoryLength, nameof(trajectory));
        launch.Require(workspace, WorkspaceBytes(shape, parameters, centers: 0), nameof(workspace));
        LaunchForward(stream, scores, seeds, trajectory, workspace, shape, parameters);
    }

    /// <summary>
    /// Per item: the mean over its centres of the distance to the nearest point, plus the mean over its
    /// points of the distance to the nearest centre; the loss is the mean over the items that have centres, 0
    /// if none has. Of equally near ones the first counts. Overwrites loss and nearest; centres from
    /// Offsets[N] on belong to no item.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="positions">[N, S, 3], the last part of a trajectory.</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="nearest">Gets the nearest centre of each point and the nearest point of each
    /// centre.</param>
    /// <param name="loss">[1].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="distance">Euclidean or squared.</param>
    sealed void CenterLossForward(
        AcceleratorStream stream,
        ArrayView<T> positions,
        CenterViews<T> centers,
        NearestPairs nearest,
        ArrayView<T> loss,
        MeanShiftShape shape,
        CenterDistance distance)
    {
        using Launch launch = Launch.Begin(stream, "MeanShift.CenterLossForward");
        shape.Check(launch);
        launch.Require(positions, shape.Points * 3, nameof(positions));
        CenterChecks.Require(launch, centers, nearest, shape);
        launch.Require(loss, 1, nameof(loss));
        LaunchCenterLossForward(stream, positions, centers, nearest, loss, shape, distance);
    }

    /// <summary>
    /// The gradient of the centre loss with respect to the points; 0 where a point lies on its centre.
    /// Overwrites gradPositions.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="gradLoss">[1], the upstream gradient.</param>
    /// <param name="positions">[N, S, 3].</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="nearest">From the forward pass.</param>
    /// <param name="gradPositions">[N, S, 3].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="distance">Euclidean or squared.</param>
    sealed void CenterLossBackward(
        AcceleratorStream stream,
        ArrayView<T> gradLoss,
        ArrayView<T> positions,
        CenterViews<T> centers,
        NearestPairs nearest,
        ArrayView<T> gradPositions,
        MeanShiftShape shape,
        CenterDistance distance)
    {
        using Launch launch = Launch.Begin(stream, "MeanShift.CenterLossBackward");
        shape.Check(launch);
        launch.Require(gradLoss, 1, nameof(gradLoss));
        launch.Require(positions, shape.Points * 3, nameof(positions));
        CenterChecks.Require(launch, centers, nearest, shape);
        CenterChecks.RequirePairs(launch, centers, nearest, shape);
        launch.Require(gradPositions, shape.Points * 3, nameof(gradPositions));
        LaunchCenterLossBackward(stream, gradLoss, positions, centers, nearest, gradPositions, shape, distance);
    }

    /// <summary>
    /// The gradient of the score map from the gradient of the end points, through every iteration, with each
    /// ball's set of voxels taken as fixed (as automatic differentiation does). Overwrites gradScores; its
    /// sums have a fixed order, so the bits repeat.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="scores">[N, D, H, W] at ScorePitch.</param>
    /// <param name="trajectory">[T + 1, N, S, 3], from the forward pass.</param>
    /// <param name="gradPositions">[N, S, 3].</param>
    /// <param name="gradScores">[N, D, H, W] at ScorePitch; other channels are left alone.</param>
    /// <param name="workspace">[<see cref="WorkspaceBytes"/>].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="parameters">Bandwidth, floor, weighting.</param>
    sealed void Backward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> trajectory,
        ArrayView<T> gradPositions,
        ArrayView<T> gradScores,
        ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters)
    {
        using Launch launch = Launch.Begin(stream, "MeanShift.Backward");
        shape.Check(launch);
        parameters.Check(launch);
        launch.Require(scores, shape.ScoreLength, nameof(scores));
        launch.Require(trajectory, shape.TrajectoryLength, nameof(trajectory));
        launch.Require(gradPositions, shape.Points * 3, nameof(gradPositions));
        launch.Require(gradScores, shape.ScoreLength, nameof(gradScores));
        launch.Require(workspace, WorkspaceBytes(shape, parameters, centers: 0), nameof(workspace));
        LaunchBackward(stream, scores, trajectory, gradPositions, gradScores, workspace, shape, parameters);
    }

    /// <summary>
    /// <see cref="Forward"/> and <see cref="CenterLossForward"/> of its end points, in as few launches as the
    /// variant can. Overwrites trajectory, nearest and loss.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="scores">[N, D, H, W] at ScorePitch.</param>
    /// <param name="seeds">[N, S, 3]; may be the beginning of the trajectory itself.</param>
    /// <param name="trajectory">[T + 1, N, S, 3].</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="nearest">Gets the nearest centre of each point and the nearest point of each
    /// centre.</param>
    /// <param name="loss">[1].</param>
    /// <param name="workspace">[<see cref="WorkspaceBytes"/>].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="parameters">Bandwidth, floor, weighting.</param>
    /// <param name="distance">Euclidean or squared.</param>
    sealed void LossForward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> seeds,
        ArrayView<T> trajectory,
        CenterViews<T> centers,
        NearestPairs nearest,
        ArrayView<T> loss,
        ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters,
        CenterDistance distance)
    {
        using Launch launch = Launch.Begin(stream, "MeanShift.LossForward");
        shape.Check(launch);
        parameters.Check(launch);
        launch.Require(scores, shape.ScoreLength, nameof(scores));
        launch.Require(seeds, shape.Points * 3, nameof(seeds));
        launch.Require(trajectory, shape.TrajectoryLength, nameof(trajectory));
        CenterChecks.Require(launch, centers, nearest, shape);
        launch.Require(loss, 1, nameof(loss));
        launch.Require(workspace, WorkspaceBytes(shape, parameters, nearest.Points.Length), nameof(workspace));
        LaunchLossForward(stream, scores, seeds, trajectory, centers, nearest, loss, workspace, shape, parameters, distance);
    }

    /// <summary>
    /// <see cref="CenterLossBackward"/> and <see cref="Backward"/> from there, in as few launches as the
    /// variant can. Overwrites gradScores.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="gradLoss">[1], the upstream gradient.</param>
    /// <param name="scores">[N, D, H, W] at ScorePitch.</param>
    /// <param name="trajectory">[T + 1, N, S, 3], from the forward pass.</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="nearest">From the forward pass.</param>
    /// <param name="gradPositions">[N, S, 3], scratch: left holding anything.</param>
    /// <param name="gradScores">[N, D, H, W] at ScorePitch; other channels are left alone.</param>
    /// <param name="workspace">[<see cref="WorkspaceBytes"/>].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="parameters">Bandwidth, floor, weighting.</param>
    /// <param name="distance">Euclidean or squared.</param>
    sealed void LossBackward(
        AcceleratorStream stream,
        ArrayView<T> gradLoss,
        ArrayView<T> scores,
        ArrayView<T> trajectory,
        CenterViews<T> centers,
        NearestPairs nearest,
        ArrayView<T> gradPositions,
        ArrayView<T> gradScores,
        ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters,
        CenterDistance distance)
    {
        using Launch launch = Launch.Begin(stream, "MeanShift.LossBackward");
        shape.Check(launch);
        parameters.Check(launch);
        launch.Require(gradLoss, 1, nameof(gradLoss));
        launch.Require(scores, shape.ScoreLength, nameof(scores));
        launch.Require(trajectory, shape.TrajectoryLength, nameof(trajectory));
        CenterChecks.Require(launch, centers, nearest, shape);
        CenterChecks.RequirePairs(launch, centers, nearest, shape);
        launch.Require(gradPositions, shape.Points * 3, nameof(gradPositions));
        launch.Require(gradScores, shape.ScoreLength, nameof(gradScores));
        launch.Require(workspace, WorkspaceBytes(shape, parameters, nearest.Points.Length), nameof(workspace));
        LaunchLossBackward(
            stream, gradLoss, scores, trajectory, centers, nearest, gradPositions, gradScores, workspace, shape, parameters,
            distance);
    }

    /// <summary>
    /// Shifts each of P points of one volume (Batch = 1) until a shift is shorter than the tolerance, at most
    /// Iterations times, in one launch: the clustering of inference. SeedsPerItem is not read. Overwrites
    /// converged, iterations and support.
    /// </summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="scores">[D, H, W] at ScorePitch.</param>
    /// <param name="positions">[P, 3].</param>
    /// <param name="converged">[P, 3]; may be positions itself.</param>
    /// <param name="iterations">[P], shifts done, the last short one included.</param>
    /// <param name="support">[P], W of the last shift: the weighted score mass around the end point.</param>
    /// <param name="workspace">[<see cref="WorkspaceBytes"/>].</param>
    /// <param name="shape">Extents, and the largest number of iterations.</param>
    /// <param name="parameters">Bandwidth, floor, weighting.</param>
    /// <param name="toleranceVoxels">A shift shorter than this is the last.</param>
    sealed void Converge(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> positions,
        ArrayView<T> converged,
        ArrayView<int> iterations,
        ArrayView<T> support,
        ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters,
        double toleranceVoxels)
    {
        using Launch launch = Launch.Begin(stream, "MeanShift.Converge");
        // There are no seeds, whatever the shape says: the points are the caller's. Without any a shape would
        // be refused elsewhere.
        (shape with { SeedsPerItem = 1 }).Check(launch);
        shape = shape with { SeedsPerItem = 0 };
        parameters.Check(launch);
        if (shape.Batch != 1)
            throw launch.Refusal(nameof(shape), $"has {shape.Batch} volumes, expected 1.");
        launch.Require(scores, shape.ScoreLength, nameof(scores));
        launch.FitsInt(iterations.Length, "points");
        launch.Require(iterations, 0, nameof(iterations));
        launch.Require(positions, iterations.Length * 3, nameof(positions));
        launch.Require(converged, iterations.Length * 3, nameof(converged));
        launch.Require(support, iterations.Length, nameof(support));
        launch.Within(toleranceVoxels, 0, double.MaxValue, nameof(toleranceVoxels));
        launch.Require(workspace, WorkspaceBytes(shape, parameters, centers: 0), nameof(workspace));
        if (iterations.Length == 0)
            return;
        LaunchConverge(stream, scores, positions, converged, iterations, support, workspace, shape, parameters, toleranceVoxels);
    }

    /// <summary>Queues the sampling of seeds, with the step in memory unless that is empty; arguments are
    /// checked.</summary>
    protected void LaunchSampleSeeds(
        AcceleratorStream stream,
        CenterViews<T> centers,
        ArrayView<int> step,
        ArrayView<T> seeds,
        MeanShiftShape shape,
        SeedSampling sampling);

    /// <summary>Queues <see cref="Forward"/>, whose arguments are checked.</summary>
    protected void LaunchForward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> seeds,
        ArrayView<T> trajectory,
        ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters);

    /// <summary>Queues <see cref="CenterLossForward"/>, whose arguments are checked.</summary>
    protected void LaunchCenterLossForward(
        AcceleratorStream stream,
        ArrayView<T> positions,
        CenterViews<T> centers,
        NearestPairs nearest,
        ArrayView<T> loss,
        MeanShiftShape shape,
        CenterDistance distance);

    /// <summary>Queues <see cref="CenterLossBackward"/>, whose arguments are checked.</summary>
    protected void LaunchCenterLossBackward(
        AcceleratorStream stream,
        ArrayView<T> gradLoss,
        ArrayView<T> positions,
        CenterViews<T> centers,
        NearestPairs nearest,
        ArrayView<T> gradPositions,
        MeanShiftShape shape,
        CenterDistance distance);

    /// <summary>Queues <see cref="Backward"/>, whose arguments are checked.</summary>
    protected void LaunchBackward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> trajectory,
        ArrayView<T> gradPositions,
        ArrayView<T> gradScores,
        ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters);

    /// <summary>Queues <see cref="LossForward"/>, whose arguments are checked.</summary>
    protected void LaunchLossForward(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> seeds,
        ArrayView<T> trajectory,
        CenterViews<T> centers,
        NearestPairs nearest,
        ArrayView<T> loss,
        ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters,
        CenterDistance distance)
    {
        Forward(stream, scores, seeds, trajectory, workspace, shape, parameters);
        CenterLossForward(stream, shape.Ends(trajectory), centers, nearest, loss, shape, distance);
    }

    /// <summary>Queues <see cref="LossBackward"/>, whose arguments are checked.</summary>
    protected void LaunchLossBackward(
        AcceleratorStream stream,
        ArrayView<T> gradLoss,
        ArrayView<T> scores,
        ArrayView<T> trajectory,
        CenterViews<T> centers,
        NearestPairs nearest,
        ArrayView<T> gradPositions,
        ArrayView<T> gradScores,
        ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters,
        CenterDistance distance)
    {
        CenterLossBackward(stream, gradLoss, shape.Ends(trajectory), centers, nearest, gradPositions, shape, distance);
        Backward(stream, scores, trajectory, gradPositions, gradScores, workspace, shape, parameters);
    }

    /// <summary>Queues <see cref="Converge"/>, whose arguments are checked.</summary>
    protected void LaunchConverge(
        AcceleratorStream stream,
        ArrayView<T> scores,
        ArrayView<T> positions,
        ArrayView<T> converged,
        ArrayView<int> iterations,
        ArrayView<T> support,
        ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters,
        double toleranceVoxels);
}
