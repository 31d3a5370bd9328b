using System.Numerics;
using System.Runtime.CompilerServices;
using ILGPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.Conv3d;

/// <summary>
/// The 3D convolution without a tape, for programs with a network of their own: y = act(b + x ∗ w), stride 1,
/// zero padding, extents unchanged. With device views nothing is copied or waited for. Shapes come from
/// <see cref="Conv3dShape.Dense"/>, or from the constructor where a tensor is a slice of the channels of a
/// wider one; weights from PyTorch through <see cref="PyTorchWeights"/>.
/// </summary>
/// <remarks>
/// Gradients of weight and bias are added to what is there, the gradient of the input overwrites. What
/// memory a pass needs beside its operands the caller gives, or else the context keeps.
/// </remarks>
/// <typeparam name="T">float or double.</typeparam>
public sealed class Conv3d<T> : TapelessOperation<T, Conv3dShape>
    where T : unmanaged, INumber<T>
{
    private readonly ChosenLauncher<IConv3d<T, T>, Conv3dShape> launcher;

    /// <summary>Takes a device; kernels are compiled at the first call.</summary>
    /// <param name="context">The device; it must outlive this object.</param>
    /// <param name="variant">The name of the variant to use, as <see cref="TapelessOperation{T,
    /// TShape}.VariantsFor"/> lists them; null
    /// for the best, or what the context forces.</param>
    /// <exception cref="InputException">There is no such variant.</exception>
    public Conv3d(GpuContext context, string? variant = null)
        : this(context, new ChosenLauncher<IConv3d<T, T>, Conv3dShape>(context, Conv3dVariants<T, T>.Table, variant))
    {
    }

    private Conv3d(GpuContext context, ChosenLauncher<IConv3d<T, T>, Conv3dShape> launcher)
        : base(context, "Conv3d", 8, launcher) => this.launcher = launcher;

    /// <summary>
    /// Elements of device memory that a pass needs beside its operands: sums of parts and packed weights. It
    /// is 0 on the CPU device, whose variants keep what they pack with the context.
    /// </summary>
    public long WorkspaceLength(Conv3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        return launcher.For(shape).WorkspaceBytes(Context.Stream, shape) / Unsafe.SizeOf<T>();
    }

    /// <summary>Queues the forward pass on the context's stream. Overwrites output.</summary>
    /// <param name="input">[N, D, H, W, Cin] at the shape's pitch.</param>
    /// <param name="weight">[k, k, k, Cin, Cout].</param>
    /// <param name="bias">[Cout].</param>
    /// <param name="output">[N, D, H, W, Cout] at the shape's pitch, not over the input.</param>
    /// <param name="shape">Extents.</param>
    /// <param name="workspace">[<see cref="WorkspaceLength"/>], overwritten. It begins at a multiple of four
    /// elements of its buffer. Without it the context's memory is used, which grows to the largest
    /// call's.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape, lies elsewhere, or is written
    /// while it is read.</exception>
    public void Forward(
        ArrayView<T> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> output, Conv3dShape shape,
        ArrayView<T> workspace = default)
    {
        using CallerGate.Pass pass = Enter();
        RequireApart(
            Output(output, shape, nameof(output)), Input(input, shape, nameof(input)), Weight(weight, shape, nameof(weight)),
            Bias(bias, shape, nameof(bias)));
        RequireApart(
            Workspace(workspace, shape), Input(input, shape, nameof(input)), Weight(weight, shape, nameof(weight)),
            Bias(bias, shape, nameof(bias)), Output(output, shape, nameof(output)));
        launcher.For(shape).Forward(Context.Stream, input, weight, bias, output, shape, workspace);
    }

    /// <summary>Queues the gradient of the input. Overwrites gradInput.</summary>
    /// <param name="gradOutput">[N, D, H, W, Cout] at the shape's pitch.</param>
    /// <param name="output">As the forward pass wrote it, for the ReLU's mask; without an activation it is
    /// not read and may be empty.</param>
    /// <param name="weight">[k, k, k, Cin, Cout].</param>
    /// <param name="gradInput">[N, D, H, W, Cin] at the shape's pitch, not over gradOutput or output.</param>
    /// <param name="shape">Extents.</param>
    /// <param name="workspace">[<see cref="WorkspaceLength"/>], overwritten. It begins at a multiple of four
    /// elements of its buffer. Without it the context's memory is used, which grows to the largest
    /// call's.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape, lies elsewhere, or is written
    /// while it is read.</exception>
    public void BackwardInput(
        ArrayView<T> gradOutput, ArrayView<T> output, ArrayView<T> weight, ArrayView<T> gradInput, Conv3dShape shape,
        ArrayView<T> workspace = default)
    {
        using CallerGate.Pass pass = Enter();
        RequireApart(
            Input(gradInput, shape, nameof(gradInput)), Output(gradOutput, shape, nameof(gradOutput)),
            Output(shape.Activation == Activation.None ? default : output, shape, nameof(output)),
            Weight(weight, shape, nameof(weight)));
        RequireApart(
            Workspace(workspace, shape), Output(gradOutput, shape, nameof(gradOutput)), Output(output, shape, nameof(output)),
            Weight(weight, shape, nameof(weight)), Input(gradInput, shape, nameof(gradInput)));
        launcher.For(shape).BackwardInput(Context.Stream, gradOutput, output, weight, gradInput, shape, workspace);
    }

    /// <summary>Queues the gradients of weight and bias. Adds to gradWeight and gradBias.</summary>
    /// <param name="input">[N, D, H, W, Cin] at the shape's pitch.</param>
    /// <param name="gradOutput">[N, D, H, W, Cout] at the shape's pitch.</param>
    /// <param name="output">As for <see cref="BackwardInput"/>.</param>
    /// <param name="gradWeight">[k, k, k, Cin, Cout].</param>
    /// <param name="gradBias">[Cout].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="workspace">[<see cref="WorkspaceLength"/>], overwritten. It begins at a multiple of four
    /// elements of its buffer. Without it the context's memory is used, which grows to the largest
    /// call's.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape, lies elsewhere, or is written
    /// while it is read.</exception>
    public void BackwardWeight(
        ArrayView<T> input,
        ArrayView<T> gradOutput,
        ArrayView<T> output,
        ArrayView<T> gradWeight,
        ArrayView<T> gradBias,
        Conv3dShape shape,
        ArrayView<T> workspace = default)
    {
        using CallerGate.Pass pass = Enter();
        RequireApart(
            Workspace(workspace, shape), Input(input, shape, nameof(input)), Output(gradOutput, shape, nameof(gradOutput)),
            Output(output, shape, nameof(output)), Weight(gradWeight, shape, nameof(gradWeight)),
            Bias(gradBias, shape, nameof(gradBias)));
        RequireApart(
            Weight(gradWeight, shape, nameof(gradWeight)), Input(input, shape, nameof(input)),
            Output(gradOutput, shape, nameof(gradOutput)),
            Output(shape.Activation == Activation.None ? default : output, shape, nameof(output)),
            Bias(gradBias, shape, nameof(gradBias)));
        RequireApart(
            Bias(gradBias, shape, nameof(gradBias)), Input(input, shape, nameof(input)),
            Output(gradOutput, shape, nameof(gradOutput)),
            Output(shape.Activation == Activation.None ? default : output, shape, nameof(output)));
        launcher.For(shape).BackwardWeight(Context.Stream, input, gradOutput, output, gradWeight, gradBias, shape, workspace);
    }

    /// <summary>The forward pass in the caller's memory: copies in, computes, waits, copies out.</summary>
    /// <param name="input">[N, D, H, W, Cin].</param>
    /// <param name="weight">[k, k, k, Cin, Cout].</param>
    /// <param name="bias">[Cout].</param>
    /// <param name="output">[N, D, H, W, Cout], overwritten.</param>
    /// <param name="shape">Extents, without pitches wider than the channels.</param>
    /// <exception cref="ArgumentException">A span has another length than the shape says, or the shape is not
    /// dense.</exception>
    public void Forward(ReadOnlySpan<T> input, ReadOnlySpan<T> weight, ReadOnlySpan<T> bias, Span<T> output, Conv3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireDense(shape.InputPitch == shape.InputChannels && shape.OutputPitch == shape.OutputChannels, shape);
        ArrayView<T> x = Copies.In(0, input, shape.Voxels * shape.InputChannels, nameof(input));
        ArrayView<T> w = Copies.In(1, weight, shape.WeightLength, nameof(weight));
        ArrayView<T> b = Copies.In(2, bias, shape.OutputChannels, nameof(bias));
        ArrayView<T> y = Copies.Room(3, output.Length, shape.Voxels * shape.OutputChannels, nameof(output));
        Forward(x, w, b, y, shape);
        Copies.Out(3, output);
        Context.Synchronize();
    }

    /// <summary>The backward passes in the caller's memory: copies in, computes, waits, copies out.</summary>
    /// <param name="input">[N, D, H, W, Cin].</param>
    /// <param name="weight">[k, k, k, Cin, Cout].</param>
    /// <param name="output">[N, D, H, W, Cout], as the forward pass wrote it; may be empty without an
    /// activation.</param>
    /// <param name="gradOutput">[N, D, H, W, Cout].</param>
    /// <param name="gradInput">[N, D, H, W, Cin], overwritten; empty where it is not wanted.</param>
    /// <param name="gradWeight">[k, k, k, Cin, Cout], added to.</param>
    /// <param name="gradBias">[Cout], added to.</param>
    /// <param name="shape">Extents, without pitches wider than the channels.</param>
    /// <exception cref="ArgumentException">A span has another length than the shape says, or the shape is not
    /// dense.</exception>
    public void Backward(
        ReadOnlySpan<T> input,
        ReadOnlySpan<T> weight,
        ReadOnlySpan<T> output,
        ReadOnlySpan<T> gradOutput,
        Span<T> gradInput,
        Span<T> gradWeight,
        Span<T> gradBias,
        Conv3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireDense(shape.InputPitch == shape.InputChannels && shape.OutputPitch == shape.OutputChannels, shape);
        (long inputs, long outputs) = (shape.Voxels * shape.InputChannels, shape.Voxels * shape.OutputChannels);
        ArrayView<T> x = Copies.In(0, input, inputs, nameof(input));
        ArrayView<T> w = Copies.In(1, weight, shape.WeightLength, nameof(weight));
        ArrayView<T> y = Copies.In(3, output, shape.Activation == Activation.None ? output.Length : outputs, nameof(output));
        ArrayView<T> gy = Copies.In(4, gradOutput, outputs, nameof(gradOutput));
        ArrayView<T> gx = Copies.Room(5, gradInput.Length, gradInput.IsEmpty ? 0 : inputs, nameof(gradInput));
        ArrayView<T> gw = Copies.In(6, gradWeight, shape.WeightLength, nameof(gradWeight));
        ArrayView<T> gb = Copies.In(7, gradBias, shape.OutputChannels, nameof(gradBias));
        if (!gradInput.IsEmpty)
            BackwardInput(gy, y, w, gx, shape);
        BackwardWeight(x, gy, y, gw, gb, shape);
        Copies.Out(5, gradInput);
        Copies.Out(6, gradWeight);
        Copies.Out(7, gradBias);
        Context.Synchronize();
    }

    /// <inheritdoc/>
    public override void Prepare(Conv3dShape shape)
    {
        T[] input = new T[shape.Voxels * shape.InputChannels];
        T[] weight = new T[shape.WeightLength];
        T[] bias = new T[shape.OutputChannels];
        T[] output = new T[shape.Voxels * shape.OutputChannels];
        Forward(input, weight, bias, output, shape);
        Backward(input, weight, output, output, new T[input.Length], new T[weight.Length], new T[bias.Length], shape);
    }

    private static VoxelView<T> Input(ArrayView<T> view, Conv3dShape shape, string name)
        => new(view, shape.Voxels, shape.InputChannels, shape.InputPitch, name);

    private static VoxelView<T> Output(ArrayView<T> view, Conv3dShape shape, string name)
        => new(view, shape.Voxels, shape.OutputChannels, shape.OutputPitch, name);

    private static VoxelView<T> Weight(ArrayView<T> view, Conv3dShape shape, string name)
        => VoxelView<T>.Dense(view, shape.WeightLength, name);

    private static VoxelView<T> Bias(ArrayView<T> view, Conv3dShape shape, string name)
        => VoxelView<T>.Dense(view, shape.OutputChannels, name);

    private VoxelView<T> Workspace(ArrayView<T> view, Conv3dShape shape)
        => VoxelView<T>.Dense(view, view.Length == 0 ? 0 : WorkspaceLength(shape), "workspace");
}
