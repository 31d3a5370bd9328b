using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Viewing;

/// <summary>
/// A volume in memory as bytes, from which slices along any axis are cut. Where it would be larger than it
/// may, a byte stands for the mean of a cube of <see cref="Bin"/> voxels along each edge.
/// </summary>
internal sealed class ByteCache
{
    private readonly byte[][] sections;
    private readonly Extent volume;
    private readonly GreyRange range;

    /// <summary>Takes the memory.</summary>
    /// <param name="volume">The volume's size in voxels.</param>
    /// <param name="range">What the bytes mean.</param>
    /// <param name="mostBytes">How large it may be.</param>
    public ByteCache(Extent volume, GreyRange range, long mostBytes)
    {
        this.volume = volume;
        this.range = range;
        Bin = 1;
        while (Binned(volume, Bin).Voxels > mostBytes && Bin < Math.Max(volume.Depth, Math.Max(volume.Height, volume.Width)))
            Bin++;
        Size = Binned(volume, Bin);
        sections = new byte[Size.Depth][];
    }

    /// <summary>Voxels along an edge of what a byte stands for.</summary>
    public int Bin { get; }

    /// <summary>Its size in bytes along each axis.</summary>
    public Extent Size { get; }

    /// <summary>The part that is there, from 0 to 1.</summary>
    public double Progress => (double)done / Size.Depth;

    /// <summary>Whether all of it is there.</summary>
    public bool IsReady => done == Size.Depth;

    private volatile int done;

    /// <summary>Fills the next section from the slices that it stands for.</summary>
    /// <param name="read">Reads slice z of the volume into [Height, Width].</param>
    /// <param name="slice">[Height, Width] of the volume, for what is read.</param>
    public void Fill(Action<int, float[]> read, float[] slice)
    {
        byte[] section = new byte[Size.Height * Size.Width];
        int first = done * Bin, last = Math.Min(volume.Depth, first + Bin);
        if (Bin == 1)
        {
            read(first, slice);
            range.Encode(slice, 1, section);
        }
        else
        {
            float[] sums = new float[section.Length];
            for (int z = first; z < last; z++)
            {
                read(z, slice);
                for (int i = 0; i < slice.Length; i++)
                    sums[i / volume.Width / Bin * Size.Width + i % volume.Width / Bin] += slice[i];
            }

            for (int y = 0; y < Size.Height; y++)
            {
                int rows = Math.Min(Bin, volume.Height - y * Bin);
                for (int x = 0; x < Size.Width; x++)
                    section[y * Size.Width + x] =
                        range.Of(sums[y * Size.Width + x] / ((last - first) * rows * Math.Min(Bin, volume.Width - x * Bin)));
            }
        }

        sections[done] = section;
        done++;
    }

    /// <summary>The mean of the slices around a place along y, in another range.</summary>
    /// <param name="at">The slice in voxels.</param>
    /// <param name="reach">How many voxels further the mean reaches on either side.</param>
    /// <param name="shown">What the bytes of the result mean.</param>
    /// <param name="bytes">[Depth, Width] of <see cref="Size"/>.</param>
    public void AcrossY(int at, int reach, GreyRange shown, Span<byte> bytes)
    {
        (int first, int last) = Around(at, reach, volume.Height);
        byte[] table = Table(shown, last - first + 1);
        Span<int> sums = new int[Size.Width];
        for (int z = 0; z < Size.Depth; z++)
        {
            sums.Clear();
            for (int y = first; y <= last; y++)
            {
                ReadOnlySpan<byte> row = sections[z].AsSpan(y * Size.Width, Size.Width);
                for (int x = 0; x < row.Length; x++)
                    sums[x] += row[x];
            }

            for (int x = 0; x < sums.Length; x++)
                bytes[z * Size.Width + x] = table[sums[x]];
        }
    }

    /// <summary>The mean of the slices around a place along x, in another range.</summary>
    /// <param name="at">The slice in voxels.</param>
    /// <param name="reach">How many voxels further the mean reaches on either side.</param>
    /// <param name="shown">What the bytes of the result mean.</param>
    /// <param name="bytes">[Depth, Height] of <see cref="Size"/>.</param>
    public void AcrossX(int at, int reach, GreyRange shown, Span<byte> bytes)
    {
        (int first, int last) = Around(at, reach, volume.Width);
        byte[] table = Table(shown, last - first + 1);
        for (int z = 0; z < Size.Depth; z++)
        {
            for (int y = 0; y < Size.Height; y++)
            {
                int sum = 0;
                foreach (byte value in sections[z].AsSpan(y * Size.Width + first, last - first + 1))
                    sum += value;
                bytes[z * Size.Height + y] = table[sum];
            }
        }
    }

    private (int First, int Last) Around(int at, int reach, int length)
        => (Math.Clamp(at - reach, 0, length - 1) / Bin, Math.Clamp(at + reach, 0, length - 1) / Bin);

    // Sums of some bytes of the cache's range as bytes of another one.
    private byte[] Table(GreyRange shown, int count)
    {
        byte[] table = new byte[255 * count + 1];
        for (int sum = 0; sum < table.Length; sum++)
            table[sum] = shown.Of(range.Low + (range.High - range.Low) * sum / (255f * count));
        return table;
    }

    private static Extent Binned(Extent volume, int bin)
        => new((volume.Depth + bin - 1) / bin, (volume.Height + bin - 1) / bin, (volume.Width + bin - 1) / bin);
}
