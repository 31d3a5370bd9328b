using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Loss;

/// <summary>
/// The binary cross-entropy on the CPU device: vectors over the elements, one partial sum for each chunk.
/// </summary>
internal sealed unsafe class BinaryCrossEntropyHostSimd(HostThreads threads) : IBinaryCrossEntropy<float>
{
    private const float LogFloor = -100;
    private const float LeastVariance = 1e-12f;

    /// <inheritdoc/>
    public long WorkspaceLength(FlatShape shape) => HostChunks.Of(shape.Count).Count;

    /// <inheritdoc/>
    void IBinaryCrossEntropy<float>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<float> scores, ArrayView<float> target, ArrayView<float> workspace, ArrayView<float> loss,
        FlatShape shape)
    {
        float* p = scores.Pointer();
        float* t = target.Pointer();
        float* partials = workspace.Pointer();
        HostChunks chunks = HostChunks.Of(shape.Count);
        chunks.For(threads, (chunk, start, end) => partials[chunk] = PartialSum(p + start, t + start, end - start));

        double sum = 0;
        for (int chunk = 0; chunk < chunks.Count; chunk++)
            sum += partials[chunk];
        *loss.Pointer() = (float)(-sum / shape.Count);
    }

    /// <inheritdoc/>
    void IBinaryCrossEntropy<float>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<float> scores, ArrayView<float> target, ArrayView<float> gradLoss, ArrayView<float> gradScores,
        FlatShape shape)
    {
        float* p = scores.Pointer();
        float* t = target.Pointer();
        float* g = gradScores.Pointer();
        float factor = *gradLoss.Pointer() / shape.Count;
        HostChunks.Of(shape.Count).For(threads, (_, start, end) =>
        {
            Vector<float> factors = new(factor);
            Vector<float> least = new(LeastVariance);
            long i = start;
            for (; i <= end - Vector<float>.Count; i += Vector<float>.Count)
            {
                Vector<float> v = Vector.Load(p + i);
                Vector<float> variance = Vector.Max(v * (Vector<float>.One - v), least);
                (factors * (v - Vector.Load(t + i)) / variance).Store(g + i);
            }

            for (; i < end; i++)
                g[i] = factor * (p[i] - t[i]) / MathF.Max(p[i] * (1 - p[i]), LeastVariance);
        });
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private static float PartialSum(float* p, float* t, long count)
    {
        Vector<float> floor = new(LogFloor);
        Vector<float> sums = Vector<float>.Zero;
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector<float> scores = Vector.Load(p + i);
            Vector<float> target = Vector.Load(t + i);
            sums += target * Vector.Max(Vector.Log(scores), floor)
                + (Vector<float>.One - target) * Vector.Max(Vector.Log(Vector<float>.One - scores), floor);
        }

        float sum = Vector.Sum(sums);
        for (; i < count; i++)
            sum += t[i] * MathF.Max(MathF.Log(p[i]), LogFloor) + (1 - t[i]) * MathF.Max(MathF.Log(1 - p[i]), LogFloor);
        return sum;
    }
}
