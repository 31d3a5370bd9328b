using ILGPU.Backends.OpenCL;
using ILGPU.Runtime.OpenCL;

namespace MeanShiftGpu.Device;

/// <summary>
/// Compiles kernels to OpenCL C for the least capable device that ILGPU supports: no sub-groups, no 64-bit
/// atomics, no float16, float64 on request. No device and no driver is needed. What compiles here asks no
/// more of a device than that.
/// </summary>
public sealed class OpenCLCompiler : IDisposable
{
    private readonly OfflineCompiler compiler;

    /// <summary>Creates a compiler.</summary>
    /// <param name="float64">Whether the device has float64; without it a kernel that touches a double does
    /// not compile.</param>
    public OpenCLCompiler(bool float64)
    {
        compiler = new OfflineCompiler(float64 ? "OpenCL" : "OpenCL without float64", context => new CLBackend(
            context,
            new CLCapabilityContext(
                float16: false, float64: float64, genericAddressSpace: true, int64_Atomics: false, subGroups: false),
            CLDeviceVendor.Other,
            CLBackend.MinimumVersion));
    }

    /// <summary>The kernel's OpenCL C.</summary>
    /// <exception cref="InvalidOperationException">ILGPU cannot compile the kernel; the message names it and
    /// says why. Further kernels still compile.</exception>
    public string Compile(KernelEntry kernel)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        return ((CLCompiledKernel)compiler.Compile(kernel)).Source;
    }

    /// <inheritdoc/>
    public void Dispose() => compiler.Dispose();
}
