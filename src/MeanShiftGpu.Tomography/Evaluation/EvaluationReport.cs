using System.Runtime.InteropServices;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Reporting;
using MeanShiftGpu.Tomography.Viewing;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>A volume whose picks were compared with the truth.</summary>
/// <param name="Name">For headings.</param>
/// <param name="Points">Its picks and true centres.</param>
/// <param name="Path">Its MRC file, for pictures; null for none.</param>
public sealed record EvaluatedVolume(string Name, EvaluationVolume Points, string? Path);

/// <summary>Everything that an evaluation's page shows.</summary>
public sealed record EvaluationReportContent
{
    /// <summary>The volumes.</summary>
    public required IReadOnlyList<EvaluatedVolume> Volumes { get; init; }

    /// <summary>
    /// The hit radii of the tables, in voxels; headline and pictures are of the one in the middle.
    /// </summary>
    public required IReadOnlyList<double> RadiiVoxels { get; init; }

    /// <summary>Whether picks have classes that are to be those of the true particles.</summary>
    public bool OwnPicks { get; init; }

    /// <summary>SHREC's scores; null where there are no occupancy masks.</summary>
    public OccupancyScore? Occupancy { get; init; }

    /// <summary>Where picks and truth come from.</summary>
    public IReadOnlyList<ReportFact> Sources { get; init; } = [];
}

/// <summary>
/// One page about an evaluation: the scores at each radius, the bias along each axis, each class and each
/// volume, scores against radius and threshold, and the volumes with hits, misses and false picks.
/// </summary>
public static class EvaluationReport
{
    private const int MostClassCurves = 8;
    private const int MostThresholds = 40;

    // A mean of noise is beyond so many standard errors on one axis of twenty; it is pointed out from a size
    // on that matters.
    private const double ErrorsOfABias = 2;
    private const double LeastBiasVoxels = 0.1;

    private static readonly double[] ChartRadii = [.. Enumerable.Range(1, 16).Select(i => i / 2.0)];
    private static readonly ReportColor[] ClassColors = [ReportColor.Blue, ReportColor.Red, ReportColor.Green, ReportColor.Grey];

    /// <summary>Writes the page.</summary>
    /// <exception cref="InputException">A volume cannot be read, or the page not be written.</exception>
    public static void Write(string path, EvaluationReportContent content)
    {
        ArgumentNullException.ThrowIfNull(content);
        using InvariantText invariant = InvariantText.Begin();
        EvaluationVolume[] volumes = [.. content.Volumes.Select(v => v.Points)];
        double[] radii = [.. content.RadiiVoxels.Concat(ChartRadii).Distinct().Order()];
        EvaluationResult result = Evaluator.Evaluate(volumes, radii);
        IReadOnlyList<ClassResult> classes = Evaluator.EvaluateClasses(volumes, radii, content.OwnPicks);
        ReportHtml.Write(path, new ReportDocument
        {
            Title = $"Picks against truth in {Counted.Of(content.Volumes.Count, "volume")}",
            Lead = Lead(content, result),
            Tables =
            [
                Scores(content, result),
                .. content.RadiiVoxels.Any(r => result.At(r).Bias is not null) ? [Bias(content, result)]
                    : Array.Empty<ReportTable>(),
                .. classes.Count > 0 ? [Classes(content, classes)] : Array.Empty<ReportTable>(),
                .. content.Volumes.Count > 1 ? [PerVolume(content)] : Array.Empty<ReportTable>(),
            ],
            Insert = ViewReport.Make(
                [.. content.Volumes.Where(v => v.Path is not null).Select(v => Viewed(v, HeadlineRadius(content)))]),
            Charts = [ScoreChart(content, result), .. ThresholdChart(content) is { } chart ? [chart]
                : Array.Empty<ReportChart>(), .. classes.Count is > 1 and <= MostClassCurves ? [ClassChart(content, classes)]
                : Array.Empty<ReportChart>()],
            Facts =
            [
                .. content.Sources,
                new("Program", $"MeanShiftGpu {Provenance.OwnVersion}, {RuntimeInformation.FrameworkDescription}, "
                    + $"{RuntimeInformation.OSDescription}"),
            ],
        });
    }

