using System.Runtime.InteropServices;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Reporting;
using MeanShiftGpu.Tomography.Reproduction;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Demo;

/// <summary>
/// The demo's page: table, F1 against radius, loss curves, and slices with truth and picks beside each score
/// map.
/// </summary>
internal static class SandclockReport
{
    private const int PanelVolumes = 3;
    private const float ReachSlices = 3;

    public static void Write(
        string directory,
        GpuContext context,
        SandclockDemoOptions options,
        IReadOnlyList<SandclockVolume> test,
        IReadOnlyList<DemoRun> runs,
        TimeSpan elapsed)
    {
        using InvariantText invariant = InvariantText.Begin();
        List<ReportPanel> panels =
            [.. Enumerable.Range(0, Math.Min(PanelVolumes, test.Count)).Select(i => Panel(test[i], i, runs))];
        ReportHtml.Write(Path.Combine(directory, SandclockDemo.ReportName), new ReportDocument
        {
            Title = "Sandclock: finding particle centres with Dice, mean shift and both",
            Lead = Lead(options, test, runs),
            Tables = [Table(runs)],
            Panels = panels,
            Charts =
            [
                PaperReport.F1Chart("F1 against hit radius", runs.Select(r => (r.Loss, r.Evaluation))),
                .. LossCharts(runs),
            ],
            Facts = Facts(context, options, runs, elapsed),
        });
        ReportPlots.WriteSvg(Path.Combine(directory, "slices.svg"), panels[0]);
    }

    private static List<string> Lead(
        SandclockDemoOptions options, IReadOnlyList<SandclockVolume> test, IReadOnlyList<DemoRun> runs)
    {
        double Mean(PaperLoss loss, double radius) => runs.Where(r => r.Loss == loss).Average(r => r.Evaluation.At(radius).F1);
        return
        [
            "A sandclock is two balls that touch; its centre is the point between them. The same small network was trained "
            + $"{Counted.Of(options.Steps, "step")} from the same start " +
            $"with three losses, and then picked the particles of {Counted.Of(test.Count, "volume")} that it had never seen "
            + $"({Counted.Of(test.Sum(v => v.Centers.Count), "particle")}), always with the same clustering.",
            $"Within 2 voxels of the centre, F1 is {Mean(PaperLoss.Dice, 2):0.00} after training with Dice, "
            + $"{Mean(PaperLoss.MeanShift, 2):0.00} with the mean-shift loss and " +
            $"{Mean(PaperLoss.Both, 2):0.00} with both. Dice learns the shape, whose halves the clustering then takes for "
            + "centres; the mean-shift loss learns the centre itself.",
        ];
    }

    private static ReportTable Table(IReadOnlyList<DemoRun> runs)
        => ReportTable.FromRuns(
            "Picks against truth",
            [
                new ReportColumn("dist_pred", 2, ReportBest.Smallest, "mean distance from a pick to the nearest centre, in "
                    + "voxels (equation 3 of the paper)"),
                new ReportColumn("dist_GT", 2, ReportBest.Smallest, "mean distance from a centre to the nearest pick, in "
                    + "voxels (equation 4)"),
                new ReportColumn("F1 at 4", 2, ReportBest.Largest, "equations 5 and 6 at a hit radius of 4 voxels; the lobes "
                    + "lie 4 voxels from the centre, so a good segmentation scores here too"),
                new ReportColumn("F1 at 2", 2, ReportBest.Largest, "the same at 2 voxels, where only true centres count"),
                new ReportColumn("1:1 F1 at 2", 2, ReportBest.Largest, "the same with every pick and centre used once, so that "
                    + "duplicates count as errors"),
                new ReportColumn("picks", 0, ReportBest.None, "number of picks"),
            ],
            [
                .. runs.Select(r => new ReportRun(PaperLosses.Title(r.Loss), PaperLosses.Color(r.Loss),
                [
                    r.Evaluation.DistPred,
                    r.Evaluation.DistGt,
                    r.Evaluation.At(4).F1,
                    r.Evaluation.At(2).F1,
                    r.Evaluation.At(2).OneToOneF1,
                    r.Evaluation.Predictions,
                ])),
            ],
            [.. Enum.GetValues<PaperLoss>().Select(
                l => new ReportRow(
                    $"{PaperLosses.Title(l)}, paper",
                    PaperLosses.Color(l),
                    PaperTable.Paper(PaperDataset.Sandclock, l),
                    IsReference: true))],
            $"Measured on {runs[0].Evaluation.Volumes} unseen volumes with {runs[0].Evaluation.Truth} particles. The paper's "
            + "rows are its Table 1: other volumes, a wider network and 1000 epochs, so a context, not a competition.");

