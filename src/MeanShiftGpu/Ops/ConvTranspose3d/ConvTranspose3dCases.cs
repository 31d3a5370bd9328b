using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.Real;
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

    /// <summary>What is timed: a network's layers, on float32 and on BF16 activations.</summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes) => sizes.Transposed.SelectMany(layer =>
    {
        ConvTranspose3dShape shape = new(
            sizes.Batch, layer.Edge, layer.Edge, layer.Edge, layer.Inputs, layer.Outputs, layer.Inputs, layer.Outputs);
        return (BenchmarkCase[])
        [
            Benchmark(ConvTranspose3dVariants<float, float>.Table, shape, layer.Words(sizes)),
            Benchmark(ConvTranspose3dVariants<Bf16, float>.Table, shape, layer.Words(sizes)),
        ];
    });

    private static BenchmarkCase<IConvTranspose3d<TActivation, float>, ConvTranspose3dShape> Benchmark<TActivation>(
        VariantTable<IConvTranspose3d<TActivation, float>, ConvTranspose3dShape> table, ConvTranspose3dShape shape, string size)
        where TActivation : unmanaged
        => new(
            table, shape, shape with { Batch = 1, Depth = 4, Height = 4, Width = 4 }, Passes, size,
            "Forward", "BackwardInput", "BackwardWeight")
        {
            OnBf16 = typeof(TActivation) == typeof(Bf16),
        };

    private sealed class GradCheck : GradCheckCase
    {
        public override string Name => "conv-transpose3d";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = CaseData.Weights<T>(
                context, ParameterLayout.TransposedConvolutionWeight, 2, 3, 5);
            return new GradCheckFunction<T>(
                [CaseData.Input("input", new TensorShape(2, 3, 2, 4, 3), 1)],
                set,
                (tape, x) => tape.ConvTranspose3d(x[0], weight, bias));
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
            ConvTranspose3dShape shape = new(
                input.Shape.Batch,
                input.Shape.Depth,
                input.Shape.Height,
                input.Shape.Width,
                input.Shape.Channels,
                outputs,
                input.Shape.Channels,
                outputs);
            return file.WithVariants(
                context, ConvTranspose3dVariants<T, T>.Table, shape, (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                using ParameterSet<T> set = new();
                Parameter<T> weight = set.Add(
                    "weight", ParameterLayout.TransposedConvolutionWeight, 2, input.Shape.Channels, outputs);
                Parameter<T> bias = set.Add("bias", ParameterLayout.Bias, 1, 1, outputs);
                ReferenceFile.CompareLayer(
                    tape, file, compare, input, set, weight, bias, x => tape.ConvTranspose3d(x, weight, bias));
            });
        }
    }

    private static BenchmarkPasses Passes<TActivation>(
        BenchmarkData data, IConvTranspose3d<TActivation, float> kernels, ConvTranspose3dShape shape)
        where TActivation : unmanaged
    {
        LayerBuffers<TActivation, TActivation> on = new(
            data, (shape.InputVoxels, shape.InputChannels, shape.InputPitch), shape.WeightLength,
            (shape.OutputVoxels, shape.OutputChannels, shape.OutputPitch));
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
            }))
        {
            Operations = shape.Operations,
        };
    }
}
