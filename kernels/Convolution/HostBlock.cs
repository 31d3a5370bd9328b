namespace MeanShiftGpu.Kernels;

/// <summary>
/// How a host convolution cuts a volume: blocks of Depth × Height × Width voxels. A block is swept along z with as many
/// packed planes in memory as the kernel is high; those planes, borders included, are to stay in the second-level cache.
/// Depends on the shape only.
/// </summary>
internal readonly record struct HostBlock(int Depth, int Height, int Width)
{
    // Leaves half of a 512 KiB cache to the weights.
    private const long CacheBytes = 224 * 1024;

    // Enough blocks to keep 16 threads, or two unevenly interrupted ones, busy to the end.
    private const int EnoughBlocks = 24;

    /// <summary>The plane of a block with the least border for its area, among those whose packed planes fit the cache.</summary>
    public static HostBlock ForPlanes(int depth, int height, int width, int channels, int kernelSize)
    {
        int border = kernelSize - 1;
        long bytesPerVoxel = (long)kernelSize * channels * sizeof(float);
        HostBlock best = new(depth, 1, Math.Min(width, 8));
        double leastOverhead = double.PositiveInfinity;
        for (int columns = 1; columns == 1 || DivideUp(width, columns) >= 8; columns++)
        {
            int blockWidth = DivideUp(width, columns);
            for (int rows = 1; rows <= height; rows++)
            {
                int blockHeight = DivideUp(height, rows);
                long padded = (long)(blockHeight + border) * (blockWidth + border);
                if (padded * bytesPerVoxel > CacheBytes)
                    continue;
                // The first that fits has the least border for this width.
                double overhead = (double)padded / ((long)blockHeight * blockWidth);
                if (overhead < leastOverhead)
                {
                    leastOverhead = overhead;
                    best = new HostBlock(depth, blockHeight, blockWidth);
                }

                break;
            }
        }

        return best;
    }

    /// <summary>The same plane, but cut further until there are enough blocks to share among threads.</summary>
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
