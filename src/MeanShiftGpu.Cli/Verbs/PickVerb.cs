using System.CommandLine;
using System.Diagnostics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Picks particles in volumes.</summary>
internal sealed class PickVerb(Session session) : Verb(session)
{
    private readonly PickSettings settings = new();
    private readonly PickModels models = new();
    private readonly PickSuggest suggestion = new();
    private readonly Option<string?> output = Parse.Text("--out", "FILE|DIR", "Table of picks "
        + $"({string.Join(", ", CoordinateFormats.Endings)}). A folder gets a table for each volume.");
    private readonly Option<bool> overwrite =
        new("--overwrite") { Description = "Pick again where a table is; otherwise one made alike is skipped, another refused." };
    private readonly Option<CoordinateFormat?> format = Parse.Choice(
        "--format", "Format of the tables: pixels of the volume (relion3, warp, dynamo, …), unbinned pixels (relion4, eman2) "
        + "or Å (relion5, copick). Default: that of the name's ending, relion3 for .star and folders.", CoordinateFormats.Words);
    private readonly Option<string?> mask = Parse.Text("--mask", "FILE|DIR",
        "MRC file of the volume's size: picks only where it is above 0, and computes only there. A folder has a mask for each "
        + "volume, TS_01.mrc or TS_01_mask.mrc.");
    private readonly Option<string?> scoreMap = Parse.Text("--score-map", "FILE|DIR", "Write the score map (.mrc); with "
        + "several volumes a folder.");
    private readonly Option<string?> reportPage = PickPage.Option();
    private readonly Option<int> memory = Parse.Integer("--memory", "Memory for the whole process in MiB; larger volumes are "
        + "cut into smaller tiles with the same result.", 2048, 1, int.MaxValue);
    private readonly Option<string?> shard = Shard.Option("Pick every Nth volume from the Ith on, for N processes or a Slurm "
        + "array. I counts from 1; in an array as the array does. Needs a folder as output.");
    private readonly Option<string?> merge = Parse.Text(MergeName, "FILE", "Pick nothing: write one table of those that are "
        + "in --out, and name the volumes without one, with exit code 1.");
    private readonly Option<RelionCentre?> centre = Parse.Choice<RelionCentre>("--relion5-centre", "The point that RELION 5 "
        + "coordinates count from: size/2, as its C++ programs take it, or one less, as its Python pickers do. Default: "
        + "half-size.");
    private readonly Option<double?> voxelSize = Parse.Real(
        "--voxel-size", "Voxel size in Å. Default: the volume's header.", 1e-6, 1e6);
    private readonly Option<string?> tomograms = Parse.Text("--tomograms", "FILE", "RELION's tomograms.star: sizes, pixel "
        + "sizes and names of tomograms, for tables of relion5. Default: the one beside --out or VOLUMES, if there is one.");
    private readonly Option<string?> tomogramName = Parse.Text("--tomogram-name", "NAME", "The tomogram's name in the table of "
        + "one volume. Default: the file's name without endings and what programs add (TS_01 of TS_01_rec.mrc).");
    private readonly Option<double?> binning = Parse.Real("--binning", "How many unbinned pixels make a voxel of the "
        + "volume; tables then count in unbinned pixels. Default: 1.", 1e-6);

    /// <summary>The option with which it only puts tables together.</summary>
    public const string MergeName = "--merge";

    public override string Name => "pick";

    public override string Summary => "Finds particles in tomograms.";

    protected override string Description =>
        "Finds particles in tomograms: predicts a score map, shifts every voxel above the threshold to its mode, and merges "
        + "what arrives at the same place. Volumes may be larger than the memory; what exists is not computed again. Of several "
        + "volumes one that cannot be picked does not stop the others: it is named at the end, with exit code 1.";

    public override string Example => "meanshift-gpu pick tomograms/ --model run/model.safetensors --out picks/";

    public override IReadOnlyList<OptionGroup> Groups =>
    [
        new(OptionGroup.Data, models.Volumes, models.Model, models.Mirror, output, overwrite, format, mask, scoreMap, reportPage,
            tomogramName, tomograms, voxelSize, binning, centre),
        new(OptionGroup.Particle, [.. settings.OfParticles]),
        new("Threshold", settings.Threshold, settings.Absolute, suggestion.Manifest, suggestion.Radius, suggestion.Sparse),
        new(OptionGroup.Device, [memory, .. DeviceSymbols, shard, merge]),
        new(OptionGroup.Advanced, [.. settings.Advanced]),
    ];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => fact switch
    {
        MissingFact.VoxelSize => options.GetValue(suggestion.Manifest) is null ? voxelSize.Name : VoxelSizeInManifest,
        MissingFact.Format => format.Name,
        MissingFact.Memory => memory.Name,
        MissingFact.Threshold => settings.Absolute.Name,
        _ => null,
    };

    protected override IEnumerable<Symbol> Reads => [models.Volumes, models.Model, mask, tomograms, suggestion.Manifest];

    protected override IEnumerable<Symbol> Writes => [output, scoreMap, reportPage, merge];

