using System.Globalization;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Reporting;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Training;

/// <summary>
/// The page of a run, which grows while it trains: how far it is, what it finds, curves, and the same slices
/// of the validation volumes with score map and picks at each validation. A browser that shows it reads it
/// again by itself until the run has ended.
/// </summary>
/// <param name="run">The run.</param>
internal sealed class TrainingPage(TrainingRun run)
{
    private const int RefreshSeconds = 15;

    // Two rows of four pictures: the slice, and how its score map changed.
    private const int PicturesInARow = 4;
    private const int MostMaps = (2 * PicturesInARow) - 1;

    // A curve of every step would be a grey band and make the page heavy.
    private const int MostPoints = 120;

    private readonly List<Seen> seen = [];

    // The pictures of all slices' score maps after one validation: made once, and written each time.
    private sealed record Seen(int Step, IReadOnlyList<ReportImage> Maps);

    /// <summary>Keeps what the slices look like now.</summary>
    /// <param name="validation">The validation that has just been made.</param>
    public void Add(ValidationResult validation)
    {
        using InvariantText invariant = InvariantText.Begin();
        seen.Add(new Seen(validation.Step, [.. run.ValidationSlices.Select(slice => Map(validation.Step, slice))]));
        // The first and the latest stay, and of the others those that leave the steps most evenly spread.
        if (seen.Count > MostMaps)
            seen.RemoveAt(Enumerable.Range(1, seen.Count - 2).MinBy(i => seen[i + 1].Step - seen[i - 1].Step));
    }

    /// <summary>Writes the page.</summary>
    /// <param name="state">Where the run stands, in a sentence or two.</param>
    /// <param name="made">What it is made from.</param>
    /// <param name="isOver">Whether nothing will follow.</param>
    /// <exception cref="InputException">It cannot be written.</exception>
    public void Write(string state, Provenance made, bool isOver)
    {
        using InvariantText invariant = InvariantText.Begin();
        TrainingHistory history = run.Trainer.History;
        ReportHtml.Write(run.Files.Page, new ReportDocument
        {
            Title = "Training",
            RefreshSeconds = isOver ? null : RefreshSeconds,
            Lead = [state, .. Findings(history), .. Health(history)],
            Panels = [.. run.ValidationSlices.Select((slice, index) => Panel(slice, index))],
            Charts = [.. Charts(history)],
            Facts = Facts(made),
        });
    }

    private IEnumerable<string> Findings(TrainingHistory history)
    {
        if (history.Validations is not [.., { } latest])
        {
            if (!run.PicksOnValidation)
                yield return "No volume is kept for validation, so that only the loss can be shown.";
            yield break;
        }

        yield return run.Describe(latest) is { } found
            ? $"At step {latest.Step} the network {found}."
            : $"At step {latest.Step} the validation loss is {latest.Loss:0.0000}.";
        if (run.Trainer.Best is { } best)
            yield return best.Step == latest.Step
                ? "This is the best model so far, and it is the one that is kept."
                : $"The best model so far, which is kept, is that of step {best.Step}"
                    + $"{(best.Picking?.Recall is { } recall ? $" (found {recall:0 %})" : "")}.";
    }

    // What the health of the score maps means; each class has its own.
    private IEnumerable<string> Health(TrainingHistory history)
    {
        foreach (TrainingHealth health in history.Health.GroupBy(h => h.Class).Select(g => g.Last()).OrderBy(h => h.Class))
        {
            string ofClass = run.Options.Classes.Count == 0 ? "" : $" of {run.Options.Classes[health.Class].Name}";
            string verdict = health.Verdict switch
            {
                HealthVerdict.Healthy => $"The annotated centres{ofClass} stand out from the rest of the score map",
                HealthVerdict.Undecided => $"The annotated centres{ofClass} do not stand out from the rest of the score map "
                    + "yet, which is usual at the beginning",
                HealthVerdict.Ill => $"The annotated centres{ofClass} do not stand out from the rest of the score map any "
                    + "more; if this lasts, the run goes back by itself",
                _ => throw UnknownValue.Of(health.Verdict),
            };
            yield return $"{verdict} (scores there are {health.Contrast:0.00} higher on average)."
                + (run.Options.MeanShiftWeight > 0
                    ? $" {health.StuckSeeds:0 %} of the seeds end far from every centre (usual: below 20 %)." : "");
        }

        foreach (Rollback rollback in history.Rollbacks)
            yield return $"After {rollback.Step} steps the run went back to step {rollback.Position} of its schedule: "
                + $"{rollback.Reason}.";
    }

    private ReportPanel Panel(ValidationSlice slice, int index)
    {
        ReportImage image = ReportImage.FromSlice(
            seen.Count == 0 ? "Centres" : "Centres and picks now", [.. slice.Image], slice.Height, slice.Width, slice.Z,
            slice.Centers, slice.Picks, ValidationSlice.ReachSlices);
        ReportImage[] maps = [.. seen.Select(s => s.Maps[index])];
        string names = run.Options.Classes.Count > 1 ? " The map is the largest score of all classes." : "";
        string caption = maps.Length == 0
            ? "The mean of five slices. The score map follows at the first validation."
            : "First: the mean of five slices. Then: the largest score of these slices after some of the validations, from "
                + $"black (0) to white (the map's maximum, which is named).{names} Centres and picks within "
                + $"{ValidationSlice.ReachSlices} slices are shown.";
        return new ReportPanel($"{Path.GetFileName(slice.Volume)}, slice {slice.Slice}", [image, .. maps], caption)
        {
            Columns = Math.Min(PicturesInARow, 1 + maps.Length),
        };
    }

