using System.Runtime.InteropServices;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Reporting;
using MeanShiftGpu.Tomography.Volumes;

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

    /// <summary>The hit radii of the tables, in voxels; the first is that of the headline.</summary>
    public required IReadOnlyList<double> RadiiVoxels { get; init; }

    /// <summary>Whether picks have classes that are to be those of the true particles.</summary>
    public bool OwnPicks { get; init; }

    /// <summary>SHREC's scores; null where there are no occupancy masks.</summary>
    public OccupancyScore? Occupancy { get; init; }

    /// <summary>Where picks and truth come from.</summary>
    public IReadOnlyList<ReportFact> Sources { get; init; } = [];
}

/// <summary>
/// One page about an evaluation: the scores at each radius, the bias along each axis, each class and each volume, scores against radius, and slices of the
/// volumes with true centres and picks.
/// </summary>
public static class EvaluationReport
{
    private const int MostPanels = 3;
    private const int MostClassCurves = 8;
    private const int MostPixels = 256;
    private const int ReachSlices = 3;

    // Noise of one slice hides the particles; their mean over a few shows them.
    private const int SlicesAround = 2;

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
                .. content.RadiiVoxels.Any(r => result.At(r).Bias is not null) ? [Bias(content, result)] : Array.Empty<ReportTable>(),
                .. classes.Count > 0 ? [Classes(content, classes)] : Array.Empty<ReportTable>(),
                .. content.Volumes.Count > 1 ? [PerVolume(content)] : Array.Empty<ReportTable>(),
            ],
            Panels = [.. content.Volumes.Where(v => v.Path is not null).Take(MostPanels).Select(Panel)],
            Charts = [ScoreChart(content, result), .. classes.Count is > 1 and <= MostClassCurves ? [ClassChart(content, classes)] : Array.Empty<ReportChart>()],
            Facts =
            [
                .. content.Sources,
                new("Program", $"MeanShiftGpu {Provenance.OwnVersion}, {RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}"),
            ],
        });
    }

    private static List<string> Lead(EvaluationReportContent content, EvaluationResult result)
    {
        RadiusScore first = result.At(content.RadiiVoxels[0]);
        List<string> lead =
        [
            $"{Counted.Of(result.Predictions, "pick")} and {Counted.Of(result.Truth, "true centre")}. Within {first.RadiusVoxels} voxels F1 is {first.F1:0.000}: {first.HitPredictions} picks lie near a true centre " +
            $"(precision {first.Precision:0.000}), {first.FoundTruth} true centres have a pick (recall {first.Recall:0.000}). {Distances(result)}",
        ];
        if (first.Bias is { } bias)
            lead.Add($"On average over {Counted.Of(bias.Pairs, "pair")} a pick lies {bias.Z:+0.000;-0.000;0.000} voxels along z, {bias.Y:+0.000;-0.000;0.000} along y and {bias.X:+0.000;-0.000;0.000} along x from its centre.");
        if (content.Occupancy is { } masks)
            lead.Add($"By SHREC's occupancy masks {masks.Found} of {masks.Truth} particles are found, {masks.FoundAgain} picks lie in one that another found, {masks.OtherObjects} in other objects, {masks.Background} in none: F1 {masks.F1:0.000}.");
        return lead;
    }

    private static string Distances(EvaluationResult result)
        => result is { DistPred: { } predicted, DistGt: { } truth } ? $"On average it is {predicted:0.00} voxels from a pick to the nearest centre, {truth:0.00} from a centre to the nearest pick." : "";

    private static ReportTable Scores(EvaluationReportContent content, EvaluationResult result)
        => new(
            "Scores",
            [
                new ReportColumn("precision", 3, ReportBest.None, "picks with a true centre within the radius, of all picks"),
                new ReportColumn("recall", 3, ReportBest.None, "true centres with a pick within the radius, of all"),
                new ReportColumn("F1", 3, ReportBest.None, "the harmonic mean of both"),
                new ReportColumn("1-1 precision", 3, ReportBest.None),
                new ReportColumn("1-1 recall", 3, ReportBest.None),
                new ReportColumn("1-1 F1", 3, ReportBest.None, "the same with every pick and centre used once, so that duplicates count as errors"),
            ],
            [
                .. content.RadiiVoxels.Select(result.At).Select(s => new ReportRow(
                    $"within {s.RadiusVoxels} voxels", ReportColor.Blue, [new(s.Precision), new(s.Recall), new(s.F1), new(s.OneToOnePrecision), new(s.OneToOneRecall), new(s.OneToOneF1)])),
            ],
            "Pooled over the volumes.");

    private static ReportTable Bias(EvaluationReportContent content, EvaluationResult result)
        => new(
            "Bias: pick − true centre, in voxels",
            [new("pairs", 0, ReportBest.None), new("z", 3, ReportBest.None), new("y", 3, ReportBest.None), new("x", 3, ReportBest.None)],
            [
                .. content.RadiiVoxels.Select(result.At).Where(s => s.Bias is not null).Select(s => new ReportRow(
                    $"within {s.RadiusVoxels} voxels", ReportColor.Blue,
                    [new(s.Bias!.Pairs), Cell(s.Bias.Z, s.Bias.ErrorZ), Cell(s.Bias.Y, s.Bias.ErrorY), Cell(s.Bias.X, s.Bias.ErrorX)])),
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
                columns.Add(new ReportColumn($"1-1 F1 at {radius}", 3, ReportBest.None));
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
            content.OwnPicks ? "Picks of a class against the true centres of the same class." : "Which true particles have a pick; the picks have no class.");
    }

    private static ReportTable PerVolume(EvaluationReportContent content)
        => new(
            $"Volumes, within {content.RadiiVoxels[0]} voxels",
            [
                new("picks", 0, ReportBest.None), new("centres", 0, ReportBest.None), new("precision", 3, ReportBest.None), new("recall", 3, ReportBest.None), new("F1", 3, ReportBest.None),
                new("1-1 F1", 3, ReportBest.None),
            ],
            [
                .. content.Volumes.Select(v =>
                {
                    EvaluationResult result = Evaluator.Evaluate([v.Points], [content.RadiiVoxels[0]]);
                    RadiusScore score = result.Radii[0];
                    return new ReportRow(v.Name, ReportColor.Blue, [new(result.Predictions), new(result.Truth), new(score.Precision), new(score.Recall), new(score.F1), new(score.OneToOneF1)]);
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
                Curve("1-1 F1", ReportColor.Green, result, s => s.OneToOneF1, dashed: true),
            ],
            Caption = "Where the curves are flat, picks are either near a centre or far from any; where 1-1 F1 is lower than F1, particles are picked twice.",
        };

    private static ReportChart ClassChart(EvaluationReportContent content, IReadOnlyList<ClassResult> classes)
        => new()
        {
            Title = content.OwnPicks ? "F1 of each class" : "Recall of each class",
            XTitle = "hit radius (voxels)",
            YTitle = content.OwnPicks ? "1-1 F1" : "recall",
            YMinimum = 0,
            YMaximum = 1,
            Curves = [.. classes.Select((c, i) => Curve(
                c.Class, ClassColors[i % ClassColors.Length], c.Result, s => content.OwnPicks ? s.OneToOneF1 : s.Recall, dashed: i >= ClassColors.Length))],
            Caption = content.OwnPicks ? "Over one-to-one pairs of a class's picks and centres." : "True centres of the class with a pick within the radius.",
        };

    private static ReportCurve Curve(string name, ReportColor color, EvaluationResult result, Func<RadiusScore, double> value, bool dashed = false)
        => new(name, color, [.. ChartRadii.Select(r => (r, value(result.At(r))))], Dashed: dashed);

    private static ReportPanel Panel(EvaluatedVolume volume)
    {
        using MrcReader reader = MrcReader.Open(volume.Path!);
        Extent size = reader.Size;
        // Of a wide volume the middle: markers over thousands of voxels could not be told apart.
        Extent window = size with { Height = Math.Min(size.Height, MostPixels), Width = Math.Min(size.Width, MostPixels) };
        (int y, int x) = ((size.Height - window.Height) / 2, (size.Width - window.Width) / 2);
        IReadOnlyList<Position> Inside(IReadOnlyList<Position> points)
            => [.. points.Select(p => p with { Y = p.Y - y, X = p.X - x }).Where(p => p.Y >= -0.5 && p.Y < window.Height - 0.5 && p.X >= -0.5 && p.X < window.Width - 0.5)];
        (IReadOnlyList<Position> truth, IReadOnlyList<Position> picks) = (Inside(volume.Points.Truth), Inside(volume.Points.Predictions));
        int z = ReportImage.FullestSlice(truth, size.Depth, ReachSlices);
        float[] slice = MeanSlice(reader, z, (y, x), window);
        ReportImage Image(string title, IReadOnlyList<Position> shownTruth, IReadOnlyList<Position> shownPicks)
            => ReportImage.FromSlice(title, slice, window.Height, window.Width, z, shownTruth, shownPicks, ReachSlices);
        string part = window == size ? "" : $", the middle {window.Height}×{window.Width} voxels";
        return new ReportPanel(
            $"{volume.Name}, slice {z}",
            [Image("Volume", [], []), Image("True centres and picks", truth, picks)],
            $"The mean of {2 * SlicesAround + 1} slices{part}. Yellow: true centres; red: picks; both within {ReachSlices} slices, smaller when further away.");
    }

    private static float[] MeanSlice(MrcReader reader, int z, (int Y, int X) origin, Extent window)
    {
        (int first, int last) = (Math.Max(0, z - SlicesAround), Math.Min(reader.Size.Depth - 1, z + SlicesAround));
        float[] slice = new float[window.Height * window.Width];
        float[] one = new float[slice.Length];
        for (int i = first; i <= last; i++)
        {
            reader.Read(new Box((i, origin.Y, origin.X), window with { Depth = 1 }), one);
            for (int k = 0; k < slice.Length; k++)
                slice[k] += one[k] / (last - first + 1);
        }

        return slice;
    }

    private static ReportCell Cell(double mean, double error) => new(mean, double.IsNaN(error) ? null : error);
}
