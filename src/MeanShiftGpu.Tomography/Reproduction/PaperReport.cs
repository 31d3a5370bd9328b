using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Reporting;

namespace MeanShiftGpu.Tomography.Reproduction;

/// <summary>The page and the Markdown table of an experiment.</summary>
public static class PaperReport
{
    /// <summary>The page's name in the folder.</summary>
    public const string PageName = "report.html";

    /// <summary>The name of the tables as Markdown in the folder.</summary>
    public const string TableName = "table.md";

    private const float ReachSlices = 3;

    /// <summary>
    /// Writes the tables beside the paper's, the F1 curves (the paper's Figure 3) and slices of a test patch
    /// (its Figure 2), these also as files slices-NAME.svg and f1-NAME.svg of each data set.
    /// </summary>
    /// <param name="context">The device: networks of the first seed look at a test patch again.</param>
    /// <param name="folder">The experiment's folder.</param>
    /// <param name="experiment">The experiment.</param>
    /// <param name="scale">Its scale.</param>
    /// <param name="files">Real files in place of simulated ones.</param>
    /// <param name="results">What there is so far.</param>
    /// <param name="cancellation">Stops between two networks.</param>
    public static void Write(
        GpuContext context,
        string folder,
        PaperExperiment experiment,
        PaperScale scale,
        PaperFiles files,
        IReadOnlyList<PaperResult> results,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(experiment);
        ArgumentNullException.ThrowIfNull(scale);
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(results);
        using InvariantText invariant = InvariantText.Begin();
        AtomicFile.Write(
            Path.Combine(folder, TableName),
            stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(PaperTable.Markdown(scale, results))));
        IGrouping<PaperDataset, PaperResult>[] datasets =
            [.. results.Where(r => r.Evaluation is not null).GroupBy(r => r.Dataset).OrderBy(g => g.Key)];
        ReportPanel[] panels =
            [.. datasets.Select(d => Panel(d.Key, [.. d.Where(r => r.Seed == d.Min(o => o.Seed)).OrderBy(r => r.Loss)]))];
        ReportChart[] charts = [.. datasets.Select(d => F1Chart(
            $"{PaperTable.Title(d.Key)}: F1 against hit radius", d.Select(r => (r.Loss, r.Evaluation!))))];
        for (int i = 0; i < datasets.Length; i++)
        {
            string name = PaperData.NameOf(datasets[i].Key);
            ReportPlots.WriteSvg(Path.Combine(folder, $"slices-{name}.svg"), panels[i]);
            ReportPlots.WriteSvg(Path.Combine(folder, $"f1-{name}.svg"), charts[i]);
        }

        ReportHtml.Write(Path.Combine(folder, PageName), new ReportDocument
        {
            Title = "Finding centres: Dice, mean shift and both on the data sets of the paper",
            Lead =
            [
                "The paper's claim is that a network which is trained through mean shift finds the centres of particles more "
                + "accurately than one which is trained to segment. " +
                "Here the same network is trained from the same start with three losses on each data set, at the scale "
                + $"'{scale.Name}': {Counted.Of(results.Count, "training")} so far.",
                .. results.Where(r => r.Failure is not null).Select(r => $"{r.Run.Name} gave no model: {r.Failure}"),
            ],
            Tables = [.. datasets.Select((dataset, i) => Table(dataset, explained: i == 0))],
            Panels = panels,
            Charts = charts,
            Facts = Facts(scale, files, results),
        });