    private static List<string> Lead(EvaluationReportContent content, EvaluationResult result)
    {
        double radius = HeadlineRadius(content);
        RadiusScore score = result.At(radius);
        List<string> lead =
        [
            $"{Counted.Of(result.Predictions, "pick")} and {Counted.Of(result.Truth, "true centre")}. Within "
            + $"{Voxels(radius)} F1 is {score.F1:0.000}: {Counted.Of(score.HitPredictions, "pick lies", "picks lie")} near a "
            + $"true centre (precision {score.Precision:0.000}), "
            + $"{Counted.Of(score.FoundTruth, "true centre has", "true centres have")} a pick (recall {score.Recall:0.000}). "
            + $"{Distances(result)}",
        ];
        if (score.Bias is { } bias)
        {
            lead.Add($"On average over {Counted.Of(bias.Pairs, "pair")} a pick lies {bias.Z:+0.000;-0.000;0.000} voxels along "
                + $"z, {bias.Y:+0.000;-0.000;0.000} along y and {bias.X:+0.000;-0.000;0.000} along x from its centre.");
            if (SaidOf(bias) is { } said)
                lead.Add(said);
        }

        if (content.Volumes.Any(v => v.Path is not null))
            lead.Add($"In the pictures a pick within {Voxels(radius)} of a true centre is a hit, and circles "
                + $"have this radius. False picks come first, those with the highest scores at the front; then missed "
                + $"centres; then hits, the farthest first.");
        if (content.Occupancy is { } masks)
            lead.Add($"By SHREC's occupancy masks, found: {masks.Found} of {Counted.Of(masks.Truth, "particle")}; "
                + $"{Counted.Of(masks.FoundAgain, "pick lies", "picks lie")} in one that another found, {masks.OtherObjects} in "
                + $"other objects, {masks.Background} in none: F1 {masks.F1:0.000}.");
        return lead;
    }

    // The smallest may be so strict that hardly any pick is a hit, and within the largest all are; so the
    // one in the middle is that of the headline and of the pictures.
    private static double HeadlineRadius(EvaluationReportContent content)
    {
        double[] radii = [.. content.RadiiVoxels.Where(r => r > 0).Order()];
        return radii.Length > 0 ? radii[radii.Length / 2] : content.RadiiVoxels[0];
    }

    private static string Voxels(double count) => count == 1 ? "1 voxel" : $"{count} voxels";

    /// <summary>A bias that its error does not explain, in a sentence; null where there is none.</summary>
    internal static string? SaidOf(AxisBias bias)
    {
        (string Axis, double Mean, double Error)[] axes =
            [("z", bias.Z, bias.ErrorZ), ("y", bias.Y, bias.ErrorY), ("x", bias.X, bias.ErrorX)];
        string[] large =
            [.. axes.Where(a => Math.Abs(a.Mean) > Math.Max(LeastBiasVoxels, ErrorsOfABias * a.Error))
            .Select(a => $"{a.Mean:+0.00;-0.00} ± {a.Error:0.00} voxels along {a.Axis}")];
        return large.Length == 0 ? null
            : $"The picks are shifted: they lie {string.Join(" and ", large)} from their centres, which is more than chance "
                + $"explains. Half a voxel comes from another origin of coordinates; check binning and format of both tables.";
    }

    private static ReportedVolume Viewed(EvaluatedVolume volume, double radius)
    {
        EvaluationVolume points = volume.Points;
        Dictionary<int,
            int> truthOf = OneToOneMatching.Match(points.Predictions, points.Truth, radius)
            .ToDictionary(p => p.Prediction, p => p.Truth);
        HashSet<int> found = [.. truthOf.Values];
        NearestPoints? truth = points.Truth.Count > 0 ? new NearestPoints(points.Truth) : null;
        const int hit = 0, again = 1, wrong = 2, missed = 3;
        double? Score(int pick) => points.PredictionScores?[pick];
        var picks = points.Predictions.Index().Select(p => (
            Point: new ReportedPoint(p.Item, truthOf.ContainsKey(p.Index) ? hit : truth?.DistanceTo(p.Item) <= radius ? again
                : wrong)
            { Score = Score(p.Index) },
            Away: truthOf.TryGetValue(p.Index, out int t) ? p.Item.DistanceTo(points.Truth[t]) : 0)).ToArray();
        IEnumerable<ReportedPoint> Of(int kind) =>
            picks.Where(p => p.Point.Kind == kind).OrderByDescending(p => p.Away).ThenByDescending(p => p.Point.Score)
            .Select(p => p.Point);
        IEnumerable<ReportedPoint> notFound = points.Truth.Index().Where(t => !found.Contains(t.Index))
            .Select(t => new ReportedPoint(t.Item, missed));
        double diameter = Math.Max(1, 2 * radius);
        ViewedKind[] kinds =
            [new("hit", diameter), new("second pick of a particle", diameter), new("false pick", diameter),
            new("missed centre", diameter)];
        return new ReportedVolume(volume.Name, volume.Path!, kinds, [.. Of(wrong), .. Of(again), .. notFound, .. Of(hit)],
            WorstFirst: true);
    }

