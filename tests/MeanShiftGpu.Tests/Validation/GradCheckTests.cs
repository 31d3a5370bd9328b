using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Checks;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Validation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Validation;

public class GradCheckTests
{
    private static readonly TensorShape Shape = new(1, 2, 3, 4, 1);

    private static IEnumerable<TestCaseData> Cases()
        => from device in TestDevices.All
           from check in GradCheckSuite.Cases
           select new TestCaseData(device, check.Name).SetName($"Suite_{check.Name}_{device}");

    [TestCaseSource(nameof(Cases))]
    public void Suite_EveryCase_AgreesWithDifferences(DeviceKind device, string name)
    {
        // Both losses together are checked in every run.
        if (name is "unet + dice" or "unet + mean-shift")
            LongRun.Require();
        using GpuContext context = TestDevices.Open(device);
        GradCheckReport report = GradCheckSuite.Run(context, [name]);
        Assert.That(report.Passed, Is.True, () => report.ToString());
    }

    private static IEnumerable<string> Operations()
        => GradCheckSuite.Cases.Where(check => !check.HasLayers).Select(check => check.Name);

    // Whether a right gradient passes is no matter of luck.
    [TestCaseSource(nameof(Operations))]
    public void Suite_EveryOperation_PassesWithEverySeed(string name)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        for (int seed = 2; seed <= WrongGradientTests.Seeds; seed++)
        {
            GradCheckReport report = GradCheckSuite.Run(context, [name], seed: seed);
            Assert.That(report.Passed, Is.True, () => $"seed {seed}: {report}");
        }
    }

    // Variants that only GPUs run.
    [TestCase("conv3d k3 ReLU", "ImplicitGemm")]
    [TestCase("conv-transpose3d", "ImplicitGemm")]
    [TestCase("dice", "Grouped")]
    [TestCase("sigmoid-head", "Grouped")]
    [TestCase("mean-shift Epanechnikov Euclidean, 1 iteration", "Grouped")]
    public void Suite_OnTheSimulatedGpu_AgreesWithDifferences(string name, string variant)
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        GradCheckReport report = GradCheckSuite.Run(context, [name]);
        Assert.That(report.Passed, Is.True, () => report.ToString());
        Assert.That(report.ToString(), Does.Contain($"float64, {variant}").And.Contain($"float32, {variant}"));
    }

    // Many seeds of several iterations: the rims that voxels cross lie so densely that longer steps all have
    // some, and extrapolating these settles on what is no slope.
    [Test]
    public void Run_BendsThatLieDensely_DoNotFailARightGradient([Values(1, 2, 3, 4)] int seed)
    {
        GradCheckReport report = CheckManySeeds(seed, wrong: 1);
        Assert.That(report.Passed, Is.True, () => report.ToString());
    }

    [Test]
    public void Run_BendsThatLieDensely_DoNotHideAWrongGradient([Values(1, 2)] int seed)
        => Assert.That(CheckManySeeds(seed, wrong: 1 + 1e-4).Passed, Is.False);

    // A slope of a five-hundredth of the largest, in float32, whose rounding drowns it on the shortest steps.
    [Test]
    public void Run_ASmallSlopeThatIsDropped_IsFoundInFloat32([Values] bool dropped)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        float[] slopes = [1, 0.7f, 0.002f, 0.9f];
        float[] written = [1, 0.7f, dropped ? 0 : 0.002f, 0.9f];
        GradCheckReport report = GradCheck.Run<float>(
            context,
            (tape, x) =>
            {
                Tensor<float> y = tape.Allocate(x.Shape);
                y.View.CopyFromCPU(tape.Context.Stream, Products(x.ToArray(tape.Context), slopes));
                tape.Record("products", y, [x], [], [], () => tape.WriteGradient(x, gradient =>
                {
                    float[] upstream = new float[4];
                    tape.Gradient(y).CopyToCPU(tape.Context.Stream, upstream);
                    tape.Context.Synchronize();
                    gradient.CopyFromCPU(tape.Context.Stream, Products(upstream, written));
                }));
                return y;
            },
            [0.3, -0.8, 0.5, 0.6],
            new TensorShape(1, 1, 1, 4, 1));
        Assert.That(report.Passed, Is.Not.EqualTo(dropped), () => report.ToString());

        static float[] Products(float[] a, float[] b) => [.. a.Zip(b, (x, y) => x * y)];
    }

    private static GradCheckReport CheckManySeeds(int seed, double wrong)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        TensorShape shape = new(1, 8, 9, 10, 1);
        double[] scores = Array.ConvertAll(TestData.Uniform(shape.Length, 11), Math.Abs);
        MeanShiftOptions options = MeanShiftOptions.Compact with { BandwidthVoxels = 3, SeedCount = 96 };
        return GradCheck.Run<double>(
            context,
            (tape, x) =>
            {
                CenterBatch<double> centers = tape.UploadCenters([[new Position(3, 4, 4), new Position(5, 5, 6)]]);
                return Scaled(tape, tape.MeanShiftLoss(x, centers, options, seed: 1, step: 0).Loss, wrong);
            },
            scores,
            shape,
            new GradCheckOptions { Seed = seed, Samples = 6 });
    }

    // The value as it is; the gradient with a factor.
    private static Tensor<double> Scaled(Tape<double> tape, Tensor<double> x, double factor)
    {
        Tensor<double> y = tape.AllocateLike(x, x.Shape);
        y.View.CopyFrom(tape.Context.Stream, x.View);
        tape.Record("scaled", y, [x], [], [], () => tape.WriteGradient(x, gradient =>
        {
            double[] upstream = [0];
            tape.Gradient(y).CopyToCPU(tape.Context.Stream, upstream);
            tape.Context.Synchronize();
            gradient.CopyFromCPU(tape.Context.Stream, [upstream[0] * factor]);
        }));
        return y;
    }

    // Tensor cores round, so their gradients are compared with those of float64.
    [Test]
    public void Suite_OnTensorCores_AgreesWithFloat64(
        [Values(Precision.Tf32, Precision.Bf16Operands, Precision.Bf16)] Precision precision,
        [Values("conv3d k3", "conv3d k3 ReLU", "conv-transpose3d", "unet + both")] string name)
    {
        if (name.StartsWith("unet", StringComparison.Ordinal))
            LongRun.Require();
        using GpuContext context = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = precision });
        List<GradCheckResult> results = [];
        GradCheckSuite.RunRounding(
            context, GradCheckSuite.Cases.Single(check => check.Name == name), results.Add, seed: 1, CancellationToken.None);
        TestContext.Out.WriteLine(string.Join('\n', results));
        Assert.That(
            results, Is.Not.Empty.And.All.Matches<GradCheckResult>(result => result.Passed), () => string.Join('\n', results));
    }

    [Test]
    public void Run_OfAWrongGradient_IsCaughtAndLocated()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        const int wrong = 13;
        // y = x, whose backward pass is right everywhere but at one element.
        GradCheckReport report = GradCheck.Run<double>(
            context,
            (tape, x) =>
            {
                Tensor<double> y = tape.Upload(x.ToArray(tape.Context), Shape);
                tape.Record("Faulty", y, [x], [], [], () => tape.WriteGradient(x, gradient =>
                {
                    double[] upstream = y.GradientToArray(tape.Context);
                    upstream[wrong] *= 1.001;
                    gradient.CopyFromCPU(tape.Context.Stream, upstream);
                }));
                return y;
            },
            TestData.Uniform(Shape.Length, 1),
            Shape);
        GradCheckResult result = report.Results.Single();
        Assert.That(result.Passed, Is.False);
        Assert.That(result.WorstIndex, Is.EqualTo(wrong));
        Assert.That(result.MaxRelativeError, Is.EqualTo(1e-3).Within(1e-5));
        Assert.That(report.ThrowIfFailed, Throws.TypeOf<GradCheckException>().With.Message.Contains("element 13"));
    }

    [TestCase(double.NaN, 3)]
    [TestCase(double.PositiveInfinity, 500)]
    public void Run_OfAGradientThatIsNoNumber_IsCaughtAndLocated(double value, int wrong)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        TensorShape shape = new(1, 8, 8, 8, 1);
        // Few samples: the element need not be among them.
        GradCheckReport report = GradCheck.Run<double>(
            context,
            (tape, x) =>
            {
                Tensor<double> y = tape.Upload(x.ToArray(tape.Context), shape);
                tape.Record("Faulty", y, [x], [], [], () => tape.WriteGradient(x, gradient =>
                {
                    double[] upstream = y.GradientToArray(tape.Context);
                    upstream[wrong] = value;
                    gradient.CopyFromCPU(tape.Context.Stream, upstream);
                }));
                return y;
            },
            TestData.Uniform(shape.Length, 1),
            shape,
            new GradCheckOptions { Samples = 4 });
        GradCheckResult result = report.Results.Single();
        Assert.That(result.Passed, Is.False);
        Assert.That(result.WorstIndex, Is.EqualTo(wrong));
        Assert.That(report.ThrowIfFailed, Throws.TypeOf<GradCheckException>().With.Message.Contains($"element {wrong}"));
    }

    [TestCase(0)]
    [TestCase(100)]
    public void Run_OfANaNAmongTheProbes_IsNotForgottenByThoseAfterIt(int wrong)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        // The forward pass gives NaN at one element, so every difference there is NaN and all gradients are
        // finite.
        GradCheckReport report = GradCheck.Run<double>(
            context,
            (tape, x) =>
            {
                double[] values = x.ToArray(tape.Context);
                if (values[wrong % values.Length] != TestData.Uniform(Shape.Length, 1)[wrong % values.Length])
                    values[wrong % values.Length] = double.NaN;
                Tensor<double> y = tape.Upload(values, Shape);
                tape.Record(
                    "Faulty", y, [x], [], [], () => tape.WriteGradient(
                        x, gradient => gradient.CopyFromCPU(tape.Context.Stream, y.GradientToArray(tape.Context))));
                return y;
            },
            TestData.Uniform(Shape.Length, 1),
            Shape);
        Assert.That(report.Results.Single().Passed, Is.False);
        Assert.That(report.Results.Single().WorstIndex, Is.EqualTo(wrong % Shape.Length));
    }

    [Test]
    public void Run_OfAMissingGradient_Fails()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        GradCheckReport report = GradCheck.Run<double>(
            context,
            (tape, x) =>
            {
                Tensor<double> y = tape.Upload(x.ToArray(tape.Context), Shape);
                tape.Record(
                    "Faulty",
                    y,
                    [x],
                    [],
                    [],
                    () => tape.WriteGradient(x, gradient => gradient.MemSetToZero(tape.Context.Stream)));
                return y;
            },
            TestData.Uniform(Shape.Length, 1),
            Shape);
        Assert.That(
            report.ThrowIfFailed, Throws.TypeOf<GradCheckException>().With.Message.Contains("the gradient is zero everywhere"));
    }

    [Test]
    public void Run_BesideAKink_TakesStepsThatDoNotReachIt()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        double[] values = TestData.Uniform(Shape.Length, 2);
        // |x| at 1e-6 from its kink, over which the first step reaches.
        values[5] = 1e-6;
        GradCheckReport report = GradCheck.Run<double>(
            context,
            (tape, x) =>
            {
                double[] input = x.ToArray(tape.Context);
                Tensor<double> y = tape.Upload([.. input.Select(Math.Abs)], Shape);
                tape.Record("Abs", y, [x], [], [], () => tape.WriteGradient(x, gradient =>
                    gradient.CopyFromCPU(
                        tape.Context.Stream, [.. y.GradientToArray(tape.Context).Zip(input, (g, v) => g * Math.Sign(v))])));
                return y;
            },
            values,
            Shape);
        Assert.That(report.Passed, Is.True, () => report.ToString());
        Assert.That(report.Results.Single().Kinks, Is.Zero);
    }

    // ReLU at exactly 0, whose gradient by convention is 0: right, but hardly checked there.
    [TestCase(0, 0.0, false, "1 element at a kink or jump, the first 5")]
    [TestCase(1, 0.0, true, "any gradient between the slopes is accepted")]
    [TestCase(1, 1.0, true, "any gradient between the slopes is accepted")]
    [TestCase(1, 1.5, false, "mismatch at a kink or jump with the slopes")]
    [TestCase(1, -0.5, false, "mismatch at a kink or jump with the slopes")]
    public void Run_AtAnExactKink_AcceptsWhatLiesBetweenTheSlopesAndWarns(
        int allowed, double slopeAtZero, bool passes, string reason)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        double[] values = TestData.Uniform(Shape.Length, 2);
        values[5] = 0;
        GradCheckReport report = GradCheck.Run<double>(
            context,
            (tape, x) => WrongGradients.Apply(tape, x, v => Math.Max(0, v), (v, g) => v > 0 ? g : v == 0 ? slopeAtZero * g : 0),
            values,
            Shape,
            new GradCheckOptions { AllowedKinks = allowed });
        GradCheckResult result = report.Results.Single();
        Assert.That(result.Passed, Is.EqualTo(passes), () => report.ToString());
        Assert.That(result.Reason, Does.Contain(reason));
        Assert.That(result.ToString(), Does.Contain(passes ? "warning: " : "FAIL"));
    }

    // Which of two equal voxels gets the gradient is the pooling's choice: each of both is at a kink.
    [TestCase(1, false)]
    [TestCase(2, true)]
    public void Run_AtATieOfAPooling_CountsBothVoxels(int allowed, bool passes)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        TensorShape shape = new(1, 2, 4, 4, 1);
        double[] values = TestData.Uniform(shape.Length, 2);
        values[0] = values[1] = 2;
        GradCheckReport report = GradCheck.Run<double>(
            context, (tape, x) => tape.MaxPool3d(x), values, shape, new GradCheckOptions
            {
                AllowedKinks = allowed,
            });
        Assert.That(report.Passed, Is.EqualTo(passes), () => report.ToString());
        Assert.That(report.Results.Single().Kinks, Is.EqualTo(2));
    }

    [Test]
    public void Run_AtAJump_ComparesTheSideThatHasASlope()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        double[] values = TestData.Uniform(Shape.Length, 2);
        values[5] = 0;
        GradCheckReport Report(double slope) => GradCheck.Run<double>(
            context,
            (tape, x) => WrongGradients.Apply(tape, x, v => v >= 0 ? v + 1 : v, (_, g) => slope * g),
            values,
            Shape,
            new GradCheckOptions { AllowedKinks = 1 });
        Assert.That(Report(1).Passed, Is.True, () => Report(1).ToString());
        Assert.That(Report(1).Results.Single().Kinks, Is.EqualTo(1));
        Assert.That(Report(0.5).Passed, Is.False);
    }

    [Test]
    public void Run_WhereNoGradientArrives_SaysSo()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        GradCheckReport report = GradCheck.Run<double>(
            context, (tape, x) => tape.Upload(x.ToArray(tape.Context), Shape), TestData.Uniform(Shape.Length, 2), Shape);
        Assert.That(
            report.ThrowIfFailed, Throws.TypeOf<GradCheckException>().With.Message.Contains("no gradient reached this input"));
    }

    // 1e9 beside the function's values of 1: 7 digits of it are all that float64 has left.
    [Test]
    public void Run_WhereRoundingDrownsTheGradient_SaysSo()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        GradCheckReport report = GradCheck.Run<double>(
            context,
            (tape, x) => WrongGradients.Apply(tape, x, v => 1e9 + 1e-3 * Math.Sin(30 * v), (v, g) => 0.03 * Math.Cos(30 * v) * g),
            TestData.Uniform(Shape.Length, 2), Shape);
        Assert.That(
            report.ThrowIfFailed,
            Throws.TypeOf<GradCheckException>().With.Message.Contains("precision: the function's rounding error"));
    }

    [Test]
    public void Run_OfAnUnknownName_SaysWhatIsKnown()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        Assert.That(
            () => GradCheckSuite.Run(context, ["conv4d"]), Throws.TypeOf<InputException>().With.Message.Contains("conv3d"));
    }
}
