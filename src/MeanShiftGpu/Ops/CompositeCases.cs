using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops;

/// <summary>The checks of operations that need others beside them, which an operation's own folder does not know.</summary>
internal static class CompositeCases
{
    /// <summary>Pooling twice, with a loss of each.</summary>
    public static IReadOnlyList<GradCheckCase> MaxPool3d { get; } = [new MaxPool3dCase()];

    /// <summary>Sums of losses, and masks before them.</summary>
    public static IReadOnlyList<GradCheckCase> Elementwise { get; } = [new WeightedSumCase(), new MaskCase()];

    private sealed class MaxPool3dCase : GradCheckCase
    {
        public override string Name => "max-pool3d";

        // The input is used twice, as by a skip connection, so that adding at fan-out is checked too.
        public override GradCheckFunction<T> Create<T>(GpuContext context)
            => new([CaseData.Input("input", new TensorShape(2, 4, 6, 2, 3), 1)], null, (tape, x) =>
            {
                Tensor<T> pooled = tape.MaxPool3d(x[0]);
                Tensor<T> target = tape.Upload(CaseData.Convert<T>(CaseData.Numbers(pooled.Shape.Length, 2, 0, 1)), pooled.Shape);
                return tape.WeightedSum([(tape.DiceLoss(pooled, target), 1), (tape.DiceLoss(tape.MaxPool3d(x[0]), target), 2)]);
            });

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => MaxPool3dVariants<T, T>.Table.Names(context, new MaxPool3dShape(2, 4, 6, 2, 3, 3, 3));
    }

    private sealed class WeightedSumCase() : LossGradCheckCase("weighted-sum")
    {
        public override IEnumerable<string> Variants<T>(GpuContext context)
            => ElementwiseVariants<T, T>.Table.Names(context, default);

        protected override Tensor<T> Loss<T>(Tape<T> tape, Tensor<T> scores, Tensor<T> target)
            => tape.WeightedSum([(tape.DiceLoss(scores, target), 0.5), (tape.BinaryCrossEntropy(scores, target), 2)]);
    }

    // Two slices of one tensor, each with a loss of its own, as maps of several classes have.
    private sealed class MaskCase : GradCheckCase
    {
        private static readonly TensorShape Shape = new(2, 3, 4, 5, 3);

        public override string Name => "mask";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
            => new([CaseData.Input("input", Shape, 1, 0.05, 0.95)], null, (tape, x) =>
            {
                TensorShape one = Shape with { Channels = 1 };
                Tensor<T> weight = tape.Upload(CaseData.Convert<T>(Array.ConvertAll(CaseData.Numbers(one.Length, 2), v => Math.Max(0, v))), one);
                Tensor<T> target = tape.Upload(CaseData.Convert<T>(CaseData.Mask(one.Length, 3, 0.3)), one);
                Tensor<T> pair = tape.Upload(CaseData.Convert<T>(CaseData.Numbers(2 * one.Length, 4, 0, 1)), one with { Channels = 2 });
                return tape.WeightedSum(
                    [(tape.DiceLoss(tape.Mask(x[0].Channels(2, 1), weight), target), 1), (tape.DiceLoss(tape.Mask(x[0].Channels(0, 2), weight), pair), 2)]);
            });

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => ElementwiseVariants<T, T>.Table.Names(context, new ElementwiseShape(120, 1, 3, 1));
    }
}
