using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.Dice;

/// <summary>What is checked and timed of the Dice loss.</summary>
internal static class DiceCases
{
    /// <summary>Gradients beside central differences.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } = [new GradCheck()];

    /// <summary>Results beside those of reference files.</summary>
    public static IReadOnlyList<ReferenceCase> References { get; } = [new Reference()];

    private sealed class GradCheck() : LossGradCheckCase("dice")
    {
        public override IEnumerable<string> Variants<T>(GpuContext context) => DiceVariants<T>.Table.Names(context, default);

        protected override Tensor<T> Loss<T>(Tape<T> tape, Tensor<T> prediction, Tensor<T> target) => tape.DiceLoss(prediction, target);
    }

    private sealed class Reference() : ReferenceCase("dice")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            ReferenceActivations prediction = file.Activations("prediction");
            return file.WithVariants(context, DiceVariants<T>.Table, new FlatShape(prediction.Shape.Length), (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                Tensor<T> x = ReferenceFile.Upload(tape, prediction, requiresGradient: true);
                Tensor<T> loss = tape.DiceLoss(x, ReferenceFile.Upload(tape, file.Activations("target", prediction.Shape), requiresGradient: false));
                compare.Values("loss", loss.ToArray(tape.Context));
                tape.Backward(loss);
                compare.Activations("grad_prediction", x.GradientToArray(tape.Context), x.Shape);
            });
        }
    }
}
