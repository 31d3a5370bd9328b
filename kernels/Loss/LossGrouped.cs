namespace MeanShiftGpu.Kernels.Loss;

/// <summary>
/// What a loss adds up over pairs of scores and target, as a type parameter of the kernels, so that each loss
/// compiles to its own code.
/// </summary>
internal interface ISummand<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Pairs that a step takes.</summary>
    static abstract int PairsPerStep { get; }

    /// <summary>The four sums of the pairs i, i + stride, … of a step, without those from count on.</summary>
    static abstract Quad<T> Step(ArrayView<T> scores, ArrayView<T> target, long i, long stride, long count);

    /// <summary>
    /// Writes the loss, and sums [2] where the backward pass reads such, from the four sums over all pairs.
    /// </summary>
    static abstract void Finish(Quad<T> sum, ArrayView<T> sums, ArrayView<T> loss, long count);
}

/// <summary>
/// A loss's forward pass with sums in two stages of groups: any GPU. No warp operations, no atomics.
/// </summary>
internal sealed class LossGrouped<T, TReal, TSummand>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
    where TSummand : struct, ISummand<T>
{
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, FlatShape> partial;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, FlatShape, int> total;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public LossGrouped(Accelerator accelerator)
    {
        KernelSpecialization specialization = new(GroupSum.Threads, null);
        accelerator.Load(PartialKernel, specialization, out partial);
        accelerator.Load(TotalKernel, specialization, out total);
    }

    /// <summary>
    /// Overwrites what <see cref="ISummand{T}.Finish"/> writes; workspace is as long as
    /// <see cref="GroupSum.WorkspaceLength"/> says.
    /// </summary>
    public void Forward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> target, ArrayView<T> workspace, ArrayView<T> sums, ArrayView<T> loss,
        FlatShape shape)
    {
        int groups = GroupSum.Groups(shape.Count);
        partial(stream, new KernelConfig(groups, GroupSum.Threads), scores, target, workspace, shape);
        total(stream, new KernelConfig(1, GroupSum.Threads), workspace, sums, loss, shape, groups);
    }

    // workspace[g] = the summand's sums over the pairs of group g's threads, which take every (groups·128)th,
    // some at a time; then as GroupSum.Sum; workspace overwritten.
    [Kernel(MaxGroupSize = GroupSum.Threads)]
    internal static void PartialKernel(
        ArrayView<T> scores, // [Count]
        ArrayView<T> target, // [Count]
        ArrayView<T> workspace, // [groups, 4]
        FlatShape shape)
    {
        ArrayView<Quad<T>> memory = SharedMemory.Allocate<Quad<T>>(GroupSum.MemoryLength);
        long stride = (long)Grid.DimX * GroupSum.Threads;
        Quad<T> sum = Quad<T>.Zero;
        for (long i = (long)Grid.IdxX * GroupSum.Threads + Group.IdxX; i < shape.Count; i += TSummand.PairsPerStep * stride)
            sum = Quad<T>.Add(sum, TSummand.Step(scores, target, i, stride, shape.Count));

        sum = GroupSum.Sum(memory, sum);
        if (Group.IdxX == 0)
            workspace.Cast<Quad<T>>()[Grid.IdxX] = sum;
    }

    // The loss from the groups' sums. One group; sums and loss overwritten.
    [Kernel(MaxGroupSize = GroupSum.Threads)]
    internal static void TotalKernel(
        ArrayView<T> workspace, // [groups, 4]
        ArrayView<T> sums, // [2] or unused
        ArrayView<T> loss, // [1]
        FlatShape shape,
        int groups)
    {
        ArrayView<Quad<T>> memory = SharedMemory.Allocate<Quad<T>>(GroupSum.MemoryLength);
        Quad<T> sum = GroupSum.Total(memory, workspace, groups);
        if (Group.IdxX == 0)
            TSummand.Finish(sum, sums, loss, shape.Count);
    }
}
