using System.Runtime.Intrinsics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Host;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.MeanShift;

/// <summary>The weightings of the CPU's fast variant: in vectors, and one voxel at a time.</summary>
public sealed unsafe class HostWeightingTests
{
    // Three channels apart, and rows that end within a vector: copied rows with columns beyond the map.
    private static readonly MeanShiftShape Shape = new(2, 9, 8, 10, 6, 3, 3);

    private readonly HostThreads threads = new(1);

    [Test]
    public void OneByOne_EveryWeighting_ComputesWhatVectorsCompute()
    {
        Compare<HostFlat, FlatWeighting<float, Float32>>(Weighting.Flat);
        Compare<HostLinear, LinearWeighting<float, Float32>>(Weighting.Linear);
        Compare<HostCone, ConeWeighting<float, Float32>>(Weighting.Cone);
        Compare<HostEpanechnikov, EpanechnikovWeighting<float, Float32>>(Weighting.Epanechnikov);
        Compare<HostGaussian, GaussianWeighting<float, Float32>>(Weighting.Gaussian);
    }

    // A weighting that grows beyond the rim must not become infinite in the columns beyond a row.
    [Test]
    public void Vectors_AWeightingThatGrowsBeyondTheRim_GivesNumbers()
        => Assert.That(
            Gradient(new HostPasses<Growing>(threads), Weighting.Epanechnikov), Has.All.Matches<float>(float.IsFinite));

    private void Compare<TVectors, TWeighting>(Weighting weighting)
        where TVectors : struct, IHostWeighting
        where TWeighting : struct, IWeighting<float>
    {
        float[] vectors = Gradient(new HostPasses<TVectors>(threads), weighting);
        float[] single = Gradient(new HostPasses<HostOneByOne<TWeighting>>(threads), weighting);
        Assert.That(
            TestData.RelativeError<float>(single, Array.ConvertAll(vectors, v => (double)v)), Is.LessThan(1e-5), $"{weighting}");
        Assert.That(vectors, Has.Some.Not.Zero, $"{weighting}");
    }

    private static float[] Gradient(HostPasses passes, Weighting weighting)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        MeanShiftParameters parameters = new(3, weighting == Weighting.Linear ? 0 : 0.05, weighting);
        using MemoryBuffer1D<float, Stride1D.Dense> scores = context.ToDevice<float>(
            Array.ConvertAll(TestData.Uniform((int)Shape.ScoreLength, 1), Math.Abs));
        using MemoryBuffer1D<float, Stride1D.Dense> seeds = context.ToDevice<float>(
            Array.ConvertAll(TestData.Uniform((int)Shape.Points * 3, 2), v => 4 + 3 * v));
        using MemoryBuffer1D<float, Stride1D.Dense> upstream = context.ToDevice<float>(
            TestData.Uniform((int)Shape.Points * 3, 3));
        using MemoryBuffer1D<float, Stride1D.Dense> trajectory = context.ToDevice<float>(new double[Shape.TrajectoryLength]);
        using MemoryBuffer1D<float, Stride1D.Dense> gradient = context.ToDevice<float>(new double[Shape.ScoreLength]);
        using MemoryBuffer1D<byte, Stride1D.Dense> workspace = context.Accelerator.Allocate1D<byte>(
            HostRows.WorkspaceBytes(Shape, parameters));
        HostRows rows = HostRows.Of(scores.View, workspace.View, Shape, parameters);
        passes.Forward(rows, seeds.View.BaseView.Pointer(), trajectory.View.BaseView.Pointer());
        passes.Backward(
            rows, trajectory.View.BaseView.Pointer(), upstream.View.BaseView.Pointer(), gradient.View.BaseView.Pointer());
        return gradient.GetAsArray1D();
    }

    /// <summary>k = (1 − u²)².</summary>
    private readonly struct Growing : IHostWeighting
    {
        public static bool IsFlat => false;

        public static Vector256<float> Weight(Vector256<float> squaredRatio)
            => (Vector256<float>.One - squaredRatio) * (Vector256<float>.One - squaredRatio);

        public static Vector256<float> Slope(Vector256<float> squaredRatio, Vector256<float> weight)
            => Vector256.Create(-4f) * (Vector256<float>.One - squaredRatio);
    }
}
