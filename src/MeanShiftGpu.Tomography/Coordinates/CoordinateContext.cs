using System.Globalization;
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

/// <summary>A volume that rows of a table belong to.</summary>
/// <param name="Name">The tomogram's name.</param>
/// <param name="Shape">The volume's size.</param>
/// <param name="VoxelSize">The voxel size.</param>
public sealed record CoordinateVolume(string Name, Extent Shape, VoxelSize VoxelSize);

/// <summary>
/// What a table of coordinates does not say itself. A table may count in finer pixels than the volume has
/// (unbinned ones), or in Å from the tomogram's centre; what is read is always in voxels of the volume (see
/// <see cref="PixelGrid"/>).
/// </summary>
public sealed record CoordinateContext
{
    /// <summary>The table's format; null to take it from the name's ending and the content.</summary>
    public CoordinateFormat? Format { get; init; }

    /// <summary>The volume's voxel size in Å; 0 when unknown.</summary>
    public double VoxelSizeAngstrom { get; init; }

    /// <summary>
    /// Why the volume has no one voxel size (see <see cref="VoxelSize.ProblemOf"/>), for a table that needs
    /// one; null where it is merely unknown.
    /// </summary>
    public string? VoxelSizeProblem { get; init; }

    /// <summary>
    /// How many of the table's pixels make one voxel of the volume along an axis. 0: from the table (RELION 4
    /// and 5, EMAN2, copick and some of Dynamo's give the size of their pixels, which
    /// <see cref="VoxelSizeAngstrom"/> is compared with), and 1 where it does not say.
    /// </summary>
    public double Binning { get; init; }

    /// <summary>
    /// The volume's size, for EMAN2 coordinates, and for RELION 5 coordinates without a table of tomograms.
    /// </summary>
    public Extent? Shape { get; init; }

    /// <summary>
    /// The volume's file, whose header says where the map begins, for ChimeraX's markers; null where it is
    /// not known.
    /// </summary>
    public string? Volume { get; init; }

    /// <summary>
    /// Where the map of ChimeraX's markers begins in Å, if no file of it is known; null for 0.
    /// </summary>
    internal (double Z, double Y, double X)? MapOrigin { get; init; }

    /// <summary>The centre that RELION 5 coordinates count from.</summary>
    public RelionCentre Centre { get; init; }

    /// <summary>RELION's table of tomograms, which has their sizes and pixel size.</summary>
    public string? TomogramsStar { get; init; }

    /// <summary>Keep the particles of this tomogram only.</summary>
    public string? Tomogram { get; init; }

    /// <summary>
    /// The tomogram of rows that name none in a table whose other rows name theirs; null to refuse such a
    /// table.
    /// </summary>
    public string? NameOfUnnamed { get; init; }

    /// <summary>
    /// The volumes that the rows belong to, where a table names tomograms of several: each row is read with
    /// the size and voxel size of its own. Empty where all rows are of one volume, or of several alike.
    /// </summary>
    public IReadOnlyList<CoordinateVolume> Volumes { get; init; } = [];

    /// <summary>
    /// The pixels of a row. Where their size is known and the binning is not told, the volume's voxel size
    /// gives how many make a voxel: a nearly whole ratio is whole, because headers round.
    /// </summary>
    /// <param name="pixelSizeAngstrom">The pixels' size as the table gives it; 0 where it does not.</param>
    /// <exception cref="InputException">The ratio is not told, and the volume's voxels are no
    /// cubes.</exception>
    internal PixelGrid Grid(double pixelSizeAngstrom)
    {
        double size = Math.Max(0, pixelSizeAngstrom);
        if (Binning > 0 || size == 0)
            return new PixelGrid(size, Binning > 0 ? Binning : 1);
        if (VoxelSizeAngstrom <= 0)
            return VoxelSizeProblem is null ? new PixelGrid(size, 1) : throw NoVoxelSize(VoxelSizeProblem);
        return new PixelGrid(size, NearlyWhole(VoxelSizeAngstrom / size));
    }

