namespace MeanShiftGpu.Geometry;

/// <summary>The edges of a voxel in Å; 0 on an axis means unknown.</summary>
/// <param name="Z">Edge along z in Å.</param>
/// <param name="Y">Edge along y in Å.</param>
/// <param name="X">Edge along x in Å.</param>
public readonly record struct VoxelSize(double Z, double Y, double X)
{
    // Headers round; edges that differ by more than this share differ.
    private const double Tolerance = 0.01;

    /// <summary>A cubic voxel.</summary>
    public VoxelSize(double edgeAngstrom)
        : this(edgeAngstrom, edgeAngstrom, edgeAngstrom)
    {
    }

    /// <summary>
    /// The edge of a cubic voxel in Å, the mean of those that are known; 0 when none is, or where they differ
    /// by more than 1 %.
    /// </summary>
    public double CubeAngstrom => Known is { Length: > 0 } known && IsCube ? known.Average() : 0;

    /// <summary>Whether the known edges agree to 1 %.</summary>
    public bool IsCube => Known is not { Length: > 0 } known || known.Max() <= (1 + Tolerance) * known.Min();

    private double[] Known => [.. ((double[])[Z, Y, X]).Where(edge => edge > 0)];

    /// <summary>
    /// Why a volume has no one voxel size, which whatever counts in Å needs; null where its voxels are cubes,
    /// or nothing is known.
    /// </summary>
    /// <param name="path">The volume's file.</param>
    public string? ProblemOf(string path)
        => IsCube ? null : $"{path}: has voxels of {this}, and what counts in Å needs one size. Resample the volume to cubes, "
            + "or give the voxel size that is meant.";

    /// <inheritdoc/>
    public override string ToString() => IsCube ? $"{CubeAngstrom:0.###} Å" : $"{Z:0.###} × {Y:0.###} × {X:0.###} Å (z, y, x)";
}
