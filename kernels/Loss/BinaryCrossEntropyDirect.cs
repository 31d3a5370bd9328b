namespace MeanShiftGpu.Kernels.Loss;

/// <summary>
/// The plain binary cross-entropy: the sum by partial sums, any accelerator. The reference for the others.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class BinaryCrossEntropyDirect<T, TReal> : IBinaryCrossEntropy<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly ThreadSums<T, TReal> folded;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, FlatShape> partial;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, FlatShape> total;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        FlatShape> backward;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public BinaryCrossEntropyDirect(Accelerator accelerator)
    {
        folded = new ThreadSums<T, TReal>(accelerator);
        accelerator.Load(PartialKernel, out partial);
        accelerator.Load(TotalKernel, out total);
        accelerator.Load(BackwardKernel, out backward);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(FlatShape shape) => ThreadSums<T, TReal>.WorkspaceLength(shape.Count, 1);

    /// <inheritdoc/>
    void IBinaryCrossEntropy<T>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> target, ArrayView<T> workspace, ArrayView<T> loss,
        FlatShape shape)
    {
        partial(stream, ThreadSums<T, TReal>.Partials(shape.Count), scores, target, workspace, shape);
        total(stream, 1, folded.Fold(stream, workspace, shape.Count, 1), loss, shape);
    }

    /// <inheritdoc/>
    void IBinaryCrossEntropy<T>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> target, ArrayView<T> gradLoss, ArrayView<T> gradScores,
        FlatShape shape)
        => backward(stream, LaunchExtent.Of(shape.Count), scores, target, gradLoss, gradScores, shape);

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // Partial sums of t log p + (1 - t) log(1 - p) over the elements q, q + partials, …; logarithms at least
    // -100. One thread per partial q; workspace overwritten. Logarithms of 0 are not taken: not every device
    // returns -infinity.
    [Kernel]
    internal static void PartialKernel(
        Index1D index,
        ArrayView<T> scores, // [Count]
        ArrayView<T> target, // [Count]
        ArrayView<T> workspace, // [partials]
        FlatShape shape)
    {
        int partials = ThreadSums<T, TReal>.Partials(shape.Count);
        T sum = T.Zero;
        for (long i = index.X; i < shape.Count; i += partials)
            sum += Term(scores[i], target[i]);
        workspace[index] = sum;
    }

    // L = -sum / n. One thread; loss overwritten.
    [Kernel]
    internal static void TotalKernel(
        Index1D index,
        ArrayView<T> groups, // [groups]
        ArrayView<T> loss, // [1]
        FlatShape shape)
        => loss[index] = -ThreadSums<T, TReal>.Total(groups, 1, 0) / TReal.From(shape.Count);

    // dL/dp = (p - t) / max(p (1 - p), 1e-12) / n, times gradLoss. One thread per element; gradScores
    // overwritten.
    [Kernel]
    internal static void BackwardKernel(
        Index1D index,
        ArrayView<T> scores, // [Count]
        ArrayView<T> target, // [Count]
        ArrayView<T> gradLoss, // [1]
        ArrayView<T> gradScores, // [Count]
        FlatShape shape)
    {
        T p = scores[index];
        T variance = p * (T.One - p);
        T least = TReal.From(1e-12);
        if (variance < least)
            variance = least;
        gradScores[index] = gradLoss[0] / TReal.From(shape.Count) * (p - target[index]) / variance;
    }

    /// <summary>t log p + (1 − t) log(1 − p), logarithms at least −100.</summary>
    internal static T Term(T scores, T target)
        => target * ClampedLog(scores) + (T.One - target) * ClampedLog(T.One - scores);

    // NaN is not ≤ 0 and not below −100, so it reaches the loss.
    private static T ClampedLog(T value)
    {
        T floor = TReal.From(-100.0);
        if (value <= T.Zero)
            return floor;
        T log = TReal.Log(value);
        return log < floor ? floor : log;
    }
}
