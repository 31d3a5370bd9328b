using System.Runtime.InteropServices;
using System.Security.Cryptography;
using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Training;

/// <summary>
/// A volume with its annotated centres. Its voxels lie in memory or in a file, from which patches are read.
/// </summary>
/// <param name="Name">Its file or another name, for messages.</param>
/// <param name="Image">The voxels, normalised to mean 0 and standard deviation 1.</param>
/// <param name="Mask">As large as the image: inside particles their class counted from 1, 0 outside; null
/// draws balls around the centres where a mask is needed.</param>
/// <param name="Centers">Particle centres in voxels.</param>
public sealed record TrainingVolume(string Name, IVoxelSource Image, IVoxelSource? Mask, IReadOnlyList<Position> Centers)
{
    /// <summary>A volume in arrays, which are not copied.</summary>
    /// <param name="name">For messages.</param>
    /// <param name="size">Extents in voxels.</param>
    /// <param name="image">[D, H, W], normalised to mean 0 and standard deviation 1.</param>
    /// <param name="mask">[D, H, W], as <see cref="Mask"/>.</param>
    /// <param name="centers">Particle centres in voxels.</param>
    public TrainingVolume(string name, Extent size, float[] image, float[]? mask, IReadOnlyList<Position> centers)
        : this(name, Volume.Of(image, size), mask is null ? null : Volume.Of(mask, size), centers)
    {
    }

    /// <summary>Extents in voxels.</summary>
    public Extent Size => Image.Size;

    /// <summary>The class of each centre, counted from 0; null where all are of class 0.</summary>
    public IReadOnlyList<int>? CenterClasses { get; init; }

    /// <summary>
    /// Places that a person looked at and that are no particles, in voxels: background where labels are
    /// sparse.
    /// </summary>
    public IReadOnlyList<Position> Background { get; init; } = [];

    /// <summary>The class of a centre.</summary>
    public int ClassOf(int center) => CenterClasses?[center] ?? 0;

    /// <summary>
    /// The edges of a voxel in Å; 0 where unknown. Picking compares them with those of its volumes.
    /// </summary>
    public VoxelSize VoxelSize { get; init; }

    /// <summary>Whether every voxel has the same value, so that there is nothing to learn.</summary>
    public bool IsConstant { get; init; }

    /// <summary>
    /// A voxel that made the normalisation useless (see <see cref="VoxelStatistics.Outlier"/>); null where
    /// there is none.
    /// </summary>
    public float? Outlier { get; init; }

    /// <summary>
    /// Shifts and scales numbers to mean 0 and standard deviation 1; constant data become 0.
    /// </summary>
    public static void Normalize(Span<float> values)
    {
        VoxelStatistics statistics = new();
        statistics.Add(values);
        statistics.Normalize(values);
    }
}

/// <summary>
/// The volumes of a training run; those that are read from files keep them open until this is disposed.
/// </summary>
/// <param name="Training">Patches are drawn from these.</param>
/// <param name="Validation">The best model is chosen by these; may be empty, then the last model is
/// kept.</param>
public sealed record TrainingData(IReadOnlyList<TrainingVolume> Training, IReadOnlyList<TrainingVolume> Validation) : IDisposable
{
    /// <summary>All volumes.</summary>
    public IEnumerable<TrainingVolume> Volumes => Training.Concat(Validation);

    /// <summary>
    /// What tells data sets apart, wherever their files lie: a hash of each volume's size, centres, classes
    /// and middle slice, in their order.
    /// </summary>
    internal string Identity()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (TrainingVolume volume in Volumes)
        {
            Extent size = volume.Size;
            hash.AppendData(
                MemoryMarshal.AsBytes<int>([Training.Count, size.Depth, size.Height, size.Width, volume.Centers.Count]));
            for (int i = 0; i < volume.Centers.Count; i++)
                hash.AppendData(
                    MemoryMarshal.AsBytes<double>(
                        [volume.Centers[i].Z, volume.Centers[i].Y, volume.Centers[i].X, volume.ClassOf(i)]));
            float[] slice = new float[(long)size.Height * size.Width];
            volume.Image.Read(new Box((size.Depth / 2, 0, 0), new Extent(1, size.Height, size.Width)), slice);
            hash.AppendData(MemoryMarshal.AsBytes(slice.AsSpan()));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (TrainingVolume volume in Volumes)
        {
            (volume.Image as IDisposable)?.Dispose();
            (volume.Mask as IDisposable)?.Dispose();
        }
    }
}
