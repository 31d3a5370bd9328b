using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.TensorCore;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Convolution;

[TestFixture]
public class ConvTranspose3dTests
{
    // The worst of all cases and passes: 5.8e-7 in float32 (gradBias), 2.2e-16 in float64.
    private const double FloatTolerance = 1e-5;
    private const double DoubleTolerance = 1e-13;

    private static readonly ConvTranspose3dShape[] Shapes =
    [
        Shape(1, 5, 6, 7, 3, 5, 0, 0),
        Shape(2, 3, 4, 5, 1, 17, 0, 0),
        Shape(1, 1, 1, 1, 5, 3, 0, 0),
        Shape(2, 1, 6, 7, 16, 1, 3, 2),
        Shape(1, 5, 1, 3, 17, 16, 0, 5),
        Shape(1, 5, 4, 1, 1, 32, 1, 0),
        Shape(1, 3, 4, 5, 32, 48, 16, 16),
        Shape(1, 3, 4, 5, 48, 32, 0, 0),
    ];

    public static IEnumerable<TestCaseData> Cases()
    {
        foreach (DeviceKind device in TestDevices.All)
        {
            foreach (ConvTranspose3dShape shape in Shapes)
                yield return new TestCaseData(device, shape).SetArgDisplayNames(device.ToString(), Describe(shape));
        }
    }

    [TestCaseSource(nameof(Cases))]
    public void AllPasses_Float32_MatchReference(DeviceKind device, ConvTranspose3dShape shape)
        => EveryVariantMatchesReference(ConvTranspose3dVariants<float, float>.Table, device, shape, FloatTolerance);

    [TestCaseSource(nameof(Cases))]
    public void AllPasses_Float64_MatchReference(DeviceKind device, ConvTranspose3dShape shape)
        => EveryVariantMatchesReference(ConvTranspose3dVariants<double, double>.Table, device, shape, DoubleTolerance);

