namespace MeanShiftGpu.Kernels.Pooling;

/// <summary>
/// The launchers of one variant of the 3D max pooling with windows of 2³ voxels and stride 2.
/// </summary>
/// <remarks>
/// y[n,z,y,x,c] = max over dz,dy,dx ∈ {0,1} of x[n,2z+dz,2y+dy,2x+dx,c]. NaN counts as larger than every
/// number, so it is not lost. Layouts: input and gradInput [N,D,H,W,C] with pitch
/// <see cref="MaxPool3dShape.InputPitch"/>; output and gradOutput [N,D/2,H/2,W/2,C] with pitch
/// <see cref="MaxPool3dShape.OutputPitch"/>. The backward pass finds the maximum again from the input, which
/// costs less memory traffic than an index buffer would. Launchers queue on the stream and do not wait; one
/// instance serves one stream at a time.
/// </remarks>
internal interface IMaxPool3d<T> : IDisposable
    where T : unmanaged
{
    /// <summary>Overwrites output.</summary>
    sealed void Forward(AcceleratorStream stream, ArrayView<T> input, ArrayView<T> output, MaxPool3dShape shape)
    {
        using Launch launch = Launch.Begin(stream, "MaxPool3d.Forward");
        long voxels = shape.Check(launch);
        launch.RequireVoxels(input, voxels, shape.Channels, shape.InputPitch, nameof(input));
        launch.RequireVoxels(output, voxels / 8, shape.Channels, shape.OutputPitch, nameof(output));
        if (voxels == 0)
            return;
        LaunchForward(stream, input, output, shape);
    }

    /// <summary>
    /// Gives each window's gradient to the first of its maxima in the order z, y, x. Overwrites gradInput, or
    /// adds to it where <see cref="MaxPool3dShape.Accumulate"/> is 1.
    /// </summary>
    sealed void Backward(
        AcceleratorStream stream, ArrayView<T> input, ArrayView<T> gradOutput, ArrayView<T> gradInput, MaxPool3dShape shape)
    {
        using Launch launch = Launch.Begin(stream, "MaxPool3d.Backward");
        long voxels = shape.Check(launch);
        launch.RequireVoxels(input, voxels, shape.Channels, shape.InputPitch, nameof(input));
        launch.RequireVoxels(gradOutput, voxels / 8, shape.Channels, shape.OutputPitch, nameof(gradOutput));
        launch.RequireVoxels(gradInput, voxels, shape.Channels, shape.InputPitch, nameof(gradInput));
        if (voxels == 0)
            return;
        LaunchBackward(stream, input, gradOutput, gradInput, shape);
    }

    /// <summary>Queues <see cref="Forward"/>, whose arguments are checked.</summary>
    protected void LaunchForward(AcceleratorStream stream, ArrayView<T> input, ArrayView<T> output, MaxPool3dShape shape);

    /// <summary>Queues <see cref="Backward"/>, whose arguments are checked.</summary>
    protected void LaunchBackward(
        AcceleratorStream stream, ArrayView<T> input, ArrayView<T> gradOutput, ArrayView<T> gradInput, MaxPool3dShape shape);
}
