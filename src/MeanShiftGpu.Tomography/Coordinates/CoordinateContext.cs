using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>Which point of a tomogram RELION 5 centred coordinates count from.</summary>
public enum RelionCentre
{
    /// <summary>size / 2, as RELION's C++ programs take it.</summary>
    HalfSize,

    /// <summary>size / 2 − 1, as RELION's Python pickers take it.</summary>
    HalfSizeMinusOne,
}

/// <summary>
/// What a table of coordinates does not say itself. A table may count in finer pixels than the volume has (unbinned ones), or in Å from the
/// tomogram's centre; what is read is always in voxels of the volume. With binning B, pixel i is voxel (i + 0.5)/B − 0.5.
/// </summary>
public sealed record CoordinateContext
{
    /// <summary>The table's format; null to take it from the name's ending and the content.</summary>
    public CoordinateFormat? Format { get; init; }

    /// <summary>The volume's voxel size in Å; 0 when unknown.</summary>
    public double VoxelSizeAngstrom { get; init; }

    /// <summary>Why the volume has no one voxel size (see <see cref="VoxelSize.ProblemOf"/>), for a table that needs one; null where it is merely unknown.</summary>
    public string? VoxelSizeProblem { get; init; }

    /// <summary>
    /// How many of the table's pixels make one voxel of the volume along an axis. 0: from the table (RELION 4 and 5, EMAN2, copick and some of
    /// Dynamo's give the size of their pixels, which <see cref="VoxelSizeAngstrom"/> is compared with), and 1 where it does not say.
    /// </summary>
    public double Binning { get; init; }

    /// <summary>The volume's size, for EMAN2 coordinates, and for RELION 5 coordinates without a table of tomograms.</summary>
    public VolumeShape? Shape { get; init; }

    /// <summary>The centre that RELION 5 coordinates count from.</summary>
    public RelionCentre Centre { get; init; }

    /// <summary>RELION's table of tomograms, which has their sizes and pixel size.</summary>
    public string? TomogramsStar { get; init; }

    /// <summary>Keep the particles of this tomogram only.</summary>
    public string? Tomogram { get; init; }

    /// <summary>The volume's voxel in pixels of the table, for tables that do not name their pixel size.</summary>
    internal double BinningOrOne => Binning > 0 ? Binning : 1;

    /// <summary>
    /// How many of a table's pixels make a voxel where the table gives their size: a nearly whole ratio is whole, because headers round.
    /// </summary>
    /// <exception cref="InputException">The ratio is not told, and the volume's voxels are no cubes.</exception>
    internal double BinningFor(double pixelSizeAngstrom)
    {
        if (Binning > 0 || pixelSizeAngstrom <= 0)
            return BinningOrOne;
        if (VoxelSizeAngstrom <= 0)
            return VoxelSizeProblem is null ? 1 : throw NoVoxelSize(VoxelSizeProblem);
        double ratio = VoxelSizeAngstrom / pixelSizeAngstrom;
        double whole = Math.Round(ratio);
        return whole >= 1 && Math.Abs(ratio - whole) < 0.01 * whole ? whole : ratio;
    }

    /// <summary>A place in voxels from one in pixels; both are 0 at their first element's centre, and with it start at −0.5.</summary>
    internal static double ToVoxel(double pixel, double binning) => ((pixel + 0.5) / binning) - 0.5;

    /// <summary>The inverse of <see cref="ToVoxel"/>.</summary>
    internal static double ToPixel(double voxel, double binning) => ((voxel + 0.5) * binning) - 0.5;

    /// <summary>The context of a volume, whose header gives the voxel size where it is not told.</summary>
    /// <param name="path">The volume's file.</param>
    /// <param name="shape">Its size.</param>
    /// <param name="header">Its voxel size.</param>
    public CoordinateContext WithVolume(string path, VolumeShape shape, VoxelSize header) => this with
    {
        Shape = shape,
        VoxelSizeAngstrom = VoxelSizeAngstrom > 0 ? VoxelSizeAngstrom : header.CubeAngstrom,
        VoxelSizeProblem = VoxelSizeAngstrom > 0 ? null : header.ProblemOf(path),
    };

    /// <summary>The voxel size, for a table that needs it.</summary>
    /// <param name="path">The table.</param>
    /// <param name="reason">Why it needs it.</param>
    /// <exception cref="InputException">It is unknown, or there is no one size.</exception>
    internal double RequireVoxelSize(string path, string reason)
        => VoxelSizeAngstrom > 0 ? VoxelSizeAngstrom : throw NoVoxelSize(VoxelSizeProblem ?? $"{path}: {reason}; give the voxel size.");

    /// <summary>The volume's size, for a table that needs it.</summary>
    /// <param name="path">The table.</param>
    /// <param name="reason">Why it needs it.</param>
    /// <exception cref="InputException">It is unknown.</exception>
    internal VolumeShape RequireShape(string path, string reason)
        => Shape ?? throw new InputException($"{path}: {reason}; give the volume's size.") { Missing = MissingFact.VolumeSize };

    private static InputException NoVoxelSize(string message) => new(message) { Missing = MissingFact.VoxelSize };

    internal void Validate()
    {
        if (!double.IsFinite(Binning) || Binning < 0)
            throw new InputException($"The binning is {Binning}; expected a positive number, or 0 for unknown.");
        if (!double.IsFinite(VoxelSizeAngstrom) || VoxelSizeAngstrom < 0)
            throw new InputException($"The voxel size is {VoxelSizeAngstrom} Å; expected a positive number, or 0 for unknown.");
    }
}
