namespace MeanShiftGpu.IO;

/// <summary>The edges of a voxel in Å; 0 on an axis means unknown.</summary>
/// <param name="Z">Edge along z in Å.</param>
/// <param name="Y">Edge along y in Å.</param>
/// <param name="X">Edge along x in Å.</param>
public readonly record struct VoxelSize(double Z, double Y, double X)
{
    /// <summary>A cubic voxel.</summary>
    public VoxelSize(double edgeAngstrom)
        : this(edgeAngstrom, edgeAngstrom, edgeAngstrom)
    {
    }

    /// <summary>The mean of the known edges in Å; 0 when none is known.</summary>
    public double Mean
    {
        get
        {
            int known = (Z > 0 ? 1 : 0) + (Y > 0 ? 1 : 0) + (X > 0 ? 1 : 0);
            return known == 0 ? 0 : (Math.Max(Z, 0) + Math.Max(Y, 0) + Math.Max(X, 0)) / known;
        }
    }

    /// <summary>Whether the known edges agree to 1 %.</summary>
    public bool IsIsotropic
    {
        get
        {
            double mean = Mean;
            return IsNear(Z, mean) && IsNear(Y, mean) && IsNear(X, mean);
        }
    }

    private static bool IsNear(double edge, double mean) => edge <= 0 || Math.Abs(edge - mean) <= 0.01 * mean;
}
