namespace MeanShiftGpu.Ops.Sum;

/// <summary>Sum and mean in float64, slow and obvious.</summary>
public static class SumReference
{
    /// <summary>Σ source.</summary>
    public static double Sum(double[] source) => source.Sum();

    /// <summary>Σ source / n.</summary>
    public static double Mean(double[] source) => source.Sum() / source.Length;
}
