using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops;

/// <summary>The 3D convolution on a tape.</summary>
public static class Conv3dOp
{
    /// <summary>
    /// Convolution with stride 1, zero padding and bias: y = act(b + x ∗ w), extents unchanged.
    /// </summary>
    /// <param name="tape">The tape.</param>
    /// <param name="input">[N, D, H, W, Cin].</param>
    /// <param name="weight">[k, k, k, Cin, Cout], k = 1 or 3.</param>
    /// <param name="bias">[Cout].</param>
    /// <param name="activation">Applied in the same kernel.</param>
    /// <param name="output">Where to write, for example a slice of a wider tensor; null for a new tensor.</param>
    /// <returns>[N, D, H, W, Cout].</returns>
    /// <exception cref="ArgumentException">Shapes do not fit.</exception>
    public static Tensor<T> Conv3d<T>(
        this Tape<T> tape,
        Tensor<T> input,
        Parameter<T> weight,
        Parameter<T> bias,
        Activation activation = Activation.None,
        Tensor<T>? output = null)
        where T : unmanaged, INumber<T>
    {
        if (weight.InputChannels != input.Shape.Channels)
            throw new ArgumentException($"Conv3d: {weight.Name} expects {weight.InputChannels} input channels, the input {input.Shape} has {input.Shape.Channels}.", nameof(input));
        if (weight.KernelSize is not (1 or 3))
            throw new ArgumentException($"Conv3d: {weight.Name} has a kernel of edge {weight.KernelSize}; expected 1 or 3.", nameof(weight));
        if (bias.Length != weight.OutputChannels)
            throw new ArgumentException($"Conv3d: {bias.Name} has {bias.Length} numbers, {weight.Name} has {weight.OutputChannels} output channels.", nameof(bias));
        TensorShape outputShape = input.Shape with { Channels = weight.OutputChannels };
        output ??= tape.Allocate(outputShape);
        if (output.Shape != outputShape)
            throw new ArgumentException($"Conv3d: the output is {output.Shape}, expected {outputShape}.", nameof(output));

        Conv3dShape shape = new(
            input.Shape.Batch,
            input.Shape.Depth,
            input.Shape.Height,
            input.Shape.Width,
            weight.InputChannels,
            weight.OutputChannels,
            weight.KernelSize,
            activation,
            input.Pitch,
            output.Pitch);
        IConv3d<T> kernels = tape.Context.Launcher(Conv3dVariants<T>.Table, shape);
        kernels.Forward(tape.Context.Stream, input.View, weight.Value, bias.Value, output.View, shape);

        // Only ReLU's mask reads the output again.
        Tensor<T>[] needed = activation == Activation.None ? [input] : [input, output];
        tape.Record("Conv3d", output, [input], [weight, bias], needed, () =>
        {
            tape.WriteGradient(input, gradInput => kernels.BackwardInput(tape.Context.Stream, tape.Gradient(output), output.View, weight.Value, gradInput, shape));
            kernels.BackwardWeight(tape.Context.Stream, input.View, tape.Gradient(output), output.View, weight.Gradient, bias.Gradient, shape);
        });
        return output;
    }
}
