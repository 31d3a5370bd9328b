using System.Text.Json;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Validation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Validation;

/// <summary>What somebody calls who checks gradients of a function of their own.</summary>
public sealed class GradCheckCallsTests
{
    private static readonly TensorShape Shape = new(2, 3, 4, 5, 2);

    private GpuContext context = null!;

    [OneTimeSetUp]
    public void OpenDevice() => context = TestDevices.Open(DeviceKind.Cpu);

    [OneTimeTearDown]
    public void CloseDevice() => context?.Dispose();

    [Test]
    public void Run_OfInputsAndParameters_ChecksEachInOneCall()
    {
        using ParameterSet<double> parameters = Layer(out Parameter<double> weight, out Parameter<double> bias);
        double[] before = weight.Download(context);
        GradCheckReport report = GradCheck.Run<double>(
            context, (tape, x) => tape.Multiply(tape.Conv3d(x[0], weight, bias), x[1]), Inputs(
                3), parameters, name: "gated layer");
        Assert.That(report.Results.Select(r => r.Input), Is.EqualTo(new[] { "features", "gate", "layer.weight", "layer.bias" }));
        Assert.That(report.Passed, Is.True, report.ToString());
        Assert.That(report.ThrowIfFailed, Throws.Nothing);
        Assert.That(weight.Download(context), Is.EqualTo(before), "the parameters are put back");
    }

    [Test]
    public void Run_ADirectionAlone_FindsTheWrongElementOfALargeTensor()
    {
        const int wrong = 12345;
        TensorShape large = new(1, 32, 32, 32, 1);
        GradCheckReport report = GradCheck.Run<double>(
            context,
            (tape, x) =>
            {
                Tensor<double> y = tape.Upload(x.ToArray(tape.Context), large);
                tape.Record("Faulty", y, [x], [], [], () => tape.WriteGradient(x, gradient =>
                {
                    double[] upstream = y.GradientToArray(tape.Context);
                    upstream[wrong] *= 2;
                    ILGPU.Runtime.ArrayViewExtensions.CopyFromCPU(gradient, tape.Context.Stream, upstream);
                }));
                return y;
            },
            TestData.Uniform(large.Length, 1),
            large,
            new GradCheckOptions { Samples = 0, Directions = 2 });
        GradCheckResult result = report.Results.Single();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(result.Passed, Is.False);
            Assert.That(result.WorstIndex, Is.EqualTo(wrong));
            Assert.That(result.Probes, Is.LessThan(60), "halved, not tried one after the other");
        }

