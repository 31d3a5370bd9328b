using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.ConvTranspose3d;

/// <summary>The transposed 3D convolution on a tape.</summary>
public static class ConvTranspose3dOp
{
    /// <summary>Transposed convolution with a 2³ kernel and stride 2, which doubles the extents.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="input">[N, D, H, W, Cin].</param>
    /// <param name="weight">[2, 2, 2, Cin, Cout].</param>
    /// <param name="bias">[Cout].</param>
    /// <param name="output">Where to write; null for a new tensor.</param>
    /// <returns>[N, 2D, 2H, 2W, Cout].</returns>
    /// <exception cref="ArgumentNullException">An argument but the output is null.</exception>
    /// <exception cref="ArgumentException">Shapes do not fit, or the output overlaps the input.</exception>
    public static Tensor<T> ConvTranspose3d<T>(
        this Tape<T> tape, Tensor<T> input, Parameter<T> weight, Parameter<T> bias, Tensor<T>? output = null)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(bias);
        TensorShape from = input.Shape;
        if (weight.KernelSize != 2 || weight.InputChannels != from.Channels || bias.Length != weight.OutputChannels)
            throw new ArgumentException(
                $"ConvTranspose3d: the input is {from}, {weight.Name} is [{weight.KernelSize}³, {weight.InputChannels}, "
                + $"{weight.OutputChannels}], {bias.Name} has {bias.Length} numbers; expected "
                + $"[2³, {from.Channels}, Cout] and Cout.",
                nameof(input));
        TensorShape outputShape = new(from.Batch, 2 * from.Depth, 2 * from.Height, 2 * from.Width, weight.OutputChannels);
        output ??= tape.AllocateLike(input, outputShape);
        if (output.Shape != outputShape)
            throw new ArgumentException(
                $"ConvTranspose3d: the output is {output.Shape}, expected {outputShape}.", nameof(output));
        input.RequireApart(output, "ConvTranspose3d");
        ConvTranspose3dShape shape = new(
            from.Batch,
            from.Depth,
            from.Height,
            from.Width,
            weight.InputChannels,
            weight.OutputChannels,
            input.Pitch,
            output.Pitch);
        if (input.IsBf16)
            Run<T, Bf16>(tape, input, weight, bias, output, shape);
        else
            Run<T, T>(tape, input, weight, bias, output, shape);
        return output;
    }

    private static void Run<T, TActivation>(
        Tape<T> tape, Tensor<T> input, Parameter<T> weight, Parameter<T> bias, Tensor<T> output, ConvTranspose3dShape shape)
        where T : unmanaged, INumber<T>
        where TActivation : unmanaged
    {
        IConvTranspose3d<TActivation, T> kernels = tape.Context.Launcher(ConvTranspose3dVariants<TActivation, T>.Table, shape);
        kernels.Forward(
            tape.Context.Stream, input.ViewAs<TActivation>(), weight.Value, bias.Value, output.ViewAs<TActivation>(), shape);

        tape.Record("ConvTranspose3d", output, [input], [weight, bias], [input], () =>
        {
            tape.WriteGradient<TActivation>(
                input, gradInput => kernels.BackwardInput(
                    tape.Context.Stream, tape.GradientAs<TActivation>(output), weight.Value, gradInput, shape));
            kernels.BackwardWeight(
                tape.Context.Stream,
                input.ViewAs<TActivation>(), tape.GradientAs<TActivation>(output),
                weight.Gradient,
                bias.Gradient,
                shape);
        });
    }
}
