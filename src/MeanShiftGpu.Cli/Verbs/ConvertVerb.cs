using System.CommandLine;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Turns tables of coordinates of one program into those of another.</summary>
internal sealed class ConvertVerb(Session session) : Verb(session)
{
    private readonly Argument<string> input = new("IN")
    {
        Description = "A table of coordinates "
        + $"({string.Join(", ", CoordinateFormats.Endings)}), or a folder of such."
    };
    private readonly Option<string?> output = Parse.Text("--out", "FILE|DIR", "The table; a folder gets a table for each "
        + "tomogram, as copick, EMAN2, SHREC and .coords files need with several.", required: true);
    private readonly Option<CoordinateFormat?> from = Parse.Choice("--from", "Format of the input. Default: by its name and "
        + "content.", CoordinateFormats.Words);
    private readonly Option<CoordinateFormat?> to = Parse.Choice("--to", "Format of the output. Default: that of the input, if "
        + "the ending allows it; else that of the ending, relion3 for .star.", CoordinateFormats.Words);
    private readonly Option<string?> volume = Parse.Text("--volume", "FILE", "The tomogram (MRC) that the coordinates belong "
        + "to: gives voxel size, size, and a name where the input has none.");
    private readonly Option<Extent?> volumeSize = Parse.Size("--volume-size", "The tomogram's size in voxels, for relion5 and "
        + "eman2, which count from its centre. Default: that of --volume.");
    private readonly Option<double?> voxelSize = Parse.Real("--voxel-size", "The tomogram's voxel size in Å. Default: that of "
        + "--volume, or of the input's pixels.", 1e-6);
    private readonly Option<double?> binning = Parse.Real("--binning", "How many unbinned pixels make a voxel of the tomogram: "
        + "relion4, relion5 and eman2 count in unbinned pixels. Default: from the pixel sizes, or 1.", 1e-6);
    private readonly Option<double?> fromBinning = Parse.Real("--from-binning", "How many pixels of the input make a voxel, "
        + "for other formats with unbinned pixels.", 1e-6);
    private readonly Option<double?> toBinning = Parse.Real("--to-binning", "How many pixels of the output make a voxel.", 1e-6);
    private readonly Option<RelionCentre?> fromCentre = Parse.Choice<RelionCentre>("--from-centre", "The point that RELION 5 "
        + "coordinates of the input count from: size/2, as its C++ programs take it, or one less, as its Python pickers do. "
        + "Default: half-size.");
    private readonly Option<RelionCentre?> toCentre = Parse.Choice<RelionCentre>("--to-centre", "The point that RELION 5 "
        + "coordinates of the output count from. Default: half-size.");
    private readonly Option<string?> tomograms = Parse.Text("--tomograms", "FILE", "RELION's tomograms.star: sizes and pixel "
        + "sizes of tomograms by name, for relion5.");
    private readonly Option<string?> tomogram = Parse.Text("--tomogram", "NAME", "Convert the particles of this tomogram only.");
    private readonly Option<string?> tomogramName = Parse.Text("--tomogram-name", "NAME", "The tomogram's name for particles "
        + "without one. Default: that of --volume.");
    private readonly Option<string?> objectName = Parse.Text("--object", "NAME", "What the particles are (copick, EMAN2, "
        + "SHREC), where the input does not say.");
    private readonly Option<double?> minimumScore = Parse.Real("--min-score",
        "Keep the particles with this score or a higher one.");
    private readonly Option<int?> top = Parse.Integer("--top", "Keep so many particles of each tomogram, those with the "
        + "highest scores.", 1, int.MaxValue);
    private readonly Option<string[]> classes = Parse.Texts("--class", "NAME",
        "Keep the particles of these classes, by name or number.");
    private readonly Option<string?> inside = Parse.Text("--inside", "FILE|DIR",
        "Keep the particles where this mask (MRC) is above 0; a folder has a mask for each tomogram, TS_01.mrc or "
        + "TS_01_mask.mrc.");
    private readonly Option<double?> minimumDistance = Parse.Real("--min-distance",
        "Of two particles of a tomogram nearer than this leave out the one with the lower score, in voxels.", 0);

    public override string Name => "convert";

    public override string Summary => "Converts tables of coordinates between programs.";

    protected override string Description =>
        "Converts tables of coordinates between RELION 3, 4 and 5, Warp, Dynamo, EM motive lists, DeepFinder, EMAN2, copick, "
            + "SHREC and plain columns, and to and from ChimeraX, IMOD and napari: "
        + "origins, pixels, binning with its half pixel, angles, scores and classes. Keeps only the particles that are asked "
            + "for.";

    public override string Example => "meanshift-gpu convert particles.star --out particles.tbl --voxel-size 10.48";

    protected override bool UsesDevice => false;

