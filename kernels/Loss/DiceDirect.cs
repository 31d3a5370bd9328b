namespace MeanShiftGpu.Kernels.Loss;

/// <summary>
/// The plain Dice loss: sums by partial sums, then one thread per element, any accelerator. The reference for
/// the others.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class DiceDirect<T, TReal> : IDice<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private const int Sums = 2;
    private readonly ThreadSums<T, TReal> folded;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, FlatShape> partial;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>> total;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>> backward;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public DiceDirect(Accelerator accelerator)
    {
        folded = new ThreadSums<T, TReal>(accelerator);
        accelerator.Load(PartialKernel, out partial);
        accelerator.Load(TotalKernel, out total);
        accelerator.Load(BackwardKernel, out backward);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(FlatShape shape) => ThreadSums<T, TReal>.WorkspaceLength(shape.Count, Sums);

    /// <inheritdoc/>
    void IDice<T>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> target, ArrayView<T> workspace, ArrayView<T> sums, ArrayView<T> loss,
        FlatShape shape)
    {
        partial(stream, ThreadSums<T, TReal>.Partials(shape.Count), scores, target, workspace, shape);
        total(stream, 1, folded.Fold(stream, workspace, shape.Count, Sums), sums, loss);
    }

    /// <inheritdoc/>
    void IDice<T>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<T> target, ArrayView<T> sums, ArrayView<T> gradLoss, ArrayView<T> gradScores,
        FlatShape shape)
        => backward(stream, LaunchExtent.Of(shape.Count), target, sums, gradLoss, gradScores);

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // Partial sums of p t and of p + t over the elements q, q + partials, ….
    // One thread per partial q; workspace overwritten.
    [Kernel]
    internal static void PartialKernel(
        Index1D index,
        ArrayView<T> scores, // [Count]
        ArrayView<T> target, // [Count]
        ArrayView<T> workspace, // [partials, 2]
        FlatShape shape)
    {
        int partials = ThreadSums<T, TReal>.Partials(shape.Count);
        T overlap = T.Zero;
        T size = T.Zero;
        for (long i = index.X; i < shape.Count; i += partials)
        {
            overlap += scores[i] * target[i];
            size += scores[i] + target[i];
        }

        workspace[index.X * Sums] = overlap;
        workspace[index.X * Sums + 1] = size;
    }

    // A = 2 sum(p t) + 1, B = sum(p + t) + 1, L = 1 - A / B. One thread; sums and loss overwritten.
    [Kernel]
    internal static void TotalKernel(
        Index1D index,
        ArrayView<T> groups, // [groups, 2]
        ArrayView<T> sums, // [2]: A, B
        ArrayView<T> loss) // [1]
    {
        T overlap = ThreadSums<T, TReal>.Total(groups, Sums, 0);
        T a = overlap + overlap + T.One;
        T b = ThreadSums<T, TReal>.Total(groups, Sums, 1) + T.One;
        sums[0] = a;
        sums[1] = b;
        loss[index] = T.One - a / b;
    }

    // dL/dp = (A / B - 2 t) / B, times gradLoss. One thread per element; gradScores overwritten.
    [Kernel]
    internal static void BackwardKernel(
        Index1D index,
        ArrayView<T> target, // [Count]
        ArrayView<T> sums, // [2]: A, B
        ArrayView<T> gradLoss, // [1]
        ArrayView<T> gradScores) // [Count]
    {
        T b = sums[1];
        gradScores[index] = gradLoss[0] / b * (sums[0] / b - target[index] - target[index]);
    }
}
