using System.CommandLine;
using System.Diagnostics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Picks particles in volumes.</summary>
internal sealed class PickVerb(Session session) : Verb(session)
{
    private readonly Argument<string[]> volumes = Parse.Files("VOLUMES", $"Tomograms ({VolumeFiles.EndingsText}): files, folders and patterns.", ArgumentArity.ZeroOrMore);
    private readonly Option<string?> model = Parse.Text("--model", "FILE", "The model that 'train' wrote.", required: true);
    private readonly Option<string?> output = Parse.Text("--out", "FILE|DIR", $"Table of picks ({string.Join(", ", CoordinateFormats.Endings)}). A folder gets a table for each volume.");
    private readonly Option<bool> overwrite = new("--overwrite") { Description = "Pick again where the output exists; it is skipped otherwise." };
    private readonly Option<CoordinateFormat?> format = Parse.Choice(
        "--format", "Format of the tables: pixels of the volume (relion3, warp, dynamo, …), unbinned pixels (relion4, eman2) or Å (relion5, copick). Default: that of the name's ending, relion3 for .star and folders.", CoordinateFormats.Words);
    private readonly Option<string?> onlyClass = Parse.Text("--class", "NAME", "Pick this class only, of a model that was trained with --classes. Default: all, each with its number and name in the table.");
    private readonly Option<PickMethod?> method = Parse.Choice<PickMethod>("--method", "mean-shift: every voxel above the threshold moves to its mode. local-maxima: voxels that no neighbour exceeds. components: connected voxels. Default: mean-shift.");
    private readonly Option<double?> threshold = Parse.Real("--threshold", "Voxels count whose score is above this fraction of the scores that the model knows (of the map's maximum, where it does not say). Default: 0.3; --suggest finds a better one.", 0, 0.999999);
    private readonly Option<double?> absolute = Parse.Real("--threshold-absolute", "The same as a score, for models trained with Dice and volumes that may be empty.", 0);
    private readonly Option<double?> bandwidth = Parse.Real("--bandwidth", "Radius of the mean shift's ball in voxels. Default: that of the model's training.", MeanShiftOptions.MinimumBandwidthVoxels, MeanShiftOptions.MaximumBandwidthVoxels);
    private readonly Option<double?> mergeDistance = Parse.Real("--merge-distance", "What arrives within this distance of a stronger place belongs to it, in voxels. Default: 1.5 times the bandwidth; just below the shortest distance of particles is best.", 1e-3);
    private readonly Option<double?> mergeBasins = Parse.Real("--merge-basins", "Places up to three bandwidths apart are one particle where the score map between them stays above this fraction of the lower of their peaks; 0: never. Default: 0.", 0, 1);
    private readonly Option<double?> minimumDistance = Parse.Real("--min-distance", "Of two picks nearer than this the one with the lower score is dropped, in voxels. Default: 0.", 0);
    private readonly Option<double?> minimumSupport = Parse.Real("--min-support", "Picks whose summed score is below this fraction of the best one's are dropped: lower where particles differ much in size, higher where all are alike. Default: 0.05.", 0, 1);
    private readonly Option<int> minimumVoxels = Parse.Integer("--min-voxels", "Picks of fewer voxels are dropped.", 1, 1, int.MaxValue);
    private readonly Option<bool> overlapping = new("--overlapping-classes") { Description = "Keep picks of several classes at one place. Default: the class with the highest score has the place, the JSON names the runner-up." };
    private readonly Option<int> iterations = Parse.Integer("--max-iterations", "Most mean-shift iterations.", 60, 1, 100_000);
    private readonly Option<string?> mask = Parse.Text("--mask", "FILE", "MRC file of the volume's size: picks only where it is above 0, and computes only there.");
    private readonly Option<string?> scoreMap = Parse.Text("--score-map", "FILE|DIR", "Write the score map (.mrc); with several volumes a folder.");
    private readonly Option<int> memory = Parse.Integer("--memory", "Memory for the whole process in MiB; larger volumes are cut into smaller tiles with the same result.", 2048, 1, int.MaxValue);
    private readonly Option<string?> shard = Shard.Option("Pick every Nth volume from the Ith on (I from 1 to N), for N processes or a Slurm array. Needs a folder as output.");
    private readonly Option<string?> suggest = Parse.Text("--suggest", "FILE", "Instead of picking: try thresholds and minimum supports on the validation volumes of this data set's manifest and print the best.");
    private readonly Option<double?> radius = Parse.Real("--radius", "Hit radius of --suggest in voxels. Default: half the bandwidth.", 1e-3);
    private readonly Option<RelionCentre?> centre = Parse.Choice<RelionCentre>("--relion5-centre", "The point that RELION 5 coordinates count from: size/2, as its C++ programs take it, or one less, as its Python pickers do. Default: half-size.");
    private readonly Option<double?> voxelSize = Parse.Real("--voxel-size", "Voxel size in Å. Default: the volume's header.", 1e-6, 1e6);
    private readonly Option<string?> tomograms = Parse.Text("--tomograms", "FILE", "RELION's tomograms.star: sizes, pixel sizes and names of tomograms, for tables of relion5. Default: the one beside --out or VOLUMES, if there is one.");
    private readonly Option<string?> tomogramName = Parse.Text("--tomogram-name", "NAME", "The tomogram's name in the table of one volume. Default: the file's name without endings and what programs add (TS_01 of TS_01_rec.mrc).");
    private readonly Option<double?> binning = Parse.Real("--binning", "How often the volume was binned: tables count in unbinned pixels. Default: 1.", 1e-6);

