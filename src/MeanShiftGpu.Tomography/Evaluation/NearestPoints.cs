using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>
/// Distances to the nearest of many points, by cells of about one point each: near-constant time for a
/// question where comparing all takes as many steps as points.
/// </summary>
internal sealed class NearestPoints
{
    private const int MostCellsPerPoint = 2;

    private readonly IReadOnlyList<Position> points;
    private readonly double[] low = new double[3];
    private readonly double[] high = new double[3];
    private readonly int[] cells = new int[3];
    private readonly double width;
    private readonly int[] starts;
    private readonly int[] members;

    /// <summary>Sorts the points into cells; there is at least one, and all are finite.</summary>
    public NearestPoints(IReadOnlyList<Position> points)
    {
        this.points = points;
        for (int axis = 0; axis < 3; axis++)
        {
            low[axis] = points.Min(p => Coordinate(p, axis));
            high[axis] = points.Max(p => Coordinate(p, axis));
        }

        double[] edges = [.. Enumerable.Range(0, 3).Select(axis => high[axis] - low[axis])];
        // A cube's cells have one point each; where the points lie in a slab, a plane or on a line, wider
        // cells do.
        width = Math.Max(
            Math.Cbrt(edges[0] * edges[1] * edges[2] / points.Count), edges.Max() / (MostCellsPerPoint * points.Count));
        width = width > 0 ? width : 1;
        for (bool tooMany = true; tooMany; width *= tooMany ? 1.25 : 1)
        {
            for (int axis = 0; axis < 3; axis++)
                cells[axis] = (int)(edges[axis] / width) + 1;
            tooMany = (double)cells[0] * cells[1] * cells[2] > (MostCellsPerPoint * points.Count) + 8;
        }

        int[] cellOf = [.. points.Select(p => Index(CellOf(p, 0), CellOf(p, 1), CellOf(p, 2)))];
        starts = new int[(cells[0] * cells[1] * cells[2]) + 1];
        foreach (int cell in cellOf)
            starts[cell + 1]++;
        for (int i = 1; i < starts.Length; i++)
            starts[i] += starts[i - 1];
        members = [.. Enumerable.Range(0, points.Count).OrderBy(i => cellOf[i])];
    }

    /// <summary>The distance to the nearest point.</summary>
    public double DistanceTo(Position from)
    {
        (int z, int y, int x) = (CellOf(from, 0), CellOf(from, 1), CellOf(from, 2));
        double nearest = double.PositiveInfinity;
        int shells = Math.Max(cells[0], Math.Max(cells[1], cells[2]));
        for (int shell = 0; shell < shells; shell++)
        {
            // Whatever lies in this shell or beyond is at least so far from the point, or from its projection
            // onto the box, which is no farther from any of them.
            double beyond = Math.Max(0, shell - 1) * width;
            if (nearest <= beyond * beyond)
                break;
            for (int k = Math.Max(0, z - shell); k <= Math.Min(cells[0] - 1, z + shell); k++)
            {
                for (int j = Math.Max(0, y - shell); j <= Math.Min(cells[1] - 1, y + shell); j++)
                {
                    // Inside the shell's faces only its two ends along x are new.
                    bool face = Math.Abs(k - z) == shell || Math.Abs(j - y) == shell;
                    int step = face || shell == 0 ? 1 : 2 * shell;
                    for (int i = x - shell; i <= x + shell; i += step)
                    {
                        if (i >= 0 && i < cells[2])
                            nearest = Math.Min(nearest, InCell(Index(k, j, i), from));
                    }
                }
            }
        }

        return Math.Sqrt(nearest);
    }

    private double InCell(int cell, Position from)
    {
        double nearest = double.PositiveInfinity;
        for (int i = starts[cell]; i < starts[cell + 1]; i++)
            nearest = Math.Min(nearest, from.SquaredDistanceTo(points[members[i]]));
        return nearest;
    }

    private int CellOf(Position p, int axis)
        => Math.Min(cells[axis] - 1, (int)((Math.Clamp(Coordinate(p, axis), low[axis], high[axis]) - low[axis]) / width));

    private int Index(int z, int y, int x) => (((z * cells[1]) + y) * cells[2]) + x;

    private static double Coordinate(Position p, int axis) => axis switch { 0 => p.Z, 1 => p.Y, _ => p.X };
}
