using MeanShiftGpu.Benchmarking;
using MeanShiftGpu.Layers;
using NUnit.Framework;

namespace MeanShiftGpu.Tests;

/// <summary>Every benchmark's every row runs, on the simulated GPU and as small as it gets: nothing is timed here.</summary>
public class QuickBenchTests
{
    // The precision that has the most rows: on BF16 activations, and on float32 ones whose operands are rounded.
    [Test]
    public void Run_EveryBenchmarkInBf16_HasItsRows()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = Precision.Bf16 });
        List<BenchResult> results = [];
        QuickBench bench = new(context, results.Add) { Shrink = 56, Network = new UNet3dOptions { Widths = [8, 8] } };
        foreach (string benchmark in QuickBench.Names.Where(n => n is not ("pick" or "mean-shift")))
            bench.Run(benchmark);

        TestContext.Out.WriteLine(string.Join("\n", results.Select(r => $"{r.Name}, {r.Size}, {r.Variant}, {r.Precision}: {r.MedianMs:0} ms")));
        string[] convolutions = ["conv3d Forward", "conv3d BackwardInput", "conv3d BackwardWeight", "conv-transpose3d Forward", "conv-transpose3d BackwardInput", "conv-transpose3d BackwardWeight"];
        string[] others = ["max-pool3d Forward", "max-pool3d Backward", "sigmoid-head Forward", "sigmoid-head BackwardWeight", "sigmoid-head BackwardInput", "unet-step: Dice + mean shift + Adam"];
        Assert.That(NamesOf("bf16"), Is.EqualTo((string[])[.. convolutions, .. others]));
        Assert.That(NamesOf("bf16-operands"), Is.SupersetOf(convolutions));

        IEnumerable<string> NamesOf(string precision) => results.Where(r => r.Precision == precision).Select(r => r.Name).Distinct();
    }
}