    protected override IEnumerable<Symbol> Symbols =>
        [input, output, from, to, volume, volumeSize, voxelSize, binning, fromBinning, toBinning, fromCentre, toCentre,
            tomograms, tomogram, tomogramName, objectName,
            minimumScore, top, classes, inside, minimumDistance];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => fact switch
    {
        MissingFact.VoxelSize => options.GetValue(volume) is null ? $"{voxelSize.Name} or {volume.Name}" : voxelSize.Name,
        MissingFact.VolumeSize => $"{volume.Name} or {volumeSize.Name}; relion5: or {tomograms.Name}",
        MissingFact.Binning => fromBinning.Name,
        MissingFact.TomogramName => $"{tomogramName.Name} or {volume.Name}",
        _ => to.Name,
    };

    protected override IEnumerable<Symbol> Reads => [input, volume, tomograms, inside];

    protected override IEnumerable<Symbol> Writes => [output];

    protected override ExitCode Run(ParseResult options)
    {
        string[] read = [.. new[] { options.GetRequiredValue(input), options.GetValue(volume), options.GetValue(tomograms),
            options.GetValue(inside) }.OfType<string>()];
        IReadOnlyList<string> tables = CoordinateConversion.TablesOf(read[0]);
        Files.Read(tables);
        Files.Write(output.Name, options.GetValue(output)!, CoordinateConversion.RecordedAs(options.GetValue(output)!));
        RefuseIdle(options);
        MrcHeader? header = options.GetValue(volume) is { } path ? Session.ReadHeader(path) : null;
        ConversionResult result = CoordinateConversion.Convert(
            options.GetRequiredValue(input), options.GetValue(output)!, new ConversionOptions
            {
                From = options.GetValue(from),
                To = options.GetValue(to),
                VoxelSizeAngstrom = options.GetValue(voxelSize) ?? header?.VoxelSize.CubeAngstrom ?? 0,
                VoxelSizeProblem = header?.VoxelSize.ProblemOf(options.GetValue(volume)!),
                Shape = options.GetValue(volumeSize) ?? header?.Shape,
                Binning = options.GetValue(binning) ?? 0,
                FromBinning = options.GetValue(fromBinning) ?? 0,
                ToBinning = options.GetValue(toBinning) ?? 0,
                FromCentre = options.GetValue(fromCentre) ?? RelionCentre.HalfSize,
                ToCentre = options.GetValue(toCentre) ?? RelionCentre.HalfSize,
                TomogramsStar = options.GetValue(tomograms),
                Volume = options.GetValue(volume),
                Tomogram = options.GetValue(tomogram),
                TomogramName = options.GetValue(tomogramName) ?? (
                options.GetValue(volume) is { } named ? TomogramNames.Of(named) : null),
                ObjectName = options.GetValue(objectName),
                Filter = new ParticleFilter
                {
                    MinimumScore = options.GetValue(minimumScore),
                    Top = options.GetValue(top),
                    Classes = options.GetValue(classes) ?? [],
                    Inside = options.GetValue(inside),
                    MinimumDistanceVoxels = options.GetValue(minimumDistance) ?? 0,
                },
            });
        Provenance made = Made(options,
            [.. tables, .. options.GetValue(tomograms) is { } sizes ? (string[])[sizes] : [], .. result.Masks]);
        WriteRecord(options.GetValue(output)!, result, made);
        if (header is null && result.From != result.To)
            MapOrigin.SayAssumed(Session, [result.From, result.To], volume);
        WriteJson(
            options, ConvertReport.Say(Session, read[0], options.GetValue(output)!, result,
                options.GetValue(volumeSize) ?? header?.Shape), [.. made.Inputs.Select(i => i.File)]);
        return ExitCode.Done;
    }

    private void RefuseIdle(ParseResult options)
    {
        CoordinateFormat[] read = [.. IdleOptions.Of([options.GetRequiredValue(input)], options.GetValue(from))];
        // Of a folder the format must be named, which is asked for later.
        CoordinateFormat[] written = options.GetValue(to) is { } named ? [named]
            : CoordinateFormats.Endings.Contains(Path.GetExtension(options.GetValue(output)!).ToLowerInvariant())
                ? [CoordinateFormats.ForWriting(options.GetValue(output)!, read is [var kept] ? kept : null)] : [];
        if (written.Length == 0)
            return;
        new IdleOptions(options, Name, [
            .. read.Where(_ => options.GetValue(fromBinning) is null), .. written.Where(_ => options.GetValue(toBinning) is null),
        ]).Refuse(binning, CoordinateFormats.CountsUnbinnedPixels, $", or give {fromBinning.Name} or {toBinning.Name}");
        new IdleOptions(options, Name, read).Refuse(fromCentre, IdleOptions.CountsFromCentre);
        new IdleOptions(options, Name, written).Refuse(toCentre, IdleOptions.CountsFromCentre);
        new IdleOptions(options, Name, [.. read, .. written]).Refuse(tomograms, CoordinateFormats.UsesTomogramsStar);
    }

    // A folder has one record of all its tables; what pick has left beside one of them is no longer true.
    private static void WriteRecord(string target, ConversionResult result, Provenance made)
    {
        if (result.Files is [var only] && only == target)
        {
            made.Write(target);
            return;
        }

        foreach (string table in result.Files)
            File.Delete(table + Provenance.Ending);
        made.Write(CoordinateConversion.RecordedAs(target));
    }
}
