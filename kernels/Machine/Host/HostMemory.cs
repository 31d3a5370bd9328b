using System.Runtime.InteropServices;

namespace MeanShiftGpu.Kernels.Machine.Host;

/// <summary>Access of the host variants to the CPU accelerator's memory.</summary>
internal static unsafe partial class HostMemory
{
    // Linux's advice to back a range with pages of 2 MiB.
    private const int AdviceHugePage = 14;
    private const nuint HugePageBytes = 2 << 20;

    /// <summary>
    /// The address of a view's first element. The view must belong to the CPU accelerator; its memory does
    /// not move.
    /// </summary>
    public static T* Pointer<T>(this ArrayView<T> view)
        where T : unmanaged
        => view.Length == 0 ? null : (T*)view.LoadEffectiveAddressAsPtr();

    /// <summary>A view of the CPU accelerator as a span.</summary>
    public static Span<T> AsHostSpan<T>(this ArrayView<T> view)
        where T : unmanaged
        => new(view.Pointer(), checked((int)view.Length));

    /// <summary>
    /// Asks for pages of 2 MiB wherever a whole one fits into a range; best before its first use. Rows of
    /// activations are kilobytes apart, so with pages of 4 KiB a pass over them waits for address
    /// translations. Only advice: elsewhere than on Linux, or where it is not taken, nothing changes.
    /// </summary>
    public static void AdviseHugePages(void* address, long bytes)
    {
        if (!OperatingSystem.IsLinux())
            return;
        nuint begin = ((nuint)address + HugePageBytes - 1) / HugePageBytes * HugePageBytes;
        nuint end = ((nuint)address + checked((nuint)bytes)) / HugePageBytes * HugePageBytes;
        if (begin < end)
            _ = AdviseMemory((void*)begin, end - begin, AdviceHugePage);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int AdviseMemory(void* address, nuint bytes, int advice);
}

/// <summary>
/// Memory outside the garbage-collected heap, 64-byte aligned, that grows on request and is kept between
/// calls: the packing buffers of the host variants. Contents are undefined after growing.
/// </summary>
internal sealed unsafe class HostScratch : IDisposable
{
    private void* memory;
    private nuint capacity;

    /// <summary>Bytes held at present.</summary>
    public long Bytes => (long)capacity;

    /// <summary>
    /// At least <paramref name="count"/> elements, valid until the next call or <see cref="Dispose"/>.
    /// </summary>
    public T* Require<T>(long count)
        where T : unmanaged
    {
        nuint bytes = checked((nuint)count * (nuint)sizeof(T));
        if (bytes > capacity)
        {
            Free();
            memory = NativeMemory.AlignedAlloc(bytes, 64);
            HostMemory.AdviseHugePages(memory, (long)bytes);
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
