using System.Numerics;
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
    /// <exception cref="ArgumentException">No term, or one that is no scalar.</exception>
    public static Tensor<T> WeightedSum<T>(this Tape<T> tape, IReadOnlyList<(Tensor<T> Loss, double Weight)> terms)
        where T : unmanaged, INumber<T>
    {
        if (terms.Count == 0 || terms.Any(t => t.Loss.Shape != TensorShape.Scalar))
            throw new ArgumentException($"WeightedSum: expects scalars, got {terms.Count} terms: {string.Join(", ", terms.Select(t => t.Loss.Shape))}.", nameof(terms));
        Tensor<T> total = tape.Allocate(TensorShape.Scalar);
        IElementwise<T, T> kernels = tape.Context.Launcher(ElementwiseVariants<T, T>.Table, default(ElementwiseShape));
        for (int i = 0; i < terms.Count; i++)
            kernels.WeightedAdd(tape.Context.Stream, terms[i].Loss.View, T.CreateChecked(terms[i].Weight), total.View, accumulate: i == 0 ? 0 : 1);

        tape.Record("WeightedSum", total, [.. terms.Select(t => t.Loss)], [], [], () =>
        {
            foreach ((Tensor<T> loss, double weight) in terms)
                tape.WriteGradient(loss, gradient => kernels.Scale(tape.Context.Stream, tape.Gradient(total), T.CreateChecked(weight), gradient));
        });
        return total;
    }
}
