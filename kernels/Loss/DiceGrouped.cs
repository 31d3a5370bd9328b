namespace MeanShiftGpu.Kernels.Loss;

/// <summary>
/// The Dice loss with sums in two stages of groups: any GPU. No warp operations, no atomics.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class DiceGrouped<T, TReal> : IDice<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly IDice<T> direct;
    private readonly LossGrouped<T, TReal, DiceSummand<T, TReal>> grouped;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public DiceGrouped(Accelerator accelerator)
    {
        direct = new DiceDirect<T, TReal>(accelerator);
        grouped = new LossGrouped<T, TReal, DiceSummand<T, TReal>>(accelerator);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(FlatShape shape) => GroupSum.WorkspaceLength(shape.Count);

    /// <inheritdoc/>
    void IDice<T>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> target, ArrayView<T> workspace, ArrayView<T> sums, ArrayView<T> loss,
        FlatShape shape)
        => grouped.Forward(stream, scores, target, workspace, sums, loss, shape);

    /// <inheritdoc/>
    void IDice<T>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<T> target, ArrayView<T> sums, ArrayView<T> gradLoss, ArrayView<T> gradScores,
        FlatShape shape)
        => direct.Backward(stream, target, sums, gradLoss, gradScores, shape);

    /// <inheritdoc/>
    public void Dispose() => direct.Dispose();
}

/// <summary>
/// p t and p + t, of two pairs at a time, each with sums of its own: A = 2 Σ p t + 1, B = Σ (p + t) + 1, L =
/// 1 − A / B, and the sums are A, B.
/// </summary>
internal readonly struct DiceSummand<T, TReal> : ISummand<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    /// <inheritdoc/>
    public static int PairsPerStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 2;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad<T> Step(ArrayView<T> scores, ArrayView<T> target, long i, long stride, long count)
    {
        long other = i + stride;
        bool exists = other < count;
        T p = scores[i];
        T t = target[i];
        T otherP = exists ? scores[other] : T.Zero;
        T otherT = exists ? target[other] : T.Zero;
        return new Quad<T>(p * t, p + t, otherP * otherT, otherP + otherT);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Finish(Quad<T> sum, ArrayView<T> sums, ArrayView<T> loss, long count)
    {
        T overlap = sum.X + sum.Z;
        T a = overlap + overlap + T.One;
        T b = sum.Y + sum.W + T.One;
        sums[0] = a;
        sums[1] = b;
        loss[0] = T.One - a / b;
    }
}
