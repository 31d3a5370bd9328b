using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Training;

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
        double fz = FlipZ ? patch.Depth - 1 - p.Z : p.Z;
        double fy = FlipY ? patch.Height - 1 - p.Y : p.Y;
        double fx = FlipX ? patch.Width - 1 - p.X : p.X;
        (double z, double y, double x) = Permute(fz, fy, fx);
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