        ReportPanel Panel(PaperDataset dataset, PaperResult[] first)
        {
            IReadOnlyList<PaperPatch> patches = experiment.Look(context, first, cancellation);
            PaperPatch patch = patches[0];
            int z = ReportImage.FullestSlice(patch.Centers, patch.Size.Depth, ReachSlices);
            return new ReportPanel(
                $"{PaperTable.Title(dataset)}: a test patch, slice {z}",
                [
                    ReportImage.FromVolume(
                        "Image",
                        patch.Image,
                        patch.Size.Depth,
                        patch.Size.Height,
                        patch.Size.Width,
                        z,
                        patch.Centers,
                        [],
                        ReachSlices),
                    .. first.Zip(patches, (r, p) => ReportImage.FromVolume(
                        PaperLosses.Words(r.Loss),
                        p.Scores,
                        p.Size.Depth,
                        p.Size.Height,
                        p.Size.Width,
                        z,
                        p.Centers,
                        p.Picks,
                        ReachSlices,
                        window: (0, Math.Max(p.Scores.Max(), 1e-6f)))),
                ],
                $"The image and the score map of each network. Yellow: true centres; red: picks; both within {ReachSlices:0} "
                + "slices of this one.");
        }
    }

    // The columns are the same in all tables, so the first alone explains them.
    private static ReportTable Table(IGrouping<PaperDataset, PaperResult> dataset, bool explained)
        => ReportTable.FromRuns(
            PaperTable.Title(dataset.Key),
            [.. PaperTable.Figures.Select(f => new ReportColumn(f.Name, f.Decimals, f.Best, explained ? f.Explanation : ""))],
            [.. dataset.OrderBy(r => r.Loss).ThenBy(r => r.Seed).Select(
                r => new ReportRun(
                    PaperLosses.Words(r.Loss), PaperLosses.Color(r.Loss), [.. PaperTable.Figures.Select(f => f.Of(r))]))],
            [.. Enum.GetValues<PaperLoss>().Select(
                l => new ReportRow(
                    $"{PaperLosses.Words(l)}, paper",
                    PaperLosses.Color(l),
                    PaperTable.Paper(dataset.Key, l),
                    IsReference: true))],
            $"Picks in {dataset.First().Evaluation!.Volumes} test patches with {dataset.First().Evaluation!.Truth} particles. "
            + $"{Differences(dataset)}");

    private static string Differences(IEnumerable<PaperResult> dataset)
    {
        IEnumerable<string> sentences =
            from pair in PaperTable.Pairs.Where(p => p.Against == PaperLoss.Dice)
            from radius in (double[])[4, 2]
            let difference = PaperTable.PairedDifference(dataset, pair.Loss, pair.Against, r => r.Evaluation?.At(radius).F1)
            where difference is { } d && double.IsFinite(d.HalfWidth)
            select $"F1 at {radius} of {PaperLosses.Words(pair.Loss)} less that of Dice: "
                + $"{PaperTable.Signed(difference.Value.Mean)} ± {difference.Value.HalfWidth:0.00} (paired over seeds, 95 % "
                + "interval).";
        return string.Join(' ', sentences);
    }

    /// <summary>F1 against the hit radius, a curve for each loss: mean and SD over its runs.</summary>
    internal static ReportChart F1Chart(string title, IEnumerable<(PaperLoss Loss, EvaluationResult Evaluation)> runs)
        => new()
        {
            Title = title,
            XTitle = "hit radius (voxels)",
            YTitle = "F1",
            YMinimum = 0,
            YMaximum = 1,
            Guides = [(2, "2"), (4, "4")],
            Curves =
            [
                .. runs.GroupBy(r => r.Loss).OrderBy(g => g.Key).Select(g => Curve(g.Key, [.. g.Select(r => r.Evaluation)])),
            ],
            Caption = "A pick counts when a true centre lies within the radius, and a centre when a pick does.",
        };

    // Of the commit as many digits as tell it from others.
    private static string Short(string version)
        => version.IndexOf('+') is >= 0 and int plus ? version[..Math.Min(version.Length, plus + 11)] : version;

    private static int Sum((int Train, int Validation, int Test) split) => split.Train + split.Validation + split.Test;

    private static ReportCurve Curve(PaperLoss loss, EvaluationResult[] runs)
    {
        double[] radii = [.. runs[0].Radii.Select(s => s.RadiusVoxels)];
        ReportCell[] cells = [.. radii.Select(radius => ReportCell.FromRuns([.. runs.Select(r => (double?)r.At(radius).F1)]))];
        return new ReportCurve(
            PaperLosses.Title(loss),
            PaperLosses.Color(loss),
            [.. radii.Zip(cells, (radius, cell) => (radius, cell.Mean ?? 0))],
            runs.Length > 1 ? [.. cells.Select(c => c.Deviation ?? 0)] : null);
    }

    private static List<ReportFact> Facts(PaperScale scale, PaperFiles files, IReadOnlyList<PaperResult> results)
        =>
        [
            new("Network", $"3D U-Net, widths {string.Join("-", scale.Widths)} (paper: 32-48-64)"),
            new("Training", scale.AsPublished
                ? $"{scale.Steps} steps on patches of {scale.Patch}, with the paper's settings"
                : $"{scale.Steps} steps on parts of {scale.Patch} of the patches, rate "
                    + $"{scale.Training(PaperDataset.Sandclock, PaperLoss.Both, 1).LearningRate}, augmented " +
                  "(paper: 1000 epochs of whole patches, rate 1e-5, not augmented)"),
            new("Losses", scale.AsPublished ? "both: the plain sum" : "both: mean shift and half of Dice (paper: the plain sum)"),
            new("SHREC", files.Has(PaperDataset.Shrec)
                ? "the SHREC 2021 data set"
                : $"simulated: {Counted.Of(Sum(scale.ShrecModels), "tomogram")} "
                    + $"of {scale.Shrec.Extent} voxels with its 13 proteins; no vesicles, no gold (paper: the data set itself)"),
            new("Ribo", files.Has(PaperDataset.Ribo) ? "EMPIAR-10045" : "simulated bacterial ribosomes on 17.4 Å voxels "
                + "(paper: a tomogram of EMPIAR-10045)"),
            new("Picking",
                "threshold, minimum support and joined basins or not, with the best one-to-one F1 at 4 voxels in at most " +
                "20 validation patches, for each training by itself; of Ribo (sparse), where most particles are not marked, "
                + "with the best square of the recall over the number of picks (paper: not stated)"),
            new("Best model", "of ten validations during a training"),
            new("Time", $"{results.Sum(r => r.TrainingSeconds) / 60:0} minutes of training"),
            new("Device", string.Join(", ", results.Select(r => r.Made.Device).Distinct())),
            new("Program", "MeanShiftGpu " + string.Join(", ", results.Select(r => Short(r.Made.Version)).Distinct())),
        ];
}
