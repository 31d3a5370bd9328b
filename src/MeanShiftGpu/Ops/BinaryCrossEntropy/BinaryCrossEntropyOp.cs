using System.Numerics;
using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Loss;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.BinaryCrossEntropy;

/// <summary>The binary cross-entropy on a tape.</summary>
public static class BinaryCrossEntropyOp
{
    /// <summary>Mean over voxels of −(t·log p + (1 − t)·log(1 − p)), logarithms not below −100.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="scores">p in [0, 1], any shape, whole (no slice).</param>
    /// <param name="target">t, the same shape; it gets no gradient.</param>
    /// <returns>A scalar.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">Shapes differ, or a tensor is a slice.</exception>
    public static Tensor<T> BinaryCrossEntropy<T>(this Tape<T> tape, Tensor<T> scores, Tensor<T> target)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        MapArguments.Check("BinaryCrossEntropy", scores, target);
        FlatShape shape = new(scores.Shape.Length);
        IBinaryCrossEntropy<T> kernels = tape.Context.Launcher(BinaryCrossEntropyVariants<T>.Table, shape);
        ArrayView<T> workspace = tape.Arena.Allocate<T>(Math.Max(1, kernels.WorkspaceLength(shape)));
        Tensor<T> loss = tape.Allocate(TensorShape.Scalar);
        kernels.Forward(tape.Context.Stream, scores.View, target.View, workspace, loss.View, shape);

        tape.Record("BinaryCrossEntropy", loss, [scores], [], [scores, target], () => tape.WriteGradient(
            scores,
            gradient => kernels.Backward(tape.Context.Stream, scores.View, target.View, tape.Gradient(loss), gradient, shape)));
        return loss;
    }
}
