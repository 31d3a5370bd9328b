using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>
/// Timings without a benchmark framework: enough to compare a machine or a change within one run. The
/// operations are those of the catalogue, each pass of each variant at the sizes of the network's layers;
/// then what is made of them.
/// </summary>
public sealed class QuickBench
{
    /// <summary>The benchmarks by name: every operation, then what is made of them.</summary>
    public static readonly IReadOnlyList<string> Names =
        [.. Operations.All.Select(operation => operation.Name).Union(WholeBenchmarks.Names)];

    /// <summary>
    /// Edges of several patches, because a step's time should grow with its voxels and with nothing else.
    /// </summary>
    public static readonly IReadOnlyList<int> StandardPatches = [32, 56, 96];

    private readonly GpuContext context;
    private readonly BenchClock clock;
    private readonly int batch;

    /// <summary>Measures the memory's bandwidth and prepares.</summary>
    /// <param name="context">The device.</param>
    /// <param name="report">Told each result as it comes.</param>
    /// <param name="minimumSeconds">Each case is repeated for at least this long, and at least three
    /// times.</param>
    /// <param name="batch">Items of the layers' batches; the other benchmarks take one.</param>
    public QuickBench(GpuContext context, Action<BenchResult> report, double minimumSeconds = 1, int batch = 1)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        this.context = context;
        this.batch = batch;
        clock = new BenchClock(context, report, TimeSpan.FromSeconds(minimumSeconds));
    }

    /// <summary>
    /// The memory's bandwidth on the context's threads, in 10⁹ bytes per second; null on other devices.
    /// </summary>
    public double? BandwidthGigabytesPerSecond => clock.BandwidthGigabytesPerSecond;

    /// <summary>
    /// Divides the edges of layers and steps, and runs each case once, without a comparison before: for a
    /// check that every case runs, on a device that takes too long for the published sizes. Mean-shift, whose
    /// work is its seeds', stays at 56³, and picking has a size of its own.
    /// </summary>
    public int Shrink { get; init; } = 1;

    /// <summary>The network whose layers and steps are timed.</summary>
    public UNet3dOptions Network { get; init; } = new();

    /// <summary>Edges of the patches whose steps are timed.</summary>
    public IReadOnlyList<int> Patches { get; init; } = StandardPatches;

    /// <summary>What the benchmark of picking picks.</summary>
    public PickCase PickCase { get; init; } = new();

    /// <summary>Runs one benchmark.</summary>
    /// <exception cref="InputException">No benchmark has this name.</exception>
    /// <exception cref="InvalidOperationException">A variant's results are not the reference's.</exception>
    public void Run(string name)
    {
        if (!Names.Contains(name))
            throw new InputException($"bench: there is no benchmark '{name}'. Expected one of {string.Join(", ", Names)}.");
        BenchmarkSizes sizes = BenchmarkedNetwork.Sizes(Network, Math.Max(1, BenchmarkedNetwork.PatchEdge / Shrink), batch);
        foreach (Operation operation in Operations.All.Where(operation => operation.Name == name))
        {
            foreach (BenchmarkCase timed in operation.Benchmarks(sizes))
                Time(operation, timed);
        }

        if (WholeBenchmarks.Names.Contains(name))
            new WholeBenchmarks(context, clock, this).Run(name);
    }

    private void Time(Operation operation, BenchmarkCase timed)
    {
        foreach (string variant in timed.Variants(context))
        {
            using BenchmarkRun run = timed.Open(context, variant, check: Shrink == 1);
            for (int pass = 0; pass < timed.Passes.Count; pass++)
            {
                clock.Time(new Timed($"{operation.Name} {timed.Passes[pass]}", timed.Size, variant, run.Passes.Run[pass])
                {
                    Wait = run.Wait,
                    Operations = run.Passes.Operations,
                    Bytes = run.Passes.Bytes.Length == 0 ? null : run.Passes.Bytes[pass],
                    OnBf16 = timed.OnBf16,
                    Once = Shrink > 1,
                });
            }
        }
    }
}
