using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.TensorCore;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tests.Cli;
using MeanShiftGpu.Tests.Device;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Picking;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Interpreter;

/// <summary>The command-line tool, unchanged, with <c>--device cuda</c> on the fake driver.</summary>
public sealed class DriverTests
{
    private static readonly TemporaryFolder Folder = new();

    private const string LauncherFilter = $"FullyQualifiedName~{nameof(DriverTests)}.{nameof(EveryLauncher)}";

    // Of the tool, and of this program's tests, which load kernels of their own beside those that ship.
    private static readonly List<FakeRun> Runs = [];
    private static readonly List<FakeRun> TestRuns = [];

    [OneTimeTearDown]
    public void DeleteFolder() => Folder.Dispose();

    [TestCase("float32")]
    [TestCase("tf32")]
    [TestCase("bf16")]
    [TestCase("bf16-operands")]
    [Order(1)]
    public void Verify_ReferenceFiles_Agree(string precision)
    {
        if (precision == "bf16-operands")
            LongRun.Require();
        FakeRun run = FakeDriver.Succeeds(["verify", TemporaryFolder.Data("golden"), "--device", "cuda", "--precision",
            precision]);
        Runs.Add(run);
        Assert.That(run.Output, Does.Contain("PTX interpreter, no GPU").And.Contain("all agree with the reference"));
        Assert.That(run.Calls("fault"), Is.Empty);
        TestContext.Out.WriteLine(Summary(run));
    }

    // What tensor cores read arrives by copies that nobody waits for by name: they land at the wait, or at
    // once, and groups and warps come in the other order.
    [TestCase("tf32")]
    [TestCase("bf16")]
    [TestCase("bf16-operands")]
    [Order(2)]
    public void Verify_InTheOtherOrderAndWithEarlyCopies_HasTheSameBits(string precision)
    {
        using TemporaryFolder work = new();
        string[] names = LongRun.IsAskedFor ? ["conv3d_k3", "conv3d_k3_wide", "conv_transpose3d_k2s2"] : ["conv3d_k3"];
        foreach (string name in names)
            File.Copy(TemporaryFolder.Data($"golden/{name}.safetensors"), work[$"{name}.safetensors"]);
        string folder = Path.GetDirectoryName(work["any"])!;
        string[] arguments = ["verify", folder, "--device", "cuda", "--precision", precision];
        FakeRun usual = FakeDriver.Succeeds(arguments);
        FakeRun other = FakeDriver.Succeeds(arguments, "ORDER=reversed", "COPIES=early");
        Assert.That(Figures(other), Is.EqualTo(Figures(usual)).And.Not.Empty);

        // The largest difference of each array from the reference.
        static string[] Figures(FakeRun run)
            => [.. run.Output.Split('\n').Where(l => l.StartsWith("ok", StringComparison.Ordinal))];
    }

    // That the two tests of other orders see another order at all: the driver obeys the variables
    // (LastWarpAndWhatACopyLeaves, in a process of its own).
    [TestCase("warp 1, copied 9")]
    [TestCase("warp 0, copied 9", "ORDER=reversed")]
    [TestCase("warp 1, copied 7", "COPIES=early")]
    [Order(2)]
    public void OrderAndCopies_OfTheVariables_AreObeyed(string expected, params string[] variables)
    {
        FakeRun run = FakeDriver.RunTests(
            $"FullyQualifiedName~{nameof(DriverTests)}.{nameof(LastWarpAndWhatACopyLeaves)}", ["PROBE=1", .. variables]);
        Assert.That(run.Code, Is.Zero, run.Output);
        Assert.That(run.Output, Does.Contain($"probe: {expected}"));
    }

