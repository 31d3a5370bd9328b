using ILGPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>What is checked and timed of the soft likelihood at centres.</summary>
internal static class CenterLikelihoodCases
{
    /// <summary>Gradients beside central differences.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } = [new GradCheck()];

    /// <summary>
    /// What is timed: 24 centres in a map of 56³ voxels, of which the backward pass clears 0.7 MB.
    /// </summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes)
    {
        CenterLikelihoodShape shape = new(1, sizes.Edge, sizes.Edge, sizes.Edge, 1);
        yield return new BenchmarkCase<ICenterLikelihood<float>, CenterLikelihoodShape>(
            CenterLikelihoodVariants<float>.Table, shape, new(1, 12, 13, 14, 1), Passes, $"{sizes.Edge}³, {TimedCenters} centres",
            "Forward", "Backward");
    }

    private const int TimedCenters = 24;

    // Two centres share voxels, one lies on a voxel and one on a face.
    private sealed class GradCheck : GradCheckCase
    {
        private static readonly TensorShape Shape = new(2, 5, 6, 7, 1);
        private static readonly Position[][] Centers =
            [[new(1.25f, 2.5f, 3.75f), new(1.5f, 2.25f, 4.5f), new(3, 4, 5)], [new(4, 0.5f, 6)]];

        public override string Name => "center-likelihood";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
            => new([CaseData.Input("scores", Shape, 3, 0.05, 0.95)], null, (tape, x) =>
                tape.CenterLikelihood(x[0], tape.UploadCenters<T>(Centers)));

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => CenterLikelihoodVariants<T>.Table.Names(context, default);
    }

    private static BenchmarkPasses Passes(BenchmarkData data, ICenterLikelihood<float> kernels, CenterLikelihoodShape shape)
    {
        ArrayView<float> scores = data.Uniform(shape.ScoreLength, 1, static v => 0.02f + 0.96f * v);
        ArrayView<float> places = data.Uniform(3 * TimedCenters, 2, v => v * (shape.Depth - 1));
        CenterViews<float> centers = new(places, data.Place([0, TimedCenters]));
        ArrayView<float> centerScores = data.Zeros(TimedCenters);
        ArrayView<float> loss = data.Zeros(1);
        ArrayView<float> gradLoss = data.Place([1f]);
        ArrayView<float> gradient = data.Zeros(shape.ScoreLength);
        return new BenchmarkPasses(
            [
                () => kernels.Forward(data.Stream, scores, centers, centerScores, loss, shape, CenterLikelihoodOp.SoftScore),
                () => kernels.Backward(data.Stream, gradLoss, centers, centerScores, gradient, shape,
                    CenterLikelihoodOp.SoftScore),
            ],
            () =>
            {
                CenterLikelihoodReference reference = new(
                    new Extent(shape.Depth, shape.Height, shape.Width), CenterLikelihoodOp.SoftScore);
                (double[] s, double[] c) = (data.ReadDouble(scores), data.ReadDouble(centers.Positions));
                return
                [
                    ("loss", data.Read(loss), [reference.Forward(s, c)], null),
                    ("gradient", data.Read(gradient), reference.Backward(s, c), null),
                ];
            });
    }
}
