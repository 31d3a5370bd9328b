using System.CommandLine;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Makes a data set of a public benchmark's files.</summary>
internal sealed class ImportVerb(Session session) : Verb(session)
{
    private const string Shrec2021 = "shrec2021";
    private const string Empiar10045 = "empiar10045";

    private readonly Argument<string> layout =
        new("LAYOUT") { HelpName = $"{Shrec2021}|{Empiar10045}", Description = "Which data set." };
    private readonly Argument<string> source = new("SOURCE")
    {
        Description = "SHREC 2021: the folder that holds model_0, "
        + "model_1 and so on. EMPIAR-10045: the tomogram (MRC)."
    };
    private readonly Option<string?> output = Parse.Text("--out", "DIR", "Folder for manifest.json, which 'train' reads, and "
        + "for patches.", required: true);
    private readonly Option<bool> overwrite = new("--overwrite") { Description = "Replace the data set that is in --out." };
    private readonly Option<Extent?> patch = Parse.Size("--patch", "Cut the volumes into patches of this size, as the paper "
        + "does. Default: whole volumes (SHREC 2021), 56 (EMPIAR-10045).");
    private readonly Option<string?> coordinates = Parse.Text("--coordinates", "FILE", "EMPIAR-10045: the deposited centres "
        + "(.coords), in unbinned pixels.");
    private readonly Option<int> averaging = Parse.Integer("--average", "EMPIAR-10045: bin the tomogram first by averaging "
        + "blocks of so many voxels along each edge; 8 for an unbinned one.", 1, 1, 64);
    private readonly Option<double?> binning = Parse.Real("--binning", "EMPIAR-10045: how many unbinned pixels make a voxel "
        + $"of the tomogram, after --average. Default: {Empiar10045Dataset.PaperBinning}.", 1e-6);
    private readonly Option<double?> maskRadius = Parse.Real("--mask-radius", "EMPIAR-10045: radius in voxels of the balls "
        + "that are the masks. Default: 4.", 0.5);
    private readonly Option<bool> sparse = new("--sparse")
    {
        Description = "EMPIAR-10045: one random centre in each patch for "
        + "training and validation."
    };
    private readonly Option<int> seed = Parse.Integer("--seed", "Seed of the random choice.", 1, int.MinValue, int.MaxValue);

    public override string Name => "import";

    public override string Summary => "Makes a data set of public data: SHREC 2021, EMPIAR-10045.";

    protected override string Description =>
        "Makes a data set of public data with the split of the mean-shift loss paper. SHREC 2021: models 0 to 5 for training, "
        + "6 and 7 for validation, the others for testing; all proteins are one class; vesicles and fiducials are left out. "
        + "EMPIAR-10045: patches in scan order, 70 % for training, 15 % "
        + "for validation.";

    public override string Example => "meanshift-gpu import shrec2021 shrec2021_full --out shrec";

    protected override bool UsesDevice => false;

    protected override IEnumerable<Symbol> Symbols
        => [layout, source, output, overwrite, patch, coordinates, averaging, binning, maskRadius, sparse, seed];

    protected override IEnumerable<Symbol> Reads => [source, coordinates];

    protected override IEnumerable<Symbol> Writes => [output];

    protected override ExitCode Run(ParseResult options)
    {
        string folder = options.GetValue(output)!;
        OutputFolder.Prepare(folder);
        Files.Write(output.Name, Path.Combine(folder, DatasetManifest.UsualName));
        RefuseReplacing(folder, options.GetValue(overwrite), DatasetManifest.UsualName);
        DatasetManifest manifest = options.GetRequiredValue(layout) switch
        {
            Shrec2021 => Shrec(options, folder),
            Empiar10045 => Empiar(options, folder),
            string other => throw new InputException($"import: '{other}' is not "
                + $"known.{ParseProblem.Nearest(other, [Shrec2021, Empiar10045])} Expected {Shrec2021} or {Empiar10045}."),
        };
        Files.Read(manifest.Volumes.SelectMany(v => (string?[])[v.Volume, v.Coordinates, v.Mask]).OfType<string>());
        Made(options, options.GetValue(coordinates) is { } centres ? [centres] : []).Write(
            Path.Combine(folder, DatasetManifest.UsualName));
        int Count(DatasetSplit split) => manifest.Of(split).Count();
        Session.Line($"{Path.Combine(folder, DatasetManifest.UsualName)}: {Counted.Of(manifest.Volumes.Count, "volume")}, "
            + $"{Count(DatasetSplit.Train)} for training, {Count(DatasetSplit.Validation)} for validation, "
            + $"{Count(DatasetSplit.Test)} for testing");
        WriteJson(options, new
        {
            Manifest = Path.Combine(folder, DatasetManifest.UsualName),
            Volumes = manifest.Volumes.Select(v => new { v.Volume, v.Coordinates, v.Mask, v.MaskAbove, v.Split }),
        });
        return ExitCode.Done;
    }

    private DatasetManifest Shrec(ParseResult options, string folder)
    {
        if (options.GetValue(coordinates) is not null || options.GetValue(sparse))
            throw new InputException($"import: --coordinates and --sparse are for {Empiar10045}; SHREC 2021's folders hold "
                + "their centres.");
        DatasetManifest models = ShrecDataset.Import(options.GetRequiredValue(source));
        if (options.GetValue(patch) is not { } size)
        {
            models.Write(Path.Combine(folder, DatasetManifest.UsualName));
            return models;
        }

        DatasetManifest manifest = models;
        Session.Progress("cutting patches", report => manifest = ShrecDataset.WritePatches(
            models,
            folder,
            size,
            (done, total) => report((double)done / total, $"{done} of {Counted.Of(total, "model")}"),
            Cancellation));
        return manifest;
    }

    private DatasetManifest Empiar(ParseResult options, string folder)
        => Empiar10045Dataset.Write(
            options.GetRequiredValue(source),
            options.GetValue(coordinates) ?? throw new InputException("import: empiar10045 needs --coordinates with the "
                + "deposited centres."),
            folder,
            options.GetValue(averaging),
            options.GetValue(binning) ?? Empiar10045Dataset.PaperBinning,
            new PatchDatasetOptions
            {
                Patch = options.GetValue(patch) ?? new Extent(56, 56, 56),
                MaskRadiusVoxels = options.GetValue(maskRadius) ?? 4,
                OneCenter = options.GetValue(sparse),
                Seed = options.GetValue(seed),
            },
            Cancellation);
}
