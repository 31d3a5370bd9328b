using ILGPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.SigmoidHead;

/// <summary>What is checked and timed of the head.</summary>
internal static class SigmoidHeadCases
{
    /// <summary>Gradients beside central differences.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } = [new GradCheck()];

    /// <summary>What is timed: a published patch to one map or eight; each pass reads or writes 22 MB of activations.</summary>
    public static IReadOnlyList<BenchmarkCase> Benchmarks { get; } =
    [
        .. from outputs in new[] { 1, 8 }
           let shape = new SigmoidHeadShape(56 * 56 * 56, 32, outputs, 32)
           select new BenchmarkCase<ISigmoidHead<float, float>, SigmoidHeadShape>(
               SigmoidHeadVariants<float, float>.Table, shape, shape with { Voxels = 4096 }, Passes, $"32 to {outputs} at 56", "Forward", "BackwardInput", "BackwardWeight"),
    ];

    private sealed class GradCheck : GradCheckCase
    {
        public override string Name => "sigmoid-head";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = CaseData.Weights<T>(context, ParameterLayout.ConvolutionWeight, 1, 5, 2);
            return new GradCheckFunction<T>([CaseData.Input("input", new TensorShape(2, 3, 4, 3, 5), 1)], set, (tape, x) => tape.SigmoidHead(x[0], weight, bias));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => SigmoidHeadVariants<T, T>.Table.Names(context, new SigmoidHeadShape(72, 5, 2, 5));
    }

    private static BenchmarkPasses Passes(BenchmarkData data, ISigmoidHead<float, float> kernels, SigmoidHeadShape shape)
    {
        ArrayView<float> input = data.Uniform(shape.Voxels * shape.InputChannels, 1);
        ArrayView<float> weight = data.Uniform(shape.WeightLength, 2, static v => v - 0.5f);
        ArrayView<float> bias = data.Zeros(shape.Outputs);
        ArrayView<float> upstream = data.Uniform(shape.Voxels * shape.Outputs, 3);
        ArrayView<float> output = data.Zeros(upstream.Length);
        ArrayView<float> gradInput = data.Zeros(input.Length);
        ArrayView<float> gradWeight = data.Zeros(weight.Length);
        ArrayView<float> gradBias = data.Zeros(bias.Length);
        ArrayView<float> workspace = data.Zeros(Math.Max(1, kernels.WorkspaceLength(shape)));
        return new BenchmarkPasses(
            [
                () => kernels.Forward(data.Stream, input, weight, bias, output, shape),
                () => kernels.BackwardInput(data.Stream, upstream, output, weight, gradInput, shape),
                () => kernels.BackwardWeight(data.Stream, input, upstream, output, workspace, gradWeight, gradBias, shape),
            ],
            () =>
            {
                (double[] x, double[] w, double[] g) = (data.ReadDouble(input), data.ReadDouble(weight), data.ReadDouble(upstream));
                double[] y = SigmoidHeadReference.Forward(x, w, new double[shape.Outputs], shape.InputChannels, shape.Outputs);
                (double[] gx, double[] gw, double[] gb) = SigmoidHeadReference.Backward(x, w, y, g, shape.InputChannels, shape.Outputs);
                return
                [
                    ("output", data.Read(output), y, null), ("gradInput", data.Read(gradInput), gx, null),
                    ("gradWeight", data.Read(gradWeight), gw, null), ("gradBias", data.Read(gradBias), gb, null),
                ];
            });
    }
}