    [Test]
    public void LastWarpAndWhatACopyLeaves()
    {
        if (Environment.GetEnvironmentVariable($"{FakeDriver.Variable}_PROBE") != "1")
            Assert.Ignore($"{nameof(OrderAndCopies_OfTheVariables_AreObeyed)} runs it in a process of its own.");
        const int threads = 64;
        using GpuContext context = GpuContext.Create(DeviceKind.Cuda);
        uint[] sevens = [.. Enumerable.Repeat(7u, threads)];
        using MemoryBuffer1D<uint, Stride1D.Dense> source = context.Accelerator.Allocate1D(sevens);
        using MemoryBuffer1D<uint, Stride1D.Dense> results = context.Accelerator.Allocate1D(new uint[1 + threads]);
        context.Accelerator.Load(
            ProbeKernel, default, out Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>> launch);
        launch(context.Stream, new KernelConfig(1, threads), source.View, results.View);
        uint[] found = results.GetAsArray1D(context.Stream);
        Assert.That(found[1..], Is.All.EqualTo(found[1]));
        TestContext.Out.WriteLine($"probe: warp {found[0] / 32}, copied {found[1]}");
    }

    // All threads write the first word, so that the last warp's stays. And each changes what it copies while
    // the copy is under way: one that arrives at the wait brings the change.
    private static void ProbeKernel(ArrayView<uint> source, ArrayView<uint> results)
    {
        ArrayView<uint> shared = SharedMemory.Allocate<uint>(64);
        int thread = Group.IdxX;
        TensorCores.CopyAsync4(ref shared[thread], 0, ref source[thread], 0, 4);
        TensorCores.CommitCopies();
        source[thread] = 9;
        TensorCores.WaitForCopies(0);
        results[1 + thread] = shared[thread];
        results[0] = (uint)thread;
    }

    [Test, Order(2)]
    public void Gradcheck_OneCaseOfEachOperation_Agrees()
        => Gradcheck("conv3d k1", "conv-transpose3d", "max-pool3d", "sigmoid-head", "dice", "binary-cross-entropy",
            "weighted-sum", "mask", "add, multiply, scale", "sum", "mean", "center-likelihood", "mean-shift Cone Squared, 1");

    [Test, Order(2)]
    public void Gradcheck_Everything_Agrees()
    {
        LongRun.Require();
        Gradcheck();
    }

    // The driver calls back 50 ms later, from a thread of its own.
    [Test, Order(2)]
    public void SynchronizeAsync_IsCalledBack()
    {
        FakeRun run = FakeDriver.RunTests("FullyQualifiedName~SynchronizeAsyncTests");
        Assert.That(run.Code, Is.Zero, run.Output);
        Assert.That(run.Output, Does.Match(@"succeeded: 4\b"), "the CPU's two and CUDA's two");
    }

    // The half of this program's tests that runs on a CUDA device.
    [Test, Order(2)]
    public void Tests_OnCuda_Pass()
    {
        LongRun.Require();
        FakeRun run = FakeDriver.RunTests("(FullyQualifiedName~Cuda|FullyQualifiedName~CUDA)&FullyQualifiedName!~Interpreter");
        Assert.That(run.Code, Is.Zero, run.Output);
        TestRuns.Add(run);
        TestContext.Out.WriteLine(Summary(run));
    }

    // Ten steps of the network on the CPU device, the interpreter, and the interpreter in other orders, which
    // must not change a bit.
    [TestCase("float32", 1e-5)]
    [TestCase("bf16", 2e-2)]
    [Order(3)]
    public void Train_TenSteps_IsTheCpusAndTheSameBitsInAnyOrder(string precision, double tolerance)
    {
        if (precision == "bf16")
            LongRun.Require();
        string data = Folder["data"];
        if (!Directory.Exists(data))
            ToolRun.Succeeds("simulate", "--out", data, "--size", "24", "--train", "1", "--validation", "1", "--test", "0",
                "--particles", "2,3");
        string[] Arguments(string name, string device)
            => ["train", "--data", Path.Combine(data, "manifest.json"), "--out", Folder[name], "--device", device,
            "--precision", device == "cpu" ? "float32" : precision, "--steps", "10", "--patch", "16", "--widths", "8,8,16",
                "--seeds", "16", "--preset", "combined", "--validate-every", "10"];
        ToolRun.Succeeds(Arguments($"cpu-{precision}", "cpu"));
        FakeRun run = FakeDriver.Succeeds(Arguments($"cuda-{precision}", "cuda"));
        Runs.Add(run);
        TestContext.Out.WriteLine(Summary(run));
        FakeDriver.Succeeds(Arguments($"reversed-{precision}", "cuda"), "ORDER=reversed", "COPIES=early");
        Assert.That(File.ReadAllBytes(Path.Combine(Folder[$"reversed-{precision}"], "model.safetensors")),
            Is.EqualTo(File.ReadAllBytes(Path.Combine(Folder[$"cuda-{precision}"], "model.safetensors"))));
        double[] expected = Losses($"cpu-{precision}"), actual = Losses($"cuda-{precision}");
        Assert.That(actual, Has.Length.EqualTo(10));
        Assert.That(actual.Zip(expected, (a, e) => Math.Abs(a - e) / Math.Abs(e)), Is.All.LessThan(tolerance));
    }

