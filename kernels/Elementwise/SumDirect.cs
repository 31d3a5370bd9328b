namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>
/// The plain sum: strided partial sums, then their sum. Any accelerator. The reference for the others.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class SumDirect<T, TReal> : ISum<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly ThreadSums<T, TReal> sums;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>> partial;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, T> finish;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, T> spread;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public SumDirect(Accelerator accelerator)
    {
        sums = new ThreadSums<T, TReal>(accelerator);
        accelerator.Load(PartialKernel, out partial);
        accelerator.Load(FinishKernel, out finish);
        accelerator.Load(SpreadKernel, out spread);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(long count) => ThreadSums<T, TReal>.WorkspaceLength(count, 1);

    /// <inheritdoc/>
    void ISum<T>.LaunchSum(AcceleratorStream stream, ArrayView<T> source, ArrayView<T> workspace, ArrayView<T> total, T factor)
    {
        int partials = ThreadSums<T, TReal>.Partials(source.Length);
        partial(stream, partials, source, workspace.SubView(0, partials));
        ArrayView<T> groups = sums.Fold(stream, workspace, source.Length, 1);
        finish(stream, 1, groups, total, factor);
    }

    /// <inheritdoc/>
    void ISum<T>.LaunchSpread(AcceleratorStream stream, ArrayView<T> value, T factor, ArrayView<T> target)
        => spread(stream, LaunchExtent.Of(target.Length), value, target, factor);

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // partials[p] = Σ source over the elements p, p + P, p + 2P, … for P partials. One thread per partial,
    // neighbours read neighbours; partials overwritten, summed in the order of the elements.
    [Kernel]
    internal static void PartialKernel(
        Index1D index,
        ArrayView<T> source, // [n]
        ArrayView<T> partials) // [P]
    {
        T sum = T.Zero;
        for (long i = index.X; i < source.Length; i += partials.Length)
            sum += source[i];
        partials[index] = sum;
    }

    // total = factor·Σ groups. One thread; total overwritten.
    [Kernel]
    internal static void FinishKernel(
        Index1D index,
        ArrayView<T> groups, // [groups]
        ArrayView<T> total, // [1]
        T factor)
        => total[0] = factor * ThreadSums<T, TReal>.Total(groups, 1, 0);

    // target[i] = factor·value[0]. One thread per element; target overwritten.
    [Kernel]
    internal static void SpreadKernel(
        Index1D index,
        ArrayView<T> value, // [1]
        ArrayView<T> target, // [n]
        T factor)
        => target[index] = factor * value[0];
}
