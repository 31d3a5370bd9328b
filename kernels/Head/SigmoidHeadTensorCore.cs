using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Machine.Sums;
using MeanShiftGpu.Kernels.Machine.TensorCore;

namespace MeanShiftGpu.Kernels.Head;

/// <summary>The head on tensor cores: operands rounded to nearest, float32 sums, bias and sigmoid.</summary>
public static class SigmoidHeadTensorCore
{
    /// <summary>Compiles the kernels for an accelerator.</summary>
    /// <param name="accelerator">A CUDA accelerator of a context with <see cref="TensorCorePtx.EnableTensorCores"/>, or the simulated GPU.</param>
    /// <param name="precision">The operands.</param>
    public static ISigmoidHead<float> Create(Accelerator accelerator, TensorCorePrecision precision)
        => new OfFloat32(precision == TensorCorePrecision.Tf32
            ? new SigmoidHeadTensorCoreKernels<Tf32Operand>(accelerator)
            : new SigmoidHeadTensorCoreKernels<Bf16Operand>(accelerator));

    /// <summary>Compiles the kernels whose activations lie in memory as BF16; parameters and their gradients are float32.</summary>
    /// <param name="accelerator">As for <see cref="Create(Accelerator, TensorCorePrecision)"/>.</param>
    /// <remarks>Pitches are multiples of <see cref="Bf16.ChannelMultiple"/>, tensors begin at multiples of 16 bytes, and views reach to the end of the last voxel's padding.</remarks>
    public static ISigmoidHead<Bf16, float> CreateBf16(Accelerator accelerator)
        => new Of<Bf16>(new SigmoidHeadTensorCoreKernels<StoredBf16Operand>(accelerator));

    private sealed class OfFloat32(ISigmoidHead<uint, float> kernels) : Of<float>(kernels), ISigmoidHead<float>;

    // The kernels take activations by words, whatever they hold.
    private class Of<TElement>(ISigmoidHead<uint, float> kernels) : ISigmoidHead<TElement, float>
        where TElement : unmanaged
    {
        public long WorkspaceLength(SigmoidHeadShape shape) => kernels.WorkspaceLength(shape);

        public void Forward(AcceleratorStream stream, ArrayView<TElement> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> probability, SigmoidHeadShape shape)
            => kernels.Forward(stream, TensorCoreLaunch.Words(input), weight, bias, probability, shape);

        public void BackwardInput(AcceleratorStream stream, ArrayView<float> gradProbability, ArrayView<float> probability, ArrayView<float> weight, ArrayView<TElement> gradInput, SigmoidHeadShape shape)
            => kernels.BackwardInput(stream, gradProbability, probability, weight, TensorCoreLaunch.Words(gradInput), shape);

        public void BackwardWeight(AcceleratorStream stream, ArrayView<TElement> input, ArrayView<float> gradProbability, ArrayView<float> probability, ArrayView<float> workspace, ArrayView<float> gradWeight, ArrayView<float> gradBias, SigmoidHeadShape shape)
            => kernels.BackwardWeight(stream, TensorCoreLaunch.Words(input), gradProbability, probability, workspace, gradWeight, gradBias, shape);

        public void Dispose() => kernels.Dispose();
    }
}

