using System.Runtime.InteropServices;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>
/// Gathers points by place: thousands that converged to the same place cost as much as one, and need no more
/// memory.
/// </summary>
internal sealed class ClusterCells(double mergeDistance)
{
    private const int CellsPerMergeDistance = 8;

    private readonly double edge = mergeDistance / CellsPerMergeDistance;
    private readonly Dictionary<ClusterCell, PointGroup> groups = [];

    /// <summary>
    /// The points of each cell together, in no order that matters: whoever uses them sorts them.
    /// </summary>
    public List<PointGroup> Groups => [.. groups.Values];

    /// <summary>Adds a point; the same points in the same order give the same bits.</summary>
    public void Add(ClusterPoint point)
    {
        ref PointGroup group = ref CollectionsMarshal.GetValueRefOrAddDefault(
            groups, ClusterCell.Of(point.Z, point.Y, point.X, edge), out bool exists);
        PointGroup single = PointGroup.Of(point);
        group = exists ? group.With(single) : single;
    }
}

/// <summary>A point that has come to rest.</summary>
/// <param name="Z">Where, in voxels.</param>
/// <param name="Y">Along y.</param>
/// <param name="X">Along x.</param>
/// <param name="Score">The score map where it started.</param>
/// <param name="Moved">How far it is from there, in voxels.</param>
internal readonly record struct ClusterPoint(double Z, double Y, double X, float Score, float Moved) : IComparable<ClusterPoint>
{
    public int CompareTo(ClusterPoint other)
    {
        int order = Z.CompareTo(other.Z);
        if (order == 0)
            order = Y.CompareTo(other.Y);
        if (order == 0)
            order = X.CompareTo(other.X);
        return order != 0 ? order : Score.CompareTo(other.Score);
    }
}

/// <summary>A cube of space, for finding what is near.</summary>
internal readonly record struct ClusterCell(int Z, int Y, int X)
{
    public static ClusterCell Of(double z, double y, double x, double edge) =>
        new((int)Math.Floor(z / edge), (int)Math.Floor(y / edge), (int)Math.Floor(x / edge));

    public ClusterCell Plus(ClusterCell offset) => new(Z + offset.Z, Y + offset.Y, X + offset.X);

    /// <summary>Spreads neighbours: the record's own would send mirrored cells to one place.</summary>
    public override int GetHashCode() => (Z * 73856093) ^ (Y * 19349663) ^ (X * 83492791);
}

/// <summary>
/// Points that belong together: summed scores, their weighted centre, the weighted sums of squared distances
/// from it and of the distances they moved, and their number.
/// </summary>
internal readonly record struct PointGroup(
    double Support, double Z, double Y, double X, double Scatter, double Moved, int Voxels) : IComparable<PointGroup>
{
    public static PointGroup Of(ClusterPoint point)
        => new(point.Score, point.Z, point.Y, point.X, 0, (double)point.Score * point.Moved, 1);

    public ClusterCell Bucket(double edge) => ClusterCell.Of(Z, Y, X, edge);

    public double SquaredDistanceTo(PointGroup other)
    {
        double z = Z - other.Z;
        double y = Y - other.Y;
        double x = X - other.X;
        return z * z + y * y + x * x;
    }

    /// <summary>
    /// Both together: the pairwise update of a mean and its scatter, which loses nothing to cancellation.
    /// </summary>
    public PointGroup With(PointGroup other)
    {
        double support = Support + other.Support;
        double share = other.Support / support;
        return new PointGroup(
            support,
            Z + share * (other.Z - Z),
            Y + share * (other.Y - Y),
            X + share * (other.X - X),
            Scatter + other.Scatter + share * Support * SquaredDistanceTo(other),
            Moved + other.Moved,
            Voxels + other.Voxels);
    }

    /// <summary>Takes over another's support and voxels, and stays where it is.</summary>
    public PointGroup Absorbing(PointGroup other) => this with
    {
        Support = Support + other.Support,
        Scatter = Scatter + other.Scatter + other.Support * SquaredDistanceTo(other),
        Moved = Moved + other.Moved,
        Voxels = Voxels + other.Voxels,
    };

    public Pick ToPick() => new(Z, Y, X, (float)(Support / Voxels), (float)Support, Voxels, (float)Math.Sqrt(Scatter / Support))
    {
        Moved = (float)(Moved / Support),
    };

    /// <summary>The strongest first; of equals, the first in scan order.</summary>
    public int CompareTo(PointGroup other)
    {
        int order = other.Support.CompareTo(Support);
        if (order == 0)
            order = Z.CompareTo(other.Z);
        if (order == 0)
            order = Y.CompareTo(other.Y);
        return order != 0 ? order : X.CompareTo(other.X);
    }
}
