using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>
/// One of the eight mirror images of a volume along its axes. Each keeps a missing wedge about the y axis
/// where it is, so that a network sees what it was trained on.
/// </summary>
/// <param name="Z">Whether z is reversed.</param>
/// <param name="Y">Whether y is.</param>
/// <param name="X">Whether x is.</param>
internal readonly record struct MirrorImage(bool Z, bool Y, bool X)
{
    /// <summary>How many there are, the volume itself among them.</summary>
    public const int Count = 8;

    /// <summary>The first so many: the volume, then its images along x, y and z.</summary>
    public static IEnumerable<MirrorImage> First(int count)
        => Enumerable.Range(0, count).Select(i => new MirrorImage((i & 4) != 0, (i & 2) != 0, (i & 1) != 0));

    /// <summary>Where a box lies in the image of a volume; the same leads back.</summary>
    public Box Of(Box box, Extent volume) => new(
        (Z ? volume.Depth - box.Origin.Z - box.Size.Depth : box.Origin.Z, Y ? volume.Height - box.Origin.Y - box.Size.Height
            : box.Origin.Y,
            X ? volume.Width - box.Origin.X - box.Size.Width : box.Origin.X),
        box.Size);

    /// <summary>Copies voxels in the image's order.</summary>
    public void Copy(ReadOnlySpan<float> from, Extent size, Span<float> to)
    {
        for (int z = 0; z < size.Depth; z++)
        {
            for (int y = 0; y < size.Height; y++)
            {
                Span<float> row = to.Slice(((z * size.Height) + y) * size.Width, size.Width);
                int source = ((Z ? size.Depth - 1 - z : z) * size.Height) + (Y ? size.Height - 1 - y : y);
                from.Slice(source * size.Width, size.Width).CopyTo(row);
                if (X)
                    row.Reverse();
            }
        }
    }
}

/// <summary>The mirror image of a volume.</summary>
internal sealed class MirroredVoxels(IVoxelSource source, MirrorImage mirror) : IVoxelSource
{
    private float[] read = [];

    public Extent Size => source.Size;

    public VoxelSize VoxelSize => source.VoxelSize;

    public void Read(Box box, Span<float> destination)
    {
        int count = (int)box.Size.Voxels;
        if (read.Length < count)
            read = new float[count];
        source.Read(mirror.Of(box, Size), read.AsSpan(0, count));
        mirror.Copy(read, box.Size, destination);
    }
}

/// <summary>
/// Takes the scores of one of several predictions into their mean and the sum of squared differences from it
/// (Welford's recurrence), mirrored back.
/// </summary>
/// <param name="number">Which prediction it is, counted from 1; the first one replaces what is there.</param>
/// <param name="mirror">The image that was predicted.</param>
/// <param name="mean">The mean of the predictions so far; written too.</param>
/// <param name="squares">The sum; written too.</param>
internal sealed class MeanSink(int number, MirrorImage mirror, IVoxelSource mean, IVoxelSource squares) : IVoxelSink
{
    private float[] scores = [];
    private float[] means = [];
    private float[] sums = [];

    public Extent Size => mean.Size;

    public void Write(Box box, ReadOnlySpan<float> values)
    {
        int count = (int)box.Size.Voxels;
        if (scores.Length < count)
            (scores, means, sums) = (new float[count], new float[count], new float[count]);
        mirror.Copy(values, box.Size, scores);
        Box place = mirror.Of(box, Size);
        Span<float> m = means.AsSpan(0, count);
        Span<float> s = sums.AsSpan(0, count);
        if (number == 1)
        {
            m.Clear();
            s.Clear();
        }
        else
        {
            mean.Read(place, m);
            squares.Read(place, s);
        }

        for (int i = 0; i < count; i++)
        {
            float difference = scores[i] - m[i];
            m[i] += difference / number;
            s[i] += difference * (scores[i] - m[i]);
        }

        ((IVoxelSink)mean).Write(place, m);
        ((IVoxelSink)squares).Write(place, s);
    }
}
