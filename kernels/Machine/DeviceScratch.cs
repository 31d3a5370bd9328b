namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// Device memory that a launcher needs between its own kernels: what the caller lends (<see
/// cref="LentMemory"/>), or else its own, which grows at the first call of a larger shape and stays.
/// </summary>
internal sealed class DeviceScratch<T>(Accelerator accelerator) : IDisposable
    where T : unmanaged
{
    private MemoryBuffer1D<T, Stride1D.Dense>? buffer;

    /// <summary>At least as many elements, their contents undefined.</summary>
    public ArrayView<T> Get(AcceleratorStream stream, long length)
    {
        if (LentMemory.Of(stream) is { } lent)
            return lent.Take<T>(length);
        if (buffer is null || buffer.Length < length)
        {
            // Kernels queued earlier may still use the old memory.
            stream.Synchronize();
            DeviceAddresses.Change(accelerator);
            buffer?.Dispose();
            // Forgotten, so that it is not used again if there is no memory for the next.
            buffer = null;
            buffer = accelerator.Allocate1D<T>(length);
        }

        return buffer.View.BaseView.SubView(0, length);
    }

    public void Dispose() => buffer?.Dispose();
}
