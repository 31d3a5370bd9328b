using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>
/// The elementwise arithmetic on the CPU device: vectors over the channels, or over everything where it is
/// dense.
/// </summary>
internal sealed unsafe class ElementwiseHostSimd : IElementwise<float, float>
{
    // What an addition works on lies here and its bodies are made once, so that a call allocates nothing. One
    // call works at a time (HostThreads refuses a second).
    private readonly HostThreads threads;
    private readonly Action<int, int> addRuns;
    private readonly Action<int, int> addVoxels;
    private readonly Action<int, int> addWeighted;
    private HostChunks chunks;
    private ElementwiseShape shape;
    private float* source;
    private float* target;
    private float weight;
    private bool isAdded;

    public ElementwiseHostSimd(HostThreads threads)
    {
        this.threads = threads;
        addRuns = AddRuns;
        addVoxels = AddVoxels;
        addWeighted = AddWeighted;
    }

    /// <inheritdoc/>
    void IElementwise<float, float>.LaunchAdd(
        AcceleratorStream stream, ArrayView<float> source, ArrayView<float> target, ElementwiseShape shape)
    {
        this.source = source.Pointer();
        this.target = target.Pointer();
        this.shape = shape;
        if (shape.SourcePitch == shape.Channels && shape.TargetPitch == shape.Channels)
            Run(HostChunks.Of(shape.Voxels * shape.Channels), addRuns);
        else
            Run(HostChunks.Of(shape.Voxels, shape.Channels), addVoxels);
    }

    /// <inheritdoc/>
    void IElementwise<float, float>.LaunchRound(
        AcceleratorStream stream, ArrayView<float> source, ArrayView<float> target, ElementwiseShape shape)
    {
        float* from = source.Pointer();
        float* to = target.Pointer();
        HostChunks.Of(shape.Voxels, shape.Channels).For(threads, (_, start, end) =>
        {
            for (long v = start; v < end; v++)
                new Span<float>(from + v * shape.SourcePitch, shape.Channels).CopyTo(
                    new Span<float>(to + v * shape.TargetPitch, shape.Channels));
        });
    }

    /// <inheritdoc/>
    void IElementwise<float, float>.LaunchWiden(
        AcceleratorStream stream, ArrayView<float> source, ArrayView<float> target, ElementwiseShape shape)
        => ((IElementwise<float, float>)this).Round(stream, source, target, shape);

    /// <inheritdoc/>
    void IElementwise<float, float>.LaunchMask(
        AcceleratorStream stream,
        ArrayView<float> source, ArrayView<float> weight, ArrayView<float> target,
        ElementwiseShape shape)
    {
        float* from = source.Pointer();
        float* weights = weight.Pointer();
        float* to = target.Pointer();
        if (shape is { Channels: 1, SourcePitch: 1, TargetPitch: 1 })
        {
            HostChunks.Of(shape.Voxels).For(
                threads, (_, start, end) => MultiplyRun(from + start, weights + start, to + start, end - start));
            return;
        }

        HostChunks.Of(shape.Voxels, shape.Channels).For(threads, (_, start, end) =>
        {
            for (long v = start; v < end; v++)
                HostRuns.Scale(from + v * shape.SourcePitch, weights[v], to + v * shape.TargetPitch, shape.Channels);
        });
    }

    /// <inheritdoc/>
    void IElementwise<float, float>.LaunchFill(AcceleratorStream stream, ArrayView<float> target, float value)
    {
        float* to = target.Pointer();
        HostChunks.Of(target.Length).For(threads, (_, start, end) => new Span<float>(to + start, (int)(end - start)).Fill(value));
    }

    /// <inheritdoc/>
    void IElementwise<float, float>.LaunchWeightedAdd(
        AcceleratorStream stream, ArrayView<float> term, float weight, ArrayView<float> total, int accumulate)
    {
        source = term.Pointer();
        target = total.Pointer();
        this.weight = weight;
        isAdded = accumulate != 0;
        Run(HostChunks.Of(total.Length), addWeighted);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private void Run(HostChunks work, Action<int, int> body)
    {
        chunks = work;
        threads.For(work.Count, body);
    }

    private void AddRuns(int chunk, int worker)
    {
        (long start, long end) = chunks.Bounds(chunk);
        AddRun(source + start, target + start, end - start);
    }

    private void AddVoxels(int chunk, int worker)
    {
        (long start, long end) = chunks.Bounds(chunk);
        for (long v = start; v < end; v++)
            AddRun(source + v * shape.SourcePitch, target + v * shape.TargetPitch, shape.Channels);
    }

    private void AddWeighted(int chunk, int worker)
    {
        (long start, long end) = chunks.Bounds(chunk);
        if (isAdded)
            AddScaledRun(source + start, weight, target + start, end - start);
        else
            HostRuns.Scale(source + start, weight, target + start, end - start);
    }

    private static void AddRun(float* source, float* target, long count)
    {
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            (Vector.Load(target + i) + Vector.Load(source + i)).Store(target + i);
        for (; i < count; i++)
            target[i] += source[i];
    }

    private static void MultiplyRun(float* source, float* weight, float* target, long count)
    {
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            (Vector.Load(source + i) * Vector.Load(weight + i)).Store(target + i);
        for (; i < count; i++)
            target[i] = source[i] * weight[i];
    }

    private static void AddScaledRun(float* source, float factor, float* target, long count)
    {
        Vector<float> factors = new(factor);
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            (Vector.Load(target + i) + Vector.Load(source + i) * factors).Store(target + i);
        for (; i < count; i++)
            target[i] += source[i] * factor;
    }
}
