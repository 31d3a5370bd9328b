using System.Globalization;
using System.Text;
using MathNet.Numerics.Distributions;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Reporting;

namespace MeanShiftGpu.Tomography.Reproduction;

/// <summary>The results beside the paper's Table 1, and what the losses differ by.</summary>
public static class PaperTable
{
    /// <summary>
    /// What is tabulated: a name, its decimals, which direction is better, and how a result gives it.
    /// </summary>
    internal static readonly (
        string Name, int Decimals, ReportBest Best, string Explanation, Func<PaperResult, double?> Of)[] Figures =
    [
        ("dist_pred", 2, ReportBest.Smallest, "mean distance from a pick to the nearest centre, in voxels (equation 3)",
            r => r.Evaluation?.DistPred),
        ("dist_GT", 2, ReportBest.Smallest, "mean distance from a centre to the nearest pick, in voxels (equation 4)",
            r => r.Evaluation?.DistGt),
        ("F1 at 4", 2, ReportBest.Largest, "equations 5 and 6 at a hit radius of 4 voxels", r => r.Evaluation?.At(4).F1),
        ("F1 at 2", 2, ReportBest.Largest, "the same at 2 voxels", r => r.Evaluation?.At(2).F1),
        ("1:1 F1 at 4", 2, ReportBest.Largest, "every pick and centre used once, so that duplicates count as errors",
            r => r.Evaluation?.At(4).OneToOneF1),
        ("1:1 F1 at 2", 2, ReportBest.Largest, "the same at 2 voxels", r => r.Evaluation?.At(2).OneToOneF1),
    ];

    // Table 1 of the paper: mean and SD of five runs.
    private static readonly Dictionary<(PaperDataset, PaperLoss),
        (ReportCell DistPred, ReportCell DistGt, ReportCell F1)> Published = new()
        {
            [(PaperDataset.Sandclock, PaperLoss.Dice)] = (new(4.02, 0.01), new(3.82, 0.01), new(0.46, 0.01)),
            [(PaperDataset.Sandclock, PaperLoss.MeanShift)] = (new(2.43, 0.17), new(1.64, 0.24), new(0.81, 0.03)),
            [(PaperDataset.Sandclock, PaperLoss.Both)] = (new(2.62, 0.06), new(1.26, 0.08), new(0.82, 0.01)),
            [(PaperDataset.Shrec, PaperLoss.Dice)] = (new(6.21, 0.29), new(2.09, 0.16), new(0.53, 0.02)),
            [(PaperDataset.Shrec, PaperLoss.MeanShift)] = (new(7.75, 4.70), new(3.99, 1.70), new(0.70, 0.10)),
            [(PaperDataset.Shrec, PaperLoss.Both)] = (new(7.22, 0.42), new(1.69, 0.15), new(0.55, 0.01)),
            [(PaperDataset.Ribo, PaperLoss.Dice)] = (new(8.58, 0.35), new(4.03, 0.04), new(0.56, 0.02)),
            [(PaperDataset.Ribo, PaperLoss.MeanShift)] = (new(8.97, 0.38), new(4.82, 0.85), new(0.55, 0.05)),
            [(PaperDataset.Ribo, PaperLoss.Both)] = (new(8.44, 0.23), new(3.54, 0.10), new(0.61, 0.02)),
            [(PaperDataset.RiboSparse, PaperLoss.Dice)] = (new(8.24, 0.68), new(8.65, 3.06), new(0.45, 0.10)),
            [(PaperDataset.RiboSparse, PaperLoss.MeanShift)] = (new(8.41, 0.44), new(6.46, 1.54), new(0.53, 0.05)),
            [(PaperDataset.RiboSparse, PaperLoss.Both)] = (new(8.87, 0.49), new(4.13, 0.47), new(0.55, 0.05)),
        };

