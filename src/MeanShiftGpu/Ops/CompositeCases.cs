using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.Sum;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops;

/// <summary>
/// The checks of operations that need others beside them, which an operation's own folder does not know.
/// </summary>
internal static class CompositeCases
{
    /// <summary>Pooling twice, with a loss of each.</summary>
    public static IReadOnlyList<GradCheckCase> MaxPool3d { get; } = [new MaxPool3dCase()];

    /// <summary>Sums of losses, masks before them, and elementary arithmetic.</summary>
    public static IReadOnlyList<GradCheckCase> Elementwise { get; } =
        [new WeightedSumCase(), new MaskCase(), new ElementaryCase()];

    /// <summary>Sum and mean, of squares.</summary>
    public static IReadOnlyList<GradCheckCase> Sum { get; } = [new SumCase(isMean: false), new SumCase(isMean: true)];

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
                Tensor<T> weight = tape.Upload(
                    CaseData.Convert<T>(Array.ConvertAll(CaseData.Numbers(one.Length, 2), v => Math.Max(0, v))), one);
                Tensor<T> target = tape.Upload(CaseData.Convert<T>(CaseData.Mask(one.Length, 3, 0.3)), one);
                Tensor<T> pair = tape.Upload(CaseData.Convert<T>(CaseData.Numbers(2 * one.Length, 4, 0, 1)), one with
                {
                    Channels = 2,
                });
                return tape.WeightedSum(
                    [(tape.DiceLoss(tape.Mask(x[0].Channels(2, 1), weight), target), 1), (
                        tape.DiceLoss(tape.Mask(x[0].Channels(0, 2), weight), pair), 2)]);
            });

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => ElementwiseVariants<T, T>.Table.Names(context, new ElementwiseShape(120, 1, 3, 1));
    }
    // (2a + b)·a + a·b of slices of one tensor, so that every gradient arrives more than once.
    private sealed class ElementaryCase : GradCheckCase
    {
        public override string Name => "add, multiply, scale";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
            => new([CaseData.Input("input", new TensorShape(2, 3, 4, 5, 3), 1),
                CaseData.Input("other", new TensorShape(2, 3, 4, 5, 2), 2)], null, (tape, x) =>
            {
                (Tensor<T> a, Tensor<T> b) = (x[0].Channels(1, 2), x[1]);
                return tape.Add(tape.Multiply(tape.Add(tape.Scale(a, 2), b), a), tape.Multiply(a, b));
            });

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => ElementwiseVariants<T, T>.Table.Names(context, default);
    }

    // Of a slice of channels, and squared before, so that the gradient is not the same everywhere.
    private sealed class SumCase(bool isMean) : GradCheckCase
    {
        public override string Name => isMean ? "mean" : "sum";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
            => new([CaseData.Input("input", new TensorShape(2, 3, 4, 5, 3), 1)], null, (tape, x) =>
            {
                Tensor<T> squares = tape.Multiply(x[0].Channels(1, 2), x[0].Channels(1, 2));
                return isMean ? tape.Mean(squares) : tape.Sum(squares);
            });

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => SumVariants<T>.Table.Names(context, new FlatShape(240));
    }
}
