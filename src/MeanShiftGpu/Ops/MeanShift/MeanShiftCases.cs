using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>What is checked and timed of the mean shift.</summary>
internal static class MeanShiftCases
{
    /// <summary>Gradients beside central differences, of every weighting and distance.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } =
    [
        .. from iterations in new[] { 1, 10 }
           from weighting in Enum.GetValues<Weighting>()
           from distance in Enum.GetValues<CenterDistance>()
           select new GradCheck(weighting, distance, iterations),
    ];

    /// <summary>Results beside those of reference files.</summary>
    public static IReadOnlyList<ReferenceCase> References { get; } = [new Reference()];

    /// <summary>
    /// What is timed: the loss with its gradient at the published size, and the convergence of points as in
    /// picking.
    /// </summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes _)
        => from weighting in Enum.GetValues<Weighting>()
           let options = new MeanShiftOptions { Weighting = weighting }
           select new BenchmarkCase<IMeanShift<float>, MeanShiftShape>(
               MeanShiftVariants<float>.Table,
               options.Shape(1, 56, 56, 56),
               (options with { SeedCount = 8 }).Shape(1, 17, 17, 17),
               (data, kernels, shape) => Passes(data, kernels, shape, options),
               $"{weighting} at 56", "ForwardBackward", "Converge20000Points");

    private sealed class GradCheck(Weighting weighting, CenterDistance distance, int iterations) : GradCheckCase
    {
        private static readonly TensorShape Shape = new(2, 9, 8, 10, 1);
        private static readonly Position[][] Centers = [[new(3, 3, 4), new(5.25f, 4.5f, 6)], [new(4.5f, 4, 5)]];

        private readonly MeanShiftOptions options = new()
        {
            Weighting = weighting,
            Distance = distance,
            Iterations = iterations,
            BandwidthVoxels = 3,
            // The paper's algorithm, whose weighting this is, has no floor.
            ScoreFloor = weighting == Weighting.Linear ? 0 : 0.05,
        };

        public override string Name => $"mean-shift {weighting} {distance}, {Counted.Of(iterations, "iteration")}";

        // Seeds are given: their distance from every voxel is generic, so that few probes meet an edge of a
        // ball.
        public override GradCheckFunction<T> Create<T>(GpuContext context)
            => new([CaseData.Input("scores", Shape, 3, 0.05, 0.95)], null, (tape, x) =>
                tape.MeanShiftLoss(
                    x[0], tape.UploadCenters<T>(Centers), CaseData.Convert<T>(CaseData.Numbers(2 * 6 * 3, 4, 2, 6)),
                    options).Loss);

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => MeanShiftVariants<T>.Table.Names(context, new MeanShiftShape(2, 9, 8, 10, 6, iterations, 1));
    }

    private sealed class Reference() : ReferenceCase("mean_shift_")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            string[] words = file.Name.Split('_');
            if (words.Length < 4 || !TryWord(words[2], out Weighting weighting) || !TryWord(
                words[3], out CenterDistance distance))
                throw new InputException($"{file.Path}: the name does not say which mean shift it is. Expected "
                    + $"mean_shift_WEIGHTING_DISTANCE with {string.Join(", ", Enum.GetNames<Weighting>())} and "
                    + $"{string.Join(", ", Enum.GetNames<CenterDistance>())}.");
            SafetensorsTensor score = file.Tensor("score", ReferenceFile.Any, ReferenceFile.Any, ReferenceFile.Any);
            double[] seeds = file.Tensor("seeds", ReferenceFile.Any, 3).ToDoubles();
            double[] centers = file.Tensor("centers", ReferenceFile.Any, 3).ToDoubles();
            int seedCount = seeds.Length / 3;
            int iterations = (int)file.Tensor("positions", ReferenceFile.Any, seedCount, 3).Shape[0] - 1;
            if (iterations < 1)
                throw new InputException($"{file.Path}: array 'positions' holds the seeds alone. Expected the seeds, then the "
                    + "positions after each iteration.");
            MeanShiftOptions options;
            try
            {
                options = new()
                {
                    Weighting = weighting,
                    Distance = distance,
                    Iterations = iterations,
                    BandwidthVoxels = file.Setting("bandwidth"),
                    ScoreFloor = file.Setting("score floor"),
                };
            }
            catch (InputException e) when (!e.Message.StartsWith(file.Path, StringComparison.Ordinal))
            {
                throw new InputException($"{file.Path}: {e.Message}", e);
            }

