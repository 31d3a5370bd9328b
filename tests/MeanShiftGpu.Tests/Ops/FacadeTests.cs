using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Ops;

/// <summary>The operations as a program without a tape calls them.</summary>
[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.All))]
public sealed class FacadeTests(DeviceKind device)
{
    // Float32 sums of some hundred terms; the variants' own tests hold them to 1e-5.
    private const double Tolerance = 1e-5;

    private GpuContext context = null!;

    [OneTimeSetUp]
    public void OpenDevice() => context = TestDevices.Open(device);

    [OneTimeTearDown]
    public void CloseDevice() => context?.Dispose();

    // Within a tile and its surroundings offsets on tensor cores have 32 bits.
    [TestCase(2500, true)]
    [TestCase(2600, false)]
    public void Conv3d_OfLargePlanes_IsOnTensorCoresWhereOffsetsSuffice(int edge, bool suffices)
    {
        using GpuContext gpu = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = Precision.Tf32 });
        using Conv3d<float> convolution = new(gpu);
        IReadOnlyList<string> variants = convolution.VariantsFor(Conv3dShape.Dense(1, (1, edge, edge), 64, 64));
        Assert.That(variants.Contains("TensorCore"), Is.EqualTo(suffices));
    }

    [Test]
    public void Conv3d_EveryNamedVariantWithSpans_MatchesTheReference()
    {
        Conv3dShape shape = Conv3dShape.Dense(2, (3, 4, 5), 16, 17, 3, Activation.Relu);
        (double[] x, double[] w, double[] b, double[] gy) =
            (Numbers(shape.Voxels * 16, 1), Numbers(shape.WeightLength, 2), Numbers(17, 3), Numbers(shape.Voxels * 17, 4));
        (double[] y, double[] gx, double[] gw, double[] gb) =
            (new double[gy.Length], new double[x.Length], Numbers(w.Length, 5), Numbers(b.Length, 6));
        Conv3dReference.Forward(x, w, b, y, shape);
        Conv3dReference.BackwardInput(gy, y, w, gx, shape);
        float[] startWeight = Single(gw);
        float[] startBias = Single(gb);
        Conv3dReference.BackwardWeight(x, gy, y, gw, gb, shape);

        using Conv3d<float> automatic = new(context);
        IReadOnlyList<string> variants = automatic.VariantsFor(shape);
        Assert.That(variants, Is.Not.Empty.And.Contains("Direct").And.Contains(automatic.VariantFor(shape)));
        foreach (string variant in variants)
        {
            using Conv3d<float> convolution = new(context, variant);
            float[] output = new float[y.Length];
            float[] gradInput = new float[x.Length];
            (float[] gradWeight, float[] gradBias) = ([.. startWeight], [.. startBias]);
            convolution.Forward(Single(x), Single(w), Single(b), output, shape);
            convolution.Backward(Single(x), Single(w), output, Single(gy), gradInput, gradWeight, gradBias, shape);
            using (Assert.EnterMultipleScope())
            {
                Assert.That(convolution.VariantFor(shape), Is.EqualTo(variant));
                Near(output, y, variant);
                Near(gradInput, gx, variant);
                Near(gradWeight, gw, variant);
                Near(gradBias, gb, variant);
            }
        }
    }

    // The bits are those of the context's own memory; what the passes need beside the operands lies in the
    // caller's.
    [Test]
    public void Convolutions_WithAWorkspace_ComputeTheSameInIt()
    {
        Conv3dShape shape = Conv3dShape.Dense(2, (9, 10, 11), 16, 17, 3, Activation.Relu);
        ConvTranspose3dShape twice = ConvTranspose3dShape.Dense(2, (5, 6, 7), 16, 17);
        using GpuContext tensorCores = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = Precision.Tf32 });
        foreach (GpuContext gpu in (GpuContext[])[context, tensorCores])
        {
            using Conv3d<float> convolution = new(gpu);
            using ConvTranspose3d<float> transposed = new(gpu);
            using MemoryBuffer1D<float, Stride1D.Dense> x = gpu.ToDevice<float>(Numbers(shape.Voxels * 16, 1));
            using MemoryBuffer1D<float, Stride1D.Dense> w = gpu.ToDevice<float>(Numbers(shape.WeightLength, 2));
            using MemoryBuffer1D<float, Stride1D.Dense> b = gpu.ToDevice<float>(Numbers(17, 3));
            using MemoryBuffer1D<float, Stride1D.Dense> gy = gpu.ToDevice<float>(Numbers(twice.OutputVoxels * 17, 4));
            float[][] Of(Func<string, long, ArrayView<float>> workspace)
            {
                using MemoryBuffer1D<float, Stride1D.Dense> y = gpu.ToDevice<float>(Numbers(gy.Length, 5));
                using MemoryBuffer1D<float, Stride1D.Dense> gx = gpu.ToDevice<float>(Numbers(x.Length, 5));
                using MemoryBuffer1D<float, Stride1D.Dense> gw = gpu.ToDevice<float>(Numbers(w.Length, 5));
                using MemoryBuffer1D<float, Stride1D.Dense> gb = gpu.ToDevice<float>(Numbers(b.Length, 5));
                (ArrayView<float> vx, ArrayView<float> vw, ArrayView<float> vb) = (x.View, w.View, b.View);
                (ArrayView<float> vy, ArrayView<float> vgy) = (y.View, gy.View);
                (ArrayView<float> vgx, ArrayView<float> vgw, ArrayView<float> vgb) = (gx.View, gw.View, gb.View);
                List<float[]> results = [];
                void Keep(params ArrayView<float>[] views)
                {
                    gpu.Synchronize();
                    results.AddRange(views.Select(v => v.GetAsArray()));
                }

                long length = convolution.WorkspaceLength(shape);
                convolution.Forward(vx, vw, vb, vy, shape, workspace("Conv3d.Forward", length));
                Keep(vy);
                convolution.BackwardInput(vgy, vy, vw, vgx, shape, workspace("Conv3d.BackwardInput", length));
                convolution.BackwardWeight(vx, vgy, vy, vgw, vgb, shape, workspace("Conv3d.BackwardWeight", length));
                Keep(vgx, vgw, vgb);
                length = transposed.WorkspaceLength(twice);
                transposed.Forward(vx, vw, vb, vy, twice, workspace("ConvTranspose3d.Forward", length));
                Keep(vy);
                transposed.BackwardInput(vgy, vw, vgx, twice, workspace("ConvTranspose3d.BackwardInput", length));
                transposed.BackwardWeight(vx, vgy, vgw, vgb, twice, workspace("ConvTranspose3d.BackwardWeight", length));
                Keep(vgx, vgw, vgb);
                return [.. results];
            }

            using MemoryBuffer1D<float, Stride1D.Dense> memory = gpu.Accelerator.Allocate1D<float>(
                Math.Max(8, Math.Max(convolution.WorkspaceLength(shape), transposed.WorkspaceLength(twice))));
            memory.View.CopyFromCPU([.. Enumerable.Repeat(float.NaN, (int)memory.Length)]);
            float[][] own = Of((_, _) => default);
            Assert.That(Of((_, length) => memory.View.AsContiguous().SubView(0, length)), Is.EqualTo(own));
            bool isUsed = memory.GetAsArray1D().Any(v => !float.IsNaN(v));
            Assert.That(isUsed, Is.EqualTo(convolution.WorkspaceLength(shape) > 0));
            Assert.That(gpu == tensorCores || !gpu.ComputesInHostMemory ? isUsed : !isUsed);
            if (!isUsed)
                continue;
            Assert.That(
                () => Of((_, length) => memory.View.AsContiguous().SubView(0, length - 1)),
                Throws.ArgumentException.With.Message.Contains("Conv3d.Forward: workspace holds"));
            using MemoryBuffer1D<float, Stride1D.Dense> longer = gpu.Accelerator.Allocate1D<float>(memory.Length + 1);
            Assert.That(
                () => Of((_, length) => longer.View.AsContiguous().SubView(1, length)),
                Throws.ArgumentException.With.Message.Contains("Conv3d.Forward: workspace begins at another element"));
        }
    }

    // Neighbouring voxels would read what was overwritten. Slices of the channels of one tensor lie between
    // each other and share nothing.
    [Test]
    public void Views_ThatAreWrittenWhileTheyAreRead_AreRefused()
    {
        using MemoryBuffer1D<float, Stride1D.Dense> memory = context.Accelerator.Allocate1D<float>(4096);
        memory.MemSetToZero();
        ArrayView<float> all = memory.View.AsContiguous();
        ArrayView<float> w = all.SubView(3000, 600);
        ArrayView<float> b = all.SubView(3600, 8);
        // Apart, for the largest of the shapes.
        (ArrayView<float> x, ArrayView<float> y, ArrayView<float> z) = (all, all.SubView(600), all.SubView(1200));
        Conv3dShape shape = Conv3dShape.Dense(1, (3, 4, 5), 4, 4, 3, Activation.Relu);
        Conv3dShape slices = new(1, 3, 4, 5, 4, 4, 3, Activation.Relu, 8, 8);
        using Conv3d<float> convolution = new(context);
        using ConvTranspose3d<float> transposed = new(context);
        using MaxPool3d<float> pooling = new(context);
        using SigmoidHead<float> head = new(context);
        ConvTranspose3dShape twice = ConvTranspose3dShape.Dense(1, (2, 2, 2), 4, 4);
        MaxPool3dShape half = MaxPool3dShape.Dense(1, (4, 4, 4), 4);
        SigmoidHeadShape sigmoid = SigmoidHeadShape.Dense(1, (4, 4, 4), 4, 1);
        using MemoryBuffer1D<float, Stride1D.Dense> own = context.Accelerator.Allocate1D<float>(head.WorkspaceLength(sigmoid));
        ArrayView<float> rest = own.View.AsContiguous();
        (string Written, Action Call)[] calls =
        [
            ("output", () => convolution.Forward(all, w, b, all, shape)),
            ("output", () => convolution.Forward(all, w, b, all.SubView(239, 240), shape)),
            ("output", () => convolution.Forward(all.SubView(239, 240), w, b, all, shape)),
            ("output", () => convolution.Forward(all, w, b, all.SubView(3, 480), slices)),
            ("output", () => convolution.Forward(all, w, b, all.SubView(5, 480), slices)),
            ("gradInput", () => convolution.BackwardInput(all, all.SubView(1000, 240), w, all, shape)),
            ("gradInput", () => convolution.BackwardInput(all.SubView(1000, 240), all, w, all, shape)),
            ("output", () => transposed.Forward(all, w, b, all.SubView(31, 256), twice)),
            ("gradInput", () => transposed.BackwardInput(all, w, all.SubView(255, 32), twice)),
            ("output", () => pooling.Forward(all, all, half)),
            ("gradInput", () => pooling.Backward(all.SubView(1000, 256), all, all, half)),
            ("scores", () => head.Forward(all, w, b, all, sigmoid)),
            ("gradInput", () => head.BackwardInput(all.SubView(1000, 64), all, w, all, sigmoid)),
            // Over what is small.
            ("output", () => convolution.Forward(x, w, b, w, shape)),
            ("output", () => convolution.Forward(x, w, b, all.SubView(3590, 240), shape)),
            ("gradInput", () => convolution.BackwardInput(x, y, w, w, shape)),
            ("gradWeight", () => convolution.BackwardWeight(x, y, z, x, b, shape)),
            ("gradWeight", () => convolution.BackwardWeight(x, y, z, y, b, shape)),
            ("gradWeight", () => convolution.BackwardWeight(x, y, z, z, b, shape)),
            ("gradWeight", () => convolution.BackwardWeight(x, y, z, w, w.SubView(431), shape)),
            ("gradBias", () => convolution.BackwardWeight(x, y, z, w, x, shape)),
            ("gradBias", () => convolution.BackwardWeight(x, y, z, w, y, shape)),
            ("gradBias", () => convolution.BackwardWeight(x, y, z, w, z, shape)),
            ("output", () => transposed.Forward(x, w, b, w, twice)),
            ("output", () => transposed.Forward(x, w, b, all.SubView(3590, 256), twice)),
            ("gradInput", () => transposed.BackwardInput(x, w, w, twice)),
            ("gradWeight", () => transposed.BackwardWeight(x, y, x, b, twice)),
            ("gradWeight", () => transposed.BackwardWeight(x, y, y, b, twice)),
            ("gradWeight", () => transposed.BackwardWeight(x, y, w, w.SubView(127), twice)),
            ("gradBias", () => transposed.BackwardWeight(x, y, w, x, twice)),
            ("gradBias", () => transposed.BackwardWeight(x, y, w, y, twice)),
            ("scores", () => head.Forward(x, w, b, w, sigmoid)),
            ("scores", () => head.Forward(x, w, b, b, sigmoid)),
            ("gradInput", () => head.BackwardInput(y, z, w, w, sigmoid)),
            ("workspace", () => head.BackwardWeight(x, y, z, x, w, b, sigmoid)),
            ("workspace", () => head.BackwardWeight(x, y, z, y, w, b, sigmoid)),
            ("workspace", () => head.BackwardWeight(x, y, z, z, w, b, sigmoid)),
            ("workspace", () => head.BackwardWeight(x, y, z, w, w, b, sigmoid)),
            ("gradWeight", () => head.BackwardWeight(x, y, z, rest, x, b, sigmoid)),
            ("gradWeight", () => head.BackwardWeight(x, y, z, rest, y, b, sigmoid)),
            ("gradWeight", () => head.BackwardWeight(x, y, z, rest, z, b, sigmoid)),
            ("gradWeight", () => head.BackwardWeight(x, y, z, rest, w, w, sigmoid)),
            ("gradBias", () => head.BackwardWeight(x, y, z, rest, w, x, sigmoid)),
            ("gradBias", () => head.BackwardWeight(x, y, z, rest, w, y, sigmoid)),
            ("gradBias", () => head.BackwardWeight(x, y, z, rest, w, z, sigmoid)),
        ];
        using (Assert.EnterMultipleScope())
        {
            for (int i = 0; i < calls.Length; i++)
                Assert.That(
                    calls[i].Call, Throws.ArgumentException.With.Message.Contains($"{calls[i].Written} overlaps"), $"call {i}");
        }

        convolution.Forward(all, w, b, all.SubView(240, 240), shape);
        convolution.Forward(all, w, b, all.SubView(4, 480), slices);
        convolution.BackwardInput(x, y, w, z, shape);
        convolution.BackwardWeight(x, y, z, w, b, shape);
        transposed.Forward(x, w, b, y, twice);
        transposed.BackwardInput(x, w, y, twice);
        transposed.BackwardWeight(x, y, w, b, twice);
        head.Forward(x, w, b, y, sigmoid);
        head.BackwardInput(x, y, w, z, sigmoid);
        head.BackwardWeight(x, y, z, rest, w, b, sigmoid);
        convolution.Forward(all.SubView(4, 480), w, b, all, slices);
        context.Synchronize();
    }

    [Test]
    public void Workspace_OverAnOperand_IsRefused()
    {
        using GpuContext gpu = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = Precision.Tf32 });
        using Conv3d<float> convolution = new(gpu);
        Conv3dShape shape = Conv3dShape.Dense(1, (9, 10, 11), 16, 16);
        long length = convolution.WorkspaceLength(shape);
        long voxels = shape.Voxels * 16;
        Assert.That(length, Is.Positive);
        using MemoryBuffer1D<float, Stride1D.Dense> memory = gpu.Accelerator.Allocate1D<float>(
            2 * voxels + shape.WeightLength + 16 + length);
        ArrayView<float> all = memory.View.AsContiguous();
        (ArrayView<float> x, ArrayView<float> y) = (all.SubView(0, voxels), all.SubView(voxels, voxels));
        (ArrayView<float> w, ArrayView<float> b) = (all.SubView(2 * voxels, shape.WeightLength), all.SubView(
            2 * voxels + shape.WeightLength, 16));
        ArrayView<float> rest = all.SubView(2 * voxels + shape.WeightLength + 16, length);
        convolution.Forward(x, w, b, y, shape, rest);
        foreach (ArrayView<float> over in (ArrayView<float>[])[all, all.SubView(voxels), all.SubView(2 * voxels)])
            Assert.That(() => convolution.Forward(x, w, b, y, shape, over), Throws.ArgumentException.With.Message.Contains(
                "workspace overlaps"));
        gpu.Synchronize();
    }

    // The memory of the calls that follow is there already; what is no dense tensor has no spans.
    [Test]
    public void Prepare_TakesTheMemoryOfTheCallsThatFollow()
    {
        Conv3dShape shape = Conv3dShape.Dense(1, (3, 4, 5), 3, 2, 3, Activation.Relu);
        using Conv3d<float> convolution = new(context);
        using ConvTranspose3d<float> transposed = new(context);
        using MaxPool3d<float> pooling = new(context);
        using SigmoidHead<float> head = new(context);
        convolution.Prepare(shape);
        transposed.Prepare(ConvTranspose3dShape.Dense(1, (2, 3, 4), 3, 2));
        pooling.Prepare(MaxPool3dShape.Dense(1, (2, 4, 6), 3));
        head.Prepare(SigmoidHeadShape.Dense(1, (3, 4, 5), 3, 2));
        Assert.That((long[])[convolution.Bytes, transposed.Bytes, pooling.Bytes, head.Bytes], Is.All.Positive);
        long held = convolution.Bytes;
        float[] output = new float[shape.Voxels * 2];
        convolution.Forward(new float[shape.Voxels * 3], new float[shape.WeightLength], new float[2], output, shape);
        Assert.That(convolution.Bytes, Is.EqualTo(held));
        Assert.That(() => convolution.Prepare(shape with { InputPitch = 5 }), Throws.ArgumentException);
    }

    [Test]
    public void Conv3dShape_AKernelOfEdgeFive_IsRefused()
        => Assert.That(
            () => Conv3dShape.Dense(1, (2, 3, 4), 3, 2, kernelSize: 5),
            Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains("edge 1 or 3"));

    // An argument is not blamed on the environment.
    [Test]
    public void Variant_ThatIsUnknown_NamesTheArgument()
        => Assert.That(
            () => new Conv3d<float>(context, "Fast"),
            Throws.InstanceOf<InputException>().With.Message.Contains("variant: ")
                .And.Message.Not.Contains("MEANSHIFTGPU_VARIANT"));

    // A slice of the channels of a wider tensor, on the device.
    [Test]
    public void Conv3d_ViewsWithPitches_LeaveOtherChannelsAlone()
    {
        Conv3dShape shape = Conv3dShape.Dense(1, (2, 3, 4), 2, 3) with { InputPitch = 5, OutputPitch = 4 };
        double[] x = Numbers(shape.Voxels * 5, 1);
        double[] expected = new double[shape.Voxels * 4];
        Array.Fill(expected, 7);
        (double[] w, double[] b) = (Numbers(shape.WeightLength, 2), Numbers(3, 3));
        using MemoryBuffer1D<double, Stride1D.Dense> input = context.ToDevice<double>(x);
        using MemoryBuffer1D<double, Stride1D.Dense> output = context.ToDevice<double>(expected);
        using MemoryBuffer1D<double, Stride1D.Dense> weight = context.ToDevice<double>(w);
        using MemoryBuffer1D<double, Stride1D.Dense> bias = context.ToDevice<double>(b);
        Conv3dReference.Forward(x, w, b, expected, shape);
        using Conv3d<double> convolution = new(context);
        convolution.Forward(input.View, weight.View, bias.View, output.View, shape);
        context.Synchronize();
        Assert.That(output.GetAsArray1D(), Is.EqualTo(expected).Within(1e-12));
    }

    [Test]
    public void ConvTranspose3d_Spans_MatchTheReference()
    {
        ConvTranspose3dShape shape = ConvTranspose3dShape.Dense(2, (2, 3, 4), 5, 3);
        (double[] x, double[] w, double[] b, double[] gy) =
            (
                Numbers(shape.InputVoxels * 5, 1), Numbers(shape.WeightLength, 2), Numbers(3, 3),
                Numbers(shape.OutputVoxels * 3, 4));
        (double[] y, double[] gx, double[] gw, double[] gb) = (
            new double[gy.Length], new double[x.Length], new double[w.Length], new double[3]);
        ConvTranspose3dReference.Forward(x, w, b, y, shape);
        ConvTranspose3dReference.BackwardInput(gy, w, gx, shape);
        ConvTranspose3dReference.BackwardWeight(x, gy, gw, gb, shape);
        using ConvTranspose3d<float> automatic = new(context);
        foreach (string variant in automatic.VariantsFor(shape))
        {
            using ConvTranspose3d<float> convolution = new(context, variant);
            (float[] output, float[] gradInput, float[] gradWeight, float[] gradBias) =
                (new float[y.Length], new float[x.Length], new float[w.Length], new float[3]);
            convolution.Forward(Single(x), Single(w), Single(b), output, shape);
            convolution.Backward(Single(x), Single(w), Single(gy), gradInput, gradWeight, gradBias, shape);
            using (Assert.EnterMultipleScope())
            {
                Near(output, y, variant);
                Near(gradInput, gx, variant);
                Near(gradWeight, gw, variant);
                Near(gradBias, gb, variant);
            }
        }
    }

    [TestCase(0)]
    [TestCase(1)]
    public void MaxPool3d_Spans_MatchTheReference(int accumulate)
    {
        MaxPool3dShape shape = MaxPool3dShape.Dense(2, (2, 4, 6), 3) with { Accumulate = accumulate };
        (double[] x, double[] gy) = (Numbers(shape.InputVoxels * 3, 1), Numbers(shape.OutputVoxels * 3, 2));
        double[] y = MaxPool3dReference.Forward(x, 2, 2, 4, 6, 3);
        double[] gx = MaxPool3dReference.Backward(x, gy, 2, 2, 4, 6, 3);
        using MaxPool3d<float> automatic = new(context);
        foreach (string variant in automatic.VariantsFor(shape))
        {
            using MaxPool3d<float> pooling = new(context, variant);
            float[] output = new float[y.Length];
            float[] gradInput = new float[x.Length];
            Array.Fill(gradInput, 8);
            pooling.Forward(Single(x), output, shape);
            pooling.Backward(Single(x), Single(gy), gradInput, shape);
            Near(output, y, variant);
            Near(gradInput, [.. gx.Select(g => g + 8 * accumulate)], variant);
        }
    }

    [Test]
    public void SigmoidHead_SpansAndViews_MatchTheReference()
    {
        SigmoidHeadShape shape = SigmoidHeadShape.Dense(2, (3, 4, 5), 6, 2);
        (double[] x, double[] w, double[] b, double[] gp) =
            (Numbers(shape.Voxels * 6, 1), Numbers(shape.WeightLength, 2), Numbers(2, 3), Numbers(shape.Voxels * 2, 4));
        double[] p = SigmoidHeadReference.Forward(x, w, b, 6, 2);
        (double[] gx, double[] gw, double[] gb) = SigmoidHeadReference.Backward(x, w, p, gp, 6, 2);
        using SigmoidHead<float> automatic = new(context);
        foreach (string variant in automatic.VariantsFor(shape))
        {
            using SigmoidHead<float> head = new(context, variant);
            (float[] scores, float[] gradInput, float[] gradWeight, float[] gradBias) =
                (new float[p.Length], new float[x.Length], new float[w.Length], new float[2]);
            head.Forward(Single(x), Single(w), Single(b), scores, shape);
            head.Backward(Single(x), Single(w), scores, Single(gp), gradInput, gradWeight, gradBias, shape);
            using (Assert.EnterMultipleScope())
            {
                Near(scores, p, variant);
                Near(gradInput, gx, variant);
                Near(gradWeight, gw, variant);
                Near(gradBias, gb, variant);
            }
        }

        using MemoryBuffer1D<float, Stride1D.Dense> input = context.ToDevice<float>(x);
        using MemoryBuffer1D<float, Stride1D.Dense> deviceScores = context.ToDevice<float>(p);
        using MemoryBuffer1D<float, Stride1D.Dense> gradScores = context.ToDevice<float>(gp);
        using MemoryBuffer1D<float, Stride1D.Dense> workspace = context.Accelerator.Allocate1D<float>(
            Math.Max(1, automatic.WorkspaceLength(shape)));
        using MemoryBuffer1D<float, Stride1D.Dense> weightGradient = context.ToDevice<float>(new double[w.Length]);
        using MemoryBuffer1D<float, Stride1D.Dense> biasGradient = context.ToDevice<float>(new double[2]);
        automatic.BackwardWeight(
            input.View, gradScores.View, deviceScores.View, workspace.View, weightGradient.View, biasGradient.View, shape);
        context.Synchronize();
        Near(weightGradient.GetAsArray1D(), gw, "views");
        Assert.That(automatic.Bytes, Is.Zero, "with views the caller owns the memory");
    }

    [Test]
    public void SecondCall_OfTheSameShape_HoldsTheSameMemory()
    {
        Conv3dShape shape = Conv3dShape.Dense(1, (4, 4, 4), 2, 3);
        using Conv3d<float> convolution = new(context);
        float[] output = new float[shape.Voxels * 3];
        void Call() => convolution.Forward(
            new float[shape.Voxels * 2], new float[shape.WeightLength], new float[3], output, shape);
        Call();
        long bytes = convolution.Bytes;
        Call();
        Assert.That(convolution.Bytes, Is.EqualTo(bytes).And.GreaterThan(0));
    }

    [Test]
    public void WrongLengths_AndPitches_AreRefused()
    {
        Conv3dShape shape = Conv3dShape.Dense(1, (4, 4, 4), 2, 3);
        using Conv3d<float> convolution = new(context);
        Assert.That(
            () => convolution.Forward(new float[127], new float[162], new float[3], new float[192], shape),
            Throws.ArgumentException.With.Message.Contains("Conv3d: input holds 127 numbers, expected 128"));
        Assert.That(
            () => convolution.Forward(
                new float[128], new float[162], new float[3], new float[192], shape with { InputPitch = 4 }),
            Throws.ArgumentException.With.Message.Contains("Give device views"));
        Assert.That(
            () => new Conv3d<float>(context, "Fastest"), Throws.TypeOf<InputException>().With.Message.Contains("Fastest"));
        using Conv3d<float> winograd = new(context, "HostWinograd");
        Assert.That(
            () => winograd.VariantFor(shape with { KernelSize = 1 }),
            Throws.TypeOf<InputException>().With.Message.Contains("HostWinograd"));
        convolution.Dispose();
        Assert.That(
            () => convolution.Forward(
                new float[128], new float[162], new float[3], new float[192], shape),
                    Throws.InstanceOf<ObjectDisposedException>());
    }

    // Each number says where PyTorch has it: output, input, z, y, x, from the most significant digit on.
    [Test]
    public void Weights_FromPyTorch_AreWherePyTorchSays()
    {
        Conv3dShape shape = Conv3dShape.Dense(1, (1, 1, 1), 2, 4);
        int[] torch =
            [.. from o in Enumerable.Range(0, 4) from i in Enumerable.Range(0, 2) from z in Enumerable
                .Range(0, 3) from y in Enumerable.Range(0, 3) from x in Enumerable.Range(0, 3) select 10000 * o + 1000 * i
                    + 100 * z + 10 * y + x];
        int[] ours = shape.WeightFromPyTorch<int>(torch);
        Assert.That(ours[(((2 * 3 + 1) * 3 + 0) * 2 + 1) * 4 + 3], Is.EqualTo(31210));
        Assert.That(shape.WeightToPyTorch<int>(ours), Is.EqualTo(torch));

        ConvTranspose3dShape transposed = ConvTranspose3dShape.Dense(1, (1, 1, 1), 3, 2);
        int[] weights =
            [.. from i in Enumerable.Range(0, 3) from o in Enumerable.Range(0, 2) from z in Enumerable
                .Range(0, 2) from y in Enumerable.Range(0, 2) from x in Enumerable.Range(0, 2) select 10000 * o + 1000 * i
                    + 100 * z + 10 * y + x];
        int[] back = transposed.WeightFromPyTorch<int>(weights);
        Assert.That(back[(((1 * 2 + 0) * 2 + 1) * 3 + 2) * 2 + 1], Is.EqualTo(12101));
        Assert.That(transposed.WeightToPyTorch<int>(back), Is.EqualTo(weights));

        SigmoidHeadShape head = SigmoidHeadShape.Dense(1, (1, 1, 1), 3, 2);
        Assert.That(head.WeightFromPyTorch<int>([0, 1, 2, 10, 11, 12]), Is.EqualTo(new[] { 0, 10, 1, 11, 2, 12 }));
        Assert.That(head.WeightToPyTorch<int>([0, 10, 1, 11, 2, 12]), Is.EqualTo(new[] { 0, 1, 2, 10, 11, 12 }));
        Assert.That(() => head.WeightFromPyTorch<int>([0]), Throws.ArgumentException.With.Message.Contains("expected 6"));
    }

    private static double[] Numbers(long count, int seed) => [.. TestData.Uniform(count, seed).Select(v => (double)(float)v)];

    private static float[] Single(double[] values) => Array.ConvertAll(values, v => (float)v);

    private static void Near(float[] actual, double[] expected, string variant)
        => Assert.That(TestData.RelativeError<float>(actual, expected), Is.LessThan(Tolerance), variant);
}
