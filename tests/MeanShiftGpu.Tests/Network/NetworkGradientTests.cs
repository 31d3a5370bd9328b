using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Network;

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
        Assert.That(context.Choose(Conv3dVariants<float, float>.Table, layer, null).Name, Is.EqualTo("HostWinograd"));

        (double[] scores, double[] gradients) = NetworkRun.Of<double>(context, Structure, Shape);
        (float[] singleScores, float[] singleGradients) = NetworkRun.Of<float>(context, Structure, Shape);
        double scoreError = TestData.RelativeError<float>(singleScores, scores);
        double gradientError = TestData.RelativeError<float>(singleGradients, gradients);
        TestContext.Out.WriteLine($"scores {scoreError:g3}, gradients {gradientError:g3}");
        Assert.That(scoreError, Is.LessThan(1e-5));
        Assert.That(gradientError, Is.LessThan(1e-5));
    }
}