    /// <summary>The title of a data set.</summary>
    public static string Title(PaperDataset dataset) => dataset switch
    {
        PaperDataset.Sandclock => "Sandclock",
        PaperDataset.Shrec => "SHREC-like",
        PaperDataset.Ribo => "Ribo",
        PaperDataset.RiboSparse => "Ribo (sparse)",
        _ => throw UnknownValue.Of(dataset),
    };

    /// <summary>
    /// The mean over seeds of the difference of a figure between two losses that started alike, and half the
    /// width of its 95 % interval (Student's t). Null without a seed that has both; an infinite width with
    /// one.
    /// </summary>
    public static (double Mean, double HalfWidth)? PairedDifference(
        IEnumerable<PaperResult> results, PaperLoss loss, PaperLoss against, Func<PaperResult, double?> of)
    {
        PaperResult[] all = [.. results];
        double[] differences =
        [
            .. from a in all
               where a.Loss == loss
               from b in all
               where b.Loss == against && b.Seed == a.Seed && of(a) is not null && of(b) is not null
               select of(a)!.Value - of(b)!.Value,
        ];
        if (differences.Length == 0)
            return null;
        double mean = differences.Average();
        if (differences.Length == 1)
            return (mean, double.PositiveInfinity);
        double deviation = Math.Sqrt(differences.Sum(d => (d - mean) * (d - mean)) / (differences.Length - 1));
        return (mean, StudentT.InvCDF(0, 1, differences.Length - 1, 0.975) * deviation / Math.Sqrt(differences.Length));
    }

    /// <summary>The paper's row of a data set and loss.</summary>
    internal static IReadOnlyList<ReportCell> Paper(PaperDataset dataset, PaperLoss loss)
    {
        (ReportCell pred, ReportCell gt, ReportCell f1) = Published[(dataset, loss)];
        return [pred, gt, f1, new(null), new(null), new(null)];
    }

    /// <summary>
    /// The tables as Markdown: for each data set the figures of each loss beside the paper's, and the paired
    /// differences.
    /// </summary>
    public static string Markdown(PaperScale scale, IReadOnlyList<PaperResult> results)
    {
        ArgumentNullException.ThrowIfNull(scale);
        ArgumentNullException.ThrowIfNull(results);
        using InvariantText invariant = InvariantText.Begin();
        StringBuilder text = new();
        foreach (IGrouping<PaperDataset, PaperResult> dataset in results.GroupBy(r => r.Dataset).OrderBy(g => g.Key))
        {
            text.AppendLine($"## {Title(dataset.Key)}").AppendLine();
            text.AppendLine($"| loss | runs | {string.Join(" | ", Figures.Select(f => f.Name))} | signed bias z, y, x |");
            text.AppendLine($"|---|---|{string.Concat(Enumerable.Repeat("---|", Figures.Length + 1))}");
            foreach (IGrouping<PaperLoss, PaperResult> loss in dataset.GroupBy(r => r.Loss).OrderBy(g => g.Key))
            {
                PaperResult[] good = [.. loss.Where(r => r.Evaluation is not null)];
                string runs = good.Length == loss.Count() ? $"{good.Length}" : $"{good.Length} of {loss.Count()} (the others "
                    + "gave no model)";
                text.AppendLine($"| {PaperLosses.Words(loss.Key)} | {runs} | "
                    + string.Join(" | ", Figures.Select(f => Cell(ReportCell.FromRuns([.. good.Select(f.Of)]), f.Decimals)))
                    + $" | {Bias(good)} |");
            }

            foreach (PaperLoss loss in Enum.GetValues<PaperLoss>())
                text.AppendLine($"| {PaperLosses.Words(loss)}, paper | 5 | "
                    + $"{string.Join(" | ", Paper(dataset.Key, loss).Zip(Figures, (c, f) => Cell(c, f.Decimals)))} | |");
            text.AppendLine();
            text.AppendLine($"| difference over seeds, 95 % interval | {string.Join(" | ", Figures.Select(f => f.Name))} |");
            text.AppendLine($"|---|{string.Concat(Enumerable.Repeat("---|", Figures.Length))}");
            foreach ((PaperLoss loss, PaperLoss against) in Pairs)
                text.AppendLine($"| {PaperLosses.Words(loss)} − {PaperLosses.Words(against)} | "
                    + $"{string.Join(" | ", Figures.Select(f => Difference(PairedDifference(dataset, loss, against, f.Of))))} |");
            text.AppendLine();
            AppendKinds(text, [.. dataset]);
        }

        string[] versions = [.. results.Select(r => r.Made.Version).Distinct()];
        text.AppendLine($"Scale `{scale.Name}`, widths {string.Join("-", scale.Widths)}, {scale.Steps} steps; made by "
            + $"{string.Join(", ", versions)} on {string.Join(", ", results.Select(r => r.Made.Device).Distinct())}.");
        return text.ToString();
    }

