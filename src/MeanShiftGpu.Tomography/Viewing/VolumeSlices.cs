using System.Numerics;
using System.Runtime.InteropServices;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Viewing;

/// <summary>
/// Slices of a volume as bytes for a screen. Those at a z are read from the file when they are asked for;
/// those along the other axes come from a cache (see <see cref="ByteCache"/>) that is filled once in the
/// background. May be called from several threads.
/// </summary>
internal sealed class VolumeSlices : IDisposable
{
    // The places of the sample by which contrast is chosen: so many depths, and rows of each.
    private const int SampleDepths = 7;
    private const int SampleRows = 48;

    // Memory for slices that are likely to be asked for again.
    private const int RecentBytes = 64 << 20;
    private const int MostRecent = 16;

    private readonly MrcReader reader;
    private readonly Lock reading = new();
    private readonly Dictionary<int, GreyRange> ranges = [];
    private readonly bool isScoreMap;
    private readonly float[] sum;

    // The slices that were read last, the first of them first: the mean around the next slice shares all but
    // one with the mean before.
    private readonly List<(int Z, float[] Values)> recent = [];
    private readonly int mostRecent;
    private readonly CancellationTokenSource stop = new();
    private Task? filling;

    private VolumeSlices(MrcReader reader, bool isScoreMap, long cacheBytes)
    {
        this.reader = reader;
        this.isScoreMap = isScoreMap;
        sum = new float[Size.Height * Size.Width];
        mostRecent = Math.Clamp(RecentBytes / sizeof(float) / sum.Length, 1, MostRecent);
        Cache = new ByteCache(Size, RangeOf(0), cacheBytes);
    }

    /// <summary>The size in voxels.</summary>
    public Extent Size => reader.Size;

    /// <summary>The edges of a voxel in Å; 0 where unknown.</summary>
    public VoxelSize VoxelSize => reader.VoxelSize;

    /// <summary>Slices along the other axes.</summary>
    public ByteCache Cache { get; }

    /// <summary>Why the cache could not be filled; null where nothing is wrong.</summary>
    public string? Problem { get; private set; }

    /// <summary>Opens a volume, whose contrast is chosen by percentiles.</summary>
    /// <param name="path">The file.</param>
    /// <param name="cacheBytes">How large the cache may be.</param>
    /// <param name="cancellation">Stops the unpacking of a compressed file.</param>
    /// <exception cref="InputException">It cannot be read, or holds several volumes.</exception>
    public static VolumeSlices Open(string path, long cacheBytes, CancellationToken cancellation = default)
        => Open(path, isScoreMap: false, cacheBytes, cancellation);

    /// <summary>Opens a score map, whose bytes go from 0 to its largest score.</summary>
    /// <inheritdoc cref="Open(string, long, CancellationToken)"/>
    public static VolumeSlices OpenScoreMap(string path, long cacheBytes, CancellationToken cancellation = default)
        => Open(path, isScoreMap: true, cacheBytes, cancellation);

    private static VolumeSlices Open(string path, bool isScoreMap, long cacheBytes, CancellationToken cancellation)
    {
        MrcReader reader = MrcReader.Open(path, cancellation);
        try
        {
            if ((long)reader.Size.Height * reader.Size.Width > Array.MaxLength)
                throw new InputException(
                    $"{path}: slices of {reader.Size.Width}×{reader.Size.Height} voxels are too large to be shown; expected "
                    + $"at most {Array.MaxLength} voxels. Bin the volume, or cut it.");
            return new VolumeSlices(reader, isScoreMap, cacheBytes);
        }
        catch
        {
            reader.Dispose();
            throw;
        }
    }

    /// <summary>Begins to fill the cache; slices can be asked for meanwhile.</summary>
    public void FillCache() => filling = Task.Run(() =>
    {
        try
        {
            float[] own = new float[sum.Length];
            while (!Cache.IsReady && !stop.IsCancellationRequested)
                Cache.Fill(ReadSlice, own);
        }
        catch (InputException e)
        {
            Problem = e.Message;
        }
    });

