using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates.Formats;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>What a written table must say beyond the particles.</summary>
public sealed record CoordinateWriteOptions
{
    /// <summary>The volume's voxel size, binning and size, as the format needs them.</summary>
    public CoordinateContext Context { get; init; } = new();

    /// <summary>The format; null for that of the name's ending (RELION 3 for .star).</summary>
    public CoordinateFormat? Format { get; init; }

    /// <summary>The tomogram's name, for particles that do not have one.</summary>
    public string? TomogramName { get; init; }

    /// <summary>What the particles are, for copick files without any.</summary>
    public string? ObjectName { get; init; }

    /// <summary>A STAR file whose other tables (optics, general) are written again.</summary>
    public StarFile? Template { get; init; }

    // Read when it is first asked for.
    private TomogramsStar? tomograms;

    /// <summary>
    /// A particle's tomogram as tomograms.star has it, for a format that uses it; null without such a file.
    /// </summary>
    /// <param name="path">The table, for messages.</param>
    /// <param name="p">The particle.</param>
    /// <exception cref="InputException">The file cannot be read, or does not have the tomogram.</exception>
    internal TomogramEntry? TomogramOf(string path, Particle p)
    {
        bool uses = Format is { } format && CoordinateFormats.UsesTomogramsStar(format);
        if (!uses || Context.TomogramsStar is not { } star || (p.Tomogram ?? TomogramName) is not { } name)
            return null;
        if (tomograms?.Path != star)
            tomograms = TomogramsStar.Read(star);
        return tomograms.Find(name, path) ?? throw new InputException($"{path}: tomogram {InputFile.Quote(name)} is not in "
            + $"{star}. Spell the name as there, or give the tomograms.star that lists it.");
    }

    /// <summary>
    /// The pixels in which a particle is written. The voxel size is the context's, or else the one that the
    /// particle's own table gave. So is the binning, in a format of unbinned pixels; other formats count in
    /// voxels unless the context says a binning.
    /// </summary>
    internal PixelGrid GridOf(string path, Particle p)
    {
        double voxel = Context.VoxelSizeAngstrom > 0 ? Context.VoxelSizeAngstrom : p.Pixels.VoxelSizeAngstrom;
        if (TomogramOf(path, p) is { } entry)
        {
            PixelGrid grid = entry.Grid(Context.Binning, voxel, p.Pixels.SizeAngstrom);
            tomograms!.RefuseOtherVolume(entry, grid, Context.Of(path, p.Tomogram));
            return grid;
        }

        double perVoxel =
            Context.Binning > 0 ? Context.Binning : CoordinateFormats.CountsUnbinnedPixels(Format!.Value) ? p.Pixels.PerVoxel : 1;
        // A voxel size that was rounded does not change the table's own pixels, which its optics state.
        bool ownPixels = CoordinateFormats.CountsUnbinnedPixels(Format!.Value) && p.Pixels.SizeAngstrom > 0
            && Math.Abs(p.Pixels.PerVoxel - perVoxel) <= 1e-9 * perVoxel
            && Math.Abs(p.Pixels.VoxelSizeAngstrom - voxel) <= 0.01 * voxel;
        return ownPixels ? p.Pixels : new PixelGrid(voxel / perVoxel, perVoxel);
    }
}

/// <summary>What a file of coordinates holds.</summary>
/// <param name="Format">Its format.</param>
/// <param name="Particles">Its particles, in voxels of the volume.</param>
public sealed record CoordinateTable(CoordinateFormat Format, IReadOnlyList<Particle> Particles)
{
    /// <summary>Where its map begins in Å, as the table itself says; null where it does not.</summary>
    internal (double Z, double Y, double X)? MapOrigin { get; init; }
}

/// <summary>
/// The front door to tables of particle coordinates (see <see cref="CoordinateFormat"/>). In memory a
/// coordinate is (z, y, x) in voxels of the volume, 0 at the centre of the first voxel; files give x first,
/// and their pixels may be finer or start elsewhere (see <see cref="CoordinateContext"/>).
/// </summary>
public static class CoordinateTables
{
    /// <summary>
    /// Reads the particles of a table. One with a heading but no rows gives an empty list, as do blank lines
    /// alone in a format without heading.
    /// </summary>
    /// <exception cref="InputException">See <see cref="ReadTable"/>.</exception>
    public static IReadOnlyList<Particle> Read(string path, CoordinateContext? context = null)
        => ReadTable(path, context).Particles;