    // What only a step of a training in TF32 launches: all weights packed at once, from the second step on.
    [Test, Order(3)]
    public void Train_ThreeStepsInTf32_BeginsAsInFloat32()
    {
        string data = Folder["tf32"];
        ToolRun.Succeeds("simulate", "--out", data, "--size", "24", "--train", "1", "--validation", "0", "--test", "0",
            "--particles", "2,3");
        string[] Arguments(string name, string device, string precision)
            => ["train", "--data", Path.Combine(data, "manifest.json"), "--out", Folder[name], "--device", device,
            "--precision", precision, "--steps", "3", "--patch", "16", "--widths", "8,8", "--seeds", "16",
            "--preset", "combined"];
        ToolRun.Succeeds(Arguments("three-float32", "cpu", "float32"));
        FakeRun run = FakeDriver.Succeeds(Arguments("three-tf32", "cuda", "tf32"));
        Runs.Add(run);
        TestContext.Out.WriteLine(Summary(run));
        double[] expected = Losses("three-float32"), actual = Losses("three-tf32");
        Assert.That(actual, Has.Length.EqualTo(3));
        Assert.That(actual.Zip(expected, (a, e) => Math.Abs(a - e) / Math.Abs(e)), Is.All.LessThan(2e-2));
    }

    // Step by step, and as graphs from the fourth step on; validations come between, whose other batch moves
    // memory.
    [TestCase("float32")]
    [TestCase("bf16")]
    [TestCase("tf32")]
    [TestCase("bf16-operands")]
    [Order(3)]
    public void Train_AsGraphs_HasTheBitsOfPlainLaunches(string precision)
    {
        if (precision != "bf16")
            LongRun.Require();
        string data = Folder["graphs"];
        if (!Directory.Exists(data))
            ToolRun.Succeeds("simulate", "--out", data, "--size", "24", "--train", "1", "--validation", "1", "--test", "0",
                "--particles", "2,3");
        string[] Arguments(string name) => ["train", "--data", Path.Combine(data, "manifest.json"), "--out", Folder[name],
            "--device", "cuda", "--precision", precision, "--steps", "9", "--patch", "16", "--widths", "8,8,16", "--seeds", "16",
            "--preset", "combined", "--validate-every", "6", "--batch", "2"];
        FakeRun graphs = FakeDriver.Succeeds(Arguments($"graphs-{precision}"));
        Runs.Add(graphs);
        FakeRun plain = FakeDriver.Succeeds(Arguments($"plain-{precision}"), "GRAPHS=none");
        (int captured, int launched) = (graphs.Calls("graph").Count(), graphs.Calls("graph-launch").Count());
        TestContext.Out.WriteLine($"{captured} graphs captured, {launched} launched");
        Assert.That(graphs.Calls("graph-launch").Count(), Is.EqualTo(6));
        Assert.That(plain.Calls("graph-launch"), Is.Empty);
        Assert.That(graphs.Output, Does.Not.Contain("one by one"));
        Assert.That(plain.Output.Split('\n').Count(l => l.Contains(
            "one by one, not as a CUDA graph", StringComparison.Ordinal)), Is.EqualTo(1));
        foreach (string file in (string[])["model.safetensors", "history.json"])
        {
            Assert.That(File.ReadAllBytes(Path.Combine(Folder[$"graphs-{precision}"], file)),
                Is.EqualTo(File.ReadAllBytes(Path.Combine(Folder[$"plain-{precision}"], file))), file);
        }
    }

