using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Machine.TensorCore;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Convolution;

[TestFixture]
public class Conv3dTests
{
    // The worst of all cases and passes: 9.5e-7 (output, 112 channels; HostWinograd 7.5e-7) in float32, 8e-16
    // in float64.
    private const double FloatTolerance = 1e-5;
    private const double DoubleTolerance = 1e-13;

    private static readonly Conv3dShape[] Shapes =
    [
        Shape(1, 5, 6, 7, 3, 5, 3, Activation.Relu, 0, 0),
        Shape(2, 5, 6, 7, 1, 17, 3, Activation.None, 0, 0),
        Shape(1, 1, 1, 1, 5, 3, 3, Activation.None, 0, 0),
        Shape(2, 1, 6, 7, 16, 1, 3, Activation.Relu, 3, 2),
        Shape(1, 5, 1, 7, 17, 16, 3, Activation.Relu, 0, 5),
        Shape(1, 5, 6, 1, 1, 32, 3, Activation.None, 1, 0),
        Shape(1, 3, 4, 5, 32, 48, 3, Activation.Relu, 16, 16),
        Shape(1, 3, 4, 13, 48, 32, 3, Activation.None, 0, 0),
        Shape(1, 1, 2, 3, 64, 64, 3, Activation.None, 0, 0),
        Shape(2, 5, 6, 7, 17, 3, 1, Activation.Relu, 4, 1),
        Shape(1, 3, 4, 5, 32, 1, 1, Activation.None, 0, 0),
    ];

    // Extents of whole and broken tiles, channels with and without a broken vector.
    private static readonly Conv3dShape[] WinogradShapes =
    [
        .. Shapes.Where(s => s.KernelSize == 3),
        Shape(2, 2, 3, 2, 7, 20, 3, Activation.Relu, 0, 3),
        Shape(1, 7, 5, 8, 33, 16, 3, Activation.Relu, 2, 0),
        Shape(1, 4, 4, 4, 16, 64, 3, Activation.Relu, 0, 0),
    ];

    public static IEnumerable<TestCaseData> Cases()
    {
        foreach (DeviceKind device in TestDevices.All)
        {
            foreach (Conv3dShape shape in Shapes)
                yield return new TestCaseData(device, shape).SetArgDisplayNames(device.ToString(), Describe(shape));
        }
    }

    [TestCaseSource(nameof(Cases))]
    public void AllPasses_Float32_MatchReference(DeviceKind device, Conv3dShape shape)
        => EveryVariantMatchesReference(Conv3dVariants<float, float>.Table, device, shape, FloatTolerance);

    [TestCaseSource(nameof(Cases))]
    public void AllPasses_Float64_MatchReference(DeviceKind device, Conv3dShape shape)
        => EveryVariantMatchesReference(Conv3dVariants<double, double>.Table, device, shape, DoubleTolerance);

