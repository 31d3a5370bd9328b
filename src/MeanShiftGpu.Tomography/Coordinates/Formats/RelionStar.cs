using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// Particles in RELION's STAR tables. RELION 3 (and Warp) count in pixels of the tomogram, RELION 4 in
/// unbinned pixels, RELION 5 in Å from the tomogram's centre. Offsets (rlnOrigin*) are subtracted, as RELION
/// does, after rotation by rlnTomoSubtomogram* where a table has those.
/// </summary>
internal static class RelionStar
{
    public const string Score = "rlnAutopickFigureOfMerit";
    public const string TomoName = "rlnTomoName";
    public const string MicrographName = "rlnMicrographName";
    public const string ClassNumber = "rlnClassNumber";
    public const string Optics = "optics";
    public const string OpticsGroup = "rlnOpticsGroup";
    public const string TiltSeriesPixelSize = "rlnTomoTiltSeriesPixelSize";
    public const string TomostarEnding = ".tomostar";
    public const string Relion5Counts = "RELION 5 coordinates count in Å from the tomogram's centre";

    public static readonly string[] Centred =
        ["rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst"];
    public static readonly string[] Pixels = ["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"];
    public static readonly string[] OriginAngstrom = ["rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"];
    public static readonly string[] OriginPixels = ["rlnOriginX", "rlnOriginY", "rlnOriginZ"];
    public static readonly string[] BoxAngles = ["rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi"];
    public static readonly string[] Angles = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"];

    /// <summary>
    /// How sure the picker was, in RELION's own column or in those of others (pytom-match-pick's, then what
    /// alignments leave); the first that a table has counts.
    /// </summary>
    public static readonly string[] Scores = [Score, "rlnLCCmax", "rlnParticleFigureOfMerit", "rlnMaxValueProbDistribution"];

    public static TableFormat Relion3 { get; } = Row(CoordinateFormat.Relion3);

    public static TableFormat Warp { get; } = Row(CoordinateFormat.Warp) with { IsUsual = false };

    public static TableFormat Relion4 { get; } = Row(CoordinateFormat.Relion4) with
    {
        IsUsual = false,
        CountsUnbinnedPixels = true,
        VoxelSizeReason = static options => options.Template?.Table("optics") is null ? "RELION 4 needs the pixel size of the "
            + "tilt series" : null,
    };

    public static TableFormat Relion5 { get; } = Row(CoordinateFormat.Relion5) with
    {
        IsUsual = false,
        CountsUnbinnedPixels = true,
        UsesTomogramsStar = true,
        VoxelSizeReason = static options => options.Context.TomogramsStar is null ? Relion5Counts : null,
        ShapeReason = static options => options.Context.TomogramsStar is null ? Relion5Counts : null,
    };

    private static TableFormat Row(CoordinateFormat format) => new(format, ".star")
    {
        IsStar = true,
        PixelSizes = PixelSizes.EachRow,
        Recognise = static path => FormatOf(Open(path, null).Tables[0]),
        Read = Read,
        Write = static (path, particles, options) => new RelionWriter(path, options).Write(particles),
    };

    /// <summary>Reads the particles of a file, or of the file that an optimisation set names.</summary>
    private static CoordinateTable Read(string path, CoordinateContext context)
    {
        (path, StarFile file, StarTable[] tables, string? tomograms) = Open(path, context.TomogramsStar);
        TomogramsStar? sizes = tomograms is null ? null : TomogramsStar.Read(tomograms);
        IReadOnlyList<string?>[] names = [.. tables.Select(table => NamesIn(table, tables.Length))];
        // Before rows are left out, after which all that are left might name none.
        if (CoordinateTables.NameOfUnnamed(path, [.. names.SelectMany(n => n)], context) is { } unnamed)
            names = [.. names.Select(rows => (string?[])[.. rows.Select(n => n ?? unnamed)])];
        string[] all = [.. names.SelectMany(n => n).OfType<string>().Distinct()];
        Func<string, bool>? isWanted = context.Tomogram is { } wanted ? TomogramName.Among(all, wanted, path) : null;
        List<Particle> particles =
            [.. tables.SelectMany((table, i) => new RelionReader(path, file, table, names[i], sizes, context).Read(isWanted))];
        return particles.Count == 0 && isWanted is not null && all.Length > 0
            ? throw CoordinateTables.NoSuchTomogram(path, context.Tomogram!, all)
            : new CoordinateTable(FormatOf(tables[0]), particles);
    }

    /// <summary>A file whose other tables can be written again; null where it only names another.</summary>
    public static StarFile? TemplateOf(string path)
        => StarFile.Read(path) is { } file && file.Tables.Any(HasCoordinates) ? file : null;

    /// <summary>Whether a table has coordinates.</summary>
    public static bool HasCoordinates(StarTable table) => Centred.All(table.Has) || Pixels.All(table.Has);

