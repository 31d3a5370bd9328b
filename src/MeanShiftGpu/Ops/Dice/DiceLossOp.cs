using System.Numerics;
using ILGPU;
using MeanShiftGpu.Autograd;
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
    /// <exception cref="ArgumentException">Shapes differ, or a tensor is a slice.</exception>
    public static Tensor<T> DiceLoss<T>(this Tape<T> tape, Tensor<T> scores, Tensor<T> target)
        where T : unmanaged, INumber<T>
    {
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

    // What the backward pass needs of the forward pass: 2Σpt + 1 and Σp + Σt + 1.
    private const int DiceSums = 2;
}
