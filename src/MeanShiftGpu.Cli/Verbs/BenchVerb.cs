using System.CommandLine;
using MeanShiftGpu.Cli.Benchmarking;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Quick timings.</summary>
internal sealed class BenchVerb(Session session) : Verb(session)
{
    private readonly Argument<string[]> names = new("NAME") { Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<string?> output = Parse.Text("--out", "DIR",
        $"{BenchStability.Name}: folder for a result file of each training; trainings that are there are not run again. "
            + $"{BenchNames.Growth}: for growth.md, growth.json and the pictures.");
    private readonly Option<double?> seconds = Parse.Real(
        "--seconds", "Repeat each case for at least this long, and at least three times, after as long a time to warm up. "
            + "Default: 1.", 0, 3600);
    private readonly Option<string?> compare = Parse.Text("--compare", "OLD.json",
        "Put the result beside this one of an earlier --json: a Markdown table with ratios "
            + "and whether they are more than noise.");
    private readonly Option<string?> against = Parse.Text("--against", "DIR",
        "Run this build and the one in this folder in turns, each as a process of its own, and say which is the faster.");
    private readonly Option<int?> turns = Parse.Integer("--turns", "--against: how often each build runs. Default: 6.", 2, 60);
    private readonly BenchSizes sizes = new();
    private readonly BenchStability stability = new();

    public override string Name => "bench";

    public override string Summary => "Times kernels and whole steps.";

    public override bool IsForDevelopers => true;

    // The catalogue's names bring all operations and their variants into being, which takes a good part of
    // the program's start.
    public override void CompleteHelp() => names.Description =
        $"What to time: {string.Join(", ", QuickBench.Names)}. Default: all. Or one of these: "
            + $"{BenchStability.Name}, how many of many short trainings end without a useful model; {BenchNames.Growth}, how "
            + $"time and memory of the forward pass grow, with pictures; {BenchNames.Table} FILE…, --json files of several "
            + "machines as one table.";

    protected override string Description => "Times kernels (each variant, or the one that --variant forces) and whole steps "
        + "in this process: medians, operations per second and the share of the processor's peak, of convolutions the bytes "
        + "per second and the share of the memory's bandwidth too, and memory.";

    public override string Example => "meanshift-gpu bench unet-step mean-shift --json bench.json";

    protected override IEnumerable<Symbol> Symbols
        => [names, .. Timing, .. sizes.Symbols, output, .. stability.Symbols];

    private Option[] Timing => [seconds, compare, against, turns];

    protected override string? OptionFor(ParseResult options, MissingFact fact)
        => fact == MissingFact.Memory ? sizes.Memory.Name : null;

    protected override IEnumerable<Symbol> Reads => [names, compare];

    protected override IEnumerable<Symbol> Writes => [output];

    protected override ExitCode Run(ParseResult options)
    {
        string[] given = options.GetValue(names) ?? [];
        switch (BenchNames.AloneIn(given))
        {
            case BenchStability.Name:
                RefuseIdle(options, BenchStability.Name, [output, .. stability.Symbols]);
                return CountStability(options);
            case BenchNames.Growth:
                RefuseIdle(options, BenchNames.Growth, [output, seconds, sizes.Shrink, sizes.Widths]);
                return MeasureGrowth(options);
            case BenchNames.Table:
                IdleOptions.RefuseAll(options, $"{Name} {BenchNames.Table}");
                BenchTable.Of(BenchTable.Read(given[1..])).ToList().ForEach(Session.Line);
                return ExitCode.Done;
        }

        ToolBuild.WarnIfDebug(Session.Warn);
        string[] chosen = BenchNames.Chosen(given);
        RefuseIdle(options, string.Join(' ', chosen), [.. Timing, .. chosen.SelectMany(sizes.CountingFor)]);
        RefuseIdleVariant(DeviceOptions(options).Variant ?? "", chosen);

        if (options.GetValue(against) is { } other)
            return RunInTurns(options, other);
        if (options.GetValue(turns) is not null)
            throw new InputException("bench: --turns is for --against.");

        string? earlier = options.GetValue(compare);
        IReadOnlyList<BenchResult> before = earlier is null ? [] : BenchFile.Read(earlier, withSpread: true);
        using GpuContext context = OpenDevice(options);
        List<BenchResult> results = [];
        QuickBench bench = new(context, result =>
        {
            results.Add(result);
            Session.Line(result.Line());
            Cancellation.ThrowIfCancellationRequested();
        }, options.GetValue(seconds) ?? 1, options.GetValue(sizes.Batch))
        {
            PickCase = sizes.PickCaseOf(options),
            Shrink = options.GetValue(sizes.Shrink) ?? 1,
            Network = sizes.NetworkOf(options),
            Patches = sizes.PatchesOf(options),
        };
        if (bench.BandwidthGigabytesPerSecond is { } bandwidth)
            Session.Line($"{Counted.Of(context.Threads.Count, "thread")}, memory measured: {bandwidth:0.0} GB/s");
        foreach (string name in chosen)
        {
            Cancellation.ThrowIfCancellationRequested();
            bench.Run(name);
        }

        BenchResult[] found = BenchResult.OfOnePeak(results, Session.Warn);
        WriteJson(options, found, earlier is null ? [] : [earlier]);
        if (earlier is not null)
        {
            Session.Line("");
            foreach (string line in BenchComparison.Table(earlier, before, found))
                Session.Line(line);
        }

        return ExitCode.Done;
    }

    private ExitCode RunInTurns(ParseResult options, string folder)
    {
        if (options.GetValue(compare) is not null)
            throw new InputException("bench: --against times both builds now, --compare takes an earlier run. Give one of them.");
        ToolBuild other = ToolBuild.In(folder);
        ToolBuild own = ToolBuild.Own();
        int count = options.GetValue(turns) ?? 6;
        string[] arguments = ToolBuild.Arguments(options, "--against", "--turns", "--json");
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

    private ExitCode MeasureGrowth(ParseResult options)
    {
        ToolBuild.WarnIfDebug(Session.Warn);
        string folder = FolderOf(options, BenchNames.Growth);
        using FolderLock folderLock = FolderLock.Take(folder);
        UNet3dOptions network = sizes.NetworkOf(options);
        GrowthBench bench = new(network, options.GetValue(sizes.Shrink) ?? 1, options.GetValue(seconds) ?? 1);
        IReadOnlyList<GrowthPoint> points = bench.RunOnHost(DeviceOptions(options), Session.Line, Cancellation);
        GrowthBench.Write(folder, network, points, ToolBuild.Arguments(options, "--json"));
        JsonOutput.Write(Path.Combine(folder, "growth.json"), points);
        WriteJson(options, points);
        return ExitCode.Done;
    }

    private ExitCode CountStability(ParseResult options)
    {
        string folder = FolderOf(options, BenchStability.Name);
        using FolderLock folderLock = FolderLock.Take(folder);
        using GpuContext context = OpenDevice(options);
        WriteJson(options, stability.Run(options, Session, context, folder, Cancellation));
        return ExitCode.Done;
    }

    private string FolderOf(ParseResult options, string name)
    {
        string folder = options.GetValue(output)
            ?? throw new InputException($"bench {name}: there is no folder for the results. Give one by --out.");
        OutputFolder.Prepare(folder);
        return folder;
    }

    // Steps and picking take all operations; the others only their own.
    private void RefuseIdleVariant(string variant, string[] chosen)
    {
        if (chosen.Contains("unet-step") || chosen.Contains("pick"))
            return;
        IEnumerable<string> forced = variant.Split(',').Where(e => e.Contains('=')).Select(e => e.Split('=')[0].Trim());
        if (forced.FirstOrDefault(f => Variants.Operations.Contains(f, StringComparer.OrdinalIgnoreCase)
            && !chosen.Contains(f, StringComparer.OrdinalIgnoreCase)) is { } idle)
            throw new InputException($"{Name} {string.Join(' ', chosen)}: --variant {idle}=… has no effect here. Leave it out.");
    }

    private void RefuseIdle(ParseResult options, string benchmark, IEnumerable<Symbol> counting)
        => IdleOptions.RefuseAmong(options, $"{Name} {benchmark}", Symbols.Except(counting));
}
