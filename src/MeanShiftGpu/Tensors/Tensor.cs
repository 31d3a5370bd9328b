using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Tensors;

/// <summary>
/// An activation [N, D, H, W, C] on a device, or a slice of the channels of one. It does not own its memory,
/// which holds numbers of type T or, in the BF16 mode of a float32 network, <see cref="Bf16"/>; the gradient
/// is stored likewise.
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
    /// <exception cref="ArgumentException">The view is too short for the shape, or an extent is
    /// negative.</exception>
    public Tensor(ArrayView<T> view, TensorShape shape, bool requiresGradient = false)
        : this(new TensorStorage<T>(Filled(view, shape).Cast<byte>(), shape, isBf16: false)
        {
            RequiresGradient =
            requiresGradient
        }, 0, shape.Channels)
    {
    }

    /// <summary>Extents; the channels are those of the slice.</summary>
    public TensorShape Shape { get; }

    /// <summary>Elements from one voxel to the next.</summary>
    public int Pitch => Storage.Shape.Channels;

    /// <summary>The memory from the first element on; voxel v, channel c is at v·Pitch + c.</summary>
    /// <exception cref="InvalidOperationException">The tensor is stored as BF16; see <see cref="ViewAs"/>. Or
    /// it is of an earlier tape, and its memory has gone to another.</exception>
    public ArrayView<T> View => ViewAs<T>();

    /// <summary>Whether the memory holds <see cref="Bf16"/>.</summary>
    public bool IsBf16 => Storage.IsBf16;

    /// <summary>Whether a tape computes this tensor's gradient.</summary>
    public bool RequiresGradient => Storage.RequiresGradient;

    internal TensorStorage<T> Storage { get; }

    internal int ChannelOffset { get; }

    /// <summary>Refuses an output over this input, which an operation still reads; wrapped views of one
    /// memory included.</summary>
    internal void RequireApart(Tensor<T> output, string operation)
    {
        if (IsBf16 == output.IsBf16
            && (IsBf16 ? Covered<Bf16>().Overlaps(output.Covered<Bf16>()) : Covered<T>().Overlaps(output.Covered<T>())))
            throw new ArgumentException(
                $"{operation}: the output overlaps the input, which is still read. Give an output of other memory.",
                nameof(output));
    }

    private VoxelView<TElement> Covered<TElement>()
        where TElement : unmanaged
        => new(ViewAs<TElement>(), Shape.Voxels, Shape.Channels, Pitch, "");

    internal bool IsWhole => Shape.Channels == Storage.Shape.Channels;

    /// <summary>
    /// The memory as what it holds, T or <see cref="Bf16"/>, laid out as <see cref="View"/>.
    /// </summary>
    /// <exception cref="InvalidOperationException">It holds the other. Or it is of an earlier tape, and its
    /// memory has gone to another.</exception>
    public ArrayView<TElement> ViewAs<TElement>()
        where TElement : unmanaged
        => FromChannel(Storage.ViewAs<TElement>());

    /// <summary>
    /// The gradient's memory, laid out like <see cref="ViewAs"/>; only once a tape's backward pass has
    /// written it.
    /// </summary>
    internal ArrayView<TElement> GradientAs<TElement>()
        where TElement : unmanaged
        => FromChannel(Storage.GradientAs<TElement>());

    /// <summary>A view of the whole storage from this slice's first channel on.</summary>
    internal ArrayView<TElement> FromChannel<TElement>(ArrayView<TElement> whole)
        where TElement : unmanaged
        => whole.SubView(ChannelOffset, whole.Length - ChannelOffset);

    /// <summary>A slice of the channels; it shares this tensor's memory and gradient.</summary>
    public Tensor<T> Channels(int offset, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset + (long)count, Shape.Channels);
        return new Tensor<T>(Storage, ChannelOffset + offset, count);
    }

    /// <summary>
    /// Some planes of a tensor of one item. It shares the memory but no gradient, and a tape does not see
    /// that it is the same: for inference.
    /// </summary>
    internal Tensor<T> Planes(int first, int count) => new(Storage.Planes(first, count), ChannelOffset, Shape.Channels);

    /// <summary>Copies the tensor to the host, [N, D, H, W, C] dense. Waits for the stream.</summary>
    /// <exception cref="ArgumentNullException">The context is null.</exception>
    /// <exception cref="ArgumentException">The tensor is on another device.</exception>
    /// <exception cref="InvalidOperationException">It is of an earlier tape, and its memory has gone to
    /// another.</exception>
    public T[] ToArray(GpuContext context)
    {
        using CallerGate.Pass pass = Enter(context, "Tensor.ToArray");
        return IsBf16 ? Gather(context, Storage.ViewAs<Bf16>(), Widened)
            : Gather(context, Storage.ViewAs<T>(), static value => value);
    }

    /// <summary>Copies the gradient to the host, [N, D, H, W, C] dense. Waits for the stream.</summary>
    /// <exception cref="ArgumentNullException">The context is null.</exception>
    /// <exception cref="ArgumentException">The tensor is on another device.</exception>
    /// <exception cref="InvalidOperationException">No backward pass has reached this tensor.</exception>
    public T[] GradientToArray(GpuContext context)
    {
        using CallerGate.Pass pass = Enter(context, "Tensor.GradientToArray");
        if (!Storage.HadGradient)
            throw new InvalidOperationException("This tensor has no gradient: no backward pass has reached it, or it does not "
                + "require one.");
        return IsBf16 ? Gather(context, Storage.GradientAs<Bf16>(), Widened)
            : Gather(context, Storage.GradientAs<T>(), static value => value);
    }

    // The arena's context is the one whose calls write the tensor and whose disposal takes it.
    private CallerGate.Pass Enter(GpuContext context, string operation)
    {
        ArgumentNullException.ThrowIfNull(context);
        return (Storage.Arena is { IsDisposed: false } arena ? arena.Context : context).Enter(operation);
    }

    private static ArrayView<T> Filled(ArrayView<T> view, TensorShape shape) => view.Length >= shape.CheckedLength
        ? view
        : throw new ArgumentException($"Tensor: the view holds {view.Length} numbers, expected {shape.Length} for {shape}. "
            + "Give a longer view, or the shape of what it holds.", nameof(view));

    private static T Widened(Bf16 value) => T.CreateChecked(value.ToSingle());

    private T[] Gather<TElement>(GpuContext context, ArrayView<TElement> source, Converter<TElement, T> convert)
        where TElement : unmanaged
    {
        if (Storage.Arena is { } arena && arena.Context.Accelerator != context.Accelerator)
            throw new ArgumentException("This tensor is on another device, expected the context of its tape.", nameof(context));
        using Launch read = Launch.Begin(context.Stream, "Tensor");
        read.Require(source, source.Length, "tensor");
        TElement[] stored = new TElement[source.Length];
        source.CopyToCPU(context.Stream, stored);
        context.Synchronize();
        T[] whole = Array.ConvertAll(stored, convert);
        if (IsWhole)
            return whole;
        T[] slice = new T[Shape.Length];
        for (long voxel = 0; voxel < Shape.Voxels; voxel++)
            Array.Copy(whole, voxel * Pitch + ChannelOffset, slice, voxel * Shape.Channels, Shape.Channels);
        return slice;
    }
}

