namespace MeanShiftGpu.Geometry;

/// <summary>The size of a volume or patch in voxels.</summary>
/// <param name="Depth">Along z.</param>
/// <param name="Height">Along y.</param>
/// <param name="Width">Along x, the fastest axis in memory.</param>
public readonly record struct Extent(int Depth, int Height, int Width)
{
    /// <summary>Depth·Height·Width.</summary>
    public long Voxels => (long)Depth * Height * Width;

    /// <summary>The smallest extent that holds this one and whose edges are multiples of a number.</summary>
    public Extent RoundUpTo(int divisor) => new(RoundUp(Depth, divisor), RoundUp(Height, divisor), RoundUp(Width, divisor));

    /// <inheritdoc/>
    public override string ToString() => $"{Depth}×{Height}×{Width}";

    private static int RoundUp(int value, int divisor) => (value + divisor - 1) / divisor * divisor;
}