    /// <summary>
    /// The pixels of a row that counts in voxels of a tomogram, which are the volume's unless the binning is
    /// told.
    /// </summary>
    /// <param name="place">The table and line, for messages.</param>
    /// <param name="pixelSizeAngstrom">The pixels' size as the table gives it; 0 where it does not.</param>
    /// <exception cref="InputException">The table's tomogram has voxels of another size than the
    /// volume.</exception>
    internal PixelGrid TomogramGrid(string place, double pixelSizeAngstrom)
    {
        double size = Math.Max(0, pixelSizeAngstrom);
        if (Binning <= 0 && size > 0 && VoxelSizeAngstrom > 0 && Math.Abs(size - VoxelSizeAngstrom) > 0.01 * VoxelSizeAngstrom)
            throw new InputException(string.Create(CultureInfo.InvariantCulture, $"{place}: counts in pixels of {size:0.####} "
                + $"Å, and the volume has voxels of {VoxelSizeAngstrom:0.####} Å. Correct the volume's voxel size (--voxel-size "
                + $"where you gave it), or say how many of the table's pixels make a voxel (the binning)."))
            { Missing = MissingFact.Binning };
        return new PixelGrid(size, Binning > 0 ? Binning : 1);
    }

    /// <summary>A ratio of sizes, which is whole where it is nearly so.</summary>
    internal static double NearlyWhole(double ratio)
        => Math.Round(ratio) is >= 1 and var whole && Math.Abs(ratio - whole) < 0.01 * whole ? whole : ratio;

    /// <summary>
    /// The context of a row that names a tomogram: that of its volume where <see cref="Volumes"/> has it.
    /// </summary>
    /// <param name="path">The table, for messages.</param>
    /// <param name="tomogram">The row's tomogram; null where it names none.</param>
    /// <exception cref="InputException">The tomogram is none of them.</exception>
    internal CoordinateContext Of(string path, string? tomogram)
    {
        if (Volumes.Count == 0 || tomogram is null)
            return this;
        byTomogram ??= new TomogramIndex<CoordinateContext>(Volumes.Select(v => (v.Name, this with
        {
            Shape = v.Shape,
            VoxelSizeAngstrom = VoxelSizeAngstrom > 0 ? VoxelSizeAngstrom : v.VoxelSize.CubeAngstrom,
            VoxelSizeProblem = VoxelSizeAngstrom > 0 ? null : v.VoxelSize.ProblemOf(v.Name),
            Volumes = [],
        })));
        return byTomogram.Find(tomogram, path) ?? throw new InputException(
            $"{path}: names tomogram {InputFile.Quote(tomogram)}, which is none of the volumes "
            + $"{string.Join(", ", Volumes.Take(5).Select(v => InputFile.Quote(v.Name)))}{(Volumes.Count > 5 ? ", …" : "")}. "
            + "The volumes' names must agree.");
    }

    private TomogramIndex<CoordinateContext>? byTomogram;

    /// <summary>The context of a volume, whose header gives the voxel size where it is not told.</summary>
    /// <param name="path">The volume's file.</param>
    /// <param name="shape">Its size.</param>
    /// <param name="header">Its voxel size.</param>
    public CoordinateContext WithVolume(string path, Extent shape, VoxelSize header) => this with
    {
        Volume = path,
        Shape = shape,
        VoxelSizeAngstrom = VoxelSizeAngstrom > 0 ? VoxelSizeAngstrom : header.CubeAngstrom,
        VoxelSizeProblem = VoxelSizeAngstrom > 0 ? null : header.ProblemOf(path),
    };

    /// <summary>The voxel size, for a table that needs it.</summary>
    /// <param name="path">The table.</param>
    /// <param name="reason">Why it needs it.</param>
    /// <exception cref="InputException">It is unknown, or there is no one size.</exception>
    internal double RequireVoxelSize(string path, string reason)
        => VoxelSizeAngstrom > 0 ? VoxelSizeAngstrom : throw NoVoxelSize(VoxelSizeProblem ?? $"{path}: {reason}; give the "
            + "voxel size.");

    /// <summary>The volume's size, for a table that needs it.</summary>
    /// <param name="path">The table.</param>
    /// <param name="reason">Why it needs it.</param>
    /// <exception cref="InputException">It is unknown.</exception>
    internal Extent RequireShape(string path, string reason)
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
