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
               SigmoidHeadVariants<float, float>.Table, shape, shape with { Voxels = 4096 }, Passes, $"32 to {outputs} at 56",
                   "Forward", "BackwardInput", "BackwardWeight"),
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
        LayerBuffers on =
            new(data, shape.Voxels * shape.InputChannels, shape.WeightLength, shape.Outputs, shape.Voxels * shape.Outputs);
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
                (double[] gx, double[] gw, double[] gb) = SigmoidHeadReference.Backward(x, w, y, g, shape.InputChannels, shape.Outputs);
                return (y, gx, gw, gb);
            }));
    }
}
