namespace MeanShiftGpu.Kernels.Machine;

/// <summary>Where a view lies, which ILGPU tells through its interfaces alone.</summary>
internal static class ViewPlace
{
    /// <summary>The buffer that a view is of.</summary>
    public static MemoryBuffer BufferOf<T>(ArrayView<T> view)
        where T : unmanaged
        => Buffer(view);

    /// <summary>The view's first element, counted from the buffer's.</summary>
    public static long IndexOf<T>(ArrayView<T> view)
        where T : unmanaged
        => Index(view);

    /// <summary>All of a buffer.</summary>
    public static ArrayView<T> Whole<T>(MemoryBuffer buffer)
        where T : unmanaged
        => buffer.AsArrayView<T>(0, buffer.LengthInBytes / Unsafe.SizeOf<T>());

    // Without boxing.
    private static MemoryBuffer Buffer<TView>(TView view)
        where TView : IArrayView
        => view.Buffer;

    private static long Index<TView>(TView view)
        where TView : IContiguousArrayView
        => view.Index;
}
