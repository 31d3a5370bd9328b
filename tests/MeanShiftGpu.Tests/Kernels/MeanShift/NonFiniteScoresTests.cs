using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.MeanShift;

/// <summary>
/// One rule for every weighting and variant: a loss that is not finite never comes with a gradient that is.
/// </summary>
public sealed class NonFiniteScoresTests
{
    private const string Simulated = "simulated";

    private static readonly int[] Offsets = [0, 2, 2, 5];

    // The simulated GPU takes its time, and what a weighting does differs most in whether the chain matters.
    private static IEnumerable<TestCaseData> Cases()
        => from device in TestDevices.All.Select(device => device.ToString()).Append(Simulated)
           from weighting in device == Simulated ? [Weighting.Flat, Weighting.Epanechnikov] : Enum.GetValues<Weighting>()
           select new TestCaseData(device, weighting);

    [TestCaseSource(nameof(Cases))]
    public void Loss_OfAScoreThatIsNoNumber_IsNaNAndSoIsTheItemsGradient(string device, Weighting weighting)
    {
        using GpuContext context = Open(device);
        foreach (int iterations in new[] { 1, 4 })
        {
            MeanShiftCase finite = Case(weighting, iterations);
            int voxels = (int)finite.Shape.ItemVoxels;
            // In the middle of the last item, in the first ball of a seed.
            int at = 2 * voxels + (5 * finite.Shape.Height + 4) * finite.Shape.Width + 5;
            double[] seeds = [.. finite.Seeds];
            new[] { 5.25, 4.5, 5.125 }.CopyTo(seeds, 2 * finite.Shape.SeedsPerItem * 3);
            ForEachVariant(context, finite.Shape, (name, kernels) =>
            {
                foreach (double score in new[] { double.NaN, double.PositiveInfinity, double.NegativeInfinity })
                {
                    double[] scores = [.. finite.Scores];
                    scores[at] = score;
                    (_, float loss, float[] gradient) = (finite with { Scores = scores, Seeds = seeds }).Run(context, kernels);
                    using (Assert.EnterMultipleScope())
                    {
                        Assert.That(loss, Is.NaN, name);
                        Assert.That(gradient[at], Is.NaN, name);
                        Assert.That(gradient[..(2 * voxels)], Has.All.Matches<float>(float.IsFinite), $"{name}: other items");
                        // A shift from a point that is no number knows no ball: it tells the whole item.
                        if (iterations > 1)
                            Assert.That(gradient[(2 * voxels)..], Is.All.NaN, name);
                    }
                }
            });
        }
    }

    // Sums over a ball overflow float32.
    [TestCaseSource(nameof(Cases))]
    public void Loss_OfScoresWhoseSumsOverflow_IsNaNWithItsGradient(string device, Weighting weighting)
    {
        MeanShiftCase large = Case(weighting, iterations: 4);
        large = large with { Scores = [.. large.Scores.Select(_ => 3e38)] };
        using GpuContext context = Open(device);
        ForEachVariant(context, large.Shape, (name, kernels) =>
        {
            (_, float loss, float[] gradient) = large.Run(context, kernels);
            Assert.That(loss, Is.NaN, name);
            Assert.That(gradient, Has.Some.NaN, name);
        });
    }

    // The gradient is as large as 1/W. Where the device takes such small numbers for 0, the points stay and
    // nothing has a gradient.
    [TestCaseSource(nameof(Cases))]
    public void Loss_OfScoresNearTheSmallestNumberWithoutAFloor_HasAGradientThatOverflows(string device, Weighting weighting)
    {
        MeanShiftCase small = Case(weighting, iterations: 1);
        small = small with { Options = small.Options with { ScoreFloor = 0 }, Scores = [.. small.Scores.Select(_ => 1e-42)] };
        using GpuContext context = Open(device);
        ForEachVariant(context, small.Shape, (name, kernels) =>
        {
            (_, float loss, float[] gradient) = small.Run(context, kernels);
            Assert.That(float.IsFinite(loss), Is.True, name);
            Assert.That(gradient.All(g => g == 0) || gradient.Any(g => !float.IsFinite(g)), Is.True, name);
        });
    }

    private static void ForEachVariant(GpuContext context, MeanShiftShape shape, Action<string, IMeanShift<float>> check)
    {
        foreach (Variant<IMeanShift<float>, MeanShiftShape> variant in MeanShiftVariants<float>.Table.Supported(context, shape))
        {
            using IMeanShift<float> kernels = variant.Create(context);
            check(variant.Name, kernels);
        }
    }

    private static MeanShiftCase Case(Weighting weighting, int iterations)
        => MeanShiftCase
            .Create(
                11, 9, 10, 1, new MeanShiftOptions { BandwidthVoxels = 2.5, Iterations = iterations, Weighting = weighting },
                seed: 5) with
        { CenterOffsets = Offsets };

    private static GpuContext Open(string device)
        => device == Simulated ? GpuContext.CreateSimulatedGpu() : TestDevices.Open(Enum.Parse<DeviceKind>(device));
}
