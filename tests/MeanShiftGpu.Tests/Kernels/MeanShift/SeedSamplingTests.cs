using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.MeanShift;

[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.All))]
public sealed class SeedSamplingTests(DeviceKind device)
{
    private const int SeedsPerItem = 400;

    // Three items of 2, 0 and 1 centres, exact in float32.
    private static readonly double[] Centers = [1.5, 20.25, 8.125, 30, 2, 39, 15.75, 12, 20];
    private static readonly int[] Offsets = [0, 2, 2, 3];

    private GpuContext context = null!;

    [OneTimeSetUp]
    public void OpenDevice() => context = TestDevices.Open(device);

    [OneTimeTearDown]
    public void CloseDevice() => context?.Dispose();

    private static MeanShiftShape Shape => new(3, 32, 25, 41, SeedsPerItem, 10, 1);

    [Test]
    public void SampleSeeds_EveryVariantAndRealType_DrawsTheSamePointsAsTheDirectCpuKernel()
    {
        using GpuContext cpu = TestDevices.Open(DeviceKind.Cpu);
        SeedSampling sampling = new(7, 3, 7.5, 2);
        double[] expected = Sample<double>(cpu, MeanShiftVariants<double>.Table.Variants[^1], sampling);
        float[] rounded = [.. expected.Select(v => (float)v)];
        foreach (Variant<IMeanShift<float>, MeanShiftShape> variant in MeanShiftVariants<float>.Table.Supported(context, Shape))
            Assert.That(Sample<float>(context, variant, sampling), Is.EqualTo(rounded), variant.Name);
        foreach (Variant<IMeanShift<double>, MeanShiftShape> variant in MeanShiftVariants<double>.Table.Supported(context, Shape))
            Assert.That(Sample<double>(context, variant, sampling), Is.EqualTo(expected), variant.Name);
    }

    [Test]
    public void SampleSeeds_Points_LieInTheBallsAroundTheCentresInTurnAndInsideTheMargin()
    {
        double[] seeds = Sample<double>(context, MeanShiftVariants<double>.Table.Variants[^1], new SeedSampling(1, 0, 7.5, 2));
        int[] extents = [Shape.Depth, Shape.Height, Shape.Width];
        for (int i = 0; i < seeds.Length / 3; i++)
        {
            double[] p = seeds[(i * 3)..(i * 3 + 3)];
            int item = i / SeedsPerItem;
            int count = Offsets[item + 1] - Offsets[item];
            if (count == 0)
            {
                Assert.That(p, Is.EqualTo(new[] { 15.5, 12, 20 }));
                continue;
            }

            // Clipping only ever brings a point nearer to a centre that is itself inside; the first centre
            // lies in the margin.
            double[] center = Centers.AsSpan((Offsets[item] + i % SeedsPerItem % count) * 3, 3).ToArray();
            double[] clipped = [.. center.Select((c, axis) => Math.Clamp(c, 2, extents[axis] - 3))];
            double distance = Math.Sqrt(p.Select((v, axis) => (v - clipped[axis]) * (v - clipped[axis])).Sum());
            using (Assert.EnterMultipleScope())
            {
                Assert.That(distance, Is.LessThanOrEqualTo(7.5));
                Assert.That(p.Select((v, axis) => v >= 2 && v <= extents[axis] - 3), Is.All.True);
            }
        }
    }

