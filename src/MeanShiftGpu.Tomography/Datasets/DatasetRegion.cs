using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Tomography.Datasets;

/// <summary>
/// The part of a volume that a data set uses; its grey values are normalised over the whole volume, as
/// picking does.
/// </summary>
/// <param name="Box">The part, in voxels of the volume.</param>
/// <param name="MarginVoxels">
/// Centres nearer than this to a face of the part that is no face of the volume are left out: their particles
/// reach into the other part.
/// </param>
public sealed record DatasetRegion(Box Box, double MarginVoxels = 0)
{
    /// <summary>Whether a centre belongs to the part.</summary>
    /// <param name="z">The centre along z in voxels of the volume.</param>
    /// <param name="y">Along y.</param>
    /// <param name="x">Along x.</param>
    /// <param name="volume">The volume's size.</param>
    public bool Holds(double z, double y, double x, Extent volume)
    {
        return Along(z, Box.Origin.Z, Box.Size.Depth, volume.Depth) && Along(y, Box.Origin.Y, Box.Size.Height, volume.Height)
            && Along(x, Box.Origin.X, Box.Size.Width, volume.Width);

        // A voxel reaches half a voxel to both sides of its centre.
        bool Along(double at, int first, int length, int extent)
            => at >= first - 0.5 + (first > 0 ? MarginVoxels : 0)
                && at < first + length - 0.5 - (first + length < extent ? MarginVoxels : 0);
    }

    /// <summary>A place within the part, from one in the volume.</summary>
    internal Position FromVolume(Particle particle)
        => new(particle.Z - Box.Origin.Z, particle.Y - Box.Origin.Y, particle.X - Box.Origin.X);

    /// <inheritdoc/>
    public override string ToString()
    {
        static string Range(char axis, int first, int length) => $"{axis} {first} to {first + length - 1}";
        return $"{Range('z', Box.Origin.Z, Box.Size.Depth)}, {Range('y', Box.Origin.Y, Box.Size.Height)}, "
            + Range('x', Box.Origin.X, Box.Size.Width);
    }
}

/// <summary>A part of another volume's voxels.</summary>
/// <param name="source">The volume; disposed with this.</param>
/// <param name="part">The part.</param>
internal sealed class VoxelsOfRegion(IVoxelSource source, Box part) : IVoxelSource, IDisposable
{
    /// <inheritdoc/>
    public Extent Size => part.Size;

    /// <inheritdoc/>
    public VoxelSize VoxelSize => source.VoxelSize;

    /// <inheritdoc/>
    public void Read(Box box, Span<float> destination)
    {
        (int z, int y, int x) = (part.Origin.Z + box.Origin.Z, part.Origin.Y + box.Origin.Y, part.Origin.X + box.Origin.X);
        source.Read(new Box((z, y, x), box.Size), destination);
    }

    /// <inheritdoc/>
    public void Dispose() => (source as IDisposable)?.Dispose();
}
