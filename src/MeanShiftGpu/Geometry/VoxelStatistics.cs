using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Geometry;

/// <summary>
/// Mean, standard deviation and range of voxels that come in pieces, in one pass and in double precision. The
/// result has the same bits however the voxels are cut into pieces. Voxels that are not finite are counted
/// and left out.
/// </summary>
public sealed class VoxelStatistics
{
    // Sums are kept for this many voxels relative to the first of them, then merged by the pairwise formula
    // (Chan, Golub, LeVeque 1979): nothing is lost to cancellation, and an addition costs no division.
    private const int BlockVoxels = 4096;
    private const int MostVoxelsAtOnce = 1 << 22;

    private long mergedCount;
    private double mergedMean;
    private double mergedSquares;
    private int blockCount;
    private double shift;
    private double sum;
    private double sumOfSquares;
    private long seen;

    /// <summary>How many finite voxels there were.</summary>
    public long Count => mergedCount + blockCount;

    /// <summary>Their mean; 0 where there was none.</summary>
    public double Mean => Merged().Mean;

    /// <summary>Their standard deviation, the sum of squares divided by their number.</summary>
    public double Deviation => Count == 0 ? 0 : Math.Sqrt(Math.Max(0, Merged().Squares) / Count);

    /// <summary>The smallest; +∞ where there was none.</summary>
    public float Minimum { get; private set; } = float.PositiveInfinity;

    /// <summary>The largest; −∞ where there was none.</summary>
    public float Maximum { get; private set; } = float.NegativeInfinity;

    /// <summary>
    /// The voxel that alone makes a tenth of the variance, which makes normalisation by the standard
    /// deviation useless; null where there is none. Gold beads of a thousand voxels do not make one, nor do
    /// volumes of fewer than a thousand voxels, whose extremes are large by chance.
    /// </summary>
    public float? Outlier
    {
        get
        {
            double furthest = Math.Abs(Maximum - Mean) > Math.Abs(Minimum - Mean) ? Maximum : Minimum;
            return Count >= 1000 && Math.Pow(furthest - Mean, 2) > 0.1 * Deviation * Deviation * Count ? (float)furthest : null;
        }
    }

    /// <summary>How many voxels were NaN or infinite.</summary>
    public long NonFiniteCount { get; private set; }

    /// <summary>
    /// Which voxel was the first that was not finite, counted from 0 in the order in which they came; −1 for
    /// none.
    /// </summary>
    public long FirstNonFinite { get; private set; } = -1;

    /// <summary>Reads a volume once, slice by slice, and refuses voxels that are not finite.</summary>
    /// <param name="source">The volume.</param>
    /// <param name="name">Its name, for the message.</param>
    /// <param name="cancellation">Stops between two pieces.</param>
    /// <exception cref="InputException">A voxel is NaN or infinite; the line says how many and where the
    /// first is.</exception>
    public static VoxelStatistics Measure(IVoxelSource source, string name, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        Extent size = source.Size;
        VoxelStatistics statistics = new();
        long slice = (long)size.Height * size.Width;
        int slices = (int)Math.Clamp(MostVoxelsAtOnce / slice, 1, size.Depth);
        int rows = (int)Math.Clamp(MostVoxelsAtOnce / size.Width, 1, size.Height);
        float[] buffer = new float[Math.Max(slices * Math.Min(slice, MostVoxelsAtOnce), (long)rows * size.Width)];
        for (int z = 0; z < size.Depth; z += slices)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(slices, size.Depth - z);
            // Several slices at once, or a slice in several pieces where it is large.
            int step = slice <= MostVoxelsAtOnce ? size.Height : rows;
            for (int y = 0; y < size.Height; y += step)
            {
                Box box = new((z, y, 0), new Extent(count, Math.Min(step, size.Height - y), size.Width));
                Span<float> values = buffer.AsSpan(0, (int)box.Size.Voxels);
                source.Read(box, values);
                statistics.Add(values);
            }
        }

        if (statistics.NonFiniteCount > 0)
        {
            (long z, long inSlice) = Math.DivRem(statistics.FirstNonFinite, slice);
            throw new InputException(
                $"{name}: {statistics.NonFiniteCount} of {size.Voxels} voxels "
                + $"{(statistics.NonFiniteCount == 1 ? "is" : "are")} NaN or infinite, the first at (z, y, x) = ({z}, "
                + $"{inSlice / size.Width}, {inSlice % size.Width}). Replace them, for instance by the mean.");
        }

        return statistics;
    }

    /// <summary>Takes in voxels.</summary>
    public void Add(ReadOnlySpan<float> values)
    {
        while (values.Length > 0)
        {
            int count = Math.Min(values.Length, BlockVoxels - blockCount);
            AddToBlock(values[..count]);
            values = values[count..];
            if (blockCount == BlockVoxels)
                CloseBlock();
        }
    }

    /// <summary>Takes in a number of zeros.</summary>
    public void AddZeros(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (count == 0)
            return;
        CloseBlock();
        (mergedCount, mergedMean, mergedSquares) = Combine(count, 0, 0);
        Minimum = Math.Min(Minimum, 0);
        Maximum = Math.Max(Maximum, 0);
        seen += count;
    }

    /// <summary>
    /// Shifts and scales voxels to mean 0 and standard deviation 1 by these statistics; those of constant
    /// data become 0.
    /// </summary>
    public void Normalize(Span<float> values)
    {
        (double mean, double deviation) = (Mean, Deviation);
        double scale = deviation > 0 ? 1 / deviation : 0;
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)((values[i] - mean) * scale);
    }

    private void AddToBlock(ReadOnlySpan<float> values)
    {
        (double s, double squares, float low, float high) = (sum, sumOfSquares, Minimum, Maximum);
        foreach (float value in values)
        {
            seen++;
            if (!float.IsFinite(value))
            {
                if (NonFiniteCount++ == 0)
                    FirstNonFinite = seen - 1;
                continue;
            }

            if (blockCount++ == 0)
                shift = value;
            double offset = value - shift;
            s += offset;
            squares += offset * offset;
            low = Math.Min(low, value);
            high = Math.Max(high, value);
        }

        (sum, sumOfSquares, Minimum, Maximum) = (s, squares, low, high);
    }

    private void CloseBlock()
    {
        (mergedCount, mergedMean, mergedSquares) = Merged();
        (blockCount, sum, sumOfSquares) = (0, 0, 0);
    }

    private (long Count, double Mean, double Squares) Merged()
        => blockCount == 0
            ? (mergedCount, mergedMean, mergedSquares)
            : Combine(blockCount, shift + sum / blockCount, sumOfSquares - sum * sum / blockCount);

    private (long Count, double Mean, double Squares) Combine(long count, double mean, double squares)
    {
        long all = mergedCount + count;
        double offset = mean - mergedMean;
        return (all, mergedMean + offset * count / all, mergedSquares + squares + offset * offset * mergedCount * count / all);
    }
}
