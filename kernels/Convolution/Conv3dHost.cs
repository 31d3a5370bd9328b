using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// What the host algorithms of the convolution share: their three passes as the convolution of a source into
/// a target and as a sum over voxels.
/// </summary>
internal abstract unsafe class Conv3dHost<TVector, TOps>(HostThreads threads) : IConv3dByPlanes<float>
    where TVector : unmanaged
    where TOps : struct, IHostVector<TVector>
{
    protected readonly HostThreads threads = threads;

    // The target's bias, [columns]; zeros in a gradient of the input.
    protected readonly HostScratch packedBias = new();

    // The pass in progress; every chunk of work reads these. The source's channels are those of all sources
    // side by side. The target is the activations that are computed, or the gradient of the weights.
    protected Conv3dShape shape;
    protected PlaneRange range;
    protected HostActivations[] sources = [];
    protected int sourceChannels;
    protected HostActivations gradients;
    protected float* weight;
    protected float* target;
    protected float* targetBias;
    protected int targetChannels;
    protected int targetPitch;
    protected bool transposed;
    protected bool relu;

    void IConv3d<float, float>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output,
        Conv3dShape shape)
        => ForwardPlanes(
            [new(input, shape.InputChannels, shape.InputPitch, shape.Depth)],
            weight,
            bias,
            output,
            shape,
            PlaneRange.Whole(shape));

    void IConv3dByPlanes<float>.LaunchForwardPlanes(
        AcceleratorStream stream,
        ReadOnlySpan<PlaneInput<float>> inputs, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output,
        Conv3dShape shape,
        PlaneRange planes)
        => ForwardPlanes(inputs, weight, bias, output, shape, planes);

    private void ForwardPlanes(
        ReadOnlySpan<PlaneInput<float>> inputs, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output,
        Conv3dShape shape,
        PlaneRange planes)
    {
        this.shape = shape;
        this.weight = weight.Pointer();
        transposed = false;
        relu = shape.Activation == Activation.Relu;
        range = planes;
        sources = HostActivations.OfInputs(inputs, shape);
        sourceChannels = shape.InputChannels;
        target = output.Pointer();
        targetChannels = shape.OutputChannels;
        targetPitch = shape.OutputPitch;
        PackBiasAndConvolve(bias.Pointer());
    }

    // The forward pass of gradOutput under the weights with channels exchanged and taps reversed.
    void IConv3d<float, float>.LaunchBackwardInput(
        AcceleratorStream stream,
        ArrayView<float> gradOutput, ArrayView<float> output, ArrayView<float> weight, ArrayView<float> gradInput,
        Conv3dShape shape)
    {
        this.shape = shape;
        this.weight = weight.Pointer();
        transposed = true;
        relu = false;
        range = PlaneRange.Whole(shape);
        sources = [HostActivations.OfGradient(gradOutput, output, shape)];
        sourceChannels = shape.OutputChannels;
        target = gradInput.Pointer();
        targetChannels = shape.InputChannels;
        targetPitch = shape.InputPitch;
        PackBiasAndConvolve(null);
    }

    void IConv3d<float, float>.LaunchBackwardWeight(
        AcceleratorStream stream,
        ArrayView<float> input, ArrayView<float> gradOutput, ArrayView<float> output, ArrayView<float> gradWeight,
            ArrayView<float> gradBias, Conv3dShape shape)
    {
        this.shape = shape;
        range = PlaneRange.Whole(shape);
        sources = HostActivations.OfInputs([new(input, shape.InputChannels, shape.InputPitch, shape.Depth)], shape);
        sourceChannels = shape.InputChannels;
        gradients = HostActivations.OfGradient(gradOutput, output, shape);
        target = gradWeight.Pointer();
        targetBias = gradBias.Pointer();
        targetChannels = shape.OutputChannels;
        SumProducts();
    }

    public virtual void Dispose() => packedBias.Dispose();

    protected static int Columns(int channels) => HostMatrix<TVector, TOps>.Columns(channels);

    // Computes the range of the target from the sources.
    protected abstract void Convolve();

    // Adds the products of sources and gradients to the gradients of the weights and the bias.
    protected abstract void SumProducts();

    private void PackBiasAndConvolve(float* bias)
    {
        HostMatrix<TVector, TOps>.PackBias(bias, packedBias, targetChannels);
        Convolve();
    }
}
