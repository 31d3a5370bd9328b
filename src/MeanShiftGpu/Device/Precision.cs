namespace MeanShiftGpu;

/// <summary>
/// To what a device may round the operands of matrix products (convolutions) on its way to float32 sums. Activations, parameters and gradients stay
/// float32 in memory. Only tensor cores use it; everything else computes in float32 whatever is allowed.
/// </summary>
public enum Precision
{
    /// <summary>Not at all: the default.</summary>
    Float32,

    /// <summary>TF32, 11 significant bits: relative errors of a convolution up to 2e-3.</summary>
    Tf32,

    /// <summary>BF16, 8 significant bits: relative errors of a convolution up to 2e-2.</summary>
    Bf16,
}
