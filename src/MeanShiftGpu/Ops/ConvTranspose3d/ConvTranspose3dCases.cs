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

    /// <summary>What is timed: the layers of the published network at a patch of 56³.</summary>
    public static IReadOnlyList<BenchmarkCase> Benchmarks { get; } =
    [
        .. from layer in new (int Edge, int Channels)[] { (14, 64), (28, 48) }
           let shape = new ConvTranspose3dShape(1, layer.Edge, layer.Edge, layer.Edge, layer.Channels, layer.Channels, layer.Channels, layer.Channels)
           select new BenchmarkCase<IConvTranspose3d<float, float>, ConvTranspose3dShape>(
               ConvTranspose3dVariants<float, float>.Table, shape, shape with { Depth = 4, Height = 4, Width = 4 }, Passes,
               $"{layer.Channels} to {layer.Channels} at {layer.Edge}", "Forward", "BackwardInput", "BackwardWeight"),
    ];

    private sealed class GradCheck : GradCheckCase
    {
        public override string Name => "conv-transpose3d";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = CaseData.Weights<T>(context, ParameterLayout.TransposedConvolutionWeight, 2, 3, 5);
            return new GradCheckFunction<T>([CaseData.Input("input", new TensorShape(2, 3, 2, 4, 3), 1)], set, (tape, x) => tape.ConvTranspose3d(x[0], weight, bias));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => ConvTranspose3dVariants<T, T>.Table.Names(context, new ConvTranspose3dShape(2, 3, 2, 4, 3, 5, 3, 5));
    }

    private sealed class Reference() : ReferenceCase("conv_transpose3d")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            ReferenceActivations input = file.Activations("input");
            int outputs = (int)file.Tensor("weight", input.Shape.Channels, ReferenceFile.Any, 2, 2, 2).Shape[1];
            ConvTranspose3dShape shape = new(input.Shape.Batch, input.Shape.Depth, input.Shape.Height, input.Shape.Width, input.Shape.Channels, outputs, input.Shape.Channels, outputs);
            return file.WithVariants(
                context, ConvTranspose3dVariants<T, T>.Table, shape, (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                using ParameterSet<T> set = new();
                Parameter<T> weight = set.Add("weight", ParameterLayout.TransposedConvolutionWeight, 2, input.Shape.Channels, outputs);
                Parameter<T> bias = set.Add("bias", ParameterLayout.Bias, 1, 1, outputs);
                ReferenceFile.CompareLayer(tape, file, compare, input, set, weight, bias, x => tape.ConvTranspose3d(x, weight, bias));
            });
        }
    }

    private static BenchmarkPasses Passes(BenchmarkData data, IConvTranspose3d<float, float> kernels, ConvTranspose3dShape shape)
    {
        LayerBuffers on = new(
            data, shape.InputVoxels * shape.InputChannels, shape.WeightLength, shape.OutputChannels,
            shape.OutputVoxels * shape.OutputChannels);
        return new BenchmarkPasses(
            [
                () => kernels.Forward(data.Stream, on.Input, on.Weight, on.Bias, on.Output, shape),
                () => kernels.BackwardInput(data.Stream, on.GradOutput, on.Weight, on.GradInput, shape),
                () => kernels.BackwardWeight(data.Stream, on.Input, on.GradOutput, on.GradWeight, on.GradBias, shape),
            ],
            () => on.Compare((x, w, b, g) =>
            {
                (double[] y, double[] gx, double[] gw, double[] gb) =
                    (new double[g.Length], new double[x.Length], new double[w.Length], new double[b.Length]);
                ConvTranspose3dReference.Forward(x, w, b, y, shape);
                ConvTranspose3dReference.BackwardInput(g, w, gx, shape);
                ConvTranspose3dReference.BackwardWeight(x, g, gw, gb, shape);
                return (y, gx, gw, gb);
            }));
    }
}
