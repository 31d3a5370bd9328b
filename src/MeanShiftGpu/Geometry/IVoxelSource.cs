using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Geometry;

/// <summary>
/// A volume that is read in boxes, wherever its voxels lie: <see cref="Volume"/> has them in memory, a reader
/// of files in a file that may be larger than the memory. One caller at a time.
/// </summary>
public interface IVoxelSource
{
    /// <summary>The extents in voxels.</summary>
    Extent Size { get; }

    /// <summary>The edges of a voxel in Å; 0 where unknown.</summary>
    VoxelSize VoxelSize { get; }

    /// <summary>Reads a box.</summary>
    /// <param name="box">A part of the volume.</param>
    /// <param name="destination">[depth, height, width] of the box.</param>
    /// <exception cref="InputException">The file cannot be read there.</exception>
    void Read(Box box, Span<float> destination);
}

/// <summary>
/// A volume that is written in boxes, in any order; what is never written is 0. One caller at a time.
/// </summary>
public interface IVoxelSink
{
    /// <summary>The extents in voxels.</summary>
    Extent Size { get; }

    /// <summary>Writes a box.</summary>
    /// <param name="box">A part of the volume.</param>
    /// <param name="values">[depth, height, width] of the box.</param>
    /// <exception cref="InputException">The file cannot be written.</exception>
    void Write(Box box, ReadOnlySpan<float> values);
}

/// <summary>
/// A volume in the caller's memory, [D, H, W] dense, which must stay where it is as long as this is used.
/// </summary>
internal sealed unsafe class PinnedVoxels(float* voxels, Extent size) : IVoxelSource, IVoxelSink
{
    /// <inheritdoc cref="IVoxelSource.Size"/>
    public Extent Size => size;

    /// <inheritdoc/>
    public VoxelSize VoxelSize => default;

    /// <inheritdoc/>
    public void Read(Box box, Span<float> destination)
    {
        BoxRows rows = new(box, size, destination.Length);
        for (int i = 0; i < rows.Count; i++)
            new ReadOnlySpan<float>(voxels + rows.Start(i), box.Size.Width).CopyTo(destination.Slice(i * box.Size.Width));
    }

    /// <inheritdoc/>
    public void Write(Box box, ReadOnlySpan<float> values)
    {
        BoxRows rows = new(box, size, values.Length);
        for (int i = 0; i < rows.Count; i++)
            values.Slice(i * box.Size.Width, box.Size.Width).CopyTo(new Span<float>(voxels + rows.Start(i), box.Size.Width));
    }
}

/// <summary>The rows of a box within a volume.</summary>
internal readonly struct BoxRows
{
    private readonly Box box;
    private readonly Extent volume;

    /// <summary>Checks that a box lies in a volume and fits a buffer.</summary>
    public BoxRows(Box box, Extent volume, int bufferLength)
    {
        if (!box.IsInside(volume))
            throw new ArgumentOutOfRangeException(nameof(box), $"a box of {box} is not inside a volume of {volume}.");
        if (bufferLength < box.Size.Voxels)
            throw new ArgumentException($"{bufferLength} values do not hold a box of {box.Size}.", nameof(bufferLength));
        this.box = box;
        this.volume = volume;
        Count = box.Size.Width == 0 ? 0 : box.Size.Depth * box.Size.Height;
    }

    /// <summary>How many rows there are.</summary>
    public int Count { get; }

    /// <summary>The first voxel of a row, counted from the first of the volume.</summary>
    public long Start(int row)
        => ((long)(box.Origin.Z + row / box.Size.Height) * volume.Height + box.Origin.Y + row % box.Size.Height) * volume.Width
            + box.Origin.X;
}
