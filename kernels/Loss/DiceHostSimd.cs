using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Loss;

/// <summary>
/// The Dice loss on the CPU device: vectors over the elements, one pair of partial sums for each chunk.
/// </summary>
internal sealed unsafe class DiceHostSimd(HostThreads threads) : IDice<float>
{
    /// <inheritdoc/>
    public long WorkspaceLength(FlatShape shape) => 2L * HostChunks.Of(shape.Count).Count;

    /// <inheritdoc/>
    void IDice<float>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<float> scores, ArrayView<float> target, ArrayView<float> workspace, ArrayView<float> sums,
            ArrayView<float> loss, FlatShape shape)
    {
        float* p = scores.Pointer();
        float* t = target.Pointer();
        float* partials = workspace.Pointer();
        HostChunks chunks = HostChunks.Of(shape.Count);
        chunks.For(threads, (chunk, start, end) =>
            (partials[2 * chunk], partials[2 * chunk + 1]) = PartialSums(p + start, t + start, end - start));

        double overlap = 0;
        double size = 0;
        for (int chunk = 0; chunk < chunks.Count; chunk++)
        {
            overlap += partials[2 * chunk];
            size += partials[2 * chunk + 1];
        }

        double a = 2 * overlap + 1;
        double b = size + 1;
        (*sums.Pointer(), *(sums.Pointer() + 1)) = ((float)a, (float)b);
        *loss.Pointer() = (float)(1 - a / b);
    }

    /// <inheritdoc/>
    void IDice<float>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<float> target, ArrayView<float> sums, ArrayView<float> gradLoss, ArrayView<float> gradScores,
        FlatShape shape)
    {
        float* t = target.Pointer();
        float* g = gradScores.Pointer();
        float factor = *gradLoss.Pointer() / sums.Pointer()[1];
        float ratio = sums.Pointer()[0] / sums.Pointer()[1];
        HostChunks.Of(shape.Count).For(threads, (_, start, end) =>
        {
            Vector<float> factors = new(factor);
            Vector<float> ratios = new(ratio);
            long i = start;
            for (; i <= end - Vector<float>.Count; i += Vector<float>.Count)
                (factors * (ratios - Vector.Load(t + i) - Vector.Load(t + i))).Store(g + i);
            for (; i < end; i++)
                g[i] = factor * (ratio - t[i] - t[i]);
        });
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private static (float Overlap, float Size) PartialSums(float* p, float* t, long count)
    {
        Vector<float> overlaps = Vector<float>.Zero;
        Vector<float> sizes = Vector<float>.Zero;
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector<float> scores = Vector.Load(p + i);
            Vector<float> target = Vector.Load(t + i);
            overlaps = Vector.FusedMultiplyAdd(scores, target, overlaps);
            sizes += scores + target;
        }

        float overlap = Vector.Sum(overlaps);
        float size = Vector.Sum(sizes);
        for (; i < count; i++)
        {
            overlap += p[i] * t[i];
            size += p[i] + t[i];
        }

        return (overlap, size);
    }
}
