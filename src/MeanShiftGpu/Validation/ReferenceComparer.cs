using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>Compares what a variant computed with the arrays of a file.</summary>
internal sealed class ReferenceComparer<T>(
    ReferenceFile file, string variant, double singleTolerance, List<ReferenceCheckResult> results)
    where T : unmanaged, INumber<T>
{
    // Differences of this size are the rounding of the reference itself: nothing can agree with the noise of
    // a gradient that is 0.
    private const double ReferenceRounding = 1e-14;

    public void Activations(string name, T[] channelsLast, TensorShape shape)
        => Values(name, ReferenceFile.ToChannelsFirst(channelsLast, shape), ReferenceFile.FileShape(shape));

    public void Values(string name, T[] computed, params ReadOnlySpan<long> shape)
        => Compare(name, computed, file.Tensor(name, shape).ToDoubles(), singleTolerance);

    // Three things are rounded on the way to a network's gradient: weights, activations and gradients. What
    // the first does by itself is known; each of the others may do as much, beyond a layer's own tolerance.
    // Seen on U-Nets of 4-6-8 and 8-8-16 channels: in TF32 1, in BF16 1.3 and, with activations stored so,
    // 1.9 times what the first does.
    public void NetworkGradient(string name, T[] computed, double[] reference, IReadOnlyDictionary<string, double>? moves)
        => Compare(
            name,
            computed,
            reference,
            singleTolerance + (moves is not null && variant == Variants.TensorCore ? 3 * moves[name] : 0));

    private void Compare(string name, T[] computed, double[] reference, double single)
    {
        long worst = 0;
        double worstDifference = -1;
        for (int i = 0; i < reference.Length; i++)
        {
            double difference = Math.Abs(double.CreateChecked(computed[i]) - reference[i]);
            // What is no number is worse than any difference.
            if (!(difference <= worstDifference) && !double.IsNaN(worstDifference))
                (worst, worstDifference) = (i, difference);
        }

        double error = ReferenceFile.RelativeError(computed, reference);
        bool isDouble = typeof(T) == typeof(double);
        double tolerance = isDouble ? file.DoubleTolerance : single;
        double norm = Math.Sqrt(reference.Sum(r => r * r));
        bool passed = error <= tolerance || error * (norm > 0 ? norm : 1) <= ReferenceRounding;
        results.Add(new ReferenceCheckResult
        {
            Case = file.Name,
            Tensor = name,
            Variant = variant,
            RealType = isDouble ? "float64" : "float32",
            RelativeError = error,
            Tolerance = tolerance,
            Passed = passed,
            WorstIndex = worst,
            Computed = double.CreateChecked(computed[worst]),
            Reference = reference[worst],
        });
    }
}
