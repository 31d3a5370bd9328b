using MeanShiftGpu.Autograd;
using MeanShiftGpu.Checks;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Validation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Checks;

/// <summary>
/// Reference files are recomputed with the settings that they state, and refused in one line where they do
/// not fit together.
/// </summary>
public class ReferenceCheckTests
{
    private const string MeanShiftName = "mean_shift_epanechnikov_squared";
    private const string MeanShiftSettings = "bandwidth 2.5 (strict <), score floor 0.1, 3 iterations";

    [TestCase("Adam, lr 1e-2, betas 0.9/0.999, eps 1e-8, no decay.", 0.01, 0.9, 0.999, 1e-8, 0)]
    [TestCase("lr 0.3", 0.3, 0.9, 0.999, 1e-8, 0)]
    [TestCase("AdamW, lr=3e-1, betas 0.5/0.75, eps 1e-1, decay 0.125.", 0.3, 0.5, 0.75, 0.1, 0.125)]
    public void Adam_TakesItsSettingsFromTheDescription(
        string description, double rate, double beta1, double beta2, double epsilon, double decay)
    {
        double[] gradients = [0.5, -2, 3, 0.25, 1, -1];
        double[] after = new double[6];
        for (int i = 0; i < 3; i++)
        {
            (double value, double first, double second) = (i + 1, 0, 0);
            for (int step = 1; step <= 2; step++)
            {
                double g = gradients[(step - 1) * 3 + i];
                (first, second) = (beta1 * first + (1 - beta1) * g, beta2 * second + (1 - beta2) * g * g);
                value -= rate * decay * value;
                value -= rate * first / (1 - Math.Pow(beta1, step)) / (Math.Sqrt(second / (1 - Math.Pow(beta2, step))) + epsilon);
                after[(step - 1) * 3 + i] = value;
            }
        }

        IReadOnlyList<ReferenceCheckResult> results = Check("adam_own", description, new()
        {
            ["start"] = Doubles([3], [1, 2, 3]),
            ["gradients"] = Doubles([2, 3], gradients),
            ["after_each_step"] = Doubles([2, 3], after),
        });
        Assert.That(results, Is.Not.Empty.And.All.Matches<ReferenceCheckResult>(r => r.Passed), string.Join("\n", results));
    }

    [Test]
    public void MeanShift_OfASlab_AgreesWithEveryVariant()
    {
        IReadOnlyList<ReferenceCheckResult> results = Check(MeanShiftName, MeanShiftSettings, MeanShift());
        Assert.That(results, Is.Not.Empty.And.All.Matches<ReferenceCheckResult>(r => r.Passed), string.Join("\n", results));
        // Every variant that this device runs; the one that forms groups needs a GPU.
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        Assert.That(
            results.Select(r => r.Variant).Distinct(),
            Is.EquivalentTo(
                MeanShiftVariants<float>.Table.Supported(context, new MeanShiftShape(1, 1, 3, 8, 2, 2, 1)).Select(v => v.Name)));
    }

    [Test]
    public void MeanShift_UnderAnotherBandwidth_DoesNotAgree()
        => Assert.That(
            Check(MeanShiftName, MeanShiftSettings.Replace("2.5", "2.7", StringComparison.Ordinal), MeanShift()),
            Has.Some.Matches<ReferenceCheckResult>(r => !r.Passed));

    [Test]
    public void RoundedFiles_AreHeldToTheToleranceOfFloat32()
    {
        Dictionary<string, SafetensorsTensor> arrays = MeanShift();
        foreach ((string name, SafetensorsTensor array) in arrays.ToArray())
            arrays[name] = SafetensorsTensor.FromFloats(array.Shape, array.ToFloats());
        IReadOnlyList<ReferenceCheckResult> results = Check(MeanShiftName, MeanShiftSettings, arrays);
        Assert.That(
            results, Has.All.Matches<ReferenceCheckResult>(r => r.Passed && r.Tolerance == 1e-5), string.Join("\n", results));
    }

    // With one voxel in its ball a seed sits on it whatever the score, so the gradient is 0; a reference
    // holds rounding there.
    [TestCase(1e-16, true)]
    [TestCase(1e-9, false)]
    public void AReferenceThatIsZeroButForRounding_AgreesWithZero(double noise, bool agrees)
    {
        IReadOnlyList<ReferenceCheckResult> results = Check("mean_shift_cone_squared", "bandwidth 0.6, score floor 0.", new()
        {
            ["score"] = Doubles([1, 1, 2], [0.5, 0.5]),
            ["seeds"] = Doubles([1, 3], [0, 0, 0.125]),
            ["centers"] = Doubles([1, 3], [0, 0, 1]),
            ["positions"] = Doubles([2, 1, 3], [0, 0, 0.125, 0, 0, 0]),
            ["loss"] = Doubles([], [2]),
            ["grad_score"] = Doubles([1, 1, 2], [0, noise]),
        });
        Assert.That(
            results.Where(r => r.Tensor == "grad_score"),
            Is.Not.Empty.And.All.Matches<ReferenceCheckResult>(r => r.Passed == agrees),
            string.Join("\n", results));
    }

