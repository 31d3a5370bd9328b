using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>Picks the local maxima of a score map.</summary>
internal static class LocalMaxima
{
    private const int MostVoxelsAtOnce = 1 << 22;

    /// <summary>
    /// The voxels above the threshold that none of their 26 neighbours exceeds, placed between voxels by a
    /// parabola along each axis.
    /// </summary>
    /// <param name="scores">The map, read once in slabs.</param>
    /// <param name="threshold">Scores must be above this.</param>
    /// <param name="cancellation">Stops between two slabs.</param>
    /// <returns>A group of one voxel for each, and the number of voxels above the threshold.</returns>
    public static (List<PointGroup> Maxima, long Above) Find(IVoxelSource scores, float threshold, CancellationToken cancellation)
    {
        Extent size = scores.Size;
        List<PointGroup> maxima = [];
        long above = 0;
        long slice = (long)size.Height * size.Width;
        int slices = (int)Math.Clamp(MostVoxelsAtOnce / slice, 1, size.Depth);
        float[] slab = new float[Math.Min(size.Depth, slices + 2) * slice];
        for (int first = 0; first < size.Depth; first += slices)
        {
            cancellation.ThrowIfCancellationRequested();
            int end = Math.Min(size.Depth, first + slices);
            int from = Math.Max(0, first - 1);
            int to = Math.Min(size.Depth, end + 1);
            scores.Read(Box.Slices(size, from, to - from), slab);
            Neighbours map = new(slab, from, to, size);
            for (int z = first; z < end; z++)
            {
                ReadOnlySpan<float> plane = slab.AsSpan((int)((z - from) * slice), (int)slice);
                for (int i = 0; i < plane.Length; i++)
                {
                    if (!(plane[i] > threshold))
                        continue;
                    above++;
                    (int y, int x) = (i / size.Width, i % size.Width);
                    if (map.IsMaximum(z, y, x, plane[i]))
                        maxima.Add(
                            PointGroup.Of(
                                new ClusterPoint(
                                    z + map.Offset(z, y, x, 2),
                                    y + map.Offset(z, y, x, 1),
                                    x + map.Offset(z, y, x, 0),
                                    plane[i],
                                    0)));
                }
            }
        }

        return (maxima, above);
    }

    private readonly struct Neighbours(float[] slab, int from, int to, Extent size)
    {
        // Of equal neighbours the first in scan order is the maximum.
        public bool IsMaximum(int z, int y, int x, float value)
        {
            for (int dz = -1; dz <= 1; dz++)
            {
                for (int dy = -1; dy <= 1; dy++)
                {
                    for (int dx = -1; dx <= 1; dx++)
                    {
                        float other = At(z + dz, y + dy, x + dx);
                        bool earlier = dz < 0 || (dz == 0 && (dy < 0 || (dy == 0 && dx < 0)));
                        if (other > value || (earlier && other == value))
                            return false;
                    }
                }
            }

            return true;
        }

        // The top of the parabola through a voxel and its two neighbours along an axis (0 x, 1 y, 2 z).
        public double Offset(int z, int y, int x, int axis)
        {
            double before = At(z - (axis == 2 ? 1 : 0), y - (axis == 1 ? 1 : 0), x - (axis == 0 ? 1 : 0));
            double after = At(z + (axis == 2 ? 1 : 0), y + (axis == 1 ? 1 : 0), x + (axis == 0 ? 1 : 0));
            double curvature = before - 2 * At(z, y, x) + after;
            // Beside the volume's border there is no parabola.
            return curvature < 0 && double.IsFinite(curvature) ? Math.Clamp(0.5 * (before - after) / curvature, -0.5, 0.5) : 0;
        }

        private float At(int z, int y, int x)
            => z < from || z >= to || y < 0 || y >= size.Height || x < 0 || x >= size.Width
                ? float.NegativeInfinity
                : slab[((long)(z - from) * size.Height + y) * size.Width + x];
    }
}
