using System.CommandLine;
using MeanShiftGpu.Cli.Benchmarking;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Quick timings.</summary>
internal sealed class BenchVerb(Session session) : Verb(session)
{
    private readonly Argument<string[]> names = new("NAME") { Arity = ArgumentArity.ZeroOrMore };

    private readonly Option<int> batch = Parse.Integer("--batch", "Items in a batch of the layers; unet-step, mean-shift and "
        + "pick take one.", 1, 1, int.MaxValue);
    private readonly Option<int?> shrink = Parse.Choice("--shrink", "Divide the edges of the layers and steps and run each "
        + "once, for a check that every case runs. Default: 1.", new[] { 1, 2, 7, 14 }.ToDictionary(n => $"{n}", n => n));
    private readonly Option<Extent?> size = Parse.Size("--size", "pick: the volume in voxels. Default: 56.");
    private readonly Option<int[]?> widths = Parse.IntegerList(
        "--widths", "N,N,…", "The network's channels. Default: 32,48,64.", 1, 1024);
    private readonly Option<int[]?> patches = Parse.IntegerList("--patch", "N,N,…", "unet-step: edges of the patches in "
        + "voxels, rounded down to what the network takes. Default: 32,56,96.", 1, 512);
    private readonly Option<int?> particles = Parse.Integer("--particles", "pick: particles of the score map that is "
        + "clustered. Default: one in 45000 voxels.", 1);
    private readonly Option<string?> output = Parse.Text("--out", "DIR",
        $"{Stability}: folder for a result file of each training; trainings that are there are not run again. {Growth}: for "
            + "growth.md, growth.json and the pictures.");
    private readonly Option<int> runs = Parse.Integer("--runs",
        $"{Stability}: trainings of each data set and preset, with the seeds 1, 2, ….", 8, 1, 10_000);
    private readonly Option<int> steps = Parse.Integer("--steps", $"{Stability}: steps of each training.", 200, 20, int.MaxValue);
    private readonly Option<int?> schedule = Parse.Integer("--schedule-steps",
        $"{Stability}: steps that the learning rate is laid out for, where a training is cut short. Default: --steps.", 20);
    private readonly Option<bool> hard = new("--hard")
    {
        Description = $"{Stability}: no output bias, a learning rate "
        + "of 0.002 and a beta2 of 0.999, with which most trainings without --center-weight lose their map."
    };
    private readonly Option<double?> centerWeight = Parse.Real("--center-weight",
        $"{Stability}: as of train. Default: the preset's.", 0);
    private readonly Option<string[]> data = Parse.Texts("--data", "NAME",
        $"{Stability}: data sets, of {string.Join(", ", StabilityBench.DataNames)}. Default: all.");
    private readonly Option<string[]> presets = Parse.Texts("--presets", "NAME",
        $"{Stability}: presets, of {string.Join(", ", StabilityBench.PresetNames)}. Default: both.");
    private readonly Option<double?> seconds = Parse.Real(
        "--seconds", "Repeat each case for at least this long, and at least three times, after as long a time to warm up. "
            + "Default: 1.", 0, 3600);
    private readonly Option<string?> compare = Parse.Text("--compare", "OLD.json",
        "Put the result beside this one of an earlier --json: a Markdown table with ratios "
            + "and whether they are more than noise.");
    private readonly Option<string?> against = Parse.Text("--against", "DIR",
        "Run this build and the one in this folder in turns, each as a process of its own, and say which is the faster.");
    private readonly Option<int?> turns = Parse.Integer("--turns", "--against: how often each build runs. Default: 6.", 2, 60);
    private readonly Option<int> memory = Parse.Integer(
        "--memory", "pick: memory for the whole process in MiB.", 1536, 1, int.MaxValue);

    private const string Stability = "stability";
    private const string Growth = "growth";
    private const string Table = "table";

    public override string Name => "bench";

    public override string Summary => "Times kernels and whole steps.";

    public override bool IsForDevelopers => true;

    // The catalogue's names bring all operations and their variants into being, which takes a good part of
    // the program's start.
    public override void CompleteHelp() => names.Description =
        $"What to time: {string.Join(", ", QuickBench.Names)}. Default: all. Or one of these: {Stability}, how many of many "
            + $"short trainings end without a useful model; {Growth}, how time and memory of the forward pass grow, with "
            + $"pictures; {Table} FILE…, the --json files of several machines as one Markdown table.";

