using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>
/// Joins places of one particle that are further apart than the merge distance. A bandwidth fits one size of
/// particle; in a larger one points come to rest at several places, but the score map between them does not
/// fall. Between two particles it does.
/// </summary>
/// <param name="scores">The score map.</param>
/// <param name="fraction">Two places are one where the map between them stays above this fraction of the
/// lower of their peaks.</param>
/// <param name="reach">Places further apart than this, in voxels, are never one.</param>
internal sealed class Basins(IVoxelSource scores, double fraction, double reach)
{
    // The map is sampled along the line between two places twice a voxel, at the nearest voxel.
    private const double SamplesPerVoxel = 2;

    private readonly float[] buffer = new float[(long)Math.Pow(Math.Ceiling(reach) + 4, 3)];
    private float[] peaks = [];

    /// <summary>
    /// From the strongest place down, each that is still free takes those that are one with it.
    /// </summary>
    public List<PointGroup> Merge(List<PointGroup> groups, CancellationToken cancellation)
    {
        groups.Sort();
        peaks = [.. groups.Select(PeakOf)];
        Dictionary<ClusterCell, List<int>> cells = [];
        for (int i = 0; i < groups.Count; i++)
        {
            if (!cells.TryGetValue(groups[i].Bucket(reach), out List<int>? cell))
                cells[groups[i].Bucket(reach)] = cell = [];
            cell.Add(i);
        }

        bool[] taken = new bool[groups.Count];
        List<PointGroup> merged = [];
        for (int i = 0; i < groups.Count; i++)
        {
            if (taken[i])
                continue;
            cancellation.ThrowIfCancellationRequested();
            PointGroup whole = groups[i];
            foreach (int j in Clustering.Neighbourhood
                .SelectMany(offset => cells.GetValueOrDefault(groups[i].Bucket(reach).Plus(offset), []))
                .Where(j => j > i && !taken[j] && AreOne(groups, i, j))
                .Order())
            {
                taken[j] = true;
                whole = whole.With(groups[j]);
            }

            merged.Add(whole);
        }

        return merged;
    }

    private bool AreOne(List<PointGroup> groups, int i, int j)
    {
        double squared = groups[i].SquaredDistanceTo(groups[j]);
        if (squared > reach * reach)
            return false;
        (PointGroup from, PointGroup to) = (groups[i], groups[j]);
        Box box = Around(from, to, margin: 0);
        Span<float> values = Read(box);
        double least = fraction * Math.Min(peaks[i], peaks[j]);
        int samples = Math.Max(2, (int)Math.Ceiling(Math.Sqrt(squared) * SamplesPerVoxel));
        for (int s = 0; s <= samples; s++)
        {
            double t = (double)s / samples;
            int z = At(from.Z + t * (to.Z - from.Z), box.Origin.Z, box.Size.Depth);
            int y = At(from.Y + t * (to.Y - from.Y), box.Origin.Y, box.Size.Height);
            int x = At(from.X + t * (to.X - from.X), box.Origin.X, box.Size.Width);
            if (values[(z * box.Size.Height + y) * box.Size.Width + x] < least)
                return false;
        }

        return true;
    }

    // The largest score within a voxel of a place.
    private float PeakOf(PointGroup place)
    {
        float peak = 0;
        foreach (float value in Read(Around(place, place, margin: 1)))
            peak = Math.Max(peak, value);
        return peak;
    }

    private Span<float> Read(Box box)
    {
        Span<float> values = buffer.AsSpan(0, (int)box.Size.Voxels);
        scores.Read(box, values);
        return values;
    }

    private Box Around(PointGroup a, PointGroup b, int margin)
    {
        (int z, int depth) = Along(a.Z, b.Z, scores.Size.Depth);
        (int y, int height) = Along(a.Y, b.Y, scores.Size.Height);
        (int x, int width) = Along(a.X, b.X, scores.Size.Width);
        return new Box((z, y, x), new Extent(depth, height, width));

        (int First, int Length) Along(double p, double q, int size)
        {
            int first = Math.Clamp((int)Math.Round(Math.Min(p, q)) - margin, 0, size - 1);
            int last = Math.Clamp((int)Math.Round(Math.Max(p, q)) + margin, 0, size - 1);
            return (first, last - first + 1);
        }
    }

    private static int At(double position, int origin, int length)
        => Math.Clamp((int)Math.Round(position) - origin, 0, length - 1);
}
