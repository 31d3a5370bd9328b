namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The launchers of one variant of the transposed 3D convolution: kernel 2³, stride 2, bias, no activation.
/// </summary>
/// <remarks>
/// y[n,2z+kz,2y+ky,2x+kx,o] = b[o] + Σ_i x[n,z,y,x,i]·w[kz,ky,kx,i,o], each k in {0, 1}.
/// Layouts: input and gradInput [N,D,H,W,Cin] with pitch <see cref="ConvTranspose3dShape.InputPitch"/>;
/// output and gradOutput [N,2D,2H,2W,Cout] with pitch <see cref="ConvTranspose3dShape.OutputPitch"/>; weight
/// [2,2,2,Cin,Cout]; bias [Cout].
/// </remarks>
/// <typeparam name="TActivation">What activations and their gradients hold: <typeparamref name="T"/>, or
/// <see cref="Bf16"/> beside float32.</typeparam>
/// <typeparam name="T">The real type of parameters and their gradients.</typeparam>
internal interface IConvTranspose3d<TActivation, T> : IDisposable
    where TActivation : unmanaged
    where T : unmanaged
{
    /// <summary>Overwrites output.</summary>
    sealed void Forward(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> weight, ArrayView<T> bias,
        ArrayView<TActivation> output, ConvTranspose3dShape shape,
        ArrayView<T> workspace = default)
    {
        using Launch launch = Launch.Begin(stream, "ConvTranspose3d.Forward");
        long voxels = shape.Check(launch);
        launch.RequireVoxels(input, voxels, shape.InputChannels, shape.InputPitch, nameof(input));
        launch.Require(weight, shape.WeightLength, nameof(weight));
        launch.Require(bias, shape.OutputChannels, nameof(bias));
        launch.RequireVoxels(output, 8 * voxels, shape.OutputChannels, shape.OutputPitch, nameof(output));
        if (voxels == 0)
            return;
        using LentMemory.Loan loan = Lend(launch, workspace, shape);
        LaunchForward(stream, input, weight, bias, output, shape);
    }

    /// <summary>Overwrites gradInput.</summary>
    sealed void BackwardInput(
        AcceleratorStream stream, ArrayView<TActivation> gradOutput, ArrayView<T> weight, ArrayView<TActivation> gradInput,
        ConvTranspose3dShape shape,
        ArrayView<T> workspace = default)
    {
        using Launch launch = Launch.Begin(stream, "ConvTranspose3d.BackwardInput");
        long voxels = shape.Check(launch);
        launch.RequireVoxels(gradOutput, 8 * voxels, shape.OutputChannels, shape.OutputPitch, nameof(gradOutput));
        launch.Require(weight, shape.WeightLength, nameof(weight));
        launch.RequireVoxels(gradInput, voxels, shape.InputChannels, shape.InputPitch, nameof(gradInput));
        if (voxels == 0)
            return;
        using LentMemory.Loan loan = Lend(launch, workspace, shape);
        LaunchBackwardInput(stream, gradOutput, weight, gradInput, shape);
    }

    /// <summary>Adds to gradWeight and gradBias.</summary>
    sealed void BackwardWeight(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<TActivation> gradOutput, ArrayView<T> gradWeight,
        ArrayView<T> gradBias, ConvTranspose3dShape shape,
        ArrayView<T> workspace = default)
    {
        using Launch launch = Launch.Begin(stream, "ConvTranspose3d.BackwardWeight");
        long voxels = shape.Check(launch);
        launch.RequireVoxels(input, voxels, shape.InputChannels, shape.InputPitch, nameof(input));
        launch.RequireVoxels(gradOutput, 8 * voxels, shape.OutputChannels, shape.OutputPitch, nameof(gradOutput));
        launch.Require(gradWeight, shape.WeightLength, nameof(gradWeight));
        launch.Require(gradBias, shape.OutputChannels, nameof(gradBias));
        if (voxels == 0)
            return;
        using LentMemory.Loan loan = Lend(launch, workspace, shape);
        LaunchBackwardWeight(stream, input, gradOutput, gradWeight, gradBias, shape);
    }

    /// <summary>Bytes of workspace that suffice for every pass of a shape.</summary>
    sealed long WorkspaceBytes(AcceleratorStream stream, ConvTranspose3dShape shape)
    {
        using Launch launch = Launch.Begin(stream, "ConvTranspose3d.WorkspaceLength");
        return shape.Check(launch) == 0 ? 0 : Memory(shape).LentBytes;
    }

    private LentMemory.Loan Lend(Launch launch, ArrayView<T> workspace, ConvTranspose3dShape shape)
        => workspace.Length == 0 ? default : launch.Lend(workspace, Memory(shape).LentBytes);

    /// <summary>Device memory that a training step takes beside the operands.</summary>
    /// <param name="shape">The layer.</param>
    LaunchMemory Memory(ConvTranspose3dShape shape) => default;

    /// <summary>Queues <see cref="Forward"/>, whose arguments are checked.</summary>
    protected void LaunchForward(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> weight, ArrayView<T> bias,
        ArrayView<TActivation> output, ConvTranspose3dShape shape);

    /// <summary>Queues <see cref="BackwardInput"/>, whose arguments are checked.</summary>
    protected void LaunchBackwardInput(
        AcceleratorStream stream, ArrayView<TActivation> gradOutput, ArrayView<T> weight, ArrayView<TActivation> gradInput,
        ConvTranspose3dShape shape);

    /// <summary>Queues <see cref="BackwardWeight"/>, whose arguments are checked.</summary>
    protected void LaunchBackwardWeight(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<TActivation> gradOutput, ArrayView<T> gradWeight,
        ArrayView<T> gradBias, ConvTranspose3dShape shape);
}
