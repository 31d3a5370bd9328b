using System.CommandLine;
using MeanShiftGpu.Cli.Benchmarking;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>The options of 'bench stability', and what it prints.</summary>
internal sealed class BenchStability
{
    private readonly Option<int> runs = Parse.Integer("--runs",
        $"{Name}: trainings of each data set and preset, with the seeds 1, 2, ….", 8, 1, 10_000);
    private readonly Option<int> steps = Parse.Integer("--steps", $"{Name}: steps of each training.", 200, 20, int.MaxValue);
    private readonly Option<int?> schedule = Parse.Integer("--schedule-steps",
        $"{Name}: steps that the learning rate is laid out for, where a training is cut short. Default: --steps.", 20);
    private readonly Option<bool> hard = new("--hard")
    {
        Description = $"{Name}: no output bias, a learning rate "
        + "of 0.002 and a beta2 of 0.999, with which some trainings without --center-weight lose their map."
    };
    private readonly Option<double?> centerWeight = Parse.Real("--center-weight",
        $"{Name}: as of train. Default: the preset's.", 0);
    private readonly Option<string[]> data = Parse.Texts("--data", "NAME",
        $"{Name}: data sets, of {string.Join(", ", StabilityBench.DataNames)}. Default: all.");
    private readonly Option<string[]> presets = Parse.Texts("--presets", "NAME",
        $"{Name}: presets, of {string.Join(", ", StabilityBench.PresetNames)}. Default: both.");

    /// <summary>What the verb calls it.</summary>
    public const string Name = "stability";

    /// <summary>The options.</summary>
    public IReadOnlyList<Symbol> Symbols => [runs, steps, schedule, hard, centerWeight, data, presets];

    /// <summary>Runs the trainings that are not in the folder yet.</summary>
    /// <returns>All that are there then.</returns>
    public IReadOnlyList<StabilityRun> Run(
        ParseResult options, Session session, GpuContext context, string folder, CancellationToken cancellation)
    {
        StabilityOptions wanted = new()
        {
            Data = OneOf("--data", options.GetValue(data), StabilityBench.DataNames),
            Presets = OneOf("--presets", options.GetValue(presets), StabilityBench.PresetNames),
            Runs = options.GetValue(runs),
            Steps = options.GetValue(steps),
            ScheduleSteps = options.GetValue(schedule),
            Hard = options.GetValue(hard),
            CenterWeight = options.GetValue(centerWeight),
        };
        if (wanted.ScheduleSteps < wanted.Steps)
            throw new InputException($"bench {Name}: --schedule-steps {wanted.ScheduleSteps} is less than --steps "
                + $"{wanted.Steps}, and a training goes no further than its learning rate. Give as many or more.");
        IReadOnlyList<StabilityRun> results = new StabilityBench(context, folder, wanted).Run(
            run => session.Line($"{run.Data}, {run.Preset}, seed {run.Seed}: "
                + (run.Failure ?? $"F1 {run.F1At2:0.000} within 2 voxels, {run.F1At4:0.000} within 4")
                + (run.Rollbacks == 0 ? "" : $"; went back {Counted.Of(run.Rollbacks, "time")}")),
            cancellation);
        foreach (string line in StabilityBench.Table(results))
            session.Line(line);
        return results;
    }

    private static IReadOnlyList<string> OneOf(string option, string[]? given, IReadOnlyList<string> known)
    {
        if (given is not { Length: > 0 })
            return known;
        return given.FirstOrDefault(name => !known.Contains(name)) is { } unknown
            ? throw new InputException($"{option}: '{unknown}' is not known. Expected {string.Join(", ", known)}.")
            : given;
    }
}