    /// <summary>
    /// Precision and recall of the picks from a score up; null where picks have no scores that differ.
    /// </summary>
    private static ReportChart? ThresholdChart(EvaluationReportContent content)
    {
        double radius = HeadlineRadius(content);
        double[] scores = [.. content.Volumes.SelectMany(v => v.Points.PredictionScores ?? []).OfType<double>().Order()];
        if (scores.Length == 0 || scores[0] == scores[^1])
            return null;
        double[] thresholds =
            [.. Enumerable.Range(0, MostThresholds).Select(i => scores[i * (scores.Length - 1) / (MostThresholds - 1)])
            .Distinct()];
        RadiusScore[] at =
            [.. thresholds
            .Select(t => Evaluator.Evaluate([.. content.Volumes.Select(v => Above(v.Points, t))], [radius]).Radii[0])];
        ReportCurve Of(string name, ReportColor color, Func<RadiusScore, double> value, bool dashed = false)
            => new(name, color, [.. thresholds.Zip(at, (t, s) => (t, value(s)))], Dashed: dashed);
        return new ReportChart
        {
            Title = "Precision and recall against the threshold",
            XTitle = "least score of a pick",
            YTitle = "score",
            YMinimum = 0,
            YMaximum = 1,
            Curves = [Of("precision", ReportColor.Blue, s => s.OneToOnePrecision),
                Of("recall", ReportColor.Red, s => s.OneToOneRecall),
                Of("F1", ReportColor.Green, s => s.OneToOneF1, dashed: true)],
            Caption = $"One-to-one within {Voxels(radius)}, of the picks in the table whose score is at least this. Where F1 "
                + $"still rises at the right, a higher threshold is better; where it falls from the left on, a lower one may "
                + $"be.",
        };
    }

    private static EvaluationVolume Above(EvaluationVolume volume, double threshold)
        => volume with { Predictions = [.. volume.Predictions.Where((_, i) => !(volume.PredictionScores?[i] < threshold))] };

    private static string Distances(EvaluationResult result)
        => result is { DistPred: { } predicted, DistGt: { } truth } ? $"On average it is {predicted:0.00} voxels from a pick "
            + $"to the nearest centre, {truth:0.00} from a centre to the nearest pick." : "";

    private static ReportTable Scores(EvaluationReportContent content, EvaluationResult result)
        => new(
            "Scores",
            [
                new ReportColumn("precision", 3, ReportBest.None, "picks with a true centre within the radius, of all picks"),
                new ReportColumn("recall", 3, ReportBest.None, "true centres with a pick within the radius, of all"),
                new ReportColumn("F1", 3, ReportBest.None, "the harmonic mean of both"),
                new ReportColumn("1:1 precision", 3, ReportBest.None),
                new ReportColumn("1:1 recall", 3, ReportBest.None),
                new ReportColumn("1:1 F1", 3, ReportBest.None, "the same with every pick and centre used once, so that "
                    + "duplicates count as errors"),
            ],
            [
                .. content.RadiiVoxels.Select(result.At).Select(s => new ReportRow(
                    $"within {Voxels(s.RadiusVoxels)}", ReportColor.Blue,
                    [new(s.Precision), new(s.Recall), new(s.F1), new(s.OneToOnePrecision), new(s.OneToOneRecall), new(
                        s.OneToOneF1)])),
            ],
            "Pooled over the volumes.");

    private static ReportTable Bias(EvaluationReportContent content, EvaluationResult result)
        => new(
            "Bias: pick − true centre, in voxels",
            [new("pairs", 0, ReportBest.None), new("z", 3, ReportBest.None), new("y", 3, ReportBest.None), new(
                "x", 3, ReportBest.None)],
            [
                .. content.RadiiVoxels.Select(result.At).Where(s => s.Bias is not null).Select(s => new ReportRow(
                    $"within {Voxels(s.RadiusVoxels)}", ReportColor.Blue,
                    [new(s.Bias!.Pairs), Cell(s.Bias.Z, s.Bias.ErrorZ), Cell(s.Bias.Y, s.Bias.ErrorY), Cell(
                        s.Bias.X, s.Bias.ErrorX)])),
            ],
            "Mean over one-to-one pairs ± its standard error. A half-voxel shift of coordinates shows here.");

