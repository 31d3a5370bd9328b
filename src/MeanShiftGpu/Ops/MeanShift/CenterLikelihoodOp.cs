using System.Numerics;
using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>The soft likelihood at annotated centres on a tape.</summary>
public static class CenterLikelihoodOp
{
    /// <summary>
    /// τ: a centre with a score well above it is left alone, one well below it is pulled up.
    /// </summary>
    public const double SoftScore = 0.05;

    /// <summary>
    /// The mean over items of the mean over their centres of log(1 + τ/s(c)), with s(c) trilinear. The
    /// mean-shift loss compares scores with each other and lets a whole map fade; this term keeps it from
    /// fading at the centres, and does next to nothing where they are bright.
    /// </summary>
    /// <param name="tape">The tape.</param>
    /// <param name="scores">[N, D, H, W, 1], above 0: a score map, or a slice of one channel of
    /// several.</param>
    /// <param name="centers">The annotated centres.</param>
    /// <returns>A scalar.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The scores are not one map for each item.</exception>
    /// <exception cref="Storage.InputException">A centre that <see cref="MeanShiftLossOp.UploadCenters"/>
    /// took lies outside the map.</exception>
    public static Tensor<T> CenterLikelihood<T>(this Tape<T> tape, Tensor<T> scores, CenterBatch<T> centers)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(scores);
        if (scores.Shape.Channels != 1 || scores.Shape.Batch != centers.Batch)
        {
            throw new ArgumentException(
                $"CenterLikelihood: scores are {scores.Shape} for centres of {centers.Batch} items; expected "
                    + $"[{centers.Batch}, D, H, W, 1].",
                nameof(scores));
        }

        centers.RequireInside("CenterLikelihood", scores.Shape);
        CenterLikelihoodShape shape = new(
            scores.Shape.Batch, scores.Shape.Depth, scores.Shape.Height, scores.Shape.Width, scores.Pitch);
        ICenterLikelihood<T> kernels = tape.Context.Launcher(CenterLikelihoodVariants<T>.Table, shape);
        ArrayView<T> centerScores = tape.Arena.Allocate<T>(Math.Max(1, centers.Centers.Length / 3));
        Tensor<T> loss = tape.Allocate(TensorShape.Scalar);
        kernels.Forward(tape.Context.Stream, scores.View, centers.Views, centerScores, loss.View, shape, SoftScore);

        tape.Record("CenterLikelihood", loss, [scores], [], [], () => tape.WriteGradient(
            scores,
            gradient => kernels.Backward(
                tape.Context.Stream, tape.Gradient(loss), centers.Views, centerScores, gradient, shape, SoftScore),
            gradient => kernels.BackwardAdd(
                tape.Context.Stream, tape.Gradient(loss), centers.Views, centerScores, gradient, shape, SoftScore)));
        return loss;
    }
}
