using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Machine.Sums;

namespace MeanShiftGpu.Kernels.Head;

/// <summary>The plain head: one thread per result, sums over voxels by partial sums, any accelerator. The truth for the others.</summary>
/// <remarks>Budget: kernels/README.md.</remarks>
public sealed class SigmoidHeadDirect<T, TReal> : ISigmoidHead<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly ThreadSums<T, TReal> sums;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape> forward;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape> backwardInput;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, int, SigmoidHeadShape> partialWeight;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape> totalWeight;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public SigmoidHeadDirect(Accelerator accelerator)
    {
        sums = new ThreadSums<T, TReal>(accelerator);
        forward = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape>(ForwardKernel);
        backwardInput = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape>(BackwardInputKernel);
        partialWeight = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, int, SigmoidHeadShape>(PartialWeightKernel);
        totalWeight = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, SigmoidHeadShape>(TotalWeightKernel);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(SigmoidHeadShape shape) => ThreadSums<T, TReal>.WorkspaceLength(shape.Voxels, Sums(shape));

    /// <inheritdoc/>
    public void Forward(AcceleratorStream stream, ArrayView<T> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> probability, SigmoidHeadShape shape)
        => forward(stream, LaunchExtent.Of(shape.Voxels * shape.Outputs), input, weight, bias, probability, shape);

    /// <inheritdoc/>
    public void BackwardInput(AcceleratorStream stream, ArrayView<T> gradProbability, ArrayView<T> probability, ArrayView<T> weight, ArrayView<T> gradInput, SigmoidHeadShape shape)
        => backwardInput(stream, LaunchExtent.Of(shape.Voxels * shape.InputChannels), gradProbability, probability, weight, gradInput, shape);

    /// <inheritdoc/>
    public void BackwardWeight(AcceleratorStream stream, ArrayView<T> input, ArrayView<T> gradProbability, ArrayView<T> probability, ArrayView<T> workspace, ArrayView<T> gradWeight, ArrayView<T> gradBias, SigmoidHeadShape shape)
    {
        int partials = ThreadSums<T, TReal>.Partials(shape.Voxels);
        partialWeight(stream, LaunchExtent.Of((long)partials * Sums(shape)), input, gradProbability, probability, workspace, partials, shape);
        ArrayView<T> groups = sums.Fold(stream, workspace, shape.Voxels, Sums(shape));
        totalWeight(stream, Sums(shape), groups, gradWeight, gradBias, shape);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // One for every weight, then one for every bias.
    private static int Sums(SigmoidHeadShape shape) => shape.WeightLength + shape.Outputs;

    // p[v,o] = 1 / (1 + exp(-(b[o] + sum over i of x[v,i] w[i,o]))).
    // One thread per (voxel, output); probability overwritten. exp may overflow to infinity: then p is 0, as it should be.
    [Kernel]
    internal static void ForwardKernel(
        Index1D index,
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> weight, // [Cin, Outputs]
        ArrayView<T> bias, // [Outputs]
        ArrayView<T> probability, // [N, D, H, W, Outputs]
        SigmoidHeadShape shape)
    {
        int o = index.X % shape.Outputs;
        long source = (long)(index.X / shape.Outputs) * shape.InputPitch;
        T sum = bias[o];
        for (int i = 0; i < shape.InputChannels; i++)
            sum += input[source + i] * weight[i * shape.Outputs + o];
        probability[index] = T.One / (T.One + TReal.Exp(-sum));
    }

    // dx[v,i] = sum over o of dp[v,o] p(1-p) w[i,o].
    // One thread per (voxel, input channel); gradInput overwritten.
    [Kernel]
    internal static void BackwardInputKernel(
        Index1D index,
        ArrayView<T> gradProbability, // [N, D, H, W, Outputs]
        ArrayView<T> probability, // [N, D, H, W, Outputs]
        ArrayView<T> weight, // [Cin, Outputs]
        ArrayView<T> gradInput, // [N, D, H, W, Cin], pitch InputPitch
        SigmoidHeadShape shape)
    {
        int i = index.X % shape.InputChannels;
        long voxel = index.X / shape.InputChannels;
        T sum = T.Zero;
        for (int o = 0; o < shape.Outputs; o++)
            sum += GradLogit(gradProbability, probability, voxel * shape.Outputs + o) * weight[i * shape.Outputs + o];
        gradInput[voxel * shape.InputPitch + i] = sum;
    }

    // Partial sums, over the voxels v = p, p + partials, …, of dw[i,o] = x[v,i] dp[v,o] p(1-p) and db[o] = dp[v,o] p(1-p).
    // One thread per (partial, weight or bias); workspace overwritten.
    [Kernel]
    internal static void PartialWeightKernel(
        Index1D index,
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> gradProbability, // [N, D, H, W, Outputs]
        ArrayView<T> probability, // [N, D, H, W, Outputs]
        ArrayView<T> workspace, // [partials, Cin·Outputs + Outputs]
        int partials,
        SigmoidHeadShape shape)
    {
        int count = shape.WeightLength + shape.Outputs;
        int parameter = index.X % count;
        int i = parameter / shape.Outputs;
        int o = parameter % shape.Outputs;
        T sum = T.Zero;
        for (long voxel = index.X / count; voxel < shape.Voxels; voxel += partials)
        {
            T gradient = GradLogit(gradProbability, probability, voxel * shape.Outputs + o);
            if (i < shape.InputChannels)
                gradient *= input[voxel * shape.InputPitch + i];
            sum += gradient;
        }

        workspace[index] = sum;
    }

    // dw and db from the groups of partial sums. One thread per weight, then one per bias; both accumulate.
    [Kernel]
    internal static void TotalWeightKernel(
        Index1D index,
        ArrayView<T> groups, // [groups, Cin·Outputs + Outputs]
        ArrayView<T> gradWeight, // [Cin, Outputs]
        ArrayView<T> gradBias, // [Outputs]
        SigmoidHeadShape shape)
    {
        T total = ThreadSums<T, TReal>.Total(groups, shape.WeightLength + shape.Outputs, index.X);
        if (index.X < shape.WeightLength)
            gradWeight[index] += total;
        else
            gradBias[index.X - shape.WeightLength] += total;
    }

    private static T GradLogit(ArrayView<T> gradProbability, ArrayView<T> probability, long element)
        => gradProbability[element] * probability[element] * (T.One - probability[element]);
}
