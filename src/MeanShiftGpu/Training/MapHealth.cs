using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Training;

/// <summary>Looks at the score map of a patch on the host.</summary>
internal static class MapHealth
{
    /// <summary>Numbers of <see cref="Measure"/>.</summary>
    public const int Sums = 8;

    /// <summary>Adds up what is seen in the map of a class; the seeds are the caller's.</summary>
    /// <param name="scores">[D, H, W].</param>
    /// <param name="size">D, H, W.</param>
    /// <param name="centers">The centres.</param>
    /// <param name="radius">0: the score at a centre is that of the nearest voxel; otherwise the mean of a
    /// ball of this radius in voxels.</param>
    /// <param name="stuck">Seeds that end further than the bandwidth from every centre.</param>
    /// <param name="seeds">All seeds.</param>
    /// <param name="sums">[<see cref="Sums"/>]: overwritten with what <see cref="Of"/> reads.</param>
    public static void Measure(ReadOnlySpan<float> scores, Extent size, IReadOnlyList<Position> centers, double radius,
        long stuck, long seeds, Span<double> sums)
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
        foreach (Position center in centers)
        {
            (int z, int y, int x) = (Nearest(center.Z, size.Depth), Nearest(center.Y, size.Height), Nearest(center.X,
                size.Width));
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
                        double score = scores[((z + dz) * size.Height + y + dy) * size.Width + x + dx];
                        (atCenters, passing, count) = (atCenters + score, passing + 4 * score * (1 - score), count + 1);
                    }
                }
            }
        }

        ReadOnlySpan<double> all = [sum, scores.Length, above, atCenters, passing, count, stuck, seeds];
        all.CopyTo(sums);
    }

    /// <summary>The means over patches; null where none has a centre of the class.</summary>
    /// <param name="classIndex">The class.</param>
    /// <param name="sums">[<see cref="Sums"/>], added over the patches.</param>
    public static TrainingHealth? Of(int classIndex, ReadOnlySpan<double> sums)
    {
        (double sum, double voxels, double above) = (sums[0], sums[1], sums[2]);
        (double atCenters, double passing, double count) = (sums[3], sums[4], sums[5]);
        (double stuck, double seeds) = (sums[6], sums[7]);
        return count == 0 ? null
            : new TrainingHealth(0, classIndex, atCenters / count - sum / voxels, passing / count, above / voxels,
                seeds == 0 ? 0 : stuck / seeds);
    }

    private static int Nearest(double coordinate, int extent) => Math.Clamp((int)Math.Round(coordinate), 0, extent - 1);
}