/// <summary>The passes of the head with one kind of operand.</summary>
/// <remarks>
/// Every activation is used once, so it goes from memory straight into fragments, without shared memory: what a matrix instruction sums over may come in any
/// order, and so may its rows, so a lane fetches four neighbouring channels (16 bytes of float32, 8 of BF16) and calls them four of its columns (Forward) or
/// rows (BackwardWeight). An instruction makes 8 outputs; further blocks of 8 fetch the input again.
/// Budget and plan: kernels/README.md.
/// </remarks>
internal sealed class SigmoidHeadTensorCoreKernels<TOperand> : ISigmoidHead<uint, float>
    where TOperand : struct, IOperand
{
    private const int Threads = 128;
    private const int Warps = Threads / 32;

    /// <summary>Voxels of a warp: eight rows of 8.</summary>
    private const int WarpVoxels = 64;

    /// <summary>Channels of which four lanes fetch four each, or make.</summary>
    private const int BlockChannels = 16;

    /// <summary>Outputs of an instruction.</summary>
    private const int BlockOutputs = 8;

    // BackwardWeight: a warp takes 32 voxels a step, its rows are 32 channels; a part is at least four steps of its warps.
    private const int StepVoxels = 32;
    private const int GradientChannels = 32;
    private const int PartVoxels = 4 * Warps * StepVoxels;
    private const int MostParts = 256;

    private readonly PartSums<float> partSums;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<float>, ArrayView<float>, ArrayView<float>, TensorCoreHeadShape> forward;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<uint>, TensorCoreHeadShape> backwardInput;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<float>, ArrayView<float>, ArrayView<float>, TensorCoreHeadShape> partialWeight;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public SigmoidHeadTensorCoreKernels(Accelerator accelerator)
    {
        KernelSpecialization group = new(Threads, null);
        partSums = new PartSums<float>(accelerator);
        forward = accelerator.LoadKernel<ArrayView<uint>, ArrayView<float>, ArrayView<float>, ArrayView<float>, TensorCoreHeadShape>(ForwardKernel, group);
        backwardInput = accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<uint>, TensorCoreHeadShape>(BackwardInputKernel, group);
        partialWeight = accelerator.LoadKernel<ArrayView<uint>, ArrayView<float>, ArrayView<float>, ArrayView<float>, TensorCoreHeadShape>(PartialWeightKernel, group);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(SigmoidHeadShape shape) => (long)Parts(shape) * (shape.WeightLength + shape.Outputs);

    /// <inheritdoc/>
    public void Forward(AcceleratorStream stream, ArrayView<uint> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> probability, SigmoidHeadShape shape)
        => forward(stream, Config(VoxelGroups(shape), TensorCoreLaunch.Blocks(shape.Outputs, BlockOutputs)), input, weight, bias, probability, Of(shape, input));

    /// <inheritdoc/>
    public void BackwardInput(AcceleratorStream stream, ArrayView<float> gradProbability, ArrayView<float> probability, ArrayView<float> weight, ArrayView<uint> gradInput, SigmoidHeadShape shape)
        => backwardInput(stream, Config(VoxelGroups(shape)), gradProbability, probability, weight, gradInput, Of(shape, gradInput));

    /// <inheritdoc/>
    public void BackwardWeight(AcceleratorStream stream, ArrayView<uint> input, ArrayView<float> gradProbability, ArrayView<float> probability, ArrayView<float> workspace, ArrayView<float> gradWeight, ArrayView<float> gradBias, SigmoidHeadShape shape)
    {
        int parts = Parts(shape);
        KernelConfig config = Config(parts, TensorCoreLaunch.Blocks(shape.Outputs, BlockOutputs), TensorCoreLaunch.Blocks(shape.InputChannels, GradientChannels));
        partialWeight(stream, config, input, gradProbability, probability, workspace, Of(shape, input));
        partSums.Add(stream, workspace, gradWeight.SubView(0, shape.WeightLength), gradBias.SubView(0, shape.Outputs), parts);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private static KernelConfig Config(int x, int y = 1, int z = 1) => new(new Index3D(x, y, z), new Index3D(Threads, 1, 1));

    private static int VoxelGroups(SigmoidHeadShape shape) => checked((int)((shape.Voxels + Warps * WarpVoxels - 1) / (Warps * WarpVoxels)));

    // A function of the shape alone, so that every device adds in the same order.
    private static int Parts(SigmoidHeadShape shape)
        => (int)Math.Clamp((shape.Voxels + PartVoxels - 1) / PartVoxels, 1, MostParts);

    private static TensorCoreHeadShape Of(SigmoidHeadShape shape, ArrayView<uint> activations) => new()
    {
        Voxels = shape.Voxels,
        Channels = shape.InputChannels,
        Outputs = shape.Outputs,
        Pitch = shape.InputPitch,
        Aligned = shape.InputChannels % 4 == 0 ? TensorCoreLaunch.Aligned(activations, shape.InputPitch) : 0,
    };

    // p[v,o] = 1 / (1 + exp(-(b[o] + sum over i of x[v,i] w[i,o]))). A group of 4 warps makes 256 voxels × 8 outputs, a warp 64 of the voxels; lane (g, t) fetches the
    // channels 4t … 4t+3 of the voxels g, g + 8, …. Probability overwritten, sums in the order of blocks of 16 channels. exp may overflow to infinity: then
    // p is 0, as it should be.
    [Kernel(MaxGroupSize = Threads)]
    internal static void ForwardKernel(
        ArrayView<uint> input, // [N, D, H, W, Cin], pitch Pitch
        ArrayView<float> weight, // [Cin, Outputs]
        ArrayView<float> bias, // [Outputs]
        ArrayView<float> probability, // [N, D, H, W, Outputs]
        TensorCoreHeadShape shape)
    {
        int lane = Group.IdxX % 32;
        long voxel = FirstVoxel(lane);
        int firstOutput = Grid.IdxY * BlockOutputs;
        Accumulators sums01 = default;
        Accumulators sums23 = default;
        Accumulators sums45 = default;
        Accumulators sums67 = default;
        for (int block = 0; block < shape.Channels; block += BlockChannels)
        {
            int channel = block + lane % 4 * 4;
            VoxelQuads x = VoxelQuads.Load<TOperand>(input, voxel, 8, channel, shape);
            Words w = Round(new(
                Weight(weight, channel, firstOutput + lane / 4, shape),
                Weight(weight, channel + 1, firstOutput + lane / 4, shape),
                Weight(weight, channel + 2, firstOutput + lane / 4, shape),
                Weight(weight, channel + 3, firstOutput + lane / 4, shape)));

            // Whatever branches the loads became, the warp's instructions want all lanes.
            Warp.Barrier();
            sums01 = Multiply(Operands(x.V0), Operands(x.V1), w, sums01);
            sums23 = Multiply(Operands(x.V2), Operands(x.V3), w, sums23);
            sums45 = Multiply(Operands(x.V4), Operands(x.V5), w, sums45);
            sums67 = Multiply(Operands(x.V6), Operands(x.V7), w, sums67);
        }

        int output = firstOutput + lane % 4 * 2;
        float b0 = output < shape.Outputs ? bias[output] : 0;
        float b1 = output + 1 < shape.Outputs ? bias[output + 1] : 0;
        StoreSigmoid(probability, voxel, output, sums01.X + b0, sums01.Y + b1, shape);
        StoreSigmoid(probability, voxel + 8, output, sums01.Z + b0, sums01.W + b1, shape);
        StoreSigmoid(probability, voxel + 16, output, sums23.X + b0, sums23.Y + b1, shape);
        StoreSigmoid(probability, voxel + 24, output, sums23.Z + b0, sums23.W + b1, shape);
        StoreSigmoid(probability, voxel + 32, output, sums45.X + b0, sums45.Y + b1, shape);
        StoreSigmoid(probability, voxel + 40, output, sums45.Z + b0, sums45.W + b1, shape);
        StoreSigmoid(probability, voxel + 48, output, sums67.X + b0, sums67.Y + b1, shape);
        StoreSigmoid(probability, voxel + 56, output, sums67.Z + b0, sums67.W + b1, shape);
    }

    // dx[v,i] = sum over o of dp[v,o] p(1-p) w[i,o]. A group of 4 warps makes 256 voxels, a warp 64 of them × 16 channels at a time; it keeps the gradients of the first 8
    // (BF16: 16) outputs and fetches those of further ones again for each 16 channels. GradInput overwritten, sums in the order of the outputs.
    [Kernel(MaxGroupSize = Threads)]
    internal static void BackwardInputKernel(
        ArrayView<float> gradProbability, // [N, D, H, W, Outputs]
        ArrayView<float> probability, // [N, D, H, W, Outputs]
        ArrayView<float> weight, // [Cin, Outputs]
        ArrayView<uint> gradInput, // [N, D, H, W, Cin], pitch Pitch
        TensorCoreHeadShape shape)
    {
        int lane = Group.IdxX % 32;
        long voxel = FirstVoxel(lane);
        VoxelRows gradients = GradientRows(gradProbability, probability, voxel, 0, shape);
        int rows = voxel + WarpVoxels < shape.Voxels ? 8 : (int)(shape.Voxels - voxel + 7) / 8;
        for (int block = 0; block < shape.Channels; block += BlockChannels)
        {
            Words w = WeightColumns(weight, block, 0, shape);
            Warp.Barrier();
            Columns16 sums = Columns16.Multiply<TOperand>(default, gradients, w);
            for (int output = TOperand.Depth; output < shape.Outputs; output += TOperand.Depth)
            {
                VoxelRows further = GradientRows(gradProbability, probability, voxel, output, shape);
                w = WeightColumns(weight, block, output, shape);
                Warp.Barrier();
                sums = Columns16.Multiply<TOperand>(sums, further, w);
            }

            Columns16.Store<TOperand>(sums, weight, gradInput, new ColumnsTarget
            {
                Voxel = voxel,
                Width = 8,
                Rows = rows,
                Channel = block + lane % 4 * 4,
                Channels = shape.Channels,
                Pitch = shape.Pitch,
                Aligned = shape.Aligned,
                Rounded = TOperand.Rounds ? 0 : 1,
            });
        }
    }

    // parts[p,i,o] = sum over part p's voxels of x[v,i] dp[v,o] p(1-p), behind them [p,o] without x, summed in float32. Group: part × 8 outputs × 32 channels, its warps
    // by turns 32 voxels each; lane (g, t) fetches the channels 4g … 4g+3, and the gradients of output g, of every fourth voxel from t on. Then the first warp adds the
    // four warps' sums in order. Parts overwritten.
    [Kernel(MaxGroupSize = Threads)]
    internal static void PartialWeightKernel(
        ArrayView<uint> input, // [N, D, H, W, Cin], pitch Pitch
        ArrayView<float> gradProbability, // [N, D, H, W, Outputs]
        ArrayView<float> probability, // [N, D, H, W, Outputs]
        ArrayView<float> parts, // [parts, Cin·Outputs + Outputs]
        TensorCoreHeadShape shape)
    {
        ArrayView<Words> lowSums = SharedMemory.Allocate<Words>(Threads);
        ArrayView<Words> highSums = SharedMemory.Allocate<Words>(Threads);
        ArrayView<float> biasSums = SharedMemory.Allocate<float>(Threads);
        int lane = Group.IdxX % 32;
        int firstOutput = Grid.IdxY * BlockOutputs;
        int channel = Grid.IdxZ * GradientChannels + lane / 4 * 4;
        long stride = (long)Grid.DimX * Warps * StepVoxels;
        ChannelSums sums = default;
        float biasSum = 0;
        for (long first = ((long)Grid.IdxX * Warps + Group.IdxX / 32) * StepVoxels; first < shape.Voxels; first += stride)
        {
            long voxel = first + lane % 4;
            VoxelQuads x = VoxelQuads.Load<TOperand>(input, voxel, 4, channel, shape);
            Quad<float> g = GradLogits(gradProbability, probability, voxel, firstOutput + lane / 4, shape);
            Quad<float> h = GradLogits(gradProbability, probability, voxel + 16, firstOutput + lane / 4, shape);
            biasSum += g.X + g.Y + (g.Z + g.W) + (h.X + h.Y + (h.Z + h.W));
            Warp.Barrier();
            sums = MultiplyVoxels(Floats(x.V0), Floats(x.V1), Floats(x.V2), Floats(x.V3), Round(g), sums);
            sums = MultiplyVoxels(Floats(x.V4), Floats(x.V5), Floats(x.V6), Floats(x.V7), Round(h), sums);
        }

        lowSums[Group.IdxX] = ChannelPiece.Bits(sums.Low);
        highSums[Group.IdxX] = ChannelPiece.Bits(sums.High);
        biasSums[Group.IdxX] = biasSum;
        Group.Barrier();
        if (Group.IdxX >= 32)
            return;
        for (int i = lane + 32; i < Threads; i += 32)
        {
            sums.Low = ChannelPiece.Add(sums.Low, lowSums[i]);
            sums.High = ChannelPiece.Add(sums.High, highSums[i]);
        }

        int output = firstOutput + lane % 4 * 2;
        StorePart(parts, channel, output, sums.Low.X, sums.Low.Y, shape);
        StorePart(parts, channel + 1, output, sums.Low.Z, sums.Low.W, shape);
        StorePart(parts, channel + 2, output, sums.High.X, sums.High.Y, shape);
        StorePart(parts, channel + 3, output, sums.High.Z, sums.High.W, shape);

        // An output's bias: four lanes of each warp.
        output = firstOutput + lane;
        if (lane >= BlockOutputs || output >= shape.Outputs || Grid.IdxZ != 0)
            return;
        biasSum = 0;
        for (int i = 0; i < 4 * Warps; i++)
            biasSum += biasSums[i / 4 * 32 + lane * 4 + i % 4];
        parts[PartElement(shape.Channels, output, shape)] = biasSum;
    }

    // A lane's first voxel of its warp's 64.
    private static long FirstVoxel(int lane) => ((long)Grid.IdxX * Warps + Group.IdxX / 32) * WarpVoxels + lane / 4;

    private static Quad<float> Floats(Words stored)
    {
        Words bits = TOperand.Rounds ? stored : ChannelPiece.LowerFloats(stored);
        return new(Interop.IntAsFloat(bits.X), Interop.IntAsFloat(bits.Y), Interop.IntAsFloat(bits.Z), Interop.IntAsFloat(bits.W));
    }

    // Four of what is summed over as operands: a word each of TF32, two words of BF16.
    private static Words Round(Quad<float> four) => TOperand.Depth == 8
        ? new Words { X = TOperand.Pack(four.X, 0), Y = TOperand.Pack(four.Y, 0), Z = TOperand.Pack(four.Z, 0), W = TOperand.Pack(four.W, 0) }
        : new Words { X = TOperand.Pack(four.X, four.Y), Y = TOperand.Pack(four.Z, four.W) };

    private static Words Operands(Words stored) => TOperand.Rounds ? Round(Floats(stored)) : stored;

    // Adds 16 rows × 8 columns summed over 16: each lane has four of the 16, for row g, row g + 8 and column g.
    private static Accumulators Multiply(Words lower, Words upper, Words column, Accumulators sums)
    {
        sums = TOperand.Multiply(new Words { X = lower.X, Y = upper.X, Z = lower.Y, W = upper.Y }, column.X, column.Y, sums);
        return TOperand.Depth == 8
            ? TOperand.Multiply(new Words { X = lower.Z, Y = upper.Z, Z = lower.W, W = upper.W }, column.Z, column.W, sums)
            : sums;
    }

    // Adds the products of 16 voxels, of which each lane has four with four channels.
    private static ChannelSums MultiplyVoxels(Quad<float> x0, Quad<float> x1, Quad<float> x2, Quad<float> x3, Words gradients, ChannelSums sums)
    {
        sums.Low = Multiply(Round(new(x0.X, x1.X, x2.X, x3.X)), Round(new(x0.Y, x1.Y, x2.Y, x3.Y)), gradients, sums.Low);
        sums.High = Multiply(Round(new(x0.Z, x1.Z, x2.Z, x3.Z)), Round(new(x0.W, x1.W, x2.W, x3.W)), gradients, sums.High);
        return sums;
    }

    // The gradients of the logits of 64 voxels × Depth outputs.
    private static VoxelRows GradientRows(ArrayView<float> gradProbability, ArrayView<float> probability, long voxel, int output, TensorCoreHeadShape shape) => new()
    {
        Rows01 = GradientRows(gradProbability, probability, voxel, voxel + 8, output, shape),
        Rows23 = GradientRows(gradProbability, probability, voxel + 16, voxel + 24, output, shape),
        Rows45 = GradientRows(gradProbability, probability, voxel + 32, voxel + 40, output, shape),
        Rows67 = GradientRows(gradProbability, probability, voxel + 48, voxel + 56, output, shape),
    };

    private static Words GradientRows(ArrayView<float> gradProbability, ArrayView<float> probability, long first, long second, int output, TensorCoreHeadShape shape)
    {
        int lower = output + TOperand.RowOf(0, Group.IdxX % 4);
        int upper = output + TOperand.RowOf(1, Group.IdxX % 4);
        return new()
        {
            X = GradientWord(gradProbability, probability, first, lower, shape),
            Y = GradientWord(gradProbability, probability, second, lower, shape),
            Z = GradientWord(gradProbability, probability, first, upper, shape),
            W = GradientWord(gradProbability, probability, second, upper, shape),
        };
    }

    private static uint GradientWord(ArrayView<float> gradProbability, ArrayView<float> probability, long voxel, int output, TensorCoreHeadShape shape)
        => TOperand.Pack(
            GradLogit(gradProbability, probability, voxel, output, shape),
            TOperand.Depth == 8 ? 0 : GradLogit(gradProbability, probability, voxel, output + 1, shape));

    // The weights of 16 channels × Depth outputs, the channels in the order in which Columns16 stores them.
    private static Words WeightColumns(ArrayView<float> weight, int block, int output, TensorCoreHeadShape shape)
    {
        int column = Group.IdxX % 32 / 4;
        int channel = block + column / 2 * 4 + column % 2;
        int lower = output + TOperand.RowOf(0, Group.IdxX % 4);
        int upper = output + TOperand.RowOf(1, Group.IdxX % 4);
        return new()
        {
            X = WeightWord(weight, channel, lower, shape),
            Y = WeightWord(weight, channel, upper, shape),
            Z = WeightWord(weight, channel + 2, lower, shape),
            W = WeightWord(weight, channel + 2, upper, shape),
        };
    }

    private static uint WeightWord(ArrayView<float> weight, int channel, int output, TensorCoreHeadShape shape)
        => TOperand.Pack(Weight(weight, channel, output, shape), TOperand.Depth == 8 ? 0 : Weight(weight, channel, output + 1, shape));

    // Loads do not branch, so that several are under way: what does not exist is the first element times nothing.
    private static float Weight(ArrayView<float> weight, int channel, int output, TensorCoreHeadShape shape)
    {
        bool exists = channel < shape.Channels & output < shape.Outputs;
        float value = weight[exists ? channel * shape.Outputs + output : 0];
        return exists ? value : 0;
    }

    private static float GradLogit(ArrayView<float> gradProbability, ArrayView<float> probability, long voxel, int output, TensorCoreHeadShape shape)
    {
        bool exists = voxel < shape.Voxels & output < shape.Outputs;
        long element = exists ? voxel * shape.Outputs + output : 0;
        float p = probability[element];
        float gradient = gradProbability[element] * p * (1 - p);
        return exists ? gradient : 0;
    }

    // Of every fourth voxel.
    private static Quad<float> GradLogits(ArrayView<float> gradProbability, ArrayView<float> probability, long voxel, int output, TensorCoreHeadShape shape)
        => new(
            GradLogit(gradProbability, probability, voxel, output, shape),
            GradLogit(gradProbability, probability, voxel + 4, output, shape),
            GradLogit(gradProbability, probability, voxel + 8, output, shape),
            GradLogit(gradProbability, probability, voxel + 12, output, shape));

    private static void StoreSigmoid(ArrayView<float> probability, long voxel, int output, float first, float second, TensorCoreHeadShape shape)
    {
        if (voxel >= shape.Voxels)
            return;
        long element = voxel * shape.Outputs + output;
        if (output < shape.Outputs)
            probability[element] = 1 / (1 + Float32.Exp(-first));
        if (output + 1 < shape.Outputs)
            probability[element + 1] = 1 / (1 + Float32.Exp(-second));
    }

    private static void StorePart(ArrayView<float> parts, int channel, int output, float first, float second, TensorCoreHeadShape shape)
    {
        if (channel >= shape.Channels)
            return;
        long element = PartElement(channel, output, shape);
        if (output < shape.Outputs)
            parts[element] = first;
        if (output + 1 < shape.Outputs)
            parts[element + 1] = second;
    }

    // Behind the weights of the last channel stand the biases.
    private static long PartElement(int channel, int output, TensorCoreHeadShape shape)
        => ((long)Grid.IdxX * (shape.Channels + 1) + channel) * shape.Outputs + output;

    // Channels 4g and 4g + 1, then 4g + 2 and 4g + 3.
    private struct ChannelSums
    {
        public Accumulators Low;
        public Accumulators High;
    }
}

/// <summary>Four neighbouring channels of eight voxels as they lie in memory: four float32, or four BF16 in the first two words. Zeros where there is no channel.</summary>
internal struct VoxelQuads
{
    public Words V0;
    public Words V1;
    public Words V2;
    public Words V3;
    public Words V4;
    public Words V5;
    public Words V6;
    public Words V7;

    /// <summary>Loads four channels of the voxels voxel, voxel + step, …; beyond the last voxel those of the last. No load waits for another.</summary>
    public static VoxelQuads Load<TOperand>(ArrayView<uint> input, long voxel, int step, int channel, TensorCoreHeadShape shape)
        where TOperand : struct, IOperand
        => TOperand.Rounds && shape.Aligned == 0
            ? new()
            {
                V0 = LoadEach(input, voxel, channel, shape),
                V1 = LoadEach(input, voxel + step, channel, shape),
                V2 = LoadEach(input, voxel + 2 * step, channel, shape),
                V3 = LoadEach(input, voxel + 3 * step, channel, shape),
                V4 = LoadEach(input, voxel + 4 * step, channel, shape),
                V5 = LoadEach(input, voxel + 5 * step, channel, shape),
                V6 = LoadEach(input, voxel + 6 * step, channel, shape),
                V7 = LoadEach(input, voxel + 7 * step, channel, shape),
            }
            : new()
            {
                V0 = LoadFour<TOperand>(input, voxel, channel, shape),
                V1 = LoadFour<TOperand>(input, voxel + step, channel, shape),
                V2 = LoadFour<TOperand>(input, voxel + 2 * step, channel, shape),
                V3 = LoadFour<TOperand>(input, voxel + 3 * step, channel, shape),
                V4 = LoadFour<TOperand>(input, voxel + 4 * step, channel, shape),
                V5 = LoadFour<TOperand>(input, voxel + 5 * step, channel, shape),
                V6 = LoadFour<TOperand>(input, voxel + 6 * step, channel, shape),
                V7 = LoadFour<TOperand>(input, voxel + 7 * step, channel, shape),
            };

    private static Words LoadFour<TOperand>(ArrayView<uint> input, long voxel, int channel, TensorCoreHeadShape shape)
        where TOperand : struct, IOperand
    {
        int present = shape.Channels - channel;
        long four = Element(voxel, present > 0 ? channel : 0, shape) / 4;
        if (TOperand.Rounds)
        {
            Words words = input.Cast<Words>()[four];
            uint mask = present > 0 ? 0xFFFFFFFF : 0;
            return new() { X = words.X & mask, Y = words.Y & mask, Z = words.Z & mask, W = words.W & mask };
        }

        WordPair pairs = input.Cast<WordPair>()[four];
        return new() { X = pairs.X & PairMask(present), Y = pairs.Y & PairMask(present - 2) };
    }

    private static Words LoadEach(ArrayView<uint> input, long voxel, int channel, TensorCoreHeadShape shape) => new()
    {
        X = LoadOne(input, voxel, channel, shape),
        Y = LoadOne(input, voxel, channel + 1, shape),
        Z = LoadOne(input, voxel, channel + 2, shape),
        W = LoadOne(input, voxel, channel + 3, shape),
    };

    private static uint LoadOne(ArrayView<uint> input, long voxel, int channel, TensorCoreHeadShape shape)
    {
        bool exists = channel < shape.Channels;
        uint word = input[Element(voxel, exists ? channel : 0, shape)];
        return exists ? word : 0;
    }

    private static uint PairMask(int present) => (present > 0 ? 0xFFFFu : 0) | (present > 1 ? 0xFFFF0000 : 0);

    private static long Element(long voxel, int channel, TensorCoreHeadShape shape)
        => (voxel < shape.Voxels ? voxel : shape.Voxels - 1) * shape.Pitch + channel;
}

/// <summary>What a tensor-core head works on.</summary>
internal struct TensorCoreHeadShape
{
    public long Voxels;
    public int Channels;
    public int Outputs;
    public int Pitch;

    /// <summary>1 where float32 activations can be fetched and stored by 16 bytes.</summary>
    public int Aligned;
}
