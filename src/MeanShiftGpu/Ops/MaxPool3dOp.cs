using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops;

/// <summary>The 3D max pooling on a tape.</summary>
public static class MaxPool3dOp
{
    /// <summary>The maximum of each 2³ block, stride 2. Of equal maxima the first in scan order gets the gradient.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="input">[N, D, H, W, C], D, H and W even.</param>
    /// <returns>[N, D/2, H/2, W/2, C].</returns>
    /// <exception cref="ArgumentException">An extent is odd.</exception>
    public static Tensor<T> MaxPool3d<T>(this Tape<T> tape, Tensor<T> input)
        where T : unmanaged, INumber<T>
    {
        TensorShape extent = input.Shape;
        if (extent.Depth % 2 != 0 || extent.Height % 2 != 0 || extent.Width % 2 != 0)
            throw new ArgumentException($"MaxPool3d: the input is {extent}; depth, height and width must be even.", nameof(input));
        Tensor<T> output = tape.Allocate(extent with { Depth = extent.Depth / 2, Height = extent.Height / 2, Width = extent.Width / 2 });
        MaxPool3dShape shape = new(extent.Batch, extent.Depth, extent.Height, extent.Width, extent.Channels, input.Pitch, output.Pitch);
        IMaxPool3d<T> kernels = tape.Context.Launcher(MaxPool3dVariants<T>.Table, shape);
        kernels.Forward(tape.Context.Stream, input.View, output.View, shape);

        tape.Record("MaxPool3d", output, [input], [], [input], () => tape.WriteGradient(
            input,
            gradInput => kernels.Backward(tape.Context.Stream, input.View, tape.Gradient(output), gradInput, shape),
            gradInput => kernels.Backward(tape.Context.Stream, input.View, tape.Gradient(output), gradInput, shape with { Accumulate = 1 })));
        return output;
    }
}
