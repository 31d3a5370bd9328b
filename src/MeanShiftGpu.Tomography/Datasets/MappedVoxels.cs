using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Datasets;

/// <summary>
/// Another volume's voxels, changed one by one as they are read: normalised, or labels as classes.
/// </summary>
/// <param name="source">Where they come from; disposed with this.</param>
/// <param name="map">Changes voxels in place; what it makes of one depends on that one alone.</param>
internal sealed class MappedVoxels(MrcReader source, MappedVoxels.Change map) : IVoxelSource, IDisposable
{
    /// <summary>Changes voxels in place.</summary>
    public delegate void Change(Span<float> values);

    /// <inheritdoc/>
    public Extent Size => source.Size;

    /// <inheritdoc/>
    public VoxelSize VoxelSize => source.VoxelSize;

    /// <inheritdoc/>
    public void Read(Box box, Span<float> destination)
    {
        source.Read(box, destination);
        map(destination[..(int)box.Size.Voxels]);
    }

    /// <inheritdoc/>
    public void Dispose() => source.Dispose();
}
