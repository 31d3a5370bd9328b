namespace MeanShiftGpu.Training;

/// <summary>Fixed patches for validation.</summary>
internal static class PatchGrid
{
    /// <summary>
    /// Patches on a grid of the patch size, the last ones moved back to end with the volume. Where the
    /// mean-shift loss is used, only those with a centre of any class inside the margin are kept.
    /// </summary>
    public static List<(int Z, int Y, int X)> Cover(TrainingVolume volume, TrainingOptions options)
    {
        (int depth, int height, int width) = options.Patch;
        List<(int, int, int)> origins = [];
        foreach (int z in Along(volume.Size.Depth, depth))
        {
            foreach (int y in Along(volume.Size.Height, height))
            {
                foreach (int x in Along(volume.Size.Width, width))
                {
                    if (options.MeanShiftWeight == 0 || volume.Centers.Any(
                        c => Inside(c.Z - z, depth) && Inside(c.Y - y, height) && Inside(c.X - x, width)))
                        origins.Add((z, y, x));
                }
            }
        }

        return origins;

        bool Inside(double position, int extent)
            => position >= options.CenterMarginVoxels && position <= extent - 1 - options.CenterMarginVoxels;
    }

    private static IEnumerable<int> Along(int extent, int patch)
    {
        for (int origin = 0; origin + patch <= extent; origin += patch)
            yield return origin;
        if (extent <= patch)
        {
            if (extent < patch)
                yield return 0;
        }
        else if (extent % patch != 0)
        {
            yield return extent - patch;
        }
    }
}