    protected override string Description => "Times kernels (each variant, or the one that --variant forces) and whole steps "
        + "in this process: medians, operations per second and the share of the processor's peak, of convolutions the bytes "
        + "per second and the share of the memory's bandwidth too, and memory.";

    public override string Example => "meanshift-gpu bench unet-step mean-shift --json bench.json";

    protected override IEnumerable<Symbol> Symbols
        => [names, seconds, compare, against, turns, batch, shrink, size, widths, patches, particles, memory, output, runs, steps,
        schedule, hard, centerWeight, data, presets];

    protected override string? OptionFor(ParseResult options, MissingFact fact)
        => fact == MissingFact.Memory ? memory.Name : null;

    protected override ExitCode Run(ParseResult options)
    {
        switch (options.GetValue(names))
        {
            case [Stability]:
                return CountStability(options);
            case [Growth]:
                return MeasureGrowth(options);
            case [Table, .. string[] files]:
                foreach (string line in BenchTable.Of(BenchTable.Read(files)))
                    Session.Line(line);
                return ExitCode.Done;
        }

        string[] chosen = options.GetValue(names) is { Length: > 0 } given ? given : [.. QuickBench.Names];
        if (chosen.FirstOrDefault(n => !QuickBench.Names.Contains(n)) is { } unknown)
            throw new InputException($"bench: there is no benchmark '{unknown}'. Expected "
                + $"{string.Join(", ", QuickBench.Names)}.");

        if (options.GetValue(against) is { } other)
            return RunInTurns(options, other);
        if (options.GetValue(turns) is not null)
            throw new InputException("bench: --turns is for --against.");

        string? earlier = options.GetValue(compare);
        IReadOnlyList<BenchResult> before = earlier is null ? [] : BenchFile.Read(earlier, withSpread: true);
        OutputFolder.RefuseReplacing(JsonFile(options), earlier is null ? [] : [earlier]);
        using GpuContext context = OpenDevice(options);
        List<BenchResult> results = [];
        QuickBench bench = new(context, result =>
        {
            results.Add(result);
            Session.Line(LineOf(result));
            Cancellation.ThrowIfCancellationRequested();
        }, options.GetValue(seconds) ?? 1, options.GetValue(batch))
        {
            PickCase = PickCaseOf(options),
            Shrink = options.GetValue(shrink) ?? 1,
            Network = NetworkOf(options),
            Patches = options.GetValue(patches) is { Length: > 0 } edges ? edges : QuickBench.StandardPatches,
        };
        if (bench.BandwidthGigabytesPerSecond is { } bandwidth)
            Session.Line($"{Counted.Of(context.Threads.Count, "thread")}, memory measured: {bandwidth:0.0} GB/s");
        foreach (string name in chosen)
        {
            Cancellation.ThrowIfCancellationRequested();
            bench.Run(name);
        }

        WriteJson(options, results, earlier is null ? [] : [earlier]);
        if (earlier is not null)
        {
            Session.Line("");
            foreach (string line in BenchComparison.Table(earlier, before, results))
                Session.Line(line);
        }

        return ExitCode.Done;
    }

    private static string LineOf(BenchResult result)
    {
        string note = result.Note is { } words ? $", {words}" : "";
        string speed = result.Gflops > 0 ? $", {result.Gflops:0.0} GFLOP/s" : "";
        string share = result.PercentOfPeak is { } percent ? $" ({percent:0} % of the peak, {result.PeakGflops:0})" : "";
        string rate = result.GigabytesPerSecond is { } gigabytes ? $", {gigabytes:0.0} GB/s" : "";
        string shareOfRate = result.PercentOfBandwidth is { } ofBandwidth ? $" ({ofBandwidth:0} % of the bandwidth)" : "";
        string resident = result.PeakBytes is { } bytes ? $", {bytes / 1048576.0:0.0} MiB" : "";
        string times = result.Repeats == 1 ? "once"
            : $"median of {result.Repeats}, {result.MinimumMs:0.00} to {result.MaximumMs:0.00} ms";
        return $"{result.Name}, {result.Size}, {result.Variant}: {result.MedianMs:0.00} ms{note}{speed}{share}{rate}{shareOfRate}"
            + $"{resident}, {times}";
    }

