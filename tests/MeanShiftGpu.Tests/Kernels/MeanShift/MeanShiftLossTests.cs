using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.MeanShift;

[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.All))]
public sealed class MeanShiftLossTests(DeviceKind device)
{
    private const int Depth = 12;
    private const int Height = 14;
    private const int Width = 18;

    private GpuContext context = null!;

    [OneTimeSetUp]
    public void OpenDevice() => context = TestDevices.Open(device);

    [OneTimeTearDown]
    public void CloseDevice() => context?.Dispose();

    [Test]
    public void Evaluate_Spans_MatchesReferenceOnItsOwnSeeds()
    {
        MeanShiftOptions options = MeanShiftOptions.Compact with { SeedCount = 12 };
        double[] scores = Scores();
        double[] centers = [5, 6, 7, 7.5, 8, 11];
        using MeanShiftLoss<double> loss = new(context, options);
        double[] gradient = new double[scores.Length];
        double value = loss.Evaluate(scores, Depth, Height, Width, centers, gradient, seed: 3, step: 2);

        double[] trajectory = new double[loss.Trajectory.Length];
        loss.Trajectory.CopyToCPU(context.Stream, trajectory.AsSpan());
        double[] ends = new double[loss.Positions.Length];
        loss.Positions.CopyToCPU(context.Stream, ends.AsSpan());
        context.Synchronize();
        MeanShiftReferenceResult expected = new MeanShiftReference(Depth, Height, Width, options)
            .Evaluate(scores, trajectory[..(options.SeedCount * 3)], centers);
        using (Assert.EnterMultipleScope())
        {
            // Ten iterations of the direct kernel in float64 were seen to err by 4e-15 on reference files of this size.
            Assert.That(TestData.RelativeError<double>(trajectory, expected.Trajectory), Is.LessThan(1e-12));
            Assert.That(ends, Is.EqualTo(trajectory[^ends.Length..]));
            Assert.That(value, Is.EqualTo(expected.Loss).Within(1e-12));
            Assert.That(TestData.RelativeError<double>(gradient, expected.GradScores), Is.LessThan(1e-12));
        }
    }

