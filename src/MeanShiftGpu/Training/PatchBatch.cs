namespace MeanShiftGpu.Training;

/// <summary>Patches on the host, in buffers that are used again for every step.</summary>
public sealed class PatchBatch
{
    private readonly List<Position>[] centers;

    /// <summary>Allocates the buffers.</summary>
    /// <param name="size">N, patches.</param>
    /// <param name="patch">Extents of a patch in voxels.</param>
    /// <param name="withMasks">Whether masks are needed.</param>
    public PatchBatch(int size, Extent patch, bool withMasks)
    {
        Patch = patch;
        Voxels = patch.Depth * patch.Height * patch.Width;
        Images = new float[(long)size * Voxels];
        Masks = withMasks ? new float[(long)size * Voxels] : null;
        centers = [.. Enumerable.Range(0, size).Select(_ => new List<Position>())];
    }

    /// <summary>Extents of a patch.</summary>
    public Extent Patch { get; }

    /// <summary>Voxels of a patch.</summary>
    public int Voxels { get; }

    /// <summary>[N, D, H, W].</summary>
    public float[] Images { get; }

    /// <summary>[N, D, H, W], or null.</summary>
    public float[]? Masks { get; }

    /// <summary>The centres of each patch that count, in voxels of the patch.</summary>
    public IReadOnlyList<IReadOnlyList<Position>> Centers => centers;

    /// <summary>Fills one patch from a volume; what lies outside the volume is 0, the mean of the image.</summary>
    /// <param name="item">Which patch.</param>
    /// <param name="volume">The volume.</param>
    /// <param name="origin">The patch's first voxel in the volume.</param>
    /// <param name="axes">How the patch is turned.</param>
    /// <param name="centerMargin">Centres nearer than this to a face of the patch are left out.</param>
    /// <param name="maskRadius">Radius of the balls where the volume has no mask.</param>
    public void Fill(int item, TrainingVolume volume, (int Z, int Y, int X) origin, PatchOrientation axes, double centerMargin, double maskRadius)
    {
        (int depth, int height, int width) = Patch;
        Copy(volume.Image, volume, origin, axes, Images.AsSpan(item * Voxels, Voxels));

        List<Position> inside = [];
        foreach (Position center in volume.Centers)
        {
            Position local = new(center.Z - origin.Z, center.Y - origin.Y, center.X - origin.X);
            if (local.Z >= 0 && local.Z <= depth - 1 && local.Y >= 0 && local.Y <= height - 1 && local.X >= 0 && local.X <= width - 1)
                inside.Add(axes.Apply(local, Patch));
        }

        if (Masks is not null)
        {
            Span<float> mask = Masks.AsSpan(item * Voxels, Voxels);
            if (volume.Mask is not null)
                Copy(volume.Mask, volume, origin, axes, mask);
            else
                DrawBalls(mask, volume.Centers, origin, axes, maskRadius);
        }

        centers[item].Clear();
        foreach (Position center in inside)
        {
            if (Math.Min(center.Z, depth - 1 - center.Z) >= centerMargin
                && Math.Min(center.Y, height - 1 - center.Y) >= centerMargin
                && Math.Min(center.X, width - 1 - center.X) >= centerMargin)
                centers[item].Add(center);
        }
    }

    private void Copy(float[] source, TrainingVolume volume, (int Z, int Y, int X) origin, PatchOrientation axes, Span<float> target)
    {
        (int depth, int height, int width) = Patch;
        for (int z = 0; z < depth; z++)
        {
            for (int y = 0; y < height; y++)
            {
                for (int x = 0; x < width; x++)
                {
                    (int tz, int ty, int tx) = axes.Apply(z, y, x, Patch);
                    (int sz, int sy, int sx) = (origin.Z + z, origin.Y + y, origin.X + x);
                    bool inside = sz >= 0 && sz < volume.Depth && sy >= 0 && sy < volume.Height && sx >= 0 && sx < volume.Width;
                    target[(tz * height + ty) * width + tx] = inside ? source[((long)sz * volume.Height + sy) * volume.Width + sx] : 0;
                }
            }
        }
    }

    // Balls of centres outside the patch reach into it too.
    private void DrawBalls(Span<float> mask, IReadOnlyList<Position> all, (int Z, int Y, int X) origin, PatchOrientation axes, double radius)
    {
        (int depth, int height, int width) = Patch;
        mask.Clear();
        foreach (Position center in all)
        {
            Position c = axes.Apply(new Position(center.Z - origin.Z, center.Y - origin.Y, center.X - origin.X), Patch);
            for (int z = Math.Max(0, (int)Math.Ceiling(c.Z - radius)); z <= Math.Min(depth - 1, (int)Math.Floor(c.Z + radius)); z++)
            {
                for (int y = Math.Max(0, (int)Math.Ceiling(c.Y - radius)); y <= Math.Min(height - 1, (int)Math.Floor(c.Y + radius)); y++)
                {
                    for (int x = Math.Max(0, (int)Math.Ceiling(c.X - radius)); x <= Math.Min(width - 1, (int)Math.Floor(c.X + radius)); x++)
                    {
                        if (c.SquaredDistanceTo(new Position(z, y, x)) <= radius * radius)
                            mask[(z * height + y) * width + x] = 1;
                    }
                }
            }
        }
    }
}

/// <summary>A mirror image and an exchange of axes of a patch.</summary>
/// <param name="FlipZ">Mirror along z.</param>
/// <param name="FlipY">Mirror along y.</param>
/// <param name="FlipX">Mirror along x.</param>
/// <param name="Permutation">0 to 5: which axis goes where; anything but 0 needs a cube.</param>
public readonly record struct PatchOrientation(bool FlipZ, bool FlipY, bool FlipX, int Permutation)
{
    /// <summary>The patch as it is.</summary>
    public static readonly PatchOrientation Identity;

    /// <summary>Where a voxel goes.</summary>
    public (int Z, int Y, int X) Apply(int z, int y, int x, Extent patch)
    {
        int fz = FlipZ ? patch.Depth - 1 - z : z;
        int fy = FlipY ? patch.Height - 1 - y : y;
        int fx = FlipX ? patch.Width - 1 - x : x;
        return Permute(fz, fy, fx);
    }

    /// <summary>Where a position goes.</summary>
    public Position Apply(Position p, Extent patch)
    {
        float fz = FlipZ ? patch.Depth - 1 - p.Z : p.Z;
        float fy = FlipY ? patch.Height - 1 - p.Y : p.Y;
        float fx = FlipX ? patch.Width - 1 - p.X : p.X;
        (float z, float y, float x) = Permute(fz, fy, fx);
        return new Position(z, y, x);
    }

    private (TValue Z, TValue Y, TValue X) Permute<TValue>(TValue z, TValue y, TValue x) => Permutation switch
    {
        1 => (z, x, y),
        2 => (y, z, x),
        3 => (y, x, z),
        4 => (x, z, y),
        5 => (x, y, z),
        _ => (z, y, x),
    };
}
