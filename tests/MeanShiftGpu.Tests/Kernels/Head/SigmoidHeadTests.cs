using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Head;

[TestFixture]
public class SigmoidHeadTests
{
    private static readonly SigmoidHeadShape[] Shapes =
    [
        new(1, 1, 1, 1),
        new(7 * 5 * 3, 4, 1, 6),
        new(2 * 9 * 5 * 3, 13, 3, 13),
        new(3001, 32, 1, 48), // several chunks of the host variant
        new(1203, 35, 2, 40),
    ];

    // Worst errors seen: float32 6.7e-7 (a bias gradient summed over 3001 voxels), float64 3.2e-15.
    private static double Tolerance<T>() => typeof(T) == typeof(float) ? 3e-6 : 2e-14;

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ForwardAndBackward_OddShapesAndPitches_MatchReference(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        foreach (SigmoidHeadShape shape in Shapes)
        {
            Check<float>(context, shape, TestData.Uniform(shape.WeightLength, 2));
            Check<double>(context, shape, TestData.Uniform(shape.WeightLength, 2));
        }
    }

    // Logits up to ±400: exp overflows float32 on one side, p rounds to 1 on the other.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.All))]
    public void ForwardAndBackward_SaturatedSigmoid_StaysFinite(DeviceKind kind)
    {
        using GpuContext context = TestDevices.Open(kind);
        SigmoidHeadShape shape = new(131, 9, 2, 9);
        double[] weight = [.. TestData.Uniform(shape.WeightLength, 2).Select(w => w * 200)];
        Saturated<float>(context, shape, weight);
        Saturated<double>(context, shape, weight);
    }

