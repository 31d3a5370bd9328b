namespace MeanShiftGpu.Ops.BinaryCrossEntropy;

/// <summary>The mean binary cross-entropy in float64, slow and obvious.</summary>
public static class BinaryCrossEntropyReference
{
    /// <summary>−1/n · Σ t·log p + (1 − t)·log(1 − p), each logarithm at least −100.</summary>
    /// <exception cref="ArgumentException">Scores and target are not equally many.</exception>
    public static double Forward(double[] scores, double[] target)
    {
        RequireSame(scores, target);
        return -scores.Zip(target, static (p, t) => t * Math.Max(Math.Log(p), -100) + (1 - t) * Math.Max(Math.Log(1 - p), -100))
            .Average();
    }

    /// <summary>The gradient of the scores: (p − t) / max(p·(1 − p), 1e−12) / n.</summary>
    /// <exception cref="ArgumentException">Scores and target are not equally many.</exception>
    public static double[] Backward(double[] scores, double[] target)
    {
        RequireSame(scores, target);
        return [.. scores.Zip(target, (p, t) => (p - t) / Math.Max(p * (1 - p), 1e-12) / scores.Length)];
    }

    private static void RequireSame(double[] scores, double[] target)
    {
        ArgumentNullException.ThrowIfNull(scores);
        new ReferenceOperands("BinaryCrossEntropyReference").Require(target, scores.Length, nameof(target));
    }
}