    [Test]
    public void HostSimd_EveryVectorWidth_MatchesReference(
        [Values(128, 256, 512)] int bits, [ValueSource(nameof(Shapes))] ConvTranspose3dShape shape)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using IConvTranspose3d<float, float> conv = ConvTranspose3dHostSimd.Create(context.Threads, bits);
        MatchesReference(context, conv, shape, FloatTolerance);
    }

    // Several chunks of voxels and several parts of a weight gradient.
    [Test]
    public void HostSimd_SeveralChunks_MatchesReference()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using IConvTranspose3d<float, float> conv = ConvTranspose3dHostSimd.Create(context.Threads);
        MatchesReference(context, conv, Shape(1, 9, 11, 13, 20, 9, 0, 0), FloatTolerance);
    }

    // On the simulated GPU: several tiles of voxels and of channels, slices at aligned and unaligned pitches.
    // Kept tiny, because barriers are slow there.
    private static readonly ConvTranspose3dShape[] EmulatedShapes =
    [
        Shape(2, 3, 5, 7, 3, 5, 0, 3),
        Shape(1, 2, 3, 2, 36, 9, 3, 1),
        Shape(1, 1, 2, 3, 12, 40, 4, 8),
        Shape(1, 1, 1, 1, 1, 1, 0, 0),
    ];

    [Test]
    public void ImplicitGemm_OnTheSimulatedGpu_MatchesReference([ValueSource(nameof(EmulatedShapes))] ConvTranspose3dShape shape)
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        using ConvTranspose3dImplicitGemm<float> single = new(context.Accelerator);
        MatchesReference(context, single, shape, FloatTolerance, "ImplicitGemm");
        using ConvTranspose3dImplicitGemm<double> twice = new(context.Accelerator);
        MatchesReference(context, twice, shape, DoubleTolerance, "ImplicitGemm");
    }

    [Test]
    public void AllPasses_IntegerValues_AreExact([ValueSource(typeof(TestDevices), nameof(TestDevices.All))] DeviceKind device)
    {
        ConvTranspose3dShape shape = Shape(1, 4, 5, 6, 7, 9, 2, 1);
        using GpuContext context = TestDevices.Open(device);
        foreach (Variant<IConvTranspose3d<float, float>, ConvTranspose3dShape> variant
            in ConvTranspose3dVariants<float, float>.Table.Supported(context, shape))
        {
            using IConvTranspose3d<float, float> conv = variant.Create(context);
            ConvolutionProblem problem = Problem(shape, value => Math.Round(4 * value));
            ConvolutionResult<float> result = Run(context, conv, problem, shape);
            result.IsExactly(Expected(problem, shape), variant.Name);
        }
    }

    // The transposed convolution without bias is linear in its input and in its weights: both backward passes
    // are its transpose.
    [Test]
    public void BackwardPasses_AreAdjointOfForward([ValueSource(typeof(TestDevices), nameof(TestDevices.All))] DeviceKind device)
    {
        ConvTranspose3dShape shape = Shape(2, 4, 5, 6, 7, 9, 0, 0);
        using GpuContext context = TestDevices.Open(device);
        foreach (Variant<IConvTranspose3d<float, float>, ConvTranspose3dShape> variant
            in ConvTranspose3dVariants<float, float>.Table.Supported(context, shape))
        {
            using IConvTranspose3d<float, float> conv = variant.Create(context);
            ConvolutionProblem problem = Problem(shape, value => value);
            Array.Clear(problem.Bias);
            Array.Clear(problem.GradWeight);
            Array.Clear(problem.GradBias);
            ConvolutionResult<float> result = Run(context, conv, problem, shape);
            double forward = Dot(result.Output, problem.GradOutput);
            // Relative to the sum of the products' magnitudes, because they cancel; the worst was 3.1e-9.
            double tolerance = 1e-7 * result.Output.Zip(problem.GradOutput, (a, b) => Math.Abs(a * b)).Sum();
            Assert.That(Dot(result.GradInput, problem.Input), Is.EqualTo(forward).Within(tolerance), variant.Name);
            Assert.That(Dot(result.GradWeight, problem.Weight), Is.EqualTo(forward).Within(tolerance), variant.Name);
        }
    }

    [Test]
    public void HostSimd_AnyNumberOfThreads_GivesSameBits([Values(1, 16, 48)] int inputChannels)
    {
        ConvTranspose3dShape shape = Shape(1, 7, 9, 20, inputChannels, 24, 0, 0);
        ConvolutionProblem problem = Problem(shape, value => value);
        List<ConvolutionResult<float>> results = [];
        foreach (int threads in (int[])[1, 2, 3])
        {
            using GpuContext context = TestDevices.Open(DeviceKind.Cpu, threads);
            using IConvTranspose3d<float, float> conv = ConvTranspose3dHostSimd.Create(context.Threads);
            results.Add(Run(context, conv, problem, shape));
        }

        foreach (ConvolutionResult<float> other in results.Skip(1))
        {
            Assert.That(other.Output, Is.EqualTo(results[0].Output));
            Assert.That(other.GradInput, Is.EqualTo(results[0].GradInput));
            Assert.That(other.GradWeight, Is.EqualTo(results[0].GradWeight));
            Assert.That(other.GradBias, Is.EqualTo(results[0].GradBias));
        }
    }

    // Small, because the simulated GPU is slow. Between them: tiles cut in every direction, several of them,
    // batches; channels that are no multiple of a chunk or of 16, several chunks, two blocks of columns and
    // of gradient columns; slices, which cannot all be copied by 16 bytes.
    public static IEnumerable<TestCaseData> TensorCoreCases()
    {
        (TensorCorePrecision Precision, ConvTranspose3dShape Shape)[] cases =
        [
            (TensorCorePrecision.Tf32, Shape(2, 1, 9, 1, 20, 8, 4, 0)),
            (TensorCorePrecision.Tf32, Shape(1, 1, 1, 9, 5, 18, 2, 1)),
            (TensorCorePrecision.Tf32, Shape(1, 1, 2, 1, 4, 72, 0, 4)),
            (TensorCorePrecision.Tf32, Shape(1, 1, 1, 2, 70, 4, 2, 0)),
            (TensorCorePrecision.Tf32, Shape(1, 1, 1, 1, 4, 64, 0, 0)),
            (TensorCorePrecision.Bf16, Shape(1, 1, 1, 1, 60, 4, 0, 0)),
            (TensorCorePrecision.Bf16, Shape(1, 5, 2, 1, 20, 7, 0, 1)),
        ];
        foreach (string device in TestDevices.WithTensorCores)
        {
            foreach ((TensorCorePrecision precision, ConvTranspose3dShape shape) in cases)
                yield return new TestCaseData(device, precision, shape).SetArgDisplayNames(
                    device, precision.ToString(), Describe(shape));
        }
    }

    // Small integers are exact in both formats, so whatever is in the wrong place shows.
    [TestCaseSource(nameof(TensorCoreCases))]
    public void TensorCore_IntegerValues_AreExact(string device, TensorCorePrecision precision, ConvTranspose3dShape shape)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConvTranspose3d<float, float> conv = ConvTranspose3dTensorCore.Create(context.Accelerator, precision);
        IsExact(context, conv, shape);
    }

    // Each width of a tile; where CUDA is, for the simulated GPU would take minutes.
    [Test]
    public void TensorCore_EveryWidth_IsExact([Values("CUDA")] string device, [Values(16, 32, 48, 64)] int channels)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        foreach (TensorCorePrecision precision in Enum.GetValues<TensorCorePrecision>())
        {
            using IConvTranspose3d<float, float> conv = ConvTranspose3dTensorCore.Create(
                context.Accelerator, precision, groupsWanted: 1);
            IsExact(context, conv, Shape(1, 1, 1, 2, 8, channels, 0, 0));
            IsExact(context, conv, Shape(1, 1, 1, 2, channels, 8, 0, 0));
        }

        using IConvTranspose3d<float, float> stored = ConvTranspose3dTensorCore.CreateBf16(context.Accelerator).OnFloats(context);
        IsExact(context, stored, Shape(1, 1, 1, 2, 8, channels, 0, 0), Bf16Buffers.Rounded);
        IsExact(context, stored, Shape(1, 1, 1, 2, channels, 8, 0, 0), Bf16Buffers.Rounded);
    }

    // The worst was 2.3e-4 with TF32 and 1.9e-3 with BF16, on the simulated GPU.
    [Test]
    public void TensorCore_AnyValues_MatchReference(
        [ValueSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))] string device,
        [Values] TensorCorePrecision precision)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConvTranspose3d<float, float> conv = ConvTranspose3dTensorCore.Create(context.Accelerator, precision);
        MatchesReference(
            context,
            conv,
            Shape(1, 1, 2, 5, 12, 16, 0, 0),
            precision == TensorCorePrecision.Tf32 ? 2e-3 : 2e-2,
            precision.ToString());
    }

    // Asked to fill more groups than there are tiles, a weight gradient is shared by its voxels.
    [Test]
    public void TensorCore_ManyGroups_AddUpExactly(
        [ValueSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))] string device)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConvTranspose3d<float, float> conv =
            ConvTranspose3dTensorCore.Create(context.Accelerator, TensorCorePrecision.Tf32, groupsWanted: 3);
        IsExact(context, conv, Shape(1, 4, 1, 1, 5, 5, 0, 1));
    }

    // Activations in BF16, whose voxels begin at multiples of 16 bytes; the sums are exact in float32, what
    // is stored is their nearest BF16.
    [Test]
    public void Bf16Activations_IntegerValues_AreRoundedOnce(
        [ValueSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))] string device)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConvTranspose3d<float, float> conv = ConvTranspose3dTensorCore.CreateBf16(context.Accelerator).OnFloats(context);
        IsExact(context, conv, Shape(1, 5, 2, 1, 20, 7, 4, 1), Bf16Buffers.Rounded);
        IsExact(context, conv, Shape(1, 1, 1, 9, 70, 18, 2, 6), Bf16Buffers.Rounded);
    }

    // The worst was 2.5e-3, of the output, on the simulated GPU.
    [Test]
    public void Bf16Activations_AnyValues_MatchReference(
        [ValueSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))] string device)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConvTranspose3d<float, float> conv = ConvTranspose3dTensorCore.CreateBf16(context.Accelerator).OnFloats(context);
        MatchesReference(context, conv, Shape(1, 1, 2, 5, 12, 16, 4, 0), 2e-2, "BF16 activations");
    }

    private static void IsExact(
        GpuContext context, IConvTranspose3d<float, float> conv, ConvTranspose3dShape shape, Func<double, double>? stored = null)
    {
        ConvolutionProblem problem = Problem(shape, value => Math.Round(4 * value));
        ConvolutionResult<float> result = Run(context, conv, problem, shape);
        ConvolutionResult<double> expected = Expected(problem, shape);
        if (stored is not null)
            expected =
                expected with
                {
                    Output = [.. expected.Output.Select(stored)],
                    GradInput =
                    [.. expected.GradInput.Select(stored)]
                };
        result.IsExactly(expected);
    }

    private static void EveryVariantMatchesReference<T>(VariantTable<IConvTranspose3d<T, T>, ConvTranspose3dShape> table,
        DeviceKind device, ConvTranspose3dShape shape, double tolerance)
        where T : unmanaged, INumber<T>
    {
        using GpuContext context = TestDevices.Open(device);
        foreach (Variant<IConvTranspose3d<T, T>, ConvTranspose3dShape> variant in table.Supported(context, shape))
        {
            using IConvTranspose3d<T, T> conv = variant.Create(context);
            MatchesReference(context, conv, shape, tolerance, variant.Name);
        }
    }

    private static void MatchesReference<T>(GpuContext context, IConvTranspose3d<T, T> conv, ConvTranspose3dShape shape,
        double tolerance, string variant = "HostSimd")
        where T : unmanaged, INumber<T>
    {
        ConvolutionProblem problem = Problem(shape, value => value);
        ConvolutionResult<T> result = Run(context, conv, problem, shape);
        result.IsNear(Expected(problem, shape), tolerance, variant);
        ConvolutionProblem.AssertNeighboursUntouched(result.Output, shape.OutputChannels, shape.OutputPitch);
        ConvolutionProblem.AssertNeighboursUntouched(result.GradInput, shape.InputChannels, shape.InputPitch);
    }

    private static ConvolutionResult<T> Run<T>(
        GpuContext context, IConvTranspose3d<T, T> conv, ConvolutionProblem problem, ConvTranspose3dShape shape)
        where T : unmanaged, INumber<T>
        => problem.Run<T>(context, v =>
        {
            conv.Forward(context.Stream, v.Input, v.Weight, v.Bias, v.Output, shape);
            conv.BackwardInput(context.Stream, v.GradOutput, v.Weight, v.GradInput, shape);
            conv.BackwardWeight(context.Stream, v.Input, v.GradOutput, v.GradWeight, v.GradBias, shape);
        });

    private static ConvolutionResult<double> Expected(ConvolutionProblem problem, ConvTranspose3dShape shape)
        => problem.Expected(result =>
        {
            ConvTranspose3dReference.Forward(problem.Input, problem.Weight, problem.Bias, result.Output, shape);
            ConvTranspose3dReference.BackwardInput(problem.GradOutput, problem.Weight, result.GradInput, shape);
            ConvTranspose3dReference.BackwardWeight(problem.Input, problem.GradOutput, result.GradWeight, result.GradBias, shape);
        });

    private static double Dot(float[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();

    private static ConvTranspose3dShape Shape(
        int n, int d, int h, int w, int inputChannels, int outputChannels, int moreInput, int moreOutput)
        => new(n, d, h, w, inputChannels, outputChannels, inputChannels + moreInput, outputChannels + moreOutput);

    private static string Describe(ConvTranspose3dShape s)
        => $"{s.Batch}x{s.Depth}x{s.Height}x{s.Width}, {s.InputChannels}({s.InputPitch}) to {s.OutputChannels}({s.OutputPitch})";

    private static ConvolutionProblem Problem(ConvTranspose3dShape shape, Func<double, double> map)
        => new(shape.InputVoxels * shape.InputPitch, shape.OutputVoxels * shape.OutputPitch, shape.WeightLength,
            shape.OutputChannels, map);
}
