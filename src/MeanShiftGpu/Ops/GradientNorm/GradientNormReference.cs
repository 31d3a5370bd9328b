namespace MeanShiftGpu.Ops.GradientNorm;

/// <summary>The gradient's Euclidean norm and its clip factor in float64.</summary>
public static class GradientNormReference
{
    /// <summary>√Σ g².</summary>
    public static double Norm(double[] gradients) => Math.Sqrt(gradients.Sum(static g => g * g));

    /// <summary>
    /// The number that, multiplied with the gradients, makes their norm at most <paramref name="maxNorm"/>; 1
    /// where that is 0 or less.
    /// </summary>
    public static double ClipFactor(double[] gradients, double maxNorm)
        => maxNorm <= 0 ? 1 : Math.Min(1, maxNorm / (Norm(gradients) + 1e-6));
}
