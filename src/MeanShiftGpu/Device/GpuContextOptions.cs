namespace MeanShiftGpu.Device;

/// <summary>How a <see cref="GpuContext"/> chooses its device and its kernels.</summary>
public sealed record GpuContextOptions
{
    /// <summary>The device; <see cref="DeviceKind.Auto"/> also obeys the environment variable
    /// MEANSHIFTGPU_DEVICE (cuda, cuda:1, opencl, cpu, simulated).</summary>
    public DeviceKind Device { get; init; } = DeviceKind.Auto;

    /// <summary>
    /// Which device of that kind, from 0 in the order of its driver; null for the one with the most memory.
    /// Needs <see cref="Device"/> to be Cuda or OpenCL.
    /// </summary>
    public int? DeviceIndex { get; init; }

    /// <summary>
    /// Which of several processes on this machine this is, from 0: where they are to use GPUs and
    /// <see cref="DeviceIndex"/> does not say which, each takes another one, in turn. Null for a process by
    /// itself.
    /// </summary>
    public int? ProcessOnMachine { get; init; }

    /// <summary>
    /// Forces kernel variants: a variant's name for every operation that has one ("Direct"), or a list per
    /// operation ("conv3d=HostSimd,max-pool3d=Direct"). Null obeys the environment variable
    /// MEANSHIFTGPU_VARIANT; empty means automatic.
    /// </summary>
    public string? Variant { get; init; }

    /// <summary>
    /// To what tensor cores may round the operands of convolutions. Null obeys the environment variable
    /// MEANSHIFTGPU_PRECISION (float32, tf32, bf16, bf16-operands), and without it means float32.
    /// </summary>
    public Precision? Precision { get; init; }

    /// <summary>
    /// Threads of the host (CPU) variants; 0 means one for each processor. Results do not depend on it.
    /// </summary>
    public int Threads { get; init; }
}