            TensorShape shape = new(1, (int)score.Shape[0], (int)score.Shape[1], (int)score.Shape[2], 1);
            return file.WithVariants(
                context,
                MeanShiftVariants<T>.Table,
                    new MeanShiftShape(1, shape.Depth, shape.Height, shape.Width, seedCount, options.Iterations, 1),
                    (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                Tensor<T> x = tape.Upload(CaseData.Convert<T>(score.ToDoubles()), shape, requiresGradient: true);
                ArrayView<int> offsets = tape.Arena.Allocate<int>(2);
                offsets.CopyFromCPU(tape.Context.Stream, [0, centers.Length / 3]);
                CenterBatch<T> batch = new(ReferenceFile.Place(tape, centers), offsets, centers.Length / 3, 1);
                MeanShiftLossResult<T> result = tape.MeanShiftLoss(x, batch, CaseData.Convert<T>(seeds), options);
                compare.Values(
                    "positions", ReferenceFile.Download(tape.Context, result.Trajectory), iterations + 1, seedCount, 3);
                compare.Values("loss", result.Loss.ToArray(tape.Context));
                tape.Backward(result.Loss);
                compare.Values("grad_score", x.GradientToArray(tape.Context), shape.Depth, shape.Height, shape.Width);
            });
        }
    }

    // A name of the enumeration; its numbers are none of a file's business.
    private static bool TryWord<TEnum>(string text, out TEnum value)
        where TEnum : struct, Enum
        => Enum.TryParse(text, ignoreCase: true, out value) && !char.IsAsciiDigit(text[0]);

    private static BenchmarkPasses Passes(
        BenchmarkData data, IMeanShift<float> kernels, MeanShiftShape shape, MeanShiftOptions options)
    {
        const int points = 20_000;
        // In a small volume seeds keep inside, for the reference walks every voxel for every seed.
        options =
            options with
            {
                SeedCount = shape.SeedsPerItem,
                SeedRadiusVoxels = Math.Min(
                options.SeedRadiusVoxels, 5 * shape.Depth / 17.0)
            };
        MeanShiftLoss<float> loss = data.Own(new MeanShiftLoss<float>(data.Context, options));
        ArrayView<float> scores = data.Uniform(shape.ItemVoxels, 1);
        ArrayView<float> gradScores = data.Zeros(shape.ItemVoxels);
        ArrayView<float> centers = data.Uniform(8 * 3, 2, v => 8 + v * (shape.Depth - 16));
        ArrayView<int> offsets = data.Place([0, 8]);
        ArrayView<float> lossValue = data.Zeros(1);
        ArrayView<float> starts = data.Uniform(points * 3, 3, v => v * (shape.Depth - 1));
        ArrayView<float> converged = data.Zeros(points * 3);
        ArrayView<int> iterations = data.Place(new int[points]);
        ArrayView<float> support = data.Zeros(points);
        ArrayView<byte> workspace = data.Place(
            new byte[Math.Max(1, kernels.WorkspaceBytes(shape, options.Parameters, centers: 0))]);
        return new BenchmarkPasses(
            [
                () => loss.Evaluate(scores, centers, offsets, lossValue, gradScores, shape, options.Sampling(1, 1)),
                () => kernels.Converge(
                    data.Stream, scores, starts, converged, iterations, support, workspace, shape, options.Parameters, 0.01),
            ],
            () =>
            {
                double[] seeds = data.ReadDouble(loss.Trajectory)[..(shape.SeedsPerItem * 3)];
                MeanShiftReferenceResult expected = new MeanShiftReference(shape.Depth, shape.Height, shape.Width, options)
                    .Evaluate(data.ReadDouble(scores), seeds, data.ReadDouble(centers));
                // A voxel at a ball's very edge may fall either way in float32, which a jump at the rim makes
                // visible.
                double tolerance = expected.EdgeDistanceVoxels > 1e-4 ? 1e-5 : 1e-2;
                return [("loss", data.Read(lossValue), [expected.Loss], tolerance), (
                    "gradient", data.Read(gradScores), expected.GradScores, tolerance)];
            });
    }
}
