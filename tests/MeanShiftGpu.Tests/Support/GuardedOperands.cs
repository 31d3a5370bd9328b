using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime.CPU;
using MeanShiftGpu.Device;

namespace MeanShiftGpu.Tests.Support;

/// <summary>
/// Operands that end exactly where a page begins which nobody may touch, or begin where one ends: a read or a
/// write out of bounds ends the process. Linux.
/// </summary>
/// <param name="context">A context of the CPU device.</param>
/// <param name="atStart">Whether operands begin at a protected page; otherwise they end at one.</param>
public sealed partial class GuardedOperands(GpuContext context, bool atStart) : Operands(context)
{
    /// <inheritdoc/>
    protected override ArrayView<T> Memory<T>(string name, long length)
    {
        GuardedBuffer buffer = Kept(
            new GuardedBuffer((CPUAccelerator)Context.Accelerator, Math.Max(1, length) * Interop.SizeOf<T>(), atStart));
        return buffer.AsArrayView<byte>(0, buffer.LengthInBytes).Cast<T>().SubView(0, length);
    }

    private sealed partial class GuardedBuffer : CPUMemoryBuffer
    {
        private const int ReadWrite = 3;
        private const int PrivateAnonymous = 0x22;

        private readonly nint pages;
        private readonly nint size;

        public GuardedBuffer(CPUAccelerator accelerator, long bytes, bool atStart)
            : base(accelerator, bytes, sizeof(byte))
        {
            nint page = Environment.SystemPageSize;
            nint inside = (nint)((bytes + page - 1) / page) * page;
            size = inside + 2 * page;
            pages = Map(0, size, ReadWrite, PrivateAnonymous, -1, 0);
            if (pages == -1 || Protect(pages, page, 0) != 0 || Protect(pages + page + inside, page, 0) != 0)
                throw new InvalidOperationException($"Guard pages around {bytes} bytes: error {Marshal.GetLastPInvokeError()}.");
            NativePtr = pages + page + (atStart ? 0 : inside - (nint)bytes);
        }

        protected override void DisposeAcceleratorObject(bool disposing)
        {
            _ = Unmap(pages, size);
            NativePtr = 0;
        }

        [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        private static partial nint Map(nint address, nint length, int protection, int flags, int file, nint offset);

        [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        private static partial int Protect(nint address, nint length, int protection);

        [LibraryImport("libc", EntryPoint = "munmap")]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        private static partial int Unmap(nint address, nint length);
    }
}
