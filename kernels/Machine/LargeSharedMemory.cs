using ILGPU.Runtime.Cuda;

namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// Shared memory beyond the 48 KiB that a CUDA kernel may have without asking, for which ILGPU has no call.
/// </summary>
internal static unsafe class LargeSharedMemory
{
    private const int WithoutAsking = 48 << 10;
    private const int MaxDynamicSharedSizeBytes = 8;

    // What the driver keeps of a multiprocessor's shared memory for every group.
    private const int Reserved = 1 << 10;

    private static readonly Lazy<nint> FuncSetAttribute = new(() => CudaLibrary.Function("cuFuncSetAttribute"));

    /// <summary>The most bytes that one group can have.</summary>
    public static int Most(Accelerator accelerator)
        => accelerator is CudaAccelerator cuda ? cuda.MaxSharedMemoryPerMultiprocessor - Reserved : int.MaxValue;

    /// <summary>Lets a kernel be launched with this much dynamic shared memory.</summary>
    /// <exception cref="InvalidOperationException">The driver refuses.</exception>
    public static void Allow(Kernel kernel, int bytes)
    {
        if (kernel is not CudaKernel cuda || bytes <= WithoutAsking)
            return;
        kernel.Accelerator.Bind();
        int error = ((delegate* unmanaged<nint, int, int, int>)FuncSetAttribute.Value)(
            cuda.FunctionPtr, MaxDynamicSharedSizeBytes, bytes);
        if (error != 0)
            throw new InvalidOperationException($"The CUDA driver refuses {bytes} bytes of shared memory for a kernel (error "
                + $"{error}); {kernel.Accelerator.Name} has {Most(kernel.Accelerator)}.");
    }
}
