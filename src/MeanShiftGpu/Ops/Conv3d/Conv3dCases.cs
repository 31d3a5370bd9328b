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

    /// <summary>What is timed: the layers of the published network at a patch of 56³, with ReLU.</summary>
    public static IReadOnlyList<BenchmarkCase> Benchmarks { get; } =
    [
        .. from layer in new (int Edge, int Inputs, int Outputs)[]
           {
               (56, 1, 32), (56, 32, 32), (56, 48, 48), (56, 80, 32), (28, 32, 48), (28, 48, 48), (28, 64, 64), (28, 112, 48), (14, 48, 64), (14, 64, 64),
           }
           let shape = new Conv3dShape(1, layer.Edge, layer.Edge, layer.Edge, layer.Inputs, layer.Outputs, 3, Activation.Relu, layer.Inputs, layer.Outputs)
           select new BenchmarkCase<IConv3d<float, float>, Conv3dShape>(
               Conv3dVariants<float, float>.Table, shape, shape with { Depth = 4, Height = 4, Width = 4 }, Passes,
               $"{layer.Inputs} to {layer.Outputs} at {layer.Edge}", "Forward", "BackwardInput", "BackwardWeight"),
    ];

    private sealed class GradCheck(int kernelSize, Activation activation) : GradCheckCase
    {
        public override string Name => $"conv3d k{kernelSize}{(activation == Activation.Relu ? " ReLU" : "")}";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = CaseData.Weights<T>(context, ParameterLayout.ConvolutionWeight, kernelSize, 3, 5);
            return new GradCheckFunction<T>([CaseData.Input("input", new TensorShape(2, 4, 5, 3, 3), 1)], set, (tape, x) => tape.Conv3d(x[0], weight, bias, activation));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Conv3dVariants<T, T>.Table.Names(context, new Conv3dShape(2, 4, 5, 3, 3, 5, kernelSize, activation, 3, 5));
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
            return file.WithVariants(context, Conv3dVariants<T, T>.Table, shape, (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                using ParameterSet<T> set = new();
                Parameter<T> weight = set.Add("weight", ParameterLayout.ConvolutionWeight, kernel, input.Shape.Channels, outputs);
                Parameter<T> bias = set.Add("bias", ParameterLayout.Bias, 1, 1, outputs);
                ReferenceFile.CompareLayer(tape, file, compare, input, set, weight, bias, x => tape.Conv3d(x, weight, bias));
            });
        }
    }

    private static BenchmarkPasses Passes(BenchmarkData data, IConv3d<float, float> kernels, Conv3dShape shape)
    {
        LayerBuffers on = new(
            data, shape.Voxels * shape.InputChannels, shape.WeightLength, shape.OutputChannels,
            shape.Voxels * shape.OutputChannels);
        return new BenchmarkPasses(
            [
                () => kernels.Forward(data.Stream, on.Input, on.Weight, on.Bias, on.Output, shape),
                () => kernels.BackwardInput(data.Stream, on.GradOutput, on.Output, on.Weight, on.GradInput, shape),
                () => kernels.BackwardWeight(data.Stream, on.Input, on.GradOutput, on.Output, on.GradWeight, on.GradBias, shape),
            ],
            () => on.Compare((x, w, b, g) =>
            {
                (double[] y, double[] gx, double[] gw, double[] gb) =
                    (new double[g.Length], new double[x.Length], new double[w.Length], new double[b.Length]);
                Conv3dReference.Forward(x, w, b, y, shape);
                Conv3dReference.BackwardInput(g, y, w, gx, shape);
                Conv3dReference.BackwardWeight(x, g, y, gw, gb, shape);
                return (y, gx, gw, gb);
            }));
    }
}
