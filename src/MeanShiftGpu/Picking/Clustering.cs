namespace MeanShiftGpu.Picking;

/// <summary>Turns points that the mean shift has moved to their places into picks.</summary>
public static class Clustering
{
    // Points are first gathered in cells of this fraction of the merge distance: thousands of points that converged to the
    // same place cost as much as one.
    private const int CellsPerMergeDistance = 8;

    // A pick's centre is the mean of the points within this fraction of the merge distance of the strongest place; what lies
    // further adds support but does not pull: a particle whose neighbour is near keeps its own centre.
    private const int CoresPerMergeDistance = 4;

    private static readonly Cell[] Neighbourhood =
        [.. from z in Enumerable.Range(-1, 3) from y in Enumerable.Range(-1, 3) from x in Enumerable.Range(-1, 3) select new Cell(z, y, x)];

    /// <summary>
    /// Clusters converged points: the strongest place gathers every other within the merge distance, then the strongest of the rest,
    /// and again on the clusters' centres until no two are within the merge distance. The centre is the mean of the points near the
    /// strongest place (a quarter of the merge distance), not of all that it gathers. Clusters with too little support are dropped. The work grows as n log n; the result has the same bits in whatever order the points come.
    /// </summary>
    /// <param name="positions">Converged points, [n, 3], each z, y, x in voxels.</param>
    /// <param name="scores">[n], the score map at the voxel where each point started; above 0.</param>
    /// <param name="options">Merge distance and support.</param>
    /// <returns>Picks, the highest score first.</returns>
    /// <exception cref="InputException">A point or score is not finite, a score is not above 0, or an option is out of range.</exception>
    public static IReadOnlyList<Pick> Cluster(ReadOnlySpan<float> positions, ReadOnlySpan<float> scores, PickOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        if (positions.Length != 3L * scores.Length)
            throw new ArgumentException($"Clustering: {positions.Length} coordinates for {scores.Length} points; expected three for each.", nameof(positions));

        double distance = options.EffectiveMergeDistanceVoxels;
        Point[] points = ToPoints(positions, scores, distance / CellsPerMergeDistance);
        List<Group> groups = GatherCells(points);
        int before;
        do
        {
            before = groups.Count;
            groups = Merge(groups, distance);
        }
        while (groups.Count < before);
        return ToPicks(groups, options);
    }

    private static Point[] ToPoints(ReadOnlySpan<float> positions, ReadOnlySpan<float> scores, double edge)
    {
        Point[] points = new Point[scores.Length];
        for (int i = 0; i < points.Length; i++)
        {
            float z = positions[3 * i];
            float y = positions[3 * i + 1];
            float x = positions[3 * i + 2];
            // The bound keeps cell numbers within an int for any sensible merge distance; no volume is so large.
            if (!(Math.Abs(z) <= 1e6 && Math.Abs(y) <= 1e6 && Math.Abs(x) <= 1e6))
                throw new InputException($"clustering: point {i} at (z, y, x) = ({z}, {y}, {x}); expected finite voxel coordinates.");
            if (!(scores[i] > 0 && float.IsFinite(scores[i])))
                throw new InputException($"clustering: score {scores[i]} of point {i}; expected a finite number above 0.");
            points[i] = new Point(Cell.Of(z, y, x, edge), z, y, x, scores[i]);
        }

        // One order for every order of input, so that sums have the same bits.
        Array.Sort(points);
        return points;
    }

    private static List<Group> GatherCells(Point[] points)
    {
        List<Group> groups = [];
        for (int i = 0; i < points.Length; i++)
        {
            Group single = new(points[i].Score, points[i].Z, points[i].Y, points[i].X, 0, 1);
            if (i > 0 && points[i].Cell == points[i - 1].Cell)
                groups[^1] = groups[^1].With(single);
            else
                groups.Add(single);
        }

        return groups;
    }

