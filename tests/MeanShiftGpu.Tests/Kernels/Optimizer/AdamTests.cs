using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Ops.Adam;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Optimizer;

[TestFixture]
public class AdamTests
{
    // Around the vector lengths of every machine, and several chunks of the host variant.
    private static readonly int[] Lengths = [1, 7, 16, 17, 33, 40001];

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Step_ThreeSteps_MatchesReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (int length in Lengths)
        {
            Check<float>(context, length, weightDecay: 0, factor: 1);
            Check<double>(context, length, weightDecay: 0, factor: 1);
        }
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Step_WeightDecay_MatchesReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        Check<float>(context, 1003, weightDecay: 0.3, factor: 1);
        Check<double>(context, 1003, weightDecay: 0.3, factor: 1);
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Step_ClipFactor_ScalesTheGradients(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        Check<float>(context, 1003, weightDecay: 0, factor: 0.125);
        Check<double>(context, 1003, weightDecay: 0, factor: 0.125);
    }

    // By hand: the first step of a single parameter is α·sign(g) for |g| ≫ ε, whatever the gradient's size.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Step_First_MovesByTheLearningRateAgainstTheGradient(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (Variant<IAdam<double>, FlatShape> variant in AdamVariants<double>.Table.Supported(context, new FlatShape(3)))
        {
            double[] values =
                Run<double>(context, variant, [1, 1, 1], [[1e-3, -1e3, 0]], learningRate: 0.25, weightDecay: 0, factor: 1).Values;

            // ε = 1e-8 against a gradient of 1e-3 shortens the step by 1e-5 of it.
            Assert.That(values, Is.EqualTo([0.75, 1.25, 1.0]).Within(3e-6), variant.Name);
        }
    }

    [Test]
    public void Step_OneAndTwoThreads_SameBits()
    {
        float[][] results = [.. new[] { 1, 2 }.Select(threads =>
        {
            using GpuContext context = TestDevices.Open(DeviceKind.Cpu, threads);
            Variant<IAdam<float>, FlatShape> variant = AdamVariants<float>.Table.Supported(context, new FlatShape(40001)).First();
            return Run<float>(context, variant, TestData.Uniform(40001, 1), Gradients(40001), 1e-2, 0.1, 0.7).Values;
        })];

        Assert.That(results[1], Is.EqualTo(results[0]));
    }

    [Test]
    public void ForStep_Zero_Throws()
        => Assert.That(() => AdamParameters.ForStep(0, 1e-3), Throws.InstanceOf<ArgumentOutOfRangeException>());

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Step_AFactorThatIsNoNumberOrNegative_SpoilsAllOrChangesNothing(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        Check<float>();
        Check<double>();

        void Check<T>()
            where T : unmanaged, INumber<T>
        {
            double[] start = TestData.Uniform(1000, 1);
            foreach (Variant<IAdam<T>, FlatShape> variant in AdamVariants<T>.Table.Supported(context, new FlatShape(1000)))
            {
                T[] spoilt = Run<T>(context, variant, start, Gradients(1000), 0.01, weightDecay: 0, factor: double.NaN).Values;
                Assert.That(spoilt, Has.All.Matches<T>(T.IsNaN), $"{variant.Name} {typeof(T).Name}");
                T[] kept = Run<T>(context, variant, start, Gradients(1000), 0.01, weightDecay: 0.1, factor: -1).Values;
                Assert.That(kept, Is.EqualTo(Array.ConvertAll(start, T.CreateChecked)), $"{variant.Name} {typeof(T).Name}");
            }
        }
    }

    private static double[][] Gradients(int length) => [.. Enumerable.Range(2, 3).Select(seed => TestData.Uniform(length, seed))];

    private static void Check<T>(GpuContext context, int length, double weightDecay, double factor)
        where T : unmanaged, INumber<T>
    {
        double[] start = TestData.Uniform(length, 1);
        double[][] gradients = Gradients(length);
        double[] expected = (double[])start.Clone();
        AdamReference reference = new(expected, learningRate: 1e-2, weightDecay);
        foreach (double[] gradient in gradients)
            reference.Step([.. gradient.Select(g => g * factor)]);

        // Worst seen 1.1e-16 in double and 1.0e-7 in float.
        double tolerance = typeof(T) == typeof(double) ? 1e-12 : 1e-6;
        foreach (Variant<IAdam<T>, FlatShape> variant in AdamVariants<T>.Table.Supported(context, new FlatShape(length)))
        {
            (T[] values, T[] first, T[] second) = Run<T>(context, variant, start, gradients, 1e-2, weightDecay, factor);

            string what = $"{variant.Name} {typeof(T).Name} {length}";
            Assert.That(TestData.RelativeError<T>(values, expected), Is.LessThan(tolerance), $"{what} values");
            Assert.That(
                TestData.RelativeError<T>(first, [.. reference.FirstMoments]), Is.LessThan(tolerance), $"{what} first moments");
            Assert.That(
                TestData.RelativeError<T>(second, [.. reference.SecondMoments]),
                Is.LessThan(tolerance),
                $"{what} second moments");
        }
    }

    private static (T[] Values, T[] First, T[] Second) Run<T>(
        GpuContext context,
        Variant<IAdam<T>, FlatShape> variant,
        double[] start,
        double[][] gradients,
        double learningRate,
        double weightDecay,
        double factor)
        where T : unmanaged, INumber<T>
    {
        IAdam<T> adam = context.Launcher(AdamVariants<T>.Table, variant);
        using MemoryBuffer1D<T, Stride1D.Dense> values = context.ToDevice<T>(start);
        using MemoryBuffer1D<T, Stride1D.Dense> first = context.ToDevice<T>(new double[start.Length]);
        using MemoryBuffer1D<T, Stride1D.Dense> second = context.ToDevice<T>(new double[start.Length]);
        using MemoryBuffer1D<T, Stride1D.Dense> scale = context.ToDevice<T>([factor]);
        for (int i = 0; i < gradients.Length; i++)
        {
            using MemoryBuffer1D<T, Stride1D.Dense> gradient = context.ToDevice<T>(gradients[i]);
            AdamParameters parameters = AdamParameters.ForStep(i + 1, learningRate, weightDecay: weightDecay);
            adam.Step(context.Stream, gradient.View, scale.View, values.View, first.View, second.View, parameters);
            context.Synchronize();
        }

        return (values.GetAsArray1D(), first.GetAsArray1D(), second.GetAsArray1D());
    }
}
