using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Volumes;

/// <summary>Binning of volumes.</summary>
public static class VolumeBinning
{
    /// <summary>
    /// Averages blocks of factor³ voxels; incomplete blocks at the far faces are left out. Voxel i of the
    /// result is centred on (i + 0.5)·factor − 0.5 of the volume's. The volume is read in rows of blocks, so
    /// it may be larger than the memory.
    /// </summary>
    /// <param name="source">The volume.</param>
    /// <param name="factor">Voxels along an edge of a block.</param>
    /// <param name="cancellation">Stops between two rows of blocks.</param>
    /// <exception cref="InputException">An edge of the volume is shorter than a block, or the file cannot be
    /// read.</exception>
    public static Volume Average(IVoxelSource source, int factor, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentOutOfRangeException.ThrowIfLessThan(factor, 1);
        Extent size = source.Size;
        if (Math.Min(size.Depth, Math.Min(size.Height, size.Width)) < factor)
            throw new InputException($"binning: {size} voxels cannot be binned by {factor}; an edge is shorter.");
        VoxelSize voxel = source.VoxelSize;
        Volume binned = new(
            size.Depth / factor,
            size.Height / factor,
            size.Width / factor,
            new VoxelSize(voxel.Z * factor, voxel.Y * factor, voxel.X * factor));
        float[] rows = new float[factor * factor * size.Width];
        double[] sums = new double[binned.Width];
        for (int z = 0; z < binned.Depth; z++)
        {
            for (int y = 0; y < binned.Height; y++)
            {
                cancellation.ThrowIfCancellationRequested();
                source.Read(new Box((z * factor, y * factor, 0), new Extent(factor, factor, size.Width)), rows);
                Array.Clear(sums);
                for (int start = 0; start < rows.Length; start += size.Width)
                {
                    for (int x = 0; x < binned.Width * factor; x++)
                        sums[x / factor] += rows[start + x];
                }

                Span<float> row = binned.Row(z, y);
                for (int x = 0; x < row.Length; x++)
                    row[x] = (float)(sums[x] / ((double)factor * factor * factor));
            }
        }

        return binned;
    }
}
