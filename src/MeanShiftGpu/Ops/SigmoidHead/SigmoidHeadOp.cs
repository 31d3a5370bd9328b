using System.Numerics;
using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.SigmoidHead;

/// <summary>The network's head on a tape.</summary>
public static class SigmoidHeadOp
{
    /// <summary>1³ convolution, bias and sigmoid in one kernel.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="input">[N, D, H, W, Cin].</param>
    /// <param name="weight">[1, 1, 1, Cin, Outputs].</param>
    /// <param name="bias">[Outputs].</param>
    /// <param name="output">Where to write, a whole tensor; null for a new one.</param>
    /// <returns>Scores [N, D, H, W, Outputs].</returns>
    /// <exception cref="ArgumentNullException">An argument but the output is null.</exception>
    /// <exception cref="ArgumentException">Shapes do not fit, or the output overlaps the input.</exception>
    public static Tensor<T> SigmoidHead<T>(
        this Tape<T> tape, Tensor<T> input, Parameter<T> weight, Parameter<T> bias, Tensor<T>? output = null)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(bias);
        if (weight.KernelSize != 1 || weight.InputChannels != input.Shape.Channels || bias.Length != weight.OutputChannels)
            throw new ArgumentException(
                $"SigmoidHead: the input is {input.Shape}, {weight.Name} is [{weight.KernelSize}³, {weight.InputChannels}, "
                + $"{weight.OutputChannels}], {bias.Name} has {bias.Length} numbers; expected [1³, {input.Shape.Channels}, "
                + "Outputs] and Outputs.", nameof(input));
        TensorShape outputShape = input.Shape with { Channels = weight.OutputChannels };
        output ??= tape.Allocate(outputShape);
        if (output.Shape != outputShape || !output.IsWhole)
            throw new ArgumentException(
                $"SigmoidHead: the output is {output.Shape}, expected a whole tensor {outputShape}.", nameof(output));
        input.RequireApart(output, "SigmoidHead");
        SigmoidHeadShape shape = new(input.Shape.Voxels, weight.InputChannels, weight.OutputChannels, input.Pitch);
        if (input.IsBf16)
            Run<T, Bf16>(tape, input, weight, bias, output, shape);
        else
            Run<T, T>(tape, input, weight, bias, output, shape);
        return output;
    }

    private static void Run<T, TActivation>(
        Tape<T> tape, Tensor<T> input, Parameter<T> weight, Parameter<T> bias, Tensor<T> output, SigmoidHeadShape shape)
        where T : unmanaged, INumber<T>
        where TActivation : unmanaged
    {
        ISigmoidHead<TActivation, T> kernels = tape.Context.Launcher(SigmoidHeadVariants<TActivation, T>.Table, shape);
        kernels.Forward(tape.Context.Stream, input.ViewAs<TActivation>(), weight.Value, bias.Value, output.View, shape);

        tape.Record("SigmoidHead", output, [input], [weight, bias], [input, output], () =>
        {
            tape.WriteGradient<TActivation>(
                input, gradInput => kernels.BackwardInput(
                    tape.Context.Stream, tape.Gradient(output), output.View, weight.Value, gradInput, shape));
            ArrayView<T> workspace = tape.Arena.Allocate<T>(Math.Max(1, kernels.WorkspaceLength(shape)));
            kernels.BackwardWeight(
                tape.Context.Stream,
                input.ViewAs<TActivation>(),
                tape.Gradient(output),
                output.View,
                workspace,
                weight.Gradient,
                bias.Gradient,
                shape);
        });
    }
}
