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

    private sealed class GradCheck : GradCheckCase
    {
        public override string Name => "sigmoid-head";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = CaseData.Weights<T>(context, ParameterLayout.ConvolutionWeight, 1, 5, 2);
            return new GradCheckFunction<T>([CaseData.Input("input", new TensorShape(2, 3, 4, 3, 5), 1)], set, (tape, x) => tape.SigmoidHead(x[0], weight, bias));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => SigmoidHeadVariants<T>.Table.Names(context, new SigmoidHeadShape(72, 5, 2, 5));
    }
}