    // Pooled over the runs of a loss.
    private static void AppendKinds(StringBuilder text, IReadOnlyList<PaperResult> results)
    {
        IGrouping<PaperLoss, PaperResult>[] losses =
            [.. results.Where(r => r.Kinds.Count > 0).GroupBy(r => r.Loss).OrderBy(g => g.Key)];
        if (losses.Length == 0)
            return;
        text.AppendLine("Recall within half the particle's radius, and picks of a particle after its first, by protein:");
        text.AppendLine();
        IEnumerable<string> headings = losses.Select(l => $"{PaperLosses.Words(l.Key)}: recall | duplicates a particle");
        text.AppendLine($"| protein | radius in voxels | {string.Join(" | ", headings)} |");
        text.AppendLine($"|---|---|{string.Concat(Enumerable.Repeat("---|", 2 * losses.Length))}");
        foreach (KindScore kind in losses[0].First().Kinds)
        {
            IEnumerable<string> cells = losses.Select(loss =>
            {
                KindScore[] scores = [.. loss.SelectMany(r => r.Kinds).Where(k => k.Kind == kind.Kind)];
                double truth = scores.Sum(s => s.Truth);
                return FormattableString.Invariant(
                    $"{scores.Sum(s => s.Found) / truth:0.00} | {scores.Sum(s => s.Duplicates) / truth:0.00}");
            });
            text.AppendLine(FormattableString.Invariant(
                $"| {kind.Kind} | {kind.RadiusVoxels:0.0} | {string.Join(" | ", cells)} |"));
        }

        text.AppendLine();
    }

    /// <summary>The pairs of losses that are compared.</summary>
    internal static IReadOnlyList<(PaperLoss Loss, PaperLoss Against)> Pairs { get; } =
        [(PaperLoss.MeanShift, PaperLoss.Dice), (PaperLoss.Both, PaperLoss.Dice), (PaperLoss.Both, PaperLoss.MeanShift)];

    private static string Cell(ReportCell cell, int decimals)
    {
        string Number(double value) => value.ToString($"F{decimals}", CultureInfo.InvariantCulture);
        return cell.Mean is not { } mean ? "–" : cell.Deviation is { } deviation ? $"{Number(mean)} ± {Number(deviation)}"
            : Number(mean);
    }

    private static string Difference((double Mean, double HalfWidth)? difference)
        => difference is not (double mean, double half) ? "–" : double.IsFinite(half) ? $"{Signed(mean)} ± {half:0.00}" : Signed(
            mean);

    private static string Bias(IReadOnlyList<PaperResult> results)
    {
        var biases = results.Select(r => r.Evaluation!.At(4).Bias).Where(b => b is not null).Select(b => b!).ToArray();
        return biases.Length == 0
            ? "–"
            : $"{Signed(biases.Average(b => b.Z))}, {Signed(biases.Average(b => b.Y))}, {Signed(biases.Average(b => b.X))}";
    }

    // Rounded first: a small negative number would keep its sign.
    internal static string Signed(double value)
        => Math.Round(value, 2).ToString("+0.00;−0.00;0.00", CultureInfo.InvariantCulture);
}
