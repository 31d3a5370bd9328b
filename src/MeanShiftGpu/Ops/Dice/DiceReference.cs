namespace MeanShiftGpu.Ops.Dice;

/// <summary>The Dice loss over a whole batch in float64, slow and obvious.</summary>
public static class DiceReference
{
    /// <summary>1 − (2·Σ p·t + 1) / (Σ p + Σ t + 1).</summary>
    /// <exception cref="ArgumentException">Scores and target are not equally many.</exception>
    public static double Forward(double[] scores, double[] target)
    {
        (double numerator, double denominator) = Fraction(scores, target);
        return 1 - numerator / denominator;
    }

    /// <summary>The gradient of the scores, by the quotient rule.</summary>
    /// <exception cref="ArgumentException">Scores and target are not equally many.</exception>
    public static double[] Backward(double[] scores, double[] target)
    {
        (double numerator, double denominator) = Fraction(scores, target);
        return [.. target.Select(t => -(2 * t * denominator - numerator) / (denominator * denominator))];
    }

    private static (double Numerator, double Denominator) Fraction(double[] scores, double[] target)
    {
        ArgumentNullException.ThrowIfNull(scores);
        new ReferenceOperands("DiceReference").Require(target, scores.Length, nameof(target));
        return (2 * scores.Zip(target, static (p, t) => p * t).Sum() + 1, scores.Sum() + target.Sum() + 1);
    }
}
