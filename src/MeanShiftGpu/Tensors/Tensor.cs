using System.Numerics;
using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Tensors;

/// <summary>
/// An activation [N, D, H, W, C] on a device, or a slice of the channels of one. It does not own its memory.
/// </summary>
public sealed class Tensor<T>
    where T : unmanaged, INumber<T>
{
    internal Tensor(TensorStorage<T> storage, int channelOffset, int channels)
    {
        Storage = storage;
        ChannelOffset = channelOffset;
        Shape = storage.Shape with { Channels = channels };
    }

    /// <summary>Wraps memory of the caller's.</summary>
    /// <param name="view">[N, D, H, W, C], dense.</param>
    /// <param name="shape">The extents.</param>
    /// <param name="requiresGradient">Whether a tape computes this tensor's gradient.</param>
    public Tensor(ArrayView<T> view, TensorShape shape, bool requiresGradient = false)
        : this(new TensorStorage<T>(view, shape) { RequiresGradient = requiresGradient }, 0, shape.Channels)
    {
    }

    /// <summary>Extents; the channels are those of the slice.</summary>
    public TensorShape Shape { get; }

    /// <summary>Elements from one voxel to the next.</summary>
    public int Pitch => Storage.Shape.Channels;

    /// <summary>The memory from the first element on; voxel v, channel c is at v·Pitch + c.</summary>
    public ArrayView<T> View => Storage.View.SubView(ChannelOffset, Storage.View.Length - ChannelOffset);

    /// <summary>Whether a tape computes this tensor's gradient.</summary>
    public bool RequiresGradient => Storage.RequiresGradient;

    internal TensorStorage<T> Storage { get; }

    internal int ChannelOffset { get; }

    internal bool IsWhole => Shape.Channels == Storage.Shape.Channels;

    /// <summary>The gradient's memory, laid out like <see cref="View"/>; only once a tape's backward pass has written it.</summary>
    internal ArrayView<T> GradientView => Storage.Gradient.SubView(ChannelOffset, Storage.Gradient.Length - ChannelOffset);

    /// <summary>A slice of the channels; it shares this tensor's memory and gradient.</summary>
    public Tensor<T> Channels(int offset, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset + count, Shape.Channels);
        return new Tensor<T>(Storage, ChannelOffset + offset, count);
    }

    /// <summary>Copies the tensor to the host, [N, D, H, W, C] dense. Waits for the stream.</summary>
    public T[] ToArray(GpuContext context) => Gather(context, Storage.View);

    /// <summary>Copies the gradient to the host, [N, D, H, W, C] dense. Waits for the stream.</summary>
    /// <exception cref="InvalidOperationException">No backward pass has reached this tensor.</exception>
    public T[] GradientToArray(GpuContext context) => Storage.HasGradient
        ? Gather(context, Storage.Gradient)
        : throw new InvalidOperationException("This tensor has no gradient: no backward pass has reached it, or it does not require one.");

    private T[] Gather(GpuContext context, ArrayView<T> source)
    {
        T[] whole = new T[source.Length];
        source.CopyToCPU(context.Stream, whole);
        context.Synchronize();
        if (IsWhole)
            return whole;
        T[] slice = new T[Shape.Length];
        for (long voxel = 0; voxel < Shape.Voxels; voxel++)
            Array.Copy(whole, voxel * Pitch + ChannelOffset, slice, voxel * Shape.Channels, Shape.Channels);
        return slice;
    }
}

/// <summary>The memory behind a tensor and all its slices, with what a tape has to know of it.</summary>
internal sealed class TensorStorage<T>(ArrayView<T> view, TensorShape shape)
    where T : unmanaged
{
    // How often each channel was written, so that a tape can tell whether what it remembers is still there.
    private readonly int[] writes = new int[shape.Channels];

    public ArrayView<T> View { get; } = view;

    public TensorShape Shape { get; } = shape;

    public bool RequiresGradient { get; set; }

    public ArrayView<T> Gradient { get; set; }

    public bool HasGradient { get; set; }

    public int Version(int channelOffset, int channels)
    {
        int version = 0;
        for (int c = channelOffset; c < channelOffset + channels; c++)
            version += writes[c];
        return version;
    }

    public void CountWrite(int channelOffset, int channels)
    {
        for (int c = channelOffset; c < channelOffset + channels; c++)
            writes[c]++;
    }
}
