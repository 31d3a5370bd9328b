using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>The sum on the CPU device: vectors within a chunk, the chunks' sums added in double.</summary>
internal sealed unsafe class SumHostSimd(HostThreads threads) : ISum<float>
{
    /// <inheritdoc/>
    public long WorkspaceLength(long count) => HostChunks.Of(count).Count;

    /// <inheritdoc/>
    void ISum<float>.LaunchSum(
        AcceleratorStream stream, ArrayView<float> source, ArrayView<float> workspace, ArrayView<float> total, float factor)
    {
        float* values = source.Pointer();
        float* partials = workspace.Pointer();
        HostChunks chunks = HostChunks.Of(source.Length);
        chunks.For(threads, (chunk, start, end) => partials[chunk] = Sum(values + start, end - start));

        double sum = 0;
        for (int chunk = 0; chunk < chunks.Count; chunk++)
            sum += partials[chunk];
        *total.Pointer() = (float)(factor * sum);
    }

    /// <inheritdoc/>
    void ISum<float>.LaunchSpread(AcceleratorStream stream, ArrayView<float> value, float factor, ArrayView<float> target)
    {
        float spread = factor * *value.Pointer();
        float* to = target.Pointer();
        HostChunks.Of(target.Length).For(
            threads, (_, start, end) => new Span<float>(to + start, (int)(end - start)).Fill(spread));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // Four accumulators: additions wait for each other less, and each rounds over fewer terms.
    private static float Sum(float* values, long count)
    {
        Vector<float> sum0 = Vector<float>.Zero;
        Vector<float> sum1 = Vector<float>.Zero;
        Vector<float> sum2 = Vector<float>.Zero;
        Vector<float> sum3 = Vector<float>.Zero;
        long i = 0;
        for (; i <= count - 4 * Vector<float>.Count; i += 4 * Vector<float>.Count)
        {
            sum0 += Vector.Load(values + i);
            sum1 += Vector.Load(values + i + Vector<float>.Count);
            sum2 += Vector.Load(values + i + 2 * Vector<float>.Count);
            sum3 += Vector.Load(values + i + 3 * Vector<float>.Count);
        }

        float sum = Vector.Sum((sum0 + sum1) + (sum2 + sum3));
        for (; i < count; i++)
            sum += values[i];
        return sum;
    }
}
