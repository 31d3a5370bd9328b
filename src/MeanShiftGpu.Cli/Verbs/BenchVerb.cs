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
        $"{BenchStability.Name}: folder for a result file of each training; trainings that are there are not run again. "
            + $"{Growth}: for growth.md, growth.json and the pictures.");
    private readonly Option<double?> seconds = Parse.Real(
        "--seconds", "Repeat each case for at least this long, and at least three times, after as long a time to warm up. "
            + "Default: 1.", 0, 3600);
    private readonly Option<string?> compare = Parse.Text("--compare", "OLD.json",
        "Put the result beside this one of an earlier --json: a Markdown table with ratios "
            + "and whether they are more than noise.");
    private readonly Option<string?> against = Parse.Text("--against", "DIR",
        "Run this build and the one in this folder in turns, each as a process of its own, and say which is the faster.");
    private readonly Option<int?> turns = Parse.Integer("--turns", "--against: how often each build runs. Default: 6.", 2, 60);
    private readonly Option<int> memory = Parse.Integer("--memory", "pick: the process's memory in MiB.", 1536, 1, int.MaxValue);

    private readonly BenchStability stability = new();

    private const string Growth = "growth";
    private const string Table = "table";

    public override string Name => "bench";

    public override string Summary => "Times kernels and whole steps.";

    public override bool IsForDevelopers => true;

    // The catalogue's names bring all operations and their variants into being, which takes a good part of
    // the program's start.
    public override void CompleteHelp() => names.Description =
        $"What to time: {string.Join(", ", QuickBench.Names)}. Default: all. Or one of these: "
            + $"{BenchStability.Name}, how many of many short trainings end without a useful model; {Growth}, how time and "
            + $"memory of the forward pass grow, with pictures; {Table} FILE…, --json files of several machines as one table.";

    protected override string Description => "Times kernels (each variant, or the one that --variant forces) and whole steps "
        + "in this process: medians, operations per second and the share of the processor's peak, of convolutions the bytes "
        + "per second and the share of the memory's bandwidth too, and memory.";

    public override string Example => "meanshift-gpu bench unet-step mean-shift --json bench.json";

    protected override IEnumerable<Symbol> Symbols
        => [names, seconds, compare, against, turns, batch, shrink, size, widths, patches, particles, memory, output,
        .. stability.Symbols];

    protected override string? OptionFor(ParseResult options, MissingFact fact)
        => fact == MissingFact.Memory ? memory.Name : null;

    protected override IEnumerable<Symbol> Reads => [names, compare];

    protected override IEnumerable<Symbol> Writes => [output];

    protected override ExitCode Run(ParseResult options)
    {
        switch (options.GetValue(names))
        {
            case [BenchStability.Name]:
                return CountStability(options);
            case [Growth]:
                return MeasureGrowth(options);
            case [Table, .. string[] files]:
                IdleOptions.RefuseAll(options, $"{Name} {Table}");
                BenchTable.Of(BenchTable.Read(files)).ToList().ForEach(Session.Line);
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
        using GpuContext context = OpenDevice(options);
        List<BenchResult> results = [];
        QuickBench bench = new(context, result =>
        {
            results.Add(result);
            Session.Line(result.Line());
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
        string folder = FolderOf(options, Growth);
        using FolderLock folderLock = FolderLock.Take(folder);
        UNet3dOptions network = NetworkOf(options);
        GrowthBench bench = new(network, options.GetValue(shrink) ?? 1, options.GetValue(seconds) ?? 1);
        IReadOnlyList<GrowthPoint> points = bench.RunOnHost(DeviceOptions(options), Session.Line, Cancellation);
        GrowthBench.Write(folder, network, points, ToolBuild.Arguments(options, "--out", "--json"));
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
