using System.Numerics;
using ILGPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Ops.MaxPool3d;

/// <summary>
/// The maximum of each 2³ block, stride 2, without a tape; of equal maxima the first in scan order gets the
/// gradient. With device views nothing is copied or waited for. Shapes come from
/// <see cref="MaxPool3dShape.Dense"/>.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public sealed class MaxPool3d<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    private readonly GpuContext context;
    private readonly ChosenLauncher<IMaxPool3d<T>, MaxPool3dShape> launcher;
    private readonly HostCopies<T> copies;
    private bool disposed;

    /// <summary>Takes a device; kernels are compiled at the first call.</summary>
    /// <param name="context">The device; it must outlive this object.</param>
    /// <param name="variant">The name of the variant to use, as <see cref="VariantsFor"/> lists them; null
    /// for the best, or what the context forces.</param>
    /// <exception cref="InputException">There is no such variant.</exception>
    public MaxPool3d(GpuContext context, string? variant = null)
    {
        ArgumentNullException.ThrowIfNull(context);
        this.context = context;
        launcher = new(context, MaxPool3dVariants<T, T>.Table, variant);
        copies = new(context, "MaxPool3d", 3);
    }

    /// <summary>Bytes of device memory held for the calls with spans.</summary>
    public long Bytes => copies.Bytes;

    /// <summary>The name of the variant that computes a shape here.</summary>
    /// <exception cref="InputException">The named variant cannot.</exception>
    public string VariantFor(MaxPool3dShape shape) => launcher.NameFor(shape);

    /// <summary>
    /// The names of all variants that can compute a shape on this device, best first; the last is the plain
    /// one.
    /// </summary>
    public IReadOnlyList<string> VariantsFor(MaxPool3dShape shape) => launcher.NamesFor(shape);

    /// <summary>Queues the forward pass on the context's stream. Overwrites output.</summary>
    /// <param name="input">[N, D, H, W, C] at the shape's pitch; D, H and W even.</param>
    /// <param name="output">[N, D/2, H/2, W/2, C] at the shape's pitch.</param>
    /// <param name="shape">Extents.</param>
    /// <exception cref="ArgumentException">An extent is odd, or a view is too short for the shape or lies
    /// elsewhere.</exception>
    public void Forward(ArrayView<T> input, ArrayView<T> output, MaxPool3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        launcher.For(shape).Forward(context.Stream, input, output, shape);
    }

    /// <summary>
    /// Queues the gradient of the input. Overwrites gradInput, or adds to it where the shape has
    /// <see cref="MaxPool3dShape.Accumulate"/> 1.
    /// </summary>
    /// <param name="input">[N, D, H, W, C] at the shape's pitch.</param>
    /// <param name="gradOutput">[N, D/2, H/2, W/2, C] at the shape's pitch.</param>
    /// <param name="gradInput">[N, D, H, W, C] at the shape's pitch.</param>
    /// <param name="shape">Extents.</param>
    /// <exception cref="ArgumentException">An extent is odd, or a view is too short for the shape or lies
    /// elsewhere.</exception>
    public void Backward(ArrayView<T> input, ArrayView<T> gradOutput, ArrayView<T> gradInput, MaxPool3dShape shape)
    {
        using CallerGate.Pass pass = Enter();
        launcher.For(shape).Backward(context.Stream, input, gradOutput, gradInput, shape);
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
        RequireDense(shape);
        ArrayView<T> x = copies.In(0, input, shape.InputVoxels * shape.Channels, nameof(input));
        ArrayView<T> y = copies.Room(1, output.Length, shape.OutputVoxels * shape.Channels, nameof(output));
        Forward(x, y, shape);
        copies.Out(1, output);
        context.Synchronize();
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
        RequireDense(shape);
        long inputs = shape.InputVoxels * shape.Channels;
        ArrayView<T> x = copies.In(0, input, inputs, nameof(input));
        ArrayView<T> gy = copies.In(1, gradOutput, shape.OutputVoxels * shape.Channels, nameof(gradOutput));
        ArrayView<T> gx = copies.In(2, gradInput, inputs, nameof(gradInput));
        Backward(x, gy, gx, shape);
        copies.Out(2, gradInput);
        context.Synchronize();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        disposed = true;
        copies.Dispose();
    }

    private CallerGate.Pass Enter()
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        return context.Enter("MaxPool3d");
    }

    private static void RequireDense(MaxPool3dShape shape)
    {
        if (shape.InputPitch != shape.Channels || shape.OutputPitch != shape.Channels)
            throw new ArgumentException(
                $"MaxPool3d: the shape is {shape}, expected pitches equal to the channels. Give device views for slices of " +
                $"channels.",
                nameof(shape));
    }
}
