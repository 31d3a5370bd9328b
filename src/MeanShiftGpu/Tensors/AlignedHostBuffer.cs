using System.Runtime.InteropServices;
using ILGPU.Runtime.CPU;

namespace MeanShiftGpu.Tensors;

/// <summary>
/// Memory of the CPU accelerator that begins at a multiple of a given number of bytes. ILGPU's own begins at
/// a multiple of 16, and a view that were moved on to a better address would begin in the middle of a 32-byte
/// element, which a cast to such elements rounds down.
/// </summary>
internal sealed unsafe class AlignedHostBuffer : CPUMemoryBuffer
{
    /// <summary>Allocates.</summary>
    /// <param name="accelerator">The CPU accelerator.</param>
    /// <param name="bytes">How many.</param>
    /// <param name="alignment">A power of two.</param>
    /// <exception cref="OutOfMemoryException">The machine has no more.</exception>
    public AlignedHostBuffer(CPUAccelerator accelerator, long bytes, int alignment)
        : base(accelerator, bytes, sizeof(byte))
        => NativePtr = (nint)NativeMemory.AlignedAlloc((nuint)bytes, (nuint)alignment);

    /// <inheritdoc/>
    protected override void DisposeAcceleratorObject(bool disposing)
    {
        NativeMemory.AlignedFree((void*)NativePtr);
        NativePtr = 0;
    }
}