    private static ReportTable Classes(EvaluationReportContent content, IReadOnlyList<ClassResult> classes)
    {
        List<ReportColumn> columns = [new("centres", 0, ReportBest.None)];
        if (content.OwnPicks)
            columns.Add(new ReportColumn("picks", 0, ReportBest.None));
        foreach (double radius in content.RadiiVoxels)
        {
            if (content.OwnPicks)
            {
                columns.Add(new ReportColumn($"precision at {radius}", 3, ReportBest.None));
                columns.Add(new ReportColumn($"recall at {radius}", 3, ReportBest.None));
                columns.Add(new ReportColumn($"1:1 F1 at {radius}", 3, ReportBest.None));
            }
            else
            {
                columns.Add(new ReportColumn($"found at {radius}", 0, ReportBest.None));
                columns.Add(new ReportColumn($"recall at {radius}", 3, ReportBest.None));
            }
        }

        IEnumerable<ReportCell> Cells(EvaluationResult result)
        {
            yield return new(result.Truth);
            if (content.OwnPicks)
                yield return new(result.Predictions);
            foreach (RadiusScore score in content.RadiiVoxels.Select(result.At))
            {
                yield return new(content.OwnPicks ? score.Precision : score.FoundTruth);
                yield return new(score.Recall);
                if (content.OwnPicks)
                    yield return new(score.OneToOneF1);
            }
        }

        return new ReportTable(
            "Classes",
            columns,
            [.. classes.Select((c, i) => new ReportRow(c.Class, ClassColors[i % ClassColors.Length], [.. Cells(c.Result)]))],
            content.OwnPicks ? "Picks of a class against the true centres of the same class." : "Which true particles have a "
                + "pick; the picks have no class.");
    }

    private static ReportTable PerVolume(EvaluationReportContent content)
        => new(
            $"Volumes, within {content.RadiiVoxels[0]} voxels",
            [
                new("picks", 0, ReportBest.None),
                new("centres", 0, ReportBest.None),
                new("precision", 3, ReportBest.None),
                new("recall", 3, ReportBest.None),
                new("F1", 3, ReportBest.None),
                new("1:1 F1", 3, ReportBest.None),
            ],
            [
                .. content.Volumes.Select(v =>
                {
                    EvaluationResult result = Evaluator.Evaluate([v.Points], [content.RadiiVoxels[0]]);
                    RadiusScore score = result.Radii[0];
                    return new ReportRow(
                        v.Name, ReportColor.Blue,
                        [new(result.Predictions), new(result.Truth), new(score.Precision), new(score.Recall), new(score.F1), new(
                            score.OneToOneF1)]);
                }),
            ],
            "Each volume by itself.");

    private static ReportChart ScoreChart(EvaluationReportContent content, EvaluationResult result)
        => new()
        {
            Title = "Scores against hit radius",
            XTitle = "hit radius (voxels)",
            YTitle = "score",
            YMinimum = 0,
            YMaximum = 1,
            Guides = [.. content.RadiiVoxels.Where(r => r <= ChartRadii[^1]).Take(2).Select(r => (r, $"{r}"))],
            Curves =
            [
                Curve("precision", ReportColor.Blue, result, s => s.Precision),
                Curve("recall", ReportColor.Red, result, s => s.Recall),
                Curve("F1", ReportColor.Green, result, s => s.F1),
                Curve("1:1 F1", ReportColor.Green, result, s => s.OneToOneF1, dashed: true),
            ],
            Caption = "Where the curves are flat, picks are either near a centre or far from any; where 1:1 F1 is lower than "
                + "F1, particles are picked twice.",
        };

    private static ReportChart ClassChart(EvaluationReportContent content, IReadOnlyList<ClassResult> classes)
        => new()
        {
            Title = content.OwnPicks ? "F1 of each class" : "Recall of each class",
            XTitle = "hit radius (voxels)",
            YTitle = content.OwnPicks ? "1:1 F1" : "recall",
            YMinimum = 0,
            YMaximum = 1,
            Curves = [.. classes.Select((c, i) => Curve(
                c.Class,
                ClassColors[i % ClassColors.Length],
                c.Result,
                s => content.OwnPicks ? s.OneToOneF1 : s.Recall,
                dashed: i >= ClassColors.Length))],
            Caption = content.OwnPicks ? "Over one-to-one pairs of a class's picks and centres." : "True centres of the class "
                + "with a pick within the radius.",
        };

    private static ReportCurve Curve(
        string name, ReportColor color, EvaluationResult result, Func<RadiusScore, double> value, bool dashed = false)
        => new(name, color, [.. ChartRadii.Select(r => (r, value(result.At(r))))], Dashed: dashed);

    private static ReportCell Cell(double mean, double error) => new(mean, double.IsNaN(error) ? null : error);
}