    /// <summary>Rows and columns of a slice.</summary>
    public (int Height, int Width) ShapeOf(SlicePlane plane) => plane switch
    {
        SlicePlane.XY => (Size.Height, Size.Width),
        SlicePlane.XZ => (Cache.Size.Depth, Cache.Size.Width),
        _ => (Cache.Size.Height, Cache.Size.Depth),
    };

    /// <summary>
    /// The mean of the slices around a place, as bytes; false where the cache is not ready.
    /// </summary>
    /// <param name="plane">The plane.</param>
    /// <param name="at">The slice in voxels; what lies outside is taken as the nearest one.</param>
    /// <param name="reach">How many further slices count on either side.</param>
    /// <param name="bytes">[height, width] of <see cref="ShapeOf"/>.</param>
    /// <exception cref="InputException">The file cannot be read.</exception>
    public bool TryRead(SlicePlane plane, int at, int reach, Span<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(reach);
        if (plane == SlicePlane.XY)
        {
            ReadXY(at, reach, bytes);
            return true;
        }

        if (!Cache.IsReady)
            return false;
        GreyRange range = RangeOf(reach);
        if (plane == SlicePlane.XZ)
        {
            Cache.AcrossY(at, reach, range, bytes);
        }
        else
        {
            byte[] across = new byte[Cache.Size.Depth * Cache.Size.Height];
            Cache.AcrossX(at, reach, range, across);
            for (int y = 0; y < Cache.Size.Height; y++)
            {
                for (int z = 0; z < Cache.Size.Depth; z++)
                    bytes[y * Cache.Size.Depth + z] = across[z * Cache.Size.Height + y];
            }
        }

        return true;
    }

    /// <summary>A square of a slice around a place: the mean of a few slices.</summary>
    /// <param name="center">Its middle; the nearest voxel is taken.</param>
    /// <param name="edge">Edge in voxels.</param>
    /// <param name="reach">How many further slices count on either side.</param>
    /// <param name="bytes">[edge, edge]; what lies outside the volume is 0.</param>
    /// <exception cref="InputException">The file cannot be read.</exception>
    public void ReadThumbnail(Position center, int edge, int reach, Span<byte> bytes)
    {
        bytes[..(edge * edge)].Clear();
        (int z, int y, int x) = (Nearest(center.Z), Nearest(center.Y) - edge / 2, Nearest(center.X) - edge / 2);
        Box inside = new Box((z - reach, y, x), new Extent(2 * reach + 1, edge, edge)).ClippedTo(Size);
        if (inside.Size.Voxels == 0)
            return;
        float[] values = new float[inside.Size.Voxels];
        lock (reading)
            reader.Read(inside, values);
        GreyRange range = RangeOf(reach);
        int layer = inside.Size.Height * inside.Size.Width;
        for (int i = layer; i < values.Length; i++)
            values[i % layer] += values[i];
        for (int row = 0; row < inside.Size.Height; row++)
        {
            Span<byte> to = bytes.Slice((inside.Origin.Y + row - y) * edge + inside.Origin.X - x, inside.Size.Width);
            range.Encode(values.AsSpan(row * inside.Size.Width, inside.Size.Width), 1f / inside.Size.Depth, to);
        }
    }

    /// <summary>
    /// The sum of the volume's values in a ball: the support of a pick, where the volume is a score map.
    /// </summary>
    /// <param name="center">The ball's centre.</param>
    /// <param name="radius">Its radius in voxels; voxels whose centres lie inside or on it count.</param>
    /// <exception cref="InputException">The file cannot be read.</exception>
    public double SumInBall(Position center, double radius)
    {
        int reach = (int)Math.Ceiling(radius);
        (int z, int y, int x) = (Nearest(center.Z) - reach, Nearest(center.Y) - reach, Nearest(center.X) - reach);
        int edge = 2 * reach + 1;
        Box inside = new Box((z, y, x), new Extent(edge, edge, edge)).ClippedTo(Size);
        float[] values = new float[inside.Size.Voxels];
        lock (reading)
            reader.Read(inside, values);
        double total = 0;
        for (int i = 0; i < values.Length; i++)
        {
            Position at = new(
                inside.Origin.Z + i / inside.Size.Width / inside.Size.Height, inside.Origin.Y
                    + i / inside.Size.Width % inside.Size.Height, inside.Origin.X + i % inside.Size.Width);
            if (at.SquaredDistanceTo(center) <= radius * radius)
                total += values[i];
        }

        return total;
    }