    // A volume of several tiles of one size, in a process of its own (PredictTiles).
    [Test]
    public void Predict_TilesAsGraphs_HaveTheBitsOfPlainLaunches()
    {
        string filter = $"FullyQualifiedName~{nameof(DriverTests)}.{nameof(PredictTiles)}";
        FakeRun graphs = FakeDriver.RunTests(filter, "TILES=1");
        FakeRun plain = FakeDriver.RunTests(filter, "TILES=1", "GRAPHS=none");
        Assert.That((graphs.Code, plain.Code), Is.EqualTo((0, 0)), graphs.Output + plain.Output);
        (int captured, int launched) = (graphs.Calls("graph").Count(), graphs.Calls("graph-launch").Count());
        TestContext.Out.WriteLine($"{captured} graphs captured, {launched} launched");
        Assert.That(graphs.Calls("graph-launch").Count(), Is.GreaterThan(1));
        Assert.That(plain.Calls("graph-launch"), Is.Empty);
        Assert.That(Line(plain, "scores"), Is.EqualTo(Line(graphs, "scores")).And.Not.Empty);
        Assert.That(Line(graphs, "remark"), Is.Empty);
        Assert.That(Line(plain, "remark"), Does.Contain("one by one, not as a CUDA graph"));

        static string Line(FakeRun run, string word)
            => string.Join('\n', run.Output.Split('\n').Select(l => l.Trim()).Where(
                l => l.StartsWith(word, StringComparison.Ordinal)).Distinct());
    }

