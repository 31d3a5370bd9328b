using System.CommandLine;
using System.Diagnostics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Picks particles in volumes.</summary>
internal sealed class PickVerb(Session session) : Verb(session)
{
    private readonly Argument<string[]> volumes = Parse.Files("VOLUME", "MRC files (.mrc, .rec, .map, also .gz and .bz2).", ArgumentArity.ZeroOrMore);
    private readonly Option<string?> model = Parse.Text("--model", "FILE", "The model that 'train' wrote.", required: true);
    private readonly Option<string?> output = Parse.Text("--out", "FILE|DIR", $"Table of picks ({string.Join(", ", CoordinateFormats.Endings)}). A folder gets a table for each volume.");
    private readonly Option<bool> overwrite = new("--overwrite") { Description = "Pick again where the output exists; it is skipped otherwise." };
    private readonly Option<CoordinateFormat?> format = Parse.Choice(
        "--format", "Format of the tables: pixels of the volume (relion3, warp, dynamo, …), unbinned pixels (relion4, eman2) or Å (relion5, copick). Default: that of the name's ending, relion3 for .star and folders.", CoordinateFormats.Words);
    private readonly Option<string?> onlyClass = Parse.Text("--class", "NAME", "Pick this class only, of a model that was trained with --classes. Default: all, each with its number and name in the table.");
    private readonly Option<PickMethod?> method = Parse.Choice<PickMethod>("--method", "mean-shift: every voxel above the threshold moves to its mode. local-maxima: voxels that no neighbour exceeds. components: connected voxels. Default: mean-shift.");
    private readonly Option<double?> threshold = Parse.Real("--threshold", "Voxels count whose score is above this fraction of the map's maximum. Default: 0.3; --suggest finds a better one.", 0, 0.999999);
    private readonly Option<double?> absolute = Parse.Real("--threshold-absolute", "The same as a score, for models trained with Dice and volumes that may be empty.", 0);
    private readonly Option<double?> bandwidth = Parse.Real("--bandwidth", "Radius of the mean shift's ball in voxels. Default: that of the training.", MeanShiftOptions.MinimumBandwidthVoxels, MeanShiftOptions.MaximumBandwidthVoxels);
    private readonly Option<double?> mergeDistance = Parse.Real("--merge-distance", "What arrives within this distance of a stronger place belongs to it, in voxels. Default: 1.5 times the bandwidth; just below the shortest distance of particles is best.", 1e-3);
    private readonly Option<double?> minimumDistance = Parse.Real("--min-distance", "Of two picks nearer than this the one with the lower score is dropped, in voxels. Default: 0.", 0);
    private readonly Option<double?> minimumSupport = Parse.Real("--min-support", "Picks whose summed score is below this fraction of the best one's are dropped: lower where particles differ much in size, higher where all are alike. Default: 0.05.", 0, 1);
    private readonly Option<int> minimumVoxels = Parse.Integer("--min-voxels", "Picks of fewer voxels are dropped.", 1, 1, int.MaxValue);
    private readonly Option<int> iterations = Parse.Integer("--max-iterations", "Most mean-shift iterations.", 60, 1, 100_000);
    private readonly Option<string?> mask = Parse.Text("--mask", "FILE", "MRC file of the volume's size: picks only where it is above 0, and computes only there.");
    private readonly Option<string?> scoreMap = Parse.Text("--score-map", "FILE|DIR", "Write the score map (.mrc); with several volumes a folder.");
    private readonly Option<int> memory = Parse.Integer("--memory", "Memory for the whole process in MiB; larger volumes are cut into smaller tiles with the same result.", 2048, 1, int.MaxValue);
    private readonly Option<string?> shard = Parse.Text("--shard", "I/N", "Pick every Nth volume from the Ith on (I from 1 to N), for N processes or a Slurm array. Needs a folder as output.");
    private readonly Option<string?> suggest = Parse.Text("--suggest", "FILE", "Instead of picking: try thresholds and minimum supports on the validation volumes of this data set's manifest and print the best.");
    private readonly Option<double?> radius = Parse.Real("--radius", "Hit radius of --suggest in voxels. Default: half the bandwidth.", 1e-3);
    private readonly Option<RelionCentre?> centre = Parse.Choice<RelionCentre>("--relion5-centre", "The point that RELION 5 coordinates count from: size/2, as its C++ programs take it, or one less, as its Python pickers do. Default: half-size.");
    private readonly Option<double?> voxelSize = Parse.Real("--voxel-size", "Voxel size in Å. Default: the volume's header.", 1e-6, 1e6);
    private readonly Option<double?> binning = Parse.Real("--binning", "How often the volume was binned: tables count in unbinned pixels. Default: 1.", 1e-6);

