using System.CommandLine;
using System.Diagnostics;
using MeanShiftGpu.IO;
using MeanShiftGpu.Layers;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Picking;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Picks particles in volumes.</summary>
internal sealed class PickVerb(Session session) : Verb(session)
{
    private readonly Argument<string[]> volumes = Parse.Files("VOLUME", "MRC files (.mrc, .rec, .map, also .gz and .bz2).", ArgumentArity.OneOrMore);
    private readonly Option<string?> model = Parse.Text("--model", "FILE", "The model that 'train' wrote.", required: true);
    private readonly Option<string?> output = Parse.Text("--out", "FILE|DIR", $"Table of picks ({string.Join(", ", CoordinateFormats.Endings)}). A folder gets a table for each volume.", required: true);
    private readonly Option<CoordinateFormat?> format = Parse.Choice(
        "--format", "Format of the tables: pixels of the volume (relion3, warp, dynamo, …), unbinned pixels (relion4, eman2) or Å (relion5, copick). Default: that of the name's ending, relion3 for .star and folders.", CoordinateFormats.Words);
    private readonly Option<double?> threshold = Parse.Real("--threshold", "The mean shift starts from voxels whose score is above this fraction of the map's maximum. Default: 0.3.", 0, 0.999999);
    private readonly Option<double?> absolute = Parse.Real("--threshold-absolute", "The same as a score, for models trained with Dice and volumes that may be empty.", 0);
    private readonly Option<double?> bandwidth = Parse.Real("--bandwidth", "Radius of the mean shift's ball in voxels. Default: that of the training.", 1e-3);
    private readonly Option<double?> mergeDistance = Parse.Real("--merge-distance", "No two picks are nearer than this, in voxels. Default: 1.5 times the bandwidth; just below the shortest distance of particles is best.", 1e-3);
    private readonly Option<double?> minimumSupport = Parse.Real("--min-support", "Picks whose summed score is below this fraction of the best one's are dropped. Default: 0.2.", 0, 1);
    private readonly Option<int> minimumVoxels = Parse.Integer("--min-voxels", "Picks of fewer voxels are dropped.", 1, 1, int.MaxValue);
    private readonly Option<int> iterations = Parse.Integer("--max-iterations", "Most mean-shift iterations.", 60, 1, 100_000);
    private readonly Option<string?> scoreMap = Parse.Text("--score-map", "FILE|DIR", "Write the score map (.mrc); with several volumes a folder.");
    private readonly Option<int> memory = Parse.Integer("--memory", "Device memory for the network in MiB; larger volumes are cut into tiles with the same result.", 2048, 1, int.MaxValue);
    private readonly Option<RelionCentre?> centre = Parse.Choice<RelionCentre>("--relion5-centre", "The point that RELION 5 coordinates count from: size/2, as its C++ programs take it, or one less, as its Python pickers do. Default: half-size.");
    private readonly Option<double?> voxelSize = Parse.Real("--voxel-size", "Voxel size in Å. Default: the volume's header.", 1e-6);
    private readonly Option<double?> binning = Parse.Real("--binning", "How often the volume was binned: tables count in unbinned pixels. Default: 1.", 1e-6);

    public override string Name => "pick";

    protected override string Description =>
        "Finds particles in tomograms: predicts a score map, shifts every voxel above the threshold to its mode, and merges what arrives at the same place.";

    public override string Example => "meanshift-gpu pick tomogram.mrc --model run/model.safetensors --out picks.star --score-map scores.mrc";

    protected override IEnumerable<Symbol> Symbols =>
        [volumes, model, output, format, threshold, absolute, bandwidth, mergeDistance, minimumSupport, minimumVoxels, iterations, scoreMap, memory, centre, voxelSize, binning];

