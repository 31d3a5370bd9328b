using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.BinaryCrossEntropy;

/// <summary>What is checked and timed of the binary cross-entropy.</summary>
internal static class BinaryCrossEntropyCases
{
    /// <summary>Gradients beside central differences.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } = [new GradCheck()];

    private sealed class GradCheck() : LossGradCheckCase("binary-cross-entropy")
    {
        public override IEnumerable<string> Variants<T>(GpuContext context) => BinaryCrossEntropyVariants<T>.Table.Names(context, default);

        protected override Tensor<T> Loss<T>(Tape<T> tape, Tensor<T> prediction, Tensor<T> target) => tape.BinaryCrossEntropy(prediction, target);
    }
}
