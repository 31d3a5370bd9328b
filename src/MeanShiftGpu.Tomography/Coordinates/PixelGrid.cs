namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>
/// The pixels that a row of a table counts in. Pixel 0 and voxel 0 begin at the same corner of the volume, so
/// that with N pixels in a voxel pixel i lies at voxel (i + 0.5)/N − 0.5.
/// </summary>
/// <param name="SizeAngstrom">A pixel's size in Å; 0 when unknown.</param>
/// <param name="PerVoxel">How many of them make a voxel of the volume along an axis.</param>
public readonly record struct PixelGrid(double SizeAngstrom, double PerVoxel)
{
    /// <summary>The volume's own voxels, of unknown size.</summary>
    public static PixelGrid Voxels { get; } = new(0, 1);

    /// <summary>The size in Å of the volume's voxels; 0 when unknown.</summary>
    public double VoxelSizeAngstrom => SizeAngstrom * PerVoxel;

    /// <summary>The size as a person reads it.</summary>
    internal string SizeText => SizeAngstrom > 0 ? FormattableString.Invariant($"{SizeAngstrom:0.####} Å") : "unknown size";

    /// <summary>A place in voxels from one in pixels; both are 0 at their first element's centre.</summary>
    public double ToVoxel(double pixel) => ((pixel + 0.5) / PerVoxel) - 0.5;

    /// <summary>The inverse of <see cref="ToVoxel"/>.</summary>
    public double ToPixel(double voxel) => ((voxel + 0.5) * PerVoxel) - 0.5;
}
