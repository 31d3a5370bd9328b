namespace MeanShiftGpu.Kernels.Loss;

/// <summary>
/// The binary cross-entropy with its sum in two stages of groups: any GPU. No warp operations, no atomics.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class BinaryCrossEntropyGrouped<T, TReal> : IBinaryCrossEntropy<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly IBinaryCrossEntropy<T> direct;
    private readonly LossGrouped<T, TReal, BinaryCrossEntropySummand<T, TReal>> grouped;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public BinaryCrossEntropyGrouped(Accelerator accelerator)
    {
        direct = new BinaryCrossEntropyDirect<T, TReal>(accelerator);
        grouped = new LossGrouped<T, TReal, BinaryCrossEntropySummand<T, TReal>>(accelerator);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(FlatShape shape) => GroupSum.WorkspaceLength(shape.Count);

    /// <inheritdoc/>
    void IBinaryCrossEntropy<T>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> target, ArrayView<T> workspace, ArrayView<T> loss,
        FlatShape shape)
        // The backward pass reads no sums, so there is no memory for them: the loss's stands in, unused.
        => grouped.Forward(stream, scores, target, workspace, sums: loss, loss, shape);

    /// <inheritdoc/>
    void IBinaryCrossEntropy<T>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> target, ArrayView<T> gradLoss, ArrayView<T> gradScores,
        FlatShape shape)
        => direct.Backward(stream, scores, target, gradLoss, gradScores, shape);

    /// <inheritdoc/>
    public void Dispose() => direct.Dispose();
}

/// <summary>t log p + (1 − t) log(1 − p), of four pairs at a time with a sum each: L = −Σ / n.</summary>
internal readonly struct BinaryCrossEntropySummand<T, TReal> : ISummand<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    /// <inheritdoc/>
    public static int PairsPerStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 4;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Step(ArrayView<T> scores, ArrayView<T> target, long i, long stride, long count)
        => new(
            Term(scores, target, i, count),
            Term(scores, target, i + stride, count),
            Term(scores, target, i + 2 * stride, count),
            Term(scores, target, i + 3 * stride, count));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Finish(Quad<T> sum, ArrayView<T> sums, ArrayView<T> loss, long count)
        => loss[0] = -(sum.X + sum.Y + (sum.Z + sum.W)) / TReal.From(count);

    private static T Term(ArrayView<T> scores, ArrayView<T> target, long i, long count)
        => i < count ? BinaryCrossEntropyDirect<T, TReal>.Term(scores[i], target[i]) : T.Zero;
}
