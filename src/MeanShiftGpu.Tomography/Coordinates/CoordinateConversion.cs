using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates.Formats;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>
/// What a conversion must be told where the tables do not say it. Coordinates are those of one volume, or of
/// several alike.
/// </summary>
public sealed record ConversionOptions
{
    /// <summary>The input's format; null to take it from its name and content.</summary>
    public CoordinateFormat? From { get; init; }

    /// <summary>The output's format; null for that of its name.</summary>
    public CoordinateFormat? To { get; init; }

    /// <summary>The volume's voxel size in Å; 0 to take it from the input.</summary>
    public double VoxelSizeAngstrom { get; init; }

    /// <summary>
    /// Why the volume has no one voxel size (see <see cref="VoxelSize.ProblemOf"/>), where a table needs one;
    /// null where it is merely unknown.
    /// </summary>
    public string? VoxelSizeProblem { get; init; }

    /// <summary>The volume's size, for formats that count from the centre.</summary>
    public Extent? Shape { get; init; }

    /// <summary>
    /// How many unbinned pixels make a voxel of the volume; 0 to take it from the input. For formats that
    /// count in unbinned pixels.
    /// </summary>
    public double Binning { get; init; }

    /// <summary>
    /// How many of the input's pixels make a voxel, where that is not what its format says; 0 otherwise.
    /// </summary>
    public double FromBinning { get; init; }

    /// <summary>
    /// How many of the output's pixels make a voxel, where that is not what its format says; 0 otherwise.
    /// </summary>
    public double ToBinning { get; init; }

    /// <summary>The centre of RELION 5 coordinates that are read.</summary>
    public RelionCentre FromCentre { get; init; }

    /// <summary>The centre of RELION 5 coordinates that are written.</summary>
    public RelionCentre ToCentre { get; init; }

    /// <summary>RELION's tomograms.star, for the sizes of tomograms.</summary>
    public string? TomogramsStar { get; init; }

    /// <summary>
    /// The volume's file, where one was given: particles of a tomogram of another name are refused, as its
    /// size and origin are not theirs. Null otherwise.
    /// </summary>
    public string? Volume { get; init; }

    /// <summary>Convert the particles of this tomogram only.</summary>
    public string? Tomogram { get; init; }

    /// <summary>The tomogram's name, for particles without one.</summary>
    public string? TomogramName { get; init; }

    /// <summary>What the particles are, for formats with names and particles without one.</summary>
    public string? ObjectName { get; init; }

    /// <summary>Which particles are kept.</summary>
    public ParticleFilter Filter { get; init; } = new();
}

/// <summary>What was converted.</summary>
/// <param name="From">The input's format.</param>
/// <param name="To">The output's format.</param>
/// <param name="Particles">The particles, in voxels of the volume.</param>
/// <param name="FromPixels">The pixels that the input counts in; several where its rows differ.</param>
/// <param name="ToPixels">The pixels that the output counts in.</param>
/// <param name="Files">The tables written.</param>
public sealed record ConversionResult(
    CoordinateFormat From, CoordinateFormat To, IReadOnlyList<Particle> Particles, IReadOnlyList<PixelGrid> FromPixels,
        IReadOnlyList<PixelGrid> ToPixels, IReadOnlyList<string> Files)
{
    /// <summary>How many particles the filter left out.</summary>
    public int LeftOut { get; init; }

    /// <summary>The masks that it looked into.</summary>
    public IReadOnlyList<string> Masks { get; init; } = [];
}

/// <summary>Turns tables of coordinates of one format into those of another.</summary>
public static class CoordinateConversion
{
    /// <summary>
    /// Reads a table, or the tables of a folder, and writes a table, or a table for each tomogram into a
    /// folder.
    /// </summary>
    /// <param name="input">A file or a folder.</param>
    /// <param name="output">A file; a name without the ending of a table is a folder.</param>
    /// <param name="options">What the tables do not say.</param>
    /// <exception cref="InputException">A table cannot be read or written, what a format needs is not known,
    /// or what was told contradicts the table.</exception>
    public static ConversionResult Convert(string input, string output, ConversionOptions options)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(options);
        bool stream = output.Length > 0 && FilePlace.Of(output).IsStream;
        bool isTable = CoordinateFormats.Endings.Contains(Path.GetExtension(output).ToLowerInvariant());
        bool toFolder = !stream && (Directory.Exists(output) || !isTable);
        CoordinateFormat to = options.To ?? (toFolder
            ? throw new InputException(Directory.Exists(output)
                ? $"{output}: is a folder, which gets a table for each tomogram; name their format."
                : $"{output}: does not end like a table ({string.Join(", ", CoordinateFormats.Endings)}), so it would be a "
                    + "folder with a table for each tomogram; choose another name, or name their format.")
            { Missing = MissingFact.Format }
                        : CoordinateFormats.ForWriting(output, FormatOf(input, options)));

