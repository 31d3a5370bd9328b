namespace MeanShiftGpu.Device;

/// <summary>
/// To what a device may round on its way to float32 sums: the operands of matrix products (convolutions) and,
/// with <see cref="Bf16"/>, the network's activations in memory. Parameters, their gradients, score maps and
/// losses are float32 whatever is allowed. Only tensor cores round; a device without them computes in
/// float32.
/// </summary>
public enum Precision
{
    /// <summary>Nothing: the default.</summary>
    Float32,

    /// <summary>Operands to TF32, 11 significant bits: relative errors of a convolution up to 2e-3.</summary>
    Tf32,

    /// <summary>
    /// Operands to BF16, 8 significant bits, and activations and their gradients stored so, in half the
    /// memory: relative errors of a convolution up to 2e-2.
    /// </summary>
    Bf16,

    /// <summary>
    /// Operands to BF16 on their way to the tensor cores; activations and their gradients stay float32 in
    /// memory.
    /// </summary>
    Bf16Operands,
}
