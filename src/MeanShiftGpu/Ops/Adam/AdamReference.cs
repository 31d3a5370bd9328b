namespace MeanShiftGpu.Ops.Adam;

/// <summary>
/// Adam with decoupled weight decay in float64, slow and obvious: it keeps its own moments and counts its own
/// steps.
/// </summary>
/// <param name="values">The parameters at the start; <see cref="Step"/> updates them in place.</param>
/// <param name="learningRate">α.</param>
/// <param name="weightDecay">λ.</param>
public sealed class AdamReference(double[] values, double learningRate, double weightDecay = 0)
{
    private const double Beta1 = 0.9;
    private const double Beta2 = 0.999;
    private const double Epsilon = 1e-8;

    private readonly double[] first = new double[values.Length];
    private readonly double[] second = new double[values.Length];
    private double power1 = 1;
    private double power2 = 1;

    /// <summary>The average of the gradients so far, m.</summary>
    public IReadOnlyList<double> FirstMoments => first;

    /// <summary>The average of their squares, v.</summary>
    public IReadOnlyList<double> SecondMoments => second;

    /// <summary>
    /// One step: the decay, then m̂ / (√v̂ + ε) with the corrected moments, as the paper writes it.
    /// </summary>
    /// <exception cref="ArgumentException">There are not as many gradients as parameters.</exception>
    public void Step(double[] gradients)
    {
        new ReferenceOperands("AdamReference.Step").Require(gradients, values.Length, nameof(gradients));
        power1 *= Beta1;
        power2 *= Beta2;
        for (int i = 0; i < values.Length; i++)
        {
            first[i] = Beta1 * first[i] + (1 - Beta1) * gradients[i];
            second[i] = Beta2 * second[i] + (1 - Beta2) * gradients[i] * gradients[i];
            double correctedFirst = first[i] / (1 - power1);
            double correctedSecond = second[i] / (1 - power2);
            values[i] -= learningRate * weightDecay * values[i];
            values[i] -= learningRate * correctedFirst / (Math.Sqrt(correctedSecond) + Epsilon);
        }
    }
}