    [TestCase("grad_score", "[3, 8, 1]", "Expected [1, 3, 8]")]
    [TestCase("positions", "[2, 2, 2, 3]", "Expected [any, 2, 3]")]
    [TestCase("positions", "[0, 2, 3]", "Expected [any, 2, 3]")]
    [TestCase("positions", "[1, 2, 3]", "holds the seeds alone")]
    [TestCase("centers", "[0, 3]", "Expected [any, 3]")]
    [TestCase("seeds", "[3, 2]", "Expected [any, 3]")]
    [TestCase("score", "missing", "is missing")]
    [TestCase("score", "NaN", "not finite at element 5")]
    [TestCase("loss", "NaN", "not finite at element 0")]
    [TestCase("description", "score floor 0.1", "gives no bandwidth")]
    [TestCase("description", "bandwidth 3, floor 0.1", "gives no score floor")]
    [TestCase("description", "bandwidth 3.x, score floor 0.1", "'bandwidth 3.x'")]
    [TestCase("description", "bandwidth -3, score floor 0.1", "out of range")]
    public void AFileThatDoesNotFitTogether_IsRefused(string name, string change, string expected)
    {
        Dictionary<string, SafetensorsTensor> arrays = MeanShift();
        string description = name == "description" ? change : MeanShiftSettings;
        if (change.StartsWith('['))
        {
            long[] shape = [.. change.Trim('[', ']').Split(", ").Select(long.Parse)];
            arrays[name] = Doubles(shape, new double[shape.Aggregate((a, b) => a * b)]);
        }
        else if (change == "missing")
        {
            arrays.Remove(name);
        }
        else if (change == "NaN")
        {
            double[] values = arrays[name].ToDoubles();
            values[Math.Min(5, values.Length - 1)] = double.NaN;
            arrays[name] = Doubles(arrays[name].Shape, values);
        }

        InputException e = Assert.Throws<InputException>(() => Check(MeanShiftName, description, arrays))!;
        Assert.That(e.Message, Does.Contain(expected).And.Contain(MeanShiftName).And.Not.Contain("\n"));
    }

    [TestCase("conv3d_k3", "weight", "[1, 1, 5, 5, 5]", "kernel of edge 5")]
    [TestCase("conv3d_k3", "weight", "[1, 2, 3, 3, 3]", "Expected [any, 1, any, any, any]")]
    [TestCase("conv3d_k3", "grad_output", "[1, 1, 2, 2, 3]", "Expected [1, 1, 2, 2, 2]")]
    [TestCase("conv3d_k3", "input", "[0, 1, 2, 2, 2]", "'input' is [0, 1, 2, 2, 2]")]
    [TestCase("max_pool3d", "input", "[1, 1, 2, 3, 2]", "Expected even numbers")]
    [TestCase("max_pool3d", "grad_output", "[1, 1, 2, 2, 2]", "Expected [1, 1, 1, 1, 1]")]
    [TestCase("conv_transpose3d", "weight", "[1, 1, 3, 3, 3]", "Expected [1, any, 2, 2, 2]")]
    [TestCase("dice", "target", "[1, 1, 2, 2, 1]", "Expected [1, 1, 2, 2, 2]")]
    [TestCase("mean_shift_3_1", "", "", "does not say which mean shift")]
    [TestCase("something", "", "", "does not say what the file holds")]
    public void AnArrayOfAnotherShape_IsRefused(string file, string name, string shape, string expected)
    {
        Dictionary<string, SafetensorsTensor> arrays = [];
        foreach (string zeros in (string[])["input", "output", "grad_output", "prediction", "target"])
            arrays[zeros] = Doubles([1, 1, 2, 2, 2], new double[8]);
        int edge = file.StartsWith("conv_transpose", StringComparison.Ordinal) ? 2 : 3;
        arrays["weight"] = Doubles([1, 1, edge, edge, edge], new double[edge * edge * edge]);
        arrays["bias"] = Doubles([1], [0]);
        if (file == "max_pool3d")
            arrays["output"] = Doubles([1, 1, 1, 1, 1], [0]);
        if (name.Length > 0)
        {
            long[] extents = [.. shape.Trim('[', ']').Split(", ").Select(long.Parse)];
            arrays[name] = Doubles(extents, new double[extents.Aggregate((a, b) => a * b)]);
        }

        InputException e = Assert.Throws<InputException>(() => Check(file, "", arrays))!;
        Assert.That(e.Message, Does.Contain(expected).And.Contain(file).And.Not.Contain("\n"));
    }

