using System.Numerics;
using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Kernels;

/// <summary>The Dice loss with sums in two stages of groups: any GPU. No warp operations, no atomics.</summary>
/// <remarks>
/// Budget at 56³, float32: 1.4 MB read forward, as much read and written backward, 0.3 µs of an H200's memory each: launches and
/// latency are all. A thread of the direct kernel adds 86 pairs in a row, some 600 cycles each; here 5 or 6, two at a time, in 2 µs, and the second
/// stage 2 µs, against about 50 µs of the direct kernels on an H200 (estimates, not measured; a smaller GPU has the same latencies). The backward
/// pass is one read and one write per element and is the direct kernel.
/// </remarks>
public sealed class DiceGrouped<T, TReal> : IDice<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly DiceDirect<T, TReal> direct;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, FlatShape> partial;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, int> total;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public DiceGrouped(Accelerator accelerator)
    {
        direct = new DiceDirect<T, TReal>(accelerator);
        KernelSpecialization specialization = new(GroupSum.Threads, null);
        partial = accelerator.LoadKernel<ArrayView<T>, ArrayView<T>, ArrayView<T>, FlatShape>(PartialKernel, specialization);
        total = accelerator.LoadKernel<ArrayView<T>, ArrayView<T>, ArrayView<T>, int>(TotalKernel, specialization);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(FlatShape shape) => GroupSum.WorkspaceLength(shape.Count);

    /// <inheritdoc/>
    public void Forward(AcceleratorStream stream, ArrayView<T> prediction, ArrayView<T> target, ArrayView<T> workspace, ArrayView<T> sums, ArrayView<T> loss, FlatShape shape)
    {
        int groups = GroupSum.Groups(shape.Count);
        partial(stream, new KernelConfig(groups, GroupSum.Threads), prediction, target, workspace, shape);
        total(stream, new KernelConfig(1, GroupSum.Threads), workspace, sums, loss, groups);
    }

    /// <inheritdoc/>
    public void Backward(AcceleratorStream stream, ArrayView<T> target, ArrayView<T> sums, ArrayView<T> gradLoss, ArrayView<T> gradPrediction, FlatShape shape)
        => direct.Backward(stream, target, sums, gradLoss, gradPrediction, shape);

    /// <inheritdoc/>
    public void Dispose() => direct.Dispose();

    // workspace[g] = sums of p t and of p + t over the elements of group g's threads, which take every (groups·128)th.
    // Two elements at a time, each with sums of its own; then as GroupSum.Sum; workspace overwritten.
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
        for (long i = (long)Grid.IdxX * GroupSum.Threads + Group.IdxX; i < shape.Count; i += 2 * stride)
        {
            long other = i + stride;
            bool exists = other < shape.Count;
            T p = prediction[i];
            T t = target[i];
            T otherP = exists ? prediction[other] : T.Zero;
            T otherT = exists ? target[other] : T.Zero;
            sum = Quad<T>.Add(sum, new Quad<T>(p * t, p + t, otherP * otherT, otherP + otherT));
        }

        sum = GroupSum.Sum(memory, sum);
        if (Group.IdxX == 0)
            workspace.Cast<Quad<T>>()[Grid.IdxX] = sum;
    }

    // A = 2 sum(p t) + 1, B = sum(p + t) + 1, L = 1 - A / B. One group; sums and loss overwritten.
    [Kernel(MaxGroupSize = GroupSum.Threads)]
    internal static void TotalKernel(
        ArrayView<T> workspace, // [groups, 4]
        ArrayView<T> sums, // [2]: A, B
        ArrayView<T> loss, // [1]
        int groups)
    {
        ArrayView<Quad<T>> memory = SharedMemory.Allocate<Quad<T>>(GroupSum.MemoryLength);
        Quad<T> sum = GroupSum.Total(memory, workspace, groups);
        if (Group.IdxX != 0)
            return;
        T overlap = sum.X + sum.Z;
        T a = overlap + overlap + T.One;
        T b = sum.Y + sum.W + T.One;
        sums[0] = a;
        sums[1] = b;
        loss[0] = T.One - a / b;
    }
}
