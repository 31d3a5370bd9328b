using System.Numerics;
using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Kernels;

/// <summary>The binary cross-entropy with its sum in two stages of groups: any GPU. No warp operations, no atomics.</summary>
/// <remarks>
/// Budget at 56³, float32: 1.4 MB read forward, 2.1 MB read and written backward, 0.3 and 0.4 µs of an H200's memory; two logarithms an element, 0.2 µs of its
/// special units: launches and latency are all. A thread of the direct kernel adds 86 elements in a row, some 600 cycles each, 30 µs; here 5 or 6, four at a
/// time, in 2 µs, and the second stage 2 µs, against about 50 µs of the direct kernels' three (estimates, not measured; a smaller GPU has the same
/// latencies). The backward pass is two reads and one write per element and is the direct kernel.
/// </remarks>
public sealed class BinaryCrossEntropyGrouped<T, TReal> : IBinaryCrossEntropy<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly BinaryCrossEntropyDirect<T, TReal> direct;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, FlatShape> partial;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, FlatShape, int> total;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public BinaryCrossEntropyGrouped(Accelerator accelerator)
    {
        direct = new BinaryCrossEntropyDirect<T, TReal>(accelerator);
        KernelSpecialization specialization = new(GroupSum.Threads, null);
        partial = accelerator.LoadKernel<ArrayView<T>, ArrayView<T>, ArrayView<T>, FlatShape>(PartialKernel, specialization);
        total = accelerator.LoadKernel<ArrayView<T>, ArrayView<T>, FlatShape, int>(TotalKernel, specialization);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(FlatShape shape) => GroupSum.WorkspaceLength(shape.Count);

    /// <inheritdoc/>
    public void Forward(AcceleratorStream stream, ArrayView<T> prediction, ArrayView<T> target, ArrayView<T> workspace, ArrayView<T> loss, FlatShape shape)
    {
        int groups = GroupSum.Groups(shape.Count);
        partial(stream, new KernelConfig(groups, GroupSum.Threads), prediction, target, workspace, shape);
        total(stream, new KernelConfig(1, GroupSum.Threads), workspace, loss, shape, groups);
    }

    /// <inheritdoc/>
    public void Backward(AcceleratorStream stream, ArrayView<T> prediction, ArrayView<T> target, ArrayView<T> gradLoss, ArrayView<T> gradPrediction, FlatShape shape)
        => direct.Backward(stream, prediction, target, gradLoss, gradPrediction, shape);

    /// <inheritdoc/>
    public void Dispose() => direct.Dispose();

    // workspace[g] = sums of t log p + (1 - t) log(1 - p) over the elements of group g's threads, which take every (groups·128)th, four at a time with a sum
    // each; then as GroupSum.Sum; workspace overwritten.
    [Kernel(MaxGroupSize = GroupSum.Threads)]
    internal static void PartialKernel(
        ArrayView<T> prediction, // [Count]
        ArrayView<T> target, // [Count]
        ArrayView<T> workspace, // [groups, 4]
        FlatShape shape)
    {
        ArrayView<Quad<T>> memory = SharedMemory.Allocate<Quad<T>>(GroupSum.MemoryLength);
        long stride = (long)Grid.DimX * GroupSum.Threads;
        Quad<T> sum = Quad<T>.Zero;
        for (long i = (long)Grid.IdxX * GroupSum.Threads + Group.IdxX; i < shape.Count; i += 4 * stride)
        {
            sum = Quad<T>.Add(sum, new Quad<T>(
                Term(prediction, target, i, shape),
                Term(prediction, target, i + stride, shape),
                Term(prediction, target, i + 2 * stride, shape),
                Term(prediction, target, i + 3 * stride, shape)));
        }

        sum = GroupSum.Sum(memory, sum);
        if (Group.IdxX == 0)
            workspace.Cast<Quad<T>>()[Grid.IdxX] = sum;
    }

    // L = -sum / n. One group; loss overwritten.
    [Kernel(MaxGroupSize = GroupSum.Threads)]
    internal static void TotalKernel(
        ArrayView<T> workspace, // [groups, 4]
        ArrayView<T> loss, // [1]
        FlatShape shape,
        int groups)
    {
        ArrayView<Quad<T>> memory = SharedMemory.Allocate<Quad<T>>(GroupSum.MemoryLength);
        Quad<T> sum = GroupSum.Total(memory, workspace, groups);
        if (Group.IdxX == 0)
            loss[0] = -(sum.X + sum.Y + (sum.Z + sum.W)) / TReal.From(shape.Count);
    }

    private static T Term(ArrayView<T> prediction, ArrayView<T> target, long i, FlatShape shape)
        => i < shape.Count ? BinaryCrossEntropyDirect<T, TReal>.Term(prediction[i], target[i]) : T.Zero;
}
