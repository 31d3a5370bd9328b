using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.Conv3d;

/// <summary>What is checked and timed of the 3D convolution.</summary>
internal static class Conv3dCases
{
    /// <summary>Gradients beside central differences.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } =
        [.. Enum.GetValues<Activation>().Select(activation => new GradCheck(3, activation)), new GradCheck(1, Activation.None)];

    /// <summary>Results beside those of reference files.</summary>
    public static IReadOnlyList<ReferenceCase> References { get; } = [new Reference()];

    /// <summary>What is timed: a network's layers, with ReLU, on float32 and on BF16 activations.</summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes) => sizes.Convolutions.SelectMany(layer =>
    {
        Conv3dShape shape = new(
            sizes.Batch, layer.Edge, layer.Edge, layer.Edge, layer.Inputs, layer.Outputs, 3, Activation.Relu,
            layer.Inputs, layer.Outputs);
        Conv3dShape padded = shape with { InputPitch = Bf16.Padded(layer.Inputs), OutputPitch = Bf16.Padded(layer.Outputs) };
        return (BenchmarkCase[])
        [
            Benchmark(Conv3dVariants<float, float>.Table, shape, layer.Words(sizes)),
            Benchmark(Conv3dVariants<Bf16, float>.Table, padded, layer.Words(sizes)),
        ];
    });

    private static BenchmarkCase<IConv3d<TActivation, float>, Conv3dShape> Benchmark<TActivation>(
        VariantTable<IConv3d<TActivation, float>, Conv3dShape> table, Conv3dShape shape, string size)
        where TActivation : unmanaged
        => new(
            table, shape, shape with { Batch = 1, Depth = 4, Height = 4, Width = 4 }, Passes, size,
            "Forward", "BackwardInput", "BackwardWeight")
        {
            OnBf16 = typeof(TActivation) == typeof(Bf16),
        };

    private sealed class GradCheck(int kernelSize, Activation activation) : GradCheckCase
    {
        public override string Name => $"conv3d k{kernelSize}{Words(activation)}";

        private static string Words(Activation activation) => activation switch
        {
            Activation.None => "",
            Activation.Relu => " ReLU",
            _ => $" {activation}",
        };

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = CaseData.Weights<T>(
                context, ParameterLayout.ConvolutionWeight, kernelSize, 3, 5);
            return new GradCheckFunction<T>(
                [CaseData.Input("input", new TensorShape(2, 4, 5, 3, 3), 1)],
                set,
                (tape, x) => tape.Conv3d(x[0], weight, bias, activation));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Conv3dVariants<T, T>.Table.Names(context, new Conv3dShape(2, 4, 5, 3, 3, 5, kernelSize, activation, 3, 5));
    }

    private sealed class Reference() : ReferenceCase("conv3d")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            ReferenceActivations input = file.Activations("input");
            IReadOnlyList<long> weights = file.Tensor(
                "weight", ReferenceFile.Any, input.Shape.Channels, ReferenceFile.Any, ReferenceFile.Any, ReferenceFile.Any).Shape;
            (int outputs, int kernel) = ((int)weights[0], (int)weights[2]);
            if (kernel is not (1 or 3))
                throw new InputException($"{file.Path}: array 'weight' has a kernel of edge {kernel}. Expected 1 or 3.");
            Conv3dShape shape = new(
                input.Shape.Batch,
                input.Shape.Depth,
                input.Shape.Height,
                input.Shape.Width,
                input.Shape.Channels,
                outputs,
                kernel,
                Activation.None,
                input.Shape.Channels,
                outputs);
            return file.WithVariants(context, Conv3dVariants<T, T>.Table, shape, (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                using ParameterSet<T> set = new();
                Parameter<T> weight = set.Add("weight", ParameterLayout.ConvolutionWeight, kernel, input.Shape.Channels, outputs);
                Parameter<T> bias = set.Add("bias", ParameterLayout.Bias, 1, 1, outputs);
                ReferenceFile.CompareLayer(tape, file, compare, input, set, weight, bias, x => tape.Conv3d(x, weight, bias));
            });
        }
    }

    private static BenchmarkPasses Passes<TActivation>(BenchmarkData data, IConv3d<TActivation, float> kernels, Conv3dShape shape)
        where TActivation : unmanaged
    {
        LayerBuffers<TActivation, TActivation> on = new(
            data, (shape.Voxels, shape.InputChannels, shape.InputPitch), shape.WeightLength,
            (shape.Voxels, shape.OutputChannels, shape.OutputPitch));
        // The mask of ReLU is the output, which the backward passes therefore read beside its gradient.
        (long input, long weight, long output) = (on.Input.LengthInBytes, on.Weight.LengthInBytes, on.Output.LengthInBytes);
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
            }))
        {
            Operations = shape.Operations,
            Bytes = [input + weight + output, (2 * output) + weight + input, input + (2 * output) + (2 * weight)],
        };
    }
}
