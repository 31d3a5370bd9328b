using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
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
            // Ten iterations of the direct kernel in float64 were seen to err by 4e-15 on reference files of
            // this size.
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
            loss.Evaluate(
                scores.View,
                deviceCenters.View,
                offsets.View,
                value.View,
                gradient.View,
                shape,
                options.Sampling(seed: 1, step: 0));
            context.Synchronize();
            return (value.GetAsArray1D()[0], gradient.GetAsArray1D());
        }
    }

    // Two items, two maps, their own seeds: each map is what a call of its own gives.
    [Test]
    public void Evaluate_BatchesAndMapsFromSpans_AreThoseOfTheReference()
    {
        MeanShiftOptions options = MeanShiftOptions.Compact;
        const int voxels = Depth * Height * Width;
        const int seedCount = 6;
        double[] scores = [.. TestData.Uniform(4 * voxels, seed: 8).Select(v => (v + 1) / 2)];
        double[][] centers = [[5, 6, 7, 7.5, 8, 11], [3, 4, 5], [6, 6, 6], []];
        double[] seeds = [.. TestData.Uniform(4 * seedCount * 3, seed: 9).Select(v => 6 + 3 * v)];
        double[] upstream = [0.5, -2];
        (double[] losses, double[] gradient) = (new double[2], TestData.Uniform(4 * voxels, seed: 3));
        double[] before = [.. gradient];
        (double[] positions, int[] nearest) = (new double[seeds.Length], new int[4 * seedCount]);
        using MeanShiftLoss<double> loss = new(context, options);
        MeanShiftSpans<double> Call(Span<double> gradScores, bool accumulate) => new()
        {
            Size = new Extent(Depth, Height, Width),
            Batch = 2,
            Maps = 2,
            Scores = scores,
            Seeds = seeds,
            Centers = (double[])[.. centers.SelectMany(c => c)],
            CenterOffsets = (int[])[0, 2, 3, 4, 4],
            Losses = losses,
            GradScores = gradScores,
            Upstream = upstream,
            Scale = 3,
            Accumulate = accumulate,
            Positions = positions,
            NearestCenters = nearest,
        };
        double sum = loss.Evaluate(Call(gradient, accumulate: true));
        (double[] ends, int[] rows) = ([.. positions], [.. nearest]);

        double[] expected = [.. before];
        double[] expectedLosses = new double[2];
        for (int map = 0; map < 2; map++)
        {
            int withCenters = map == 0 ? 2 : 1;
            for (int item = 0; item < 2; item++)
            {
                int list = map * 2 + item;
                double[] own = [.. Enumerable.Range(0, voxels).Select(v => scores[(item * voxels + v) * 2 + map])];
                MeanShiftReferenceResult part = new MeanShiftReference(Depth, Height, Width, options)
                    .Evaluate(own, seeds[(list * seedCount * 3)..((list + 1) * seedCount * 3)], centers[list]);
                Assert.That(
                    ends[(list * seedCount * 3)..((list + 1) * seedCount * 3)],
                    Is.EqualTo(part.Trajectory[^(seedCount * 3)..]).Within(1e-11));
                if (centers[list].Length == 0)
                    continue;
                expectedLosses[map] += part.Loss / withCenters;
                for (int v = 0; v < voxels; v++)
                    expected[(item * voxels + v) * 2 + map] += 3 * upstream[map] * part.GradScores[v] / withCenters;
            }
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That(losses, Is.EqualTo(expectedLosses).Within(1e-11));
            Assert.That(sum, Is.EqualTo(losses.Sum()));
            Assert.That(TestData.RelativeError<double>(gradient, expected), Is.LessThan(1e-11));
            Assert.That(rows[..seedCount], Has.All.InRange(0, 1));
            Assert.That(
                rows[seedCount..(3 * seedCount)],
                Is.EqualTo(Enumerable.Repeat(2, seedCount).Concat(Enumerable.Repeat(3, seedCount))));
            Assert.That(rows[(3 * seedCount)..], Is.All.EqualTo(-1));
        }

        // Overwritten instead of added to, and the value alone.
        double[] overwritten = [.. before];
        Assert.That(loss.Evaluate(Call(overwritten, accumulate: false)), Is.EqualTo(sum));
        Assert.That(TestData.RelativeError<double>([.. overwritten.Zip(before, (g, b) => g + b)], expected), Is.LessThan(1e-11));
        Assert.That(loss.Evaluate(Call([], accumulate: false)), Is.EqualTo(sum));
    }

    [Test]
    public void Evaluate_WrongSpans_SaySo()
    {
        using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact with { SeedCount = 4 });
        float[] map = new float[Depth * Height * Width];
        float Evaluate(
            float[]? seeds = null,
            int[]? offsets = null,
            float[]? upstream = null,
            int maps = 1) => loss.Evaluate(new MeanShiftSpans<float>
            {
                Size = new Extent(Depth, Height, Width),
                Maps = maps,
                Scores = map,
                Centers = (float[])[1, 2, 3],
                Seeds = seeds,
                CenterOffsets = offsets,
                Upstream = upstream,
            });
        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                () => Evaluate(seeds: [1, 2]),
                Throws.ArgumentException.With.Message.Contains("2 numbers are not [C, N, S, 3] seeds"));
            Assert.That(
                () => Evaluate(seeds: [1, 2, float.NaN]), Throws.TypeOf<InputException>().With.Message.Contains("seed 0"));
            Assert.That(
                () => Evaluate(offsets: [0, 2]), Throws.ArgumentException.With.Message.Contains("centerOffsets holds 2 at 1"));
            Assert.That(
                () => Evaluate(offsets: [0]),
                Throws.ArgumentException.With.Message.Contains("centerOffsets holds 1 elements. Expected 2"));
            Assert.That(
                () => Evaluate(upstream: [1, 2]),
                Throws.ArgumentException.With.Message.Contains("upstream holds 2 elements. Expected 1"));
            Assert.That(
                () => Evaluate(maps: 2),
                Throws.ArgumentException.With.Message.Contains("scores holds 3024 elements. Expected 6048"));
            Assert.That(() => new MeanShiftLoss<float>(context, variant: "Fastest"), Throws.TypeOf<InputException>());
        }
    }

    [Test]
    public void Evaluate_NamedVariant_IsTheOneOfTheName()
    {
        MeanShiftOptions options = MeanShiftOptions.Compact with { SeedCount = 8 };
        float[] scores = [.. Scores().Select(v => (float)v)];
        float Evaluate(string? variant)
        {
            using MeanShiftLoss<float> loss = new(context, options, variant);
            return loss.Evaluate(scores, Depth, Height, Width, [5, 6, 7], new float[scores.Length], seed: 1);
        }

        foreach (
            Variant<IMeanShift<float>,
            MeanShiftShape> variant in MeanShiftVariants<float>.Table.Supported(context, options.Shape(1, Depth, Height, Width)))
            Assert.That(Evaluate(variant.Name), Is.EqualTo(Evaluate(null)).Within(1e-4), variant.Name);
    }

    [TestCase(1 << 20, 2048)]
    public void Shape_MoreSeedsTimesIterationsThanAnIntHolds_IsRefused(int seeds, int iterations)
        => Assert.That(
            () => new MeanShiftOptions { SeedCount = seeds, Iterations = iterations }.Shape(1, 8, 8, 8),
            Throws.TypeOf<InputException>().With.Message.Contains("too many together"));

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
        Assert.That(
            () => loss.Evaluate(map, depth, height, width, [], new float[map.Length], seed: 1),
            Throws.InstanceOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void Evaluate_AfterDispose_SaysSo()
    {
        MeanShiftLoss<float> loss = new(context);
        float[] map = new float[Depth * Height * Width];
        loss.Evaluate(map, Depth, Height, Width, [1, 2, 3], new float[map.Length], seed: 1);
        loss.Dispose();
        loss.Dispose();
        Assert.That(
            () => loss.Evaluate(map, Depth, Height, Width, [1, 2, 3], new float[map.Length], seed: 1),
            Throws.InstanceOf<ObjectDisposedException>());
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

    // Many centres, so that the forward pass's part of the workspace is the larger one; few, so that it is
    // the backward pass's.
    [TestCase(1)]
    [TestCase(40)]
    public void Bytes_EveryVariant_AreAllThatTheDeviceHolds(int centerCount)
    {
        using GpuContext gpu = device == DeviceKind.Cpu ? GpuContext.CreateSimulatedGpu() : TestDevices.Open(device);
        MeanShiftOptions options = new() { BandwidthVoxels = 1.5, Iterations = 2, SeedCount = 4 };
        float[] scores = [.. TestData.Uniform(4 * 5 * 6, 1).Select(v => (float)Math.Abs(v))];
        float[] centers = [.. Enumerable.Range(0, 3 * centerCount).Select(i => (float)(i % 4))];
        foreach (
            Variant<IMeanShift<float>, MeanShiftShape> variant in MeanShiftVariants<float>.Table.Supported(
                gpu, options.Shape(1, 4, 5, 6)))
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
        using MemoryBuffer1D<byte, Stride1D.Dense> workspace = gpu.Accelerator.Allocate1D<byte>(
            kernels.WorkspaceBytes(shape, parameters, centers: 0) - 1);
        Assert.That(
            () => kernels.Backward(
                gpu.Stream,
                o.View<float>("scores", shape.ScoreLength),
                o.View<float>("trajectory", shape.TrajectoryLength),
                o.View<float>("gradPositions", shape.Points * 3),
                o.View<float>("gradScores", shape.ScoreLength), workspace.View, shape, parameters),
            Throws.ArgumentException.With.Message.Contains($"workspace holds {workspace.Length} elements, expected "
                + $"{workspace.Length + 1} or more"));
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
        => Assert.That(
            () => new MeanShiftOptions { BandwidthVoxels = bandwidth },
            Throws.InstanceOf<InputException>().With.Message.Contains("bandwidth"));

    private static double[] Scores() => [.. TestData.Uniform(Depth * Height * Width, seed: 8).Select(v => (v + 1) / 2)];
}