    [Test]
    public void SampleSeeds_Radii_AreUniformInTheBall()
    {
        // Item 2 lies far enough inside that nothing is clipped. In a uniform ball of radius R, E r = 3R/4
        // and E (r/R)³ = 1/2.
        List<double> radii = [];
        double[] sum = new double[3];
        for (uint step = 0; step < 50; step++)
        {
            double[] seeds =
                Sample<double>(context, MeanShiftVariants<double>.Table.Variants[^1], new SeedSampling(11, step, 7.5, 2));
            for (int i = 2 * SeedsPerItem; i < 3 * SeedsPerItem; i++)
            {
                double[] offset = [.. Enumerable.Range(0, 3).Select(axis => seeds[i * 3 + axis] - Centers[6 + axis])];
                radii.Add(Math.Sqrt(offset.Sum(v => v * v)) / 7.5);
                for (int axis = 0; axis < 3; axis++)
                    sum[axis] += offset[axis];
            }
        }

        // 20000 points: standard errors 0.0014, 0.002 and 0.024; bounds of five of them.
        using (Assert.EnterMultipleScope())
        {
            Assert.That(radii.Average(), Is.EqualTo(0.75).Within(0.007));
            Assert.That(radii.Average(r => r * r * r), Is.EqualTo(0.5).Within(0.0105));
            Assert.That(sum.Select(s => s / radii.Count), Is.All.EqualTo(0).Within(0.12));
            Assert.That(radii.Distinct().Count(), Is.GreaterThan(0.99 * radii.Count));
        }
    }

    [Test]
    public void SampleSeeds_OtherSeedOrStep_DrawsOtherPoints()
    {
        Variant<IMeanShift<double>, MeanShiftShape> variant = MeanShiftVariants<double>.Table.Variants[^1];
        double[] first = Sample<double>(context, variant, new SeedSampling(1, 0, 7.5, 2));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Sample<double>(context, variant, new SeedSampling(1, 0, 7.5, 2)), Is.EqualTo(first));
            Assert.That(Sample<double>(context, variant, new SeedSampling(1, 1, 7.5, 2)), Is.Not.EqualTo(first));
            Assert.That(Sample<double>(context, variant, new SeedSampling(2, 0, 7.5, 2)), Is.Not.EqualTo(first));
        }
    }

    [Test]
    public void SampleSeeds_VolumeThinnerThanTheMargins_PutsPointsInTheMiddle()
    {
        MeanShiftShape thin = new(1, 3, 25, 41, 20, 10, 1);
        IMeanShift<double> kernels = context.Launcher(
            MeanShiftVariants<double>.Table, MeanShiftVariants<double>.Table.Variants[^1]);
        using MemoryBuffer1D<double, Stride1D.Dense> centers = context.ToDevice<double>([2, 12, 20]);
        using MemoryBuffer1D<int, Stride1D.Dense> offsets = context.Accelerator.Allocate1D(new[] { 0, 1 });
        using MemoryBuffer1D<double, Stride1D.Dense> seeds = context.Accelerator.Allocate1D<double>(thin.Points * 3);
        kernels.SampleSeeds(context.Stream, new(centers.View, offsets.View), seeds.View, thin, new SeedSampling(1, 0, 7.5, 2));
        context.Synchronize();
        Assert.That(seeds.GetAsArray1D().Where((_, i) => i % 3 == 0), Is.All.EqualTo(1));
    }

    [Test]
    public void SampleSeeds_NegativeRadius_IsRefused()
    {
        IMeanShift<double> kernels = context.Launcher(
            MeanShiftVariants<double>.Table, MeanShiftVariants<double>.Table.Variants[^1]);
        Assert.That(
            () => kernels.SampleSeeds(context.Stream, default, default, Shape, new SeedSampling(1, 0, -1, 2)),
            Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains("RadiusVoxels"));
    }

    private static T[] Sample<T>(GpuContext context, Variant<IMeanShift<T>, MeanShiftShape> variant, SeedSampling sampling)
        where T : unmanaged, INumber<T>
    {
        IMeanShift<T> kernels = context.Launcher(MeanShiftVariants<T>.Table, variant);
        using MemoryBuffer1D<T, Stride1D.Dense> centers = context.ToDevice<T>(Centers);
        using MemoryBuffer1D<int, Stride1D.Dense> offsets = context.Accelerator.Allocate1D(Offsets);
        using MemoryBuffer1D<T, Stride1D.Dense> seeds = context.Accelerator.Allocate1D<T>(Shape.Points * 3);
        kernels.SampleSeeds(context.Stream, new(centers.View, offsets.View), seeds.View, Shape, sampling);
        context.Synchronize();
        return seeds.GetAsArray1D();
    }
}
