namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>
/// The plain elementwise arithmetic: one thread per element, any accelerator. The reference for the others.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
/// <typeparam name="T">The real type.</typeparam>
/// <typeparam name="TReal">Its functions; none is needed.</typeparam>
/// <typeparam name="TActivation">What activations hold: <typeparamref name="T"/> or
/// <see cref="Bf16"/>.</typeparam>
/// <typeparam name="TStored">How that lies in memory: <see cref="Plain{T}"/> or
/// <see cref="Bf16"/>.</typeparam>
internal sealed class ElementwiseDirect<T, TReal, TActivation, TStored> : IElementwise<TActivation, T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
    where TActivation : unmanaged
    where TStored : unmanaged, IStored<TStored, T>
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<TStored>, ArrayView<TStored>, ElementwiseShape> add;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<TStored>, ElementwiseShape> round;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<TStored>, ArrayView<T>, ElementwiseShape> widen;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ElementwiseShape> mask;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, T> fill;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, T, ArrayView<T>, int> weightedAdd;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, FourFactors<T>,
        ArrayView<T>, int> weightedSum;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, FourFactors<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        ArrayView<T>> spread;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public ElementwiseDirect(Accelerator accelerator)
    {
        accelerator.Load(ElementwiseDirectKernels<T>.AddKernel<TStored>, out add);
        accelerator.Load(ElementwiseDirectKernels<T>.RoundKernel<TStored>, out round);
        accelerator.Load(ElementwiseDirectKernels<T>.WidenKernel<TStored>, out widen);
        accelerator.Load(ElementwiseDirectKernels<T>.MaskKernel, out mask);
        accelerator.Load(ElementwiseDirectKernels<T>.FillKernel, out fill);
        accelerator.Load(ElementwiseDirectKernels<T>.WeightedAddKernel, out weightedAdd);
        accelerator.Load(ElementwiseDirectKernels<T>.WeightedSumKernel, out weightedSum);
        accelerator.Load(ElementwiseDirectKernels<T>.SpreadKernel, out spread);
    }

    /// <inheritdoc/>
    void IElementwise<TActivation, T>.LaunchAdd(
        AcceleratorStream stream, ArrayView<TActivation> source, ArrayView<TActivation> target, ElementwiseShape shape)
        => add(stream, LaunchExtent.Of(shape.Voxels * shape.Channels), source.Cast<TStored>(), target.Cast<TStored>(), shape);

    /// <inheritdoc/>
    void IElementwise<TActivation, T>.LaunchRound(
        AcceleratorStream stream, ArrayView<T> source, ArrayView<TActivation> target, ElementwiseShape shape)
        => round(stream, LaunchExtent.Of(shape.Voxels * shape.Channels), source, target.Cast<TStored>(), shape);

    /// <inheritdoc/>
    void IElementwise<TActivation, T>.LaunchWiden(
        AcceleratorStream stream, ArrayView<TActivation> source, ArrayView<T> target, ElementwiseShape shape)
        => widen(stream, LaunchExtent.Of(shape.Voxels * shape.Channels), source.Cast<TStored>(), target, shape);

    /// <inheritdoc/>
    void IElementwise<TActivation, T>.LaunchMask(
        AcceleratorStream stream, ArrayView<T> source, ArrayView<T> weight, ArrayView<T> target, ElementwiseShape shape)
        => mask(stream, LaunchExtent.Of(shape.Voxels * shape.Channels), source, weight, target, shape);

    /// <inheritdoc/>
    void IElementwise<TActivation, T>.LaunchFill(AcceleratorStream stream, ArrayView<T> target, T value)
        => fill(stream, LaunchExtent.Of(target.Length), target, value);

    /// <inheritdoc/>
    void IElementwise<TActivation, T>.LaunchWeightedAdd(
        AcceleratorStream stream, ArrayView<T> term, T weight, ArrayView<T> total, int accumulate)
        => weightedAdd(stream, LaunchExtent.Of(total.Length), term, weight, total, accumulate);

    /// <inheritdoc/>
    void IElementwise<TActivation, T>.LaunchWeightedSum(
        AcceleratorStream stream, ReadOnlySpan<ArrayView<T>> terms, ReadOnlySpan<T> weights, ArrayView<T> total)
    {
        for (int k = 0; k < terms.Length; k += FourFactors<T>.Most)
        {
            ReadOnlySpan<ArrayView<T>> four = terms[k..];
            weightedSum(stream, 1, At(four, 0), At(four, 1), At(four, 2), At(four, 3), new FourFactors<T>(weights[k..]), total,
                k == 0 ? 0 : 1);
        }
    }

    /// <inheritdoc/>
    void IElementwise<TActivation, T>.LaunchSpread(
        AcceleratorStream stream, ArrayView<T> source, ReadOnlySpan<T> factors, ReadOnlySpan<ArrayView<T>> targets)
    {
        for (int k = 0; k < targets.Length; k += FourFactors<T>.Most)
        {
            ReadOnlySpan<ArrayView<T>> four = targets[k..];
            spread(stream, 1, source, new FourFactors<T>(factors[k..]), At(four, 0), At(four, 1), At(four, 2), At(four, 3));
        }
    }

    // A view of nothing behind the last.
    private static ArrayView<T> At(ReadOnlySpan<ArrayView<T>> views, int index)
        => index < views.Length ? views[index] : views[0].SubView(0, 0);

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}

