using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Evaluation;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Evaluates picks with the library, and says what was found in lines and in JSON.</summary>
/// <param name="session">Where it is said.</param>
/// <param name="volumes">Picks and truth.</param>
/// <param name="radii">Hit radii in voxels.</param>
/// <param name="beta">How many times as much recall counts as precision in F-beta.</param>
/// <param name="ownPicks">Whether each class is evaluated by its own picks.</param>
internal sealed class EvaluateReport(
    Session session, IReadOnlyList<EvaluatedVolume> volumes, double[] radii, double beta, bool ownPicks)
{
    private static readonly IReadOnlyList<string> NoCells = [];

    private readonly EvaluationVolume[] points = [.. volumes.Select(v => v.Points)];

    /// <summary>Scores by SHREC's occupancy masks; null where there are none.</summary>
    public OccupancyScore? Occupancy { get; init; }

    /// <summary>Says what may be wrong with the tables.</summary>
    public void Warn()
    {
        foreach (EvaluatedVolume volume in volumes)
        {
            WarnOfOutside(volume, "pick", volume.Points.Predictions);
            WarnOfOutside(volume, "true centre", volume.Points.Truth);
            WarnOfTwice(volume, "pick", volume.Points.Predictions, volume.Points.PredictionClasses);
            WarnOfTwice(volume, "true centre", volume.Points.Truth, volume.Points.TruthClasses);
        }

        foreach (IGrouping<string, EvaluatedVolume> twice in volumes.GroupBy(v => v.Name).Where(g => g.Count() > 1).Take(5))
            session.Warn($"{twice.Key}: stands in {twice.Count()} of the tables, and counts as many times.");
    }

    /// <summary>Evaluates, says the scores, and returns what the JSON says.</summary>
    public object Say()
    {
        EvaluationResult result = Evaluator.Evaluate(points, radii, beta);
        IReadOnlyList<ClassResult> classes = Evaluator.EvaluateClasses(points, radii, ownPicks, beta);
        Print(result);
        WarnOfNone(result);
        if (classes.Count > 0)
            Print(classes);
        if (Occupancy is { } masks)
            Print(masks);
        return new
        {
            result.Predictions,
            result.Truth,
            result.Volumes,
            result.VolumesWithoutPredictions,
            result.DistPred,
            result.DistGt,
            Beta = beta,
            result.Radii,
            Classes = classes.Select(Json),
            Occupancy,
            PerVolume = volumes.Select(v => new { v.Name, Result = Evaluator.Evaluate([v.Points], radii, beta) }),
        };
    }

    private void WarnOfOutside(EvaluatedVolume volume, string kind, IReadOnlyList<Position> places)
    {
        if (volume.Points.Shape is not { } shape)
            return;
        int outside = places.Count(p => !CoordinateTables.IsInside(p.Z, p.Y, p.X, shape));
        if (outside > 0)
        {
            session.Warn($"{volume.Name}: {outside} of {Counted.Of(places.Count, kind)} outside the volume of {shape} voxels. "
                + "Check the binning, the voxel size and the format.");
        }
    }

    // Rows that stand twice are mistakes, but each is counted, so the user is warned.
    private void WarnOfTwice(
        EvaluatedVolume volume, string kind, IReadOnlyList<Position> places, IReadOnlyList<string?>? classes)
    {
        int again = places.Count - places.Select((p, i) => (p, classes?[i])).Distinct().Count();
        if (again > 0)
            session.Warn($"{volume.Name}: {again} of {Counted.Of(places.Count, kind)} at the very place of another, as rows that "
                + "stand twice. Each counts; remove all but one.");
    }

    // Two tables in different units, or of different tomograms, look like picks that are all wrong.
    private void WarnOfNone(EvaluationResult result)
    {
        RadiusScore widest = result.Radii.MaxBy(r => r.RadiusVoxels)!;
        if (result.Predictions > 0 && result.Truth > 0 && widest.Precision == 0 && widest.Recall == 0)
            session.Warn($"No pick lies within {widest.RadiusVoxels} voxels of a true centre. Check that picks and truth are of "
                + "the same tomogram, and that both count in voxels of the same size.");
    }

    private void Print(EvaluationResult result)
    {
        session.Line($"{Counted.Of(result.Predictions, "pick")} and {Counted.Of(result.Truth, "true centre")} in "
            + $"{Counted.Of(result.Volumes, "volume")}, {result.VolumesWithoutPredictions} without picks");
        session.Line($"dist_pred {Voxels(result.DistPred)}, dist_GT {Voxels(result.DistGt)}");
        session.Table(
            ["radius", "precision", "recall", "F1", $"F{beta}", "1:1 precision", "1:1 recall", "1:1 F1", $"1:1 F{beta}"],
            result.Radii.Select(r => (string[])[
                $"{r.RadiusVoxels}", $"{r.Precision:0.000}", $"{r.Recall:0.000}", $"{r.F1:0.000}", $"{r.FBeta:0.000}",
                $"{r.OneToOnePrecision:0.000}", $"{r.OneToOneRecall:0.000}", $"{r.OneToOneF1:0.000}",
                $"{r.OneToOneFBeta:0.000}"]));
        if (result.Radii.Where(r => r.Bias is not null).ToArray() is not { Length: > 0 } paired)
            return;
        session.Line("bias of the one-to-one pairs (pick - truth) in voxels, ± its standard error");
        session.Table(
            ["radius", "pairs", "z", "y", "x"],
            paired.Select(r => (string[])[
                $"{r.RadiusVoxels}", $"{r.Bias!.Pairs}",
                Signed(r.Bias.Z, r.Bias.ErrorZ), Signed(r.Bias.Y, r.Bias.ErrorY), Signed(r.Bias.X, r.Bias.ErrorX)]));
    }

    private void Print(IReadOnlyList<ClassResult> classes)
    {
        session.Line(ownPicks ? "classes by their own picks: 1:1 F1 at each radius" : "classes: recall at each radius");
        session.Table(
            ["class", "centres", .. ownPicks ? ["picks"] : NoCells, .. classes[0].Result.Radii.Select(r => $"{r.RadiusVoxels}")],
            classes.Select(c => (string[])[
                c.Class, $"{c.Result.Truth}", .. ownPicks ? [$"{c.Result.Predictions}"] : NoCells,
                .. c.Result.Radii.Select(r => $"{(ownPicks ? r.OneToOneF1 : r.Recall):0.000}")]));
    }

    private void Print(OccupancyScore score)
        => session.Line(
            $"by occupancy masks: {score.Found} of {Counted.Of(score.Truth, "particle")} found, "
            + $"{Counted.Of(score.FoundAgain, "pick")} in one already found, {score.OtherObjects} in other objects, "
            + $"{score.Background} in none, {score.OutsideVolume} outside; precision {score.Precision:0.000}, recall "
            + $"{score.Recall:0.000}, F1 {score.F1:0.000}, mean distance {Voxels(score.MeanDistanceVoxels)}");

    // Picks without classes are right for one class and wrong for another: there is no precision.
    private object Json(ClassResult result)
        => ownPicks
            ? new { result.Class, result.Result }
            : new
            {
                result.Class,
                result.Result.Truth,
                Radii = result.Result.Radii.Select(r => new { r.RadiusVoxels, r.FoundTruth, r.Recall }),
            };

    private static string Signed(double mean, double error)
        => double.IsNaN(error) ? $"{mean:+0.000;-0.000;0.000}" : $"{mean:+0.000;-0.000;0.000} ± {error:0.000}";

    private static string Voxels(double? value) => value is { } v ? $"{v:0.00} voxels" : "undefined";
}
