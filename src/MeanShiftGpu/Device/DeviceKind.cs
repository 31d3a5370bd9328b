namespace MeanShiftGpu.Device;

/// <summary>Which kind of device runs the kernels.</summary>
public enum DeviceKind
{
    /// <summary>
    /// The first that is there: an NVIDIA GPU, an OpenCL GPU with memory of its own, the CPU.
    /// </summary>
    Auto,

    /// <summary>An NVIDIA GPU through the CUDA driver.</summary>
    Cuda,

    /// <summary>A GPU (or CPU driver) through OpenCL.</summary>
    OpenCL,

    /// <summary>This machine's processor cores.</summary>
    Cpu,

    /// <summary>
    /// This machine's processor as a GPU with warps of 32 threads: kernels written for such warps run,
    /// slowly, for checks without a GPU. Never chosen automatically; a context on it reports
    /// <see cref="Cpu"/>.
    /// </summary>
    Simulated,
}
