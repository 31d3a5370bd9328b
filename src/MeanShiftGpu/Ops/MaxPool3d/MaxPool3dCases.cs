using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
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

    /// <summary>What is timed: a published patch, 25 MB read and written forward, 48 MB backward.</summary>
    public static IReadOnlyList<BenchmarkCase> Benchmarks { get; } =
    [
        new BenchmarkCase<IMaxPool3d<float>, MaxPool3dShape>(
            MaxPool3dVariants<float, float>.Table, Patch, Patch, Passes, "32 at 56", "Forward", "Backward"),
    ];

    private sealed class Reference() : ReferenceCase("max_pool3d")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            ReferenceActivations input = file.Activations("input");
            TensorShape s = input.Shape;
            if (s.Depth % 2 != 0 || s.Height % 2 != 0 || s.Width % 2 != 0)
                throw new InputException($"{file.Path}: array 'input' has {s.Depth}×{s.Height}×{s.Width} voxels. Expected even numbers: the pooling takes whole blocks of 2×2×2.");
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

    private static MaxPool3dShape Patch => new(1, 56, 56, 56, 32, 32, 32);

    private static BenchmarkPasses Passes(BenchmarkData data, IMaxPool3d<float> kernels, MaxPool3dShape shape)
    {
        ArrayView<float> input = data.Uniform(shape.InputVoxels * shape.Channels, 1);
        ArrayView<float> output = data.Zeros(input.Length / 8);
        ArrayView<float> gradInput = data.Zeros(input.Length);
        return new BenchmarkPasses(
            [() => kernels.Forward(data.Stream, input, output, shape), () => kernels.Backward(data.Stream, input, output, gradInput, shape)],
            () =>
            {
                double[] x = data.ReadDouble(input);
                double[] y = MaxPool3dReference.Forward(x, shape.Batch, shape.Depth, shape.Height, shape.Width, shape.Channels);
                double[] gx = MaxPool3dReference.Backward(x, y, shape.Batch, shape.Depth, shape.Height, shape.Width, shape.Channels);
                return [("output", data.Read(output), y, 0), ("gradInput", data.Read(gradInput), gx, 0)];
            });
    }
}
