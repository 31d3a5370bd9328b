namespace MeanShiftGpu.Geometry;

/// <summary>A place in a volume: (z, y, x) in voxels, the centre of the first voxel is (0, 0, 0).</summary>
/// <param name="Z">Slice.</param>
/// <param name="Y">Row.</param>
/// <param name="X">Column, the fastest axis in memory.</param>
public readonly record struct Position(double Z, double Y, double X)
{
    /// <summary>The squared Euclidean distance to another place, in voxels².</summary>
    public double SquaredDistanceTo(Position other)
    {
        double z = Z - other.Z;
        double y = Y - other.Y;
        double x = X - other.X;
        return z * z + y * y + x * x;
    }

    /// <summary>The Euclidean distance to another place, in voxels.</summary>
    public double DistanceTo(Position other) => Math.Sqrt(SquaredDistanceTo(other));

    /// <summary>Packs places as the kernels read them: [n, 3], each z, y, x.</summary>
    public static float[] Pack(IReadOnlyList<Position> positions)
    {
        ArgumentNullException.ThrowIfNull(positions);
        float[] packed = new float[3 * positions.Count];
        for (int i = 0; i < positions.Count; i++)
        {
            packed[3 * i] = (float)positions[i].Z;
            packed[3 * i + 1] = (float)positions[i].Y;
            packed[3 * i + 2] = (float)positions[i].X;
        }

        return packed;
    }
}
