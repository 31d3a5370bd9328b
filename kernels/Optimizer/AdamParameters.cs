namespace MeanShiftGpu.Kernels.Optimizer;

/// <summary>
/// The settings of one Adam step. Use <see cref="ForStep"/>: it computes the bias corrections.
/// </summary>
/// <param name="LearningRate">α.</param>
/// <param name="Beta1">β₁, the decay of the first moments.</param>
/// <param name="Beta2">β₂, the decay of the second moments.</param>
/// <param name="Epsilon">ε, added to the root of the corrected second moment.</param>
/// <param name="WeightDecay">λ, decoupled from the gradient (AdamW); 0 is plain Adam.</param>
/// <param name="BiasCorrection1">1 − β₁ᵗ.</param>
/// <param name="BiasCorrection2">1 − β₂ᵗ.</param>
internal readonly record struct AdamParameters(
    double LearningRate,
    double Beta1,
    double Beta2,
    double Epsilon,
    double WeightDecay,
    double BiasCorrection1,
    double BiasCorrection2)
{
    /// <summary>The settings of step t = 1, 2, ….</summary>
    /// <exception cref="ArgumentOutOfRangeException">The step is below 1: its bias correction would be a
    /// division by zero.</exception>
    public static AdamParameters ForStep(
        long step,
        double learningRate,
        double beta1 = 0.9,
        double beta2 = 0.999,
        double epsilon = 1e-8,
        double weightDecay = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(step, 1);
        return new(learningRate, beta1, beta2, epsilon, weightDecay, 1 - Math.Pow(beta1, step), 1 - Math.Pow(beta2, step));
    }
}
