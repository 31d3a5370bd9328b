using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.ConvTranspose3d;

/// <summary>What is checked and timed of the transposed 3D convolution.</summary>
internal static class ConvTranspose3dCases
{
    /// <summary>Gradients beside central differences.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } = [new GradCheck()];

    /// <summary>Results beside those of reference files.</summary>
    public static IReadOnlyList<ReferenceCase> References { get; } = [new Reference()];

    private sealed class GradCheck : GradCheckCase
    {
        public override string Name => "conv-transpose3d";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = CaseData.Weights<T>(context, ParameterLayout.TransposedConvolutionWeight, 2, 3, 5);
            return new GradCheckFunction<T>([CaseData.Input("input", new TensorShape(2, 3, 2, 4, 3), 1)], set, (tape, x) => tape.ConvTranspose3d(x[0], weight, bias));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => ConvTranspose3dVariants<T>.Table.Names(context, new ConvTranspose3dShape(2, 3, 2, 4, 3, 5, 3, 5));
    }

    private sealed class Reference() : ReferenceCase("conv_transpose3d")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            ReferenceActivations input = file.Activations("input");
            int outputs = (int)file.Tensor("weight", input.Shape.Channels, ReferenceFile.Any, 2, 2, 2).Shape[1];
            ConvTranspose3dShape shape = new(input.Shape.Batch, input.Shape.Depth, input.Shape.Height, input.Shape.Width, input.Shape.Channels, outputs, input.Shape.Channels, outputs);
            return file.WithVariants(context, ConvTranspose3dVariants<T>.Table, shape, (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                using ParameterSet<T> set = new();
                Parameter<T> weight = set.Add("weight", ParameterLayout.TransposedConvolutionWeight, 2, input.Shape.Channels, outputs);
                Parameter<T> bias = set.Add("bias", ParameterLayout.Bias, 1, 1, outputs);
                ReferenceFile.CompareLayer(tape, file, compare, input, set, weight, bias, x => tape.ConvTranspose3d(x, weight, bias));
            });
        }
    }
}