    private static ReportPanel Panel(SandclockVolume volume, int index, IReadOnlyList<DemoRun> runs)
    {
        DemoRun[] first = [.. runs.Where(r => r.Seed == runs[0].Seed)];
        int z = ReportImage.FullestSlice(volume.Centers, volume.Depth, ReachSlices);
        return new ReportPanel(
            $"Unseen volume {index + 1}, slice {z}",
            [
                ReportImage.FromVolume(
                    "Volume", volume.Image, volume.Depth, volume.Height, volume.Width, z, volume.Centers, [], ReachSlices),
                .. first.Select(r => ReportImage.FromVolume(
                    PaperLosses.Title(r.Loss), r.ScoreMaps[index], volume.Depth, volume.Height, volume.Width, z, volume.Centers,
                    [.. r.Picks[index].Select(p => p.Position)],
                    ReachSlices,
                    window: (0, Math.Max(r.ScoreMaps[index].Max(), 1e-6f)))),
            ],
            "The volume and the score map of each network (black is 0, white the map's maximum). Yellow: true centres; red: "
            + $"picks; both within {ReachSlices:0} slices, smaller when further away.");
    }

    private static IEnumerable<ReportChart> LossCharts(IReadOnlyList<DemoRun> runs)
    {
        DemoRun[] first = [.. runs.Where(r => r.Seed == runs[0].Seed)];
        yield return LossChart(
            "Mean-shift loss",
            "mean-shift loss (voxels²)",
            [.. first.Where(r => r.Loss != PaperLoss.Dice)],
            s => s.MeanShift,
            v => v.Loss);
        yield return LossChart("Dice loss", "Dice loss", [.. first.Where(r => r.Loss != PaperLoss.MeanShift)], s => s.Dice, null);
    }

    private static ReportChart LossChart(
        string title, string yTitle, DemoRun[] runs, Func<TrainingStep, double> term, Func<ValidationResult, double>? validation)
        => new()
        {
            Title = title,
            XTitle = "step",
            YTitle = yTitle,
            YMinimum = 0,
            Curves =
            [
                .. runs.Select(
                    r => new ReportCurve(PaperLosses.Title(r.Loss), PaperLosses.Color(r.Loss), Smooth(r.History.Steps, term))),
                .. validation is null ? [] : runs.Select(
                    r => new ReportCurve(
                        $"{PaperLosses.Title(r.Loss)}, validation",
                        PaperLosses.Color(r.Loss),
                        [.. r.History.Validations.Select(v => ((double)v.Step, validation(v)))],
                        Dashed: true)),
            ],
            Caption = "Running mean over 20 training steps; every step sees another volume and other seeds.",
        };

    private static List<(double X, double Y)> Smooth(IReadOnlyList<TrainingStep> steps, Func<TrainingStep, double> term)
    {
        const int window = 20;
        List<(double, double)> points = [];
        for (int i = window - 1; i < steps.Count; i += window / 4)
            points.Add((steps[i].Step, steps.Skip(i - window + 1).Take(window).Average(term)));
        return points;
    }

    private static List<ReportFact> Facts(
        GpuContext context, SandclockDemoOptions options, IReadOnlyList<DemoRun> runs, TimeSpan elapsed)
    {
        double steps = runs.Sum(r => r.History.Steps.Count) / runs.Sum(r => r.TrainingSeconds);
        return
        [
            new("Device", context.Description),
            new("Network", $"3D U-Net, widths {string.Join("-", options.Network.Widths)}"),
            new("Data", $"{options.TrainingVolumes} training, {options.ValidationVolumes} validation and {options.TestVolumes} "
                + $"test volumes of {options.Simulation.Depth}×{options.Simulation.Height}×{options.Simulation.Width} voxels, "
                + $"noise SD {options.Simulation.NoiseDeviation}"),
            new("Training", $"{options.Steps} steps, batch 1, Adam, {steps:0.0} steps per second"),
            new("Picking", $"threshold {options.Picking.Threshold} of the map's maximum, bandwidth "
                + $"{options.Picking.BandwidthVoxels}, merge distance {options.Picking.EffectiveMergeDistanceVoxels}, "
                + $"weighting {options.PickingMeanShift.Weighting}"),
            new("Time", $"{elapsed.TotalSeconds:0} s in all, simulation, training, picking and evaluation"),
            new("Program", $"MeanShiftGpu {Provenance.OwnVersion}, {RuntimeInformation.FrameworkDescription}, "
                + $"{RuntimeInformation.OSDescription}"),
        ];
    }
}
