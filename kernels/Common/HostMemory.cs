using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Kernels;

/// <summary>Access of the host variants to the CPU accelerator's memory.</summary>
public static unsafe class HostMemory
{
    /// <summary>The address of a view's first element. The view must belong to the CPU accelerator; its memory does not move.</summary>
    public static T* Pointer<T>(this ArrayView<T> view)
        where T : unmanaged
        => view.Length == 0 ? null : (T*)view.LoadEffectiveAddressAsPtr();

    /// <summary>A view of the CPU accelerator as a span.</summary>
    public static Span<T> AsHostSpan<T>(this ArrayView<T> view)
        where T : unmanaged
        => new(view.Pointer(), checked((int)view.Length));
}

/// <summary>
/// Memory outside the garbage-collected heap, 64-byte aligned, that grows on request and is kept between calls:
/// the packing buffers of the host variants. Contents are undefined after growing.
/// </summary>
public sealed unsafe class HostScratch : IDisposable
{
    private void* memory;
    private nuint capacity;

    /// <summary>Bytes held at present.</summary>
    public long Bytes => (long)capacity;

    /// <summary>At least <paramref name="count"/> elements, valid until the next call or <see cref="Dispose"/>.</summary>
    public T* Require<T>(long count)
        where T : unmanaged
    {
        nuint bytes = checked((nuint)count * (nuint)sizeof(T));
        if (bytes > capacity)
        {
            Free();
            memory = NativeMemory.AlignedAlloc(bytes, 64);
            capacity = bytes;
        }

        return (T*)memory;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the memory of an instance that was not disposed.</summary>
    ~HostScratch() => Free();

    // Forgotten as well, so that it is not freed or used again if there is no memory for what should follow.
    private void Free()
    {
        NativeMemory.AlignedFree(memory);
        memory = null;
        capacity = 0;
    }
}
