using MeanShiftGpu.Cli.Benchmarking;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Validation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli.Benchmarking;

/// <summary>
/// Every benchmark's every row runs, on the simulated GPU and as small as it gets: nothing is timed here.
/// </summary>
public class QuickBenchTests
{
    // The precision that has the most rows: on BF16 activations, and on float32 ones whose operands are
    // rounded.
    [Test]
    public void Run_EveryBenchmarkInBf16_HasItsRows()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = Precision.Bf16 });
        List<BenchResult> results = [];
        QuickBench bench = new(context, results.Add) { Shrink = 56, Network = new UNet3dOptions { Widths = [8, 8] } };
        foreach (string benchmark in QuickBench.Names.Where(n => n is not ("pick" or "mean-shift")))
            bench.Run(benchmark);

        TestContext.Out.WriteLine(string.Join("\n", results.Select(r => $"{r.Name}, {r.Size}, {r.Variant}, {r.Precision}: "
            + $"{r.MedianMs:0} ms")));
        string[] convolutions =
            ["conv3d Forward", "conv3d BackwardInput", "conv3d BackwardWeight", "conv-transpose3d Forward",
                "conv-transpose3d BackwardInput", "conv-transpose3d BackwardWeight"];
        string[] others =
        [
            "max-pool3d Forward",
            "max-pool3d Backward",
            "sigmoid-head Forward",
            "sigmoid-head BackwardInput",
            "sigmoid-head BackwardWeight",
            "unet-step: Dice + mean shift + Adam",
        ];
        Assert.That(NamesOf("bf16"), Is.EqualTo((string[])[.. convolutions, .. others]));
        Assert.That(NamesOf("bf16-operands"), Is.SupersetOf(convolutions));
        // A new row of the catalogue is timed by itself.
        string[] operations = [.. Operations.All.Select(o => o.Name).Where(n => n != "mean-shift")];
        Assert.That(results.Select(r => r.Name.Split(' ')[0]).Distinct(), Is.SupersetOf(operations));

        IEnumerable<string> NamesOf(string precision)
            => results.Where(r => r.Precision == precision).Select(r => r.Name).Distinct();
    }

    // What is timed is compared with the reference before, where activations are BF16 too.
    [TestCase("max-pool3d")]
    [TestCase("sigmoid-head")]
    public void Open_OnBf16_AgreesWithTheReference(string name)
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = Precision.Bf16 });
        BenchmarkSizes sizes = BenchmarkedNetwork.Sizes(new UNet3dOptions { Widths = [8, 8] }, edge: 1);
        BenchmarkCase[] cases = [.. Operations.All.Single(o => o.Name == name).Benchmarks(sizes).Where(c => c.OnBf16)];
        Assert.That(cases, Is.Not.Empty);
        foreach (BenchmarkCase timed in cases)
        {
            foreach (string variant in timed.Variants(context))
                Assert.That(() => timed.Open(context, variant).Dispose(), Throws.Nothing, $"{timed.Size} {variant}");
        }
    }

    [TestCase("", "HostWinograd,HostSimd")]
    [TestCase("HostSimd", "HostSimd")]
    [TestCase("conv3d=HostWinograd,dice=Direct", "HostWinograd")]
    [TestCase("Direct", "Direct")]
    public void Run_ForcedVariant_IsTimedAlone(string forced, string expected)
    {
        using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Variant = forced });
        List<BenchResult> results = [];
        QuickBench bench = new(context, results.Add) { Shrink = 56, Network = new UNet3dOptions { Widths = [8] } };
        bench.Run("conv3d");
        Assert.That(results.Select(r => r.Variant).Distinct(), Is.EquivalentTo(expected.Split(',')));
    }

    // Of each tensor once; the backward passes read the output too, for the mask of ReLU, and gradients of
    // weights are added to.
    [TestCase("conv3d Forward", 1 + 8 + 216)]
    [TestCase("conv3d BackwardInput", 1 + 2 * 8 + 216)]
    [TestCase("conv3d BackwardWeight", 1 + 2 * 8 + 2 * 216)]
    public void Run_Convolution_SaysBytesPerSecondAndTheirShareOfTheBandwidth(string pass, int numbers)
    {
        using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Variant = "HostSimd" });
        List<BenchResult> results = [];
        QuickBench bench = new(context, results.Add) { Shrink = 56, Network = new UNet3dOptions { Widths = [8] } };
        bench.Run("conv3d");
        BenchResult result = results.First(r => r.Name == pass && r.Size == "1³ 1→8");
        Assert.That(result.GigabytesPerSecond * result.MedianMs * 1e6, Is.EqualTo(4.0 * numbers).Within(1e-6));
        Assert.That(result.PercentOfBandwidth, Is.EqualTo(100 * result.GigabytesPerSecond / bench.BandwidthGigabytesPerSecond));
    }

    [Test]
    public void Run_Convolution_SaysItsShareOfThePeakMeasuredBetweenTheRuns()
    {
        using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Variant = "HostSimd" });
        List<BenchResult> results = [];
        QuickBench bench = new(context, results.Add) { Shrink = 56, Network = new UNet3dOptions { Widths = [8] } };
        bench.Run("conv3d");
        bench.Run("dice");
        Assert.That(
            results.Where(r => r.Gflops > 0).Select(r => r.PercentOfPeak),
            Is.EqualTo(results.Where(r => r.Gflops > 0).Select(r => 100 * r.Gflops / r.PeakGflops)).And.All.Positive);
        Assert.That(results.Where(r => r.Gflops > 0).Select(r => r.PeakGflops), Is.Ordered, "the highest so far");
        Assert.That(results.Where(r => r.Gflops == 0).Select(r => r.PeakGflops), Is.Not.Empty.And.All.Null);
    }

    [Test]
    public void OfOnePeak_TakesTheHighestForAllThatHaveOne()
    {
        static BenchResult Of(double gflops, double? peak) => new("conv3d Forward", "8³", "CPU", "HostSimd", "float32")
        {
            Gflops = gflops,
            PeakGflops = peak,
            PercentOfPeak = 100 * gflops / peak,
        };
        List<string> said = [];
        BenchResult[] found = BenchResult.OfOnePeak([Of(50, 100), Of(80, 400), Of(0, null)], said.Add);
        Assert.That(found.Select(r => r.PeakGflops), Is.EqualTo((double?[])[400, 400, null]));
        Assert.That(found.Select(r => r.PercentOfPeak), Is.EqualTo((double?[])[12.5, 20, null]));
        Assert.That(said.Single(), Does.Contain("rose to 400"));
        BenchResult.OfOnePeak([Of(50, 390), Of(80, 400)], said.Add);
        BenchResult.OfOnePeak([Of(0, null)], said.Add);
        Assert.That(said, Has.Count.EqualTo(1));
    }

    [Test]
    public void Run_UnetStep_TimesThePatchesAskedFor()
    {
        using GpuContext context = GpuContext.Create(DeviceKind.Cpu);
        List<BenchResult> results = [];
        QuickBench bench =
            new(context, results.Add) { Shrink = 2, Patches = [8, 13], Network = new UNet3dOptions { Widths = [8, 8] } };
        bench.Run("unet-step");
        Assert.That(results.Select(r => r.Size), Is.EqualTo((string[])["4³, widths 8-8", "6³, widths 8-8"]));
    }

    [TestCase("", "Auto")]
    [TestCase("conv3d=HostSimd", "Auto but conv3d=HostSimd")]
    public void Run_UnetStep_SaysWhatWasForced(string forced, string expected)
    {
        using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Variant = forced });
        List<BenchResult> results = [];
        QuickBench bench =
            new(context, results.Add) { Shrink = 2, Patches = [8], Network = new UNet3dOptions { Widths = [8, 8] } };
        bench.Run("unet-step");
        Assert.That(results.Select(r => r.Variant), Is.EqualTo((string[])[expected]));
    }

    [Test]
    public void Run_ForcedVariantThatTheOperationLacks_IsRefused()
    {
        using GpuContext context = GpuContext.Create(new GpuContextOptions
        {
            Device = DeviceKind.Cpu,
            Variant = "conv3d=Grouped",
        });
        QuickBench bench = new(context, _ => { }) { Shrink = 56, Network = new UNet3dOptions { Widths = [8] } };
        Assert.That(() => bench.Run("conv3d"), Throws.TypeOf<InputException>().With.Message.StartsWith("conv3d: variant asks "
            + "for the variant Grouped, which it does not have"));
    }
}