    /// <summary>What the bytes of means over 2 · reach + 1 slices mean.</summary>
    public GreyRange RangeOf(int reach)
    {
        lock (reading)
        {
            if (!ranges.TryGetValue(reach, out GreyRange range))
                ranges[reach] = range = isScoreMap ? new GreyRange(0, LargestScore()) : GreyRange.Of(Sample(reach));
            return range;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        stop.Cancel();
        filling?.Wait();
        stop.Dispose();
        reader.Dispose();
    }

    private void ReadXY(int at, int reach, Span<byte> bytes)
    {
        GreyRange range = RangeOf(reach);
        int first = Math.Clamp(at - reach, 0, Size.Depth - 1), last = Math.Clamp(at + reach, 0, Size.Depth - 1);
        lock (reading)
        {
            Recent(first).CopyTo(sum, 0);
            for (int z = first + 1; z <= last; z++)
                Add(sum, Recent(z));

            range.Encode(sum, 1f / (last - first + 1), bytes);
        }
    }

    private float[] Recent(int z)
    {
        if (recent.Find(r => r.Z == z).Values is { } known)
            return known;
        float[] values;
        if (recent.Count < mostRecent)
        {
            values = new float[sum.Length];
        }
        else
        {
            values = recent[0].Values;
            recent.RemoveAt(0);
        }

        reader.Read(Box.Slices(Size, z, 1), values);
        recent.Add((z, values));
        return values;
    }

    private static void Add(Span<float> sum, ReadOnlySpan<float> more)
    {
        Span<Vector<float>> sums = MemoryMarshal.Cast<float, Vector<float>>(sum);
        ReadOnlySpan<Vector<float>> mores = MemoryMarshal.Cast<float, Vector<float>>(more);
        for (int i = 0; i < sums.Length; i++)
            sums[i] += mores[i];
        for (int i = sums.Length * Vector<float>.Count; i < sum.Length; i++)
            sum[i] += more[i];
    }

    private void ReadSlice(int z, float[] values)
    {
        lock (reading)
            reader.Read(Box.Slices(Size, z, 1), values);
    }

    // Means over some slices, at a few depths, of rows that lie elsewhere at each.
    private float[] Sample(int reach)
    {
        int rows = Math.Min(SampleRows, Size.Height);
        List<float> sample = [];
        for (int i = 0; i < SampleDepths; i++)
        {
            int z = (2 * i + 1) * Size.Depth / (2 * SampleDepths);
            int y = (Size.Height - rows) * i / (SampleDepths - 1);
            Box box = new Box((z - reach, y, 0), new Extent(2 * reach + 1, rows, Size.Width)).ClippedTo(Size);
            float[] values = new float[box.Size.Voxels];
            reader.Read(box, values);
            int layer = rows * Size.Width;
            for (int k = layer; k < values.Length; k++)
                values[k % layer] += values[k];
            sample.AddRange(values.Take(layer).Select(v => v / box.Size.Depth));
        }

        return [.. sample];
    }

    // The header says it where 'pick' wrote the map; another program's header may not.
    private float LargestScore()
    {
        float largest = float.IsFinite(reader.Header.Maximum) ? reader.Header.Maximum : 0;
        foreach (float value in Sample(0))
        {
            if (float.IsFinite(value))
                largest = Math.Max(largest, value);
        }

        return largest > 0 ? largest : 1;
    }

    private static int Nearest(double value) => (int)Math.Round(value);
}
