using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.MeanShift;

/// <summary>
/// Every value of an enumeration has an arm of its own everywhere, and a value that has none is refused: it
/// must not compute another's.
/// </summary>
public sealed class UnknownValueTests
{
    private const Weighting UnknownWeighting = (Weighting)99;
    private const CenterDistance UnknownDistance = (CenterDistance)99;
    private const Activation UnknownActivation = (Activation)99;
    private static readonly MeanShiftShape Shape = new(1, 3, 4, 5, 2, 1, 1);

    private static IEnumerable<TestCaseData> Launchers()
        => from simulated in new[] { false, true }
           from variant in MeanShiftVariants<float>.Table.Variants
           where variant.Name != (simulated ? Variants.HostSimd : Variants.Grouped)
           select new TestCaseData(simulated, variant.Name);

    [TestCaseSource(nameof(Launchers))]
    public void Launcher_TakesEveryWeightingAndNoOther(bool simulated, string variant)
    {
        using GpuContext context = simulated ? GpuContext.CreateSimulatedGpu() : TestDevices.Open(DeviceKind.Cpu);
        using IMeanShift<float> kernels = MeanShiftVariants<float>.Table.Variants.Single(v => v.Name == variant).Create(context);
        using MemoryBuffer1D<float, Stride1D.Dense> scores = context.Accelerator.Allocate1D(new float[Shape.ItemVoxels]);
        using MemoryBuffer1D<float, Stride1D.Dense> seeds = context.Accelerator.Allocate1D<float>([1, 1, 1, 2, 2, 2]);
        using MemoryBuffer1D<float, Stride1D.Dense> trajectory = context.Accelerator.Allocate1D<float>(Shape.TrajectoryLength);
        foreach (Weighting weighting in Enum.GetValues<Weighting>())
            Forward(weighting);
        context.Synchronize();
        Assert.That(
            () => Forward(UnknownWeighting), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Epanechnikov"));

        void Forward(Weighting weighting)
        {
            MeanShiftParameters parameters = new(2, 0.05, weighting);
            using MemoryBuffer1D<byte, Stride1D.Dense> workspace = context.Accelerator.Allocate1D<byte>(
                Math.Max(1, kernels.WorkspaceBytes(Shape, parameters, centers: 0)));
            kernels.Forward(context.Stream, scores.View, seeds.View, trajectory.View, workspace.View, Shape, parameters);
        }
    }

    [TestCaseSource(nameof(Launchers))]
    public void Launcher_TakesEveryDistanceAndNoOther(bool simulated, string variant)
    {
        using GpuContext context = simulated ? GpuContext.CreateSimulatedGpu() : TestDevices.Open(DeviceKind.Cpu);
        using IMeanShift<float> kernels = MeanShiftVariants<float>.Table.Variants.Single(v => v.Name == variant).Create(context);
        using MemoryBuffer1D<float, Stride1D.Dense> points = context.Accelerator.Allocate1D<float>([1, 1, 1, 2, 2, 2]);
        using MemoryBuffer1D<float, Stride1D.Dense> center = context.Accelerator.Allocate1D<float>([1, 2, 3]);
        using MemoryBuffer1D<int, Stride1D.Dense> offsets = context.Accelerator.Allocate1D<int>([0, 1]);
        using MemoryBuffer1D<int, Stride1D.Dense> nearestCenter = context.Accelerator.Allocate1D<int>(2);
        using MemoryBuffer1D<int, Stride1D.Dense> nearestPoint = context.Accelerator.Allocate1D<int>(1);
        using MemoryBuffer1D<float, Stride1D.Dense> loss = context.Accelerator.Allocate1D<float>(1);
        using MemoryBuffer1D<float, Stride1D.Dense> gradient = context.Accelerator.Allocate1D<float>(6);
        foreach (CenterDistance distance in Enum.GetValues<CenterDistance>())
        {
            Forward(distance);
            Backward(distance);
        }

        context.Synchronize();
        Assert.That(
            () => Forward(UnknownDistance), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Euclidean"));
        Assert.That(() => Backward(UnknownDistance), Throws.TypeOf<ArgumentOutOfRangeException>());

        void Forward(CenterDistance distance)
            => kernels.CenterLossForward(
                context.Stream,
                points.View,
                new(center.View, offsets.View),
                new(nearestCenter.View, nearestPoint.View),
                loss.View,
                Shape,
                distance);

        void Backward(CenterDistance distance) => kernels.CenterLossBackward(
            context.Stream,
            loss.View,
            points.View,
            new(center.View, offsets.View),
            new(nearestCenter.View, nearestPoint.View),
            gradient.View,
            Shape,
            distance);
    }

    // Two weightings that compute the same number would hide a forgotten arm; no two do.
    [Test]
    public void Reference_HasAnArmForEveryWeightingAndDistance()
    {
        double[] scores = TestData.Uniform(3 * 4 * 5, seed: 1);
        double[] losses =
        [
            .. from weighting in Enum.GetValues<Weighting>()
               from distance in Enum.GetValues<CenterDistance>()
               select new MeanShiftReference(3, 4, 5, new MeanShiftOptions
               {
                   Weighting = weighting,
                   Distance = distance,
                   BandwidthVoxels = 2.3,
                   Iterations = 1,
                   ScoreFloor = 2,
               })
                   .Evaluate(scores, [1.1, 1.3, 1.9], [1, 2, 3]).Loss,
        ];
        Assert.That(losses, Is.Unique);
    }

    [Test]
    public void Options_TakeNoUnknownValue()
    {
        Assert.That(
            () => new MeanShiftOptions { Weighting = UnknownWeighting },
            Throws.TypeOf<InputException>().With.Message.Contains("Gaussian"));
        Assert.That(
            () => new MeanShiftOptions { Distance = UnknownDistance },
            Throws.TypeOf<InputException>().With.Message.Contains("Squared"));
    }

    [Test]
    public void Conv3dReference_TakesEveryActivationAndNoOther()
    {
        foreach (Activation activation in Enum.GetValues<Activation>())
            Forward(activation);
        Assert.That(() => Forward(UnknownActivation), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Relu"));

        static void Forward(Activation activation)
            => Conv3dReference.Forward([1], [1], [0], new double[1], new Conv3dShape(1, 1, 1, 1, 1, 1, 1, activation, 1, 1));
    }
}
