using System.CommandLine;
using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Files;
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
    private readonly Option<CoordinateFormat?> to = Parse.Choice("--to", "Format of the output. Default: that of its ending, "
        + "relion3 for .star.", CoordinateFormats.Words);
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
    private readonly Option<double?> toBinning = Parse.Real("--to-binning", "The same of the output.", 1e-6);
    private readonly Option<RelionCentre?> fromCentre = Parse.Choice<RelionCentre>("--from-centre", "The point that RELION 5 "
        + "coordinates of the input count from: size/2, as its C++ programs take it, or one less, as its Python pickers do. "
        + "Default: half-size.");
    private readonly Option<RelionCentre?> toCentre = Parse.Choice<RelionCentre>("--to-centre", "The same of the output. "
        + "Default: half-size.");
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

    protected override ExitCode Run(ParseResult options)
    {
        string[] read = [.. new[] { options.GetRequiredValue(input), options.GetValue(volume), options.GetValue(tomograms),
            options.GetValue(inside) }.OfType<string>()];
        IReadOnlyList<string> tables = CoordinateConversion.TablesOf(read[0]);
        OutputFolder.RefuseReplacing([options.GetValue(output)!, .. JsonFile(options)], [.. read, .. tables]);
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
        Report(options, result, options.GetValue(volumeSize) ?? header?.Shape, [.. made.Inputs.Select(i => i.File)]);
        return ExitCode.Done;
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
        made.Write(Path.Combine(target, "convert"));
    }

    private void Report(ParseResult options, ConversionResult result, Extent? shape, string[] inputs)
    {
        string?[] names = [.. result.Particles.Select(p => p.Tomogram).Distinct()];
        string target = options.GetValue(output)!;
        double[] voxels = [.. result.ToPixels.Select(g => g.VoxelSizeAngstrom)];
        string counts = $"{Counted.Of(result.Particles.Count, "particle")} of {Counted.Of(names.Length, "tomogram")}";
        string formats = $"{CoordinateFormats.Word(result.From)} to {CoordinateFormats.Word(result.To)}";
        string sizes = voxels.Any(v => v > 0) ? $"voxels of {Numbers(voxels)} Å" : "voxel size unknown";
        string from = Numbers(result.FromPixels.Select(g => g.PerVoxel)), to = Numbers(result.ToPixels.Select(g => g.PerVoxel));
        Session.Line($"{target}: {counts}, {formats}; {sizes}, pixels per voxel: input {from}, output {to}");
        if (result.LeftOut > 0)
            Session.Line($"{target}: {Counted.Of(result.LeftOut, "particle")} left out, {result.Particles.Count} kept");
        if (result.Particles.Any(p => p.Score is not null) && !CoordinateFormats.HoldsScores(result.To))
            Session.Warn($"{target}: {CoordinateFormats.Word(result.To)} tables have no scores; they were left out.");
        if (result.Particles.Any(p => p.Orientation is not null) && !CoordinateFormats.HoldsAngles(result.To))
            Session.Warn($"{target}: {CoordinateFormats.Word(result.To)} tables have no angles; they were left out.");
        if (result.Files is not [var only] || only != target)
        {
            const int most = 5;
            IEnumerable<string> inFiles = CoordinateFolder.NamesInFiles(result.To, result.Particles);
            string[] unsafeNames = [.. inFiles.Where(n => SafeName.Of(n) != n)];
            foreach (string name in unsafeNames.Take(most))
            {
                string said = InputFile.Quote(name);
                Session.Warn($"{target}: {said} cannot be the name of a file; the file's has '{SafeName.Of(name)}' for it.");
            }

            if (unsafeNames.Length > most)
                Session.Warn($"{target}: {unsafeNames.Length - most} more names cannot be those of files, and were changed.");
        }

        int outside = shape is { } known ? result.Particles.Count(p => !CoordinateTables.IsInside(p, known)) : 0;
        if (outside > 0)
            Session.Warn($"{options.GetRequiredValue(input)}: {outside} of {Counted.Of(result.Particles.Count, "centre")} "
                + $"outside the volume of {shape}. Check the binning, the voxel size and the format.");
        WriteJson(options, new
        {
            result.From,
            result.To,
            result.Files,
            Particles = result.Particles.Count,
            result.LeftOut,
            Tomograms = names,
            VoxelSizeAngstrom = One(voxels),
            FromBinning = One(result.FromPixels.Select(g => g.PerVoxel)),
            ToBinning = One(result.ToPixels.Select(g => g.PerVoxel)),
            OutsideVolume = shape is null ? (int?)null : outside,
        }, inputs);
    }

    /// <summary>A number that is the same for all rows, to nine digits; null where rows differ.</summary>
    private static double? One(IEnumerable<double> values) => Different(values) is [var one] ? one : null;

    private static string Numbers(IEnumerable<double> values)
    {
        const int most = 4;
        double[] different = Different(values);
        string text = string.Join(" and ", different.Take(most).Select(v => v.ToString("0.####", CultureInfo.InvariantCulture)));
        return different.Length > most ? $"{text} and {different.Length - most} others" : text;
    }

    private static double[] Different(IEnumerable<double> values)
        => [.. values.Select(v => double.Round(v, 9)).Distinct().DefaultIfEmpty(0)];
}
