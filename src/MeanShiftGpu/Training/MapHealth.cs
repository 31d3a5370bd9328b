using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Training;

/// <summary>Looks at the score maps of a batch on the host.</summary>
internal static class MapHealth
{
    /// <summary>Measures the maps of a class; step, class and seeds are the caller's.</summary>
    /// <param name="scores">[N, D, H, W].</param>
    /// <param name="size">D, H, W.</param>
    /// <param name="centers">The centres of each item, at least one in all.</param>
    /// <param name="radius">0: the score at a centre is that of the nearest voxel; otherwise the mean of a ball of this
    /// radius in voxels.</param>
    public static TrainingHealth Measure(float[] scores, Extent size, IReadOnlyList<IReadOnlyList<Position>> centers,
        double radius)
    {
        double sum = 0;
        long above = 0;
        foreach (float score in scores)
        {
            sum += score;
            if (score > 0.5f)
                above++;
        }

        (double atCenters, double passing, long count) = (0, 0, 0);
        int voxels = (int)size.Voxels;
        for (int item = 0; item < centers.Count; item++)
        {
            ReadOnlySpan<float> map = scores.AsSpan(item * voxels, voxels);
            foreach (Position center in centers[item])
            {
                (int z, int y, int x) = (Nearest(center.Z, size.Depth), Nearest(center.Y, size.Height),
                    Nearest(center.X, size.Width));
                int reach = (int)radius;
                for (int dz = -reach; dz <= reach; dz++)
                {
                    for (int dy = -reach; dy <= reach; dy++)
                    {
                        for (int dx = -reach; dx <= reach; dx++)
                        {
                            bool inside = (uint)(z + dz) < (uint)size.Depth && (uint)(y + dy) < (uint)size.Height
                                && (uint)(x + dx) < (uint)size.Width;
                            if (!inside || dz * dz + dy * dy + dx * dx > radius * radius)
                                continue;
                            double score = map[((z + dz) * size.Height + y + dy) * size.Width + x + dx];
                            (atCenters, passing, count) = (atCenters + score, passing + 4 * score * (1 - score), count + 1);
                        }
                    }
                }
            }
        }

        return new TrainingHealth(0, 0, atCenters / count - sum / scores.Length, passing / count,
            (double)above / scores.Length, 0);
    }

    private static int Nearest(double coordinate, int extent) => Math.Clamp((int)Math.Round(coordinate), 0, extent - 1);
}
