using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.MaxPool3d;

/// <summary>What is checked and timed of the max pooling.</summary>
internal static class MaxPool3dCases
{
    /// <summary>Results beside those of reference files.</summary>
    public static IReadOnlyList<ReferenceCase> References { get; } = [new Reference()];

    /// <summary>What is timed: a network's poolings, on float32 and on BF16 activations.</summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes) => sizes.Pooled.SelectMany(layer =>
    {
        // Whole blocks.
        int edge = Math.Max(2, layer.Edge / 2 * 2);
        MaxPool3dShape shape = new(sizes.Batch, edge, edge, edge, layer.Inputs, layer.Inputs, layer.Inputs);
        string size = $"{sizes.Items}{edge}³ {layer.Inputs}";
        return (BenchmarkCase[])
        [
            Benchmark(MaxPool3dVariants<float, float>.Table, shape, size),
            Benchmark(MaxPool3dVariants<Bf16, float>.Table, shape, size),
        ];
    });

    private static BenchmarkCase<IMaxPool3d<TActivation>, MaxPool3dShape> Benchmark<TActivation>(
        VariantTable<IMaxPool3d<TActivation>, MaxPool3dShape> table, MaxPool3dShape shape, string size)
        where TActivation : unmanaged
        => new(table, shape, shape with { Batch = 1, Depth = 4, Height = 4, Width = 4 }, Passes, size, "Forward", "Backward")
        {
            OnBf16 = typeof(TActivation) == typeof(Bf16),
        };

    private sealed class Reference() : ReferenceCase("max_pool3d")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            ReferenceActivations input = file.Activations("input");
            TensorShape s = input.Shape;
            if (s.Depth % 2 != 0 || s.Height % 2 != 0 || s.Width % 2 != 0)
                throw new InputException($"{file.Path}: array 'input' has {s.Depth}×{s.Height}×{s.Width} voxels. Expected even "
                    + "numbers: the pooling takes whole blocks of 2×2×2.");
            return file.WithVariants(context, MaxPool3dVariants<T, T>.Table, new MaxPool3dShape(s.Batch, s.Depth, s.Height,
                s.Width, s.Channels, s.Channels, s.Channels), (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                Tensor<T> x = ReferenceFile.Upload(tape, input, requiresGradient: true);
                Tensor<T> output = tape.MaxPool3d(x);
                compare.Activations("output", output.ToArray(tape.Context), output.Shape);
                tape.Backward(output, CaseData.Convert<T>(file.Activations("grad_output", output.Shape).ChannelsLast));
                compare.Activations("grad_input", x.GradientToArray(tape.Context), x.Shape);
            });
        }
    }

    private static BenchmarkPasses Passes<TActivation>(BenchmarkData data, IMaxPool3d<TActivation> kernels, MaxPool3dShape shape)
        where TActivation : unmanaged
    {
        ArrayView<TActivation> input = data.Activations<TActivation>(shape.InputVoxels, shape.Channels, shape.Channels, 1);
        ArrayView<TActivation> output = data.Zeros<TActivation>(input.Length / 8);
        ArrayView<TActivation> gradInput = data.Zeros<TActivation>(input.Length);
        return new BenchmarkPasses(
            [() => kernels.Forward(data.Stream, input, output, shape), () => kernels.Backward(
                data.Stream, input, output, gradInput, shape)],
            () =>
            {
                double[] x = data.ReadDouble(input);
                double[] y = MaxPool3dReference.Forward(x, shape.Batch, shape.Depth, shape.Height, shape.Width, shape.Channels);
                double[] gx = MaxPool3dReference.Backward(
                    x, y, shape.Batch, shape.Depth, shape.Height, shape.Width, shape.Channels);
                return [("output", data.Read(output), y, 0), ("gradInput", data.Read(gradInput), gx, 0)];
            });
    }
}