    private ExitCode RunInTurns(ParseResult options, string folder)
    {
        if (options.GetValue(compare) is not null)
            throw new InputException("bench: --against times both builds now, --compare takes an earlier run. Give one of them.");
        ToolBuild other = ToolBuild.In(folder);
        ToolBuild own = ToolBuild.Own();
        int count = options.GetValue(turns) ?? 6;
        string[] arguments = Others(options, "--against", "--turns", "--json");
        int runs = 0;
        IReadOnlyList<TurnResult> results = BenchTurns.Run(count, () => Bench(own, "this build"), () => Bench(other, folder));
        foreach (string line in BenchTurns.Table(results))
            Session.Line(line);
        WriteJson(options, results);
        return ExitCode.Done;

        IReadOnlyList<BenchResult> Bench(ToolBuild build, string name)
        {
            Session.Line($"run {++runs} of {2 * count}: {name}");
            return build.Bench(arguments, Cancellation);
        }
    }

    // What follows the verb on the command line, without some options and their values.
    private static string[] Others(ParseResult options, params string[] without)
    {
        string[] words = [.. options.Tokens.Skip(1).Select(t => t.Value)];
        return [.. words.Where((word, i) => !without.Contains(word) && (i == 0 || !without.Contains(words[i - 1])))];
    }

    private ExitCode MeasureGrowth(ParseResult options)
    {
        string folder = options.GetValue(output)
            ?? throw new InputException($"bench {Growth}: there is no folder for the results. Give one by --out.");
        OutputFolder.Prepare(folder);
        using FolderLock folderLock = FolderLock.Take(folder);
        GrowthBench bench = new(NetworkOf(options), options.GetValue(shrink) ?? 1, options.GetValue(seconds) ?? 1);
        List<GrowthPoint> points = [];
        GpuContextOptions device = DeviceOptions(options);
        int most = device.Threads > 0 ? device.Threads : Environment.ProcessorCount;
        foreach (int count in (IEnumerable<int>)[.. new[] { 1, most }.Distinct()])
        {
            using GpuContext context = GpuContext.Create(device with { Device = DeviceKind.Cpu, Threads = count });
            Session.Line($"device: {context.Description}");
            bench.Run(context, Add, Session.Line, Cancellation);
        }

        GrowthBench.Write(folder, points);
        JsonOutput.Write(Path.Combine(folder, "growth.json"), points);
        WriteJson(options, points);
        return ExitCode.Done;

        void Add(GrowthPoint point)
        {
            points.Add(point);
            Session.Line(GrowthBench.Table([point])[^1]);
        }
    }

    private ExitCode CountStability(ParseResult options)
    {
        string folder = options.GetValue(output)
            ?? throw new InputException($"bench {Stability}: there is no folder for the results. Give one by --out.");
        OutputFolder.Prepare(folder);
        using FolderLock folderLock = FolderLock.Take(folder);
        using GpuContext context = OpenDevice(options);
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
        IReadOnlyList<StabilityRun> results = new StabilityBench(context, folder, wanted).Run(
            run => Session.Line($"{run.Data}, {run.Preset}, seed {run.Seed}: "
                + (run.Failure ?? $"F1 {run.F1At2:0.000} within 2 voxels, {run.F1At4:0.000} within 4")
                + (run.Rollbacks == 0 ? "" : $"; went back {Counted.Of(run.Rollbacks, "time")}")),
            Cancellation);
        foreach (string line in StabilityBench.Table(results))
            Session.Line(line);
        WriteJson(options, results);
        return ExitCode.Done;
    }

    private static IReadOnlyList<string> OneOf(string option, string[]? given, IReadOnlyList<string> known)
    {
        if (given is not { Length: > 0 })
            return known;
        return given.FirstOrDefault(name => !known.Contains(name)) is { } unknown
            ? throw new InputException($"{option}: '{unknown}' is not known. Expected {string.Join(", ", known)}.")
            : given;
    }

    private UNet3dOptions NetworkOf(ParseResult options)
        => options.GetValue(widths) is { Length: > 0 } given ? new UNet3dOptions { Widths = given } : new();

    private PickCase PickCaseOf(ParseResult options)
    {
        PickCase standard = new();
        return standard with
        {
            Size = options.GetValue(size) ?? standard.Size,
            Network = NetworkOf(options),
            Particles = options.GetValue(particles),
            MemoryLimitBytes = (long)options.GetValue(memory) << 20,
        };
    }
}