    /// <summary>Reads a table.</summary>
    /// <exception cref="InputException">
    /// The file is missing, empty, or of an unknown format; a column is unknown or missing; a value is no
    /// number (with its line); the tomogram asked for is not there; the context lacks what the format needs.
    /// </exception>
    public static CoordinateTable ReadTable(string path, CoordinateContext? context = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        context ??= new CoordinateContext();
        context.Validate();
        CoordinateFormat format = context.Format ?? CoordinateFormats.OfFile(path);
        TableFormat row = CoordinateFormats.Of(format);
        CoordinateTable table = row.Read(path, context);
        if (row.NeedsScores && table.Particles.All(p => p.Score == 0))
            table = table with { Particles = [.. table.Particles.Select(p => p with { Score = null })] };
        if (NameOfUnnamed(path, [.. table.Particles.Select(p => p.Tomogram)], context) is { } name)
            table = table with { Particles = [.. table.Particles.Select(p => p with { Tomogram = p.Tomogram ?? name })] };
        RefuseSomeWithoutSize(path, table, context);
        RefuseFractions(path, table);
        if (context.Tomogram is { } wanted && table.Particles.Count > 0)
        {
            Func<string, bool> isWanted = TomogramName.Among(
                table.Particles.Select(p => p.Tomogram).OfType<string>(), wanted, path);
            List<Particle> kept = [.. table.Particles.Where(p => p.Tomogram is null || isWanted(p.Tomogram))];
            return kept.Count > 0 ? table with { Particles = kept } : throw NoSuchTomogram(
                path, wanted, table.Particles.Select(p => p.Tomogram!));
        }

        return table;
    }

    /// <summary>
    /// Writes a table. Formats that number tomograms write their names to a file beside it
    /// (picks.tomograms.doc beside picks.tbl).
    /// </summary>
    /// <exception cref="InputException">
    /// The ending is unknown, the options lack what the format needs, the format holds one tomogram and the
    /// particles are of several, or the file cannot be written.
    /// </exception>
    public static void Write(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(particles);
        options ??= new CoordinateWriteOptions();
        CoordinateFormat format = CheckOptions(path, options, particles);
        options = options with { Format = format };
        for (int i = 0; i < particles.Count; i++)
        {
            if (!double.IsFinite(particles[i].Z + particles[i].Y + particles[i].X))
                throw new InputException($"{path}: cannot be written: particle {i + 1} has a coordinate that is not finite.");
        }

        string?[] tomograms = [.. particles.Select(p => p.Tomogram).Distinct().Take(2)];
        if (tomograms.Length > 1 && !CoordinateFormats.HoldsSeveralTomograms(format))
            throw new InputException($"{path}: the format {CoordinateFormats.Word(format)} holds one tomogram, and the "
                + $"particles are of several ({InputFile.Quote(tomograms[0] ?? "")}, {InputFile.Quote(tomograms[1] ?? "")}). "
                + "Give a folder, which gets a file for each, or another format.");
        RefuseMixedSizes(path, particles, options);
        if (TomogramNumbers.MayHaveNames(path))
            new TomogramNumbers(particles, options.TomogramName).RefuseChange(path);
        CoordinateFormats.Of(format).Write(path, particles, options);
    }

    /// <summary>A table and all files that are written with it: its record, and the names beside
    /// it.</summary>
    public static IReadOnlyList<string> FilesOf(string table)
        => [table, table + Provenance.Ending,
            .. TomogramNumbers.MayHaveNames(table) ? (string[])[TomogramNumbers.NamesFile(table)] : []];

    /// <summary>
    /// Refuses a table of some tomograms that would change the names of another's, before work is spent on
    /// it.
    /// </summary>
    /// <exception cref="InputException">It would.</exception>
    public static void CheckNames(string table, IEnumerable<string> tomograms)
    {
        string[] names = [.. tomograms];
        if (TomogramNumbers.MayHaveNames(table))
            new TomogramNumbers([.. names.Select(t => new Particle(0, 0, 0) { Tomogram = t })], null).RefuseChange(table);
        Func<string, bool> holds = Path.GetExtension(table).ToLowerInvariant() switch
        {
            ".star" => StarFile.Holds,
            ".csv" or ".tsv" => name => !name.AsSpan().ContainsAny('\n', '\r'),
            _ => _ => true,
        };
        if (Array.Find(names, name => !holds(name)) is { } broken)
            throw new InputException($"{table}: cannot be written: it cannot hold the tomogram's name {InputFile.Quote(broken)}, "
                + "which has a line break or both kinds of quotes. Rename the tomogram.");
    }