    private static ReportImage Map(int step, ValidationSlice slice) => ReportImage.FromSlice(
        $"Step {step}, maximum {slice.MapMaximum:0.00}", [.. slice.Scores], slice.Height, slice.Width, slice.Z,
        slice.Centers, slice.Picks, ValidationSlice.ReachSlices, window: (0, slice.MapMaximum));

    private IEnumerable<ReportChart> Charts(TrainingHistory history)
    {
        if (history.Steps.Count == 0)
            yield break;
        bool meanShift = run.Options.MeanShiftWeight > 0;
        IReadOnlyList<ValidationResult> validations = history.Validations;
        (double, string)[] guides = [.. history.Rollbacks.Select(r => ((double)r.Step, "went back"))];
        // A validation holds the mean-shift loss alone, so the same of the training lies beside it.
        yield return new ReportChart
        {
            Title = "Loss",
            XTitle = "step",
            YTitle = meanShift ? "mean-shift loss" : "loss",
            Guides = guides,
            Curves =
            [
                new ReportCurve("training", ReportColor.Blue, Means(history.Steps, s => s.Step,
                    s => meanShift ? s.MeanShift : s.Loss)),
                .. validations.Count == 0 ? (ReportCurve[])[]
                    : [new ReportCurve("validation", ReportColor.Red, [.. validations.Select(v => ((double)v.Step, v.Loss))])],
            ],
            Caption = "It should fall. The training's curve is a mean of neighbouring steps.",
        };
        if (validations.Any(v => v.Picking is not null))
        {
            ReportCurve Curve(string name, ReportColor color, Func<PickingScore, double> of, bool dashed = false) => new(
                name, color,
                [.. validations.Where(v => v.Picking is not null).Select(v => ((double)v.Step, of(v.Picking!)))],
                Dashed: dashed);
            yield return new ReportChart
            {
                Title = "Picks on the validation volumes",
                XTitle = "step",
                YTitle = "F1",
                YMinimum = 0,
                YMaximum = 1,
                Guides = run.Trainer.Best is { } best ? [.. guides, (best.Step, "best")] : guides,
                Curves =
                [
                    Curve("within bandwidth", ReportColor.Green, s => s.F1Far),
                    Curve("within half", ReportColor.Blue, s => s.F1Near),
                    Curve("by chance", ReportColor.Grey, s => s.FarByChance, dashed: true),
                ],
                Caption = "It should rise far above chance, which is what the same picks reach within a bandwidth of the "
                    + "centres' mirror images. " + (validations.Any(v => v.Picking is { HasFewCenters: true })
                        ? "With fewer than ten annotated centres F1 says little, since a better model also finds what nobody "
                            + "annotated; the model with the lowest validation loss is kept."
                        : "The model with the highest mean of the two F1 is kept."),
            };
        }

        if (history.Health.Count == 0)
            yield break;
        ReportColor[] colors = [ReportColor.Green, ReportColor.Blue, ReportColor.Red, ReportColor.Grey];
        yield return new ReportChart
        {
            Title = "Health of the score map",
            XTitle = "step",
            YTitle = "score, share",
            YMinimum = 0,
            Guides = guides,
            Curves =
            [
                .. history.Health.GroupBy(h => h.Class).OrderBy(g => g.Key).SelectMany(g =>
                {
                    string ofClass = run.Options.Classes.Count == 0 ? "" : $", {run.Options.Classes[g.Key].Name}";
                    ReportColor color = colors[g.Key % colors.Length];
                    ReportCurve contrast = new($"centres stand out by{ofClass}", color,
                        Means([.. g], h => h.Step, h => h.Contrast));
                    return meanShift
                        ? (ReportCurve[])[contrast, new ReportCurve($"stuck seeds{ofClass}", color,
                            Means([.. g], h => h.Step, h => h.StuckSeeds), Dashed: true)]
                        : [contrast];
                }),
            ],
            Caption = "On training patches. The mean score at the annotated centres less the mean of the map should rise and "
                + $"stay.{(meanShift ? " Stuck seeds are those that end farther than the bandwidth from every centre." : "")}",
        };
    }

    private static (double X, double Y)[] Means<T>(IReadOnlyList<T> items, Func<T, double> x, Func<T, double> y)
        => [.. items.Chunk((items.Count + MostPoints - 1) / MostPoints).Select(c => (c.Average(x), c.Average(y)))];

    private ReportFact[] Facts(Provenance made) =>
    [
        new("Written", DateTime.Now.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture)),
        new("Preset", run.Options.Preset),
        new("Steps planned", $"{run.Options.Steps}"),
        new("Patch", $"{run.Options.Patch}, {run.Options.BatchSize} in a step"),
        new("Version", Provenance.OwnVersion),
        new("Device", made.Device),
        new("Command", made.Command),
    ];
}