    protected override ExitCode Run(ParseResult options)
    {
        string[] paths = options.GetRequiredValue(volumes);
        string target = options.GetValue(output)!;
        bool single = CoordinateFormats.Endings.Contains(Path.GetExtension(target).ToLowerInvariant());
        RefuseEqualNames(paths);
        PrepareOutput(options, target, single, paths);
        // Headers first: a damaged last volume must not be found out after the others took an hour.
        MrcHeader[] headers = [.. paths.Select(MrcFile.ReadHeader)];
        if (single)
            RefuseDifferentVolumes(options, target, headers);

        using GpuContext context = OpenDevice(options);
        (UNet3d<float> network, ModelDescription? description) = ModelFile.Load(context, options.GetValue(model)!);
        using (network)
        {
            if (description is null)
                Session.Warn($"{options.GetValue(model)}: weights without a description of their training; the bandwidth and weighting are the defaults.");
            MeanShiftOptions meanShift = ModelFile.MeanShiftOf(description);
            PickOptions picking = Settings(options, meanShift);
            using TomogramPicker picker = new(network, meanShift, picking) { MemoryLimitBytes = (long)options.GetValue(memory) << 20 };

            List<VolumePicks> all = [];
            List<object> report = [];
            for (int i = 0; i < paths.Length; i++)
            {
                (VolumePicks found, object summary) = Pick(options, paths[i], paths.Length, picker, picking, description);
                all.Add(found);
                report.Add(summary);
                if (!single)
                    CoordinateFolder.Write(target, [.. PickTable.ToParticles(found)], WriteOptions(options, headers[i]) with { TomogramName = found.Tomogram });
            }

            if (single)
                PickTable.Write(target, all, WriteOptions(options, headers[0]));
            WriteJson(options, new { Model = options.GetValue(model), Output = target, Device = context.Description, Options = picking, Volumes = report });
        }

        return ExitCode.Done;
    }

    private (VolumePicks Picks, object Summary) Pick(
        ParseResult options, string path, int count, TomogramPicker picker, PickOptions picking, ModelDescription? description)
    {
        Stopwatch clock = Stopwatch.StartNew();
        using Volume volume = MrcFile.Read(path);
        double voxel = options.GetValue(voxelSize) ?? volume.VoxelSizeAngstrom;
        if (description is { VoxelSizeAngstrom: > 0 } && voxel > 0 && Math.Abs(voxel / description.VoxelSizeAngstrom - 1) > 0.05)
            Session.Warn($"{path}: voxels of {voxel:0.##} Å, the model was trained at {description.VoxelSizeAngstrom:0.##} Å; expect worse picks unless the volume is rescaled.");
        Extent size = new(volume.Depth, volume.Height, volume.Width);
        float[] image = DatasetLoader.Normalized(path, volume);
        if (!image.AsSpan().ContainsAnyExcept(0))
            Session.Warn($"{path}: every voxel has the same value, so picks mean nothing. Was the right volume given?");
        int tiles = picker.Plan(size).Count;
        float[] scores = [];
        string name = TomogramNames.Of(path);
        Session.Progress(name, report =>
            scores = picker.PredictScores(image, size, (done, total) => report((double)done / total, $"tile {done} of {total}"), Cancellation));
        IReadOnlyList<Pick> picks = picker.Cluster(scores, size);
        double seconds = clock.Elapsed.TotalSeconds;

        float maximum = scores.Max();
        string? map = ScoreMapPath(options, name, count);
        if (map is not null)
            WriteScoreMap(map, scores, volume);
        Session.Line($"{name}: {picks.Count} picks in {size} voxels, {tiles} tile{(tiles == 1 ? "" : "s")}, {seconds:0.0} s, scores up to {maximum:0.000}");
        if (picks.Count == 0)
            Session.Warn($"{path}: no pick; the largest score is {maximum:0.000}. {(picking.ThresholdKind == ThresholdKind.Absolute ? "Lower --threshold-absolute." : "Was the model trained on such data?")}");
        object summary = new
        {
            Volume = path,
            Name = name,
            Size = new[] { size.Depth, size.Height, size.Width },
            VoxelSizeAngstrom = voxel,
            Tiles = tiles,
            Seconds = seconds,
            MaximumScore = maximum,
            ScoreMap = map,
            Picks = picks.Select(p => new { p.Z, p.Y, p.X, p.Score, p.Support, p.Voxels, p.Spread }),
        };
        return (new VolumePicks(name, picks), summary);
    }

