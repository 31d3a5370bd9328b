namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>The launchers of one variant of the arithmetic that the tape needs between operations.</summary>
/// <remarks>
/// Launchers queue on the stream and do not wait; one instance serves one stream at a time. A launch covers at most
/// 2³¹ − 1 elements. Scalars stay on the device: they are views of length 1.
/// </remarks>
/// <typeparam name="TActivation">What activations hold: <typeparamref name="T"/>, or <see cref="Bf16"/> beside
/// float32.</typeparam>
/// <typeparam name="T">The real type of everything else.</typeparam>
public interface IElementwise<TActivation, T> : IDisposable
    where TActivation : unmanaged
    where T : unmanaged
{
    /// <summary>
    /// target[v,c] += source[v,c], both channels-last [voxels, channels] with their own pitches. Channels beyond those of
    /// the shape are neither read nor written. BF16 is added in float32 and rounded once.
    /// </summary>
    void Add(AcceleratorStream stream, ArrayView<TActivation> source, ArrayView<TActivation> target, ElementwiseShape shape);

    /// <summary>target[v,c] = the activation nearest to source[v,c]. Overwrites the channels of the shape.</summary>
    void Round(AcceleratorStream stream, ArrayView<T> source, ArrayView<TActivation> target, ElementwiseShape shape);

    /// <summary>target[v,c] = source[v,c]. Overwrites the channels of the shape.</summary>
    void Widen(AcceleratorStream stream, ArrayView<TActivation> source, ArrayView<T> target, ElementwiseShape shape);

    /// <summary>
    /// target[v,c] = weight[v]·source[v,c], source and target channels-last with their own pitches, weight [voxels]. Overwrites the channels of the
    /// shape; others are neither read nor written.
    /// </summary>
    void Mask(AcceleratorStream stream, ArrayView<T> source, ArrayView<T> weight, ArrayView<T> target, ElementwiseShape shape);

    /// <summary>target[i] = value. Overwrites the whole view, [n].</summary>
    void Fill(AcceleratorStream stream, ArrayView<T> target, T value);

    /// <summary>
    /// total[i] = weight·term[i], or total[i] += weight·term[i] where <paramref name="accumulate"/> is 1: one term of a
    /// weighted sum of losses. Both views are [n], for a loss [1].
    /// </summary>
    void WeightedAdd(AcceleratorStream stream, ArrayView<T> term, T weight, ArrayView<T> total, int accumulate);

    /// <summary>target[i] = factor·source[i]: the gradient of one term of a weighted sum. Overwrites; both views are [n].</summary>
    void Scale(AcceleratorStream stream, ArrayView<T> source, T factor, ArrayView<T> target)
        => WeightedAdd(stream, source, factor, target, accumulate: 0);
}
