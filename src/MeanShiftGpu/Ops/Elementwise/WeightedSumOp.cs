using System.Numerics;
using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.Elementwise;

/// <summary>Sums of losses on a tape.</summary>
public static class WeightedSumOp
{
    /// <summary>Σ weight·loss, on the device.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="terms">Scalars and their weights; at least one.</param>
    /// <returns>A scalar.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">No term, or one that is null or no scalar.</exception>
    public static Tensor<T> WeightedSum<T>(this Tape<T> tape, IReadOnlyList<(Tensor<T> Loss, double Weight)> terms)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(terms);
        if (terms.Any(t => t.Loss is null))
            throw new ArgumentException("WeightedSum: a term's loss is null, expected a scalar.", nameof(terms));
        if (terms.Count == 0 || terms.Any(t => t.Loss.Shape != TensorShape.Scalar))
            throw new ArgumentException($"WeightedSum: expects scalars, got {terms.Count} terms: "
                + $"{string.Join(", ", terms.Select(t => t.Loss.Shape))}.", nameof(terms));
        Tensor<T> total = tape.Allocate(TensorShape.Scalar);
        IElementwise<T, T> kernels = tape.Context.Launcher(ElementwiseVariants<T, T>.Table, default(ElementwiseShape));
        ArrayView<T>[] losses = [.. terms.Select(t => t.Loss.View)];
        T[] weights = [.. terms.Select(t => T.CreateChecked(t.Weight))];
        kernels.WeightedSum(tape.Context.Stream, losses, weights, total.View);

        tape.Record("WeightedSum", total, [.. terms.Select(t => t.Loss)], [], [], () =>
        {
            // Of a loss that is there twice, or has a gradient already, the second is added.
            List<(T Weight, ArrayView<T> Gradient)> together = [];
            for (int i = 0; i < weights.Length; i++)
            {
                T weight = weights[i];
                tape.WriteGradient(
                    terms[i].Loss,
                    gradient => together.Add((weight, gradient)),
                    gradient =>
                    {
                        Spread();
                        kernels.WeightedAdd(tape.Context.Stream, tape.Gradient(total), weight, gradient, accumulate: 1);
                    });
            }

            Spread();

            void Spread()
            {
                if (together.Count > 0)
                {
                    kernels.Spread(tape.Context.Stream, tape.Gradient(total), [.. together.Select(t => t.Weight)],
                        [.. together.Select(t => t.Gradient)]);
                }

                together.Clear();
            }
        });
        return total;
    }
}
