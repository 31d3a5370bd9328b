using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Storage;
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
        // With uniform weights of ±1/√(fan in) the layers at the bottom get less than a hundred-thousandth of
        // the longest gradient.
        Assert.That(lengths.Min() / lengths.Max(), Is.GreaterThan(1e-3), string.Join(" ", lengths.Select(l => $"{l:0.0e+0}")));
    }

    // Any weight file with the network's names will do, also one that says nothing else.
    [Test]
    public void BeginWith_AWeightFile_TakesWhatFits()
    {
        using TemporaryFolder folder = new();
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        UNet3dOptions small = new() { Widths = [4, 8] };
        using UNet3d<float> parent = new(context, small, seed: 1);
        SafetensorsFile.Write(folder["weights"], parent.ToTensors(""), new Dictionary<string, string>());
        Assert.That(UNet3d<float>.ReadStructure(folder["weights"]), Is.Null);

        using UNet3d<float> same = new(context, small, seed: 2);
        Assert.That(same.BeginWith(folder["weights"]), Is.True);
        foreach ((string name, SafetensorsTensor tensor) in parent.ToTensors(""))
            Assert.That(same.ToTensors("")[name].ToFloats(), Is.EqualTo(tensor.ToFloats()), name);

        using UNet3d<float> two = new(context, small with { Outputs = 2 }, seed: 2);
        IReadOnlyDictionary<string, SafetensorsTensor> before = two.ToTensors("");
        Assert.That(two.BeginWith(folder["weights"]), Is.False);
        IReadOnlyDictionary<string, SafetensorsTensor> after = two.ToTensors("");
        string[] own = [.. before.Keys
            .Where(k => before[k].Shape.Count > 0 && !before[k].Shape.SequenceEqual(parent.ToTensors("")[k].Shape))];
        Assert.That(own, Has.Length.EqualTo(2), "weights and bias of the last layer");
        foreach (string name in before.Keys)
            Assert.That(after[name].ToFloats(),
                Is.EqualTo((own.Contains(name) ? before : parent.ToTensors(""))[name].ToFloats()), name);

        using UNet3d<float> other = new(context, small with { Widths = [4, 4] }, seed: 2);
        TemporaryFolder.Refused(() => other.BeginWith(folder["weights"]), folder["weights"]);
    }

    [Test]
    public void Map_AtTheStart_IsNearlyEvenAtTheOutputBias()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Structure, seed: 1, outputBias: -2);
        using Arena arena = new(context);
        using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
        Tensor<float> image = tape.Upload(
            [.. TestData.Uniform(16 * 16 * 16, seed: 1).Select(v => (float)v)], new TensorShape(1, 16, 16, 16, 1));
        float[] map = network.Forward(tape, image).ToArray(context);
        // σ(−2) = 0.12
        Assert.That(map, Has.All.InRange(0.06, 0.24));
        Assert.That(map.Distinct().Count(), Is.GreaterThan(1000));
    }
}