    private PickOptions Settings(ParseResult options, MeanShiftOptions meanShift)
    {
        if (options.GetValue(threshold) is not null && options.GetValue(absolute) is not null)
            throw new InputException("pick: --threshold and --threshold-absolute exclude each other; give one.");
        PickOptions defaults = new();
        PickOptions picking = defaults with
        {
            ThresholdKind = options.GetValue(absolute) is null ? ThresholdKind.FractionOfMaximum : ThresholdKind.Absolute,
            Threshold = (float)(options.GetValue(absolute) ?? options.GetValue(threshold) ?? defaults.Threshold),
            BandwidthVoxels = (float)(options.GetValue(bandwidth) ?? meanShift.BandwidthVoxels),
            MergeDistanceVoxels = (float?)options.GetValue(mergeDistance),
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
            string ending = CoordinateFormats.Ending(wanted);
            if (ending != CoordinateFormats.Ending(CoordinateFormat.Coords) && !target.EndsWith(ending, StringComparison.OrdinalIgnoreCase))
                throw new InputException($"pick: --format {Parse.Word(wanted)} contradicts the name {target}; expected {ending}.");
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

        OutputFolder.RefuseReplacing(written, [.. paths, options.GetValue(model)!]);
    }

    private CoordinateFormat FormatOf(ParseResult options, string target)
        => options.GetValue(format) ?? (CoordinateFormats.Endings.Contains(Path.GetExtension(target).ToLowerInvariant()) ? CoordinateFormats.ForWriting(target) : CoordinateFormat.Relion3);

    private CoordinateWriteOptions WriteOptions(ParseResult options, MrcHeader header) => new()
    {
        Format = FormatOf(options, options.GetValue(output)!),
        Context = new CoordinateContext
        {
            Shape = header.Shape,
            Centre = options.GetValue(centre) ?? RelionCentre.HalfSize,
            VoxelSizeAngstrom = options.GetValue(voxelSize) ?? header.VoxelSize.Mean,
            Binning = options.GetValue(binning) ?? 1,
        },
    };

    // A table has one pixel size here, and RELION 5 and EMAN2 count from the centre of each volume.
    private void RefuseDifferentVolumes(ParseResult options, string target, MrcHeader[] headers)
    {
        double first = headers[0].VoxelSize.Mean;
        bool sizesDiffer = options.GetValue(voxelSize) is null && headers.Any(h => Math.Abs(h.VoxelSize.Mean - first) > 1e-3 * first);
        bool shapesDiffer = FormatOf(options, target) is CoordinateFormat.Relion5 && headers.Any(h => h.Shape != headers[0].Shape);
        if (sizesDiffer || shapesDiffer)
            throw new InputException($"{target}: the volumes differ in {(sizesDiffer ? "voxel size" : "size")}, which one table cannot hold. Give a folder, which gets a table for each volume.");
    }

    private string? ScoreMapPath(ParseResult options, string name, int count)
        => options.GetValue(scoreMap) is not { } map ? null : count == 1 && !Directory.Exists(map) ? map : Path.Combine(map, $"{name}_scores.mrc");

    private static void WriteScoreMap(string path, float[] scores, Volume like)
    {
        using Volume map = new(like.Shape, like.VoxelSize);
        for (int z = 0; z < map.Depth; z++)
            scores.AsSpan((int)((long)z * map.SliceLength), map.SliceLength).CopyTo(map.Slice(z));
        MrcFile.Write(path, map);
    }

    private static void RefuseEqualNames(string[] paths)
    {
        if (paths.GroupBy(TomogramNames.Of).FirstOrDefault(g => g.Count() > 1) is { } twice)
            throw new InputException($"pick: {string.Join(" and ", twice)} have the same name, so their picks could not be told apart. Pick them one by one.");
    }
}
