namespace MeanShiftGpu.Geometry;

/// <summary>The size of a volume in voxels.</summary>
/// <param name="Depth">Voxels along z.</param>
/// <param name="Height">Voxels along y.</param>
/// <param name="Width">Voxels along x.</param>
public readonly record struct VolumeShape(int Depth, int Height, int Width)
{
    /// <summary>The number of voxels.</summary>
    public long Length => (long)Depth * Height * Width;

    /// <inheritdoc/>
    public override string ToString() => $"{Depth} × {Height} × {Width} (z × y × x)";
}
