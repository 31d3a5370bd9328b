using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>A tomogram in RELION's tomograms.star.</summary>
/// <param name="Name">rlnTomoName.</param>
/// <param name="SizeX">Its size along x in unbinned pixels.</param>
/// <param name="SizeY">Along y.</param>
/// <param name="SizeZ">Along z.</param>
/// <param name="PixelSizeAngstrom">The unbinned pixels' size in Å (rlnTomoTiltSeriesPixelSize); 0 where it is
/// not said.</param>
/// <param name="Binning">How many of them make a voxel of the reconstructed tomogram
/// (rlnTomoTomogramBinning); 0 where it is not said.</param>
internal sealed record TomogramEntry(
    string Name, double SizeX, double SizeY, double SizeZ, double PixelSizeAngstrom, double Binning)
{
    /// <summary>
    /// The unbinned pixels in a volume: as many in a voxel as was told, or as its voxel size says, or else as
    /// the reconstructed tomogram has.
    /// </summary>
    /// <param name="told">The binning, where it is told; 0 otherwise.</param>
    /// <param name="voxelSizeAngstrom">The volume's voxel size; 0 when unknown.</param>
    /// <param name="pixelSizeAngstrom">The pixels' size, where the entry does not say it.</param>
    public PixelGrid Grid(double told, double voxelSizeAngstrom, double pixelSizeAngstrom)
    {
        double size = PixelSizeAngstrom > 0 ? PixelSizeAngstrom : pixelSizeAngstrom;
        return new PixelGrid(
            size, told > 0 ? told : voxelSizeAngstrom > 0 && size > 0 ? CoordinateContext.NearlyWhole(voxelSizeAngstrom / size)
                : Binning > 0 ? Binning : 1);
    }
}

/// <summary>RELION's tomograms.star: sizes, pixel size and binning of tomograms by name.</summary>
internal sealed class TomogramsStar
{
    private static readonly string[] Sizes = ["rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ"];

    private readonly TomogramIndex<TomogramEntry> entries;

    private TomogramsStar(string path, IEnumerable<TomogramEntry> entries)
    {
        Path = path;
        this.entries = new TomogramIndex<TomogramEntry>(entries.Select(e => (e.Name, e)));
    }

    public string Path { get; }

    /// <summary>Reads the file.</summary>
    /// <exception cref="InputException">It cannot be read, has no such table, or a number is none or below
    /// 0.</exception>
    public static TomogramsStar Read(string path)
    {
        StarFile file = StarFile.Read(path);
        StarTable[] tables = [.. file.Tables.Where(t => t.Has(RelionStar.TomoName) && Sizes.All(t.Has))];
        if (tables.Length == 0)
            throw new InputException($"{path}: no table has rlnTomoName and rlnTomoSizeX, Y, Z; expected RELION's "
                + "tomograms.star.");
        Dictionary<string, TomogramEntry> entries = [];
        foreach (StarRow row in tables.SelectMany(t => Enumerable.Range(0, t.Rows.Count).Select(i => new StarRow(path, t, i))))
        {
            TomogramEntry entry = Entry(row);
            if (!entries.TryAdd(entry.Name, entry) && entries[entry.Name] != entry)
                throw new InputException($"{path}: line {row.Line}: tomogram {InputFile.Quote(entry.Name)} stands twice, with "
                    + "other sizes, pixel size or binning; expected it once. Delete the row that is wrong.");
        }

        return new TomogramsStar(path, entries.Values);
    }

    /// <summary>
    /// A tomogram by its name (see <see cref="TomogramIndex{T}"/>); null where there is none.
    /// </summary>
    /// <param name="tomogram">The name.</param>
    /// <param name="table">The table that has it, for messages.</param>
    public TomogramEntry? Find(string tomogram, string table) => entries.Find(tomogram, table);

    /// <summary>
    /// Refuses a volume that is no reconstruction of a tomogram as the file has it: all places are measured
    /// from a centre that the file gives. Sizes round to a voxel.
    /// </summary>
    /// <param name="entry">The tomogram.</param>
    /// <param name="grid">Its pixels in the volume.</param>
    /// <param name="context">The volume, where its size is known.</param>
    /// <exception cref="InputException">The sizes differ.</exception>
    public void RefuseOtherVolume(TomogramEntry entry, PixelGrid grid, CoordinateContext context)
    {
        if (context.Shape is not { } shape)
            return;
        bool Fits(double pixels, int voxels) => Math.Abs(pixels - (voxels * grid.PerVoxel)) <= grid.PerVoxel * (1 + 1e-9);
        if (Fits(entry.SizeX, shape.Width) && Fits(entry.SizeY, shape.Height) && Fits(entry.SizeZ, shape.Depth))
            return;
        string voxel = context.VoxelSizeAngstrom > 0 ? FormattableString.Invariant($" of {context.VoxelSizeAngstrom:0.####} Å")
            : "";
        string stated = entry.Binning > 0 ? FormattableString.Invariant($" and binning {entry.Binning:0.####}") : "";
        throw new InputException(FormattableString.Invariant($"{Path}: tomogram {InputFile.Quote(entry.Name)} has ")
            + FormattableString.Invariant($"{entry.SizeX:0.##}×{entry.SizeY:0.##}×{entry.SizeZ:0.##} (x, y, z) pixels of ")
            + FormattableString.Invariant($"{grid.SizeText}{stated}, but the volume has {shape.Width}×{shape.Height}×")
            + FormattableString.Invariant($"{shape.Depth} voxels{voxel}, {grid.PerVoxel:0.####} pixels each. Give the volume ")
            + "that belongs to this file, or correct the voxel size or the binning.");
    }

    private static TomogramEntry Entry(StarRow row)
    {
        double Positive(string column) => NotNegative(column) is > 0 and var value ? value
            : throw new InputException($"{row.Path}: line {row.Line}: {column} is 0; expected a number above 0, the tomogram's "
                + "size in unbinned pixels.");
        double NotNegative(string column) => !row.Has(column) ? 0 : row.Number(column) is >= 0 and var value ? value
            : throw new InputException($"{row.Path}: line {row.Line}: {column} is {row.Number(column)}; expected a number "
                + "above 0.");
        return new TomogramEntry(
            row.Text(RelionStar.TomoName),
            Positive(Sizes[0]),
            Positive(Sizes[1]),
            Positive(Sizes[2]),
            NotNegative(RelionStar.TiltSeriesPixelSize),
            NotNegative("rlnTomoTomogramBinning"));
    }
}
