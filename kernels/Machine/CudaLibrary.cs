using System.Runtime.InteropServices;

namespace MeanShiftGpu.Kernels.Machine;

/// <summary>The CUDA driver's own functions, of which ILGPU has no call for some.</summary>
internal static class CudaLibrary
{
    private static readonly Lazy<nint> Library = new(() =>
        NativeLibrary.Load(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1"));

    /// <summary>The address of a function; where a device is open the library is there.</summary>
    /// <exception cref="EntryPointNotFoundException">The driver has no such function.</exception>
    public static nint Function(string name) => NativeLibrary.GetExport(Library.Value, name);

    /// <summary>Throws where a call failed.</summary>
    /// <param name="error">What it returned.</param>
    /// <param name="function">Its name.</param>
    /// <exception cref="InvalidOperationException">The error is not 0.</exception>
    public static void Check(int error, string function)
    {
        if (error != 0)
            throw new InvalidOperationException(
                $"The CUDA driver refuses {function} (error {error}), expected 0. An earlier kernel may have failed.");
    }
}
