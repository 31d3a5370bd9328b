using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>Marks picks whose surroundings were only partly seen, and drops those outside the mask.</summary>
internal sealed class BorderCheck(Extent volume, IVoxelSource? mask, double distance)
{
    /// <summary>The picks that are inside, each marked where it is within the distance of a border.</summary>
    public IReadOnlyList<Pick> Apply(IReadOnlyList<Pick> picks)
    {
        List<Pick> inside = new(picks.Count);
        foreach (Pick pick in picks)
        {
            bool border = Near(pick.Z, volume.Depth) || Near(pick.Y, volume.Height) || Near(pick.X, volume.Width);
            if (mask is not null)
            {
                if (!IsInMask(pick))
                    continue;
                border |= SeesOutside(pick, mask);
            }

            inside.Add(border ? pick with { AtBorder = true } : pick);
        }

        return inside;
    }

    private bool Near(double position, int extent) => position < distance || position > extent - 1 - distance;

    private bool IsInMask(Pick pick)
    {
        Span<float> value = stackalloc float[1];
        mask!.Read(
            new Box((At(pick.Z, volume.Depth), At(pick.Y, volume.Height), At(pick.X, volume.Width)), new Extent(1, 1, 1)), value);
        return value[0] > 0;
    }

    private bool SeesOutside(Pick pick, IVoxelSource inside)
    {
        int reach = (int)Math.Ceiling(distance);
        Box box = new Box(
            (At(pick.Z, volume.Depth) - reach, At(pick.Y, volume.Height) - reach, At(pick.X, volume.Width) - reach),
            new Extent(2 * reach + 1, 2 * reach + 1, 2 * reach + 1)).ClippedTo(volume);
        float[] values = new float[box.Size.Voxels];
        inside.Read(box, values);
        for (int i = 0; i < values.Length; i++)
        {
            Position voxel = new(
                box.Origin.Z + i / box.Size.Width / box.Size.Height,
                box.Origin.Y + i / box.Size.Width % box.Size.Height,
                box.Origin.X + i % box.Size.Width);
            if (!(values[i] > 0) && voxel.SquaredDistanceTo(pick.Position) < distance * distance)
                return true;
        }

        return false;
    }

    private static int At(double position, int extent) => Math.Clamp((int)Math.Round(position), 0, extent - 1);
}
