namespace MeanShiftGpu.Geometry;

/// <summary>A part of a volume.</summary>
/// <param name="Origin">Its first voxel.</param>
/// <param name="Size">Its extents.</param>
public readonly record struct Box((int Z, int Y, int X) Origin, Extent Size)
{
    /// <summary>The whole of a volume.</summary>
    public static Box Whole(Extent volume) => new((0, 0, 0), volume);

    /// <summary>Slices first to first + count − 1 of a volume, whole in y and x.</summary>
    public static Box Slices(Extent volume, int first, int count) => new((first, 0, 0), volume with { Depth = count });

    /// <summary>Whether it lies in a volume of the given extents.</summary>
    public bool IsInside(Extent volume)
        => Origin.Z >= 0 && Origin.Y >= 0 && Origin.X >= 0
            && Size.Depth >= 0 && Size.Height >= 0 && Size.Width >= 0
            && Origin.Z <= volume.Depth - Size.Depth && Origin.Y <= volume.Height - Size.Height
            && Origin.X <= volume.Width - Size.Width;

    /// <summary>The part of it that lies in a volume of the given extents; its extents may be 0.</summary>
    public Box ClippedTo(Extent volume)
    {
        int z = Math.Clamp(Origin.Z, 0, volume.Depth), y = Math.Clamp(Origin.Y, 0, volume.Height), x = Math.Clamp(
            Origin.X, 0, volume.Width);
        return new Box(
            (z, y, x),
            new Extent(
                Math.Max(0, Math.Min(Origin.Z + Size.Depth, volume.Depth) - z),
                Math.Max(0, Math.Min(Origin.Y + Size.Height, volume.Height) - y),
                Math.Max(0, Math.Min(Origin.X + Size.Width, volume.Width) - x)));
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Size} from (z, y, x) = ({Origin.Z}, {Origin.Y}, {Origin.X})";
}
