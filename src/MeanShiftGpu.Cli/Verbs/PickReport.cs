using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Picks volumes with the library, and says what was found in lines and in JSON.</summary>
internal static class PickReport
{
    /// <summary>Picks a volume, and says what was found.</summary>
    public static PickResult Pick(Session session, TomogramPicker picker, PickFiles files, string? maskPath, PickRequest wanted)
    {
        using MrcReader volume = MrcReader.Open(files.Volume, session.Cancellation);
        using MrcReader? region = maskPath is null ? null : MrcReader.Open(maskPath, session.Cancellation);
        PickRequest request = wanted with
        {
            Name = files.Volume,
            Mask = region,
            MaskName = maskPath ?? "",
            ScoreMapFile = files.Map,
            ScoreMapPlace = volume.Header.Place,
            ScratchFolder = PickOutputs.FolderOf(files.Table),
            Planned = plan => session.Line($"{files.Name}: {volume.Size} voxels, {plan}"),
            Warned = warning => session.Warn(
                ($"{(warning.Class is { } kind ? Title(files, picker, kind) : files.Volume)}: {warning.Fact} "
                    + RemedyFor(warning)).TrimEnd()),
        };
        PickResult result = null!;
        session.Progress(
            files.Name, report => result = picker.Pick(
                volume, request with { Progress = progress => Say(progress, report) }, session.Cancellation));
        foreach (ClassPicks part in result.Classes)
            session.Line($"{Title(files, picker, part.Class)}: {Counted.Of(part.Picks.Count, "pick")} from "
                + $"{Counted.Of(part.StartVoxels, "voxel")} above the threshold, clustering {part.ClusteringSeconds:0.0} s, "
                + $"scores up to {part.MaximumScore:0.000}");
        session.Line(
            $"{files.Name}: {Counted.Of(result.Plan.Tiles.Count, "tile")}, {result.Seconds:0.0} s (network "
            + $"{result.Prediction.ForwardSeconds:0.0}, score map{(result.Classes.Count == 1 ? "" : "s")} "
            + $"{result.Prediction.Seconds:0.0})");
        return result;
    }

    /// <summary>
    /// Tries thresholds on the volumes of a data set, says which is the best, and returns what the JSON says.
    /// </summary>
    public static object Suggest(
        Session session, ThresholdSweep sweep, IReadOnlyList<DatasetVolume> entries, double hit, bool sparse, string model)
    {
        int truth = 0;
        foreach (DatasetVolume entry in entries)
            session.Progress(
                TomogramNames.Of(entry.Volume),
                report => truth += sweep.Add(entry, progress => Say(progress, report), session.Cancellation));

        IReadOnlyList<ThresholdScore> scores = sweep.Scores(hit);
        ThresholdScore best = ThresholdSweep.Best(scores, sparse);
        // Of each threshold the best of all settings; the file has them all.
        IEnumerable<ThresholdScore> rows = scores
            .GroupBy(s => s.Threshold)
            .Select(g => g.Contains(best) ? best : ThresholdSweep.Best(g, sparse));
        session.Table(
            ["threshold", "min support", "merge basins", "picks", "precision", "recall", "F1"],
            rows.Select(s => (string[])[
                $"{s.Threshold:0.00}{(s == best ? " *" : "")}",
                $"{s.MinimumSupport:0.00}",
                $"{s.BasinFraction:0.0}",
                $"{s.Picks}",
                $"{s.Precision:0.000}",
                $"{s.Recall:0.000}",
                $"{s.F1:0.000}"]));
        session.Line(
            $"best: --threshold {best.Threshold:0.00} --min-support "
            + $"{best.MinimumSupport:0.00}{(best.BasinFraction > 0 ? $" --merge-basins {best.BasinFraction:0.0}" : "")} (F1 "
            + $"{best.F1:0.000} one-to-one within {hit:0.##} voxels, {Counted.Of(truth, "centre")} in "
            + $"{Counted.Of(entries.Count, "validation volume")})");
        if (sparse)
            session.Line("chosen by the square of the recall over the number of picks: a pick of a particle that no centre "
                + "marks counts as wrong in precision and F1");
        return new
        {
            Model = model,
            RadiusVoxels = hit,
            Sparse = sparse,
            Centers = truth,
            Volumes = entries.Count,
            Best = best.Threshold,
            BestMinimumSupport = best.MinimumSupport,
            BestMergeBasins = best.BasinFraction,
            Thresholds = scores,
        };
    }

    /// <summary>The volume, and the class where there are several.</summary>
    public static string Title(PickFiles files, TomogramPicker picker, PickedClass kind)
        => picker.Classes.Count > 1 ? $"{files.Name}, {kind.Label}" : files.Name;

    /// <summary>What to do about a warning; the library does not know which option it is.</summary>
    public static string RemedyFor(PickWarning warning) => warning.Kind switch
    {
        PickWarningKind.NoRoom => "Is this the right volume, or --bandwidth too large?",
        PickWarningKind.NoPick when warning.Remedy.Length > 0
            && warning.Class!.Options.ThresholdKind == ThresholdKind.Absolute => "Lower --threshold-absolute.",
        _ => warning.Remedy,
    };

    /// <summary>
    /// Reports progress; the time is estimated from the first block, and better with every other.
    /// </summary>
    public static void Say(PredictionProgress progress, Action<double, string> report)
        => report(progress.Share, $"tile {Math.Min(progress.TilesDone + 1, progress.Tiles)} of "
            + $"{progress.Tiles}{(progress.Share < 1 ? $", about {Duration(progress.Remaining)} left" : "")}");

    /// <summary>What the JSON says of a volume.</summary>
    public static object Summary(PickFiles files, MrcHeader header, PickResult result) => new
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
        Maps = result.Classes.Select(c => new
        {
            Class = c.Class.Number,
            ClassName = c.Class.Name,
            c.ClusteringSeconds,
            c.MaximumScore,
            c.StartVoxels,
        }),
        Picks = result.Picks.Select(p => new
        {
            p.Z,
            p.Y,
            p.X,
            p.Score,
            p.ScoreDeviation,
            p.Class,
            p.ClassName,
            p.RunnerUp,
            p.RunnerUpScore,
            p.Support,
            p.Voxels,
            p.Spread,
            p.Moved,
            p.AtBorder
        }),
    };

    /// <summary>Says that a volume has been picked.</summary>
    public static object Skip(Session session, PickFiles files)
    {
        session.Line($"{files.Name}: {files.Table} exists, made from the same files with the same settings; skipped "
            + "(--overwrite picks again)");
        return new { files.Volume, files.Name, Skipped = true, files.Table };
    }

    /// <summary>
    /// Refuses stacks of images by their name, a choice of whoever wrote the file; the header alone, which is
    /// not always right, is only remarked on.
    /// </summary>
    public static void CheckIsVolume(string path, MrcHeader header)
    {
        if (path.EndsWith(".mrcs", StringComparison.OrdinalIgnoreCase))
            throw new InputException($"{path}: is by its name a stack of {header.Sections} images, as of a tilt series, not a "
                + "volume. Reconstruct the tomogram first, or rename it to .mrc where it is one.");
    }

    private static string Duration(TimeSpan time)
        => time.TotalHours >= 1 ? $"{(int)time.TotalHours}:{time.Minutes:00} h" : time.TotalMinutes >= 1
            ? $"{time.Minutes}:{time.Seconds:00} min" : $"{time.TotalSeconds:0.0} s";
}
