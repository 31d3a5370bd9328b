using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Network;

/// <summary>What a network begins with.</summary>
public class UNet3dInitialisationTests
{
    private static readonly UNet3dOptions Structure = new() { Widths = [16, 16, 16] };

    [Test]
    public void Gradient_AtTheStart_ReachesEveryLayer([Values(1, 2, 3)] int seed)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Structure, seed);
        using Arena arena = new(context);
        using Tape<float> tape = Tape<float>.Begin(arena);
        TensorShape shape = new(1, 16, 16, 16, 1);
        Tensor<float> image = tape.Upload([.. TestData.Uniform(16 * 16 * 16, seed).Select(v => (float)v)], shape);
        Tensor<float> target = tape.Upload([.. TestData.Uniform(16 * 16 * 16, seed + 10).Select(v => v > 0.5 ? 1f : 0f)], shape);
        network.Parameters.ZeroGradients(context);
        tape.Backward(tape.DiceLoss(network.Forward(tape, image), target));

        double[] lengths =
        [
            .. network.ToTensors("", network.Parameters.Gradients)
                .Where(t => t.Key.EndsWith(".weight", StringComparison.Ordinal))
                .Select(t => Math.Sqrt(t.Value.ToDoubles().Sum(g => g * g))),
        ];
        // With uniform weights of ±1/√(fan in) the layers at the bottom get less than a hundred-thousandth of the longest gradient.
        Assert.That(lengths.Min() / lengths.Max(), Is.GreaterThan(1e-3), string.Join(" ", lengths.Select(l => $"{l:0.0e+0}")));
    }

    [Test]
    public void Map_AtTheStart_IsNearlyEvenAtTheOutputBias()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Structure, seed: 1, outputBias: -2);
        using Arena arena = new(context);
        using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
        Tensor<float> image = tape.Upload([.. TestData.Uniform(16 * 16 * 16, seed: 1).Select(v => (float)v)], new TensorShape(1, 16, 16, 16, 1));
        float[] map = network.Forward(tape, image).ToArray(context);
        // σ(−2) = 0.12
        Assert.That(map, Has.All.InRange(0.06, 0.24));
        Assert.That(map.Distinct().Count(), Is.GreaterThan(1000));
    }
}
