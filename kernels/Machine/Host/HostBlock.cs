namespace MeanShiftGpu.Kernels.Machine.Host;

/// <summary>
/// How a host convolution cuts a volume: blocks of Depth × Height × Width voxels. A block is swept along z
/// with as many packed planes in memory as the kernel is high; those planes, borders included, are to stay in
/// the second-level cache. Depends on the shape only.
/// </summary>
internal readonly record struct HostBlock(int Depth, int Height, int Width)
{
    // Leaves half of a 512 KiB cache to the weights, all of which every register tile reads.
    private const long CacheBytes = 224 * 1024;

    // All sums are read and written once for a few rows of a block, so more rows are worth more than the room
    // that they take from the sums.
    private const long CacheBytesForSums = 2 * CacheBytes;

    // Voxels of a register tile with the widest vectors.
    private const int TileVoxels = 8;

    // To pack a voxel takes about this share of the time of its products.
    private const double PackTime = 0.1;

    // Enough blocks to keep 16 threads, or two unevenly interrupted ones, busy to the end.
    private const int EnoughBlocks = 24;

    /// <summary>
    /// The plane of a block whose packed planes fit the cache. Whole rows where two of them fit: long runs of
    /// memory are read faster than the rows of squarer blocks, which have less border. Of the heights that
    /// with which a plane of the volume takes least time.
    /// </summary>
    public static HostBlock ForPlanes(int depth, int height, int width, int channels, int kernelSize)
        => ForPlanes(depth, height, width, channels, kernelSize, CacheBytes);

    /// <summary>The same for sums over all voxels.</summary>
    public static HostBlock ForSums(int depth, int height, int width, int channels, int kernelSize)
        => ForPlanes(depth, height, width, channels, kernelSize, CacheBytesForSums);

    private static HostBlock ForPlanes(int depth, int height, int width, int channels, int kernelSize, long cacheBytes)
    {
        int border = kernelSize - 1;
        long bytesPerVoxel = (long)kernelSize * channels * sizeof(float);
        HostBlock best = new(depth, 1, Math.Min(width, 8));
        for (int columns = 1; columns == 1 || DivideUp(width, columns) >= 8; columns++)
        {
            double leastTime = double.PositiveInfinity;
            int blockWidth = DivideUp(width, columns);
            for (int blockHeight = Math.Min(2, height); blockHeight <= height; blockHeight++)
            {
                if ((blockHeight + border) * (blockWidth + border) * bytesPerVoxel > cacheBytes)
                    break;
                double time = PlaneTime(height, width, blockHeight, blockWidth, border);
                if (time < leastTime)
                {
                    leastTime = time;
                    best = new HostBlock(depth, blockHeight, blockWidth);
                }
            }

            if (leastTime < double.PositiveInfinity)
                break;
        }

        return best;
    }

    // In multiplications of a voxel: of those that are computed, the last tile of a block whole, and of those
    // that are packed.
    private static double PlaneTime(int height, int width, int blockHeight, int blockWidth, int border)
    {
        double time = 0;
        for (int y = 0; y < height; y += blockHeight)
        {
            int h = Math.Min(blockHeight, height - y);
            for (int x = 0; x < width; x += blockWidth)
            {
                int w = Math.Min(blockWidth, width - x);
                time += DivideUp(h * w, TileVoxels) * TileVoxels + PackTime * (h + border) * (w + border);
            }
        }

        return time;
    }

    /// <summary>
    /// The same plane, but cut further until there are enough blocks to share among threads.
    /// </summary>
    public static HostBlock ForThreads(int batch, int depth, int height, int width, int channels, int kernelSize)
    {
        HostBlock block = ForPlanes(depth, height, width, channels, kernelSize);
        while (block.Count(batch, depth, height, width) < EnoughBlocks)
        {
            if (block.Depth > 2)
                block = block with { Depth = DivideUp(block.Depth, 2) };
            else if (block.Height > 4)
                block = block with { Height = DivideUp(block.Height, 2) };
            else if (block.Depth > 1)
                block = block with { Depth = 1 };
            else
                break;
        }

        return block;
    }

    /// <summary>Number of blocks of a batch of volumes.</summary>
    public int Count(int batch, int depth, int height, int width)
        => batch * DivideUp(depth, Depth) * DivideUp(height, Height) * DivideUp(width, Width);

    public static int DivideUp(int value, int divisor) => (value + divisor - 1) / divisor;
}
