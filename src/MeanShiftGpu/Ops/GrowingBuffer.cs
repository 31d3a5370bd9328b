using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;

namespace MeanShiftGpu.Ops;

/// <summary>Device memory that is kept between calls and replaced when a larger size is asked for.</summary>
internal sealed class GrowingBuffer<T> : IDisposable
    where T : unmanaged
{
    private MemoryBuffer1D<T, Stride1D.Dense>? buffer;

    /// <summary>Bytes held.</summary>
    public long Bytes => buffer?.LengthInBytes ?? 0;

    /// <summary>All of it; empty before the first use.</summary>
    public ArrayView<T> View => buffer is null ? default : buffer.View;

    /// <summary>The first <paramref name="length"/> elements, contents undefined.</summary>
    public ArrayView<T> Require(GpuContext context, long length)
    {
        if (buffer is null || buffer.Length < length)
        {
            // The kernels of the previous call may still be reading.
            if (buffer is not null)
                context.Synchronize();
            buffer?.Dispose();
            // Forgotten, so that it is not used again if there is no memory for the next.
            buffer = null;
            buffer = context.Accelerator.Allocate1D<T>(Math.Max(1, length));
        }

        return buffer.View.SubView(0, length);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        buffer?.Dispose();
        buffer = null;
    }
}