    public override string Name => "pick";

    protected override string Description =>
        "Finds particles in tomograms: predicts a score map, shifts every voxel above the threshold to its mode, and merges what arrives at the same place. " +
        "Volumes may be larger than the memory; what exists is not computed again.";

    public override string Example => "meanshift-gpu pick tomogram.mrc --model run/model.safetensors --out picks.star --score-map scores.mrc";

    public override IReadOnlyList<OptionGroup> Groups =>
    [
        new(OptionGroup.Data, volumes, model, output, overwrite, format, mask, scoreMap, voxelSize, binning, centre),
        new(OptionGroup.Particle, onlyClass, bandwidth, mergeDistance, minimumDistance, minimumSupport, minimumVoxels),
        new("Threshold", threshold, absolute, suggest, radius),
        new(OptionGroup.Device, [memory, .. DeviceSymbols, shard]),
        new(OptionGroup.Advanced, method, iterations),
    ];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => fact switch
    {
        MissingFact.VoxelSize => options.GetValue(suggest) is null ? voxelSize.Name : VoxelSizeInManifest,
        MissingFact.Format => format.Name,
        MissingFact.Memory => memory.Name,
        _ => null,
    };

    protected override ExitCode Run(ParseResult options)
    {
        if (options.GetValue(suggest) is { } manifest)
            return Suggest(options, manifest);
        if (options.GetValue(radius) is not null)
            throw new InputException("pick: --radius is the hit radius of --suggest; leave it out, or see --merge-distance and --min-distance.");
        string[] all = options.GetValue(volumes) ?? [];
        if (all.Length == 0)
            throw new InputException("pick: no volume was given. Give one or several MRC files.");
        PickOutputs outputs = new()
        {
            Target = options.GetValue(output) ?? throw new InputException("pick: '--out' is required: a table (.star, .csv, …) or a folder."),
            Model = options.GetValue(model)!,
            GivenFormat = options.GetValue(format),
            ScoreMap = options.GetValue(scoreMap),
            Mask = options.GetValue(mask),
            Overwrite = options.GetValue(overwrite),
            Context = new CoordinateContext
            {
                Centre = options.GetValue(centre) ?? RelionCentre.HalfSize,
                VoxelSizeAngstrom = options.GetValue(voxelSize) ?? 0,
                Binning = options.GetValue(binning) ?? 1,
            },
        };
        string[] paths = all;
        if (options.GetValue(shard) is { } part)
        {
            paths = outputs.Shard(part, all, out int index, out int count);
            Session.Line($"shard {index} of {count}: {paths.Length} of {Counted.Of(all.Length, "volume")}");
        }

        outputs.Prepare(all);
        PickFiles[] files = [.. paths.Select(p => outputs.FilesOf(p, all.Length))];
        if (Array.TrueForAll(files, outputs.IsDone))
        {
            WriteJson(options, new { outputs.Model, Output = outputs.Target, Volumes = files.Select(f => Skip(outputs, f)).ToArray() });
            return ExitCode.Done;
        }

        MrcHeader[] headers = [.. paths.Select(MrcFile.ReadHeader)];
        for (int i = 0; i < paths.Length; i++)
            CheckIsVolume(paths[i], headers[i]);
        outputs.Check(files, headers);

        using GpuContext context = OpenDevice(options);
        using TomogramPicker picker = OpenPicker(options, context);
        if (picker.Classes.Count > 1 && outputs.ScoreMap is not null)
            throw new InputException($"--score-map: the model has a map for each of {picker.Classes.Count} classes ({string.Join(", ", picker.Classes.Select(c => c.Label))}); choose one with --class.");
        // What does not fit the memory is refused before the volumes ahead of it are computed.
        for (int i = 0; i < paths.Length; i++)
        {
            if (!outputs.IsDone(files[i]))
                picker.PlanFor(new Extent(headers[i].Shape.Depth, headers[i].Shape.Height, headers[i].Shape.Width), new PickRequest { ScoreMapFile = files[i].Map });
        }

        List<VolumePicks> found = [];
        List<object> report = [];
        for (int i = 0; i < paths.Length; i++)
        {
            if (!outputs.Single && outputs.IsDone(files[i]))
            {
                report.Add(Skip(outputs, files[i]));
                continue;
            }

            PickResult result = Pick(options, picker, files[i]);
            report.Add(Summary(files[i], headers[i], result));
            found.Add(new VolumePicks(files[i].Name, result.Picks));
            if (!outputs.Single)
                outputs.WriteTable(files[i], found[^1], headers[i]);
        }

        if (outputs.Single)
            outputs.WriteTable(files, found, headers);
        using Process process = Process.GetCurrentProcess();
        Session.Line($"peak memory {process.PeakWorkingSet64 >> 20} MiB");
        WriteJson(options, new { outputs.Model, Output = outputs.Target, Device = context.Description, picker.Options, PeakMemoryBytes = process.PeakWorkingSet64, Volumes = report });
        return ExitCode.Done;
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

    private PickResult Pick(ParseResult options, TomogramPicker picker, PickFiles files)
    {
        using MrcReader volume = MrcReader.Open(files.Volume, Cancellation);
        string? maskPath = options.GetValue(mask);
        using MrcReader? region = maskPath is null ? null : MrcReader.Open(maskPath, Cancellation);
        PickRequest request = new()
        {
            Name = files.Volume,
            VoxelSizeAngstrom = options.GetValue(voxelSize),
            Mask = region,
            MaskName = maskPath ?? "",
            ScoreMapFile = files.Map,
            ScratchFolder = PickOutputs.FolderOf(files.Table),
            Planned = plan => Session.Line($"{files.Name}: {volume.Size} voxels, {plan}"),
            Warned = warning => Session.Warn($"{(warning.Class is { } kind ? Title(files, picker, kind) : files.Volume)}: {warning.Fact} {RemedyFor(warning)}"),
        };
        PickResult result = null!;
        Session.Progress(files.Name, report => result = picker.Pick(volume, request with { Progress = progress => Say(progress, report) }, Cancellation));
        foreach (ClassPicks part in result.Classes)
            Session.Line($"{Title(files, picker, part.Class)}: {Counted.Of(part.Picks.Count, "pick")} from {Counted.Of(part.StartVoxels, "voxel")} above the threshold, clustering {part.ClusteringSeconds:0.0} s, scores up to {part.MaximumScore:0.000}");
        Session.Line(
            $"{files.Name}: {Counted.Of(result.Plan.Tiles.Count, "tile")}, {result.Seconds:0.0} s (network {result.Prediction.ForwardSeconds:0.0}, score map{(result.Classes.Count == 1 ? "" : "s")} {result.Prediction.Seconds:0.0})");
        return result;
    }

    private static string Title(PickFiles files, TomogramPicker picker, PickedClass kind) => picker.Classes.Count > 1 ? $"{files.Name}, {kind.Label}" : files.Name;

    // The library does not know which option it is.
    private static string RemedyFor(PickWarning warning) => warning.Kind switch
    {
        PickWarningKind.NoRoom => "Is this the right volume, or --bandwidth too large?",
        PickWarningKind.NoPick when warning.Class!.Options.ThresholdKind == ThresholdKind.Absolute => "Lower --threshold-absolute.",
        _ => warning.Remedy,
    };

    // The time is estimated from the first block, and better with every other.
    private static void Say(PredictionProgress progress, Action<double, string> report)
        => report(progress.Share, $"tile {Math.Min(progress.TilesDone + 1, progress.Tiles)} of {progress.Tiles}{(progress.Share < 1 ? $", about {Duration(progress.Remaining)} left" : "")}");

    private static object Summary(PickFiles files, MrcHeader header, PickResult result) => new
    {
        files.Volume,
        files.Name,
        Size = new[] { header.Shape.Depth, header.Shape.Height, header.Shape.Width },
        result.VoxelSizeAngstrom,
        Tiles = result.Plan.Tiles.Count,
        result.Prediction.TilesComputed,
        result.Plan.Overlap,
        PlannedMemoryBytes = result.Plan.TotalBytes,
        result.Seconds,
        ScoreMapSeconds = result.Prediction.Seconds,
        result.Prediction.ForwardSeconds,
        ScoreMap = files.Map,
        Maps = result.Classes.Select(c => new { Class = c.Class.Number, ClassName = c.Class.Name, c.ClusteringSeconds, c.MaximumScore, c.StartVoxels }),
        Picks = result.Picks.Select(p => new { p.Z, p.Y, p.X, p.Score, p.Class, p.ClassName, p.Support, p.Voxels, p.Spread, p.Moved, p.AtBorder }),
    };

    // Says that a volume has been picked, and whether it should be again.
    private object Skip(PickOutputs outputs, PickFiles files)
    {
        Session.Line($"{files.Name}: {files.Table} exists, skipped; --overwrite picks again");
        DateTime made = File.GetLastWriteTimeUtc(files.Table);
        foreach (string input in (string[])[files.Volume, outputs.Model])
        {
            if (File.Exists(input) && File.GetLastWriteTimeUtc(input) > made)
                Session.Warn($"{files.Table}: is older than {input}; --overwrite picks again.");
        }

        return new { files.Volume, files.Name, Skipped = true, files.Table };
    }

    private ExitCode Suggest(ParseResult options, string manifestPath)
    {
        if (options.GetValue(volumes) is { Length: > 0 } || options.GetValue(output) is not null)
            throw new InputException("pick: --suggest picks in the data set's validation volumes and writes no table; leave the volumes and --out out.");
        if (options.GetValue(absolute) is not null)
            throw new InputException("pick: --suggest tries fractions of the maximum; leave --threshold-absolute out.");
        if (((Option[])[threshold, overwrite, format, mask, scoreMap, shard, centre, voxelSize, binning]).FirstOrDefault(o => options.GetResult(o) is { Implicit: false }) is { } idle)
            throw new InputException($"pick: --suggest has no use for {idle.Name}; leave it out.");
        DatasetVolume[] entries = [.. DatasetManifest.Read(manifestPath).Of(DatasetSplit.Validation)];
        if (entries.Length == 0)
            throw new InputException($"{manifestPath}: no volume has \"split\": \"validation\"; --suggest needs at least one.");

        using GpuContext context = OpenDevice(options);
        using TomogramPicker picker = OpenPicker(options, context);
        if (picker.Classes.Count > 1)
            throw new InputException($"pick: --suggest finds the threshold of one class; choose one of {string.Join(", ", picker.Classes.Select(c => c.Label))} with --class.");
        PickOptions picking = picker.Classes[0].Options;
        double hit = options.GetValue(radius) ?? picking.BandwidthVoxels / 2;
        ThresholdSweep sweep = new(picker, picking, options.GetValue(minimumSupport) is null ? ThresholdSweep.Supports : [picking.MinimumSupportFraction]);
        int truth = 0;
        foreach (DatasetVolume entry in entries)
            Session.Progress(TomogramNames.Of(entry.Volume), report => truth += sweep.Add(entry, progress => Say(progress, report), Cancellation));

        IReadOnlyList<ThresholdScore> scores = sweep.Scores(hit);
        ThresholdScore best = ThresholdSweep.Best(scores);
        // Of each threshold the best support; the file has them all.
        Session.Table(
            ["threshold", "min support", "picks", "precision", "recall", "F1"],
            scores.GroupBy(s => s.Threshold).Select(g => g.Contains(best) ? best : ThresholdSweep.Best(g)).Select(s => (string[])[
                $"{s.Threshold:0.00}{(s == best ? " *" : "")}", $"{s.MinimumSupport:0.00}", $"{s.Picks}", $"{s.Precision:0.000}", $"{s.Recall:0.000}", $"{s.F1:0.000}"]));
        Session.Line(
            $"best: --threshold {best.Threshold:0.00} --min-support {best.MinimumSupport:0.00} (F1 {best.F1:0.000} one-to-one within {hit:0.##} voxels, {Counted.Of(truth, "centre")} in {Counted.Of(entries.Length, "validation volume")})");
        WriteJson(options, new { Model = options.GetValue(model), RadiusVoxels = hit, Centers = truth, Volumes = entries.Length, Best = best.Threshold, BestMinimumSupport = best.MinimumSupport, Thresholds = scores });
        return ExitCode.Done;
    }

    private PickOptions Settings(ParseResult options, MeanShiftOptions meanShift)
    {
        if (options.GetValue(threshold) is not null && options.GetValue(absolute) is not null)
            throw new InputException("pick: --threshold and --threshold-absolute exclude each other; give one.");
        PickOptions defaults = new();
        PickOptions picking = defaults with
        {
            Method = options.GetValue(method) ?? defaults.Method,
            ThresholdKind = options.GetValue(absolute) is null ? ThresholdKind.FractionOfMaximum : ThresholdKind.Absolute,
            Threshold = (float)(options.GetValue(absolute) ?? options.GetValue(threshold) ?? defaults.Threshold),
            BandwidthVoxels = (float)(options.GetValue(bandwidth) ?? meanShift.BandwidthVoxels),
            MergeDistanceVoxels = (float?)options.GetValue(mergeDistance),
            MinimumDistanceVoxels = (float)(options.GetValue(minimumDistance) ?? defaults.MinimumDistanceVoxels),
            MinimumSupportFraction = (float)(options.GetValue(minimumSupport) ?? defaults.MinimumSupportFraction),
            MinimumVoxels = options.GetValue(minimumVoxels),
            MaximumIterations = options.GetValue(iterations),
        };
        picking.Validate();
        return picking;
    }

    // The ending is a choice of whoever wrote the file; the header alone is not always right.
    private void CheckIsVolume(string path, MrcHeader header)
    {
        if (path.EndsWith(".mrcs", StringComparison.OrdinalIgnoreCase))
            throw new InputException($"{path}: is by its name a stack of {header.Sections} images, as of a tilt series, not a volume. Reconstruct the tomogram first, or rename it to .mrc where it is one.");
        if (header.IsImageStack)
            Session.Warn($"{path}: is by its header a stack of {header.Sections} images (space group 0, one interval along z), as of a tilt series; picks mean nothing unless it is a volume all the same.");
    }

    private static string Duration(TimeSpan time)
        => time.TotalHours >= 1 ? $"{(int)time.TotalHours}:{time.Minutes:00} h" : time.TotalMinutes >= 1 ? $"{time.Minutes}:{time.Seconds:00} min" : $"{time.TotalSeconds:0.0} s";
}
