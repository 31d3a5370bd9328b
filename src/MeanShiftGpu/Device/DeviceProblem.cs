using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace MeanShiftGpu.Device;

/// <summary>What a failure inside a device's driver means, in a line that a person can act on.</summary>
public static class DeviceProblem
{
    private const int CudaOutOfMemory = 2;
    private const int OpenCLAllocationFailure = -4;
    private const int OpenCLOutOfResources = -5;
    private const int OpenCLOutOfHostMemory = -6;

    /// <summary>
    /// The explanation of an exception that a driver caused; null where it is none of those.
    /// </summary>
    /// <remarks>
    /// GPUs report what happens in a kernel at a later call: whatever waits or copies may throw. The context
    /// cannot be used after that, so such a failure ends the program, or its use of the device.
    /// </remarks>
    /// <param name="exception">What was thrown; its inner exceptions are looked at too.</param>
    public static string? Explain(Exception exception)
    {
        for (Exception? e = exception; e is not null; e = e.InnerException)
        {
            string? explained = e switch
            {
                CudaException cuda => OfCuda(Code(cuda)),
                CLException openCL => OfOpenCL((int)openCL.Error),
                AcceleratorException => e.Message,
                _ => null,
            };
            if (explained is not null)
                return $"device: {explained}";
        }

        return null;
    }

    /// <summary>Whether an exception means that a device has no memory left.</summary>
    internal static bool IsOutOfMemory(Exception exception)
        => exception is OutOfMemoryException
            || (exception is CudaException cuda && Code(cuda) == CudaOutOfMemory)
            || exception is CLException
            {
                Error: (CLError)OpenCLAllocationFailure or (CLError)OpenCLOutOfResources or (
                CLError)OpenCLOutOfHostMemory
            };

    /// <summary>The meaning of an error of the CUDA driver.</summary>
    internal static string OfCuda(int code) => code switch
    {
        CudaOutOfMemory => "the GPU has no memory left. End other programs on it (nvidia-smi lists them), or take the device cpu",
        100 or 101 => "the CUDA device is not there any more. Check nvidia-smi",
        200 or 209 or 218 or 222 => $"the driver does not take this program's kernels (CUDA error {code}): it is too old for "
            + "this GPU. Install a newer NVIDIA driver",
        214 => $"the GPU reports an uncorrectable memory error (CUDA error {code}). Its results cannot be trusted; reset it, "
            + "and have it replaced if that recurs",
        220 => $"the link between GPUs (NVLink) reports an uncorrectable error (CUDA error {code}). Check nvidia-smi nvlink "
            + "--status; this program needs one GPU only, so another may serve",
        802 or 803 => new CudaDriver(true, code, 0).Problem!,
        46 or 999 => $"the GPU was lost or taken by another program (CUDA error {code}). Check nvidia-smi and the system's "
            + "log, then start again; training goes on with --resume",
        700 or 714 or 715 or 716 or 717 or 718 or 719 => $"a kernel failed on the GPU (CUDA error {code}), after which the "
            + "device must be opened again. Start again (training with --resume); if it fails at the same place, that is a "
            + "defect: report it with what nvidia-smi shows",
        702 => "a kernel ran longer than the driver allows on a GPU that drives a display. Use another GPU or the device cpu; in "
            + "training a smaller patch may do",
        _ => $"the CUDA driver reports error {code}",
    };

    /// <summary>The meaning of an error of an OpenCL driver.</summary>
    internal static string OfOpenCL(int code) => code switch
    {
        OpenCLAllocationFailure or OpenCLOutOfResources or OpenCLOutOfHostMemory => "the OpenCL device has no memory left "
            + $"(error {code}). End other programs on it, or take the device cpu",
        -1 or -2 => $"the OpenCL device is not there or was lost (error {code}). Check that clinfo lists it, then start again",
        -3 or -11 or -15 or -17 => $"the OpenCL driver does not compile this program's kernels (error {code}). Install a newer "
            + "driver, or take the device cpu",
        -54 or -55 => $"the OpenCL device does not allow groups of the size that a kernel needs (error {code}). Set "
            + "MEANSHIFTGPU_VARIANT=Direct, and report the device",
        _ => $"the OpenCL driver reports error {code}",
    };

    // ILGPU gives the error's name.
    private static int Code(CudaException exception) => Enum.TryParse(exception.Error, out CudaError error) ? (int)error : -1;
}
