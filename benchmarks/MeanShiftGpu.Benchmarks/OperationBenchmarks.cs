using BenchmarkDotNet.Attributes;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Benchmarks;

/// <summary>
/// Every pass of every variant and case in the catalogue of operations. MEANSHIFTGPU_DEVICE chooses the
/// device. A variant whose results are not the reference's ends its benchmark in the setup: a wrong kernel
/// has no speed.
/// </summary>
public class OperationBenchmarks
{
    private GpuContext context = null!;
    private BenchmarkRun run = null!;

    [ParamsSource(nameof(Rows))]
    public BenchmarkRow Row { get; set; } = null!;

    public static IEnumerable<BenchmarkRow> Rows
    {
        get
        {
            using GpuContext context = GpuContext.Create();
            BenchmarkSizes sizes = BenchmarkedNetwork.Sizes(new UNet3dOptions());
            return
            [
                .. from operation in Operations.All
                   from timed in operation.Benchmarks(sizes)
                   let variants = timed.Variants(context).ToArray()
                   from variant in variants
                   from pass in Enumerable.Range(0, timed.Passes.Count)
                   select new BenchmarkRow(operation.Name, timed, variant, pass, variant == variants[^1]),
            ];
        }
    }

    [GlobalSetup]
    public void Setup()
    {
        context = GpuContext.Create();
        run = Row.Open(context);
    }

    [Benchmark]
    public void Run() => run.Run(Row.Pass);

    [GlobalCleanup]
    public void Cleanup()
    {
        run.Dispose();
        context.Dispose();
    }
}

/// <summary>One pass of one variant on one case.</summary>
public sealed class BenchmarkRow
{
    private readonly string operation;
    private readonly BenchmarkCase timed;
    private readonly string variant;

    internal BenchmarkRow(string operation, BenchmarkCase timed, string variant, int pass, bool isBaseline)
    {
        this.operation = operation;
        this.timed = timed;
        this.variant = variant;
        Pass = pass;
        IsBaseline = isBaseline;
    }

    internal int Pass { get; }

    /// <summary>Whether its variant is the plainest of those that are timed, by which the others are
    /// measured.</summary>
    internal bool IsBaseline { get; }

    /// <summary>What rows of other variants have in common with this one.</summary>
    internal string Work => $"{operation} {timed.Size}{(timed.OnBf16 ? " bf16" : "")} {timed.Passes[Pass]}";

    /// <summary>What a filter sees.</summary>
    public override string ToString()
        => $"{operation} {timed.Size}{(timed.OnBf16 ? " bf16" : "")} {variant} {timed.Passes[Pass]}";

    internal BenchmarkRun Open(GpuContext context) => timed.Open(context, variant);
}