/// <summary>The kernels of <see cref="ElementwiseDirect{T, TReal, TActivation, TStored}"/>.</summary>
internal static class ElementwiseDirectKernels<T>
    where T : unmanaged, INumber<T>
{
    // target[v,c] += source[v,c].
    // One thread per (voxel, channel), channels fastest; accumulates one element of target, which is rounded
    // once where it is stored as BF16.
    [Kernel]
    internal static void AddKernel<TStored>(
        Index1D index,
        ArrayView<TStored> source, // [voxels, channels], pitch SourcePitch
        ArrayView<TStored> target, // [voxels, channels], pitch TargetPitch
        ElementwiseShape shape)
        where TStored : unmanaged, IStored<TStored, T>
    {
        long voxel = index.X / shape.Channels;
        int channel = index.X % shape.Channels;
        ref TStored sum = ref target[voxel * shape.TargetPitch + channel];
        sum = TStored.Store(TStored.Load(sum) + TStored.Load(source[voxel * shape.SourcePitch + channel]));
    }

    // target[v,c] = the nearest of target's numbers to source[v,c]. One thread per (voxel, channel), channels
    // fastest; overwrites one element of target. The network rounds only its image so: 1 MB at 56³, a
    // launch's time.
    [Kernel]
    internal static void RoundKernel<TStored>(
        Index1D index,
        ArrayView<T> source, // [voxels, channels], pitch SourcePitch
        ArrayView<TStored> target, // [voxels, channels], pitch TargetPitch
        ElementwiseShape shape)
        where TStored : unmanaged, IStored<TStored, T>
        => target[Element(index.X, shape, shape.TargetPitch)] = TStored.Store(source[Element(index.X, shape, shape.SourcePitch)]);

    // target[v,c] = source[v,c]. One thread per (voxel, channel), channels fastest; overwrites one element of
    // target.
    [Kernel]
    internal static void WidenKernel<TStored>(
        Index1D index,
        ArrayView<TStored> source, // [voxels, channels], pitch SourcePitch
        ArrayView<T> target, // [voxels, channels], pitch TargetPitch
        ElementwiseShape shape)
        where TStored : unmanaged, IStored<TStored, T>
        => target[Element(index.X, shape, shape.TargetPitch)] = TStored.Load(source[Element(index.X, shape, shape.SourcePitch)]);

    // target[v,c] = weight[v]·source[v,c].
    // One thread per (voxel, channel), channels fastest; overwrites one element of target.
    [Kernel]
    internal static void MaskKernel(
        Index1D index,
        ArrayView<T> source, // [voxels, channels], pitch SourcePitch
        ArrayView<T> weight, // [voxels]
        ArrayView<T> target, // [voxels, channels], pitch TargetPitch
        ElementwiseShape shape)
    {
        long voxel = index.X / shape.Channels;
        int channel = index.X % shape.Channels;
        target[voxel * shape.TargetPitch + channel] = weight[voxel] * source[voxel * shape.SourcePitch + channel];
    }

    // target[i] = value.
    // One thread per element; target overwritten.
    [Kernel]
    internal static void FillKernel(
        Index1D index,
        ArrayView<T> target, // [n]
        T value)
        => target[index] = value;

    // total[i] = weight·term[i], plus what is there with accumulate.
    // One thread per element; total overwritten or accumulated.
    [Kernel]
    internal static void WeightedAddKernel(
        Index1D index,
        ArrayView<T> term, // [n]
        T weight,
        ArrayView<T> total, // [n]
        int accumulate)
    {
        T value = weight * term[index];
        // A plain overwrite must not let a NaN of recycled memory through, so it reads nothing.
        if (accumulate != 0)
            value += total[index];
        total[index] = value;
    }

    // total = Σ weight·term over the terms that are there, in order, plus what is there with accumulate.
    // One thread; total overwritten or accumulated.
    [Kernel]
    internal static void WeightedSumKernel(
        Index1D index,
        ArrayView<T> first, // [1]
        ArrayView<T> second, // [1] or [0], as the following
        ArrayView<T> third,
        ArrayView<T> fourth,
        FourFactors<T> weights,
        ArrayView<T> total, // [1]
        int accumulate)
    {
        T sum = weights.First * first[index];
        if (accumulate != 0)
            sum += total[index];
        if (second.Length > 0)
            sum += weights.Second * second[index];
        if (third.Length > 0)
            sum += weights.Third * third[index];
        if (fourth.Length > 0)
            sum += weights.Fourth * fourth[index];
        total[index] = sum;
    }

    // target = factor·source for each target that is there. One thread; targets overwritten.
    [Kernel]
    internal static void SpreadKernel(
        Index1D index,
        ArrayView<T> source, // [1]
        FourFactors<T> factors,
        ArrayView<T> first, // [1]
        ArrayView<T> second, // [1] or [0], as the following
        ArrayView<T> third,
        ArrayView<T> fourth)
    {
        T value = source[index];
        first[index] = factors.First * value;
        if (second.Length > 0)
            second[index] = factors.Second * value;
        if (third.Length > 0)
            third[index] = factors.Third * value;
        if (fourth.Length > 0)
            fourth[index] = factors.Fourth * value;
    }

    private static long Element(int index, ElementwiseShape shape, int pitch)
        => (long)(index / shape.Channels) * pitch + index % shape.Channels;
}

/// <summary>Factors of up to four scalars; 0 behind the last.</summary>
internal readonly struct FourFactors<T>(ReadOnlySpan<T> factors)
    where T : unmanaged, INumber<T>
{
    /// <summary>How many a launch takes.</summary>
    public const int Most = 4;

    public readonly T First = factors[0];
    public readonly T Second = factors.Length > 1 ? factors[1] : T.Zero;
    public readonly T Third = factors.Length > 2 ? factors[2] : T.Zero;
    public readonly T Fourth = factors.Length > 3 ? factors[3] : T.Zero;
}
