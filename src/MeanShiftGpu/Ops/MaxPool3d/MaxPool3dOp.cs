using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.MaxPool3d;

/// <summary>The 3D max pooling on a tape.</summary>
public static class MaxPool3dOp
{
    /// <summary>
    /// The maximum of each 2³ block, stride 2. Of equal maxima the first in scan order gets the gradient.
    /// </summary>
    /// <param name="tape">The tape.</param>
    /// <param name="input">[N, D, H, W, C], D, H and W even.</param>
    /// <param name="output">Where to write; null for a new tensor.</param>
    /// <returns>[N, D/2, H/2, W/2, C].</returns>
    /// <exception cref="ArgumentNullException">An argument but the output is null.</exception>
    /// <exception cref="ArgumentException">An extent is odd, shapes do not fit, or the output overlaps the
    /// input.</exception>
    public static Tensor<T> MaxPool3d<T>(this Tape<T> tape, Tensor<T> input, Tensor<T>? output = null)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(input);
        TensorShape extent = input.Shape;
        if (extent.Depth % 2 != 0 || extent.Height % 2 != 0 || extent.Width % 2 != 0)
            throw new ArgumentException(
                $"MaxPool3d: the input is {extent}; depth, height and width must be even.", nameof(input));
        TensorShape outputShape = extent with { Depth = extent.Depth / 2, Height = extent.Height / 2, Width = extent.Width / 2 };
        output ??= tape.AllocateLike(input, outputShape);
        if (output.Shape != outputShape)
            throw new ArgumentException($"MaxPool3d: the output is {output.Shape}, expected {outputShape}.", nameof(output));
        input.RequireApart(output, "MaxPool3d");
        MaxPool3dShape shape = new(
            extent.Batch, extent.Depth, extent.Height, extent.Width, extent.Channels, input.Pitch, output.Pitch);
        if (input.IsBf16)
            Run<T, Bf16>(tape, input, output, shape);
        else
            Run<T, T>(tape, input, output, shape);
        return output;
    }

    private static void Run<T, TActivation>(Tape<T> tape, Tensor<T> input, Tensor<T> output, MaxPool3dShape shape)
        where T : unmanaged, INumber<T>
        where TActivation : unmanaged
    {
        IMaxPool3d<TActivation> kernels = tape.Context.Launcher(MaxPool3dVariants<TActivation, T>.Table, shape);
        kernels.Forward(tape.Context.Stream, input.ViewAs<TActivation>(), output.ViewAs<TActivation>(), shape);

        tape.Record("MaxPool3d", output, [input], [], [input], () => tape.WriteGradient<TActivation>(
            input,
            gradInput => kernels.Backward(
                tape.Context.Stream, input.ViewAs<TActivation>(), tape.GradientAs<TActivation>(output), gradInput, shape),
            gradInput => kernels.Backward(
                tape.Context.Stream, input.ViewAs<TActivation>(), tape.GradientAs<TActivation>(output), gradInput, shape with
                {
                    Accumulate = 1,
                })));
    }
}