    // A gradient half of which has the wrong sign is found, and nothing else is: on tensor cores each is held
    // to what rounding does to this network.
    [TestCase(Precision.Tf32, 0.02)]
    [TestCase(Precision.Bf16, 0.7)]
    public void Network_OnTensorCores_IsHeldToItsOwnSensitivity(Precision precision, double largestTolerance)
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = precision });
        Dictionary<string, SafetensorsTensor> arrays = Network();
        SafetensorsTensor gradient = arrays["grad.mid.conv1.weight"];
        arrays["grad.mid.conv1.weight"] = Doubles(
            gradient.Shape, [.. gradient.ToDoubles().Select((g, i) => i % 2 == 0 ? g : -g)]);
        List<ReferenceCheckResult> results = [.. Check("unet_dice", "", arrays, context)];
        foreach (IGrouping<(string, string), ReferenceCheckResult> variant in results.GroupBy(r => (r.Variant, r.RealType)))
            Assert.That(
                variant.Where(r => !r.Passed).Select(r => r.Tensor),
                Is.EqualTo(new[] { "grad", "grad.mid.conv1.weight" }),
                string.Join("\n", variant));
        List<ReferenceCheckResult> rounded = [.. results.Where(r => r.Variant == Variants.TensorCore)];
        TestContext.Out.WriteLine(string.Join("\n", rounded));
        Assert.That(rounded, Has.All.Matches<ReferenceCheckResult>(r => r.Tolerance < largestTolerance));
        Assert.That(
            rounded.Single(r => r.Tensor == "grad.mid.conv0.weight").RelativeError, Is.GreaterThan(1e-5), "nothing was rounded");
    }

    private static Dictionary<string, SafetensorsTensor> Network()
    {
        long[] shape = [1, 1, 2, 2, 4];
        TensorShape extents = new(1, 2, 2, 4, 1);
        double[] input = [.. TestData.Uniform(extents.Length, 1).Select(v => (double)(float)v)];
        double[] target = [.. Enumerable.Range(0, (int)extents.Length).Select(i => i % 3 == 0 ? 1.0 : 0)];
        using GpuContext exact = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<double> network = new(exact, new UNet3dOptions { Widths = [8] }, seed: 3);
        network.Parameters.ZeroGradients(exact);
        using Arena arena = new(exact);
        using Tape<double> tape = Tape<double>.Begin(arena);
        Tensor<double> x = tape.Upload(input, extents, requiresGradient: true);
        Tensor<double> output = network.Forward(tape, x);
        Tensor<double> loss = tape.DiceLoss(output, tape.Upload(target, extents));
        tape.Backward(loss);
        Dictionary<string, SafetensorsTensor> arrays = new()
        {
            ["input"] = Doubles(shape, input),
            ["target"] = Doubles(shape, target),
            ["output"] = Doubles(shape, output.ToArray(exact)),
            ["loss"] = Doubles([], loss.ToArray(exact)),
            ["grad.input"] = Doubles(shape, x.GradientToArray(exact)),
        };
        foreach (Parameter<double> parameter in network.Parameters.Parameters)
        {
            arrays[$"param.{parameter.Name}"] = Doubles(
                parameter.FileShape, parameter.ToFileOrder<double>(parameter.Download(exact)));
            arrays[$"grad.{parameter.Name}"] = Doubles(
                parameter.FileShape, parameter.ToFileOrder<double>(parameter.Gradient.GetAsArrayForTest(exact)));
        }

        return arrays;
    }

    private static Dictionary<string, SafetensorsTensor> MeanShift()
    {
        double[] score = [.. Enumerable.Range(0, 24).Select(i => 0.1 + 0.03 * (i * 7 % 24))];
        double[] seeds = [0, 1.1, 2.3, 0.2, 0.9, 5.6];
        double[] centers = [0, 1, 3, 0, 2, 6];
        MeanShiftOptions options =
            new()
            {
                Weighting = Weighting.Epanechnikov,
                Distance = CenterDistance.Squared,
                BandwidthVoxels = 2.5,
                ScoreFloor =
                0.1,
                Iterations = 3
            };
        MeanShiftReferenceResult result = new MeanShiftReference(1, 3, 8, options).Evaluate(score, seeds, centers);
        return new()
        {
            ["score"] = Doubles([1, 3, 8], score),
            ["seeds"] = Doubles([2, 3], seeds),
            ["centers"] = Doubles([2, 3], centers),
            ["positions"] = Doubles([4, 2, 3], result.Trajectory),
            ["loss"] = Doubles([], [result.Loss]),
            ["grad_score"] = Doubles([1, 3, 8], result.GradScores),
        };
    }

    private static SafetensorsTensor Doubles(IReadOnlyList<long> shape, double[] values)
        => SafetensorsTensor.FromDoubles(shape, values);

    private static IReadOnlyList<ReferenceCheckResult> Check(
        string name, string description, Dictionary<string, SafetensorsTensor> arrays)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        return Check(name, description, arrays, context);
    }

    private static IReadOnlyList<ReferenceCheckResult> Check(
        string name, string description, Dictionary<string, SafetensorsTensor> arrays, GpuContext context)
    {
        using TemporaryFolder folder = new();
        SafetensorsFile.Write(
            folder[$"{name}.safetensors"], arrays, new Dictionary<string, string> { ["description"] = description });
        return ReferenceCheck.Run(context, Path.GetDirectoryName(folder["x"])!);
    }
}
