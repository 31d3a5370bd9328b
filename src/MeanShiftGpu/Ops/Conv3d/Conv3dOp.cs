using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.Conv3d;

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
    /// <param name="output">Where to write, for example a slice of a wider tensor, not over the input; null
    /// for a new tensor.</param>
    /// <returns>[N, D, H, W, Cout].</returns>
    /// <exception cref="ArgumentNullException">An argument but the output is null.</exception>
    /// <exception cref="ArgumentException">Shapes do not fit, or the output overlaps the input.</exception>
    public static Tensor<T> Conv3d<T>(
        this Tape<T> tape,
        Tensor<T> input,
        Parameter<T> weight,
        Parameter<T> bias,
        Activation activation = Activation.None,
        Tensor<T>? output = null)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(bias);
        if (weight.InputChannels != input.Shape.Channels)
            throw new ArgumentException($"Conv3d: {weight.Name} expects {weight.InputChannels} input channels, the input "
                + $"{input.Shape} has {input.Shape.Channels}.", nameof(input));
        if (weight.KernelSize is not (1 or 3))
            throw new ArgumentException(
                $"Conv3d: {weight.Name} has a kernel of edge {weight.KernelSize}; expected 1 or 3.", nameof(weight));
        if (bias.Length != weight.OutputChannels)
            throw new ArgumentException($"Conv3d: {bias.Name} has {bias.Length} numbers, {weight.Name} has "
                + $"{weight.OutputChannels} output channels.", nameof(bias));
        TensorShape outputShape = input.Shape with { Channels = weight.OutputChannels };
        output ??= tape.AllocateLike(input, outputShape);
        if (output.Shape != outputShape)
            throw new ArgumentException($"Conv3d: the output is {output.Shape}, expected {outputShape}.", nameof(output));
        input.RequireApart(output, "Conv3d");

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
            Run<T, Bf16>(tape, input, weight, bias, output, shape);
        else
            Run<T, T>(tape, input, weight, bias, output, shape);
        return output;
    }

    /// <summary>
    /// Some planes of the convolution, for inference; inputs and output hold planes of a volume in rings:
    /// plane z at z mod their depth.
    /// </summary>
    /// <param name="tape">The tape.</param>
    /// <param name="inputs">[1, ring, H, W, channels] each, together Cin channels.</param>
    /// <param name="weight">[3, 3, 3, Cin, Cout].</param>
    /// <param name="bias">[Cout].</param>
    /// <param name="activation">Applied in the same kernel.</param>
    /// <param name="output">[1, ring, H, W, Cout].</param>
    /// <param name="depth">Planes of the volume.</param>
    /// <param name="begin">The first plane to compute, an even one.</param>
    /// <param name="end">The one after the last.</param>
    /// <exception cref="ArgumentException">Shapes do not fit.</exception>
    internal static void Conv3dPlanes<T>(
        this Tape<T> tape, ReadOnlySpan<Tensor<T>> inputs, Parameter<T> weight, Parameter<T> bias, Activation activation,
            Tensor<T> output, int depth, int begin, int end)
        where T : unmanaged, INumber<T>
    {
        PlaneInput<T>[] planes = new PlaneInput<T>[inputs.Length];
        int channels = 0;
        for (int i = 0; i < planes.Length; i++)
        {
            TensorShape input = inputs[i].Shape;
            if (input with { Depth = 1, Channels = 1 } != output.Shape with { Batch = 1, Depth = 1, Channels = 1 })
                throw new ArgumentException($"Conv3dPlanes: an input is {input}, the output {output.Shape}; expected planes of "
                    + "one extent.", nameof(inputs));
            planes[i] = new PlaneInput<T>(inputs[i].View, input.Channels, inputs[i].Pitch, input.Depth);
            channels += input.Channels;
        }

        if (channels != weight.InputChannels || output.Shape.Channels != weight.OutputChannels)
            throw new ArgumentException($"Conv3dPlanes: {weight.Name} takes {weight.InputChannels} channels to "
                + $"{weight.OutputChannels}; the inputs have {channels}, the output {output.Shape.Channels}.", nameof(inputs));
        Conv3dShape shape = new(
            1,
            depth,
            output.Shape.Height,
            output.Shape.Width,
            channels,
            weight.OutputChannels,
            weight.KernelSize,
            activation,
            channels,
            output.Pitch);
        if (tape.Context.Launcher(Conv3dVariants<T, T>.Table, shape) is not IConv3dByPlanes<T> kernels)
            throw new ArgumentException("Conv3dPlanes: this device's convolutions take whole volumes.", nameof(tape));
        kernels.ForwardPlanes(
            tape.Context.Stream,
            planes,
            weight.Value,
            bias.Value,
            output.View,
            shape,
            new PlaneRange(begin, end, output.Shape.Depth));
        tape.Record(
            "Conv3dPlanes",
            output,
            inputs,
            [weight, bias],
            [],
            static () => throw new NotSupportedException("Conv3dPlanes is for inference: there is no backward pass."));
    }

    private static void Run<T, TActivation>(
        Tape<T> tape, Tensor<T> input, Parameter<T> weight, Parameter<T> bias, Tensor<T> output, Conv3dShape shape)
        where T : unmanaged, INumber<T>
        where TActivation : unmanaged
    {
        IConv3d<TActivation, T> kernels = tape.Context.Launcher(Conv3dVariants<TActivation, T>.Table, shape);
        kernels.Forward(
            tape.Context.Stream, input.ViewAs<TActivation>(), weight.Value, bias.Value, output.ViewAs<TActivation>(), shape);

        // Only ReLU's mask reads the output again.
        Tensor<T>[] needed = shape.Activation == Activation.None ? [input] : [input, output];
        tape.Record("Conv3d", output, [input], [weight, bias], needed, () =>
        {
            tape.WriteGradient<TActivation>(
                input,
                gradInput => kernels.BackwardInput(
                    tape.Context.Stream,
                    tape.GradientAs<TActivation>(output), output.ViewAs<TActivation>(),
                    weight.Value,
                    gradInput,
                    shape));
            kernels.BackwardWeight(
                tape.Context.Stream,
                input.ViewAs<TActivation>(), tape.GradientAs<TActivation>(output), output.ViewAs<TActivation>(),
                weight.Gradient,
                bias.Gradient,
                shape);
        });
    }
}
