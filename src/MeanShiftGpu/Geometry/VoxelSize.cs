namespace MeanShiftGpu.Geometry;

/// <summary>
/// The edges of a voxel in Å; 0 on an axis means unknown. One that is negative or not finite is refused with
/// an <see cref="ArgumentOutOfRangeException"/>.
/// </summary>
/// <param name="Z">Edge along z in Å.</param>
/// <param name="Y">Edge along y in Å.</param>
/// <param name="X">Edge along x in Å.</param>
public readonly record struct VoxelSize(double Z, double Y, double X)
{
    // Headers round; edges that differ by more than this share differ.
    private const double Tolerance = 0.01;

    /// <summary>Edge along z in Å.</summary>
    public double Z { get; init => field = Edge(value, nameof(Z)); } = Edge(Z, nameof(Z));

    /// <summary>Edge along y in Å.</summary>
    public double Y { get; init => field = Edge(value, nameof(Y)); } = Edge(Y, nameof(Y));

    /// <summary>Edge along x in Å.</summary>
    public double X { get; init => field = Edge(value, nameof(X)); } = Edge(X, nameof(X));

    /// <summary>A cubic voxel.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The edge is negative or not finite.</exception>
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

    private static double Edge(double angstrom, string axis) => angstrom >= 0 && double.IsFinite(angstrom)
        ? angstrom
        : throw new ArgumentOutOfRangeException(
            axis, angstrom, $"A voxel's edge along {axis} is {angstrom} Å, expected 0 (unknown) or more.");

    /// <inheritdoc/>
    public override string ToString() => IsCube ? $"{CubeAngstrom:0.###} Å" : $"{Z:0.###} × {Y:0.###} × {X:0.###} Å (z, y, x)";
}
