using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Pooling;

[TestFixture]
public class MaxPool3dTests
{
    // Channel counts around the vector lengths of every machine: 1, below, between and exactly at them.
    private static readonly MaxPool3dShape[] Shapes =
    [
        new(1, 2, 2, 2, 1, 1, 1),
        new(2, 4, 6, 2, 3, 3, 3),
        new(1, 6, 2, 10, 13, 20, 17),
        new(3, 2, 8, 6, 32, 48, 32),
        new(1, 4, 4, 14, 21, 40, 64),
        new(2, 8, 12, 16, 35, 35, 40), // several chunks of the host variant
    ];

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Forward_OddShapesAndPitches_EqualsReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (MaxPool3dShape shape in Shapes)
        {
            CheckForward<float>(context, shape, Rounded(shape.InputVoxels * shape.Channels, 1));
            CheckForward<double>(context, shape, Rounded(shape.InputVoxels * shape.Channels, 1));
        }
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Backward_OddShapesAndPitches_EqualsReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (MaxPool3dShape shape in Shapes)
        {
            CheckBackward<float>(context, shape, Rounded(shape.InputVoxels * shape.Channels, 1));
            CheckBackward<double>(context, shape, Rounded(shape.InputVoxels * shape.Channels, 1));
        }
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Backward_Accumulate_AddsToWhatIsThere(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (MaxPool3dShape shape in Shapes)
        {
            CheckBackward<float>(context, shape with { Accumulate = 1 }, Rounded(shape.InputVoxels * shape.Channels, 1));
            CheckBackward<double>(context, shape with { Accumulate = 1 }, Rounded(shape.InputVoxels * shape.Channels, 1));
        }
    }

    // After ReLU most windows hold several zeros: with three values only, nearly every window has a tie.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void Backward_Ties_FirstMaximumTakesTheGradient(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (MaxPool3dShape shape in Shapes)
        {
            double[] input = [.. TestData.Uniform(shape.InputVoxels * shape.Channels, 5).Select(v => Math.Floor(v * 1.5))];
            CheckBackward<float>(context, shape, input);
            CheckBackward<double>(context, shape, input);
        }
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ForwardAndBackward_NaNInWindow_IsTheMaximum(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        MaxPool3dShape shape = new(1, 4, 4, 6, 9, 9, 9);
        double[] input = Rounded(shape.InputVoxels * shape.Channels, 3);
        for (int i = 0; i < input.Length; i += 7)
            input[i] = double.NaN;
        CheckForward<float>(context, shape, input);
        CheckForward<double>(context, shape, input);
        CheckBackward<float>(context, shape, input);
        CheckBackward<double>(context, shape, input);
    }

    [Test]
    public void Reference_Backward_MatchesCentralDifferences()
    {
        // Values are 0.01 apart and the step is smaller, so no maximum changes hands.
        double[] input = [.. Enumerable.Range(0, 2 * 4 * 2 * 6 * 3).Select(i => i * 37 % 288 * 0.01)];
        double[] upstream = TestData.Uniform(input.Length / 8, 8);
        double[] expected = NumericalGradient.Of(
            x => NumericalGradient.Dot(MaxPool3dReference.Forward(x, 2, 4, 2, 6, 3), upstream), input);

        double[] actual = MaxPool3dReference.Backward(input, upstream, 2, 4, 2, 6, 3);

        // Worst seen 2.4e-11.
        Assert.That(TestData.RelativeError<double>(actual, expected), Is.LessThan(1e-9));
    }

