namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The launchers of one variant of the 3D convolution: stride 1, zero padding, bias, fused activation.
/// </summary>
/// <remarks>
/// y[n,z,y,x,o] = act(b[o] + Σ_{k,i} x[n,z+kz−p,y+ky−p,x+kx−p,i]·w[kz,ky,kx,i,o]), p = KernelSize/2.
/// Layouts: input and gradInput [N,D,H,W,Cin] with pitch <see cref="Conv3dShape.InputPitch"/>; output and
/// gradOutput [N,D,H,W,Cout] with pitch <see cref="Conv3dShape.OutputPitch"/>; weight [k,k,k,Cin,Cout]; bias
/// [Cout]. Backward passes take the forward pass's output to mask gradOutput where ReLU was applied; with
/// <see cref="Activation.None"/> it is not read.
/// </remarks>
/// <typeparam name="TActivation">How activations and their gradients lie in memory: <typeparamref name="T"/>,
/// or <see cref="Bf16"/> beside float32 parameters.</typeparam>
/// <typeparam name="T">The real type of parameters and their gradients.</typeparam>
internal interface IConv3d<TActivation, T> : IDisposable
    where TActivation : unmanaged
    where T : unmanaged
{
    /// <summary>Overwrites output.</summary>
    sealed void Forward(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> weight, ArrayView<T> bias,
        ArrayView<TActivation> output, Conv3dShape shape,
        ArrayView<T> workspace = default)
    {
        using Launch launch = Launch.Begin(stream, "Conv3d.Forward");
        long voxels = shape.Check(launch);
        launch.RequireVoxels(input, voxels, shape.InputChannels, shape.InputPitch, nameof(input));
        launch.RequireVoxels(output, voxels, shape.OutputChannels, shape.OutputPitch, nameof(output));
        launch.Require(weight, shape.WeightLength, nameof(weight));
        launch.Require(bias, shape.OutputChannels, nameof(bias));
        if (voxels == 0)
            return;
        using LentMemory.Loan loan = Lend(launch, workspace, shape);
        LaunchForward(stream, input, weight, bias, output, shape);
    }

    /// <summary>Overwrites gradInput.</summary>
    sealed void BackwardInput(
        AcceleratorStream stream, ArrayView<TActivation> gradOutput, ArrayView<TActivation> output, ArrayView<T> weight,
        ArrayView<TActivation> gradInput, Conv3dShape shape,
        ArrayView<T> workspace = default)
    {
        using Launch launch = Launch.Begin(stream, "Conv3d.BackwardInput");
        long voxels = shape.Check(launch);
        launch.RequireVoxels(gradOutput, voxels, shape.OutputChannels, shape.OutputPitch, nameof(gradOutput));
        launch.RequireVoxels(output, shape.MaskedVoxels, shape.OutputChannels, shape.OutputPitch, nameof(output));
        launch.Require(weight, shape.WeightLength, nameof(weight));
        launch.RequireVoxels(gradInput, voxels, shape.InputChannels, shape.InputPitch, nameof(gradInput));
        if (voxels == 0)
            return;
        using LentMemory.Loan loan = Lend(launch, workspace, shape);
        LaunchBackwardInput(stream, gradOutput, output, weight, gradInput, shape);
    }

    /// <summary>Adds to gradWeight and gradBias.</summary>
    sealed void BackwardWeight(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<TActivation> gradOutput,
        ArrayView<TActivation> output, ArrayView<T> gradWeight, ArrayView<T> gradBias, Conv3dShape shape,
        ArrayView<T> workspace = default)
    {
        using Launch launch = Launch.Begin(stream, "Conv3d.BackwardWeight");
        long voxels = shape.Check(launch);
        launch.RequireVoxels(input, voxels, shape.InputChannels, shape.InputPitch, nameof(input));
        launch.RequireVoxels(gradOutput, voxels, shape.OutputChannels, shape.OutputPitch, nameof(gradOutput));
        launch.RequireVoxels(output, shape.MaskedVoxels, shape.OutputChannels, shape.OutputPitch, nameof(output));
        launch.Require(gradWeight, shape.WeightLength, nameof(gradWeight));
        launch.Require(gradBias, shape.OutputChannels, nameof(gradBias));
        if (voxels == 0)
            return;
        using LentMemory.Loan loan = Lend(launch, workspace, shape);
        LaunchBackwardWeight(stream, input, gradOutput, output, gradWeight, gradBias, shape);
    }

    /// <summary>Bytes of workspace that suffice for every pass of a shape.</summary>
    sealed long WorkspaceBytes(AcceleratorStream stream, Conv3dShape shape)
    {
        using Launch launch = Launch.Begin(stream, "Conv3d.WorkspaceLength");
        return shape.Check(launch) == 0 ? 0 : Memory(shape, isFirst: false).LentBytes;
    }

    private LentMemory.Loan Lend(Launch launch, ArrayView<T> workspace, Conv3dShape shape)
        => workspace.Length == 0 ? default : launch.Lend(workspace, Memory(shape, isFirst: false).LentBytes);

    /// <summary>Device memory that a training step takes beside the operands.</summary>
    /// <param name="shape">The layer.</param>
    /// <param name="isFirst">Whether it has no <see cref="BackwardInput"/>.</param>
    LaunchMemory Memory(Conv3dShape shape, bool isFirst) => default;

    /// <summary>Queues <see cref="Forward"/>, whose arguments are checked.</summary>
    protected void LaunchForward(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> weight, ArrayView<T> bias,
        ArrayView<TActivation> output, Conv3dShape shape);

    /// <summary>Queues <see cref="BackwardInput"/>, whose arguments are checked.</summary>
    protected void LaunchBackwardInput(
        AcceleratorStream stream, ArrayView<TActivation> gradOutput, ArrayView<TActivation> output, ArrayView<T> weight,
        ArrayView<TActivation> gradInput, Conv3dShape shape);

    /// <summary>Queues <see cref="BackwardWeight"/>, whose arguments are checked.</summary>
    protected void LaunchBackwardWeight(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<TActivation> gradOutput,
        ArrayView<TActivation> output, ArrayView<T> gradWeight, ArrayView<T> gradBias, Conv3dShape shape);
}
