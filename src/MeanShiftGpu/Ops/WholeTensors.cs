using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops;

/// <summary>Slices of channels as tensors of their own, for operations that take whole ones.</summary>
internal static class WholeTensors
{
    /// <summary>The tensor itself, or what a slice of channels holds as a tensor of its own.</summary>
    internal static Tensor<T> Whole<T>(this Tape<T> tape, Tensor<T> input)
        where T : unmanaged, INumber<T>
    {
        if (input.IsWhole)
            return input;
        (int channels, IElementwise<T, T> kernels) = (
            input.Shape.Channels, tape.Context.Launcher(ElementwiseVariants<T, T>.Table, default(ElementwiseShape)));
        Tensor<T> whole = tape.Allocate(input.Shape);
        kernels.Widen(
            tape.Context.Stream, input.View, whole.View, new ElementwiseShape(
                input.Shape.Voxels, channels, input.Pitch, channels));
        tape.Record("Whole", whole, [input], [], [], () => tape.PassOn(kernels, whole, input));
        return whole;
    }

    /// <summary>
    /// The gradient of a whole tensor becomes, or is added to, that of an input of the same extents.
    /// </summary>
    internal static void PassOn<T>(this Tape<T> tape, IElementwise<T, T> kernels, Tensor<T> output, Tensor<T> input)
        where T : unmanaged, INumber<T>
    {
        ElementwiseShape shape = new(input.Shape.Voxels, input.Shape.Channels, output.Pitch, input.Pitch);
        tape.WriteGradient(
            input,
            gradient => kernels.Widen(tape.Context.Stream, tape.Gradient(output), gradient, shape),
            gradient => kernels.Add(tape.Context.Stream, tape.Gradient(output), gradient, shape));
    }
}
