using ILGPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.SigmoidHead;

/// <summary>What is checked and timed of the head.</summary>
internal static class SigmoidHeadCases
{
    /// <summary>Gradients beside central differences.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } = [new GradCheck()];

    private static readonly int[] TimedOutputs = [1, 8];

    /// <summary>
    /// What is timed: a network's head with one and with eight maps, on float32 and on BF16 activations.
    /// </summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes) => TimedOutputs.SelectMany(outputs =>
    {
        SigmoidHeadShape shape = new(sizes.Voxels, sizes.Channels, outputs, sizes.Channels);
        string size = new BenchmarkLayer(sizes.Edge, sizes.Channels, outputs).Words(sizes);
        return (BenchmarkCase[])
        [
            Benchmark(SigmoidHeadVariants<float, float>.Table, shape, size),
            Benchmark(SigmoidHeadVariants<Bf16, float>.Table, shape, size),
        ];
    });

    private static BenchmarkCase<ISigmoidHead<TActivation, float>, SigmoidHeadShape> Benchmark<TActivation>(
        VariantTable<ISigmoidHead<TActivation, float>, SigmoidHeadShape> table, SigmoidHeadShape shape, string size)
        where TActivation : unmanaged
        => new(
            table, shape, shape with { Voxels = Math.Min(4096, shape.Voxels) }, Passes, size,
            "Forward", "BackwardInput", "BackwardWeight")
        {
            OnBf16 = typeof(TActivation) == typeof(Bf16),
        };

    private sealed class GradCheck : GradCheckCase
    {
        public override string Name => "sigmoid-head";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = CaseData.Weights<T>(
                context, ParameterLayout.ConvolutionWeight, 1, 5, 2);
            return new GradCheckFunction<T>(
                [CaseData.Input("input", new TensorShape(2, 3, 4, 3, 5), 1)],
                set,
                (tape, x) => tape.SigmoidHead(x[0], weight, bias));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => SigmoidHeadVariants<T, T>.Table.Names(context, new SigmoidHeadShape(72, 5, 2, 5));
    }

    private static BenchmarkPasses Passes<TActivation>(
        BenchmarkData data, ISigmoidHead<TActivation, float> kernels, SigmoidHeadShape shape)
        where TActivation : unmanaged
    {
        LayerBuffers<TActivation, float> on = new(
            data, (shape.Voxels, shape.InputChannels, shape.InputPitch), shape.WeightLength,
            (shape.Voxels, shape.Outputs, shape.Outputs));
        ArrayView<float> workspace = data.Zeros(Math.Max(1, kernels.WorkspaceLength(shape)));
        return new BenchmarkPasses(
            [
                () => kernels.Forward(data.Stream, on.Input, on.Weight, on.Bias, on.Output, shape),
                () => kernels.BackwardInput(data.Stream, on.GradOutput, on.Output, on.Weight, on.GradInput, shape),
                () => kernels.BackwardWeight(
                    data.Stream, on.Input, on.GradOutput, on.Output, workspace, on.GradWeight, on.GradBias, shape),
            ],
            () => on.Compare((x, w, b, g) =>
            {
                double[] y = SigmoidHeadReference.Forward(x, w, b, shape.InputChannels, shape.Outputs);
                (double[] gx, double[] gw, double[] gb) = SigmoidHeadReference.Backward(
                    x, w, y, g, shape.InputChannels, shape.Outputs);
                return (y, gx, gw, gb);
            }));
    }
}
