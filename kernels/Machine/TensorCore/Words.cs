namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// Four 32-bit words in a row, which a GPU moves with one 16-byte access. What they mean is the user's:
/// floats, TF32 or pairs of BF16.
/// </summary>
internal struct Words
{
    public uint X;
    public uint Y;
    public uint Z;
    public uint W;
}

/// <summary>Two 32-bit words in a row, which a GPU moves with one 8-byte access.</summary>
internal struct WordPair
{
    public uint X;
    public uint Y;
}
