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
        output ??= tape.AllocateLike(input, outputShape);
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
        if (input.IsBf16)
            Run(tape, (IConv3d<Bf16, T>)tape.Context.Launcher(Conv3dVariants.Bf16, shape), input, weight, bias, output, shape);
        else
            Run(tape, tape.Context.Launcher(Conv3dVariants<T>.Table, shape), input, weight, bias, output, shape);
        return output;
    }

    private static void Run<T, TActivation>(
        Tape<T> tape, IConv3d<TActivation, T> kernels, Tensor<T> input, Parameter<T> weight, Parameter<T> bias, Tensor<T> output, Conv3dShape shape)
        where T : unmanaged, INumber<T>
        where TActivation : unmanaged
    {
        kernels.Forward(tape.Context.Stream, input.ViewAs<TActivation>(), weight.Value, bias.Value, output.ViewAs<TActivation>(), shape);

        // Only ReLU's mask reads the output again.
        Tensor<T>[] needed = shape.Activation == Activation.None ? [input] : [input, output];
        tape.Record("Conv3d", output, [input], [weight, bias], needed, () =>
        {
            tape.WriteGradient<TActivation>(
                input,
                gradInput => kernels.BackwardInput(tape.Context.Stream, tape.GradientAs<TActivation>(output), output.ViewAs<TActivation>(), weight.Value, gradInput, shape));
            kernels.BackwardWeight(
                tape.Context.Stream, input.ViewAs<TActivation>(), tape.GradientAs<TActivation>(output), output.ViewAs<TActivation>(), weight.Gradient, bias.Gradient, shape);
        });
    }
}
