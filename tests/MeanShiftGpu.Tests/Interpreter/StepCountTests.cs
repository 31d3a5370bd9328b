using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Training;
using MeanShiftGpu.Training.Ranks;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Interpreter;

/// <summary>
/// What the host asks of a CUDA driver in a training step, and how long that takes it: counted by the fake
/// driver, which launches kernels but does not run them here.
/// </summary>
public sealed partial class StepCountTests
{
    private const int MostLaunches = 80;
    private const int WarmUp = 30;
    private const int Counted = 20;

    // Before the third window of a map that is 0 everywhere, at which a run goes back.
    private const int Steps = WarmUp + Counted + 5;

    [TestCase("float32", "4")]
    [TestCase("tf32", "4")]
    [TestCase("tf32", "132")]
    [TestCase("bf16", "132")]
    public void Step_OnTheFakeDriver_IsCounted(string precision, string multiprocessors)
    {
        FakeRun run = FakeDriver.RunTests($"FullyQualifiedName~{nameof(StepCountTests)}.{nameof(CountSteps)}", "IDLE=1",
            $"MULTIPROCESSORS={multiprocessors}", $"PRECISION={precision}");
        Assert.That(run.Code, Is.Zero, run.Output);
        // Terminals' colours may stand before them.
        string[] lines = [.. CountLine().Matches(run.Output).Select(m => m.Value.TrimEnd()).Distinct()];
        foreach (string line in lines)
            TestContext.Out.WriteLine($"{precision}, {multiprocessors} multiprocessors: {line}");
        Assert.That(lines, Has.Length.EqualTo(2), run.Output);
    }

    [GeneratedRegex("a step, [^\\r\\n]*")]
    private static partial Regex CountLine();

    // Runs in the child process of the test above.
    [TestCase(false)]
    [TestCase(true)]
    public void CountSteps(bool published)
    {
        if (Environment.GetEnvironmentVariable($"{FakeDriver.Variable}_IDLE") != "1")
            Assert.Ignore($"{nameof(Step_OnTheFakeDriver_IsCounted)} runs it in a process of its own.");
        Precision precision = Enum.Parse<Precision>(Environment.GetEnvironmentVariable($"{FakeDriver.Variable}_PRECISION")!,
            ignoreCase: true);
        using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cuda, Precision = precision });
        int edge = published ? 56 : 16;
        TrainingOptions options = TrainingOptions.Compact with
        {
            Patch = new Extent(edge, edge, edge),
            Steps = Steps,
            BatchSize = 1,
            ValidationInterval = 1000,
        };
        using TrainingData data = Data();
        using UNet3d<float> network = new(context, published ? new UNet3dOptions() : new UNet3dOptions { Widths = [8, 8, 16] },
            1);
        using Trainer trainer = new(network, data, options);
        TrainingMemory plan = TrainingMemory.Of(context, network.Options, options, data, InProcessRanks.Alone);
        long[] before = [], after = [];
        (double Caller, double All) began = default, ended = default;
        trainer.Run(progress =>
        {
            if (progress.Latest.Step == WarmUp)
                (before, began) = (Counts(), Milliseconds());
            if (progress.Latest.Step == WarmUp + Counted)
                (after, ended) = (Counts(), Milliseconds());
        }, looksEvery: 1000);
        double held = after[6], planned = plan.Total;
        double[] a = [.. before.Zip(after, (from, to) => (double)(to - from) / Counted)];
        double caller = (ended.Caller - began.Caller) / Counted;
        double all = (ended.All - began.All) / Counted;
        string what = published ? "the published network" : "a small network";
        TestContext.Out.WriteLine(FormattableString.Invariant(
            $"a step, {what}, {edge}³: {a[0]} launches, {a[1]} synchronisations, copies {a[2]} pageable, {a[3]} page-locked, ")
            + FormattableString.Invariant(
                $"{a[4]} on the device, {a[5]} fills, {a[7]} graphs; host {caller:0.00} ms of the calling thread, ")
            + FormattableString.Invariant($"{all:0.00} ms of all; memory {held / 1e6:0.0} MB, planned {planned / 1e6:0.0}"));
        Assert.That(a[0], Is.LessThanOrEqualTo(MostLaunches));
        Assert.That((a[1], a[2]), Is.EqualTo((1.0, 0.0)), "synchronisations and copies from memory that is not page-locked");
        Assert.That(a[7], Is.EqualTo(1), "a step is one graph");
        if (published)
            Assert.That(planned, Is.EqualTo(held).Within(0.05 * held));
    }

    private static TrainingData Data()
    {
        const int size = 80;
        Random random = new(1);
        float[] image = [.. Enumerable.Range(0, size * size * size).Select(_ => (float)(random.NextDouble() - 0.5))];
        Position[] centers = [.. Enumerable.Range(0, 60).Select(_ => new Position(At(), At(), At()))];
        return new TrainingData([new TrainingVolume("volume", new Extent(size, size, size), image, null, centers)], []);

        double At() => 2 + (size - 5) * random.NextDouble();
    }

    // As Counts.All of the driver orders them.
    private static unsafe long[] Counts()
    {
        long[] counts = new long[8];
        fixed (long* place = counts)
            Assert.That(InterpreterCounts(place, counts.Length), Is.Zero);
        return counts;
    }

    // Time of processors: what else this machine does is no part of it.
    private static (double Caller, double All) Milliseconds()
    {
        const int ofThisThread = 3;
        _ = ClockGetTime(ofThisThread, out TimeSpec time);
        return (1e3 * time.Seconds + 1e-6 * time.Nanoseconds, Environment.CpuUsage.TotalTime.TotalMilliseconds);
    }

    [DllImport("libcuda.so.1", EntryPoint = "interpreterCounts")]
    private static extern unsafe int InterpreterCounts(long* counts, int length);

    [DllImport("libc", EntryPoint = "clock_gettime")]
    private static extern int ClockGetTime(int clock, out TimeSpec time);

    private readonly record struct TimeSpec(long Seconds, long Nanoseconds);
}
