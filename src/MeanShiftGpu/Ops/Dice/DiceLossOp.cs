using System.Numerics;
using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Loss;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.Dice;

/// <summary>The Dice loss on a tape.</summary>
public static class DiceLossOp
{
    /// <summary>1 − (2Σpt + 1)/(Σp + Σt + 1) over the whole batch.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="scores">p, any shape, whole (no slice).</param>
    /// <param name="target">t, the same shape; it gets no gradient.</param>
    /// <returns>A scalar.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">Shapes differ, or a tensor is a slice.</exception>
    public static Tensor<T> DiceLoss<T>(this Tape<T> tape, Tensor<T> scores, Tensor<T> target)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        MapArguments.Check("DiceLoss", scores, target);
        FlatShape shape = new(scores.Shape.Length);
        IDice<T> kernels = tape.Context.Launcher(DiceVariants<T>.Table, shape);
        ArrayView<T> workspace = tape.Arena.Allocate<T>(Math.Max(1, kernels.WorkspaceLength(shape)));
        ArrayView<T> sums = tape.Arena.Allocate<T>(DiceSums);
        Tensor<T> loss = tape.Allocate(TensorShape.Scalar);
        kernels.Forward(tape.Context.Stream, scores.View, target.View, workspace, sums, loss.View, shape);

        tape.Record("DiceLoss", loss, [scores], [], [target], () => tape.WriteGradient(
            scores, gradient => kernels.Backward(tape.Context.Stream, target.View, sums, tape.Gradient(loss), gradient, shape)));
        return loss;
    }

    /// <summary>The mean over the items of a batch of 1 − (2Σpt + 1)/(Σp + Σt + 1) over each: no item's loss
    /// depends on another's.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="scores">p, [N, D, H, W, 1], whole (no slice).</param>
    /// <param name="target">t, the same shape; it gets no gradient.</param>
    /// <returns>A scalar.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">Shapes differ, or a tensor is a slice.</exception>
    public static Tensor<T> DiceLossPerItem<T>(this Tape<T> tape, Tensor<T> scores, Tensor<T> target)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(scores);
        int items = scores.Shape.Batch;
        if (items == 1)
            return tape.DiceLoss(scores, target);
        MapArguments.Check("DiceLossPerItem", scores, target);
        FlatShape shape = new(scores.Shape.Length / items);
        IDice<T> kernels = tape.Context.Launcher(DiceVariants<T>.Table, shape);
        IElementwise<T, T> elementwise = tape.Context.Launcher(ElementwiseVariants<T, T>.Table, default(ElementwiseShape));
        ArrayView<T> workspace = tape.Arena.Allocate<T>(Math.Max(1, kernels.WorkspaceLength(shape)));
        ArrayView<T> one = tape.Arena.Allocate<T>(1);
        ArrayView<T>[] sums = [.. Enumerable.Range(0, items).Select(_ => tape.Arena.Allocate<T>(DiceSums))];
        T share = T.One / T.CreateChecked(items);
        Tensor<T> loss = tape.Allocate(TensorShape.Scalar);
        for (int item = 0; item < items; item++)
        {
            kernels.Forward(tape.Context.Stream, Item(scores.View, item), Item(target.View, item), workspace, sums[item],
                one, shape);
            elementwise.WeightedAdd(tape.Context.Stream, one, share, loss.View, accumulate: item == 0 ? 0 : 1);
        }

        tape.Record("DiceLossPerItem", loss, [scores], [], [target], () => tape.WriteGradient(scores, gradient =>
        {
            elementwise.Scale(tape.Context.Stream, tape.Gradient(loss), share, one);
            for (int item = 0; item < items; item++)
                kernels.Backward(tape.Context.Stream, Item(target.View, item), sums[item], one, Item(gradient, item), shape);
        }));
        return loss;

        ArrayView<T> Item(ArrayView<T> all, int item) => all.SubView(item * shape.Count, shape.Count);
    }

    // What the backward pass needs of the forward pass: 2Σpt + 1 and Σp + Σt + 1.
    private const int DiceSums = 2;
}
