using System.Runtime.InteropServices;
using ILGPU.Runtime.Cuda;

namespace MeanShiftGpu.Kernels.Machine;

/// <summary>The CUDA driver's own functions, of which ILGPU has no call for some.</summary>
internal static class CudaLibrary
{
    /// <summary>The name of its file.</summary>
    public static readonly string Name = OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";

    private static readonly Lazy<nint> Library = new(() => NativeLibrary.Load(Name));

    /// <summary>The address of a function; where a device is open the library is there.</summary>
    /// <exception cref="EntryPointNotFoundException">The driver has no such function.</exception>
    public static nint Function(string name) => NativeLibrary.GetExport(Library.Value, name);

    /// <summary>Throws where a call failed, as ILGPU's own calls do.</summary>
    /// <param name="error">What it returned; errors of kernels queued earlier are among them.</param>
    /// <exception cref="CudaException">The error is not 0.</exception>
    public static void Check(int error)
    {
        if (error != 0)
            throw new CudaException((CudaError)error);
    }
}
