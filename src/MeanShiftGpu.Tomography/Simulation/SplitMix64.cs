namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>
/// The SplitMix64 generator (Steele, Lea and Flood, 2014): a counter in steps of the golden ratio, each value
/// mixed to 64 random bits. Written here so that simulated data stay the same whatever the version of .NET. A
/// stream is named by three numbers, so that volume 7 of a data set can be made without the six before it.
/// </summary>
internal sealed class SplitMix64
{
    private const ulong Step = 0x9E3779B97F4A7C15;
    private ulong state;
    private double spareNormal;
    private bool hasSpareNormal;

    public SplitMix64(long seed, int index, int stream)
    {
        // Mixing after every part keeps streams apart whose names differ by small numbers.
        state = Mix(unchecked((ulong)seed + Step));
        state = Mix(unchecked(state + (uint)index + Step));
        state = Mix(unchecked(state + (uint)stream + Step));
    }

    public ulong NextBits()
    {
        state = unchecked(state + Step);
        return Mix(state);
    }

    /// <summary>Uniform in [0, 1), 53 bits.</summary>
    public double NextDouble() => (NextBits() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Uniform in 0 … count − 1 (the bias of the multiplication is below count/2⁶⁴).</summary>
    public int NextInt(int count) => (int)Math.BigMul(NextBits(), (ulong)count, out _);

    /// <summary>
    /// Normal with mean 0 and SD 1, by the transform of Box and Muller (1958), both of its values used in
    /// turn.
    /// </summary>
    public double NextNormal()
    {
        if (hasSpareNormal)
        {
            hasSpareNormal = false;
            return spareNormal;
        }

        // 1 − u lies in (0, 1]: its logarithm is finite.
        double radius = Math.Sqrt(-2 * Math.Log(1 - NextDouble()));
        (double sin, double cos) = Math.SinCos(2 * Math.PI * NextDouble());
        spareNormal = radius * sin;
        hasSpareNormal = true;
        return radius * cos;
    }

    private static ulong Mix(ulong z)
    {
        z = unchecked((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9);
        z = unchecked((z ^ (z >> 27)) * 0x94D049BB133111EB);
        return z ^ (z >> 31);
    }
}
