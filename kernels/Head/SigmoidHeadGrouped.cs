using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Machine.Sums;

namespace MeanShiftGpu.Kernels.Head;

/// <summary>The head with loads of 16 bytes and weight gradients in two stages of groups: any GPU. No warp operations, no atomics.</summary>
/// <remarks>Budget: kernels/README.md.</remarks>
public sealed class SigmoidHeadGrouped<T, TReal> : ISigmoidHead<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    // A group of a weight gradient: 8 columns of four channels × 16 rows of voxels.
    private const int Columns = 8;
    private const int Rows = GroupSum.Threads / Columns;
    private const int MostParts = 256;

    private readonly SigmoidHeadDirect<T, TReal> direct;
    private readonly PartSums<T> partSums;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape, int> forward;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape, int> partialWeight;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public SigmoidHeadGrouped(Accelerator accelerator)
    {
        direct = new SigmoidHeadDirect<T, TReal>(accelerator);
        partSums = new PartSums<T>(accelerator);
        forward = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape, int>(ForwardKernel);
        partialWeight = accelerator.LoadKernel<ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape, int>(
            PartialWeightKernel, new KernelSpecialization(GroupSum.Threads, null));
    }

    /// <inheritdoc/>
    public long WorkspaceLength(SigmoidHeadShape shape) => (long)Parts(shape) * (shape.WeightLength + shape.Outputs);

    /// <inheritdoc/>
    public void Forward(AcceleratorStream stream, ArrayView<T> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> probability, SigmoidHeadShape shape)
        => forward(stream, LaunchExtent.Of(shape.Voxels * shape.Outputs), input, weight, bias, probability, shape, Access(input, shape));

    /// <inheritdoc/>
    public void BackwardInput(AcceleratorStream stream, ArrayView<T> gradProbability, ArrayView<T> probability, ArrayView<T> weight, ArrayView<T> gradInput, SigmoidHeadShape shape)
        => direct.BackwardInput(stream, gradProbability, probability, weight, gradInput, shape);

    /// <inheritdoc/>
    public void BackwardWeight(AcceleratorStream stream, ArrayView<T> input, ArrayView<T> gradProbability, ArrayView<T> probability, ArrayView<T> workspace, ArrayView<T> gradWeight, ArrayView<T> gradBias, SigmoidHeadShape shape)
    {
        int parts = Parts(shape);
        KernelConfig config = new(
            new Index3D(parts, (shape.InputChannels + 4 * Columns - 1) / (4 * Columns), shape.Outputs),
            new Index3D(GroupSum.Threads, 1, 1));
        partialWeight(stream, config, input, gradProbability, probability, workspace, shape, Access(input, shape));
        partSums.Add(stream, workspace, gradWeight.SubView(0, shape.WeightLength), gradBias.SubView(0, shape.Outputs), parts);
    }

    /// <inheritdoc/>
    public void Dispose() => direct.Dispose();

    private static int Access(ArrayView<T> input, SigmoidHeadShape shape) => QuadAccess.Allowed(input, shape.InputChannels, shape.InputPitch);

    // A function of the shape alone, so that every device adds in the same order.
    private static int Parts(SigmoidHeadShape shape)
        => (int)Math.Clamp((shape.Voxels + Rows * GroupSum.ItemsPerStep - 1) / (Rows * GroupSum.ItemsPerStep), 1, MostParts);

    // p[v,o] = 1 / (1 + exp(-(b[o] + sum over i of x[v,i] w[i,o]))).
    // One thread per (voxel, output), four channels a load; probability overwritten, sums in channel order. exp may overflow to infinity: then
    // p is 0, as it should be.
    [Kernel]
    internal static void ForwardKernel(
        Index1D index,
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> weight, // [Cin, Outputs]
        ArrayView<T> bias, // [Outputs]
        ArrayView<T> probability, // [N, D, H, W, Outputs]
        SigmoidHeadShape shape,
        int access)
    {
        int o = index.X % shape.Outputs;
        long source = (long)(index.X / shape.Outputs) * shape.InputPitch;
        T sum = bias[o];
        for (int i = 0; i < shape.InputChannels; i += 4)
        {
            int count = shape.InputChannels - i;
            Quad<T> x = QuadAccess.Load(input, source + i, count, access);
            int w = i * shape.Outputs + o;
            sum += x.X * weight[w];
            if (count > 1)
                sum += x.Y * weight[w + shape.Outputs];
            if (count > 2)
                sum += x.Z * weight[w + 2 * shape.Outputs];
            if (count > 3)
                sum += x.W * weight[w + 3 * shape.Outputs];
        }

        probability[index] = T.One / (T.One + TReal.Exp(-sum));
    }

    // parts[g,i,o] = sum over group g's voxels of x[v,i] dp[v,o] p(1-p), behind them [g,o] without x. Group: part × 32 channels × output; thread: four
    // channels of every 16th voxel, four voxels at a time; then the first of a column adds the 16 rows in order. Parts overwritten.
    [Kernel(MaxGroupSize = GroupSum.Threads)]
    internal static void PartialWeightKernel(
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> gradProbability, // [N, D, H, W, Outputs]
        ArrayView<T> probability, // [N, D, H, W, Outputs]
        ArrayView<T> parts, // [parts, Cin·Outputs + Outputs]
        SigmoidHeadShape shape,
        int access)
    {
        ArrayView<Quad<T>> weightSums = SharedMemory.Allocate<Quad<T>>(GroupSum.Threads);
        ArrayView<T> biasSums = SharedMemory.Allocate<T>(GroupSum.Threads);
        int o = Grid.IdxZ;
        int channel = (Grid.IdxY * Columns + Group.IdxX % Columns) * 4;
        int present = shape.InputChannels - channel;
        long stride = (long)Grid.DimX * Rows;
        Quad<T> sum = Quad<T>.Zero;
        T biasSum = T.Zero;
        for (long v = (long)Grid.IdxX * Rows + Group.IdxX / Columns; v < shape.Voxels; v += 4 * stride)
        {
            T g0 = GradLogit(gradProbability, probability, v, o, shape);
            T g1 = GradLogit(gradProbability, probability, v + stride, o, shape);
            T g2 = GradLogit(gradProbability, probability, v + 2 * stride, o, shape);
            T g3 = GradLogit(gradProbability, probability, v + 3 * stride, o, shape);
            Quad<T> x0 = LoadInput(input, v, channel, present, shape, access);
            Quad<T> x1 = LoadInput(input, v + stride, channel, present, shape, access);
            Quad<T> x2 = LoadInput(input, v + 2 * stride, channel, present, shape, access);
            Quad<T> x3 = LoadInput(input, v + 3 * stride, channel, present, shape, access);
            sum = Quad<T>.MultiplyAdd(g0, x0, Quad<T>.MultiplyAdd(g1, x1, Quad<T>.MultiplyAdd(g2, x2, Quad<T>.MultiplyAdd(g3, x3, sum))));
            biasSum += g0 + g1 + (g2 + g3);
        }

        weightSums[Group.IdxX] = sum;
        biasSums[Group.IdxX] = biasSum;
        Group.Barrier();
        if (Group.IdxX >= Columns)
            return;
        for (int row = 1; row < Rows; row++)
        {
            sum = Quad<T>.Add(sum, weightSums[row * Columns + Group.IdxX]);
            biasSum += biasSums[row * Columns + Group.IdxX];
        }

        long part = (long)Grid.IdxX * (shape.WeightLength + shape.Outputs);
        long index = part + (long)channel * shape.Outputs + o;
        if (present > 0)
            parts[index] = sum.X;
        if (present > 1)
            parts[index + shape.Outputs] = sum.Y;
        if (present > 2)
            parts[index + 2L * shape.Outputs] = sum.Z;
        if (present > 3)
            parts[index + 3L * shape.Outputs] = sum.W;
        if (channel == 0)
            parts[part + shape.WeightLength + o] = biasSum;
    }

    private static Quad<T> LoadInput(ArrayView<T> input, long voxel, int channel, int present, SigmoidHeadShape shape, int access)
        => voxel < shape.Voxels && present > 0 ? QuadAccess.Load(input, voxel * shape.InputPitch + channel, present, access) : Quad<T>.Zero;

    private static T GradLogit(ArrayView<T> gradProbability, ArrayView<T> probability, long voxel, int o, SigmoidHeadShape shape)
    {
        if (voxel >= shape.Voxels)
            return T.Zero;
        T p = probability[voxel * shape.Outputs + o];
        return gradProbability[voxel * shape.Outputs + o] * p * (T.One - p);
    }
}
