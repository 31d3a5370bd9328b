namespace MeanShiftGpu.Kernels.Optimizer;

/// <summary>
/// The plain gradient norm: strided partial sums, then their sum. Any accelerator. The reference for the
/// others.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class GradientNormDirect<T, TReal> : IGradientNorm<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly ThreadSums<T, TReal> sums;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>> squares;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, T> finish;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public GradientNormDirect(Accelerator accelerator)
    {
        sums = new ThreadSums<T, TReal>(accelerator);
        accelerator.Load(SquaresKernel, out squares);
        accelerator.Load(FinishKernel, out finish);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(long count) => ThreadSums<T, TReal>.WorkspaceLength(count, 1);

    /// <inheritdoc/>
    void IGradientNorm<T>.LaunchClipFactor(AcceleratorStream stream, ArrayView<T> gradients, ArrayView<T> workspace,
        ArrayView<T> loss, ArrayView<T> norm, ArrayView<T> factor, double maxNorm)
    {
        int partials = ThreadSums<T, TReal>.Partials(gradients.Length);
        squares(stream, partials, gradients, workspace.SubView(0, partials));
        ArrayView<T> groups = sums.Fold(stream, workspace, gradients.Length, 1);
        finish(stream, 1, groups, loss, norm, factor, TReal.From(maxNorm));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // partials[p] = Σ g² over the elements p, p + P, p + 2P, … for P partials.
    // One thread per partial, neighbours read neighbours; partials overwritten, summed in the order of the
    // elements.
    [Kernel]
    internal static void SquaresKernel(
        Index1D index,
        ArrayView<T> gradients, // [n]
        ArrayView<T> partials) // [P]
    {
        T sum = T.Zero;
        for (long i = index.X; i < gradients.Length; i += partials.Length)
            sum += gradients[i] * gradients[i];
        partials[index] = sum;
    }

    // norm = √Σ groups; factor = min(1, maxNorm/(norm + 1e-6)), 1 where maxNorm ≤ 0, NaN where norm is not
    // finite; with a loss −1 where one of both is not finite or the factor was below 0. One thread; norm and
    // factor overwritten.
    [Kernel]
    internal static void FinishKernel(
        Index1D index,
        ArrayView<T> groups, // [groups]
        ArrayView<T> loss, // [1] or [0]
        ArrayView<T> norm, // [1]
        ArrayView<T> factor, // [1]
        T maxNorm)
    {
        T length = TReal.Sqrt(ThreadSums<T, TReal>.Total(groups, 1, 0));
        T clip = T.One;
        if (maxNorm > T.Zero && length + TReal.From(1e-6) > maxNorm)
            clip = maxNorm / (length + TReal.From(1e-6));
        norm[0] = length;
        // False for NaN and infinity. Not a comparison by <: on OpenCL ILGPU turns it into the negation of
        // >=, which is true for NaN.
        bool finite = length - length == T.Zero;
        if (loss.Length == 0)
        {
            factor[0] = finite ? clip : TReal.From(double.NaN);
            return;
        }

        // x − x is 0 only if x is finite.
        bool goesOn = finite && loss[0] - loss[0] == T.Zero && !(factor[0] < T.Zero);
        factor[0] = goesOn ? clip : TReal.From(-1.0);
    }
}
