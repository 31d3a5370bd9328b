using System.Diagnostics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Machine;

/// <summary>
/// Launchers refuse what would end the process or damage memory, whatever the variant, and touch nothing
/// outside their operands. MEANSHIFTGPU_TEST_LAUNCHES sets how many calls with nonsense are tried (1000).
/// </summary>
[NonParallelizable]
public class LauncherChecksTests
{
    private static readonly int Launches = TestData.Count("MEANSHIFTGPU_TEST_LAUNCHES", 1000);

    [TestCase(false)]
    [TestCase(true)]
    public void EveryLauncher_GivenAnOperandOneElementTooShort_NamesItAndWhatWasSeenAndExpected(bool simulated)
    {
        using GpuContext context = simulated ? GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = Precision.Tf32 })
            : GpuContext.Create(DeviceKind.Cpu);
        int calls = 0;
        foreach (LauncherCall call in LauncherCalls.All(context))
        {
            int operands = 1;
            for (int which = 0; which < operands; which++)
            {
                using ShortOperands one = new(context, which);
                try
                {
                    call.Run(one);
                    (string name, long length) = one.Asked[which];
                    // These say themselves how many there are.
                    bool isCount = name == "iterations"
                        || (name == "gradients" && call.Name.StartsWith("gradient-norm", StringComparison.Ordinal))
                        || (name is "source" or "target" && call.Name.StartsWith("sum ", StringComparison.Ordinal));
                    if (length > 0 && !isCount)
                        Assert.Fail($"{call.Name}: {name} was accepted one element short of {length}");
                }
                catch (ArgumentException e)
                {
                    (string name, long length) = one.Asked[which];
                    // By these the lengths of others are judged.
                    if (name is "values" or "total" or "Points" or "Positions")
                        continue;
                    Assert.That(e.Message, Does.Contain($"{name} holds {length - 1} elements, expected {length}"), call.Name);
                }

                finally
                {
                    operands = one.Asked.Count;
                    calls++;
                }
            }
        }

        TestContext.Out.WriteLine($"{calls} calls");
        Assert.That(calls, Is.GreaterThan(500));
    }

    [TestCase(0, -1)]
    [TestCase(1, 9)]
    [TestCase(2, 1)]
    [TestCase(2, int.MaxValue)]
    public void MeanShift_OffsetsThatFallOrLieOutside_AreRefused(int index, int offset)
    {
        using GpuContext context = GpuContext.Create(DeviceKind.Cpu);
        int[] offsets = [0, 2, 5];
        offsets[index] = offset;
        foreach (Variant<IMeanShift<float>, MeanShiftShape> variant in MeanShiftVariants<float>.Table.Supported(context, default))
        {
            using Operands o = new(context);
            MeanShiftShape shape = new(2, 5, 7, 9, 3, 2, 1);
            IMeanShift<float> kernels = context.Launcher(MeanShiftVariants<float>.Table, variant);
            CenterViews<float> centers = new(o.View<float>("centers", 15), o.Integers("offsets", offsets));
            Assert.That(
                () => kernels.SampleSeeds(
                    context.Stream, centers, o.View<float>("seeds", 18), shape, new SeedSampling(1, 2, 3, 1)),
                        Throws.ArgumentException.With.Message.Contains("Offsets"), variant.Name);
        }
    }

    [Test]
    public void MeanShift_WithoutSeedsOrWithMoreThanFit_IsRefused()
    {
        using GpuContext context = GpuContext.Create(DeviceKind.Cpu);
        using MeanShiftLoss<float> loss = new(context);
        using Operands o = new(context);
        MeanShiftShape right = loss.Options.Shape(1, 8, 8, 8);
        foreach (
            MeanShiftShape wrong in (
                MeanShiftShape[])[right with { SeedsPerItem = 0 }, right with { SeedsPerItem = int.MaxValue },
                right with { Iterations = int.MaxValue },
                right with { Batch = -1 },
                right with { Depth = int.MaxValue, Height = int.MaxValue, Width = int.MaxValue }])
        {
            Assert.That(
                () => loss.Evaluate(
                    o.View<float>("scores", 512),
                    o.View<float>("centers", 3),
                    o.Integers("offsets", 0, 1),
                    o.View<float>("loss", 1),
                    o.View<float>("gradScores", 512),
                    wrong,
                    loss.Options.Sampling(1, 2)),
                Throws.InstanceOf<ArgumentException>(),
                wrong.ToString());
        }
    }

    [TestCase("")]
    [TestCase("Direct")]
    public void DisposedContext_EveryEntry_SaysSo(string variant)
    {
        GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Variant = variant });
        MeanShiftLoss<double> loss = new(context);
        Arena arena = new(context);
        Tape<float> tape = Tape<float>.Begin(arena);
        Tensor<float> map = tape.Upload([0.5f, 0.25f], new TensorShape(1, 1, 1, 2, 1), requiresGradient: true);
        Tensor<float> dice = tape.DiceLoss(map, map);
        context.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                () => loss.Evaluate(new double[512], 8, 8, 8, [4.0, 4, 4], new double[512], 1),
                Throws.TypeOf<ObjectDisposedException>());
            Assert.That(() => tape.Backward(dice), Throws.TypeOf<ObjectDisposedException>());
            Assert.That(() => tape.DiceLoss(map, map), Throws.TypeOf<ObjectDisposedException>());
            Assert.That(() => Tape<float>.Begin(new Arena(context)), Throws.TypeOf<ObjectDisposedException>());
            Assert.That(() => arena.Allocate<float>(1), Throws.TypeOf<ObjectDisposedException>());
            Assert.That(() => map.ToArray(context), Throws.TypeOf<ObjectDisposedException>());
            Assert.That(context.Synchronize, Throws.TypeOf<ObjectDisposedException>());
        }
    }

    [TestCase("", true)]
    [TestCase("", false)]
    [TestCase("Direct", true)]
    [TestCase("Direct", false)]
    public void TwoThreadsOnOneContext_TheSecondIsRefused(string variant, bool isDouble)
    {
        using GpuContext context = GpuContext.Create(new GpuContextOptions
        {
            Device = DeviceKind.Cpu,
            Variant = variant,
            Threads = 1,
        });
        if (isDouble)
            RunTwice<double>(context);
        else
            RunTwice<float>(context);
    }

    [Test]
    public void GuardedOperands_BesideTheirMemory_LieProtectedPages([Values] bool atStart)
    {
        if (!OperatingSystem.IsLinux())
            Assert.Ignore("guard pages are set with mmap and mprotect, which are Linux's");
        using GpuContext context = GpuContext.Create(DeviceKind.Cpu);
        using GuardedOperands o = new(context, atStart);
        ArrayView<float> view = o.View<float>("input", 1031);
        long begin = view.LoadEffectiveAddressAsPtr();
        long beside = atStart ? begin - 1 : begin + view.LengthInBytes;
        string[] mapping = File.ReadLines("/proc/self/maps").Select(line => line.Split(' ')).First(
            fields => Contains(fields[0], beside));
        Assert.That(mapping[1], Does.StartWith("---"));

        static bool Contains(string range, long address)
        {
            string[] ends = range.Split('-');
            ulong at = (ulong)address;
            return ulong.Parse(ends[0], System.Globalization.NumberStyles.HexNumber) <= at && at < ulong.Parse(
                ends[1], System.Globalization.NumberStyles.HexNumber);
        }
    }

    [Test]
    public void EveryHostKernel_BetweenGuardPages_TouchesNothingElse()
    {
        if (!OperatingSystem.IsLinux())
            Assert.Ignore("guard pages are set with mmap and mprotect, which are Linux's");
        ChildRun.Succeeds(nameof(Child_RunsEveryLauncherBetweenGuardPages), TimeSpan.FromMinutes(10));
    }

    [Test]
    public void EveryLauncher_GivenNonsense_ThrowsOrComputes()
        => ChildRun.Succeeds(nameof(Child_CallsLaunchersWithNonsense), TimeSpan.FromSeconds(60 + 0.2 * Launches));

    /// <summary>What the child process of a test does; in any other it is skipped.</summary>
    [Test]
    public void Child_RunsEveryLauncherBetweenGuardPages()
    {
        using (ChildLog log = ChildRun.Log())
        {
            using GpuContext context = GpuContext.Create(DeviceKind.Cpu);
            int calls = 0;
            foreach (LauncherCall call in LauncherCalls.All(context))
            {
                foreach (bool atStart in (bool[])[false, true])
                {
                    log.Write($"{call.Name}, {(atStart ? "start" : "end")} at a protected page");
                    using GuardedOperands o = new(context, atStart);
                    call.Run(o);
                    context.Synchronize();
                    calls++;
                }
            }

            log.Write($"done: {calls} calls");
        }
    }

    /// <summary>What the child process of a test does; in any other it is skipped.</summary>
    [Test]
    public void Child_CallsLaunchersWithNonsense()
    {
        using (ChildLog log = ChildRun.Log())
        {
            using GpuContext context = GpuContext.Create(DeviceKind.Cpu);
            LauncherCall[] calls = [.. LauncherCalls.All(context)];
            int computed = 0;
            for (int i = 0; i < Launches; i++)
            {
                Random random = new(i);
                LauncherCall call = calls[random.Next(calls.Length)];
                log.Write($"launch {i}, {call.Name}");
                using NonsenseOperands o = new(context, random);
                try
                {
                    call.Run(o);
                    context.Synchronize();
                    computed++;
                }
                catch (Exception e) when (e is ArgumentException or InvalidOperationException or InputException)
                {
                    // Refused, as nonsense should be.
                }
            }

            log.Write($"done: {Launches} launches, {computed} of which computed");
        }
    }

    // What rounds its operands: a convolution by itself, and the whole network, with activations stored as
    // BF16.
    [TestCase(Precision.Tf32, false)]
    [TestCase(Precision.Bf16, false)]
    [TestCase(Precision.Bf16, true)]
    public void TwoThreadsOnTensorCores_TheSecondIsRefused(Precision precision, bool isNetwork)
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = precision });
        float[] input = [.. TestData.Uniform(64 * 16, 1).Select(v => (float)v)];
        if (isNetwork)
        {
            using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [8, 8] }, seed: 1);
            using Arena arena = new(context);
            RunTwice<float>(64, scores => network.Predict(arena, input.AsSpan(0, 64), new TensorShape(1, 4, 4, 4, 1), scores));
            return;
        }

        using Conv3d<float> convolution = new(context);
        Conv3dShape shape = Conv3dShape.Dense(1, (4, 4, 4), 16, 16);
        Assert.That(convolution.VariantFor(shape), Is.EqualTo("TensorCore"));
        float[] weight = [.. TestData.Uniform(shape.WeightLength, 2).Select(v => (float)v)];
        RunTwice<float>(64 * 16, output => convolution.Forward(input, weight, new float[16], output, shape));
    }

    private static void RunTwice<T>(GpuContext context)
        where T : unmanaged, System.Numerics.INumber<T>
    {
        using MeanShiftLoss<T> loss = new(context);
        T[] scores = new T[32 * 32 * 32];
        Array.Fill(scores, T.One);
        T[] center = [T.CreateChecked(16), T.CreateChecked(16), T.CreateChecked(16)];
        RunTwice<T>(scores.Length, gradient => loss.Evaluate(scores, 32, 32, 32, center, gradient, 1));
    }

    // Two threads call until one was served and one was refused; whoever is served gets what a thread alone
    // gets.
    private static void RunTwice<T>(int length, Action<T[]> call)
    {
        T[] alone = new T[length];
        call(alone);
        int refused = 0;
        int computed = 0;
        Stopwatch clock = Stopwatch.StartNew();
        Thread[] threads = [.. Enumerable.Range(0, 2).Select(_ => new Thread(() =>
        {
            T[] result = new T[length];
            while ((Volatile.Read(ref refused) == 0 || Volatile.Read(ref computed) == 0) && clock.Elapsed < TimeSpan.FromSeconds(
                60))
            {
                try
                {
                    call(result);
                    Interlocked.Increment(ref computed);
                    if (!result.AsSpan().SequenceEqual(alone))
                        Interlocked.Exchange(ref computed, int.MinValue);
                }
                catch (InvalidOperationException e) when (e.Message.Contains("one caller at a time", StringComparison.Ordinal))
                {
                    Interlocked.Increment(ref refused);
                }
            }
        }))];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused, Is.Positive, "nobody was refused");
            Assert.That(computed, Is.Positive, "a result changed, or there was none");
        }
    }
}