    [Test]
    public void Evaluate_NoCentres_LossAndGradientAreZero()
    {
        using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Combined with { SeedCount = 4 });
        float[] scores = [.. Scores().Select(v => (float)v)];
        float[] gradient = [.. scores];
        Assert.That(loss.Evaluate(scores, Depth, Height, Width, [], gradient, seed: 1), Is.Zero);
        Assert.That(gradient, Is.All.Zero);
    }

    [Test]
    public void Evaluate_RowsOfCentresThatAreNobodys_AreNotRead()
    {
        MeanShiftOptions options = MeanShiftOptions.Combined with { SeedCount = 4 };
        double[] centers = [5, 6, 7, 7.5, 8, 11];
        (double Loss, double[] Gradient) exact = Evaluate(centers);
        (double Loss, double[] Gradient) spare = Evaluate([.. centers, .. Enumerable.Repeat(double.NaN, 9)]);
        Assert.That(spare.Loss, Is.EqualTo(exact.Loss));
        Assert.That(spare.Gradient, Is.EqualTo(exact.Gradient));

        (double Loss, double[] Gradient) Evaluate(double[] rows)
        {
            using MeanShiftLoss<double> loss = new(context, options);
            using MemoryBuffer1D<double, Stride1D.Dense> scores = context.ToDevice<double>(Scores());
            using MemoryBuffer1D<double, Stride1D.Dense> deviceCenters = context.ToDevice<double>(rows);
            using MemoryBuffer1D<int, Stride1D.Dense> offsets = context.Accelerator.Allocate1D(new[] { 0, 2 });
            using MemoryBuffer1D<double, Stride1D.Dense> value = context.Accelerator.Allocate1D<double>(1);
            using MemoryBuffer1D<double, Stride1D.Dense> gradient = context.Accelerator.Allocate1D<double>(scores.Length);
            MeanShiftShape shape = options.Shape(1, Depth, Height, Width);
            loss.Evaluate(scores.View, deviceCenters.View, offsets.View, value.View, gradient.View, shape, options.Sampling(seed: 1, step: 0));
            context.Synchronize();
            return (value.GetAsArray1D()[0], gradient.GetAsArray1D());
        }
    }

    [TestCase(1 << 20, 2048)]
    public void Shape_MoreSeedsTimesIterationsThanAnIntHolds_IsRefused(int seeds, int iterations)
        => Assert.That(() => new MeanShiftOptions { SeedCount = seeds, Iterations = iterations }.Shape(1, 8, 8, 8), Throws.TypeOf<InputException>().With.Message.Contains("too many together"));

    [Test]
    public void Evaluate_CentreOutside_NamesIt()
    {
        using MeanShiftLoss<float> loss = new(context);
        float[] map = new float[Depth * Height * Width];
        Assert.That(
            () => loss.Evaluate(map, Depth, Height, Width, [1, 2, 3, 4, 5, 18], new float[map.Length], seed: 1),
            Throws.InstanceOf<InputException>().With.Message.Contains("centre 1").And.Message.Contains("12×14×18"));
    }

    [Test]
    public void Evaluate_WrongLengths_SaysWhatWasExpected()
    {
        using MeanShiftLoss<float> loss = new(context);
        Assert.That(
            () => loss.Evaluate(new float[5], Depth, Height, Width, [1, 2, 3], new float[5], seed: 1),
            Throws.ArgumentException.With.Message.Contains("3024"));
    }

    [TestCase(0, 14, 18)]
    [TestCase(-12, -14, 18)]
    public void Evaluate_AnExtentBelowOne_IsRefused(int depth, int height, int width)
    {
        using MeanShiftLoss<float> loss = new(context);
        float[] map = new float[depth * height * width];
        Assert.That(() => loss.Evaluate(map, depth, height, width, [], new float[map.Length], seed: 1), Throws.InstanceOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void Evaluate_AfterDispose_SaysSo()
    {
        MeanShiftLoss<float> loss = new(context);
        float[] map = new float[Depth * Height * Width];
        loss.Evaluate(map, Depth, Height, Width, [1, 2, 3], new float[map.Length], seed: 1);
        loss.Dispose();
        loss.Dispose();
        Assert.That(() => loss.Evaluate(map, Depth, Height, Width, [1, 2, 3], new float[map.Length], seed: 1), Throws.InstanceOf<ObjectDisposedException>());
    }

    [Test]
    public void Evaluate_SecondCall_HoldsTheSameMemory()
    {
        using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact with { SeedCount = 8 });
        float[] scores = [.. Scores().Select(v => (float)v)];
        float[] gradient = new float[scores.Length];
        float first = loss.Evaluate(scores, Depth, Height, Width, [5, 6, 7], gradient, seed: 1);
        long bytes = loss.Bytes;
        long managed = GC.GetAllocatedBytesForCurrentThread();
        float second = loss.Evaluate(scores, Depth, Height, Width, [5, 6, 7], gradient, seed: 1);
        managed = GC.GetAllocatedBytesForCurrentThread() - managed;
        TestContext.Out.WriteLine($"managed bytes of the second call: {managed}");
        using (Assert.EnterMultipleScope())
        {
            Assert.That(second, Is.EqualTo(first));
            Assert.That(loss.Bytes, Is.EqualTo(bytes));
        }
    }

    // Many centres, so that the forward pass's part of the workspace is the larger one; few, so that it is the backward pass's.
    [TestCase(1)]
    [TestCase(40)]
    public void Bytes_EveryVariant_AreAllThatTheDeviceHolds(int centerCount)
    {
        using GpuContext gpu = device == DeviceKind.Cpu ? GpuContext.CreateSimulatedGpu() : TestDevices.Open(device);
        MeanShiftOptions options = new() { BandwidthVoxels = 1.5, Iterations = 2, SeedCount = 4 };
        float[] scores = [.. TestData.Uniform(4 * 5 * 6, 1).Select(v => (float)Math.Abs(v))];
        float[] centers = [.. Enumerable.Range(0, 3 * centerCount).Select(i => (float)(i % 4))];
        foreach (Variant<IMeanShift<float>, MeanShiftShape> variant in MeanShiftVariants<float>.Table.Supported(gpu, options.Shape(1, 4, 5, 6)))
        {
            using GpuContext forced = gpu.WithVariant(variant.Name);
            long before = TestDevices.BytesHeld(gpu);
            using MeanShiftLoss<float> loss = new(forced, options);
            loss.Evaluate(scores, 4, 5, 6, centers, new float[scores.Length], seed: 1);
            Assert.That(TestDevices.BytesHeld(gpu) - before, Is.EqualTo(loss.Bytes), variant.Name);
        }
    }

    [Test]
    public void Evaluate_TooSmallAWorkspace_IsRefused()
    {
        MeanShiftShape shape = MeanShiftOptions.Compact.Shape(1, 4, 5, 6);
        MeanShiftParameters parameters = MeanShiftOptions.Compact.Parameters;
        using GpuContext gpu = GpuContext.CreateSimulatedGpu();
        using IMeanShift<float> kernels = new MeanShiftGrouped<float, Float32>(gpu.Accelerator);
        using Operands o = new(gpu);
        using MemoryBuffer1D<byte, Stride1D.Dense> workspace = gpu.Accelerator.Allocate1D<byte>(kernels.WorkspaceBytes(shape, parameters, centers: 0) - 1);
        Assert.That(
            () => kernels.Backward(
                gpu.Stream, o.View<float>("scores", shape.ScoreLength), o.View<float>("trajectory", shape.TrajectoryLength), o.View<float>("gradPositions", shape.Points * 3),
                o.View<float>("gradScores", shape.ScoreLength), workspace.View, shape, parameters),
            Throws.ArgumentException.With.Message.Contains($"workspace holds {workspace.Length} elements, expected {workspace.Length + 1} or more"));
    }

    [Test]
    public void Options_Presets_AreThoseOfTheDesign()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(MeanShiftOptions.Compact, Is.EqualTo(new MeanShiftOptions()));
            Assert.That(MeanShiftOptions.Paper.Parameters, Is.EqualTo(new MeanShiftParameters(4, 0, Weighting.Linear)));
            Assert.That(MeanShiftOptions.PublishedCode.Parameters, Is.EqualTo(new MeanShiftParameters(4, 0.05, Weighting.Flat)));
            Assert.That(MeanShiftOptions.Combined.Distance, Is.EqualTo(CenterDistance.Squared));
        }
    }

    [TestCase(0)]
    [TestCase(-1)]
    [TestCase(double.NaN)]
    public void Options_BadBandwidth_IsRefused(double bandwidth)
        => Assert.That(() => new MeanShiftOptions { BandwidthVoxels = bandwidth }, Throws.InstanceOf<InputException>().With.Message.Contains("bandwidth"));

    private static double[] Scores() => [.. TestData.Uniform(Depth * Height * Width, seed: 8).Select(v => (v + 1) / 2)];
}