    /// <summary>One pass: from the strongest group down, each that is still free gathers the free ones within the distance of its centre.</summary>
    private static List<Group> Merge(List<Group> groups, double distance)
    {
        groups.Sort();
        double core = distance / CoresPerMergeDistance;
        // Buckets of the merge distance: what is near lies in the 27 around. A bucket is a chain through next, strongest first.
        Dictionary<Cell, int> first = [];
        int[] next = new int[groups.Count];
        for (int i = groups.Count - 1; i >= 0; i--)
        {
            Cell bucket = groups[i].Bucket(distance);
            next[i] = first.GetValueOrDefault(bucket, -1);
            first[bucket] = i;
        }

        List<Group> merged = [];
        bool[] taken = new bool[groups.Count];
        for (int i = 0; i < groups.Count; i++)
        {
            if (taken[i])
                continue;
            Group gathered = groups[i];
            Cell home = gathered.Bucket(distance);
            foreach (Cell offset in Neighbourhood)
            {
                Cell bucket = home.Plus(offset);
                if (!first.TryGetValue(bucket, out int candidate))
                    continue;
                int lastFree = -1;
                for (; candidate >= 0; candidate = next[candidate])
                {
                    if (candidate != i && groups[candidate].SquaredDistanceTo(groups[i]) <= distance * distance)
                    {
                        gathered = groups[candidate].SquaredDistanceTo(groups[i]) <= core * core ? gathered.With(groups[candidate]) : gathered.Absorbing(groups[candidate]);
                        taken[candidate] = true;
                    }

                    // Those that are taken leave the chain, or a crowded bucket would be walked again and again.
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

    private static Pick[] ToPicks(List<Group> groups, PickOptions options)
    {
        double largest = groups.Count == 0 ? 0 : groups.Max(g => g.Support);
        return
        [
            .. groups
                .Where(g => g.Support >= options.MinimumSupportFraction * largest && g.Voxels >= options.MinimumVoxels)
                .Select(g => new Pick(
                    (float)g.Z, (float)g.Y, (float)g.X, (float)(g.Support / g.Voxels), (float)g.Support, g.Voxels, (float)Math.Sqrt(g.Scatter / g.Support)))
                .OrderByDescending(p => p.Score).ThenByDescending(p => p.Support).ThenBy(p => p.Z).ThenBy(p => p.Y).ThenBy(p => p.X),
        ];
    }

    private readonly record struct Cell(int Z, int Y, int X) : IComparable<Cell>
    {
        public static Cell Of(double z, double y, double x, double edge) =>
            new((int)Math.Floor(z / edge), (int)Math.Floor(y / edge), (int)Math.Floor(x / edge));

        public int CompareTo(Cell other) =>
            Z != other.Z ? Z.CompareTo(other.Z) : Y != other.Y ? Y.CompareTo(other.Y) : X.CompareTo(other.X);

        public Cell Plus(Cell offset) => new(Z + offset.Z, Y + offset.Y, X + offset.X);
    }

    private readonly record struct Point(Cell Cell, float Z, float Y, float X, float Score) : IComparable<Point>
    {
        public int CompareTo(Point other)
        {
            int order = Cell.CompareTo(other.Cell);
            if (order == 0)
                order = Z.CompareTo(other.Z);
            if (order == 0)
                order = Y.CompareTo(other.Y);
            if (order == 0)
                order = X.CompareTo(other.X);
            return order != 0 ? order : Score.CompareTo(other.Score);
        }
    }

    /// <summary>Points that belong together: summed scores, their weighted centre, the weighted sum of squared distances from it, and their number.</summary>
    private readonly record struct Group(double Support, double Z, double Y, double X, double Scatter, int Voxels) : IComparable<Group>
    {
        public Cell Bucket(double edge) => Cell.Of(Z, Y, X, edge);

        public double SquaredDistanceTo(Group other)
        {
            double z = Z - other.Z;
            double y = Y - other.Y;
            double x = X - other.X;
            return z * z + y * y + x * x;
        }

        /// <summary>Both together: the pairwise update of a mean and its scatter, which loses nothing to cancellation.</summary>
        public Group With(Group other)
        {
            double support = Support + other.Support;
            double share = other.Support / support;
            return new Group(
                support,
                Z + share * (other.Z - Z),
                Y + share * (other.Y - Y),
                X + share * (other.X - X),
                Scatter + other.Scatter + share * Support * SquaredDistanceTo(other),
                Voxels + other.Voxels);
        }

        /// <summary>Takes over another's support and voxels, and stays where it is.</summary>
        public Group Absorbing(Group other) => this with
        {
            Support = Support + other.Support,
            Scatter = Scatter + other.Scatter + other.Support * SquaredDistanceTo(other),
            Voxels = Voxels + other.Voxels,
        };

        /// <summary>The strongest first; of equals, the first in scan order.</summary>
        public int CompareTo(Group other)
        {
            int order = other.Support.CompareTo(Support);
            if (order == 0)
                order = Z.CompareTo(other.Z);
            if (order == 0)
                order = Y.CompareTo(other.Y);
            return order != 0 ? order : X.CompareTo(other.X);
        }
    }
}
