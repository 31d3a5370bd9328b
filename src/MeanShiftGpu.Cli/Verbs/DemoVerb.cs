using System.CommandLine;
using System.Diagnostics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Demo;
using MeanShiftGpu.Tomography.Reproduction;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>The whole chain on simulated data, with a report.</summary>
internal sealed class DemoVerb(Session session) : Verb(session)
{
    private readonly Option<string?> output = Parse.Text("--out", "DIR", "Folder for metrics.json, report.html, models and "
        + "picks; those of an earlier demo are replaced. Default: demo-out.");
    private readonly Option<int?> steps = Parse.Integer("--steps", "Training steps of each run. Default: "
        + $"{new SandclockDemoOptions().Steps}.", 1, 1_000_000);
    private readonly Option<int?> runs = Parse.Integer("--runs", "Runs of each loss, with seeds from --seed on: more than one "
        + "gives a mean ± SD. Default: 1.", 1, 100);
    private readonly Option<int?> volumes = Parse.Integer("--volumes", "Unseen volumes that picks are evaluated on. Default: "
        + $"{new SandclockDemoOptions().TestVolumes}.", 1, 10_000);
    private readonly Option<int?> seed = Parse.Integer("--seed", "Seed of the first run. Default: 1.", 0, int.MaxValue);

    public override string Name => "demo";

    public override string Summary => "Shows everything on simulated data, in minutes.";

    protected override string Description =>
        "Simulates sandclocks, trains with Dice, with the mean-shift loss and with both from the same start, picks and "
        + "evaluates on unseen volumes, and writes a report.";

    public override string Example => "meanshift-gpu demo --out demo-out";

    protected override IEnumerable<Symbol> Symbols => [output, steps, runs, volumes, seed];

    protected override IEnumerable<Symbol> Reads => [];

    protected override IEnumerable<Symbol> Writes => [output];

    protected override ExitCode Run(ParseResult options)
    {
        Stopwatch clock = Stopwatch.StartNew();
        string directory = options.GetValue(output) ?? "demo-out";
        SandclockDemoOptions defaults = new();
        int first = options.GetValue(seed) ?? 1;
        SandclockDemoOptions demo = defaults with
        {
            Steps = options.GetValue(steps) ?? defaults.Steps,
            TestVolumes = options.GetValue(volumes) ?? defaults.TestVolumes,
            Seeds = [.. Enumerable.Range(first, options.GetValue(runs) ?? 1)],
        };

        // A demo may be repeated, as everything in its folder comes from it; a report that no demo wrote is
        // somebody's work.
        string report = Path.Combine(directory, SandclockDemo.ReportName);
        Files.Write(output.Name, report, Path.Combine(directory, SandclockDemo.MetricsName));
        if (File.Exists(Path.Combine(directory, SandclockDemo.MetricsName)))
            Session.Line($"{directory}: an earlier demo is replaced");
        else if (File.Exists(report))
            throw new InputException($"{report}: is no demo's (there is no {SandclockDemo.MetricsName} beside it), and would "
                + "be replaced. Choose another folder with --out.");

        using GpuContext context = OpenDevice(options);
        int trainings = demo.Seeds.Count * Enum.GetValues<PaperLoss>().Length;
        IReadOnlyList<DemoRun> results = [];
        int done = 0;
        Session.Progress("demo", tell => results = SandclockDemo.Run(
            context,
            demo,
            directory,
            clock,
            p => tell(
                (done + (double)p.Training.Position / p.Training.Steps) / trainings,
                $"training {done + 1} of {trainings} ({PaperLosses.Words(p.Loss)}), step {p.Training.Position} of "
                    + $"{p.Training.Steps}, loss {p.Training.Latest.Loss:0.000}, {p.Training.StepsPerSecond:0.0} steps/s"),
            _ => done++,
            Cancellation));

        foreach (string written in (string[])[report, Path.Combine(directory, SandclockDemo.MetricsName)])
            Made(options, []).Write(written);
        Session.Table(
            ["loss", "seed", "dist_pred", "dist_GT", "F1 at 4", "F1 at 2", "picks", "particles", "seconds"],
            results.Select(r => (IReadOnlyList<string>)
            [
                PaperLosses.Words(r.Loss),
                $"{r.Seed}",
                Number(r.Evaluation.DistPred),
                Number(r.Evaluation.DistGt),
                Number(r.Evaluation.At(4).F1),
                Number(r.Evaluation.At(2).F1),
                $"{r.Evaluation.Predictions}",
                $"{r.Evaluation.Truth}",
                $"{r.TrainingSeconds:0}",
            ]));
        Session.Line($"{clock.Elapsed.TotalSeconds:0} s; open {report}");
        WriteJson(options, results.Select(r => new
        {
            loss = PaperLosses.JsonName(r.Loss),
            r.Seed,
            r.TrainingSeconds,
            r.Evaluation,
        }));
        return ExitCode.Done;
    }

    private static string Number(double? value) => value is { } number ? $"{number:0.00}" : "-";
}
