using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Optimizer;

/// <summary>
/// The gradient norm on the CPU device: vectors within a chunk, the chunks' sums added in double.
/// </summary>
internal sealed unsafe class GradientNormHostSimd(HostThreads threads) : IGradientNorm<float>
{
    /// <inheritdoc/>
    public long WorkspaceLength(long count) => HostChunks.Of(count).Count;

    /// <inheritdoc/>
    void IGradientNorm<float>.LaunchClipFactor(AcceleratorStream stream, ArrayView<float> gradients,
        ArrayView<float> workspace, ArrayView<float> loss, ArrayView<float> norm, ArrayView<float> factor, double maxNorm)
    {
        float* g = gradients.Pointer();
        float* partials = workspace.Pointer();
        HostChunks chunks = HostChunks.Of(gradients.Length);
        chunks.For(threads, (chunk, start, end) => partials[chunk] = SumOfSquares(g + start, end - start));

        double sum = 0;
        for (int chunk = 0; chunk < chunks.Count; chunk++)
            sum += partials[chunk];
        double length = Math.Sqrt(sum);
        *norm.Pointer() = (float)length;
        float clip = maxNorm > 0 ? (float)Math.Min(1, maxNorm / (length + 1e-6)) : 1;
        float* result = factor.Pointer();
        bool finite = double.IsFinite(length);
        if (loss.Length == 0)
            *result = finite ? clip : float.NaN;
        else
            *result = finite && float.IsFinite(*loss.Pointer()) && !(*result < 0) ? clip : -1;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // Four accumulators: additions wait for each other less, and each rounds over fewer terms.
    private static float SumOfSquares(float* values, long count)
    {
        Vector<float> sum0 = Vector<float>.Zero;
        Vector<float> sum1 = Vector<float>.Zero;
        Vector<float> sum2 = Vector<float>.Zero;
        Vector<float> sum3 = Vector<float>.Zero;
        long i = 0;
        for (; i <= count - 4 * Vector<float>.Count; i += 4 * Vector<float>.Count)
        {
            Vector<float> value0 = Vector.Load(values + i);
            Vector<float> value1 = Vector.Load(values + i + Vector<float>.Count);
            Vector<float> value2 = Vector.Load(values + i + 2 * Vector<float>.Count);
            Vector<float> value3 = Vector.Load(values + i + 3 * Vector<float>.Count);
            sum0 += value0 * value0;
            sum1 += value1 * value1;
            sum2 += value2 * value2;
            sum3 += value3 * value3;
        }

        float sum = Vector.Sum((sum0 + sum1) + (sum2 + sum3));
        for (; i < count; i++)
            sum += values[i] * values[i];
        return sum;
    }
}
