using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.Elementwise;

/// <summary>A map with a weight for each voxel, on a tape.</summary>
public static class MaskOp
{
    /// <summary>
    /// weight[v]·input[v,c]. Where the weight is 0 the result is 0 for every finite input (NaN and infinities
    /// stay visible, as NaN), and no gradient goes back: a loss of the result, with a target that is 0 there
    /// too, ignores those voxels. A slice of channels becomes a tensor of its own, as losses over maps
    /// expect.
    /// </summary>
    /// <param name="tape">The tape.</param>
    /// <param name="input">[N, D, H, W, C], or a slice of channels.</param>
    /// <param name="weight">[N, D, H, W, 1], whole; it gets no gradient.</param>
    /// <returns>[N, D, H, W, C], whole.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">Shapes do not fit, or the weight is a slice.</exception>
    public static Tensor<T> Mask<T>(this Tape<T> tape, Tensor<T> input, Tensor<T> weight)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(weight);
        if (weight.Shape != (input.Shape with { Channels = 1 }) || !weight.IsWhole)
            throw new ArgumentException($"Mask: the input is {input.Shape}, the weight {weight.Shape}; expected a whole tensor "
                + $"{input.Shape with { Channels = 1 }}.", nameof(weight));
        int channels = input.Shape.Channels;
        ElementwiseShape shape = new(input.Shape.Voxels, channels, input.Pitch, channels);
        IElementwise<T, T> kernels = tape.Context.Launcher(ElementwiseVariants<T, T>.Table, shape);
        Tensor<T> output = tape.Allocate(input.Shape);
        kernels.Mask(tape.Context.Stream, input.View, weight.View, output.View, shape);

        tape.Record("Mask", output, [input], [], [weight], () => tape.WriteGradient(
            input,
            gradInput => kernels.Mask(tape.Context.Stream, tape.Gradient(output), weight.View, gradInput, shape with
            {
                SourcePitch = channels,
                TargetPitch = input.Pitch,
            })));
        return output;
    }
}
