namespace MeanShiftGpu.Kernels.Optimizer;

/// <summary>
/// The gradient norm with sums in two stages of groups: any GPU. No warp operations, no atomics.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class GradientNormGrouped<T, TReal> : IGradientNorm<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>> squares;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, T,
        int> finish;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public GradientNormGrouped(Accelerator accelerator)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        KernelSpecialization specialization = new(GroupSum.Threads, null);
        accelerator.Load(SquaresKernel, specialization, out squares);
        accelerator.Load(FinishKernel, specialization, out finish);
    }

    /// <inheritdoc/>
    public long WorkspaceLength(long count) => GroupSum.WorkspaceLength(count);

    /// <inheritdoc/>
    void IGradientNorm<T>.LaunchClipFactor(AcceleratorStream stream, ArrayView<T> gradients, ArrayView<T> workspace,
        ArrayView<T> loss, ArrayView<T> norm, ArrayView<T> factor, double maxNorm)
    {
        int groups = GroupSum.Groups(gradients.Length);
        squares(stream, new KernelConfig(groups, GroupSum.Threads), gradients, workspace);
        finish(stream, new KernelConfig(1, GroupSum.Threads), workspace, loss, norm, factor, TReal.From(maxNorm), groups);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // workspace[g] = sums of g² over the elements of group g's threads, which take every (groups·128)th, four
    // at a time with a sum each; then as GroupSum.Sum; workspace overwritten.
    [Kernel(MaxGroupSize = GroupSum.Threads)]
    internal static void SquaresKernel(
        ArrayView<T> gradients, // [n]
        ArrayView<T> workspace) // [groups, 4]
    {
        ArrayView<Quad<T>> memory = SharedMemory.Allocate<Quad<T>>(GroupSum.MemoryLength);
        long stride = (long)Grid.DimX * GroupSum.Threads;
        Quad<T> sum = Quad<T>.Zero;
        for (long i = (long)Grid.IdxX * GroupSum.Threads + Group.IdxX; i < gradients.Length; i += 4 * stride)
        {
            T x = gradients[i];
            T y = i + stride < gradients.Length ? gradients[i + stride] : T.Zero;
            T z = i + 2 * stride < gradients.Length ? gradients[i + 2 * stride] : T.Zero;
            T w = i + 3 * stride < gradients.Length ? gradients[i + 3 * stride] : T.Zero;
            sum = Quad<T>.Add(sum, new Quad<T>(x * x, y * y, z * z, w * w));
        }

        sum = GroupSum.Sum(memory, sum);
        if (Group.IdxX == 0)
            workspace.Cast<Quad<T>>()[Grid.IdxX] = sum;
    }

    // norm = √Σ g²; factor = min(1, maxNorm/(norm + 1e-6)), 1 where maxNorm ≤ 0, NaN where norm is not
    // finite; with a loss −1 where one of both is not finite or the factor was below 0. One group; norm and
    // factor overwritten.
    [Kernel(MaxGroupSize = GroupSum.Threads)]
    internal static void FinishKernel(
        ArrayView<T> workspace, // [groups, 4]
        ArrayView<T> loss, // [1] or [0]
        ArrayView<T> norm, // [1]
        ArrayView<T> factor, // [1]
        T maxNorm,
        int groups)
    {
        ArrayView<Quad<T>> memory = SharedMemory.Allocate<Quad<T>>(GroupSum.MemoryLength);
        Quad<T> sum = GroupSum.Total(memory, workspace, groups);
        if (Group.IdxX != 0)
            return;
        T length = TReal.Sqrt(sum.X + sum.Y + sum.Z + sum.W);
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
