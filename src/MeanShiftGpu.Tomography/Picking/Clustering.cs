using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>Turns points that the mean shift has moved to their places into picks.</summary>
public static class Clustering
{
    // A pick's centre is the mean of the points within this fraction of the merge distance of the strongest
    // place; what lies further adds support but does not pull: a particle whose neighbour is near keeps its
    // own centre.
    private const int CoresPerMergeDistance = 4;

    internal static readonly ClusterCell[] Neighbourhood =
        [.. from z in Enumerable.Range(-1, 3) from y in Enumerable.Range(-1, 3) from x in Enumerable
            .Range(-1, 3) select new ClusterCell(z, y, x)];

    /// <summary>
    /// Clusters converged points: the strongest place gathers every other within the merge distance, then the
    /// strongest of the rest, and again on the clusters' centres until no two are within the merge distance.
    /// The centre is the mean of the points near the strongest place (a quarter of the merge distance), not
    /// of all that it gathers. Clusters with too little support are dropped. The work grows as n log n; the
    /// result has the same bits in whatever order the points come.
    /// </summary>
    /// <param name="positions">Converged points, [n, 3], each z, y, x in voxels.</param>
    /// <param name="scores">[n], the score map at the voxel where each point started; above 0.</param>
    /// <param name="options">Merge distance and support.</param>
    /// <returns>Picks, the highest score first.</returns>
    /// <exception cref="InputException">A point or score is not finite, a score is not above 0, or an option
    /// is out of range.</exception>
    public static IReadOnlyList<Pick> Cluster(ReadOnlySpan<float> positions, ReadOnlySpan<float> scores, PickOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        if (positions.Length != 3L * scores.Length)
            throw new ArgumentException($"Clustering: {positions.Length} coordinates for {scores.Length} points; expected "
                + "three for each.", nameof(positions));

        ClusterCells cells = new(options.EffectiveMergeDistanceVoxels);
        foreach (ClusterPoint point in ToPoints(positions, scores))
            cells.Add(point);
        return ToPicks(MergeToEnd(cells.Groups, options.EffectiveMergeDistanceVoxels), options);
    }

    /// <summary>Merges until no two groups are within the distance.</summary>
    internal static List<PointGroup> MergeToEnd(List<PointGroup> groups, double distance)
    {
        int before;
        do
        {
            before = groups.Count;
            groups = Merge(groups, distance);
        }
        while (groups.Count < before);
        return groups;
    }

    /// <summary>
    /// Drops weak groups, and of two that are nearer than the minimum distance the one with the lower score.
    /// </summary>
    internal static IReadOnlyList<Pick> ToPicks(List<PointGroup> groups, PickOptions options)
    {
        double largest = groups.Count == 0 ? 0 : groups.Max(g => g.Support);
        IEnumerable<Pick> strong = groups
            .Where(g => g.Support >= options.MinimumSupportFraction * largest && g.Voxels >= options.MinimumVoxels)
            .Select(g => g.ToPick())
            .OrderByDescending(p => p.Score).ThenByDescending(p => p.Support).ThenBy(p => p.Z).ThenBy(p => p.Y).ThenBy(p => p.X);
        return Apart([.. strong], options.MinimumDistanceVoxels);
    }

    /// <summary>
    /// From the first pick on, each that is still there drops those after it that are nearer than the
    /// distance.
    /// </summary>
    internal static Pick[] Apart(Pick[] picks, double distance)
    {
        if (distance <= 0)
            return picks;
        Dictionary<ClusterCell, List<Pick>> kept = [];
        return [.. picks.Where(pick =>
        {
            ClusterCell home = ClusterCell.Of(pick.Z, pick.Y, pick.X, distance);
            foreach (ClusterCell offset in Neighbourhood)
            {
                if (kept.TryGetValue(home.Plus(offset), out List<Pick>? near) && near.Exists(
                    k => k.Position.SquaredDistanceTo(pick.Position) < distance * distance))
                    return false;
            }

            if (!kept.TryGetValue(home, out List<Pick>? here))
                kept[home] = here = [];
            here.Add(pick);
            return true;
        })];
    }

    // In one order for every order of input, so that sums have the same bits.
    private static ClusterPoint[] ToPoints(ReadOnlySpan<float> positions, ReadOnlySpan<float> scores)
    {
        ClusterPoint[] points = new ClusterPoint[scores.Length];
        for (int i = 0; i < points.Length; i++)
        {
            float z = positions[3 * i];
            float y = positions[3 * i + 1];
            float x = positions[3 * i + 2];
            // The bound keeps cell numbers within an int for any sensible merge distance; no volume is so
            // large.
            if (!(Math.Abs(z) <= 1e6 && Math.Abs(y) <= 1e6 && Math.Abs(x) <= 1e6))
                throw new InputException($"clustering: point {i} at (z, y, x) = ({z}, {y}, {x}); expected finite voxel "
                    + "coordinates.");
            if (!(scores[i] > 0 && float.IsFinite(scores[i])))
                throw new InputException($"clustering: score {scores[i]} of point {i}; expected a finite number above 0.");
            points[i] = new ClusterPoint(z, y, x, scores[i], 0);
        }

        Array.Sort(points);
        return points;
    }

    /// <summary>
    /// One pass: from the strongest group down, each that is still free gathers the free ones within the
    /// distance of its centre.
    /// </summary>
    private static List<PointGroup> Merge(List<PointGroup> groups, double distance)
    {
        groups.Sort();
        double core = distance / CoresPerMergeDistance;
        // Buckets of the merge distance: what is near lies in the 27 around. A bucket is a chain through
        // next, strongest first.
        Dictionary<ClusterCell, int> first = [];
        int[] next = new int[groups.Count];
        for (int i = groups.Count - 1; i >= 0; i--)
        {
            ClusterCell bucket = groups[i].Bucket(distance);
            next[i] = first.GetValueOrDefault(bucket, -1);
            first[bucket] = i;
        }

        List<PointGroup> merged = [];
        bool[] taken = new bool[groups.Count];
        for (int i = 0; i < groups.Count; i++)
        {
            if (taken[i])
                continue;
            PointGroup gathered = groups[i];
            ClusterCell home = gathered.Bucket(distance);
            foreach (ClusterCell offset in Neighbourhood)
            {
                ClusterCell bucket = home.Plus(offset);
                if (!first.TryGetValue(bucket, out int candidate))
                    continue;
                int lastFree = -1;
                for (; candidate >= 0; candidate = next[candidate])
                {
                    if (candidate != i && groups[candidate].SquaredDistanceTo(groups[i]) <= distance * distance)
                    {
                        gathered = groups[candidate].SquaredDistanceTo(groups[i]) <= core * core
                            ? gathered.With(groups[candidate]) : gathered.Absorbing(groups[candidate]);
                        taken[candidate] = true;
                    }

                    // Those that are taken leave the chain, or a crowded bucket would be walked again and
                    // again.
                    if (taken[candidate] || candidate == i)
                        continue;
                    if (lastFree < 0)
                        first[bucket] = candidate;
                    else
                        next[lastFree] = candidate;
                    lastFree = candidate;
                }

                if (lastFree < 0)
                    first.Remove(bucket);
                else
                    next[lastFree] = -1;
            }

            merged.Add(gathered);
        }

        return merged;
    }
}
