using System.Numerics;
using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.Sum;

/// <summary>
/// Sum and mean of a tensor's elements on a tape, so that a loss can be composed without a kernel.
/// </summary>
public static class SumOp
{
    /// <summary>
    /// Σ input over all elements, on the device. The order of the additions is fixed, so that bits repeat.
    /// </summary>
    /// <param name="tape">The tape.</param>
    /// <param name="input">[N, D, H, W, C], or a slice of channels.</param>
    /// <returns>A scalar.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    public static Tensor<T> Sum<T>(this Tape<T> tape, Tensor<T> input)
        where T : unmanaged, INumber<T>
        => Reduce(tape, "Sum", input, T.One);

    /// <summary>Σ input / (number of elements), on the device.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="input">[N, D, H, W, C], or a slice of channels; at least one element.</param>
    /// <returns>A scalar.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The tensor has no element.</exception>
    public static Tensor<T> Mean<T>(this Tape<T> tape, Tensor<T> input)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(input);
        return input.Shape.Length > 0
            ? Reduce(tape, "Mean", input, T.CreateChecked(1.0 / input.Shape.Length))
            : throw new ArgumentException($"Mean: the tensor {input.Shape} has no element, expected one or more.", nameof(input));
    }

    private static Tensor<T> Reduce<T>(Tape<T> tape, string name, Tensor<T> input, T factor)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(input);
        Tensor<T> whole = tape.Whole(input);
        FlatShape shape = new(input.Shape.Length);
        ISum<T> kernels = tape.Context.Launcher(SumVariants<T>.Table, shape);
        ArrayView<T> workspace = tape.Arena.Allocate<T>(Math.Max(1, kernels.WorkspaceLength(shape.Count)));
        Tensor<T> total = tape.Allocate(TensorShape.Scalar);
        kernels.Sum(tape.Context.Stream, whole.View.SubView(0, shape.Count), workspace, total.View, factor);

        tape.Record(name, total, [whole], [], [], () => tape.WriteGradient(
            whole, gradInput => kernels.Spread(tape.Context.Stream, tape.Gradient(total), factor, gradInput)));
        return total;
    }
}
