using System.CommandLine;
using MeanShiftGpu.Cli.Benchmarking;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Quick timings.</summary>
internal sealed class BenchVerb(Session session) : Verb(session)
{
    private readonly Argument<string[]> names = new("NAME")
    {
        Description = $"What to time: {string.Join(", ", QuickBench.Names)}. Default: all.",
        Arity = ArgumentArity.ZeroOrMore,
    };

    private readonly Option<int> batch = Parse.Integer("--batch", "Items in a batch of the layers; unet-step, mean-shift and pick take one.", 1, 1, int.MaxValue);
    private readonly Option<int?> shrink = Parse.Choice("--shrink", "Divide the edges of the layers and steps and run each once, for a check that every case runs. Default: 1.", new[] { 1, 2, 7, 14 }.ToDictionary(n => $"{n}", n => n));
    private readonly Option<Extent?> size = Parse.Size("--size", "pick: the volume in voxels. Default: 56.");
    private readonly Option<int[]?> widths = Parse.IntegerList("--widths", "N,N,…", "The network's channels. Default: 32,48,64.", 1, 1024);
    private readonly Option<int[]?> patches = Parse.IntegerList("--patch", "N,N,…", "unet-step: edges of the patches in voxels, rounded down to what the network takes. Default: 32,56,96.", 1, 512);
    private readonly Option<int?> particles = Parse.Integer("--particles", "pick: particles of the score map that is clustered. Default: one in 45000 voxels.", 1);
    private readonly Option<int> memory = Parse.Integer("--memory", "pick: memory for the whole process in MiB.", 1536, 1, int.MaxValue);

    public override string Name => "bench";

    protected override string Description => "Times kernels (each variant, or the one that --variant forces) and whole steps in this process: medians, operations per second and the share of the processor's peak, of convolutions the bytes per second and the share of the memory's bandwidth too, and memory.";

    public override string Example => "meanshift-gpu bench unet-step mean-shift --json bench.json";

    protected override IEnumerable<Symbol> Symbols => [names, batch, shrink, size, widths, patches, particles, memory];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => fact == MissingFact.Memory ? memory.Name : null;

    protected override ExitCode Run(ParseResult options)
    {
        string[] chosen = options.GetValue(names) is { Length: > 0 } given ? given : [.. QuickBench.Names];
        if (chosen.FirstOrDefault(n => !QuickBench.Names.Contains(n)) is { } unknown)
            throw new InputException($"bench: there is no benchmark '{unknown}'. Expected {string.Join(", ", QuickBench.Names)}.");

        using GpuContext context = OpenDevice(options);
        List<BenchResult> results = [];
        QuickBench bench = new(context, result =>
        {
            results.Add(result);
            string speed = result.Gflops > 0 ? $", {result.Gflops:0.0} GFLOP/s" : "";
            string share = result.PercentOfPeak is { } percent ? $" ({percent:0} % of the peak, {result.PeakGflops:0})" : "";
            string rate = result.GigabytesPerSecond is { } gigabytes ? $", {gigabytes:0.0} GB/s" : "";
            string shareOfRate = result.PercentOfBandwidth is { } ofBandwidth ? $" ({ofBandwidth:0} % of the bandwidth)" : "";
            string resident = result.PeakBytes is { } bytes ? $", {bytes / 1048576.0:0.0} MiB" : "";
            Session.Line($"{result.Name}, {result.Size}, {result.Variant}: {result.MedianMs:0.00} ms{speed}{share}{rate}{shareOfRate}{resident}, median of {result.Repeats}");
            Cancellation.ThrowIfCancellationRequested();
        }, batch: options.GetValue(batch))
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

        WriteJson(options, results);
        return ExitCode.Done;
    }

    private UNet3dOptions NetworkOf(ParseResult options) => options.GetValue(widths) is { Length: > 0 } given ? new UNet3dOptions { Widths = given } : new();

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