    public override string Name => "pick";

    public override string Summary => "Finds particles in tomograms.";

    protected override string Description =>
        "Finds particles in tomograms: predicts a score map, shifts every voxel above the threshold to its mode, and merges what arrives at the same place. " +
        "Volumes may be larger than the memory; what exists is not computed again. Of several volumes one that cannot be picked does not stop the others: it is named at the end, with exit code 1.";

    public override string Example => "meanshift-gpu pick tomograms/ --model run/model.safetensors --out picks/";

    public override IReadOnlyList<OptionGroup> Groups =>
    [
        new(OptionGroup.Data, volumes, model, output, overwrite, format, mask, scoreMap, tomogramName, tomograms, voxelSize, binning, centre),
        new(OptionGroup.Particle, onlyClass, bandwidth, mergeDistance, mergeBasins, minimumDistance, minimumSupport, minimumVoxels, overlapping),
        new("Threshold", threshold, absolute, suggest, radius),
        new(OptionGroup.Device, [memory, .. DeviceSymbols, shard]),
        new(OptionGroup.Advanced, method, iterations),
    ];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => fact switch
    {
        MissingFact.VoxelSize => options.GetValue(suggest) is null ? voxelSize.Name : VoxelSizeInManifest,
        MissingFact.Format => format.Name,
        MissingFact.Memory => memory.Name,
        MissingFact.Threshold => absolute.Name,
        _ => null,
    };

