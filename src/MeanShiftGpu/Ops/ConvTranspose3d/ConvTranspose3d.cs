using System.Numerics;
using System.Runtime.CompilerServices;
using ILGPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.ConvTranspose3d;

/// <summary>
/// The transposed 3D convolution without a tape: kernel 2³, stride 2, bias, which doubles the extents. With
/// device views nothing is copied or waited for. Shapes come from <see cref="ConvTranspose3dShape.Dense"/>,
/// weights from PyTorch through <see cref="PyTorchWeights"/>.
/// </summary>
/// <remarks>
/// Gradients of weight and bias are added to what is there, the gradient of the input overwrites.
/// </remarks>
/// <typeparam name="T">float or double.</typeparam>
public sealed class ConvTranspose3d<T> : TapelessOperation<T, ConvTranspose3dShape>
    where T : unmanaged, INumber<T>
{
    private readonly ChosenLauncher<IConvTranspose3d<T, T>, ConvTranspose3dShape> launcher;

    /// <summary>Takes a device; kernels are compiled at the first call.</summary>
    /// <param name="context">The device; it must outlive this object.</param>
    /// <param name="variant">The name of the variant to use, as <see cref="TapelessOperation{T,
    /// TShape}.VariantsFor"/> lists them; null
    /// for the best, or what the context forces.</param>
    /// <exception cref="InputException">There is no such variant.</exception>
    public ConvTranspose3d(GpuContext context, string? variant = null)
        : this(
            context,
            new ChosenLauncher<IConvTranspose3d<T, T>, ConvTranspose3dShape>(
                context, ConvTranspose3dVariants<T, T>.Table, variant))
    {
    }

    private ConvTranspose3d(GpuContext context, ChosenLauncher<IConvTranspose3d<T, T>, ConvTranspose3dShape> launcher)
        : base(context, "ConvTranspose3d", 7, launcher) => this.launcher = launcher;

    /// <summary>
    /// Elements of device memory that a pass needs beside its operands: sums of parts and packed weights. It
    /// is 0 on the CPU device, whose variants keep what they pack with the context.
    /// </summary>
    public long WorkspaceLength(ConvTranspose3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        return launcher.For(shape).WorkspaceBytes(Context.Stream, shape) / Unsafe.SizeOf<T>();
    }

    /// <summary>Queues the forward pass on the context's stream. Overwrites output.</summary>
    /// <param name="input">[N, D, H, W, Cin] at the shape's pitch.</param>
    /// <param name="weight">[2, 2, 2, Cin, Cout].</param>
    /// <param name="bias">[Cout].</param>
    /// <param name="output">[N, 2D, 2H, 2W, Cout] at the shape's pitch, not over the input.</param>
    /// <param name="shape">Extents.</param>
    /// <param name="workspace">[<see cref="WorkspaceLength"/>], overwritten. It begins at a multiple of four
    /// elements of its buffer. Without it the context's memory is used, which grows to the largest
    /// call's.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape, lies elsewhere, or is written
    /// while it is read.</exception>
    public void Forward(
        ArrayView<T> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> output, ConvTranspose3dShape shape,
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
    /// <param name="gradOutput">[N, 2D, 2H, 2W, Cout] at the shape's pitch.</param>
    /// <param name="weight">[2, 2, 2, Cin, Cout].</param>
    /// <param name="gradInput">[N, D, H, W, Cin] at the shape's pitch, not over gradOutput.</param>
    /// <param name="shape">Extents.</param>
    /// <param name="workspace">[<see cref="WorkspaceLength"/>], overwritten. It begins at a multiple of four
    /// elements of its buffer. Without it the context's memory is used, which grows to the largest
    /// call's.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape, lies elsewhere, or is written
    /// while it is read.</exception>
    public void BackwardInput(
        ArrayView<T> gradOutput, ArrayView<T> weight, ArrayView<T> gradInput, ConvTranspose3dShape shape,
        ArrayView<T> workspace = default)
    {
        using CallerGate.Pass pass = Enter();
        RequireApart(
            Input(gradInput, shape, nameof(gradInput)), Output(gradOutput, shape, nameof(gradOutput)),
            Weight(weight, shape, nameof(weight)));
        RequireApart(
            Workspace(workspace, shape), Output(gradOutput, shape, nameof(gradOutput)), Weight(weight, shape, nameof(weight)),
            Input(gradInput, shape, nameof(gradInput)));
        launcher.For(shape).BackwardInput(Context.Stream, gradOutput, weight, gradInput, shape, workspace);
    }

    /// <summary>Queues the gradients of weight and bias. Adds to gradWeight and gradBias.</summary>
    /// <param name="input">[N, D, H, W, Cin] at the shape's pitch.</param>
    /// <param name="gradOutput">[N, 2D, 2H, 2W, Cout] at the shape's pitch.</param>
    /// <param name="gradWeight">[2, 2, 2, Cin, Cout].</param>
    /// <param name="gradBias">[Cout].</param>
    /// <param name="shape">Extents.</param>
    /// <param name="workspace">[<see cref="WorkspaceLength"/>], overwritten. It begins at a multiple of four
    /// elements of its buffer. Without it the context's memory is used, which grows to the largest
    /// call's.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape, lies elsewhere, or is written
    /// while it is read.</exception>
    public void BackwardWeight(
        ArrayView<T> input, ArrayView<T> gradOutput, ArrayView<T> gradWeight, ArrayView<T> gradBias, ConvTranspose3dShape shape,
        ArrayView<T> workspace = default)
    {
        using CallerGate.Pass pass = Enter();
        RequireApart(
            Workspace(workspace, shape), Input(input, shape, nameof(input)), Output(gradOutput, shape, nameof(gradOutput)),
            Weight(gradWeight, shape, nameof(gradWeight)), Bias(gradBias, shape, nameof(gradBias)));
        RequireApart(
            Weight(gradWeight, shape, nameof(gradWeight)), Input(input, shape, nameof(input)),
            Output(gradOutput, shape, nameof(gradOutput)), Bias(gradBias, shape, nameof(gradBias)));
        RequireApart(
            Bias(gradBias, shape, nameof(gradBias)), Input(input, shape, nameof(input)),
            Output(gradOutput, shape, nameof(gradOutput)));
        launcher.For(shape).BackwardWeight(Context.Stream, input, gradOutput, gradWeight, gradBias, shape, workspace);
    }

    /// <summary>The forward pass in the caller's memory: copies in, computes, waits, copies out.</summary>
    /// <param name="input">[N, D, H, W, Cin].</param>
    /// <param name="weight">[2, 2, 2, Cin, Cout].</param>
    /// <param name="bias">[Cout].</param>
    /// <param name="output">[N, 2D, 2H, 2W, Cout], overwritten.</param>
    /// <param name="shape">Extents, without pitches wider than the channels.</param>
    /// <exception cref="ArgumentException">A span has another length than the shape says, or the shape is not
    /// dense.</exception>
    public void Forward(
        ReadOnlySpan<T> input, ReadOnlySpan<T> weight, ReadOnlySpan<T> bias, Span<T> output, ConvTranspose3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireDense(shape.InputPitch == shape.InputChannels && shape.OutputPitch == shape.OutputChannels, shape);
        ArrayView<T> x = Copies.In(0, input, shape.InputVoxels * shape.InputChannels, nameof(input));
        ArrayView<T> w = Copies.In(1, weight, shape.WeightLength, nameof(weight));
        ArrayView<T> b = Copies.In(2, bias, shape.OutputChannels, nameof(bias));
        ArrayView<T> y = Copies.Room(3, output.Length, shape.OutputVoxels * shape.OutputChannels, nameof(output));
        Forward(x, w, b, y, shape);
        Copies.Out(3, output);
        Context.Synchronize();
    }

    /// <summary>The backward passes in the caller's memory: copies in, computes, waits, copies out.</summary>
    /// <param name="input">[N, D, H, W, Cin].</param>
    /// <param name="weight">[2, 2, 2, Cin, Cout].</param>
    /// <param name="gradOutput">[N, 2D, 2H, 2W, Cout].</param>
    /// <param name="gradInput">[N, D, H, W, Cin], overwritten; empty where it is not wanted.</param>
    /// <param name="gradWeight">[2, 2, 2, Cin, Cout], added to.</param>
    /// <param name="gradBias">[Cout], added to.</param>
    /// <param name="shape">Extents, without pitches wider than the channels.</param>
    /// <exception cref="ArgumentException">A span has another length than the shape says, or the shape is not
    /// dense.</exception>
    public void Backward(
        ReadOnlySpan<T> input,
        ReadOnlySpan<T> weight,
        ReadOnlySpan<T> gradOutput,
        Span<T> gradInput,
        Span<T> gradWeight,
        Span<T> gradBias,
        ConvTranspose3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireDense(shape.InputPitch == shape.InputChannels && shape.OutputPitch == shape.OutputChannels, shape);
        long inputs = shape.InputVoxels * shape.InputChannels;
        ArrayView<T> x = Copies.In(0, input, inputs, nameof(input));
        ArrayView<T> w = Copies.In(1, weight, shape.WeightLength, nameof(weight));
        ArrayView<T> gy = Copies.In(3, gradOutput, shape.OutputVoxels * shape.OutputChannels, nameof(gradOutput));
        ArrayView<T> gx = Copies.Room(4, gradInput.Length, gradInput.IsEmpty ? 0 : inputs, nameof(gradInput));
        ArrayView<T> gw = Copies.In(5, gradWeight, shape.WeightLength, nameof(gradWeight));
        ArrayView<T> gb = Copies.In(6, gradBias, shape.OutputChannels, nameof(gradBias));
        if (!gradInput.IsEmpty)
            BackwardInput(gy, w, gx, shape);
        BackwardWeight(x, gy, gw, gb, shape);
        Copies.Out(4, gradInput);
        Copies.Out(5, gradWeight);
        Copies.Out(6, gradBias);
        Context.Synchronize();
    }

    /// <inheritdoc/>
    public override void Prepare(ConvTranspose3dShape shape)
    {
        T[] input = new T[shape.InputVoxels * shape.InputChannels];
        T[] weight = new T[shape.WeightLength];
        T[] bias = new T[shape.OutputChannels];
        T[] output = new T[shape.OutputVoxels * shape.OutputChannels];
        Forward(input, weight, bias, output, shape);
        Backward(input, weight, output, new T[input.Length], new T[weight.Length], new T[bias.Length], shape);
    }

    private static VoxelView<T> Input(ArrayView<T> view, ConvTranspose3dShape shape, string name)
        => new(view, shape.InputVoxels, shape.InputChannels, shape.InputPitch, name);

    private static VoxelView<T> Output(ArrayView<T> view, ConvTranspose3dShape shape, string name)
        => new(view, shape.OutputVoxels, shape.OutputChannels, shape.OutputPitch, name);

    private static VoxelView<T> Weight(ArrayView<T> view, ConvTranspose3dShape shape, string name)
        => VoxelView<T>.Dense(view, shape.WeightLength, name);

    private static VoxelView<T> Bias(ArrayView<T> view, ConvTranspose3dShape shape, string name)
        => VoxelView<T>.Dense(view, shape.OutputChannels, name);

    private VoxelView<T> Workspace(ArrayView<T> view, ConvTranspose3dShape shape)
        => VoxelView<T>.Dense(view, view.Length == 0 ? 0 : WorkspaceLength(shape), "workspace");
}