    [Test]
    public void PredictTiles()
    {
        if (Environment.GetEnvironmentVariable($"{FakeDriver.Variable}_TILES") != "1")
            Assert.Ignore($"{nameof(Predict_TilesAsGraphs_HaveTheBitsOfPlainLaunches)} runs it in a process of its own.");
        using GpuContext context = GpuContext.Create(
            new GpuContextOptions { Device = DeviceKind.Cuda, Precision = Precision.Tf32 });
        context.MemoryLimitBytes = 3 << 20;
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [8, 8] }, seed: 1);
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, new PickOptions());
        picker.Remark = remark => TestContext.Out.WriteLine($"remark: {remark}");
        Extent size = new(120, 16, 16);
        Random random = new(1);
        float[] scores = picker.PredictScores([.. Enumerable.Range(0, (int)size.Voxels).Select(_ => random.NextSingle())], size);
        string hash = Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(scores.AsSpan())));
        TestContext.Out.WriteLine($"scores: {picker.Plan(size).Tiles.Count} tiles, {hash}");
    }

    // One small case for each kernel: every launcher of every variant, at odd sizes, with every check of the
    // interpreter (EveryLauncher, in a process of its own). What it computes the runs above compare.
    [TestCase("Tf32")]
    [TestCase("Bf16Operands")]
    [TestCase("Bf16")]
    [Order(3)]
    public void Launchers_Each_RunOnce(string precision)
    {
        FakeRun run = FakeDriver.RunTests(LauncherFilter, $"LAUNCHERS={precision}", "MULTIPROCESSORS=132");
        Assert.That(run.Code, Is.Zero, run.Output);
        Runs.Add(run);
        TestContext.Out.WriteLine(Summary(run));
    }

    // A card below compute capability 8.0 gets the texts that are assembled for it, and no others.
    [Test]
    public void Launchers_OnAnOlderCard_GetTheTextsThatAreAssembledForIt()
    {
        FakeRun run = FakeDriver.RunTests(LauncherFilter, "LAUNCHERS=Float32", "CAPABILITY=7.5", "IDLE=1");
        Assert.That(run.Code, Is.Zero, run.Output);
        HashSet<string> assembled = [.. PtxTests.PtxOfOlderCard.Value.Values.Select(Hash)];
        string[][] loaded = [.. run.Calls("load")];
        TestContext.Out.WriteLine($"{loaded.Length} of {assembled.Count} texts loaded");
        Assert.That(loaded, Has.Length.GreaterThan(100));
        Assert.That(loaded.Where(call => !assembled.Contains(call[1])).Select(call => call[2]), Is.Empty);
    }

    [Test]
    public void EveryLauncher()
    {
        if (Environment.GetEnvironmentVariable($"{FakeDriver.Variable}_LAUNCHERS") is not { } precision)
        {
            Assert.Ignore($"{nameof(Launchers_Each_RunOnce)} runs it in a process of its own.");
            return;
        }

        using GpuContext context = GpuContext.Create(
            new GpuContextOptions { Device = DeviceKind.Cuda, Precision = Enum.Parse<Precision>(precision) });
        // What does not round its operands is the same in every precision.
        bool all = context.Precision is Precision.Float32 or Precision.Tf32;
        foreach (LauncherCall call in LauncherCalls.All(context, everyWidth: true))
        {
            if (!all && !call.Name.Contains(" TensorCore ", StringComparison.Ordinal))
                continue;
            using Operands operands = new(context);
            call.Run(operands);
            context.Synchronize();
        }
    }

    // Runs last: what the tests above loaded and launched.
    [Test, Order(4)]
    public void Runs_Together_LaunchEveryKernelWithTheTextThatIsAssembled()
    {
        FakeRun[] all = [.. Runs, .. TestRuns];
        if (all.Length == 0)
        {
            Assert.Ignore("Needs the runs of the tests before it.");
            return;
        }

        Dictionary<string, string[]> names = KernelCatalog.All.GroupBy(
            kernel => Hash(PtxTests.Ptx("sm_90", kernel.Name))).ToDictionary(group => group.Key,
                group => group.Select(kernel => kernel.Name).ToArray());
        string[] Unknown(IEnumerable<FakeRun> runs)
            => [.. runs.SelectMany(run => run.Calls("load")).Where(call => !names.ContainsKey(call[1])).Select(call => call[2])
                .Distinct()];
        Assert.That(Unknown(Runs), Is.Empty, "texts that ptxas does not assemble");
        TestContext.Out.WriteLine($"kernels of the tests alone: {string.Join(", ", Unknown(TestRuns))}");
        HashSet<string> launched = [.. all.SelectMany(run => run.Calls("launch")).Select(call => call[1])];
        string[] missing =
            [.. names.Where(pair => !launched.Contains(pair.Key)).SelectMany(pair => pair.Value).Order(StringComparer.Ordinal)];
        string list = string.Join(", ", missing);
        TestContext.Out.WriteLine($"{names.Count - missing.Length} of {names.Count} texts launched; missing: {list}");
        IEnumerable<string> excused = LongRun.IsAskedFor ? NeverLaunched : [.. NeverLaunched, .. OfTheLongRun];
        Assert.That(missing.Except(excused), Is.Empty, "kernels that no run launches");
    }

    // The catalogue closes kernels over all types that their constraints admit: nothing rounds to what it
    // holds already.
    private static readonly string[] NeverLaunched =
    [
        "ElementwiseDirect.Round.Plain.float32", "ElementwiseDirect.Round.Plain.float64",
            "ElementwiseDirect.Widen.Plain.float32", "ElementwiseDirect.Widen.Plain.float64",
        // Trainings are float32.
        "LaterSums.AddAll.float64",
    ];

    // With 132 multiprocessors and so few voxels the narrowest is chosen; the long run launches these.
    private static readonly string[] OfTheLongRun =
    [
        .. ((string[])["Tf32", "Bf16", "StoredBf16"]).SelectMany(
            precision => ((int[])[32, 48, 64]).Select(width => $"Conv3dTensorCore.Convolve.{precision}.Columns{width}")),
    ];

    [TestCase("7.5")]
    [TestCase("8.0")]
    [TestCase("8.6")]
    [TestCase("8.7")]
    [TestCase("8.9")]
    [TestCase("9.0")]
    [TestCase("10.0")]
    [TestCase("10.3")]
    [TestCase("11.0")]
    [TestCase("12.0")]
    [TestCase("12.1")]
    public void Open_EveryDeviceAndDriver_Computes(string capability)
    {
        using TemporaryFolder work = new();
        File.Copy(TemporaryFolder.Data("golden/adam.safetensors"), work["adam.safetensors"]);
        string model = Path.GetDirectoryName(work["adam.safetensors"])!;
        bool all = capability is "8.0" or "12.1" || LongRun.IsAskedFor;
        foreach (string driver in (string[])(all ? ["11.0", "12.9", "13.0", "14.0"] : ["12.4"]))
        {
            FakeRun run = FakeDriver.Succeeds(["verify", model, "--device", "cuda", "--precision", "float32"],
                $"CAPABILITY={capability}", $"DRIVER={driver}");
            Assert.That(run.Output, Does.Contain("all agree"), $"{capability} with {driver}");
            Assert.That(run.Calls("launch"), Is.Not.Empty);
        }
    }

    [Test]
    public void Open_ACardThatTheDriverDropped_SaysSo()
    {
        FakeRun run = FakeDriver.Run(["verify", TemporaryFolder.Data("golden"), "--device", "cuda"], "CAPABILITY=7.0",
            "DRIVER=13.0");
        Assert.That(run.Code, Is.EqualTo(2), run.Output);
        Assert.That(run.Output, Does.Contain("compute capability 7.5").And.Contain("driver 580"));
    }

    [Test]
    public void Open_ADriverThatIsTooOld_SaysSo()
    {
        FakeRun run = FakeDriver.Run(["verify", TemporaryFolder.Data("golden"), "--device", "cuda"], "DRIVER=10.2");
        Assert.That(run.Code, Is.EqualTo(2), run.Output);
        Assert.That(run.Output, Does.Contain("too old: it knows CUDA 10.2"));
    }

    [Test]
    public void Open_OneOfTwoCards_ByItsNumber()
    {
        Assert.That(FakeDriver.Succeeds(["devices", "--device", "cuda:1"], "CARDS=2").Output, Does.Contain("used: Cuda"));
        FakeRun run = FakeDriver.Run(["devices", "--device", "cuda:2"], "CARDS=2");
        Assert.That((run.Code, run.Output.Split('\n').Count(l => l.StartsWith("error: device: there is no Cuda device 2 "
            + "(asked for); this machine has 2, counted from 0.", StringComparison.Ordinal))), Is.EqualTo((2, 1)), run.Output);
    }

    private static void Gradcheck(params string[] operations)
    {
        FakeRun run = FakeDriver.Succeeds(["gradcheck", .. operations, "--device", "cuda"]);
        Runs.Add(run);
        Assert.That(run.Output, Does.Contain("all agree with finite differences"));
        TestContext.Out.WriteLine(Summary(run));
    }

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private static double[] Losses(string run)
        => [.. ToolRun.Json(Path.Combine(Folder[run], "history.json")).GetProperty("steps").EnumerateArray().Select(
            step => step.GetProperty("loss").GetDouble())];

    private static string Summary(FakeRun run)
    {
        string Sum(string kind, int column)
            => run.Calls(kind).Sum(call => long.Parse(call[column], CultureInfo.InvariantCulture)).ToString("N0",
                CultureInfo.InvariantCulture);
        return $"{run.Calls("launch").Count()} launches, {Sum("launch", 6)} warp instructions in {Sum("launch", 7)} ms, "
            + $"{run.Calls("copy").Count()} copies, {run.Calls("synchronize").Count()} synchronisations";
    }
}
