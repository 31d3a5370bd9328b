using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.MeanShift;

[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.All))]
public sealed class MeanShiftTests(DeviceKind device)
{
    // Worst errors seen over all cases on the CPU, each in gradScores: Direct float64 2.6e-15, float32
    // 3.6e-6; HostSimd 1.4e-6.
    private const double DoubleTolerance = 1e-12;
    private const double FloatTolerance = 1e-5;

    private GpuContext context = null!;

    [OneTimeSetUp]
    public void OpenDevice() => context = TestDevices.Open(device);

    [OneTimeTearDown]
    public void CloseDevice() => context?.Dispose();

    [Test]
    public void ForwardBackward_EveryVariant_MatchesReference(
        [Values] Weighting weighting,
        [Values] CenterDistance distance,
        [Values(0, 1, 2)] int geometry)
    {
        // Narrower than a vector; wider than one; and with a ball wider than one.
        (int depth, int height, int width, int pitch, double bandwidth) = geometry switch
        {
            0 => (11, 13, 7, 1, 3.5),
            1 => (10, 9, 21, 1, 3.5),
            _ => (12, 9, 19, 3, 5.25),
        };
        MeanShiftOptions options = new()
        {
            BandwidthVoxels = bandwidth,
            Iterations = 4,
            ScoreFloor = weighting == Weighting.Linear ? 0 : 0.0625,
            Weighting = weighting,
            Distance = distance,
        };
        MeanShiftCase batch = MeanShiftCase.Create(depth, height, width, pitch, options, seed: geometry);
        (double[] trajectory, double loss, double[] gradScores) = batch.Expected();
        Check<float>(FloatTolerance);
        Check<double>(DoubleTolerance);

        void Check<T>(double tolerance)
            where T : unmanaged, INumber<T>
        {
            foreach (Variant<IMeanShift<T>, MeanShiftShape> variant in MeanShiftVariants<T>.Table.Supported(context, batch.Shape))
            {
                (T[] actualTrajectory, T actualLoss, T[] actualGradient) = batch.Run(
                    context, context.Launcher(MeanShiftVariants<T>.Table, variant));
                double trajectoryError = TestData.RelativeError<T>(actualTrajectory, trajectory);
                double lossError = TestData.RelativeError<T>([actualLoss], [loss]);
                double gradientError = TestData.RelativeError<T>(actualGradient, gradScores);
                TestContext.Out.WriteLine($"{variant.Name} {typeof(T).Name}: trajectory {trajectoryError:e1}, loss "
                    + $"{lossError:e1}, gradScores {gradientError:e1}");
                using (Assert.EnterMultipleScope())
                {
                    Assert.That(trajectoryError, Is.LessThan(tolerance), $"{variant.Name} {typeof(T).Name} trajectory");
                    Assert.That(lossError, Is.LessThan(tolerance), $"{variant.Name} {typeof(T).Name} loss");
                    Assert.That(gradientError, Is.LessThan(tolerance), $"{variant.Name} {typeof(T).Name} gradScores");
                }
            }
        }
    }