    protected override ExitCode Run(ParseResult options)
    {
        if (options.GetValue(suggest) is { } manifest)
            return Suggest(options, manifest);
        if (options.GetValue(radius) is not null)
            throw new InputException("pick: --radius is the hit radius of --suggest; leave it out, or see --merge-distance and --min-distance.");
        VolumeFiles found = VolumeFiles.Find(options.GetValue(volumes) ?? []);
        string[] all = [.. found.Paths];
        if (all.Length == 0)
            throw new InputException("pick: no volume was given. Give files, a folder or a pattern.");
        if (found.LeftOut.Count > 0)
            Session.Line($"left out, masks or score maps by their names: {Counted.Of(found.LeftOut.Count, "file")}, for example {Path.GetFileName(found.LeftOut[0])}");
        string target = options.GetValue(output) ?? throw new InputException("pick: '--out' is required: a table (.star, .csv, …) or a folder.");
        string? tomogramsStar = options.GetValue(tomograms);
        if (tomogramsStar is null && options.GetValue(format) == CoordinateFormat.Relion5 && (tomogramsStar = DatasetFiles.TomogramsBeside(all.Prepend(target))) is { } beside)
            Session.Line($"found {beside}; {tomograms.Name} names another one");
        PickOutputs outputs = new()
        {
            Target = target,
            Model = options.GetValue(model)!,
            GivenFormat = options.GetValue(format),
            ScoreMap = options.GetValue(scoreMap),
            Mask = options.GetValue(mask),
            Overwrite = options.GetValue(overwrite),
            Others = JsonFile(options),
            Volumes = all,
            Records = Records,
            Command = CommandOf(options),
            Settings = SettingsOf(options),
            TomogramName = options.GetValue(tomogramName),
            Context = new CoordinateContext
            {
                Centre = options.GetValue(centre) ?? RelionCentre.HalfSize,
                VoxelSizeAngstrom = options.GetValue(voxelSize) ?? 0,
                Binning = options.GetValue(binning) ?? 0,
                TomogramsStar = tomogramsStar,
            },
        };
        string[] paths = all;
        if (Shard.Of(options.GetValue(shard)) is { } part)
        {
            if (outputs.Single)
                throw new InputException("pick: --shard needs a folder as --out: the processes cannot write one table together.");
            paths = part.Of(all);
            Session.Line($"shard {part.Index} of {part.Count}: {paths.Length} of {Counted.Of(all.Length, "volume")}");
        }

        outputs.Prepare(all);
        PickFiles[] files = [.. paths.Select(p => outputs.FilesOf(p, all.Length))];
        if (Array.TrueForAll(files, outputs.IsDone))
        {
            WriteJson(options, new { outputs.Model, Output = outputs.Target, Volumes = files.Select(f => PickReport.Skip(Session, f)).ToArray() }, outputs.Inputs(paths));
            return ExitCode.Done;
        }

        // What can be seen in a header is found out before the volumes ahead of it are computed.
        PickFailures failures = new(Session, e => Explained(options, e), paths.Length == 1);
        MrcHeader?[] headers = new MrcHeader?[paths.Length];
        for (int i = 0; i < paths.Length; i++)
        {
            failures.Guard(files[i], () =>
            {
                MrcHeader header = Session.ReadHeader(paths[i]);
                PickReport.CheckIsVolume(paths[i], header);
                outputs.Check(files[i], header);
                headers[i] = header;
            });
        }

        outputs.CheckTogether([.. headers.OfType<MrcHeader>()]);
        using GpuContext context = OpenDevice(options);
        outputs.Device = context.Description;
        using TomogramPicker picker = OpenPicker(options, context);
        if (picker.Classes.Count > 1 && outputs.ScoreMap is not null)
            throw new InputException($"--score-map: the model has a map for each of {picker.Classes.Count} classes ({string.Join(", ", picker.Classes.Select(c => c.Label))}); choose one with --class.");
        for (int i = 0; i < paths.Length; i++)
        {
            if (headers[i] is { } header && !outputs.IsDone(files[i]) && !failures.Guard(files[i], () => picker.PlanFor(header.Shape, new PickRequest { ScoreMapFile = files[i].Map })))
                headers[i] = null;
        }

        List<PickedVolume> picked = [];
        List<object> report = [];
        for (int i = 0; i < paths.Length; i++)
        {
            if (headers[i] is not { } header)
                continue;
            if (!outputs.Single && outputs.IsDone(files[i]))
            {
                report.Add(PickReport.Skip(Session, files[i]));
                continue;
            }

            PickResult? result = null;
            if (!failures.Guard(files[i], () => result = PickReport.Pick(Session, picker, files[i], outputs.Mask, options.GetValue(voxelSize), options.GetValue(overlapping))))
                continue;
            picked.Add(new PickedVolume(files[i], header, new VolumePicks(files[i].Name, result!.Picks)));
            report.Add(PickReport.Summary(files[i], header, result));
            if (!outputs.Single)
                outputs.WriteTable(picked[^1]);
        }

        if (outputs.Single && picked.Count > 0)
            outputs.WriteTable(picked);
        using Process process = Process.GetCurrentProcess();
        Session.Line($"peak memory {process.PeakWorkingSet64 >> 20} MiB");
        failures.Say(paths.Length);
        WriteJson(options, new { outputs.Model, Output = outputs.Target, Device = context.Description, picker.Options, PeakMemoryBytes = process.PeakWorkingSet64, Volumes = report.Concat(failures.Summaries) }, outputs.Inputs(picked.Select(p => p.Files.Volume)));
        return failures.Count == 0 ? ExitCode.Done : failures.Count == paths.Length ? ExitCode.BadInput : ExitCode.CheckFailed;
    }

