using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels;
using MeanShiftGpu.Layers;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Tensors;
using NUnit.Framework;

namespace MeanShiftGpu.Tests;

/// <summary>The CPU device's kernels as a whole network, against the same network in float64.</summary>
public class NetworkGradientTests
{
    // Wide enough for Winograd's algorithm. Seen: scores 4.1e-8, gradients 1.0e-6.
    private static readonly UNet3dOptions Structure = new() { Widths = [16, 16] };
    private static readonly TensorShape Shape = new(1, 8, 8, 8, 1);

    [Test]
    public void ForwardAndBackward_Float32_StaysNearFloat64()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        Conv3dShape layer = new(1, 8, 8, 8, 16, 16, 3, Activation.Relu, 16, 16);
        Assert.That(context.Launcher(Conv3dVariants<float>.Table, layer), Is.TypeOf<Conv3dHostWinograd>());

        (double[] scores, double[] gradients) = Run<double>(context);
        (float[] singleScores, float[] singleGradients) = Run<float>(context);
        double scoreError = TestData.RelativeError<float>(singleScores, scores);
        double gradientError = TestData.RelativeError<float>(singleGradients, gradients);
        TestContext.Out.WriteLine($"scores {scoreError:g3}, gradients {gradientError:g3}");
        Assert.That(scoreError, Is.LessThan(1e-5));
        Assert.That(gradientError, Is.LessThan(1e-5));
    }

    private static (T[] Scores, T[] Gradients) Run<T>(GpuContext context)
        where T : unmanaged, INumber<T>
    {
        using UNet3d<T> network = new(context, Structure, seed: 3);
        using Arena arena = new(context);
        using Tape<T> tape = Tape<T>.Begin(arena);
        Tensor<T> scores = network.Forward(tape, tape.Upload(Array.ConvertAll(TestData.Uniform(Shape.Length, 4), T.CreateChecked), Shape));
        T[] values = scores.ToArray(context);
        tape.Backward(scores, Array.ConvertAll(TestData.Uniform(Shape.Length, 5), T.CreateChecked));
        return (values, [.. network.Parameters.Parameters.SelectMany(p => p.Gradient.GetAsArrayForTest(context))]);
    }
}