    /// <summary>
    /// Refuses options that lack what a table needs, which can be known before there are any particles.
    /// </summary>
    /// <returns>The format.</returns>
    /// <exception cref="InputException">The ending is unknown, the options lack what the format needs, or
    /// tomograms.star does not have the tomogram.</exception>
    public static CoordinateFormat CheckOptions(string path, CoordinateWriteOptions options) => CheckOptions(path, options, []);

    // Particles that were read may say what the options do not.
    private static CoordinateFormat CheckOptions(string path, CoordinateWriteOptions options, IReadOnlyList<Particle> particles)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(options);
        options.Context.Validate();
        TableFormat format = CoordinateFormats.Of(options.Format ?? CoordinateFormats.ForWriting(path));
        if (format.ShapeReason(options) is { } needsShape)
            options.Context.RequireShape(path, needsShape);
        if (format.VoxelSizeReason(options) is { } needsVoxelSize && (
            particles.Count == 0 || particles.Any(p => p.Pixels.SizeAngstrom <= 0)))
            options.Context.RequireVoxelSize(path, needsVoxelSize);
        // A name that tomograms.star does not know is found out before the picks are computed.
        CoordinateWriteOptions known = options with { Format = format.Id };
        Particle first = new(0, 0, 0);
        if (known.TomogramOf(path, first) is not null)
            known.GridOf(path, first);
        return format.Id;
    }

    /// <summary>
    /// Refuses particles whose pixels' sizes a table cannot hold: several where it has one, or none of some.
    /// </summary>
    private static void RefuseMixedSizes(string path, IReadOnlyList<Particle> particles, CoordinateWriteOptions options)
    {
        TableFormat format = CoordinateFormats.Of(options.Format!.Value);
        if (format.PixelSizes == PixelSizes.None)
            return;
        PixelGrid[] grids = [.. particles.Select(p => options.GridOf(path, p)).Distinct().OrderBy(g => g.SizeAngstrom)];
        if (grids.Length > 1 && (format.PixelSizes == PixelSizes.OneInTable || grids[0].SizeAngstrom <= 0))
        {
            string limit = format.PixelSizes == PixelSizes.OneInTable ? "holds one size" : "needs the size of all or of none";
            throw new InputException($"{path}: the particles count in pixels of {grids[0].SizeText} and of "
                + $"{grids[^1].SizeText}, and a {format.Word} table {limit}. Convert each data set by itself, or give the "
                + "voxel size.")
            { Missing = MissingFact.VoxelSize };
        }
    }

    /// <summary>
    /// Refuses a table some of whose rows give the size of their pixels and others none, where the volume's
    /// voxel size makes different binnings of them.
    /// </summary>
    private static void RefuseSomeWithoutSize(string path, CoordinateTable table, CoordinateContext context)
    {
        if (context.Binning > 0 || table.Particles.All(p => p.Pixels.PerVoxel == 1))
            return;
        int without = table.Particles.Count(p => p.Pixels.SizeAngstrom <= 0);
        if (without > 0 && without < table.Particles.Count)
            throw new InputException($"{path}: {without} of {Counted.Of(table.Particles.Count, "particle")} "
                + $"{(without == 1 ? "does" : "do")} not say the size of {(without == 1 ? "its" : "their")} pixels, and the "
                + "others do. Complete the table, or say how many of its pixels make a voxel.")
            { Missing = MissingFact.Binning };
    }

    /// <summary>
    /// The tomogram of rows that name none, where others of their table do; null where all rows or none name
    /// theirs.
    /// </summary>
    /// <param name="path">The table.</param>
    /// <param name="names">The tomogram of each row; null where it names none.</param>
    /// <param name="context">What the table does not say.</param>
    /// <exception cref="InputException">It is not told: the rows could belong to any of the
    /// tomograms.</exception>
    internal static string? NameOfUnnamed(string path, IReadOnlyCollection<string?> names, CoordinateContext context)
    {
        int without = names.Count(name => name is null);
        return without == 0 || without == names.Count ? null
            : context.NameOfUnnamed ?? throw new InputException($"{path}: {without} of {Counted.Of(names.Count, "particle")} "
                + $"{(without == 1 ? "does" : "do")} not name a tomogram, and the others do; expected a name in every row or in "
                + "none. Name their tomogram.")
            { Missing = MissingFact.TomogramName };
    }

    /// <summary>
    /// Refuses coordinates that are fractions of the tomogram: several places that all lie within the first
    /// pixel are no pixels, nor are one or two without a whole number.
    /// </summary>
    private static void RefuseFractions(string path, CoordinateTable table)
    {
        const int several = 3;
        const double rounding = 1e-9;
        static double[] Coordinates(Particle p) => [p.Pixels.ToPixel(p.Z), p.Pixels.ToPixel(p.Y), p.Pixels.ToPixel(p.X)];
        // A place in Å is no fraction of a tomogram, and one marker may lie in the first voxel.
        bool inAngstrom = table.Format is CoordinateFormat.Copick or CoordinateFormat.ChimeraX or CoordinateFormat.Relion5;
        static bool IsFraction(double c) => Math.Abs(c - Math.Round(c)) > rounding;
        if (table.Particles.Count > 0
            && table.Particles.All(p => Coordinates(p).All(c => c is >= -rounding and <= 1 + rounding))
            && (table.Particles.Count >= several ? table.Particles.Any(p => Coordinates(p).Any(IsFraction))
                : !inAngstrom && table.Particles.All(p => Coordinates(p).All(IsFraction))))
        {
            string all = table.Particles.Count == 1 ? "its particle lies" : $"all {table.Particles.Count} particles lie";
            throw new InputException($"{path}: {all} between 0 and 1 along every axis. "
                + "These are no pixels, but probably fractions of the tomogram, as Warp's template matching writes them. "
                + "Multiply them by the tomogram's size in voxels.");
        }
    }

    /// <summary>
    /// Refuses particles of other tomograms than the one volume that was given. Numbers are no names.
    /// </summary>
    /// <param name="path">The table.</param>
    /// <param name="particles">Its particles.</param>
    /// <param name="volume">The volume's file.</param>
    /// <exception cref="InputException">A particle's tomogram has another name.</exception>
    internal static void RefuseOtherVolume(string path, IReadOnlyList<Particle> particles, string volume)
    {
        if (particles.Select(p => p.Tomogram).Distinct().FirstOrDefault(
            name => name is not null && !name.All(char.IsAsciiDigit) && !TomogramNames.AreSame(name, volume)) is { } other)
            throw new InputException($"{path}: has particles of tomogram {InputFile.Quote(other)}, but the volume is {volume}; "
                + "expected the same name. Give that tomogram's volume, rename the volume, or give only the particles of "
                + $"{InputFile.Quote(TomogramNames.Of(volume))}.");
    }

    /// <summary>
    /// Refuses particles whose centre lies outside a volume, that is, beyond the outer faces of its voxels.
    /// </summary>
    /// <param name="path">The table's name, for the message.</param>
    /// <param name="particles">Coordinates in voxels of the volume.</param>
    /// <param name="shape">The volume's size.</param>
    /// <exception cref="InputException">One lies outside; the message names the first and says how
    /// many.</exception>
    public static void CheckInside(string path, IReadOnlyList<Particle> particles, Extent shape)
    {
        ArgumentNullException.ThrowIfNull(particles);
        int outside = particles.Count(p => !IsInside(p, shape));
        if (outside == 0)
            return;
        Particle first = particles.First(p => !IsInside(p, shape));
        string place = FormattableString.Invariant($"(z, y, x) = ({first.Z:0.##}, {first.Y:0.##}, {first.X:0.##})");
        throw new InputException(
            $"{path}: {outside} of {Counted.Of(particles.Count, "centre")} outside the volume of {shape} voxels, the first at "
            + $"{place}. Check the binning, the voxel size, the axis order, and whether the table counts in voxels, not in Å.");
    }

    /// <summary>
    /// Whether a particle's centre lies in a volume, that is, in −0.5 to size − 0.5 along every axis.
    /// </summary>
    public static bool IsInside(Particle particle, Extent shape)
    {
        ArgumentNullException.ThrowIfNull(particle);
        return IsInside(particle.Z, particle.Y, particle.X, shape);
    }

    /// <summary>The same of a place in voxels.</summary>
    public static bool IsInside(double z, double y, double x, Extent shape)
        => IsWithin(z, shape.Depth) && IsWithin(y, shape.Height) && IsWithin(x, shape.Width);

    internal static InputException NoSuchTomogram(string path, string wanted, IEnumerable<string> names)
        => new($"{path}: has no particles of tomogram {InputFile.Quote(wanted)}; it names "
            + $"{string.Join(", ", names.Distinct().Take(5).Select(InputFile.Quote))}.");

    private static bool IsWithin(double coordinate, int size) => coordinate >= -0.5 && coordinate <= size - 0.5;
}