    [Test]
    public void HostSimd_EveryVectorWidth_MatchesReference(
        [Values(128, 256, 512)] int bits, [ValueSource(nameof(Shapes))] Conv3dShape shape)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using IConv3dByPlanes<float> conv = Conv3dHostSimd.Create(context.Threads, bits);
        MatchesReference(context, conv, shape, FloatTolerance);
    }

    [Test]
    public void HostWinograd_EveryVectorWidth_MatchesReference(
        [Values(128, 256, 512)] int bits, [ValueSource(nameof(WinogradShapes))] Conv3dShape shape)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using IConv3dByPlanes<float> conv = Conv3dHostWinograd.Create(context.Threads, bits);
        MatchesReference(context, conv, shape, FloatTolerance, "HostWinograd");
    }

    // Several chunks of tiles and parts of a weight gradient, runs of tiles longer than fit at once, and the
    // most channels of the published network.
    [Test]
    public void HostWinograd_SeveralChunks_MatchesReference()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using IConv3dByPlanes<float> conv = Conv3dHostWinograd.Create(context.Threads);
        MatchesReference(context, conv, Shape(1, 9, 13, 19, 112, 16, 3, Activation.Relu, 0, 0), FloatTolerance, "HostWinograd");
        MatchesReference(context, conv, Shape(2, 3, 5, 131, 20, 9, 3, Activation.Relu, 3, 0), FloatTolerance, "HostWinograd");
    }

    // Blocks smaller than the volume in every direction: borders between blocks, several parts of a weight
    // gradient.
    [Test]
    public void HostSimd_SeveralBlocks_MatchesReference()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using IConv3dByPlanes<float> conv = Conv3dHostSimd.Create(context.Threads);
        MatchesReference(context, conv, Shape(1, 19, 13, 41, 112, 9, 3, Activation.Relu, 0, 0), FloatTolerance);
    }

    // Every tile, forward and transposed, on the simulated GPU: channels that fill none of them, extents that
    // are no multiples of a tile's, slices at aligned and unaligned pitches. Kept tiny, because barriers are
    // slow there.
    private static readonly Conv3dShape[] EmulatedShapes =
    [
        Shape(2, 5, 3, 9, 3, 5, 3, Activation.Relu, 0, 3),
        Shape(1, 2, 5, 3, 9, 20, 3, Activation.None, 3, 4),
        Shape(1, 5, 2, 10, 4, 48, 3, Activation.Relu, 4, 8),
        Shape(1, 3, 5, 2, 52, 1, 3, Activation.Relu, 0, 0),
        Shape(1, 1, 1, 1, 44, 60, 3, Activation.None, 0, 4),
    ];

    [Test]
    public void ImplicitGemm_OnTheSimulatedGpu_MatchesReference([ValueSource(nameof(EmulatedShapes))] Conv3dShape shape)
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        using Conv3dImplicitGemm<float> single = new(context.Accelerator);
        MatchesReference(context, single, shape, FloatTolerance, "ImplicitGemm");
        using Conv3dImplicitGemm<double> twice = new(context.Accelerator);
        MatchesReference(context, twice, shape, DoubleTolerance, "ImplicitGemm");
    }

    [Test]
    public void ImplicitGemm_Repeated_GivesSameBits()
    {
        Conv3dShape shape = Shape(1, 5, 5, 9, 5, 6, 3, Activation.Relu, 0, 0);
        ConvolutionProblem problem = Problem(shape, value => value);
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        using Conv3dImplicitGemm<float> conv = new(context.Accelerator);
        ConvolutionResult<float> first = Run(context, conv, problem, shape);
        ConvolutionResult<float> second = Run(context, conv, problem, shape);
        Assert.That(second.GradWeight, Is.EqualTo(first.GradWeight));
        Assert.That(second.GradBias, Is.EqualTo(first.GradBias));
        Assert.That(second.GradInput, Is.EqualTo(first.GradInput));
    }

    [Test]
    public void ImplicitGemm_OnTheCpuDevice_IsRefusedWithTheReason()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu, variant: "ImplicitGemm");
        Assert.That(
            () => context.Launcher(Conv3dVariants<float, float>.Table, EmulatedShapes[0]),
            Throws.TypeOf<InputException>().With.Message.Contains("its groups have up to 96 threads, this device allows 16"));
    }

    [Test]
    public void AllPasses_IntegerValues_AreExact([ValueSource(typeof(TestDevices), nameof(TestDevices.All))] DeviceKind device)
    {
        Conv3dShape shape = Shape(1, 4, 5, 6, 7, 9, 3, Activation.Relu, 2, 1);
        using GpuContext context = TestDevices.Open(device);
        // Winograd's algorithm multiplies by fractions.
        foreach (Variant<IConv3d<float, float>, Conv3dShape> variant
            in Conv3dVariants<float, float>.Table.Supported(context, shape).Where(v => v.Name != "HostWinograd"))
        {
            using IConv3d<float, float> conv = variant.Create(context);
            ConvolutionProblem problem = Problem(shape, value => Math.Round(4 * value));
            ConvolutionResult<float> result = Run(context, conv, problem, shape);
            result.IsExactly(Expected(problem, shape), variant.Name);
        }
    }

    // The convolution without bias is linear in its input and in its weights: both backward passes are its
    // transpose.
    [Test]
    public void BackwardPasses_AreAdjointOfForward([ValueSource(typeof(TestDevices), nameof(TestDevices.All))] DeviceKind device)
    {
        Conv3dShape shape = Shape(2, 4, 5, 6, 7, 9, 3, Activation.None, 0, 0);
        using GpuContext context = TestDevices.Open(device);
        foreach (Variant<IConv3d<float, float>, Conv3dShape> variant
            in Conv3dVariants<float, float>.Table.Supported(context, shape))
        {
            using IConv3d<float, float> conv = variant.Create(context);
            ConvolutionProblem problem = Problem(shape, value => value);
            Array.Clear(problem.Bias);
            Array.Clear(problem.GradWeight);
            Array.Clear(problem.GradBias);
            ConvolutionResult<float> result = Run(context, conv, problem, shape);
            double forward = Dot(result.Output, problem.GradOutput);
            // Relative to the sum of the products' magnitudes, because they cancel; the worst was 2.5e-8.
            double tolerance = 3e-7 * result.Output.Zip(problem.GradOutput, (a, b) => Math.Abs(a * b)).Sum();
            Assert.That(Dot(result.GradInput, problem.Input), Is.EqualTo(forward).Within(tolerance), variant.Name);
            Assert.That(Dot(result.GradWeight, problem.Weight), Is.EqualTo(forward).Within(tolerance), variant.Name);
        }
    }

    [Test]
    public void HostVariants_AnyNumberOfThreads_GiveSameBits([Values] bool winograd, [Values(1, 16, 48)] int inputChannels)
    {
        Conv3dShape shape = Shape(1, 21, 9, 20, inputChannels, 24, 3, Activation.Relu, 0, 0);
        ConvolutionProblem problem = Problem(shape, value => value);
        List<ConvolutionResult<float>> results = [];
        foreach (int threads in (int[])[1, 2, 3])
        {
            using GpuContext context = TestDevices.Open(DeviceKind.Cpu, threads);
            using IConv3d<float, float> conv =
                winograd ? Conv3dHostWinograd.Create(context.Threads) : Conv3dHostSimd.Create(context.Threads);
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

    // Some planes alone, in rings that they wrap around, the input's channels in one buffer or two; what they
    // do not depend on is NaN.
    [Test]
    public void HostVariants_SomePlanes_HaveTheBitsOfTheWhole(
        [Values] bool winograd,
        [Values(128, 256, 512)] int bits,
        [Values("1", "33", "3+4", "5+28", "20+13", "16+32")] string channels)
    {
        const int outputRing = 5;
        int[] parts = [.. channels.Split('+').Select(int.Parse)];
        Conv3dShape shape = Shape(1, 11, 6, 9, parts.Sum(), 17, 3, Activation.Relu, 2, 3);
        int plane = shape.Height * shape.Width;
        int outputPlane = shape.Height * shape.Width * shape.OutputPitch;
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using IConv3dByPlanes<float> conv = winograd
            ? Conv3dHostWinograd.Create(context.Threads, bits)
            : Conv3dHostSimd.Create(context.Threads, bits);
        ConvolutionProblem problem = Problem(shape, value => value);
        float[] whole = Run(context, conv, problem, shape).Output;
        using MemoryBuffer1D<float, Stride1D.Dense> weight = context.ToDevice<float>(problem.Weight);
        using MemoryBuffer1D<float, Stride1D.Dense> bias = context.ToDevice<float>(problem.Bias);
        foreach ((int begin, int end) in ((int, int)[])[(0, 4), (4, 6), (6, 10), (10, 11)])
        {
            MemoryBuffer1D<float, Stride1D.Dense>[] buffers = new MemoryBuffer1D<float, Stride1D.Dense>[parts.Length];
            PlaneInput<float>[] inputs = new PlaneInput<float>[parts.Length];
            for (int part = 0, first = 0; part < parts.Length; first += parts[part++])
            {
                (int ringPlanes, int pitch) = (7 + part, parts[part] + 2 + part);
                double[] ring = new double[ringPlanes * plane * pitch];
                Array.Fill(ring, double.NaN);
                for (int z = Math.Max(0, begin - 1); z <= Math.Min(end, shape.Depth - 1); z++)
                {
                    for (int i = 0; i < plane; i++)
                        Array.Copy(
                            problem.Input,
                            (z * plane + i) * shape.InputPitch + first,
                            ring,
                            (z % ringPlanes * plane + i) * pitch,
                            parts[part]);
                }

                buffers[part] = context.ToDevice<float>(ring);
                inputs[part] = new PlaneInput<float>(buffers[part].View, parts[part], pitch, ringPlanes);
            }

            double[] untouched = new double[outputRing * outputPlane];
            Array.Fill(untouched, ConvolutionProblem.Untouched);
            using MemoryBuffer1D<float, Stride1D.Dense> output = context.ToDevice<float>(untouched);
            conv.ForwardPlanes(
                context.Stream, inputs, weight.View, bias.View, output.View, shape, new PlaneRange(begin, end, outputRing));
            context.Synchronize();
            foreach (MemoryBuffer1D<float, Stride1D.Dense> buffer in buffers)
                buffer.Dispose();

            float[] expected = [.. untouched.Select(v => (float)v)];
            for (int z = begin; z < end; z++)
                Array.Copy(whole, z * outputPlane, expected, z % outputRing * outputPlane, outputPlane);
            Assert.That(output.GetAsArray1D(), Is.EqualTo(expected), $"planes {begin} to {end}");
        }
    }

    [Test]
    public void HostWinograd_PlanesFromAnOddOne_AreRefused()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using IConv3dByPlanes<float> conv = Conv3dHostWinograd.Create(context.Threads);
        Conv3dShape shape = Shape(1, 4, 4, 4, 16, 16, 3, Activation.Relu, 0, 0);
        using MemoryBuffer1D<float, Stride1D.Dense> memory = context.ToDevice<float>(new double[shape.WeightLength]);
        Assert.That(
            () => conv.ForwardPlanes(
                context.Stream,
                [new(memory.View, 16, 16, 4)],
                memory.View,
                memory.View,
                memory.View,
                shape,
                new PlaneRange(1, 3, 4)),
            Throws.ArgumentException.With.Message.Contains("begin at 1; expected an even number"));
    }

    [TestCase(32, 32, "", "HostWinograd")]
    [TestCase(1, 32, "", "HostSimd")]
    [TestCase(32, 1, "", "HostSimd")]
    [TestCase(1, 32, "HostWinograd", "HostWinograd")]
    [TestCase(32, 32, "conv3d=HostSimd", "HostSimd")]
    public void HostVariant_IsChosenByShapeOrForced(int inputChannels, int outputChannels, string forced, string expected)
    {
        using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Variant = forced });
        Conv3dShape shape = Shape(1, 16, 16, 16, inputChannels, outputChannels, 3, Activation.Relu, 0, 0);
        Assert.That(context.Choose(Conv3dVariants<float, float>.Table, shape, null).Name, Is.EqualTo(expected));
    }

    // Small, because the simulated GPU is slow. Between them: tiles cut by the volume's edge in every
    // direction, several tiles and batches; channels that are no multiple of a chunk or of 16, several
    // chunks, the widths of columns up to 48 and two blocks of them; slices, which cannot all be copied by 16
    // bytes.
    public static IEnumerable<TestCaseData> TensorCoreCases()
    {
        (TensorCorePrecision Precision, Conv3dShape Shape)[] cases =
        [
            (TensorCorePrecision.Tf32, Shape(1, 2, 1, 9, 8, 16, 3, Activation.Relu, 0, 0)),
            (TensorCorePrecision.Tf32, Shape(2, 1, 9, 1, 5, 20, 3, Activation.Relu, 3, 4)),
            (TensorCorePrecision.Tf32, Shape(1, 5, 2, 1, 9, 7, 3, Activation.Relu, 2, 1)),
            (TensorCorePrecision.Tf32, Shape(1, 1, 1, 2, 4, 36, 3, Activation.None, 4, 4)),
            (TensorCorePrecision.Tf32, Shape(1, 1, 2, 1, 50, 4, 3, Activation.Relu, 2, 0)),
            (TensorCorePrecision.Tf32, Shape(1, 1, 1, 1, 4, 72, 3, Activation.Relu, 0, 0)),
            (TensorCorePrecision.Tf32, Shape(1, 1, 2, 2, 1, 8, 3, Activation.Relu, 0, 0)),
            (TensorCorePrecision.Bf16, Shape(1, 5, 2, 1, 9, 7, 3, Activation.Relu, 2, 1)),
            (TensorCorePrecision.Bf16, Shape(1, 1, 3, 1, 20, 24, 3, Activation.Relu, 4, 0)),
        ];
        foreach (string device in TestDevices.WithTensorCores)
        {
            foreach ((TensorCorePrecision precision, Conv3dShape shape) in cases)
                yield return new TestCaseData(device, precision, shape).SetArgDisplayNames(
                    device, precision.ToString(), Describe(shape));
        }
    }

    // Small integers are exact in both formats, so whatever is in the wrong place shows.
    [TestCaseSource(nameof(TensorCoreCases))]
    public void TensorCore_IntegerValues_AreExact(string device, TensorCorePrecision precision, Conv3dShape shape)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConv3d<float, float> conv = Conv3dTensorCore.Create(context.Accelerator, precision);
        IsExact(context, conv, shape);
    }

    // On one multiprocessor 64 channels take one block of 64 columns, in the weight gradient too; on more,
    // two of 32. TF32 with a mask is among the cases above.
    [Test]
    public void TensorCore_WidestColumns_AreExact(
        [ValueSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))] string device)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConv3d<float, float> tf32 =
            Conv3dTensorCore.Create(context.Accelerator, TensorCorePrecision.Tf32, groupsWanted: 1);
        IsExact(context, tf32, Shape(1, 1, 1, 2, 4, 64, 3, Activation.Relu, 0, 0));
        (IReadOnlyList<int> activations, IReadOnlyList<int> gradients) = Conv3dTensorCore.WidthsUsed(tf32);
        Assert.That((activations, gradients), Is.EqualTo(((int[])[16, 64], (int[])[64])), "16 for the input's gradient");

        IConv3d<Bf16, float> stored = Conv3dTensorCore.CreateBf16(context.Accelerator, groupsWanted: 1);
        using IConv3d<float, float> bf16 = stored.OnFloats(context);
        IsExact(context, bf16, Shape(1, 1, 1, 2, 8, 64, 3, Activation.Relu, 0, 0), Bf16Buffers.Rounded);
        (activations, gradients) = Conv3dTensorCore.WidthsUsed(stored);
        Assert.That((activations, gradients), Is.EqualTo(((int[])[16, 64], (int[])[64])));
        IsExact(context, bf16, Shape(1, 1, 1, 2, 64, 8, 3, Activation.Relu, 0, 0), Bf16Buffers.Rounded);
    }

    // Each width of a tile, forwards, backwards to the input and for the weights; where CUDA is, for the
    // simulated GPU would take minutes.
    [Test]
    public void TensorCore_EveryWidth_IsExact([Values("CUDA")] string device, [Values(16, 32, 48, 64)] int channels)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        foreach (TensorCorePrecision precision in Enum.GetValues<TensorCorePrecision>())
        {
            using IConv3d<float, float> conv = Conv3dTensorCore.Create(context.Accelerator, precision, groupsWanted: 1);
            IsExact(context, conv, Shape(1, 1, 1, 2, 8, channels, 3, Activation.Relu, 0, 0));
            IsExact(context, conv, Shape(1, 1, 1, 2, channels, 8, 3, Activation.Relu, 0, 0));
        }

        using IConv3d<float, float> stored = Conv3dTensorCore.CreateBf16(context.Accelerator, groupsWanted: 1).OnFloats(context);
        IsExact(context, stored, Shape(1, 1, 1, 2, 8, channels, 3, Activation.Relu, 0, 0), Bf16Buffers.Rounded);
        IsExact(context, stored, Shape(1, 1, 1, 2, channels, 8, 3, Activation.Relu, 0, 0), Bf16Buffers.Rounded);
    }

    // The worst was 2.7e-4 with TF32 and 2.5e-3 with BF16, both of the output, on the simulated GPU.
    [Test]
    public void TensorCore_AnyValues_MatchReference(
        [ValueSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))] string device,
        [Values] TensorCorePrecision precision)
    {
        Conv3dShape shape = Shape(1, 1, 2, 5, 12, 16, 3, Activation.Relu, 0, 0);
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConv3d<float, float> conv = Conv3dTensorCore.Create(context.Accelerator, precision);
        MatchesReference(context, conv, shape, precision == TensorCorePrecision.Tf32 ? 2e-3 : 2e-2, precision.ToString());
    }

    // Asked to fill more groups than there are tiles, the kernels share a tile's channels and the voxels of a
    // weight gradient.
    [Test]
    public void TensorCore_ManyGroups_AddUpExactly(
        [ValueSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))] string device)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConv3d<float, float> conv =
            Conv3dTensorCore.Create(context.Accelerator, TensorCorePrecision.Tf32, groupsWanted: 16);
        IsExact(context, conv, Shape(1, 3, 1, 1, 17, 5, 3, Activation.Relu, 0, 1));
    }

    // Activations in BF16, whose voxels begin at multiples of 16 bytes. Between the cases: as above, and one
    // input channel.
    public static IEnumerable<TestCaseData> Bf16ActivationCases()
    {
        Conv3dShape[] cases =
        [
            Shape(1, 5, 2, 9, 1, 8, 3, Activation.Relu, 7, 0),
            Shape(2, 1, 9, 1, 20, 12, 3, Activation.Relu, 4, 12),
            Shape(1, 1, 2, 1, 8, 68, 3, Activation.None, 8, 4),
        ];
        foreach (string device in TestDevices.WithTensorCores)
        {
            foreach (Conv3dShape shape in cases)
                yield return new TestCaseData(device, shape).SetArgDisplayNames(device, Describe(shape));
        }
    }

    // The sums are exact in float32; what is stored is their nearest BF16.
    [TestCaseSource(nameof(Bf16ActivationCases))]
    public void Bf16Activations_IntegerValues_AreRoundedOnce(string device, Conv3dShape shape)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConv3d<float, float> conv = Conv3dTensorCore.CreateBf16(context.Accelerator).OnFloats(context);
        IsExact(context, conv, shape, Bf16Buffers.Rounded);
    }

    [Test]
    public void Bf16Activations_ManyGroups_AreRoundedOnce(
        [ValueSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))] string device)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConv3d<float, float> conv = Conv3dTensorCore.CreateBf16(context.Accelerator, groupsWanted: 16).OnFloats(context);
        IsExact(context, conv, Shape(1, 3, 1, 1, 17, 8, 3, Activation.Relu, 7, 8), Bf16Buffers.Rounded);
    }

    // The worst was 2.9e-3, of the output, on the simulated GPU.
    [Test]
    public void Bf16Activations_AnyValues_MatchReference(
        [ValueSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))] string device)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        using IConv3d<float, float> conv = Conv3dTensorCore.CreateBf16(context.Accelerator).OnFloats(context);
        MatchesReference(context, conv, Shape(1, 1, 2, 5, 12, 16, 3, Activation.Relu, 4, 0), 2e-2, "BF16 activations");
    }

    [Test]
    public void TensorCore_IsTakenOnlyWhereRoundingIsAllowed()
    {
        Conv3dShape shape = Shape(1, 2, 2, 2, 8, 8, 3, Activation.Relu, 0, 0);
        using GpuContext exact = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = Precision.Float32 });
        using GpuContext rounding = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = Precision.Tf32 });
        using GpuContext cpu = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Precision = Precision.Tf32 });
        Assert.That(
            Conv3dVariants<float, float>.Table.Supported(exact, shape).Select(v => v.Name), Has.None.EqualTo("TensorCore"));
        Assert.That(Conv3dVariants<float, float>.Table.Supported(rounding, shape).First().Name, Is.EqualTo("TensorCore"));
        Assert.That(Conv3dVariants<float, float>.Table.Variants[0].Suits(shape with { InputChannels = 1 }), Is.False);
        Assert.That(
            Conv3dVariants<double, double>.Table.Supported(rounding, shape).Select(v => v.Name), Has.None.EqualTo("TensorCore"));
        Assert.That(
            (cpu.Precision, cpu.PrecisionRefusal), Is.EqualTo((Precision.Float32, "it needs an NVIDIA GPU through CUDA")));
        using GpuContext everywhere = GpuContext.Attach(rounding.Accelerator, options: new GpuContextOptions
        {
            Variant = "conv3d=TensorCore",
            Precision = Precision.Tf32,
        });
        Assert.That(everywhere.Launcher(Conv3dVariants<float, float>.Table, shape with { InputChannels = 1 }),
            Is.SameAs(everywhere.Launcher(Conv3dVariants<float, float>.Table, shape)));
        using GpuContext forced = GpuContext.Attach(exact.Accelerator, options: new GpuContextOptions
        {
            Variant = "TensorCore",
            Precision = Precision.Float32,
        });
        Assert.That(() => forced.Launcher(Conv3dVariants<float, float>.Table, shape),
            Throws.TypeOf<InputException>().With.Message.Contains("MEANSHIFTGPU_PRECISION"));
    }

    [Test]
    public void ForcedVariant_ThatTheOperationDoesNotHave_IsRefused()
    {
        using GpuContext forced = GpuContext.Create(new GpuContextOptions
        {
            Device = DeviceKind.Cpu,
            Variant = "dice=TensorCore",
        });
        Assert.That(
            () => forced.Launcher(DiceVariants<float>.Table, new FlatShape(8)), Throws.TypeOf<InputException>().With.Message
                .Contains("asks for the variant TensorCore, which it does not have. Expected"));
        using GpuContext everywhere = GpuContext.Create(new GpuContextOptions
        {
            Device = DeviceKind.Cpu,
            Variant = "ImplicitGemm",
        });
        Assert.That(() => everywhere.Launcher(DiceVariants<float>.Table, new FlatShape(8)), Throws.Nothing);
    }

    private static void IsExact(
        GpuContext context, IConv3d<float, float> conv, Conv3dShape shape, Func<double, double>? stored = null)
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

    private static void EveryVariantMatchesReference<T>(
        VariantTable<IConv3d<T, T>, Conv3dShape> table, DeviceKind device, Conv3dShape shape, double tolerance)
        where T : unmanaged, INumber<T>
    {
        using GpuContext context = TestDevices.Open(device);
        foreach (Variant<IConv3d<T, T>, Conv3dShape> variant in table.Supported(context, shape))
        {
            using IConv3d<T, T> conv = variant.Create(context);
            MatchesReference(context, conv, shape, tolerance, variant.Name);
        }
    }

    private static void MatchesReference<T>(
        GpuContext context, IConv3d<T, T> conv, Conv3dShape shape, double tolerance, string variant = "HostSimd")
        where T : unmanaged, INumber<T>
    {
        ConvolutionProblem problem = Problem(shape, value => value);
        ConvolutionResult<T> result = Run(context, conv, problem, shape);
        result.IsNear(Expected(problem, shape), tolerance, variant);
        ConvolutionProblem.AssertNeighboursUntouched(result.Output, shape.OutputChannels, shape.OutputPitch);
        ConvolutionProblem.AssertNeighboursUntouched(result.GradInput, shape.InputChannels, shape.InputPitch);
    }

    private static ConvolutionResult<T> Run<T>(
        GpuContext context, IConv3d<T, T> conv, ConvolutionProblem problem, Conv3dShape shape)
        where T : unmanaged, INumber<T>
        => problem.Run<T>(context, v =>
        {
            conv.Forward(context.Stream, v.Input, v.Weight, v.Bias, v.Output, shape);
            conv.BackwardInput(context.Stream, v.GradOutput, v.Output, v.Weight, v.GradInput, shape);
            conv.BackwardWeight(context.Stream, v.Input, v.GradOutput, v.Output, v.GradWeight, v.GradBias, shape);
        });

    private static ConvolutionResult<double> Expected(ConvolutionProblem problem, Conv3dShape shape)
        => problem.Expected(result =>
        {
            Conv3dReference.Forward(problem.Input, problem.Weight, problem.Bias, result.Output, shape);
            Conv3dReference.BackwardInput(problem.GradOutput, result.Output, problem.Weight, result.GradInput, shape);
            Conv3dReference.BackwardWeight(
                problem.Input, problem.GradOutput, result.Output, result.GradWeight, result.GradBias, shape);
        });

    private static double Dot(float[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();

    private static Conv3dShape Shape(
        int n,
        int d,
        int h,
        int w,
        int inputChannels,
        int outputChannels,
        int size,
        Activation activation,
        int moreInput,
        int moreOutput)
        => new(n, d, h, w, inputChannels, outputChannels, size, activation, inputChannels + moreInput,
            outputChannels + moreOutput);

    private static string Describe(Conv3dShape s)
        => $"{s.Batch}x{s.Depth}x{s.Height}x{s.Width}, {s.InputChannels}({s.InputPitch}) to "
            + $"{s.OutputChannels}({s.OutputPitch}), kernel {s.KernelSize}, {s.Activation}";

    private static ConvolutionProblem Problem(Conv3dShape shape, Func<double, double> map)
        => new(shape.Voxels * shape.InputPitch, shape.Voxels * shape.OutputPitch, shape.WeightLength, shape.OutputChannels, map);
}
