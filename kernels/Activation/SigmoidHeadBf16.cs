using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Kernels;

/// <summary>The head on activations that lie in memory as BF16; probabilities, parameters and their gradients are float32. No warp operations, no atomics.</summary>
/// <remarks>
/// Pitches are multiples of <see cref="Bf16.ChannelMultiple"/> and tensors begin at multiples of 16 bytes: eight channels a load. Budget at 56³ with 32 channels and
/// one output: 11.2 MB of activations read forward, read for the weights, written backward: 2.4 µs of an H200's memory each, 31 µs of a card with 360 GB/s (estimates, not
/// measured). Several outputs go to <see cref="SigmoidHeadTensorCore"/>.
/// </remarks>
public sealed class SigmoidHeadBf16 : ISigmoidHead<Bf16, float>
{
    // A group of a weight gradient: 4 columns of eight channels × 32 rows of voxels.
    private const int Columns = 4;
    private const int Rows = GroupSum.Threads / Columns;
    private const int VoxelsPerThread = 4;
    private const int MostParts = 256;

    private readonly PartSums<float> partSums;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<Bf16>, ArrayView<float>, ArrayView<float>, ArrayView<float>, SigmoidHeadShape> forward;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<Bf16>, SigmoidHeadShape> backwardInput;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<Bf16>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, SigmoidHeadShape> partialWeight;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public SigmoidHeadBf16(Accelerator accelerator)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        partSums = new PartSums<float>(accelerator);
        forward = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<Bf16>, ArrayView<float>, ArrayView<float>, ArrayView<float>, SigmoidHeadShape>(ForwardKernel);
        backwardInput = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<Bf16>, SigmoidHeadShape>(BackwardInputKernel);
        partialWeight = accelerator.LoadKernel<ArrayView<Bf16>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, SigmoidHeadShape>(
            PartialWeightKernel, new KernelSpecialization(GroupSum.Threads, null));
    }

    /// <inheritdoc/>
    public long WorkspaceLength(SigmoidHeadShape shape) => (long)Parts(shape) * (shape.WeightLength + shape.Outputs);

    /// <inheritdoc/>
    public void Forward(AcceleratorStream stream, ArrayView<Bf16> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> probability, SigmoidHeadShape shape)
        => forward(stream, LaunchExtent.Of(shape.Voxels * shape.Outputs), input, weight, bias, probability, shape);

    /// <inheritdoc/>
    public void BackwardInput(AcceleratorStream stream, ArrayView<float> gradProbability, ArrayView<float> probability, ArrayView<float> weight, ArrayView<Bf16> gradInput, SigmoidHeadShape shape)
        => backwardInput(stream, LaunchExtent.Of(shape.Voxels * shape.InputChannels), gradProbability, probability, weight, gradInput, shape);

    /// <inheritdoc/>
    public void BackwardWeight(AcceleratorStream stream, ArrayView<Bf16> input, ArrayView<float> gradProbability, ArrayView<float> probability, ArrayView<float> workspace, ArrayView<float> gradWeight, ArrayView<float> gradBias, SigmoidHeadShape shape)
    {
        int parts = Parts(shape);
        ArrayView<float> weightParts = workspace.SubView(0, (long)parts * shape.WeightLength);
        ArrayView<float> biasParts = workspace.SubView((long)parts * shape.WeightLength, (long)parts * shape.Outputs);
        KernelConfig config = new(
            new Index3D(parts, (shape.InputChannels + Bf16.ChannelMultiple * Columns - 1) / (Bf16.ChannelMultiple * Columns), shape.Outputs),
            new Index3D(GroupSum.Threads, 1, 1));
        partialWeight(stream, config, input, gradProbability, probability, weightParts, biasParts, shape);
        partSums.Add(stream, weightParts, gradWeight.SubView(0, shape.WeightLength), parts);
        partSums.Add(stream, biasParts, gradBias.SubView(0, shape.Outputs), parts);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // A function of the shape alone, so that every device adds in the same order.
    private static int Parts(SigmoidHeadShape shape)
        => (int)Math.Clamp((shape.Voxels + Rows * VoxelsPerThread - 1) / (Rows * VoxelsPerThread), 1, MostParts);

    // p[v,o] = 1 / (1 + exp(-(b[o] + sum over i of x[v,i] w[i,o]))).
    // One thread per (voxel, output), eight channels a load; probability overwritten, sums in channel order. exp may overflow to infinity: then
    // p is 0, as it should be.
    [Kernel]
    internal static void ForwardKernel(
        Index1D index,
        ArrayView<Bf16> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<float> weight, // [Cin, Outputs]
        ArrayView<float> bias, // [Outputs]
        ArrayView<float> probability, // [N, D, H, W, Outputs]
        SigmoidHeadShape shape)
    {
        int o = index.X % shape.Outputs;
        long source = (long)(index.X / shape.Outputs) * shape.InputPitch;
        float sum = bias[o];
        for (int i = 0; i < shape.InputChannels; i += Bf16.ChannelMultiple)
        {
            Words pairs = input.Cast<Words>()[(source + i) / Bf16.ChannelMultiple];
            sum = AddFour(sum, ChannelPiece.LowerFloats(pairs), weight, i, o, shape);
            sum = AddFour(sum, ChannelPiece.UpperFloats(pairs), weight, i + 4, o, shape);
        }

        probability[index] = 1 / (1 + Float32.Exp(-sum));
    }

    // dx[v,i] = sum over o of dp[v,o] p(1-p) w[i,o], rounded once.
    // One thread per (voxel, input channel); gradInput overwritten.
    [Kernel]
    internal static void BackwardInputKernel(
        Index1D index,
        ArrayView<float> gradProbability, // [N, D, H, W, Outputs]
        ArrayView<float> probability, // [N, D, H, W, Outputs]
        ArrayView<float> weight, // [Cin, Outputs]
        ArrayView<Bf16> gradInput, // [N, D, H, W, Cin], pitch InputPitch
        SigmoidHeadShape shape)
    {
        int i = index.X % shape.InputChannels;
        long voxel = index.X / shape.InputChannels;
        float sum = 0;
        for (int o = 0; o < shape.Outputs; o++)
            sum += GradLogit(gradProbability, probability, voxel, o, shape) * weight[i * shape.Outputs + o];
        gradInput[voxel * shape.InputPitch + i] = Bf16.Round(sum);
    }

    // weightParts[g,i,o] = sum over group g's voxels of x[v,i] dp[v,o] p(1-p); biasParts[g,o] without x. Group: part × 32 channels × output;
    // thread: eight channels of every 32nd voxel; then the first of a column adds the 32 rows in order. Both overwritten.
    [Kernel(MaxGroupSize = GroupSum.Threads)]
    internal static void PartialWeightKernel(
        ArrayView<Bf16> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<float> gradProbability, // [N, D, H, W, Outputs]
        ArrayView<float> probability, // [N, D, H, W, Outputs]
        ArrayView<float> weightParts, // [parts, Cin, Outputs]
        ArrayView<float> biasParts, // [parts, Outputs]
        SigmoidHeadShape shape)
    {
        ArrayView<Quad<float>> lowSums = SharedMemory.Allocate<Quad<float>>(GroupSum.Threads);
        ArrayView<Quad<float>> highSums = SharedMemory.Allocate<Quad<float>>(GroupSum.Threads);
        ArrayView<float> biasSums = SharedMemory.Allocate<float>(GroupSum.Threads);
        int o = Grid.IdxZ;
        int channel = (Grid.IdxY * Columns + Group.IdxX % Columns) * Bf16.ChannelMultiple;
        int present = shape.InputChannels - channel;
        long stride = (long)Grid.DimX * Rows;
        Quad<float> low = Quad<float>.Zero;
        Quad<float> high = Quad<float>.Zero;
        float biasSum = 0;
        for (long v = (long)Grid.IdxX * Rows + Group.IdxX / Columns; v < shape.Voxels; v += stride)
        {
            float gradient = GradLogit(gradProbability, probability, v, o, shape);
            biasSum += gradient;
            if (present > 0)
            {
                Words pairs = input.Cast<Words>()[(v * shape.InputPitch + channel) / Bf16.ChannelMultiple];
                low = Quad<float>.MultiplyAdd(gradient, Floats(ChannelPiece.LowerFloats(pairs)), low);
                high = Quad<float>.MultiplyAdd(gradient, Floats(ChannelPiece.UpperFloats(pairs)), high);
            }
        }

        lowSums[Group.IdxX] = low;
        highSums[Group.IdxX] = high;
        biasSums[Group.IdxX] = biasSum;
        Group.Barrier();
        if (Group.IdxX >= Columns)
            return;
        for (int row = 1; row < Rows; row++)
        {
            low = Quad<float>.Add(low, lowSums[row * Columns + Group.IdxX]);
            high = Quad<float>.Add(high, highSums[row * Columns + Group.IdxX]);
            biasSum += biasSums[row * Columns + Group.IdxX];
        }

        long index = ((long)Grid.IdxX * shape.InputChannels + channel) * shape.Outputs + o;
        StoreFour(weightParts, index, low, present, shape.Outputs);
        StoreFour(weightParts, index + 4L * shape.Outputs, high, present - 4, shape.Outputs);
        if (channel == 0)
            biasParts[(long)Grid.IdxX * shape.Outputs + o] = biasSum;
    }

    // What lies in the padding of a voxel is undefined, so a channel without a weight is not multiplied.
    private static float AddFour(float sum, Words values, ArrayView<float> weight, int channel, int o, SigmoidHeadShape shape)
    {
        int present = shape.InputChannels - channel;
        int w = channel * shape.Outputs + o;
        if (present > 0)
            sum += Interop.IntAsFloat(values.X) * weight[w];
        if (present > 1)
            sum += Interop.IntAsFloat(values.Y) * weight[w + shape.Outputs];
        if (present > 2)
            sum += Interop.IntAsFloat(values.Z) * weight[w + 2 * shape.Outputs];
        if (present > 3)
            sum += Interop.IntAsFloat(values.W) * weight[w + 3 * shape.Outputs];
        return sum;
    }

    private static void StoreFour(ArrayView<float> parts, long index, Quad<float> sums, int present, int outputs)
    {
        if (present > 0)
            parts[index] = sums.X;
        if (present > 1)
            parts[index + outputs] = sums.Y;
        if (present > 2)
            parts[index + 2L * outputs] = sums.Z;
        if (present > 3)
            parts[index + 3L * outputs] = sums.W;
    }

    private static Quad<float> Floats(Words bits)
        => new(Interop.IntAsFloat(bits.X), Interop.IntAsFloat(bits.Y), Interop.IntAsFloat(bits.Z), Interop.IntAsFloat(bits.W));

    private static float GradLogit(ArrayView<float> gradProbability, ArrayView<float> probability, long voxel, int o, SigmoidHeadShape shape)
    {
        float p = probability[voxel * shape.Outputs + o];
        return gradProbability[voxel * shape.Outputs + o] * p * (1 - p);
    }
}
