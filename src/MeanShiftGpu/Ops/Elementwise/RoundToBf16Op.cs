using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.Elementwise;

/// <summary>The way into BF16 activations on a tape.</summary>
public static class RoundToBf16Op
{
    /// <summary>The tensor in BF16; its gradient passes as if nothing had been rounded.</summary>
    /// <param name="tape">A tape of float32.</param>
    /// <param name="input">[N, D, H, W, C], float32.</param>
    /// <returns>[N, D, H, W, C], stored as BF16.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="InvalidOperationException">The input is stored as BF16 already, or the tape is not of
    /// float32.</exception>
    public static Tensor<T> RoundToBf16<T>(this Tape<T> tape, Tensor<T> input)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(input);
        Tensor<T> output = tape.AllocateBf16(input.Shape);
        ElementwiseShape shape = new(input.Shape.Voxels, input.Shape.Channels, input.Pitch, output.Pitch);
        IElementwise<Bf16, float> kernels = tape.Context.Launcher(ElementwiseVariants<Bf16, float>.Table, shape);
        kernels.Round(tape.Context.Stream, input.ViewAs<float>(), output.ViewAs<Bf16>(), shape);

        tape.Record("RoundToBf16", output, [input], [], [], () => tape.WriteGradient<float>(
            input,
            gradInput => kernels.Widen(tape.Context.Stream, tape.GradientAs<Bf16>(output), gradInput, shape with
            {
                SourcePitch = shape.TargetPitch,
                TargetPitch = shape.SourcePitch,
            })));
        return output;
    }
}
