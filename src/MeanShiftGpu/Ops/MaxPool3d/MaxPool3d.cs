using System.Numerics;
using ILGPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.MaxPool3d;

/// <summary>
/// The maximum of each 2³ block, stride 2, without a tape; of equal maxima the first in scan order gets the
/// gradient. With device views nothing is copied or waited for. Shapes come from
/// <see cref="MaxPool3dShape.Dense"/>.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public sealed class MaxPool3d<T> : TapelessOperation<T, MaxPool3dShape>
    where T : unmanaged, INumber<T>
{
    private readonly ChosenLauncher<IMaxPool3d<T>, MaxPool3dShape> launcher;

    /// <summary>Takes a device; kernels are compiled at the first call.</summary>
    /// <param name="context">The device; it must outlive this object.</param>
    /// <param name="variant">The name of the variant to use, as <see cref="TapelessOperation{T,
    /// TShape}.VariantsFor"/> lists them; null
    /// for the best, or what the context forces.</param>
    /// <exception cref="InputException">There is no such variant.</exception>
    public MaxPool3d(GpuContext context, string? variant = null)
        : this(context, new ChosenLauncher<IMaxPool3d<T>, MaxPool3dShape>(context, MaxPool3dVariants<T, T>.Table, variant))
    {
    }

    private MaxPool3d(GpuContext context, ChosenLauncher<IMaxPool3d<T>, MaxPool3dShape> launcher)
        : base(context, "MaxPool3d", 3, launcher) => this.launcher = launcher;

    /// <summary>Queues the forward pass on the context's stream. Overwrites output.</summary>
    /// <param name="input">[N, D, H, W, C] at the shape's pitch; D, H and W even.</param>
    /// <param name="output">[N, D/2, H/2, W/2, C] at the shape's pitch.</param>
    /// <param name="shape">Extents.</param>
    /// <exception cref="ArgumentException">An extent is odd, or a view is too short for the shape, lies
    /// elsewhere, or is written while it is read.</exception>
    public void Forward(ArrayView<T> input, ArrayView<T> output, MaxPool3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireApart(Output(output, shape, nameof(output)), Input(input, shape, nameof(input)));
        launcher.For(shape).Forward(Context.Stream, input, output, shape);
    }

    /// <summary>
    /// Queues the gradient of the input. Overwrites gradInput, or adds to it where the shape has
    /// <see cref="MaxPool3dShape.Accumulate"/> 1.
    /// </summary>
    /// <param name="input">[N, D, H, W, C] at the shape's pitch.</param>
    /// <param name="gradOutput">[N, D/2, H/2, W/2, C] at the shape's pitch.</param>
    /// <param name="gradInput">[N, D, H, W, C] at the shape's pitch.</param>
    /// <param name="shape">Extents.</param>
    /// <exception cref="ArgumentException">An extent is odd, or a view is too short for the shape, lies
    /// elsewhere, or is written while it is read.</exception>
    public void Backward(ArrayView<T> input, ArrayView<T> gradOutput, ArrayView<T> gradInput, MaxPool3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireApart(
            Input(gradInput, shape, nameof(gradInput)), Input(input, shape, nameof(input)),
            Output(gradOutput, shape, nameof(gradOutput)));
        launcher.For(shape).Backward(Context.Stream, input, gradOutput, gradInput, shape);
    }

    /// <summary>The forward pass in the caller's memory: copies in, computes, waits, copies out.</summary>
    /// <param name="input">[N, D, H, W, C].</param>
    /// <param name="output">[N, D/2, H/2, W/2, C], overwritten.</param>
    /// <param name="shape">Extents, without pitches wider than the channels.</param>
    /// <exception cref="ArgumentException">A span has another length than the shape says, or the shape is not
    /// dense.</exception>
    public void Forward(ReadOnlySpan<T> input, Span<T> output, MaxPool3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireDense(shape.InputPitch == shape.Channels && shape.OutputPitch == shape.Channels, shape);
        ArrayView<T> x = Copies.In(0, input, shape.InputVoxels * shape.Channels, nameof(input));
        ArrayView<T> y = Copies.Room(1, output.Length, shape.OutputVoxels * shape.Channels, nameof(output));
        Forward(x, y, shape);
        Copies.Out(1, output);
        Context.Synchronize();
    }

    /// <summary>The backward pass in the caller's memory: copies in, computes, waits, copies out.</summary>
    /// <param name="input">[N, D, H, W, C].</param>
    /// <param name="gradOutput">[N, D/2, H/2, W/2, C].</param>
    /// <param name="gradInput">[N, D, H, W, C], overwritten, or added to where the shape has
    /// <see cref="MaxPool3dShape.Accumulate"/> 1.</param>
    /// <param name="shape">Extents, without pitches wider than the channels.</param>
    /// <exception cref="ArgumentException">A span has another length than the shape says, or the shape is not
    /// dense.</exception>
    public void Backward(ReadOnlySpan<T> input, ReadOnlySpan<T> gradOutput, Span<T> gradInput, MaxPool3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        RequireDense(shape.InputPitch == shape.Channels && shape.OutputPitch == shape.Channels, shape);
        long inputs = shape.InputVoxels * shape.Channels;
        ArrayView<T> x = Copies.In(0, input, inputs, nameof(input));
        ArrayView<T> gy = Copies.In(1, gradOutput, shape.OutputVoxels * shape.Channels, nameof(gradOutput));
        ArrayView<T> gx = Copies.In(2, gradInput, inputs, nameof(gradInput));
        Backward(x, gy, gx, shape);
        Copies.Out(2, gradInput);
        Context.Synchronize();
    }

    /// <inheritdoc/>
    public override void Prepare(MaxPool3dShape shape)
    {
        T[] input = new T[shape.InputVoxels * shape.Channels];
        T[] output = new T[shape.OutputVoxels * shape.Channels];
        Forward(input, output, shape);
        Backward(input, output, new T[input.Length], shape);
    }

    private static VoxelView<T> Input(ArrayView<T> view, MaxPool3dShape shape, string name)
        => new(view, shape.InputVoxels, shape.Channels, shape.InputPitch, name);

    private static VoxelView<T> Output(ArrayView<T> view, MaxPool3dShape shape, string name)
        => new(view, shape.OutputVoxels, shape.Channels, shape.OutputPitch, name);
}
