namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>The launchers of one variant of the arithmetic that the tape needs between operations.</summary>
/// <remarks>
/// Launchers queue on the stream and do not wait; one instance serves one stream at a time. A launch covers
/// at most 2³¹ − 1 elements. Scalars stay on the device: they are views of length 1.
/// </remarks>
/// <typeparam name="TActivation">What activations hold: <typeparamref name="T"/>, or <see cref="Bf16"/>
/// beside float32.</typeparam>
/// <typeparam name="T">The real type of everything else.</typeparam>
internal interface IElementwise<TActivation, T> : IDisposable
    where TActivation : unmanaged
    where T : unmanaged
{
    /// <summary>
    /// target[v,c] += source[v,c], both channels-last [voxels, channels] with their own pitches. Channels
    /// beyond those of the shape are neither read nor written. BF16 is added in float32 and rounded once.
    /// </summary>
    sealed void Add(
        AcceleratorStream stream, ArrayView<TActivation> source, ArrayView<TActivation> target, ElementwiseShape shape)
    {
        using Launch launch = Launch.Begin(stream, "Elementwise.Add");
        launch.Least(shape.Voxels, 0, "voxels");
        if (shape.Voxels == 0)
            return;
        launch.RequireVoxels(source, shape.Voxels, shape.Channels, shape.SourcePitch, nameof(source));
        launch.RequireVoxels(target, shape.Voxels, shape.Channels, shape.TargetPitch, nameof(target));
        LaunchAdd(stream, source, target, shape);
    }

    /// <summary>
    /// target[v,c] = the activation nearest to source[v,c]. Overwrites the channels of the shape.
    /// </summary>
    sealed void Round(AcceleratorStream stream, ArrayView<T> source, ArrayView<TActivation> target, ElementwiseShape shape)
    {
        using Launch launch = Launch.Begin(stream, "Elementwise.Round");
        launch.Least(shape.Voxels, 0, "voxels");
        if (shape.Voxels == 0)
            return;
        launch.RequireVoxels(source, shape.Voxels, shape.Channels, shape.SourcePitch, nameof(source));
        launch.RequireVoxels(target, shape.Voxels, shape.Channels, shape.TargetPitch, nameof(target));
        LaunchRound(stream, source, target, shape);
    }

    /// <summary>target[v,c] = source[v,c]. Overwrites the channels of the shape.</summary>
    sealed void Widen(AcceleratorStream stream, ArrayView<TActivation> source, ArrayView<T> target, ElementwiseShape shape)
    {
        using Launch launch = Launch.Begin(stream, "Elementwise.Widen");
        launch.Least(shape.Voxels, 0, "voxels");
        if (shape.Voxels == 0)
            return;
        launch.RequireVoxels(source, shape.Voxels, shape.Channels, shape.SourcePitch, nameof(source));
        launch.RequireVoxels(target, shape.Voxels, shape.Channels, shape.TargetPitch, nameof(target));
        LaunchWiden(stream, source, target, shape);
    }

    /// <summary>
    /// target[v,c] = weight[v]·source[v,c], source and target channels-last with their own pitches, weight
    /// [voxels]. Overwrites the channels of the shape; others are neither read nor written.
    /// </summary>
    sealed void Mask(
        AcceleratorStream stream, ArrayView<T> source, ArrayView<T> weight, ArrayView<T> target, ElementwiseShape shape)
    {
        using Launch launch = Launch.Begin(stream, "Elementwise.Mask");
        launch.Least(shape.Voxels, 0, "voxels");
        if (shape.Voxels == 0)
            return;
        launch.RequireVoxels(source, shape.Voxels, shape.Channels, shape.SourcePitch, nameof(source));
        launch.RequireVoxels(target, shape.Voxels, shape.Channels, shape.TargetPitch, nameof(target));
        launch.Require(weight, shape.Voxels, nameof(weight));
        LaunchMask(stream, source, weight, target, shape);
    }

    /// <summary>target[i] = value. Overwrites the whole view, [n].</summary>
    sealed void Fill(AcceleratorStream stream, ArrayView<T> target, T value)
    {
        using Launch launch = Launch.Begin(stream, "Elementwise.Fill");
        launch.Require(target, 0, nameof(target));
        if (target.Length == 0)
            return;
        LaunchFill(stream, target, value);
    }

    /// <summary>
    /// total[i] = weight·term[i], or total[i] += weight·term[i] where <paramref name="accumulate"/> is 1: one
    /// term of a weighted sum of losses. Both views are [n], for a loss [1].
    /// </summary>
    sealed void WeightedAdd(AcceleratorStream stream, ArrayView<T> term, T weight, ArrayView<T> total, int accumulate)
    {
        using Launch launch = Launch.Begin(stream, "Elementwise.WeightedAdd");
        launch.RequireExactly(term, total.Length, nameof(term));
        launch.Require(total, 0, nameof(total));
        if (total.Length == 0)
            return;
        LaunchWeightedAdd(stream, term, weight, total, accumulate);
    }

    /// <summary>
    /// target[i] = factor·source[i]: the gradient of one term of a weighted sum. Overwrites; both views are
    /// [n].
    /// </summary>
    void Scale(AcceleratorStream stream, ArrayView<T> source, T factor, ArrayView<T> target)
        => WeightedAdd(stream, source, factor, target, accumulate: 0);

    /// <summary>total = Σ weights[k]·terms[k], added in order, all [1]. Overwrites.</summary>
    sealed void WeightedSum(AcceleratorStream stream, ReadOnlySpan<ArrayView<T>> terms, ReadOnlySpan<T> weights,
        ArrayView<T> total)
    {
        using Launch launch = Launch.Begin(stream, "Elementwise.WeightedSum");
        launch.Require(total, 1, nameof(total));
        foreach (ArrayView<T> term in terms)
            launch.RequireExactly(term, 1, nameof(terms));
        LaunchWeightedSum(stream, terms, weights, total);
    }

    /// <summary>targets[k] = factors[k]·source, all [1]: the gradients of a weighted sum.
    /// Overwrites.</summary>
    sealed void Spread(AcceleratorStream stream, ArrayView<T> source, ReadOnlySpan<T> factors, ReadOnlySpan<ArrayView<T>> targets)
    {
        using Launch launch = Launch.Begin(stream, "Elementwise.Spread");
        launch.Require(source, 1, nameof(source));
        foreach (ArrayView<T> target in targets)
            launch.RequireExactly(target, 1, nameof(targets));
        LaunchSpread(stream, source, factors, targets);
    }

    /// <summary>Queues <see cref="WeightedSum"/>, whose arguments are checked.</summary>
    protected void LaunchWeightedSum(AcceleratorStream stream, ReadOnlySpan<ArrayView<T>> terms, ReadOnlySpan<T> weights,
        ArrayView<T> total)
    {
        for (int k = 0; k < terms.Length; k++)
            LaunchWeightedAdd(stream, terms[k], weights[k], total, k == 0 ? 0 : 1);
    }

    /// <summary>Queues <see cref="Spread"/>, whose arguments are checked.</summary>
    protected void LaunchSpread(AcceleratorStream stream, ArrayView<T> source, ReadOnlySpan<T> factors,
        ReadOnlySpan<ArrayView<T>> targets)
    {
        for (int k = 0; k < targets.Length; k++)
            LaunchWeightedAdd(stream, source, factors[k], targets[k], accumulate: 0);
    }

    /// <summary>Queues <see cref="Add"/>, whose arguments are checked.</summary>
    protected void LaunchAdd(
        AcceleratorStream stream, ArrayView<TActivation> source, ArrayView<TActivation> target, ElementwiseShape shape);

    /// <summary>Queues <see cref="Round"/>, whose arguments are checked.</summary>
    protected void LaunchRound(
        AcceleratorStream stream, ArrayView<T> source, ArrayView<TActivation> target, ElementwiseShape shape);

    /// <summary>Queues <see cref="Widen"/>, whose arguments are checked.</summary>
    protected void LaunchWiden(
        AcceleratorStream stream, ArrayView<TActivation> source, ArrayView<T> target, ElementwiseShape shape);

    /// <summary>Queues <see cref="Mask"/>, whose arguments are checked.</summary>
    protected void LaunchMask(
        AcceleratorStream stream, ArrayView<T> source, ArrayView<T> weight, ArrayView<T> target, ElementwiseShape shape);

    /// <summary>Queues <see cref="Fill"/>, whose arguments are checked.</summary>
    protected void LaunchFill(AcceleratorStream stream, ArrayView<T> target, T value);

    /// <summary>Queues <see cref="WeightedAdd"/>, whose arguments are checked.</summary>
    protected void LaunchWeightedAdd(AcceleratorStream stream, ArrayView<T> term, T weight, ArrayView<T> total, int accumulate);
}
