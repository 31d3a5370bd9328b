using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Loss;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Loss;

[TestFixture]
public class DiceTests
{
    // One element, fewer than a vector, several chunks and partial sums with a rest.
    private static readonly long[] Counts = [1, 7, 1001, 70_003];

    // Worst errors seen: float32 2.2e-7 (gradient without target), float64 8.4e-15 (gradient, 70003
    // elements).
    private static double Tolerance<T>() => typeof(T) == typeof(float) ? 1e-6 : 5e-14;

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ForwardAndBackward_RandomMaps_MatchReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (long count in Counts)
        {
            Check<float>(context, Prediction(count), Target(count));
            Check<double>(context, Prediction(count), Target(count));
        }
    }

    // The smooth 1 keeps the loss defined without any target, and without any positive score too.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ForwardAndBackward_EmptyMaps_MatchReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        Check<float>(context, Prediction(1001), new double[1001]);
        Check<double>(context, Prediction(1001), new double[1001]);
        Check<float>(context, new double[1001], new double[1001]);
        Check<double>(context, new double[1001], new double[1001]);
    }

    [Test]
    public void ForwardAndBackward_OnTheSimulatedGpu_MatchReference()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        Assert.That(DiceVariants<float>.Table.Supported(context, new FlatShape(1)).Select(v => v.Name), Does.Contain("Grouped"));
        foreach (long count in Counts[..3])
        {
            Check<float>(context, Prediction(count), Target(count));
            Check<double>(context, Prediction(count), Target(count));
        }
    }

    [Test]
    public void ForwardAndBackward_OneAndTwoThreads_SameBits()
    {
        float[][] results = [.. new[] { 1, 2, 3 }.Select(threads =>
        {
            using GpuContext context = TestDevices.Open(DeviceKind.Cpu, threads);
            FlatShape shape = new(100_003);
            (float loss, float[] gradient) = Run(
                context,
                DiceVariants<float>.Table.Supported(context, shape).First(),
                Prediction(shape.Count),
                Target(shape.Count));
            return (float[])[loss, .. gradient];
        })];

        Assert.That(results[1], Is.EqualTo(results[0]));
        Assert.That(results[2], Is.EqualTo(results[0]));
    }

    [Test]
    public void Reference_Backward_MatchesCentralDifferences()
    {
        double[] target = Target(50);
        double[] expected = NumericalGradient.Of(p => DiceReference.Forward(p, target), Prediction(50));

        // Worst seen 2.8e-10.
        Assert.That(TestData.RelativeError<double>(DiceReference.Backward(Prediction(50), target), expected), Is.LessThan(1e-8));
    }

    private static double[] Prediction(long count) => [.. TestData.Uniform(count, 1).Select(static v => (v + 1) / 2)];

    private static double[] Target(long count) => [.. TestData.Uniform(count, 2).Select(static v => v > 0.7 ? 1.0 : 0.0)];

    private const double Upstream = -0.75;

    private static void Check<T>(GpuContext context, double[] scores, double[] target)
        where T : unmanaged, INumber<T>
    {
        double loss = DiceReference.Forward(scores, target);
        double[] gradient = [.. DiceReference.Backward(scores, target).Select(static g => g * Upstream)];
        foreach (Variant<IDice<T>, FlatShape> variant in DiceVariants<T>.Table.Supported(context, new FlatShape(scores.Length)))
        {
            (T actualLoss, T[] actualGradient) = Run(context, variant, scores, target);
            string label = $"{variant.Name} {typeof(T).Name} {scores.Length}";
            Assert.That(TestData.RelativeError<T>([actualLoss], [loss]), Is.LessThan(Tolerance<T>()), label);
            Assert.That(TestData.RelativeError<T>(actualGradient, gradient), Is.LessThan(Tolerance<T>()), label);
        }
    }

    private static (
        T Loss, T[] Gradient) Run<T>(GpuContext context, Variant<IDice<T>, FlatShape> variant, double[] scores, double[] target)
        where T : unmanaged, INumber<T>
    {
        IDice<T> dice = context.Launcher(DiceVariants<T>.Table, variant);
        FlatShape shape = new(scores.Length);
        using MemoryBuffer1D<T, Stride1D.Dense> p = context.ToDevice<T>(scores);
        using MemoryBuffer1D<T, Stride1D.Dense> t = context.ToDevice<T>(target);
        using MemoryBuffer1D<T, Stride1D.Dense> workspace = context.ToDevice<T>(TestData.Uniform(dice.WorkspaceLength(shape), 9));
        using MemoryBuffer1D<T, Stride1D.Dense> sums = context.ToDevice<T>([9, 9]);
        using MemoryBuffer1D<T, Stride1D.Dense> loss = context.ToDevice<T>([9]);
        using MemoryBuffer1D<T, Stride1D.Dense> upstream = context.ToDevice<T>([Upstream]);
        using MemoryBuffer1D<T, Stride1D.Dense> gradient = context.ToDevice<T>(scores);

        dice.Forward(context.Stream, p.View, t.View, workspace.View, sums.View, loss.View, shape);
        dice.Backward(context.Stream, t.View, sums.View, upstream.View, gradient.View, shape);
        context.Synchronize();
        return (loss.GetAsArray1D()[0], gradient.GetAsArray1D());
    }
}