        if (!toFolder && !stream)
            CoordinateFormats.RefuseOtherEnding(output, to);
        IReadOnlyList<string> read = TablesOf(input);
        string[] written = toFolder ? [RecordedAs(output) + Provenance.Ending] : [.. CoordinateTables.FilesOf(output)];
        FileUses uses = FileUses.Current ?? new FileUses(CoordinateTables.FilesOf);
        uses.Read(read);
        uses.RefuseInputs(toFolder ? RecordedAs(output) : output);
        if (toFolder)
            OutputFolder.RefuseOutside(output, written);
        CoordinateTable table = Directory.Exists(input) ? ReadFolder(input, options) : ReadFile(input, options);
        if (options.Volume is { } volume)
            CoordinateTables.RefuseOtherVolume(input, table.Particles, volume);
        RefuseContradiction(input, table, options);
        RefuseIdle(input, table, to, options);
        int all = table.Particles.Count;
        string[] masks = options.Filter.Inside is { } inside
            ? [.. table.Particles.Select(p => p.Tomogram ?? options.TomogramName ?? "").Distinct()
                .Select(t => MaskFiles.Of(inside).Find(t, input))] : [];
        table = table with
        {
            Particles = (options.Filter with
            {
                VolumeShape = options.Shape,
                VolumeVoxelAngstrom = options.VoxelSizeAngstrom,
            }).Apply(input, table.Particles, options.TomogramName)
        };