    [Test]
    public void ForwardAndBackward_OnTheSimulatedGpu_MatchReference()
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        Assert.That(
            SigmoidHeadVariants<float, float>.Table.Supported(context, Shapes[0]).Select(v => v.Name), Does.Contain("Grouped"));
        foreach (SigmoidHeadShape shape in (SigmoidHeadShape[])[Shapes[0], Shapes[1], new(67, 13, 3, 13), new(203, 36, 2, 40)])
        {
            Check<float>(context, shape, TestData.Uniform(shape.WeightLength, 2));
            Check<double>(context, shape, TestData.Uniform(shape.WeightLength, 2));
        }
    }

    [Test]
    public void HostSimd_OneAndMoreThreads_SameBitsEachTime()
    {
        SigmoidHeadShape shape = new(9001, 17, 2, 20);
        float[][] results = [.. new[] { 1, 2, 3 }.SelectMany(threads =>
        {
            using GpuContext context = TestDevices.Open(DeviceKind.Cpu, threads);
            return RunTwice(context, "HostSimd", shape);
        })];

        foreach (float[] other in results.Skip(1))
            Assert.That(other, Is.EqualTo(results[0]));
    }

    // Voxels enough for several groups, each with a part of the weights' gradient.
    [TestCase("Direct")]
    [TestCase("Grouped")]
    public void GpuVariants_Repeated_SameBits(string variant)
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu();
        float[][] results = RunTwice(context, variant, new SigmoidHeadShape(1031, 17, 2, 20));
        Assert.That(results[1], Is.EqualTo(results[0]));
    }

    private static float[][] RunTwice(GpuContext context, string name, SigmoidHeadShape shape)
    {
        Variant<ISigmoidHead<float, float>, SigmoidHeadShape> variant =
            SigmoidHeadVariants<float, float>.Table.Supported(context, shape).Single(v => v.Name == name);
        return [.. Enumerable.Range(0, 2).Select(_ =>
        {
            Results<float> r = Run(context, variant, shape, TestData.Uniform(shape.WeightLength, 2));
            return (float[])[.. r.Scores, .. r.GradInput, .. r.GradWeight, .. r.GradBias];
        })];
    }

    [Test]
    public void Reference_Backward_MatchesCentralDifferences()
    {
        const int Channels = 4;
        const int Outputs = 2;
        double[] x = TestData.Uniform(15 * Channels, 1);
        double[] w = TestData.Uniform(Channels * Outputs, 2);
        double[] b = TestData.Uniform(Outputs, 3);
        double[] upstream = TestData.Uniform(15 * Outputs, 4);

        (double[] gradInput, double[] gradWeight, double[] gradBias) =
            SigmoidHeadReference.Backward(
                x, w, SigmoidHeadReference.Forward(x, w, b, Channels, Outputs), upstream, Channels, Outputs);

        double Loss(double[] input, double[] weight, double[] bias)
            => NumericalGradient.Dot(SigmoidHeadReference.Forward(input, weight, bias, Channels, Outputs), upstream);

        // Worst seen 1.2e-10.
        Assert.Multiple(() =>
        {
            Assert.That(
                TestData.RelativeError<double>(gradInput, NumericalGradient.Of(v => Loss(v, w, b), x)), Is.LessThan(1e-9));
            Assert.That(
                TestData.RelativeError<double>(gradWeight, NumericalGradient.Of(v => Loss(x, v, b), w)), Is.LessThan(1e-9));
            Assert.That(TestData.RelativeError<double>(gradBias, NumericalGradient.Of(v => Loss(x, w, v), b)), Is.LessThan(1e-9));
        });
    }

    // The reference gets the rounded input, so only what the kernels round themselves differs: gradInput,
    // worst error 1.7e-3.
    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.WithTensorCores))]
    public void Bf16_ChannelsAndPaddings_MatchReference(string device)
    {
        using GpuContext context = TestDevices.OpenTensorCores(device);
        Assert.That(SigmoidHeadVariants<Bf16, float>.Table.Supported(context, Shapes[0]).Select(v => v.Name),
            Is.EqualTo((string[])["Grouped", "Direct"]));
        foreach (
            SigmoidHeadShape shape in (
                SigmoidHeadShape[])[new(1, 1, 1, 8), new(105, 4, 1, 8), new(67, 13, 3, 16), new(203, 36, 2, 40), new(
                    300, 16, 1, 48)])
        {
            double[] input = [.. Input(shape).Select(Bf16Buffers.Rounded)];
            double[] weight = TestData.Uniform(shape.WeightLength, 2);
            foreach (Variant<ISigmoidHead<Bf16, float>, SigmoidHeadShape> variant in SigmoidHeadVariants<Bf16,
                float>.Table.Supported(context, shape))
            {
                using ISigmoidHead<float, float> head = variant.Create(context).OnFloats(context);
                MatchesReference(Run(context, head, shape, weight, offset: 0), shape, input, weight, 5e-3,
                    $"{variant.Name} on BF16 activations");
            }
        }
    }

    private static double[] Input(SigmoidHeadShape shape) => TestData.Uniform(shape.Voxels * shape.InputChannels, 1);

    private static double[] Bias(SigmoidHeadShape shape) => TestData.Uniform(shape.Outputs, 3);

    private static double[] Upstream(SigmoidHeadShape shape) => TestData.Uniform(shape.Voxels * shape.Outputs, 4);

    // Parameter gradients accumulate: the buffers start at this value.
    private const double Before = 0.5;

    private static void Check<T>(GpuContext context, SigmoidHeadShape shape, double[] weight)
        where T : unmanaged, INumber<T>
    {
        foreach (Variant<ISigmoidHead<T, T>, SigmoidHeadShape> variant
            in SigmoidHeadVariants<T, T>.Table.Supported(context, shape))
            MatchesReference(
                Run(context, variant, shape, weight),
                shape,
                Input(shape),
                weight,
                MeanShiftGpu.Device.Variants.Tolerance(context, variant.Name, Tolerance<T>()),
                variant.Name);
    }

    private static void MatchesReference<T>(
        Results<T> r, SigmoidHeadShape shape, double[] input, double[] weight, double tolerance, string variant)
        where T : unmanaged, INumber<T>
    {
        double[] scores = SigmoidHeadReference.Forward(input, weight, Bias(shape), shape.InputChannels, shape.Outputs);
        (double[] gradInput, double[] gradWeight, double[] gradBias) =
            SigmoidHeadReference.Backward(input, weight, scores, Upstream(shape), shape.InputChannels, shape.Outputs);
        (string Name, double Error)[] errors =
        [
            ("scores", TestData.RelativeError<T>(r.Scores, scores)),
            ("gradInput", TestData.RelativeError<T>(r.GradInput, gradInput)),
            ("gradWeight", TestData.RelativeError<T>(r.GradWeight, [.. gradWeight.Select(g => g + Before)])),
            ("gradBias", TestData.RelativeError<T>(r.GradBias, [.. gradBias.Select(g => g + Before)])),
        ];
        foreach ((string name, double error) in errors)
        {
            TestContext.Out.WriteLine($"{variant}, {typeof(T).Name}, {shape}, {name}: {error:g2}");
            Assert.That(error, Is.LessThan(tolerance), $"{variant}, {typeof(T).Name}, {shape}, {name}");
        }
    }

    private static void Saturated<T>(GpuContext context, SigmoidHeadShape shape, double[] weight)
        where T : unmanaged, INumber<T>
    {
        double[] expected = SigmoidHeadReference.Forward(Input(shape), weight, Bias(shape), shape.InputChannels, shape.Outputs);
        Assert.That(expected.Count(p => p is 1e-30 or 1), Is.GreaterThan(10), "the case is meant to saturate");
        foreach (Variant<ISigmoidHead<T, T>, SigmoidHeadShape> variant
            in SigmoidHeadVariants<T, T>.Table.Supported(context, shape))
        {
            Results<T> r = Run(context, variant, shape, weight);
            // A logit of 200 rounded to float32 is off by 1e-5, and so is a score relatively; worst seen
            // 5.3e-7 in the norm.
            Assert.That(TestData.RelativeError<T>(r.Scores, expected), Is.LessThan(2e-6), variant.Name);
            Assert.That(r.Scores, Has.All.InRange(T.CreateChecked(1e-30), T.One), variant.Name);
            Assert.That(r.GradInput.Concat(r.GradWeight).Concat(r.GradBias).All(T.IsFinite), Is.True, variant.Name);
        }
    }

    private static Results<T> Run<T>(
        GpuContext context, Variant<ISigmoidHead<T, T>, SigmoidHeadShape> variant, SigmoidHeadShape shape, double[] weight)
        where T : unmanaged, INumber<T>
        => Run(context, context.Launcher(SigmoidHeadVariants<T, T>.Table, variant), shape, weight,
            offset: shape.InputPitch - shape.InputChannels);

    // The backward passes get the forward pass's scores, or those given.
    private static Results<T> Run<T>(
        GpuContext context, ISigmoidHead<T, T> head, SigmoidHeadShape shape, double[] weight, int offset, double[]? input = null,
            double[]? upstream = null, double[]? given = null)
        where T : unmanaged, INumber<T>
    {
        int channels = shape.InputChannels;
        using SlicedTensor<T> x = new(context, input ?? Input(shape), channels, shape.InputPitch, offset);
        using SlicedTensor<T> gx = new(context, Input(shape), channels, shape.InputPitch, offset / 2);
        using MemoryBuffer1D<T, Stride1D.Dense> w = context.ToDevice<T>(weight);
        using MemoryBuffer1D<T, Stride1D.Dense> b = context.ToDevice<T>(Bias(shape));
        using MemoryBuffer1D<T, Stride1D.Dense> p = context.ToDevice<T>(Upstream(shape));
        using MemoryBuffer1D<T, Stride1D.Dense> gp = context.ToDevice<T>(upstream ?? Upstream(shape));
        using MemoryBuffer1D<T, Stride1D.Dense> gw = context.ToDevice<T>([.. weight.Select(_ => Before)]);
        using MemoryBuffer1D<T, Stride1D.Dense> gb = context.ToDevice<T>([.. Bias(shape).Select(_ => Before)]);
        using MemoryBuffer1D<T, Stride1D.Dense> workspace =
            context.ToDevice<T>(TestData.Uniform(Math.Max(1, head.WorkspaceLength(shape)), 9));

        head.Forward(context.Stream, x.WithPadding, w.View, b.View, p.View, shape);
        context.Synchronize();
        T[] scores = p.GetAsArray1D();
        if (given is not null)
            p.CopyFromCPU(Array.ConvertAll(given, T.CreateChecked));
        head.BackwardInput(context.Stream, gp.View, p.View, w.View, gx.WithPadding, shape);
        head.BackwardWeight(context.Stream, x.WithPadding, gp.View, p.View, workspace.View, gw.View, gb.View, shape);
        context.Synchronize();
        return new Results<T>(scores, gx.Read(), gw.GetAsArray1D(), gb.GetAsArray1D());
    }

    private sealed record Results<T>(T[] Scores, T[] GradInput, T[] GradWeight, T[] GradBias);
}
