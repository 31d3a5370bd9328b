namespace MeanShiftGpu.Device;

/// <summary>How a <see cref="GpuContext"/> chooses its device and its kernels.</summary>
public sealed record GpuContextOptions
{
    /// <summary>The device; <see cref="DeviceKind.Auto"/> also obeys the environment variable MEANSHIFTGPU_DEVICE (cuda, opencl, cpu, simulated).</summary>
    public DeviceKind Device { get; init; } = DeviceKind.Auto;

    /// <summary>
    /// Forces kernel variants: a variant's name for every operation that has one ("Direct"), or a list per operation
    /// ("conv3d=HostSimd,max-pool3d=Direct"). Null obeys the environment variable MEANSHIFTGPU_VARIANT; empty means automatic.
    /// </summary>
    public string? Variant { get; init; }

    /// <summary>
    /// To what tensor cores may round the operands of convolutions. Null obeys the environment variable MEANSHIFTGPU_PRECISION (float32, tf32, bf16, bf16-operands), and
    /// without it means float32.
    /// </summary>
    public Precision? Precision { get; init; }

    /// <summary>Threads of the host (CPU) variants; 0 means one for each processor. Results do not depend on it.</summary>
    public int Threads { get; init; }
}
