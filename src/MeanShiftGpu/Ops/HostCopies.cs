using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Ops;

/// <summary>
/// The device's copies of what a caller has in spans, kept between calls: one for each operand, by its
/// number.
/// </summary>
/// <param name="context">The device.</param>
/// <param name="operation">The operation, for messages.</param>
/// <param name="count">How many operands there are.</param>
internal sealed class HostCopies<T>(GpuContext context, string operation, int count) : IDisposable
    where T : unmanaged
{
    private readonly GrowingBuffer<T>[] buffers = [.. Enumerable.Range(0, count).Select(_ => new GrowingBuffer<T>())];

    /// <summary>Bytes of device memory held.</summary>
    public long Bytes => buffers.Sum(b => b.Bytes);

    /// <summary>Copies an operand to the device.</summary>
    /// <exception cref="ArgumentException">It has another length than expected.</exception>
    public ArrayView<T> In(int operand, ReadOnlySpan<T> values, long length, string name)
    {
        ArrayView<T> view = Room(operand, values.Length, length, name);
        if (length > 0)
            HostTransfer.ToDevice(context, values, view);
        return view;
    }

    /// <summary>Room for an operand that is written.</summary>
    /// <exception cref="ArgumentException">The caller's span has another length than expected.</exception>
    public ArrayView<T> Room(int operand, long held, long length, string name) => held == length
        ? buffers[operand].Require(context, length)
        : throw new ArgumentException(
            $"{operation}: {name} holds {held} numbers, expected {length} for this shape. Give spans of what the shape says.",
            name);

    /// <summary>Copies an operand back. Does not wait.</summary>
    public void Out(int operand, Span<T> values)
    {
        if (values.Length > 0)
            HostTransfer.ToHost(context, buffers[operand].Require(context, values.Length), values);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (GrowingBuffer<T> buffer in buffers)
            buffer.Dispose();
    }
}

/// <summary>
/// Copies between spans and the device. On the CPU device they are plain copies, for which nothing is
/// allocated.
/// </summary>
internal static class HostTransfer
{
    /// <summary>Copies to the device.</summary>
    public static void ToDevice<T>(GpuContext context, ReadOnlySpan<T> values, ArrayView<T> view)
        where T : unmanaged
    {
        if (context.Kind == DeviceKind.Cpu)
            values.CopyTo(view.AsHostSpan());
        else
            view.CopyFromCPU(context.Stream, values);
    }

    /// <summary>Queues a copy from the device.</summary>
    public static void ToHost<T>(GpuContext context, ArrayView<T> view, Span<T> values)
        where T : unmanaged
    {
        if (context.Kind == DeviceKind.Cpu)
            view.AsHostSpan().CopyTo(values);
        else
            view.CopyToCPU(context.Stream, values);
    }
}