    // Values and results are BF16, so nothing is rounded but the sum where gradients are added.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))]
    public void Bf16_OddShapesAndPitches_EqualReference(string device)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        IMaxPool3d<float> pool =
            context.Launcher(MaxPool3dVariants<Bf16, float>.Table, default(MaxPool3dShape)).OnFloats(context);
        foreach (MaxPool3dShape shape in Shapes[..4])
        {
            double[] input = [.. TestData.Uniform(shape.InputVoxels * shape.Channels, 1).Select(Bf16Buffers.Rounded)];
            double[] upstream = [.. TestData.Uniform(shape.OutputVoxels * shape.Channels, 2).Select(Bf16Buffers.Rounded)];
            double[] before = [.. TestData.Uniform(shape.InputVoxels * shape.Channels, 4).Select(Bf16Buffers.Rounded)];
            double[] expected = MaxPool3dReference.Backward(
                input, upstream, shape.Batch, shape.Depth, shape.Height, shape.Width, shape.Channels);
            using SlicedTensor<float> x = new(
                context, input, shape.Channels, shape.InputPitch, shape.InputPitch - shape.Channels);
            using SlicedTensor<float> y = new(
                context,
                new double[upstream.Length],
                shape.Channels,
                shape.OutputPitch,
                (shape.OutputPitch - shape.Channels) / 2);
            using SlicedTensor<float> gy = new(
                context, upstream, shape.Channels, shape.OutputPitch, (shape.OutputPitch - shape.Channels) / 2);
            using SlicedTensor<float> gx = new(
                context, before, shape.Channels, shape.InputPitch, (shape.InputPitch - shape.Channels) / 2);
            using SlicedTensor<float> sum = new(
                context, before, shape.Channels, shape.InputPitch, (shape.InputPitch - shape.Channels) / 2);
            pool.Forward(context.Stream, x.View, y.View, shape);
            pool.Backward(context.Stream, x.View, gy.View, gx.View, shape);
            pool.Backward(context.Stream, x.View, gy.View, sum.View, shape with { Accumulate = 1 });

            Assert.That(
                y.Read(), Is.EqualTo(
                    MaxPool3dReference.Forward(input, shape.Batch, shape.Depth, shape.Height, shape.Width, shape.Channels)));
            Assert.That(gx.Read(), Is.EqualTo(expected));
            Assert.That(sum.Read(), Is.EqualTo(expected.Zip(before, static (a, b) => Bf16Buffers.Rounded(a + b))));
        }
    }

    // Multiples of 1/1024 are exact in float32, so results can be compared exactly.
    private static double[] Rounded(long count, int seed)
        => [.. TestData.Uniform(count, seed).Select(v => Math.Round(v * 1024) / 1024)];

    private static void CheckForward<T>(GpuContext context, MaxPool3dShape shape, double[] input)
        where T : unmanaged, INumber<T>
    {
        double[] expected = MaxPool3dReference.Forward(
            input, shape.Batch, shape.Depth, shape.Height, shape.Width, shape.Channels);
        foreach (Variant<IMaxPool3d<T>, MaxPool3dShape> variant in MaxPool3dVariants<T, T>.Table.Supported(context, shape))
        {
            using SlicedTensor<T> x = new(context, input, shape.Channels, shape.InputPitch, shape.InputPitch - shape.Channels);
            using SlicedTensor<T> y = new(
                context,
                new double[expected.Length],
                shape.Channels,
                shape.OutputPitch,
                (shape.OutputPitch - shape.Channels) / 2);
            context.Launcher(MaxPool3dVariants<T, T>.Table, variant).Forward(context.Stream, x.View, y.View, shape);
            context.Synchronize();

            Assert.That(y.Read().Select(double.CreateChecked), Is.EqualTo(expected), $"{variant.Name} {typeof(T).Name} {shape}");
        }
    }

    private static void CheckBackward<T>(GpuContext context, MaxPool3dShape shape, double[] input)
        where T : unmanaged, INumber<T>
    {
        double[] upstream = Rounded(shape.OutputVoxels * shape.Channels, 2);
        double[] before = Rounded(shape.InputVoxels * shape.Channels, 4);
        double[] expected = MaxPool3dReference.Backward(
            input, upstream, shape.Batch, shape.Depth, shape.Height, shape.Width, shape.Channels);
        if (shape.Accumulate != 0)
            expected = [.. expected.Zip(before, static (a, b) => a + b)];
        foreach (Variant<IMaxPool3d<T>, MaxPool3dShape> variant in MaxPool3dVariants<T, T>.Table.Supported(context, shape))
        {
            using SlicedTensor<T> x = new(context, input, shape.Channels, shape.InputPitch, shape.InputPitch - shape.Channels);
            using SlicedTensor<T> gy = new(
                context, upstream, shape.Channels, shape.OutputPitch, (shape.OutputPitch - shape.Channels) / 2);
            using SlicedTensor<T> gx = new(
                context, before, shape.Channels, shape.InputPitch, (shape.InputPitch - shape.Channels) / 2);
            context.Launcher(MaxPool3dVariants<T, T>.Table, variant).Backward(context.Stream, x.View, gy.View, gx.View, shape);
            context.Synchronize();

            Assert.That(gx.Read().Select(double.CreateChecked), Is.EqualTo(expected), $"{variant.Name} {typeof(T).Name} {shape}");
        }
    }
}
