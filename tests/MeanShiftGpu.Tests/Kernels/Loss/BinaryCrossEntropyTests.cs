using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Loss;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Loss;

[TestFixture]
public class BinaryCrossEntropyTests
{
    // One element, fewer than a vector, several chunks and partial sums with a rest.
    private static readonly long[] Counts = [1, 7, 1001, 70_003];

    // Worst errors seen: float32 5.6e-7 (gradient), float64 1.9e-15 (loss, 70003 elements).
    private static double Tolerance<T>() => typeof(T) == typeof(float) ? 2e-6 : 1e-14;

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

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ForwardAndBackward_NoTarget_MatchReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        Check<float>(context, Prediction(1001), new double[1001]);
        Check<double>(context, Prediction(1001), new double[1001]);
    }

    // Saturated maps: the logarithm is clamped at −100 and the gradient's denominator at 1e−12. 37 elements
    // leave a rest.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ForwardAndBackward_SaturatedMap_IsClampedAsDocumented(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        double[] scores = [.. Enumerable.Range(0, 37).Select(i => i % 2 == 0 ? 0.0 : 1.0)];
        double[] target = [.. Enumerable.Range(0, 37).Select(i => i % 3 == 0 ? 0.0 : 1.0)];
        Check<float>(context, scores, target);
        Check<double>(context, scores, target);
    }

    [Test]
    public void ForwardAndBackward_OnTheSimulatedGpu_MatchReference()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        Assert.That(
            BinaryCrossEntropyVariants<float>.Table.Supported(context, new FlatShape(1)).Select(v => v.Name),
            Does.Contain("Grouped"));
        foreach (long count in Counts[..3])
        {
            Check<float>(context, Prediction(count), Target(count));
            Check<double>(context, Prediction(count), Target(count));
        }
    }

    [Test]
    public void Forward_WrongEverywhere_Is100()
        => Assert.That(BinaryCrossEntropyReference.Forward([0, 1], [1, 0]), Is.EqualTo(100));

    [Test]
    public void ForwardAndBackward_OneAndTwoThreads_SameBits()
    {
        float[][] results = [.. new[] { 1, 2, 3 }.Select(threads =>
        {
            using GpuContext context = TestDevices.Open(DeviceKind.Cpu, threads);
            FlatShape shape = new(100_003);
            (float loss, float[] gradient) = Run(
                context,
                BinaryCrossEntropyVariants<float>.Table.Supported(context, shape).First(),
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
        double[] expected = NumericalGradient.Of(p => BinaryCrossEntropyReference.Forward(p, target), Prediction(50));

        // Worst seen 4.1e-8, the truncation where p is near 0 or 1.
        Assert.That(
            TestData.RelativeError<double>(BinaryCrossEntropyReference.Backward(Prediction(50), target), expected),
            Is.LessThan(1e-7));
    }

    // 0.02 to 0.98: nearer to the ends float32 itself has lost the digits of 1 − p, whatever computes with
    // it.
    private static double[] Prediction(long count) => [.. TestData.Uniform(count, 1).Select(static v => 0.5 + 0.48 * v)];

    private static double[] Target(long count) => [.. TestData.Uniform(count, 2).Select(static v => v > 0.7 ? 1.0 : 0.0)];

    private const double Upstream = -0.75;

    private static void Check<T>(GpuContext context, double[] scores, double[] target)
        where T : unmanaged, INumber<T>
    {
        double loss = BinaryCrossEntropyReference.Forward(scores, target);
        double[] gradient = [.. BinaryCrossEntropyReference.Backward(scores, target).Select(static g => g * Upstream)];
        foreach (
            Variant<IBinaryCrossEntropy<T>, FlatShape> variant in BinaryCrossEntropyVariants<T>.Table.Supported(
                context, new FlatShape(scores.Length)))
        {
            (T actualLoss, T[] actualGradient) = Run(context, variant, scores, target);
            string label = $"{variant.Name} {typeof(T).Name} {scores.Length}";
            Assert.That(TestData.RelativeError<T>([actualLoss], [loss]), Is.LessThan(Tolerance<T>()), label);
            Assert.That(TestData.RelativeError<T>(actualGradient, gradient), Is.LessThan(Tolerance<T>()), label);
        }
    }

    private static (
        T Loss, T[] Gradient) Run<T>(GpuContext context, Variant<IBinaryCrossEntropy<T>, FlatShape> variant, double[] scores,
        double[] target)
        where T : unmanaged, INumber<T>
    {
        IBinaryCrossEntropy<T> entropy = context.Launcher(BinaryCrossEntropyVariants<T>.Table, variant);
        FlatShape shape = new(scores.Length);
        using MemoryBuffer1D<T, Stride1D.Dense> p = context.ToDevice<T>(scores);
        using MemoryBuffer1D<T, Stride1D.Dense> t = context.ToDevice<T>(target);
        using MemoryBuffer1D<T, Stride1D.Dense> workspace = context.ToDevice<T>(
            TestData.Uniform(entropy.WorkspaceLength(shape), 9));
        using MemoryBuffer1D<T, Stride1D.Dense> loss = context.ToDevice<T>([9]);
        using MemoryBuffer1D<T, Stride1D.Dense> upstream = context.ToDevice<T>([Upstream]);
        using MemoryBuffer1D<T, Stride1D.Dense> gradient = context.ToDevice<T>(scores);

        entropy.Forward(context.Stream, p.View, t.View, workspace.View, loss.View, shape);
        entropy.Backward(context.Stream, p.View, t.View, upstream.View, gradient.View, shape);
        context.Synchronize();
        return (loss.GetAsArray1D()[0], gradient.GetAsArray1D());
    }
}
