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

    private sealed class Reference() : ReferenceCase("max_pool3d")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            ReferenceActivations input = file.Activations("input");
            TensorShape s = input.Shape;
            if (s.Depth % 2 != 0 || s.Height % 2 != 0 || s.Width % 2 != 0)
                throw new InputException($"{file.Path}: array 'input' has {s.Depth}×{s.Height}×{s.Width} voxels. Expected even numbers: the pooling takes whole blocks of 2×2×2.");
            return file.WithVariants(context, MaxPool3dVariants<T>.Table, new MaxPool3dShape(s.Batch, s.Depth, s.Height, s.Width, s.Channels, s.Channels, s.Channels), (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                Tensor<T> x = ReferenceFile.Upload(tape, input, requiresGradient: true);
                Tensor<T> output = tape.MaxPool3d(x);
                compare.Activations("output", output.ToArray(tape.Context), output.Shape);
                tape.Backward(output, CaseData.Convert<T>(file.Activations("grad_output", output.Shape).ChannelsLast));
                compare.Activations("grad_input", x.GradientToArray(tape.Context), x.Shape);
            });
        }
    }
}