/// <summary>The memory behind a tensor and all its slices, with what a tape has to know of it.</summary>
/// <param name="memory">Where it lies.</param>
/// <param name="shape">The extents.</param>
/// <param name="isBf16">Whether it holds <see cref="Bf16"/>.</param>
/// <param name="arena">Whose memory it is; null for the caller's.</param>
internal sealed class TensorStorage<T>(ArrayView<byte> memory, TensorShape shape, bool isBf16, Arena? arena = null)
    where T : unmanaged
{
    // How often each channel was written, so that a tape can tell whether what it remembers is still there.
    private readonly int[] writes = new int[shape.Channels];

    private Lease values = new(memory, arena);
    private Lease? gradient;

    public bool IsBf16 { get; } = isBf16;

    public Arena? Arena => arena;

    public long ElementBytes => IsBf16 ? Interop.SizeOf<Bf16>() : Interop.SizeOf<T>();

    public TensorShape Shape { get; } = shape;

    public bool RequiresGradient { get; set; }

    public bool HasGradient => gradient is { IsCurrent: true };

    /// <summary>Whether there is a gradient, or was one, which asking for it will say.</summary>
    public bool HadGradient => gradient is not null;

    public ArrayView<TElement> ViewAs<TElement>()
        where TElement : unmanaged
        => As<TElement>(Held(values));

    public ArrayView<TElement> GradientAs<TElement>()
        where TElement : unmanaged
        => As<TElement>(Held(gradient ?? default));

    /// <summary>Where the gradient goes.</summary>
    /// <param name="bytes">The memory.</param>
    /// <param name="of">The arena that it is of.</param>
    public void GiveGradient(ArrayView<byte> bytes, Arena of) => gradient = new Lease(bytes, of);

    /// <summary>Says that a graph, captured from a tape that has ended, writes the tensor again.</summary>
    public void Renew() => values = new Lease(memory, arena);

    public ArrayView<TElement> As<TElement>(ArrayView<byte> bytes)
        where TElement : unmanaged
        => typeof(TElement) == (IsBf16 ? typeof(Bf16) : typeof(T))
            ? bytes.Cast<TElement>()
            : throw new InvalidOperationException($"This tensor {Shape} is stored as {(IsBf16 ? "BF16" : typeof(T).Name)}, the "
                + $"operation takes {typeof(TElement).Name}.");

    public TensorStorage<T> Planes(int first, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(Shape.Batch, 1);
        long plane = (long)Shape.Height * Shape.Width * Shape.Channels * ElementBytes;
        return new TensorStorage<T>(memory.SubView(first * plane, count * plane), Shape with { Depth = count }, IsBf16, arena);
    }

    private ArrayView<byte> Held(Lease lease)
    {
        if (lease.IsCurrent)
            return lease.Bytes;
        throw lease.Arena!.IsDisposed
            ? new ObjectDisposedException(nameof(Arena), $"This tensor {Shape} is of an arena that was disposed. Read it before.")
            : new InvalidOperationException($"This tensor {Shape} is of a tape that has ended, and its memory was given to "
                + "others since. Read a tensor before the next tape begins on its arena, or give that tape an arena of its own.");
    }

    // Memory of an arena, until that is taken back and hands it to others; without one the caller's.
    private readonly record struct Lease(ArrayView<byte> Bytes, Arena? Arena)
    {
        private readonly int generation = Arena?.Generation ?? 0;

        public bool IsCurrent => Arena is null || (Arena.Generation == generation && !Arena.IsDisposed);
    }

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
