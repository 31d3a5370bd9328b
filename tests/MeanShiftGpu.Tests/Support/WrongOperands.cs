using ILGPU;
using MeanShiftGpu.Device;

namespace MeanShiftGpu.Tests.Support;

/// <summary>Operands of which one is one element too short.</summary>
/// <param name="context">The device.</param>
/// <param name="which">The number of the one that is short, in the order in which they are asked for.</param>
public sealed class ShortOperands(GpuContext context, int which) : Operands(context)
{
    /// <inheritdoc/>
    protected override ArrayView<T> Memory<T>(string name, long length)
        => length > 0 && Asked.Count - 1 == which ? base.Memory<T>(name, length).SubView(0, length - 1) : base.Memory<T>(
            name, length);
}

/// <summary>Operands and extents of which some are nonsense.</summary>
/// <param name="context">The device.</param>
/// <param name="random">Decides which.</param>
public sealed class NonsenseOperands(GpuContext context, Random random) : Operands(context)
{
    private static readonly int[] Numbers = [-1, 0, 1, 2, 3, 4, 8, 17, 1000, 46341, int.MinValue, int.MaxValue];
    private static readonly double[] Reals =
        [double.NaN, -1, 0, 1e-300, 1e-3, 0.5, 20, 1024, 1e30, double.PositiveInfinity, double.MaxValue];
    private static readonly float[] Values =
        [float.NaN, float.PositiveInfinity, float.NegativeInfinity, 1e30f, -1e30f, 1e-45f, -1, 0, 4, 3e9f];

    // More is refused or takes long; nonsense asks for lengths that no memory has.
    private const long MostElements = 1 << 17;

    // Most calls have one thing wrong or none, some much.
    private readonly double share = random.Next(3) switch { 0 => 0.02, 1 => 0.1, _ => 0.4 };
    private readonly double valueShare = random.Next(4) == 0 ? 0.1 : 0;

    /// <inheritdoc/>
    public override int N(int right) => IsWrong() ? Numbers[random.Next(Numbers.Length)] : right;

    /// <inheritdoc/>
    public override double X(double right) => IsWrong() ? Reals[random.Next(Reals.Length)] : right;

    /// <inheritdoc/>
    protected override float Value(Random values)
        => values.NextDouble() < valueShare ? Values[values.Next(Values.Length)] : 8 * values.NextSingle();

    /// <inheritdoc/>
    protected override ArrayView<T> Memory<T>(string name, long length)
    {
        long given = !IsWrong() ? length : random.Next(5) switch
        {
            0 => length - 1,
            1 => length / 2,
            2 => 0,
            3 => length + 1 + random.Next(100),
            _ => random.Next(64),
        };
        // Those of the operands before; this one is still filled.
        if (random.NextDouble() < share / 20)
            Dispose();
        return base.Memory<T>(name, Math.Clamp(given, 0, MostElements));
    }

    private bool IsWrong() => random.NextDouble() < share;
}