    /// <summary>The options that decide about the picks, as they were given; what names files, where it runs and what is reported does not.</summary>
    private string SettingsOf(ParseResult options)
    {
        Option[] decide = [onlyClass, method, threshold, absolute, bandwidth, mergeDistance, mergeBasins, minimumDistance, minimumSupport, minimumVoxels, overlapping, iterations, format, tomogramName, centre, voxelSize, binning];
        return string.Join(' ', decide.Select(options.GetResult).Where(r => r is { Implicit: false }).Select(r => $"{r!.Option.Name} {string.Join(' ', r.Tokens.Select(t => t.Value))}".TrimEnd()));
    }

    private TomogramPicker OpenPicker(ParseResult options, GpuContext context)
    {
        string path = options.GetValue(model)!;
        TomogramPicker picker = TomogramPicker.Open(context, path, meanShift => Settings(options, meanShift), options.GetValue(onlyClass));
        picker.MemoryLimitBytes = (long)options.GetValue(memory) << 20;
        if (picker.Description is null)
            Session.Warn($"{path}: weights without a description of their training; the bandwidth and weighting are the defaults. Give the model that 'train' wrote, not its checkpoint.");
        return picker;
    }

    private ExitCode Suggest(ParseResult options, string manifestPath)
    {
        if (options.GetValue(volumes) is { Length: > 0 } || options.GetValue(output) is not null)
            throw new InputException("pick: --suggest picks in the data set's validation volumes and writes no table; leave the volumes and --out out.");
        if (options.GetValue(absolute) is not null)
            throw new InputException("pick: --suggest tries fractions of the maximum; leave --threshold-absolute out.");
        if (((Option[])[threshold, overwrite, format, mask, scoreMap, shard, tomogramName, tomograms, centre, voxelSize, binning]).FirstOrDefault(o => options.GetResult(o) is { Implicit: false }) is { } idle)
            throw new InputException($"pick: --suggest has no use for {idle.Name}; leave it out.");
        DatasetVolume[] entries = [.. DatasetManifest.Read(manifestPath).Of(DatasetSplit.Validation)];
        if (entries.Length == 0)
            throw new InputException($"{manifestPath}: no volume has \"split\": \"validation\"; --suggest needs at least one.");

        string[] inputs = [manifestPath, options.GetValue(model)!, .. entries.SelectMany(e => (string[])[e.Volume, e.Coordinates])];
        OutputFolder.RefuseReplacing(JsonFile(options), inputs);
        using GpuContext context = OpenDevice(options);
        using TomogramPicker picker = OpenPicker(options, context);
        if (picker.Classes.Count > 1)
            throw new InputException($"pick: --suggest finds the threshold of one class; choose one of {string.Join(", ", picker.Classes.Select(c => c.Label))} with --class.");
        PickOptions picking = picker.Classes[0].Options;
        double hit = options.GetValue(radius) ?? picking.BandwidthVoxels / 2;
        ThresholdSweep sweep = new(picker, picking, options.GetValue(minimumSupport) is null ? ThresholdSweep.Supports : [picking.MinimumSupportFraction]);
        WriteJson(options, PickReport.Suggest(Session, sweep, entries, hit, options.GetValue(model)!), inputs);
        return ExitCode.Done;
    }

    private PickOptions Settings(ParseResult options, MeanShiftOptions meanShift)
    {
        if (options.GetValue(threshold) is not null && options.GetValue(absolute) is not null)
            throw new InputException("pick: --threshold and --threshold-absolute exclude each other; give one.");
        PickOptions defaults = new();
        return defaults with
        {
            Method = options.GetValue(method) ?? defaults.Method,
            ThresholdKind = options.GetValue(absolute) is null ? ThresholdKind.FractionOfMaximum : ThresholdKind.Absolute,
            Threshold = (float)(options.GetValue(absolute) ?? options.GetValue(threshold) ?? defaults.Threshold),
            BandwidthVoxels = (float)(options.GetValue(bandwidth) ?? meanShift.BandwidthVoxels),
            MergeDistanceVoxels = (float?)options.GetValue(mergeDistance),
            BasinFraction = (float)(options.GetValue(mergeBasins) ?? 0),
            MinimumDistanceVoxels = (float)(options.GetValue(minimumDistance) ?? defaults.MinimumDistanceVoxels),
            MinimumSupportFraction = (float)(options.GetValue(minimumSupport) ?? defaults.MinimumSupportFraction),
            MinimumVoxels = options.GetValue(minimumVoxels),
            MaximumIterations = options.GetValue(iterations),
        };
    }
}
