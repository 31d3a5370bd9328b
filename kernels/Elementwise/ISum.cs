namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>
/// The launchers of one variant of the sum of a tensor's elements and of its backward pass.
/// </summary>
/// <remarks>
/// total = factor·Σ source, in an order that depends on the length alone, so that bits repeat whatever the
/// number of threads; with the factor 1/n it is the mean. The backward pass gives every element factor·(the
/// total's gradient). Launchers queue on the stream and do not wait; one instance serves one stream at a
/// time.
/// </remarks>
internal interface ISum<T> : IDisposable
    where T : unmanaged
{
    /// <summary>Elements of workspace for <paramref name="count"/> elements to add.</summary>
    long WorkspaceLength(long count);

    /// <summary>total = factor·Σ source. Overwrites total.</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="source">[n]; read only.</param>
    /// <param name="workspace">[<see cref="WorkspaceLength"/>(n)]: undefined before and after.</param>
    /// <param name="total">[1].</param>
    /// <param name="factor">Multiplies the sum.</param>
    sealed void Sum(AcceleratorStream stream, ArrayView<T> source, ArrayView<T> workspace, ArrayView<T> total, T factor)
    {
        using Launch launch = Launch.Begin(stream, "Sum.Sum");
        launch.Require(source, 0, nameof(source));
        launch.Require(workspace, WorkspaceLength(source.Length), nameof(workspace));
        launch.Require(total, 1, nameof(total));
        LaunchSum(stream, source, workspace, total, factor);
    }

    /// <summary>target[i] = factor·value[0]. Overwrites the whole view.</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="value">[1], on the device.</param>
    /// <param name="factor">Multiplies it.</param>
    /// <param name="target">[n].</param>
    sealed void Spread(AcceleratorStream stream, ArrayView<T> value, T factor, ArrayView<T> target)
    {
        using Launch launch = Launch.Begin(stream, "Sum.Spread");
        launch.Require(value, 1, nameof(value));
        launch.Require(target, 0, nameof(target));
        if (target.Length == 0)
            return;
        LaunchSpread(stream, value, factor, target);
    }

    /// <summary>Queues <see cref="Sum"/>, whose arguments are checked.</summary>
    protected void LaunchSum(AcceleratorStream stream, ArrayView<T> source, ArrayView<T> workspace, ArrayView<T> total, T factor);

    /// <summary>Queues <see cref="Spread"/>, whose arguments are checked.</summary>
    protected void LaunchSpread(AcceleratorStream stream, ArrayView<T> value, T factor, ArrayView<T> target);
}