    protected override ExitCode Run(ParseResult options)
    {
        if (options.GetValue(suggestion.Manifest) is { } manifest)
            return Suggest(options, manifest);
        suggestion.RefuseAlone(options);
        VolumeFiles found = VolumeFiles.Find(models.VolumesOf(options));
        string[] all = [.. found.Paths];
        if (all.Length == 0)
            throw new InputException("pick: no volume was given. Give files, a folder or a pattern.");
        if (found.LeftOut.Count > 0)
            Session.Line($"left out, masks or score maps by their names: {Counted.Of(found.LeftOut.Count, "file")}, for "
                + $"example {Path.GetFileName(found.LeftOut[0])}");
        string target = options.GetValue(output) ?? throw new InputException("pick: '--out' is required: a table (.star, .csv, "
            + "…) or a folder.");
        string? tomogramsStar =
            RelionSizes.Find(Session, options.GetValue(format), options.GetValue(tomograms), all.Prepend(target));
        CoordinateContext told = new()
        {
            Centre = options.GetValue(centre) ?? RelionCentre.HalfSize,
            VoxelSizeAngstrom = options.GetValue(voxelSize) ?? 0,
            Binning = options.GetValue(binning) ?? 0,
            TomogramsStar = tomogramsStar,
        };
        MaskFiles? masks = options.GetValue(mask) is { } given ? MaskFiles.Of(given) : null;
        PickRecords records = new()
        {
            Common = [.. models.ModelsOf(options),
                .. new[] { masks is { IsFolder: true } ? null : options.GetValue(mask), tomogramsStar }.OfType<string>()],
            MaskOf = masks is { IsFolder: true } ? volume => masks.Find(volume, volume) : null,
            Command = CommandOf(options),
            Settings = settings.TextOf(options, format, tomogramName, centre, voxelSize, binning, models.Mirror),
            Hashes = Records,
        };
        PickOutputs outputs = new()
        {
            Target = target,
            GivenFormat = options.GetValue(format),
            ScoreMap = options.GetValue(scoreMap),
            Masks = masks,
            Overwrite = options.GetValue(overwrite),
            Files = Files,
            Volumes = all,
            Records = records,
            TomogramName = options.GetValue(tomogramName),
            Context = told,
        };
        IdleOptions idle = new(options, Name, [outputs.Format]);
        idle.Refuse(centre, IdleOptions.CountsFromCentre);
        idle.Refuse(tomograms, CoordinateFormats.UsesTomogramsStar);
        if (options.GetValue(merge) is { } table)
            return PickMerge.Run(Session, outputs, table);
        string[] paths = Shard.Share(Session, options.GetValue(shard), all, intoFolder: !outputs.Single);
        string? page = PickPage.Check(options.GetValue(reportPage));
        outputs.Prepare(all);
        PickFiles[] files = [.. paths.Select(p => outputs.FilesOf(p, all.Length))];
        PickBatch batch = new(Session, outputs, files, e => Explained(options, e));
        if (batch.SkipAll())
        {
            if (page is not null)
                Session.Warn($"{page}: not written, as nothing was picked in this run. --overwrite picks again.");
            WriteJson(
                options, new { Model = models.NameOf(options), Output = target, Volumes = batch.Report }, records.Inputs(paths));
            return ExitCode.Done;
        }

        batch.ReadHeaders();
        RelionSizes.SayAssumed(Session, options.GetValue(format), told);
        using GpuContext context = OpenDevice(options);
        records.Device = context.Description;
        using TomogramPicker picker = models.Open(options, Session, context, settings, options.GetValue(memory));
        if (picker.Classes.Count > 1 && outputs.ScoreMap is not null)
            throw new InputException($"--score-map: the model has a map for each of {picker.Classes.Count} classes "
                + $"({string.Join(", ", picker.Classes.Select(c => c.Label))}); choose one with --class.");
        batch.Pick(picker, new PickRequest
        {
            VoxelSizeAngstrom = options.GetValue(voxelSize),
            OverlappingClasses = settings.Overlapping(options),
        });
        if (page is not null)
            PickPage.Write(page, batch.Picked, picker, records.Command, Session);
        using Process process = Process.GetCurrentProcess();
        long peak = process.PeakWorkingSet64;
        Session.Line($"peak memory {peak >> 20} MiB");
        WriteJson(
            options,
            new
            {
                Model = models.NameOf(options),
                Output = target,
                Device = context.Description,
                picker.Options,
                PeakMemoryBytes = peak,
                Volumes = batch.Report,
            },
            batch.Inputs);
        return batch.Code;
    }

    private ExitCode Suggest(ParseResult options, string manifestPath)
    {
        PickSuggest.RefuseOthers(
            options, models, settings, output, settings.Threshold, overwrite, format, mask, scoreMap, reportPage, shard,
            tomogramName, tomograms, centre, voxelSize, binning);
        IReadOnlyList<DatasetVolume> entries = PickSuggest.ValidationOf(manifestPath);
        string[] inputs =
            [manifestPath, .. models.ModelsOf(options), .. entries.SelectMany(e => (string[])[e.Volume, e.Coordinates])];
        Files.Read(inputs);
        using GpuContext context = OpenDevice(options);
        using TomogramPicker picker = models.Open(options, Session, context, settings, options.GetValue(memory));
        WriteJson(options, suggestion.Run(options, Session, picker, settings, entries, models.NameOf(options)), inputs);
        return ExitCode.Done;
    }
}
