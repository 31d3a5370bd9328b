namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>What a tensor core multiplies; it adds in float32.</summary>
public enum TensorCorePrecision
{
    /// <summary>float32 rounded to 11 significant bits.</summary>
    Tf32,

    /// <summary>float32 rounded to 8 significant bits, at twice the speed.</summary>
    Bf16,
}
