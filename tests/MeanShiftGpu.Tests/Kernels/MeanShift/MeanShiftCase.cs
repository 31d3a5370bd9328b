using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.MeanShift;

/// <summary>
/// A batch of three items with 2, 0 and 3 centres, seeds among them on corners, on a centre, outside, and on
/// background without any score. All numbers are exact in float32, and no voxel comes near a ball's edge, so
/// that float32 takes the same voxels as float64.
/// </summary>
internal sealed record MeanShiftCase(
    MeanShiftShape Shape, MeanShiftOptions Options, double[] Scores, double[] Seeds, double[] Centers, int[] CenterOffsets)
{
    private const int SeedCount = 9;
    private const double EdgeClearance = 1e-4;

    /// <summary>The upstream gradient of the loss.</summary>
    public const double GradLoss = 1.5;

    public static MeanShiftCase Create(int depth, int height, int width, int scorePitch, MeanShiftOptions options, int seed)
    {
        options = options with { SeedCount = SeedCount };
        MeanShiftShape shape = options.Shape(3, depth, height, width, scorePitch);
        int[] extents = [depth, height, width];
        Random random = new(seed);

        // The last item's first planes are empty: with no floor, W = 0 there.
        double[] scores = new double[3 * shape.ItemVoxels];
        for (long i = 0; i < scores.Length; i++)
            scores[i] = i >= 2 * shape.ItemVoxels && i % shape.ItemVoxels < 5L * height * width ? 0 : random.Next(1024) / 1024.0;

        double[] centers = [.. Enumerable.Range(0, 15).Select(i => 1 + random.Next((extents[i % 3] - 2) * 4) / 4.0)];
        centers[0] = depth / 2;
        centers[1] = height / 2;
        centers[2] = width / 2;

        List<double> seeds = [];
        for (int item = 0; item < 3; item++)
        {
            double[][] chosen =
            [
                [0, 0, 0],
                [depth - 1, height - 1, width - 1],
                [centers[0], centers[1], centers[2]],
                [-2 * options.BandwidthVoxels, 3, 3],
                [0.25, height / 2 + 0.1875, width / 2 + 0.3125],
            ];
            int count = 0;
            for (int candidate = 0; count < SeedCount; candidate++)
            {
                double[] point = candidate < chosen.Length
                    ? chosen[candidate]
                    : [.. extents.Select(e => random.Next(e * 64) / 64.0)];
                double[] map = scores[(int)(item * shape.ItemVoxels)..(int)((item + 1) * shape.ItemVoxels)];
                if (Reference(options).Evaluate(map, point, []).EdgeDistanceVoxels < EdgeClearance)
                    continue;
                seeds.AddRange(point);
                count++;
            }
        }

        return new MeanShiftCase(shape, options, scores, [.. seeds], centers, [0, 2, 2, 5]);

        MeanShiftReference Reference(MeanShiftOptions o) => new(depth, height, width, o);
    }

    /// <summary>
    /// The reference's trajectory [T + 1, N, S, 3], loss and gradient [N, D, H, W] of the whole batch.
    /// </summary>
    public (double[] Trajectory, double Loss, double[] GradScores) Expected()
    {
        MeanShiftReference reference = new(Shape.Depth, Shape.Height, Shape.Width, Options);
        int voxels = (int)Shape.ItemVoxels;
        int itemSeeds = Shape.SeedsPerItem * 3;
        int itemsWithCenters = Enumerable.Range(0, Shape.Batch).Count(n => CenterOffsets[n + 1] > CenterOffsets[n]);
        double[] trajectory = new double[Shape.TrajectoryLength];
        double[] gradScores = new double[Scores.Length];
        double loss = 0;
        for (int item = 0; item < Shape.Batch; item++)
        {
            MeanShiftReferenceResult result = reference.Evaluate(
                Scores[(item * voxels)..((item + 1) * voxels)],
                Seeds[(item * itemSeeds)..((item + 1) * itemSeeds)],
                Centers[(CenterOffsets[item] * 3)..(CenterOffsets[item + 1] * 3)],
                gradLoss: GradLoss / itemsWithCenters);
            loss += result.Loss / itemsWithCenters;
            result.GradScores.CopyTo(gradScores, item * voxels);
            for (int t = 0; t <= Shape.Iterations; t++)
                Array.Copy(result.Trajectory, t * itemSeeds, trajectory, (t * Shape.Batch + item) * itemSeeds, itemSeeds);
        }

        return (trajectory, loss, gradScores);
    }

    /// <summary>The same from a variant, on its device.</summary>
    /// <param name="context">The device.</param>
    /// <param name="kernels">The variant.</param>
    /// <param name="fused">Whether the centre loss is computed with the shifts, or by itself.</param>
    public (T[] Trajectory, T Loss, T[] GradScores) Run<T>(GpuContext context, IMeanShift<T> kernels, bool fused = true)
        where T : unmanaged, INumber<T>
    {
        // The map is the last of ScorePitch channels; the others hold what must neither count nor change.
        const double untouched = 7;
        int channel = Shape.ScorePitch - 1;
        double[] interleaved = new double[Scores.Length * Shape.ScorePitch];
        Array.Fill(interleaved, untouched);
        for (int i = 0; i < Scores.Length; i++)
            interleaved[i * Shape.ScorePitch + channel] = Scores[i];

        using MemoryBuffer1D<T, Stride1D.Dense> scores = context.ToDevice<T>(interleaved);
        using MemoryBuffer1D<T, Stride1D.Dense> gradScores = context.ToDevice<T>(
            [.. Enumerable.Repeat(untouched, interleaved.Length)]);
        using MemoryBuffer1D<T, Stride1D.Dense> seeds = context.ToDevice<T>(Seeds);
        using MemoryBuffer1D<T, Stride1D.Dense> centers = context.ToDevice<T>(Centers);
        using MemoryBuffer1D<int, Stride1D.Dense> offsets = context.Accelerator.Allocate1D(CenterOffsets);
        using MemoryBuffer1D<T, Stride1D.Dense> trajectory = context.Accelerator.Allocate1D<T>(Shape.TrajectoryLength);
        using MemoryBuffer1D<T, Stride1D.Dense> gradPositions = context.Accelerator.Allocate1D<T>(Shape.Points * 3);
        using MemoryBuffer1D<int, Stride1D.Dense> nearestCenter = context.Accelerator.Allocate1D<int>(Shape.Points);
        using MemoryBuffer1D<int, Stride1D.Dense> nearestPoint = context.Accelerator.Allocate1D<int>(Centers.Length / 3);
        using MemoryBuffer1D<T, Stride1D.Dense> loss = context.ToDevice<T>([untouched]);
        using MemoryBuffer1D<T, Stride1D.Dense> gradLoss = context.ToDevice<T>([GradLoss]);
        using MemoryBuffer1D<byte, Stride1D.Dense> workspace = context.Accelerator.Allocate1D<byte>(
            Math.Max(1, kernels.WorkspaceBytes(Shape, Options.Parameters, Centers.Length / 3)));
        workspace.MemSet(0xff);

        ArrayView<T> map = ((ArrayView<T>)scores.View).SubView(channel, Shape.ScoreLength);
        ArrayView<T> gradMap = ((ArrayView<T>)gradScores.View).SubView(channel, Shape.ScoreLength);
        ArrayView<T> ends = ((ArrayView<T>)trajectory.View).SubView(Shape.Iterations * Shape.Points * 3, Shape.Points * 3);
        CenterViews<T> annotated = new(centers.View, offsets.View);
        NearestPairs nearest = new(nearestCenter.View, nearestPoint.View);
        if (fused)
        {
            kernels.LossForward(
                context.Stream,
                map,
                seeds.View,
                trajectory.View,
                annotated,
                nearest,
                loss.View,
                workspace.View,
                Shape,
                Options.Parameters,
                Options.Distance);
            kernels.LossBackward(
                context.Stream, gradLoss.View, map, trajectory.View, annotated, nearest, gradPositions.View, gradMap,
                workspace.View, Shape, Options.Parameters, Options.Distance);
        }
        else
        {
            kernels.Forward(context.Stream, map, seeds.View, trajectory.View, workspace.View, Shape, Options.Parameters);
            kernels.CenterLossForward(context.Stream, ends, annotated, nearest, loss.View, Shape, Options.Distance);
            kernels.CenterLossBackward(
                context.Stream, gradLoss.View, ends, annotated, nearest, gradPositions.View, Shape, Options.Distance);
            kernels.Backward(
                context.Stream, map, trajectory.View, gradPositions.View, gradMap, workspace.View, Shape, Options.Parameters);
        }

        context.Synchronize();

        T[] interleavedGradient = gradScores.GetAsArray1D();
        T[] gradient = new T[Scores.Length];
        for (int i = 0; i < interleavedGradient.Length; i++)
        {
            if (i % Shape.ScorePitch == channel)
                gradient[i / Shape.ScorePitch] = interleavedGradient[i];
            else
                Assert.That(double.CreateChecked(interleavedGradient[i]), Is.EqualTo(untouched), "another channel was written");
        }

        return (trajectory.GetAsArray1D(), loss.GetAsArray1D()[0], gradient);
    }
}
