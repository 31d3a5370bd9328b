using System.Runtime.InteropServices;
using MeanShiftGpu.Kernels.Machine;

namespace MeanShiftGpu.Device;

/// <summary>
/// What the NVIDIA driver says of itself, asked without ILGPU, which silently skips a driver that it cannot
/// use.
/// </summary>
/// <param name="IsInstalled">Whether the driver's library is there.</param>
/// <param name="InitError">What cuInit returned; 0 for success.</param>
/// <param name="Version">1000·major + 10·minor of the newest CUDA that the driver knows; 0 where it was not
/// asked.</param>
internal readonly record struct CudaDriver(bool IsInstalled, int InitError, int Version)
{
    // The driver of CUDA 11.0 is the first that takes PTX 7.0, the oldest that ILGPU writes for sm_80.
    private const int OldestVersion = 11000;

    private const int FirstWithoutVolta = 13000;

    /// <summary>Asks the driver of this machine.</summary>
    public static CudaDriver Ask()
    {
        if (!NativeLibrary.TryLoad(CudaLibrary.Name, out nint handle))
            return new CudaDriver(false, 0, 0);
        // The driver stays loaded: it cannot be unloaded once it has begun, and ILGPU uses it too.
        int error = Marshal.GetDelegateForFunctionPointer<Init>(NativeLibrary.GetExport(handle, "cuInit"))(0);
        int version = 0;
        _ = Marshal.GetDelegateForFunctionPointer<DriverGetVersion>(NativeLibrary.GetExport(handle, "cuDriverGetVersion"))(
            ref version);
        return new CudaDriver(true, error, version);
    }

    /// <summary>
    /// Why no CUDA device can be used, and what to do; null where nothing is wrong with the driver.
    /// </summary>
    public string? Problem
        => !IsInstalled ? "the NVIDIA driver is not installed (its library libcuda was not found). Install it, or, in a "
            + "container, start that with --gpus all"
            : Version is > 0 and < OldestVersion ? "the NVIDIA driver is too old: it knows CUDA "
                + $"{Version / 1000}.{Version % 1000 / 10}, at least {OldestVersion / 1000}.0 is needed. Install driver 450 or "
                + "newer (520 for an H100 or H200)"
            : InitError switch
            {
                0 => null,
                100 when Version >= FirstWithoutVolta => "the NVIDIA driver is installed but finds no GPU. Check nvidia-smi "
                    + "and CUDA_VISIBLE_DEVICES. Drivers of CUDA 13 and newer leave out cards below compute capability 7.5 "
                    + "(GeForce 10 and older, Pascal, Volta): for those install driver 580 or older",
                100 => "the NVIDIA driver is installed but finds no GPU. Check nvidia-smi and CUDA_VISIBLE_DEVICES",
                802 => "the NVIDIA driver is not ready (a machine with NVSwitch needs its fabric manager running)",
                803 => "the NVIDIA driver's library and kernel module are of different versions, as after an update. Restart "
                    + "the machine",
                _ => $"the NVIDIA driver does not start (cuInit returned {InitError}). Check that nvidia-smi works",
            };

    [UnmanagedFunctionPointer(CallingConvention.Winapi)]
    private delegate int Init(uint flags);

    [UnmanagedFunctionPointer(CallingConvention.Winapi)]
    private delegate int DriverGetVersion(ref int version);
}
