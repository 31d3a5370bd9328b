using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.MeanShift;

/// <summary>The gradient against central differences of the loss itself, in float64.</summary>
[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.All))]
public sealed class MeanShiftGradientTests(DeviceKind device)
{
    private const int Depth = 9;
    private const int Height = 10;
    private const int Width = 12;
    private const double Step = 1e-5;
    private const int Probes = 24;

    // Worst relative error ‖fd − gradient‖/‖gradient‖ over the probes seen: 2.0e-9.
    private const double Tolerance = 1e-6;

    private GpuContext context = null!;

    [OneTimeSetUp]
    public void OpenDevice() => context = TestDevices.Open(device);

    [OneTimeTearDown]
    public void CloseDevice() => context?.Dispose();

    // The balls of the first iteration lie around the seeds, which no score moves: nothing can cross an edge.
    [Test]
    public void GradScores_OneIteration_MatchesFiniteDifferences([Values] Weighting weighting, [Values] CenterDistance distance)
        => Assert.That(Check(weighting, distance, iterations: 1), Is.Zero, "probes left out");

    [Test]
    public void GradScores_FourIterations_MatchesFiniteDifferencesWhereNoVoxelCrossesAnEdge(
        [Values] Weighting weighting, [Values] CenterDistance distance)
    {
        int leftOut = Check(weighting, distance, iterations: 4);
        Assert.That(leftOut, Is.LessThan(Probes / 4));
    }

    [Test]
    public void Crossings_BumpThatMovesAPointAcrossAnEdge_IsDetected()
    {
        MeanShiftReference reference = new(Depth, Height, Width, Options(Weighting.Flat, CenterDistance.Euclidean, 2));
        double[] scores = Scores();
        double[] bumped = [.. scores];
        bumped[(4 * Height + 5) * Width + 6] += 50;
        BallMembership before = reference.Evaluate(scores, [4, 5, 4.5], [4, 5, 6]).Membership;
        BallMembership after = reference.Evaluate(bumped, [4, 5, 4.5], [4, 5, 6]).Membership;
        Assert.That(before.Crossings(after), Is.GreaterThan(0));
        Assert.That(before.Crossings(before), Is.Zero);
    }

    [Test]
    public void Reference_FrozenMembership_GradientMatchesFiniteDifferencesEverywhere([Values] Weighting weighting)
    {
        MeanShiftReference reference = new(Depth, Height, Width, Options(weighting, CenterDistance.Squared, 4));
        double[] scores = Scores();
        double[] seeds = Points(5, seed: 2);
        double[] centers = Points(2, seed: 3);
        MeanShiftReferenceResult result = reference.Evaluate(scores, seeds, centers);
        double[] differences = new double[Probes];
        double[] gradient = new double[Probes];
        int probe = 0;
        foreach (int voxel in StrongestVoxels(result.GradScores))
        {
            // A large step, so that voxels do cross where the membership is not held.
            double plus = LossAt(voxel, 1e-4);
            double minus = LossAt(voxel, -1e-4);
            differences[probe] = (plus - minus) / 2e-4;
            gradient[probe++] = result.GradScores[voxel];
        }

        Assert.That(TestData.RelativeError<double>(differences, gradient), Is.LessThan(Tolerance));

        double LossAt(int voxel, double change)
        {
            double[] bumped = [.. scores];
            bumped[voxel] += change;
            return reference.Evaluate(bumped, seeds, centers, result.Membership).Loss;
        }
    }

    // Compares on the voxels with the largest gradients, and returns how many probes had a crossing and were
    // left out.
    private int Check(Weighting weighting, CenterDistance distance, int iterations)
    {
        MeanShiftOptions options = Options(weighting, distance, iterations) with { SeedCount = 6 };
        MeanShiftShape shape = options.Shape(1, Depth, Height, Width);
        double[] scores = Scores();
        double[] seeds = Points(options.SeedCount, seed: 2);
        double[] centers = Points(2, seed: 3);
        MeanShiftReference reference = new(Depth, Height, Width, options);
        using MeanShiftLoss<double> loss = new(context, options);
        using MemoryBuffer1D<double, Stride1D.Dense> deviceScores = context.ToDevice<double>(scores);
        using MemoryBuffer1D<double, Stride1D.Dense> deviceSeeds = context.ToDevice<double>(seeds);
        using MemoryBuffer1D<double, Stride1D.Dense> deviceCenters = context.ToDevice<double>(centers);
        using MemoryBuffer1D<int, Stride1D.Dense> offsets = context.Accelerator.Allocate1D(new[] { 0, 2 });
        using MemoryBuffer1D<double, Stride1D.Dense> lossValue = context.ToDevice<double>([0]);
        using MemoryBuffer1D<double, Stride1D.Dense> gradScores = context.ToDevice<double>(scores);

        _ = Loss(scores);
        double[] gradient = gradScores.GetAsArray1D();
        List<double> differences = [];
        List<double> analytic = [];
        int leftOut = 0;
        foreach (int voxel in StrongestVoxels(gradient))
        {
            double[] plus = [.. scores];
            plus[voxel] += Step;
            double[] minus = [.. scores];
            minus[voxel] -= Step;
            if (reference.Evaluate(plus, seeds, centers).Membership
                .Crossings(reference.Evaluate(minus, seeds, centers).Membership) > 0)
            {
                leftOut++;
                continue;
            }

            differences.Add((Loss(plus) - Loss(minus)) / (2 * Step));
            analytic.Add(gradient[voxel]);
        }

        double error = TestData.RelativeError<double>(differences.ToArray(), analytic.ToArray());
        TestContext.Out.WriteLine($"relative error {error:e1}, {leftOut} of {Probes} probes left out because a voxel crossed a "
            + "ball's edge");
        Assert.That(error, Is.LessThan(Tolerance));
        return leftOut;

        double Loss(double[] map)
        {
            deviceScores.CopyFromCPU(map);
            loss.Evaluate(
                deviceScores.View, deviceSeeds.View, deviceCenters.View, offsets.View, lossValue.View, gradScores.View, shape);
            context.Synchronize();
            return lossValue.GetAsArray1D()[0];
        }
    }

    private static MeanShiftOptions Options(Weighting weighting, CenterDistance distance, int iterations)
        => new() { BandwidthVoxels = 3.5, Iterations = iterations, Weighting = weighting, Distance = distance };

    private static double[] Scores() => [.. TestData.Uniform(Depth * Height * Width, seed: 1).Select(v => (v + 1) / 2)];

    private static double[] Points(int count, int seed)
    {
        double[] unit = TestData.Uniform(count * 3, seed);
        int[] extents = [Depth, Height, Width];
        return [.. unit.Select((v, i) => (v + 1) / 2 * (extents[i % 3] - 1))];
    }

    private static IEnumerable<int> StrongestVoxels(double[] gradient)
        => Enumerable.Range(0, gradient.Length).OrderByDescending(v => Math.Abs(gradient[v])).Take(Probes);
}