    /// <summary>Which RELION's a table is, or Warp's.</summary>
    private static CoordinateFormat FormatOf(StarTable table)
        => Centred.All(table.Has) ? CoordinateFormat.Relion5
            : table.Has(TomoName) ? CoordinateFormat.Relion4
            : table.IndexOf(MicrographName) is >= 0 and int name && table.Rows.Count > 0
            && table.Rows.All(r => r[name].EndsWith(TomostarEnding, StringComparison.Ordinal)) ? CoordinateFormat.Warp
            : CoordinateFormat.Relion3;

    /// <summary>
    /// The tomogram of each row: from its column, or else the name of the block where a file has a block of
    /// particles for each tomogram; null where neither says it.
    /// </summary>
    private static IReadOnlyList<string?> NamesIn(StarTable table, int blocks)
    {
        int column = table.Has(TomoName) ? table.IndexOf(TomoName) : table.IndexOf(MicrographName);
        string? block = blocks > 1 && table.Name is not ("" or "particles") ? table.Name : null;
        return [.. table.Rows.Select(row => column < 0 ? block : row[column].Trim().Length > 0 ? row[column] : null)];
    }

    /// <summary>A file's tables with coordinates; those of the file that an optimisation set names.</summary>
    private static (string Path, StarFile File, StarTable[] Tables, string? Tomograms) Open(string path, string? tomograms)
    {
        StarFile file = StarFile.Read(path);
        if (!file.Tables.Any(HasCoordinates) && FindColumn(file, "rlnTomoParticlesFile") is { } particlesFile)
        {
            if (tomograms is null && FindColumn(file, "rlnTomoTomogramsFile") is { } tomogramsFile)
                tomograms = ResolveInProject(path, tomogramsFile);
            path = ResolveInProject(path, particlesFile);
            file = StarFile.Read(path);
        }

        StarTable[] tables = [.. file.Tables.Where(HasCoordinates)];
        if (tables.Length == 0)
        {
            string found = string.Join(", ", file.Tables.SelectMany(t => t.Columns).Take(8));
            throw new InputException($"{path}: no table has coordinates; expected rlnCoordinateX, Y, Z or "
                + $"rlnCenteredCoordinateXAngst, Y, Z; found {(found.Length == 0 ? "no columns" : found)}.");
        }

        // Blocks of one file may name tomograms in themselves, but they must count alike.
        if (Array.Find(tables, t => FormatOf(t) != FormatOf(tables[0])) is { } other)
            throw new InputException($"{path}: its tables data_{tables[0].Name} and data_{other.Name} both have coordinates, "
                + $"the first as {CoordinateFormats.Word(FormatOf(tables[0]))}, the second as "
                + $"{CoordinateFormats.Word(FormatOf(other))}. Put them into two files.");
        // A row says its optics group, not the block that the group stands in.
        StarTable[] optics = [.. file.Tables.Where(t => t.Name == Optics && t.Rows.Count > 0)];
        static string Text(StarTable table)
            => string.Join('\n', table.Rows.Prepend([.. table.Columns]).Select(row => string.Join('\t', row)));
        if (optics.Select(Text).Distinct().Count() > 1)
            throw new InputException($"{path}: has {optics.Length} different tables data_{Optics}, at lines "
                + $"{optics[0].RowLines[0]} and {optics[^1].RowLines[0]}; expected one, which says the pixel sizes. Put the "
                + "particles of each into a file of their own.");
        return (path, file, tables, tomograms);
    }

    private static string? FindColumn(StarFile file, string column)
        => file.Tables.FirstOrDefault(t => t.Has(column) && t.Rows.Count > 0) is { } table ? table.Rows[0][table.IndexOf(column)]
            : null;

    /// <summary>
    /// Names in RELION's tables count from the project's folder, which is some parent of the table's.
    /// </summary>
    private static string ResolveInProject(string path, string name)
    {
        if (name.Length == 0 || name.Contains('\0', StringComparison.Ordinal))
            throw new InputException($"{path}: names no file where one is expected.");
        for (string? folder = Path.GetDirectoryName(Path.GetFullPath(path)); folder is not null; folder = Path.GetDirectoryName(
            folder))
        {
            string candidate = Path.Combine(folder, name);
            if (File.Exists(candidate))
                return candidate;
        }

        throw new InputException($"{path}: names {InputFile.Quote(name)}, which is neither in its folder nor in a parent "
            + "folder.");
    }

    /// <summary>Å or pixels from a tomogram's first corner to the point that RELION 5 counts from.</summary>
    public static double Centre(double size, RelionCentre centre) => centre switch
    {
        RelionCentre.HalfSize => size / 2,
        RelionCentre.HalfSizeMinusOne => (size / 2) - 1,
        _ => throw UnknownValue.Of(centre),
    };
}
