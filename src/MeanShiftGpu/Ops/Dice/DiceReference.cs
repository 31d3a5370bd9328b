namespace MeanShiftGpu.Ops.Dice;

/// <summary>The Dice loss over a whole batch in float64, slow and obvious.</summary>
public static class DiceReference
{
    /// <summary>1 − (2·Σ p·t + 1) / (Σ p + Σ t + 1).</summary>
    public static double Forward(double[] prediction, double[] target)
    {
        (double numerator, double denominator) = Fraction(prediction, target);
        return 1 - numerator / denominator;
    }

    /// <summary>The gradient of the prediction, by the quotient rule.</summary>
    public static double[] Backward(double[] prediction, double[] target)
    {
        (double numerator, double denominator) = Fraction(prediction, target);
        return [.. target.Select(t => -(2 * t * denominator - numerator) / (denominator * denominator))];
    }

    private static (double Numerator, double Denominator) Fraction(double[] prediction, double[] target)
        => (2 * prediction.Zip(target, static (p, t) => p * t).Sum() + 1, prediction.Sum() + target.Sum() + 1);
}
