namespace MeanShiftGpu.Kernels.Machine.Real;

/// <summary>Four random 32-bit words.</summary>
internal readonly record struct PhiloxBlock(uint X, uint Y, uint Z, uint W);

/// <summary>
/// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
/// easy as 1, 2, 3" (SC 2011): random words are a function of a counter and a key, without state, so every
/// thread of every device draws its own and the same ones. Integer arithmetic only.
/// </summary>
internal static class Philox
{
    private const uint Multiplier0 = 0xD2511F53;
    private const uint Multiplier1 = 0xCD9E8D57;
    private const uint Weyl0 = 0x9E3779B9;
    private const uint Weyl1 = 0xBB67AE85;

    /// <summary>The block of random words at a counter under a 64-bit key.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static PhiloxBlock Block(uint counterX, uint counterY, uint counterZ, uint counterW, ulong key)
    {
        uint key0 = (uint)key;
        uint key1 = (uint)(key >> 32);
        for (int round = 0; round < 10; round++)
        {
            ulong product0 = (ulong)Multiplier0 * counterX;
            ulong product1 = (ulong)Multiplier1 * counterZ;
            counterX = (uint)(product1 >> 32) ^ counterY ^ key0;
            counterY = (uint)product1;
            counterZ = (uint)(product0 >> 32) ^ counterW ^ key1;
            counterW = (uint)product0;
            key0 += Weyl0;
            key1 += Weyl1;
        }

        return new PhiloxBlock(counterX, counterY, counterZ, counterW);
    }

    /// <summary>
    /// A random word scaled to 0 … range − 1. The values' probabilities differ by at most range/2³², which
    /// nothing here can see.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Below(uint random, int range) => (int)(((ulong)random * (uint)range) >> 32);
}
