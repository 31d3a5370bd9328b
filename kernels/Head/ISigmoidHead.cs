namespace MeanShiftGpu.Kernels.Head;

/// <summary>
/// The launchers of one variant of the network's head: 1³ convolution, bias and sigmoid in one kernel.
/// </summary>
/// <remarks>
/// p[v,o] = max(σ(b[o] + Σ_i x[v,i]·w[i,o]), <see cref="ScoreRange.Floor"/>), σ(z) = 1/(1 + e^−z). Layouts:
/// input and gradInput [N,D,H,W,Cin] with pitch <see cref="SigmoidHeadShape.InputPitch"/>; scores and
/// gradScores [N,D,H,W,Outputs], dense; weight [Cin, Outputs]; bias [Outputs]. Backward passes use σ' = p(1 −
/// p) of the p that was written, as if there were no floor; it is 0 where float32 rounds p to 1.
/// </remarks>
/// <typeparam name="TActivation">What the input and its gradient hold: <typeparamref name="T"/>, or
/// <see cref="Bf16"/> beside float32.</typeparam>
/// <typeparam name="T">The real type of everything else.</typeparam>
internal interface ISigmoidHead<TActivation, T> : IDisposable
    where TActivation : unmanaged
    where T : unmanaged
{
    /// <summary>
    /// Elements of workspace that <see cref="BackwardWeight"/> needs; the content does not matter before or
    /// after.
    /// </summary>
    long WorkspaceLength(SigmoidHeadShape shape);

    /// <summary>Overwrites scores.</summary>
    sealed void Forward(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> scores,
        SigmoidHeadShape shape)
    {
        using Launch launch = Launch.Begin(stream, "SigmoidHead.Forward");
        shape.Check(launch);
        launch.RequireVoxels(input, shape.Voxels, shape.InputChannels, shape.InputPitch, nameof(input));
        launch.Require(weight, shape.WeightLength, nameof(weight));
        launch.Require(bias, shape.Outputs, nameof(bias));
        launch.Require(scores, shape.Voxels * shape.Outputs, nameof(scores));
        if (shape.Voxels == 0)
            return;
        LaunchForward(stream, input, weight, bias, scores, shape);
    }

    /// <summary>Overwrites gradInput.</summary>
    sealed void BackwardInput(
        AcceleratorStream stream, ArrayView<T> gradScores, ArrayView<T> scores, ArrayView<T> weight,
        ArrayView<TActivation> gradInput, SigmoidHeadShape shape)
    {
        using Launch launch = Launch.Begin(stream, "SigmoidHead.BackwardInput");
        shape.Check(launch);
        launch.Require(gradScores, shape.Voxels * shape.Outputs, nameof(gradScores));
        launch.Require(scores, shape.Voxels * shape.Outputs, nameof(scores));
        launch.Require(weight, shape.WeightLength, nameof(weight));
        launch.RequireVoxels(gradInput, shape.Voxels, shape.InputChannels, shape.InputPitch, nameof(gradInput));
        if (shape.Voxels == 0)
            return;
        LaunchBackwardInput(stream, gradScores, scores, weight, gradInput, shape);
    }

    /// <summary>Adds to gradWeight and gradBias, in an order that depends on the shape alone.</summary>
    sealed void BackwardWeight(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> gradScores, ArrayView<T> scores,
        ArrayView<T> workspace, ArrayView<T> gradWeight, ArrayView<T> gradBias, SigmoidHeadShape shape)
    {
        using Launch launch = Launch.Begin(stream, "SigmoidHead.BackwardWeight");
        shape.Check(launch);
        launch.RequireVoxels(input, shape.Voxels, shape.InputChannels, shape.InputPitch, nameof(input));
        launch.Require(gradScores, shape.Voxels * shape.Outputs, nameof(gradScores));
        launch.Require(scores, shape.Voxels * shape.Outputs, nameof(scores));
        launch.Require(workspace, WorkspaceLength(shape), nameof(workspace));
        launch.Require(gradWeight, shape.WeightLength, nameof(gradWeight));
        launch.Require(gradBias, shape.Outputs, nameof(gradBias));
        if (shape.Voxels == 0)
            return;
        LaunchBackwardWeight(stream, input, gradScores, scores, workspace, gradWeight, gradBias, shape);
    }

    /// <summary>Queues <see cref="Forward"/>, whose arguments are checked.</summary>
    protected void LaunchForward(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> scores,
        SigmoidHeadShape shape);

    /// <summary>Queues <see cref="BackwardInput"/>, whose arguments are checked.</summary>
    protected void LaunchBackwardInput(
        AcceleratorStream stream, ArrayView<T> gradScores, ArrayView<T> scores, ArrayView<T> weight,
        ArrayView<TActivation> gradInput, SigmoidHeadShape shape);

    /// <summary>Queues <see cref="BackwardWeight"/>, whose arguments are checked.</summary>
    protected void LaunchBackwardWeight(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> gradScores, ArrayView<T> scores,
        ArrayView<T> workspace, ArrayView<T> gradWeight, ArrayView<T> gradBias, SigmoidHeadShape shape);
}
