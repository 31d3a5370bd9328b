using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.Conv3d;

/// <summary>What is checked and timed of the 3D convolution.</summary>
internal static class Conv3dCases
{
    /// <summary>Gradients beside central differences.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } = [new GradCheck(3, Activation.None), new GradCheck(3, Activation.Relu), new GradCheck(1, Activation.None)];

    /// <summary>Results beside those of reference files.</summary>
    public static IReadOnlyList<ReferenceCase> References { get; } = [new Reference()];

    private sealed class GradCheck(int kernelSize, Activation activation) : GradCheckCase
    {
        public override string Name => $"conv3d k{kernelSize}{(activation == Activation.Relu ? " ReLU" : "")}";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = CaseData.Weights<T>(context, ParameterLayout.ConvolutionWeight, kernelSize, 3, 5);
            return new GradCheckFunction<T>([CaseData.Input("input", new TensorShape(2, 4, 5, 3, 3), 1)], set, (tape, x) => tape.Conv3d(x[0], weight, bias, activation));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Conv3dVariants<T>.Table.Names(context, new Conv3dShape(2, 4, 5, 3, 3, 5, kernelSize, activation, 3, 5));
    }

    private sealed class Reference() : ReferenceCase("conv3d")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            ReferenceActivations input = file.Activations("input");
            IReadOnlyList<long> weights = file.Tensor("weight", ReferenceFile.Any, input.Shape.Channels, ReferenceFile.Any, ReferenceFile.Any, ReferenceFile.Any).Shape;
            (int outputs, int kernel) = ((int)weights[0], (int)weights[2]);
            if (kernel is not (1 or 3))
                throw new InputException($"{file.Path}: array 'weight' has a kernel of edge {kernel}. Expected 1 or 3.");
            Conv3dShape shape = new(input.Shape.Batch, input.Shape.Depth, input.Shape.Height, input.Shape.Width, input.Shape.Channels, outputs, kernel, Activation.None, input.Shape.Channels, outputs);
            return file.WithVariants(context, Conv3dVariants<T>.Table, shape, (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                using ParameterSet<T> set = new();
                Parameter<T> weight = set.Add("weight", ParameterLayout.ConvolutionWeight, kernel, input.Shape.Channels, outputs);
                Parameter<T> bias = set.Add("bias", ParameterLayout.Bias, 1, 1, outputs);
                ReferenceFile.CompareLayer(tape, file, compare, input, set, weight, bias, x => tape.Conv3d(x, weight, bias));
            });
        }
    }
}