        bool star = CoordinateFormats.IsStar(table.Format) && CoordinateFormats.IsStar(to);
        List<Particle> particles =
        [
            .. table.Particles.Select(p => p with
            {
                Name = p.Name ?? (p.Class is null ? options.ObjectName : null),
                // Columns of other formats mean nothing there.
                OtherColumns = star || table.Format == to ? p.OtherColumns : [],
            }),
        ];
        CoordinateWriteOptions writing = new()
        {
            Format = to,
            TomogramName = options.TomogramName,
            ObjectName = options.ObjectName,
            Template = star && File.Exists(input) && CoordinateFormats.CountsUnbinnedPixels(table.Format) == CoordinateFormats
                .CountsUnbinnedPixels(to) ? RelionStar.TemplateOf(input) : null,
            Context = new CoordinateContext
            {
                VoxelSizeAngstrom = options.VoxelSizeAngstrom,
                VoxelSizeProblem = options.VoxelSizeProblem,
                Binning =
                    options.ToBinning > 0 ? options.ToBinning : CoordinateFormats.CountsUnbinnedPixels(to) ? options.Binning : 0,
                Shape = options.Shape,
                Volume = options.Volume,
                MapOrigin = table.MapOrigin,
                Centre = options.ToCentre,
                TomogramsStar = options.TomogramsStar,
            },
        };
        IReadOnlyList<string> files = [output];
        if (toFolder)
            files = CoordinateFolder.Write(output, particles, writing, uses);
        else
            CoordinateTables.Write(output, particles, writing);
        return new ConversionResult(
            table.Format, to, particles, [.. particles.Select(p => p.Pixels).Distinct()],
                [.. particles.Select(p => writing.GridOf(output, p)).Distinct()], files)
        {
            LeftOut = all - particles.Count,
            Masks = masks,
        };
    }

    /// <summary>What a folder of tables is recorded as: its record is this with
    /// <see cref="Provenance.Ending"/>.</summary>
    public static string RecordedAs(string folder) => Path.Combine(folder, "convert");

    /// <summary>The tables that a name stands for: those of a folder, or itself.</summary>
    /// <exception cref="InputException">A folder cannot be read.</exception>
    public static IReadOnlyList<string> TablesOf(string input)
        => Directory.Exists(input) ? CoordinateFolder.Files(input) : [input];

    private static CoordinateFormat FormatOf(string input, ConversionOptions options)
    => options.From ?? (Directory.Exists(input) ? CoordinateFolder.FormatOf(input) : CoordinateFormats.Identify(input));

    private static CoordinateTable ReadFile(string input, ConversionOptions options)
        => CoordinateTables.ReadTable(input, Reading(FormatOf(input, options), options));

    private static CoordinateTable ReadFolder(string input, ConversionOptions options)
    {
        // Whether the binning counts depends on the format, which the first reading tells.
        CoordinateFormat format = FormatOf(input, options);

        IReadOnlyList<CoordinateTable> tables = CoordinateFolder.Read(input, Reading(format, options) with
        {
            Format = options.From,
        });
        if (tables.Select(t => t.MapOrigin).Distinct().Count() > 1 && options.To == CoordinateFormat.ChimeraX)
            throw new InputException($"{input}: its markers are of maps that begin at different places. Convert them one "
                + "by one.");
        return tables.All(t => t.Format == tables[0].Format)
            ? tables[0] with { Particles = [.. tables.SelectMany(t => t.Particles)] }
            : throw new InputException($"{input}: its tables differ in format. Convert them one by one.");
    }

    private static CoordinateContext Reading(CoordinateFormat format, ConversionOptions options) => new()
    {
        Format = format,
        VoxelSizeAngstrom = options.VoxelSizeAngstrom,
        VoxelSizeProblem = options.VoxelSizeProblem,
        Binning =
            options.FromBinning > 0 ? options.FromBinning : CoordinateFormats.CountsUnbinnedPixels(format) ? options.Binning : 0,
        Shape = options.Shape,
        Volume = options.Volume,
        Centre = options.FromCentre,
        TomogramsStar = options.TomogramsStar,
        Tomogram = options.Tomogram,
        NameOfUnnamed = options.TomogramName,
    };

    /// <summary>Refuses what was told and would change nothing of this table.</summary>
    private static void RefuseIdle(string input, CoordinateTable table, CoordinateFormat to, ConversionOptions options)
    {
        if (table.Particles.Count == 0)
            return;
        if (options.Tomogram is { } wanted && table.Particles.All(p => p.Tomogram is null))
            throw new InputException($"{input}: names no tomograms, so that the particles of {InputFile.Quote(wanted)} cannot be "
                + "chosen. Leave the tomogram out, if all of them are its particles.");
        // A volume's name is a default, which need not count; rows without a name have got this one by now.
        if (options.TomogramName is { } label && (options.Volume is null || label != TomogramNames.Of(options.Volume))
            && table.Particles.All(p => p.Tomogram is not null && p.Tomogram != label))
            throw new InputException($"{input}: names the tomogram of every particle, so that the name {InputFile.Quote(label)} "
                + "has no use. Leave it out.");
        // copick's files have one name for all.
        if (options.ObjectName is { } name && to != CoordinateFormat.Copick
            && table.Particles.All(p => p.Name is not null || p.Class is not null))
            throw new InputException($"{input}: says of every particle what it is, so that the name {InputFile.Quote(name)} has "
                + "no use. Leave it out.");
    }

    /// <summary>Refuses a voxel size that is not what pixel size and binning make.</summary>
    private static void RefuseContradiction(string input, CoordinateTable table, ConversionOptions options)
    {
        if (options.VoxelSizeAngstrom <= 0)
            return;
        foreach (PixelGrid pixels in table.Particles.Select(p => p.Pixels).Distinct().Where(g => g.SizeAngstrom > 0))
        {
            if (Math.Abs(pixels.VoxelSizeAngstrom - options.VoxelSizeAngstrom) > 0.01 * options.VoxelSizeAngstrom)
                throw new InputException(string.Create(CultureInfo.InvariantCulture, $"{input}: {pixels.PerVoxel:0.###} pixels "
                    + $"of {pixels.SizeText} make voxels of {pixels.VoxelSizeAngstrom:0.###} Å, not of "
                    + $"{options.VoxelSizeAngstrom:0.###} Å. Correct the binning or the voxel size."));
        }
    }
}
