namespace MeanShiftGpu.Kernels.Machine.Host;

/// <summary>
/// Work of a host variant cut into chunks of about 64 KiB of float32: long enough to hide the cost of taking
/// a chunk, short enough to stay in a core's second-level cache. The cut depends on the shape alone, so
/// partial sums, one for each chunk, have the same bits whatever the number of threads.
/// </summary>
/// <param name="Items">What is counted out to the chunks: voxels, rows or elements.</param>
/// <param name="ItemsPerChunk">Items of every chunk but the last.</param>
internal readonly record struct HostChunks(long Items, long ItemsPerChunk)
{
    private const long ElementsPerChunk = 1 << 14;

    /// <summary>Chunks of items that touch <paramref name="elementsPerItem"/> elements each.</summary>
    public static HostChunks Of(long items, long elementsPerItem = 1)
        => new(items, Math.Max(1, ElementsPerChunk / Math.Max(1, elementsPerItem)));

    /// <summary>How many chunks there are.</summary>
    public int Count => checked((int)((Items + ItemsPerChunk - 1) / ItemsPerChunk));

    /// <summary>The items of a chunk, from the first to before the end.</summary>
    public (long Start, long End) Bounds(int chunk)
    {
        long start = chunk * ItemsPerChunk;
        return (start, Math.Min(Items, start + ItemsPerChunk));
    }

    /// <summary>
    /// Runs <paramref name="body"/>(chunk, start, end) once for every chunk, where the items are start to end
    /// − 1.
    /// </summary>
    public void For(HostThreads threads, Action<int, long, long> body)
    {
        (long items, long itemsPerChunk) = this;
        threads.For(Count, (chunk, _) =>
        {
            long start = chunk * itemsPerChunk;
            body(chunk, start, Math.Min(items, start + itemsPerChunk));
        });
    }
}
