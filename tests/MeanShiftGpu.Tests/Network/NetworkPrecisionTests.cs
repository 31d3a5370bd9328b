using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Network;

/// <summary>What rounding does to a whole network, against the same network in float64.</summary>
public class NetworkPrecisionTests
{
    // Every kind of layer and the skip connection, as small as the simulated GPU needs it.
    private static readonly UNet3dOptions Structure = new() { Widths = [8, 8] };
    private static readonly TensorShape Shape = new(1, 2, 2, 2, 1);

    // Larger than at the start, where the head is so small that rounding before it hardly shows in the
    // scores.
    private const double Scale = 2.5;

    // On the simulated GPU: scores 4.4e-4 and gradients of all parameters together 6.6e-3 in BF16, 9.1e-5 and
    // 7.5e-4 in TF32. Operands cut off instead of rounded were seen to make TF32's errors 4.5 times as large;
    // the tolerances lie between.
    [TestCase(Precision.Bf16, 1e-3, 1.5e-2)]
    [TestCase(Precision.Tf32, 2e-4, 1.5e-3)]
    public void ForwardAndBackward_RoundedNetwork_StaysNearFloat64(
        Precision precision, double scoreTolerance, double gradientTolerance)
    {
        using GpuContext exact = GpuContext.Create(new GpuContextOptions
        {
            Device = DeviceKind.Cpu,
            Precision = Precision.Float32,
        });
        using GpuContext rounding = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = precision });
        (double[] scores, double[] gradients) = NetworkRun.Of<double>(exact, Structure, Shape, scale: Scale);
        (float[] roundedScores, float[] roundedGradients) = NetworkRun.Of<float>(rounding, Structure, Shape, scale: Scale);

        double scoreError = TestData.RelativeError<float>(roundedScores, scores);
        double gradientError = TestData.RelativeError<float>(roundedGradients, gradients);
        TestContext.Out.WriteLine($"{precision}: scores {scoreError:g3}, gradients {gradientError:g3}");
        Assert.That(scoreError, Is.LessThan(scoreTolerance));
        Assert.That(gradientError, Is.LessThan(gradientTolerance));
        Assert.That(scoreError, Is.GreaterThan(1e-6), "nothing was rounded");
    }

    [Test]
    public void Network_WidthThatBf16DoesNotTake_IsRefused()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = Precision.Bf16 });
        Assert.That(
            () => new UNet3d<float>(context, new UNet3dOptions { Widths = [8, 12] }, seed: 1),
            Throws.TypeOf<InputException>().With.Message.Contains("widths 8, 12 do not fit BF16 activations"));
        using UNet3d<double> reference = new(context, new UNet3dOptions { Widths = [8, 12] }, seed: 1);
        Assert.That(reference.StoresBf16, Is.False);
    }

    // Each use of a tensor adds its gradient; the second time it is what was there, so the sum is exact.
    [Test]
    public void RoundToBf16_UsedTwice_AddsTheGradients()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        float[] once = GradientOf(context, uses: 1);
        Assert.That(GradientOf(context, uses: 2), Is.EqualTo(once.Select(g => 2 * g)));
        Assert.That(once, Has.All.Not.EqualTo(0f));
    }

    [Test]
    public void Bf16Tensor_ReadAsFloat_IsRefused()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        using Arena arena = new(context);
        using Tape<float> tape = Tape<float>.Begin(arena);
        double[] values = TestData.Uniform(6, 1);
        Tensor<float> stored = tape.RoundToBf16(
            tape.Upload(Array.ConvertAll(values, v => (float)v), new TensorShape(1, 1, 1, 2, 3)));
        Assert.That(stored.ToArray(context), Is.EqualTo(values.Select(Bf16Buffers.Rounded)));
        Assert.That(() => stored.View, Throws.InvalidOperationException.With.Message.Contains("is stored as BF16"));
    }

    private static float[] GradientOf(GpuContext context, int uses)
    {
        TensorShape shape = new(1, 2, 2, 4, 3);
        ParameterSet<float> parameters = new();
        Parameter<float> weight = parameters.Add("weight", ParameterLayout.ConvolutionWeight, 1, 3, 1);
        Parameter<float> bias = parameters.Add("bias", ParameterLayout.Bias, 1, 1, 1);
        parameters.Allocate(context);
        weight.Upload(context, [1, 2, -3]);
        using Arena arena = new(context);
        using Tape<float> tape = Tape<float>.Begin(arena);
        Tensor<float> input = tape.Upload(
            Array.ConvertAll(TestData.Uniform(shape.Length, 1), v => (float)v), shape, requiresGradient: true);
        Tensor<float> stored = tape.RoundToBf16(input);
        List<(Tensor<float>, double)> losses = [];
        for (int use = 0; use < uses; use++)
        {
            Tensor<float> scores = tape.SigmoidHead(stored, weight, bias);
            losses.Add(
                (tape.DiceLoss(scores, tape.Upload(Enumerable.Repeat(1f, (int)scores.Shape.Length).ToArray(), scores.Shape)), 1));
        }

        tape.Backward(tape.WeightedSum(losses));
        float[] gradient = input.GradientToArray(context);
        parameters.Dispose();
        return gradient;
    }
}
