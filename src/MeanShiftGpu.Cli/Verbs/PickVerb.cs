using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;

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

    protected override IEnumerable<Symbol> Symbols =>
    [
        volumes, model, output, overwrite, format, onlyClass, method, threshold, absolute, bandwidth, mergeDistance, minimumDistance, minimumSupport, minimumVoxels, iterations,
        mask, scoreMap, memory, shard, suggest, radius, centre, voxelSize, binning,
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
        string target = options.GetValue(output) ?? throw new InputException("pick: '--out' is required: a table (.star, .csv, …) or a folder.");
        bool single = CoordinateFormats.Endings.Contains(Path.GetExtension(target).ToLowerInvariant());
        RefuseEqualNames(all);
        string[] paths = Shard(options, all, single);
        PrepareOutput(options, target, single, all);
        PickFiles[] files = [.. paths.Select(p => FilesOf(options, p, target, single, all.Length))];
        if (Array.TrueForAll(files, f => IsDone(options, f)))
        {
            foreach (PickFiles done in files)
                SayDone(options, done);
            WriteJson(options, new { Model = options.GetValue(model), Output = target, Volumes = files.Select(Skipped) });
            return ExitCode.Done;
        }

        // Headers first: a damaged last volume must not be found out after the others took an hour.
        MrcHeader[] headers = [.. paths.Select(MrcFile.ReadHeader)];
        VolumeShape? region = options.GetValue(mask) is { } maskPath ? MrcFile.ReadHeader(maskPath).Shape : null;
        for (int i = 0; i < paths.Length; i++)
        {
            CheckIsVolume(paths[i], headers[i]);
            if (IsDone(options, files[i]))
                continue;
            if (region is { } masked && masked != headers[i].Shape)
                throw new InputException($"{options.GetValue(mask)}: the mask has {masked} voxels, {paths[i]} has {headers[i].Shape}; expected the same size.");
            CoordinateTables.CheckOptions(files[i].Table, WriteOptions(options, paths[i], headers[i]));
        }

        if (single)
            RefuseDifferentVolumes(options, target, headers);

        using GpuContext context = OpenDevice(options);
        (UNet3d<float> network, ModelDescription? description) = ModelFile.Load(context, options.GetValue(model)!);
        using (network)
        {
            if (description is null)
                Session.Warn($"{options.GetValue(model)}: weights without a description of their training; the bandwidth and weighting are the defaults. Give the model that 'train' wrote, not its checkpoint.");
            MeanShiftOptions meanShift = ModelFile.MeanShiftOf(description);
            PickOptions picking = Settings(options, meanShift);
            using TomogramPicker picker = new(network, meanShift, picking) { MemoryLimitBytes = (long)options.GetValue(memory) << 20 };
            PickedClass[] classes = Classes(options, network.Options, description);
            // What does not fit the memory is refused before the volumes ahead of it are computed.
            for (int i = 0; i < paths.Length; i++)
            {
                if (!IsDone(options, files[i]))
                    Plan(picker, SizeOf(headers[i]), files[i], classes.Length);
            }

            List<VolumePicks> found = [];
            List<object> report = [];
            for (int i = 0; i < paths.Length; i++)
            {
                if (!single && IsDone(options, files[i]))
                {
                    SayDone(options, files[i]);
                    report.Add(Skipped(files[i]));
                    continue;
                }

                (VolumePicks picks, object summary) = Pick(options, files[i], picker, classes, description);
                found.Add(picks);
                report.Add(summary);
                if (!single)
                    WriteTable(options, target, files[i], picks, headers[i]);
            }

            if (single)
                PickTable.Write(target, found, WriteOptions(options, paths[0], headers[0]));
            using Process process = Process.GetCurrentProcess();
            Session.Line($"peak memory {process.PeakWorkingSet64 >> 20} MiB");
            WriteJson(options, new { Model = options.GetValue(model), Output = target, Device = context.Description, Options = picking, PeakMemoryBytes = process.PeakWorkingSet64, Volumes = report });
        }

        return ExitCode.Done;
    }

    private (VolumePicks Picks, object Summary) Pick(
        ParseResult options, PickFiles files, TomogramPicker picker, PickedClass[] classes, ModelDescription? description)
    {
        Stopwatch clock = Stopwatch.StartNew();
        string path = files.Volume;
        using MrcReader volume = MrcReader.Open(path, Cancellation);
        Extent size = volume.Size;
        double voxel = options.GetValue(voxelSize) ?? volume.VoxelSize.CubeAngstrom;
        if (voxel == 0 && !volume.VoxelSize.IsCube)
            Session.Warn($"{path}: {NoCubes(volume.VoxelSize)}");
        if (description is { VoxelSizeAngstrom: > 0 } && voxel > 0 && Math.Abs(voxel / description.VoxelSizeAngstrom - 1) > 0.05)
            Session.Warn($"{path}: voxels of {voxel:0.##} Å, the model was trained at {description.VoxelSizeAngstrom:0.##} Å; expect worse picks unless the volume is rescaled.");
        foreach (PickedClass kind in classes)
            WarnOfNoRoom(path, size, Settings(options, kind.MeanShift));
        using MrcReader? region = OpenMask(options);
        VoxelStatistics statistics = VoxelStatistics.Measure(volume, path, Cancellation);
        if (statistics.Deviation == 0)
            Session.Warn($"{path}: every voxel has the same value, so picks mean nothing. Was the right volume given?");

        PickPlan plan = Plan(picker, size, files, classes.Length);
        bool inMemory = plan.ScoreMapBytes > 0;
        Session.Line($"{files.Name}: {size} voxels, {plan}");
        List<IDisposable> maps = [];
        try
        {
            foreach (PickedClass _ in classes)
            {
                maps.Add(inMemory ? new Volume(size.Depth, size.Height, size.Width)
                    : files.Map is null ? MrcWriter.CreateScratch(FolderOf(files.Table), size) : MrcWriter.Create(files.Map, size, volume.VoxelSize));
            }

            PredictionSummary predicted = Predict(files.Name, picker, plan, volume, statistics, [.. classes.Select((c, i) => new ScoreMap(c.Output, (IVoxelSink)maps[i]))], region);
            (IReadOnlyList<Pick> Picks, object Summary)[] parts = [.. classes.Select((c, i) => Cluster(
                options, picker, c, classes.Length > 1 ? $"{files.Name}, {c.Label}" : files.Name, (IVoxelSource)maps[i], predicted.Maxima[i], region))];
            if (files.Map is not null)
                ((MrcWriter)maps[0]).Complete();
            Session.Line(
                $"{files.Name}: {Counted.Of(plan.Tiles.Count, "tile")}, {clock.Elapsed.TotalSeconds:0.0} s (network {predicted.ForwardSeconds:0.0}, score map{(classes.Length == 1 ? "" : "s")} {predicted.Seconds:0.0})");
            object summary = new
            {
                Volume = path,
                files.Name,
                Size = new[] { size.Depth, size.Height, size.Width },
                VoxelSizeAngstrom = voxel,
                Tiles = plan.Tiles.Count,
                predicted.TilesComputed,
                plan.Overlap,
                PlannedMemoryBytes = plan.TotalBytes,
                Seconds = clock.Elapsed.TotalSeconds,
                ScoreMapSeconds = predicted.Seconds,
                predicted.ForwardSeconds,
                ScoreMap = files.Map,
                Maps = parts.Select(p => p.Summary),
                Picks = parts.SelectMany(p => p.Picks).Select(p => new { p.Z, p.Y, p.X, p.Score, p.Class, p.ClassName, p.Support, p.Voxels, p.Spread, p.Moved, p.AtBorder }),
            };
            return (new VolumePicks(files.Name, [.. parts.SelectMany(p => p.Picks)]), summary);
        }
        finally
        {
            maps.ForEach(m => m.Dispose());
        }
    }

    // Maps that the user wants are files at once; any others are kept in memory where that leaves enough for the network.
    private static PickPlan Plan(TomogramPicker picker, Extent size, PickFiles files, int maps)
        => picker.Plan(size, maps, files.Map is null && sizeof(float) * size.Voxels * maps <= picker.MemoryLimitBytes / 8);

    private static Extent SizeOf(MrcHeader header) => new(header.Shape.Depth, header.Shape.Height, header.Shape.Width);

    private (IReadOnlyList<Pick> Picks, object Summary) Cluster(
        ParseResult options, TomogramPicker picker, PickedClass kind, string title, IVoxelSource map, float maximum, MrcReader? region)
    {
        Stopwatch clock = Stopwatch.StartNew();
        PickOptions picking = Settings(options, kind.MeanShift);
        ClusterResult found = picker.Cluster(map, maximum, region, picking, cancellation: Cancellation);
        IReadOnlyList<Pick> picks = [.. found.Picks.Select(p => p with { Class = kind.Number, ClassName = kind.Name })];
        double seconds = clock.Elapsed.TotalSeconds;
        Session.Line($"{title}: {Counted.Of(picks.Count, "pick")} from {Counted.Of(found.StartVoxels, "voxel")} above the threshold, clustering {seconds:0.0} s, scores up to {maximum:0.000}");
        if (picks.Count == 0)
            Session.Warn($"{title}: no pick; the largest score is {maximum:0.000}. {(picking.ThresholdKind == ThresholdKind.Absolute ? "Lower --threshold-absolute." : "Was the model trained on such data?")}");
        object summary = new
        {
            Class = kind.Number,
            ClassName = kind.Name,
            ClusteringSeconds = seconds,
            MaximumScore = maximum,
            found.StartVoxels,
        };
        return (picks, summary);
    }

    // The score maps that are wanted, with the mean shift that each was trained with.
    private PickedClass[] Classes(ParseResult options, UNet3dOptions network, ModelDescription? description)
    {
        IReadOnlyList<ClassOptions> known = description?.Training.Classes ?? [];
        if (known.Count != (network.Outputs == 1 ? known.Count : network.Outputs))
            throw new InputException($"{options.GetValue(model)}: the network has {Counted.Of(network.Outputs, "output")}, its description {Counted.Of(known.Count, "class", "classes")}. Use a model that 'train' wrote.");
        PickedClass[] all = known.Count == 0
            ? [new PickedClass(0, null, null, ModelFile.MeanShiftOf(description))]
            :
            [
                .. known.Select((c, i) => int.TryParse(c.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
                    ? new PickedClass(i, number, null, description!.Training.MeanShiftOf(i))
                    : new PickedClass(i, i + 1, c.Name, description!.Training.MeanShiftOf(i))),
            ];
        if (options.GetValue(onlyClass) is { } wanted)
        {
            all = [.. all.Where(c => c.Label.Equals(wanted, StringComparison.OrdinalIgnoreCase))];
            if (all.Length == 0)
                throw new InputException($"--class: {options.GetValue(model)} knows no class '{wanted}'{(known.Count == 0 ? "; it was trained without --classes" : $"; expected one of {string.Join(", ", known.Select(c => c.Name))}")}.");
        }

        if (all.Length > 1 && options.GetValue(scoreMap) is not null)
            throw new InputException($"--score-map: the model has a map for each of {all.Length} classes ({string.Join(", ", known.Select(c => c.Name))}); choose one with --class.");
        return all;
    }

    private PredictionSummary Predict(
        string name, TomogramPicker picker, PickPlan plan, IVoxelSource volume, VoxelStatistics? statistics, IReadOnlyList<ScoreMap> maps, IVoxelSource? region)
    {
        PredictionSummary predicted = new([], 0, 0, 0);
        Session.Progress(name, report => predicted = picker.Predict(
            plan, volume, statistics, maps, region,
            progress =>
            {
                // Estimated from the first block, and better with every other.
                string left = progress.Share < 1 ? $", about {Duration(progress.Remaining)} left" : "";
                report(progress.Share, $"tile {Math.Min(progress.TilesDone + 1, progress.Tiles)} of {progress.Tiles}{left}");
            },
            Cancellation));
        return predicted;
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
        (UNet3d<float> network, ModelDescription? description) = ModelFile.Load(context, options.GetValue(model)!);
        using (network)
        {
            PickedClass[] classes = Classes(options, network.Options, description);
            if (classes.Length > 1)
                throw new InputException($"pick: --suggest finds the threshold of one class; choose one of {string.Join(", ", classes.Select(c => c.Label))} with --class.");
            PickedClass kind = classes[0];
            PickOptions picking = Settings(options, kind.MeanShift);
            using TomogramPicker picker = new(network, kind.MeanShift, picking) { MemoryLimitBytes = (long)options.GetValue(memory) << 20 };
            double hit = options.GetValue(radius) ?? picking.BandwidthVoxels / 2;
            ThresholdSweep sweep = new(picker, picking, options.GetValue(minimumSupport) is null ? ThresholdSweep.Supports : [picking.MinimumSupportFraction]);
            int truth = 0;
            foreach (DatasetVolume entry in entries)
            {
                using MrcReader volume = MrcReader.Open(entry.Volume, Cancellation);
                Particle[] centers = [.. entry.ReadParticles(volume.Header.Shape, volume.VoxelSize).Where(kind.IsOne)];
                CoordinateTables.CheckInside(entry.Coordinates, centers, volume.Header.Shape);
                truth += centers.Length;
                VoxelStatistics statistics = VoxelStatistics.Measure(volume, entry.Volume, Cancellation);
                PickPlan plan = picker.Plan(volume.Size, mapsInMemory: false);
                using MrcWriter map = MrcWriter.CreateScratch(Path.GetTempPath(), volume.Size);
                PredictionSummary predicted = Predict(TomogramNames.Of(entry.Volume), picker, plan, volume, entry.Normalize ? statistics : null, [new ScoreMap(kind.Output, map)], null);
                sweep.Add(map, predicted.Maximum, [.. centers.Select(p => new Position((float)p.Z, (float)p.Y, (float)p.X))], Cancellation);
            }

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
        }

        return ExitCode.Done;
    }

    private void WriteTable(ParseResult options, string folder, PickFiles files, VolumePicks picks, MrcHeader header)
    {
        CoordinateWriteOptions writing = WriteOptions(options, files.Volume, header) with { TomogramName = picks.Tomogram };
        if (picks.Picks.Count > 0)
        {
            CoordinateFolder.Write(folder, [.. PickTable.ToParticles(picks)], writing);
            return;
        }

        // A volume without picks has been picked too: its table is empty.
        OutputFolder.Prepare(FolderOf(files.Table));
        PickTable.Write(files.Table, [picks], writing);
    }

    // "2/5": the second of five processes.
    private string[] Shard(ParseResult options, string[] all, bool single)
    {
        if (options.GetValue(shard) is not { } text)
            return all;
        string[] parts = text.Split('/');
        if (parts.Length != 2 || !int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int index) || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int count)
            || index < 1 || index > count)
        {
            throw new InputException($"--shard: '{text}' is not I/N with I from 1 to N, for example 2/8. A Slurm array --array=1-8 gives $SLURM_ARRAY_TASK_ID/8.");
        }

        if (single)
            throw new InputException("pick: --shard needs a folder as --out: the processes cannot write one table together.");
        string[] mine = [.. all.Where((_, i) => i % count == index - 1)];
        Session.Line($"shard {index} of {count}: {mine.Length} of {Counted.Of(all.Length, "volume")}");
        return mine;
    }

    private PickFiles FilesOf(ParseResult options, string path, string target, bool single, int count)
    {
        string name = TomogramNames.Of(path);
        return new PickFiles(path, name, single ? target : Path.Combine(target, CoordinateFolder.FileName(FormatOf(options, target), name)), ScoreMapPath(options, name, count));
    }

    // Tables and maps are complete or not there, and the table comes last.
    private bool IsDone(ParseResult options, PickFiles files)
        => !options.GetValue(overwrite) && File.Exists(files.Table) && (files.Map is null || File.Exists(files.Map));

    private void SayDone(ParseResult options, PickFiles files)
    {
        Session.Line($"{files.Name}: {files.Table} exists, skipped; --overwrite picks again");
        DateTime made = File.GetLastWriteTimeUtc(files.Table);
        foreach (string input in (string[])[files.Volume, options.GetValue(model)!])
        {
            if (File.Exists(input) && File.GetLastWriteTimeUtc(input) > made)
                Session.Warn($"{files.Table}: is older than {input}; --overwrite picks again.");
        }
    }

    private static object Skipped(PickFiles files) => new { files.Volume, files.Name, Skipped = true, files.Table };

    private MrcReader? OpenMask(ParseResult options)
    {
        if (options.GetValue(mask) is not { } path)
            return null;
        MrcReader region = MrcReader.Open(path, Cancellation);
        try
        {
            if (!(VoxelStatistics.Measure(region, path, Cancellation).Maximum > 0))
                throw new InputException($"{path}: no voxel of the mask is above 0, so there is nowhere to pick.");
            return region;
        }
        catch
        {
            region.Dispose();
            throw;
        }
    }

    private void WarnOfNoRoom(string path, Extent size, PickOptions picking)
    {
        int shortest = Math.Min(size.Depth, Math.Min(size.Height, size.Width));
        if (picking.Method == PickMethod.MeanShift && shortest < picking.BandwidthVoxels)
            Session.Warn($"{path}: an edge of {Counted.Of(shortest, "voxel")} is shorter than the bandwidth of {picking.BandwidthVoxels}, so that picks are drawn to the volume's middle. Is this the right volume, or --bandwidth too large?");
    }

    private static string FolderOf(string file) => Path.GetDirectoryName(Path.GetFullPath(file)) ?? "/";

    private static string Duration(TimeSpan time)
        => time.TotalHours >= 1 ? $"{(int)time.TotalHours}:{time.Minutes:00} h" : time.TotalMinutes >= 1 ? $"{time.Minutes}:{time.Seconds:00} min" : $"{time.TotalSeconds:0.0} s";

    /// <summary>A score map of the network, what its picks are called in tables, and how it was trained.</summary>
    private sealed record PickedClass(int Output, int? Number, string? Name, MeanShiftOptions MeanShift)
    {
        // A class is meant by its name or its number, as in training.
        public bool IsOne(Particle particle)
            => Number is null || (Name is null ? particle.Class == Number : Name.Equals(particle.Name, StringComparison.OrdinalIgnoreCase));

        public string Label => Name ?? Number?.ToString(CultureInfo.InvariantCulture) ?? "";
    }

    /// <summary>What belongs to a volume.</summary>
    private sealed record PickFiles(string Volume, string Name, string Table, string? Map);

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

    // Everything that can be wrong with the outputs is found before the first tile is computed.
    private void PrepareOutput(ParseResult options, string target, bool single, string[] paths)
    {
        int count = paths.Length;
        List<string> written = [];
        if (single)
        {
            written.Add(target);
            OutputFolder.CheckFile(target);
            CoordinateFormat wanted = FormatOf(options, target);
            CoordinateFormats.RefuseOtherEnding(target, wanted);
            if (count > 1 && !CoordinateFormats.HoldsSeveralTomograms(wanted))
                throw new InputException($"{target}: this format has no column for the volume's name, so it holds one volume, not {count}. Write a .star or .csv file, or give a folder.");
        }
        else
        {
            if (Path.GetExtension(target).Length is > 1 and <= 5 && !Directory.Exists(target))
                throw new InputException($"{target}: '{Path.GetExtension(target)}' is no table of coordinates; expected {string.Join(", ", CoordinateFormats.Endings)}, or a folder.");
            OutputFolder.Prepare(target);
        }

        if (options.GetValue(scoreMap) is { } map)
        {
            if (count == 1 && !Directory.Exists(map))
            {
                OutputFolder.CheckFile(map);
                written.Add(map);
            }
            else
            {
                OutputFolder.Prepare(map);
            }
        }

        OutputFolder.RefuseReplacing(written, [.. paths, options.GetValue(model)!, .. options.GetValue(mask) is { } region ? [region] : Array.Empty<string>()]);
        // Where the table is there too, the volume has been picked, and nothing is written.
        if (single && !options.GetValue(overwrite) && !File.Exists(target) && written.Skip(1).FirstOrDefault(File.Exists) is { } existing)
            throw new InputException($"{existing}: is there already, and would be replaced by the score map. Choose another name with --score-map, or replace it with --overwrite.");
    }

    private CoordinateFormat FormatOf(ParseResult options, string target)
        => options.GetValue(format) ?? (CoordinateFormats.Endings.Contains(Path.GetExtension(target).ToLowerInvariant()) ? CoordinateFormats.ForWriting(target) : CoordinateFormat.Relion3);

    private CoordinateWriteOptions WriteOptions(ParseResult options, string volume, MrcHeader header) => new()
    {
        Format = FormatOf(options, options.GetValue(output)!),
        Context = new CoordinateContext
        {
            Centre = options.GetValue(centre) ?? RelionCentre.HalfSize,
            VoxelSizeAngstrom = options.GetValue(voxelSize) ?? 0,
            Binning = options.GetValue(binning) ?? 1,
        }.WithVolume(volume, header.Shape, header.VoxelSize),
    };

    // The ending is a choice of whoever wrote the file; the header alone is not always right.
    private void CheckIsVolume(string path, MrcHeader header)
    {
        if (path.EndsWith(".mrcs", StringComparison.OrdinalIgnoreCase))
            throw new InputException($"{path}: is by its name a stack of {header.Sections} images, as of a tilt series, not a volume. Reconstruct the tomogram first, or rename it to .mrc where it is one.");
        if (header.IsImageStack)
            Session.Warn($"{path}: is by its header a stack of {header.Sections} images (space group 0, one interval along z), as of a tilt series; picks mean nothing unless it is a volume all the same.");
    }

    // A table has one pixel size here, and RELION 5 and EMAN2 count from the centre of each volume.
    private void RefuseDifferentVolumes(ParseResult options, string target, MrcHeader[] headers)
    {
        double first = headers[0].VoxelSize.CubeAngstrom;
        bool sizesDiffer = options.GetValue(voxelSize) is null && headers.Any(h => Math.Abs(h.VoxelSize.CubeAngstrom - first) > 1e-3 * first);
        bool shapesDiffer = FormatOf(options, target) is CoordinateFormat.Relion5 && headers.Any(h => h.Shape != headers[0].Shape);
        if (sizesDiffer || shapesDiffer)
            throw new InputException($"{target}: the volumes differ in {(sizesDiffer ? "voxel size" : "size")}, which one table cannot hold. Give a folder, which gets a table for each volume.");
    }

    private string? ScoreMapPath(ParseResult options, string name, int count)
        => options.GetValue(scoreMap) is not { } map ? null : count == 1 && !Directory.Exists(map) ? map : Path.Combine(map, $"{name}_scores.mrc");

    private static void RefuseEqualNames(string[] paths)
    {
        if (paths.GroupBy(TomogramNames.Of).FirstOrDefault(g => g.Count() > 1) is { } twice)
            throw new InputException($"pick: {string.Join(" and ", twice)} have the same name, so their picks could not be told apart. Pick them one by one.");
    }
}