        GradCheckReport right = GradCheck.Run<double>(
            context, (tape, x) => tape.Scale(x, 2), TestData.Uniform(
                large.Length, 1), large, new GradCheckOptions { Samples = 0, Directions = 3 });
        Assert.That(
            right.Results.Single(),
            Has.Property(nameof(GradCheckResult.Passed)).True.And.Property(nameof(GradCheckResult.Probes)).EqualTo(3));
    }

    [Test]
    public void Run_NeitherSamplesNorDirections_Fails()
        => Assert.That(
            GradCheck.Run<double>(
                context, (tape, x) => tape.Scale(x, 2), TestData.Uniform(Shape.Length, 1), Shape,
                new GradCheckOptions { Samples = 0, Directions = 0 }).ThrowIfFailed,
            Throws.TypeOf<GradCheckException>().With.Message.Contains("nothing was probed"));

    [Test]
    public void Run_ADirectionOfASingleElement_IsThatElementOnce()
    {
        GradCheckReport report = GradCheck.Run<double>(
            context, (tape, x) => tape.Scale(x, 2), [0.5], TensorShape.Scalar,
            new GradCheckOptions { Samples = 0, Directions = 2 });
        Assert.That(report.Passed, Is.True, report.ToString());
        Assert.That(report.Results.Single().Probes, Is.EqualTo(1));
    }

    private static IEnumerable<TestCaseData> Nonsense() =>
    [
        Options(new() { Samples = -1 }, "Samples is -1. Expected a whole number"),
        Options(new() { Directions = -1 }, "Directions is -1. Expected a whole number"),
        Options(new() { AllowedKinks = -1 }, "AllowedKinks is -1. Expected a whole number"),
        Options(new() { Step = -1 }, "Step is -1. Expected a finite number"),
        Options(new() { Step = double.NaN }, "Step is NaN. Expected a finite number"),
        Options(new() { Tolerance = -1 }, "Tolerance is -1. Expected a finite number"),
        Options(new() { Tolerance = double.NaN }, "Tolerance is NaN. Expected a finite number"),
        Options(new() { Tolerance = double.PositiveInfinity }, "Tolerance is "),
    ];

    private static TestCaseData Options(GradCheckOptions options, string expected)
        => new TestCaseData(options, expected).SetArgDisplayNames(expected);

    [TestCaseSource(nameof(Nonsense))]
    public void Options_ThatNoCheckCanMean_AreRefused(GradCheckOptions options, string expected)
    {
        InputException ofGradient = Assert.Throws<InputException>(
            () => GradCheck.Run<double>(context, (tape, x) => tape.Scale(x[0], 2), Inputs(1), options: options))!;
        InputException ofAdjoint = Assert.Throws<InputException>(
            () => AdjointCheck.Run<double>(context, (tape, x) => tape.Scale(x[0], 2), Inputs(1), options: options))!;
        Assert.That((string[])[ofGradient.Message, ofAdjoint.Message], Is.All.StartsWith($"gradcheck: {expected}"));
    }

    [TestCase(new double[0], "gate: the input has no elements")]
    [TestCase(new[] { 1, double.NaN }, "gate: the input is not finite: element 1 is NaN")]
    [TestCase(new[] { double.PositiveInfinity, 1 }, "gate: the input is not finite: element 0 is ")]
    public void Inputs_ThatNoGradientCanBeTakenAt_AreNamed(double[] values, string expected)
    {
        GradCheckInput[] inputs = [.. Inputs(1), new GradCheckInput("gate", new TensorShape(1, 1, 1, values.Length, 1), values)];
        ArgumentException ofGradient = Assert.Throws<ArgumentException>(
            () => GradCheck.Run<double>(context, (tape, x) => tape.Scale(x[1], 2), inputs))!;
        ArgumentException ofAdjoint = Assert.Throws<ArgumentException>(
            () => AdjointCheck.Run<double>(context, (tape, x) => tape.Scale(x[1], 2), inputs))!;
        Assert.That((string[])[ofGradient.Message, ofAdjoint.Message], Is.All.StartsWith($"gradcheck: {expected}"));
    }

    private static IEnumerable<TestCaseData> Nulls()
    {
        static TestCaseData Case(string argument, Action<GpuContext> run)
            => new TestCaseData(argument, run).SetArgDisplayNames(argument);

        double[] values = TestData.Uniform(Shape.Length, 1);
        yield return Case("context", _ => GradCheck.Run<double>(null!, (tape, x) => x, values, Shape));
        yield return Case(
            "function", gpu => GradCheck.Run(gpu, (Func<Tape<double>, Tensor<double>, Tensor<double>>)null!, values, Shape));
        yield return Case("values", gpu => GradCheck.Run<double>(gpu, (tape, x) => x, null!, Shape));
        yield return Case("inputs", gpu => GradCheck.Run<double>(gpu, (tape, x) => x[0], null!));
        yield return Case("inputs", gpu => AdjointCheck.Run<double>(gpu, (tape, x) => x[0], null!));
    }

    [TestCaseSource(nameof(Nulls))]
    public void Run_OfNull_NamesTheArgument(string argument, Action<GpuContext> call)
        => Assert.That(() => call(context), Throws.ArgumentNullException.With.Property("ParamName").EqualTo(argument));

    [Test]
    public void Run_OfAFunctionOrInputWithoutNumbers_SaysSo()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                () => GradCheck.Run<double>(context, (tape, x) => null!, TestData.Uniform(Shape.Length, 1), Shape),
                Throws.ArgumentException.With.Message.Contains("the function returned null"));
            Assert.That(
                () => AdjointCheck.Run<double>(context, (tape, x) => null!, Inputs(1)),
                Throws.ArgumentException.With.Message.Contains("the function returned null"));
            Assert.That(
                () => GradCheck.Run<double>(context, (tape, x) => x[0], [.. Inputs(1), null!]),
                Throws.ArgumentException.With.Message.Contains("input 1 has no numbers"));
        }
    }

    [Test]
    public void Adjoint_OfLinearOperations_HoldsToRounding()
    {
        using ParameterSet<double> parameters = Layer(out Parameter<double> weight, out Parameter<double> bias);
        GradCheckReport report = AdjointCheck.Run<double>(
            context, (tape, x) => tape.Conv3d(x[0], weight, bias), Inputs(
                1), parameters, new GradCheckOptions { Directions = 3 }, "conv3d");
        TestContext.Out.WriteLine(report);
        Assert.That(report.Results.Select(r => r.Input), Is.EqualTo(new[] { "features", "layer.weight", "layer.bias" }));
        Assert.That(report.Passed, Is.True, report.ToString());
        // The rounding of sums of some hundred terms: 1.3e-16 was seen.
        Assert.That(report.Results.Select(r => r.MaxRelativeError), Has.All.LessThan(1e-14));

        using ParameterSet<float> single = new();
        (Parameter<float> up, Parameter<float> upBias) = single.AddTransposedConvolution("up", 2, 3);
        single.Allocate(context, seed: 2);
        GradCheckReport transposed = AdjointCheck.Run<float>(
            context, (tape, x) => tape.ConvTranspose3d(x[0], up, upBias), Inputs(1), single);
        Assert.That(transposed.Passed, Is.True, transposed.ToString());
        Assert.That(transposed.Results[0].RealType, Is.EqualTo("float32"));
    }

    [Test]
    public void Adjoint_OfWhatIsWrongOrNotLinear_Fails()
    {
        GradCheckReport square = AdjointCheck.Run<double>(context, (tape, x) => tape.Multiply(x[0], x[0]), Inputs(1));
        Assert.That(square.ThrowIfFailed, Throws.TypeOf<GradCheckException>().With.Message.Contains("not linear in this input"));
        using ParameterSet<double> parameters = Layer(out Parameter<double> weight, out Parameter<double> bias);
        GradCheckReport relu = AdjointCheck.Run<double>(
            context, (tape, x) => tape.Conv3d(x[0], weight, bias, Activation.Relu), Inputs(1), parameters);
        Assert.That(relu.Passed, Is.False);
        GradCheckReport unused = AdjointCheck.Run<double>(context, (tape, x) => tape.Scale(x[0], 2), Inputs(2));
        Assert.That(unused.Results.Select(r => r.Passed), Is.EqualTo(new[] { true, false }));
        Assert.That(unused.Results[1].Reason, Is.EqualTo("no gradient reached this input"));
        // The gradient of one element in 120 is 1.001 times what it should be.
        GradCheckReport wrong = AdjointCheck.Run<double>(context, (tape, x) => WrongAt(tape, x[0], 13, 1.001), Inputs(1));
        Assert.That(wrong.Passed, Is.False);
    }

    [Test]
    public void Report_AsText_AsJson_AndAsAnException()
    {
        GradCheckReport report = GradCheck.Run<double>(
            context, (tape, x) => tape.Add(WrongAt(tape, x[0], 13, 2), x[1]), Inputs(2), name: "faulty");
        Assert.That(report.ToString(), Does.Contain("FAIL faulty / features (float64, Auto)").And.Contain("ok   faulty / gate"));

        GradCheckException e = Assert.Throws<GradCheckException>(report.ThrowIfFailed)!;
        Assert.That(e.Report, Is.SameAs(report));
        string[] lines = e.Message.Split('\n');
        Assert.That(lines[0], Is.EqualTo("gradient check failed: 1 of 2 inputs"));
        Assert.That(lines[1], Is.EqualTo("  faulty / features (float64, Auto, Cpu)"));
        Assert.That(
            e.Message,
            Does.Contain("    where       element 13").And.Contain("    error       0.5, tolerance 1e-06").And.Contain(
                "  passed: faulty / gate"));
        Assert.That(
            new GradCheckReport([]).ThrowIfFailed,
            Throws.TypeOf<GradCheckException>().With.Message.Contains("nothing was checked"));

        // As the tool writes it, NaN included.
        GradCheckReport withNaN = new(
            [report.Results[0] with { MaxRelativeError = double.NaN, Reason = "≠ \"x\"" }, report.Results[1]]);
        Assert.That(withNaN.ToJson(), Is.EqualTo(JsonSerializer.Serialize(withNaN.Results, JsonOutput.Options)));
    }

    private ParameterSet<double> Layer(out Parameter<double> weight, out Parameter<double> bias)
    {
        ParameterSet<double> parameters = new();
        (weight, bias) = parameters.AddConvolution("layer", 2, 2);
        parameters.Allocate(context, seed: 1);
        return parameters;
    }

    private static List<GradCheckInput> Inputs(int count)
        => [.. new[] { new GradCheckInput("features", Shape, TestData.Uniform(Shape.Length, 1)),
            new GradCheckInput("gate", Shape, TestData.Uniform(Shape.Length, 2)) }.Take(count)];

    private static Tensor<double> WrongAt(Tape<double> tape, Tensor<double> x, int element, double factor)
    {
        Tensor<double> y = tape.Upload(x.ToArray(tape.Context), x.Shape);
        tape.Record("Faulty", y, [x], [], [], () => tape.WriteGradient(x, gradient =>
        {
            double[] upstream = y.GradientToArray(tape.Context);
            upstream[element] *= factor;
            ILGPU.Runtime.ArrayViewExtensions.CopyFromCPU(gradient, tape.Context.Stream, upstream);
        }));
        return y;
    }
}