    // A score map wider than the lanes' double step, and tiles that stick out of the volume.
    [Test]
    public void Grouped_OnTheSimulatedGpu_MatchesReference([Values] Weighting weighting)
    {
        if (device != DeviceKind.Cpu)
            Assert.Ignore("the simulated GPU belongs to the CPU fixture");
        MeanShiftOptions options =
            new()
            {
                BandwidthVoxels = 8.25,
                Iterations = 2,
                ScoreFloor = 0.0625,
                Weighting = weighting,
                Distance =
                CenterDistance.Euclidean
            };
        MeanShiftCase batch = MeanShiftCase.Create(5, 7, 19, 2, options, seed: 6);
        (double[] trajectory, double loss, double[] gradScores) = batch.Expected();
        using GpuContext gpu = GpuContext.CreateSimulatedGpu();
        using MeanShiftGrouped<float, Float32> single = new(gpu.Accelerator);
        using MeanShiftGrouped<double, Float64> twice = new(gpu.Accelerator);
        (float[] Trajectory, float Loss, float[] GradScores) actual = batch.Run(gpu, single);
        (double[] Trajectory, double Loss, double[] GradScores) precise = batch.Run(gpu, twice);
        (float[] Trajectory, float Loss, float[] GradScores) again = batch.Run(gpu, single);
        (float[] Trajectory, float Loss, float[] GradScores) apart = batch.Run(gpu, single, fused: false);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(TestData.RelativeError<float>(actual.Trajectory, trajectory), Is.LessThan(FloatTolerance));
            Assert.That(TestData.RelativeError<float>([actual.Loss], [loss]), Is.LessThan(FloatTolerance));
            Assert.That(TestData.RelativeError<float>(actual.GradScores, gradScores), Is.LessThan(FloatTolerance));
            Assert.That(TestData.RelativeError<double>(precise.Trajectory, trajectory), Is.LessThan(DoubleTolerance));
            Assert.That(TestData.RelativeError<double>([precise.Loss], [loss]), Is.LessThan(DoubleTolerance));
            Assert.That(TestData.RelativeError<double>(precise.GradScores, gradScores), Is.LessThan(DoubleTolerance));
            Assert.That(again.GradScores, Is.EqualTo(actual.GradScores), "the same bits again");
            Assert.That(apart.Trajectory, Is.EqualTo(actual.Trajectory), "the centre loss is only fused");
            Assert.That(apart.GradScores, Is.EqualTo(actual.GradScores), "the centre loss is only fused");
            Assert.That(apart.Loss, Is.EqualTo(actual.Loss).Within(1e-6 * loss));
        }
    }

    // More records than a gather tests at once, and more hits than it loads at once.
    [Test]
    public void Grouped_ManySeedsOnTheSimulatedGpu_MatchesTheDirectKernels()
    {
        if (device != DeviceKind.Cpu)
            Assert.Ignore("the simulated GPU belongs to the CPU fixture");
        MeanShiftShape shape = new(1, 5, 6, 11, 520, 1, 1);
        MeanShiftParameters parameters = new(3.5, 0.0625, Weighting.Epanechnikov);
        double[] seeds = [.. TestData.Uniform(shape.Points * 3, 1).Select((v, i) => (v + 1) * (i % 3 == 2 ? 5 : 2))];
        using GpuContext gpu = GpuContext.CreateSimulatedGpu();
        using MeanShiftGrouped<double, Float64> grouped = new(gpu.Accelerator);
        using MeanShiftDirect<double, Float64> direct = new(gpu.Accelerator);
        using MemoryBuffer1D<double, Stride1D.Dense> scores = gpu.ToDevice<double>(
            [.. TestData.Uniform(shape.ItemVoxels, 2).Select(Math.Abs)]);
        using MemoryBuffer1D<double, Stride1D.Dense> positions = gpu.ToDevice<double>(seeds);
        using MemoryBuffer1D<double, Stride1D.Dense> gradPositions = gpu.ToDevice<double>(TestData.Uniform(shape.Points * 3, 3));
        double[] actual = Backward(grouped);
        double[] expected = Backward(direct);
        Assert.That(TestData.RelativeError<double>(actual, expected), Is.LessThan(DoubleTolerance));

        double[] Backward(IMeanShift<double> kernels)
        {
            using MemoryBuffer1D<double, Stride1D.Dense> trajectory = gpu.Accelerator.Allocate1D<double>(shape.TrajectoryLength);
            using MemoryBuffer1D<double, Stride1D.Dense> gradScores = gpu.Accelerator.Allocate1D<double>(shape.ScoreLength);
            using MemoryBuffer1D<byte, Stride1D.Dense> workspace = gpu.Accelerator.Allocate1D<byte>(
                kernels.WorkspaceBytes(shape, parameters, centers: 0));
            kernels.Forward(gpu.Stream, scores.View, positions.View, trajectory.View, workspace.View, shape, parameters);
            kernels.Backward(
                gpu.Stream, scores.View, trajectory.View, gradPositions.View, gradScores.View, workspace.View, shape, parameters);
            gpu.Synchronize();
            return gradScores.GetAsArray1D();
        }
    }

    [Test]
    public void Forward_NothingInTheBall_PointStaysAndTakesNoGradient()
    {
        // Without a floor, the empty planes of the last item hold nothing for the seed in front of them.
        MeanShiftOptions options = new() { BandwidthVoxels = 3.5, Iterations = 3, ScoreFloor = 0, Weighting = Weighting.Linear };
        MeanShiftCase batch = MeanShiftCase.Create(11, 13, 9, 1, options, seed: 3);
        double[] stuck = [0.25, 6.1875, 4.3125];
        int s = Enumerable.Range(0, batch.Seeds.Length / 3).Last(i => batch.Seeds.AsSpan(i * 3, 3).SequenceEqual(stuck));
        Assert.That(s, Is.GreaterThanOrEqualTo(2 * batch.Shape.SeedsPerItem), "the seed belongs to the last item");
        foreach (
            Variant<IMeanShift<double>, MeanShiftShape> variant in MeanShiftVariants<double>.Table.Supported(
                context, batch.Shape))
        {
            (double[] trajectory, _, double[] gradScores) = batch.Run(
                context, context.Launcher(MeanShiftVariants<double>.Table, variant));
            Assert.That(trajectory.AsSpan()[^((int)batch.Shape.Points * 3)..].Slice(s * 3, 3).ToArray(), Is.EqualTo(stuck));
            Assert.That(gradScores, Has.None.NaN);
        }
    }

    [Test]
    public void ForwardBackward_RepeatedAndOtherThreads_SameBits([Values] Weighting weighting)
    {
        MeanShiftOptions options = new() { BandwidthVoxels = 3.5, Iterations = 4, Weighting = weighting };
        MeanShiftCase batch = MeanShiftCase.Create(13, 11, 17, 1, options, seed: 4);
        foreach (
            Variant<IMeanShift<float>, MeanShiftShape> variant in MeanShiftVariants<float>.Table.Supported(context, batch.Shape))
        {
            (float[] trajectory, float loss, float[] gradScores) = batch.Run(
                context, context.Launcher(MeanShiftVariants<float>.Table, variant));
            foreach (int threads in new[] { 1, 2 })
            {
                using GpuContext other = TestDevices.Open(device, threads);
                (float[] otherTrajectory, float otherLoss, float[] otherGradient) = batch.Run(
                    other, other.Launcher(MeanShiftVariants<float>.Table, variant));
                using (Assert.EnterMultipleScope())
                {
                    Assert.That(otherTrajectory, Is.EqualTo(trajectory), $"{variant.Name}, {threads} threads");
                    Assert.That(otherLoss, Is.EqualTo(loss), $"{variant.Name}, {threads} threads");
                    Assert.That(otherGradient, Is.EqualTo(gradScores), $"{variant.Name}, {threads} threads");
                }
            }
        }
    }

    [Test]
    public void Converge_EveryVariant_MatchesReference([Values] Weighting weighting)
    {
        MeanShiftOptions options = new() { BandwidthVoxels = 3.5, Iterations = 30, Weighting = weighting, ScoreFloor = 0.0625 };
        MeanShiftCase batch = MeanShiftCase.Create(11, 13, 9, 2, options with { Iterations = 4 }, seed: 5);
        const double tolerance = 0.05;
        MeanShiftShape shape = batch.Shape with { Batch = 1, Iterations = options.Iterations };
        double[] scores = batch.Scores[..(int)shape.ItemVoxels];
        double[] starts = batch.Seeds[..(batch.Shape.SeedsPerItem * 3)];
        MeanShiftReference reference = new(shape.Depth, shape.Height, shape.Width, options);
        (double[] Position, int Iterations, double Support)[] expected =
            [.. Enumerable.Range(0, starts.Length / 3).Select(
                i => reference.Converge(scores, starts[(i * 3)..(i * 3 + 3)], tolerance))];
        foreach (Variant<IMeanShift<double>, MeanShiftShape> variant in MeanShiftVariants<double>.Table.Supported(context, shape))
            Check(context.Launcher(MeanShiftVariants<double>.Table, variant), variant.Name, DoubleTolerance);
        foreach (Variant<IMeanShift<float>, MeanShiftShape> variant in MeanShiftVariants<float>.Table.Supported(context, shape))
            Check(context.Launcher(MeanShiftVariants<float>.Table, variant), variant.Name, FloatTolerance);

        void Check<T>(IMeanShift<T> kernels, string variant, double bound)
            where T : unmanaged, INumber<T>
        {
            double[] interleaved = new double[scores.Length * 2];
            for (int i = 0; i < scores.Length; i++)
                interleaved[i * 2] = scores[i];
            using MemoryBuffer1D<T, Stride1D.Dense> map = context.ToDevice<T>(interleaved);
            using MemoryBuffer1D<T, Stride1D.Dense> positions = context.ToDevice<T>(starts);
            using MemoryBuffer1D<int, Stride1D.Dense> iterations = context.Accelerator.Allocate1D<int>(starts.Length / 3);
            using MemoryBuffer1D<T, Stride1D.Dense> support = context.Accelerator.Allocate1D<T>(starts.Length / 3);
            using MemoryBuffer1D<byte, Stride1D.Dense> workspace = context.Accelerator.Allocate1D<byte>(
                Math.Max(1, kernels.WorkspaceBytes(shape, options.Parameters, centers: 0)));
            kernels.Converge(
                context.Stream,
                map.View,
                positions.View,
                positions.View,
                iterations.View,
                support.View,
                workspace.View,
                shape,
                options.Parameters,
                tolerance);
            context.Synchronize();
            using (Assert.EnterMultipleScope())
            {
                Assert.That(
                    iterations.GetAsArray1D(), Is.EqualTo(expected.Select(e => e.Iterations)), $"{variant} {typeof(T).Name}");
                Assert.That(
                    TestData.RelativeError<T>(positions.GetAsArray1D(), [.. expected.SelectMany(e => e.Position)]),
                    Is.LessThan(bound),
                    $"{variant} {typeof(T).Name} positions");
                Assert.That(
                    TestData.RelativeError<T>(support.GetAsArray1D(), [.. expected.Select(e => e.Support)]),
                    Is.LessThan(bound),
                    $"{variant} {typeof(T).Name} support");
            }
        }
    }

    [Test]
    public void Converge_NaNAndFarPositions_EndsWithoutTouchingOtherPoints()
    {
        MeanShiftShape shape = new(1, 5, 6, 20, 0, 10, 1);
        MeanShiftParameters parameters = new(3.5, 0.05, Weighting.Epanechnikov);
        foreach (Variant<IMeanShift<float>, MeanShiftShape> variant in MeanShiftVariants<float>.Table.Supported(context, shape))
        {
            IMeanShift<float> kernels = context.Launcher(MeanShiftVariants<float>.Table, variant);
            using MemoryBuffer1D<float, Stride1D.Dense> map = context.ToDevice<float>(new double[shape.ItemVoxels]);
            using MemoryBuffer1D<float, Stride1D.Dense> positions = context.Accelerator.Allocate1D(
                [float.NaN, 1, 1, 1e30f, 2, 2, 2, -1e30f, 2, 2, 2, float.PositiveInfinity, 2, 2.5f, 9.5f]);
            using MemoryBuffer1D<int, Stride1D.Dense> iterations = context.Accelerator.Allocate1D<int>(5);
            using MemoryBuffer1D<float, Stride1D.Dense> support = context.Accelerator.Allocate1D<float>(5);
            using MemoryBuffer1D<byte, Stride1D.Dense> workspace = context.Accelerator.Allocate1D<byte>(
                Math.Max(1, kernels.WorkspaceBytes(shape, parameters, centers: 0)));
            kernels.Converge(
                context.Stream,
                map.View,
                positions.View,
                positions.View,
                iterations.View,
                support.View,
                workspace.View,
                shape,
                parameters,
                0.01);
            context.Synchronize();
            using (Assert.EnterMultipleScope())
            {
                Assert.That(support.GetAsArray1D()[..4], Is.All.Zero, variant.Name);
                Assert.That(positions.GetAsArray1D()[12..], Is.EqualTo(new[] { 2, 2.5f, 9.5f }).Within(1e-5), variant.Name);
            }
        }
    }
}
