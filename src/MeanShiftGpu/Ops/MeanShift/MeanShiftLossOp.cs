using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>The annotated centres of a batch on the device.</summary>
/// <param name="Centers">[M, 3], (z, y, x) in voxels, packed over the batch.</param>
/// <param name="Offsets">[N + 1]: item n owns rows Offsets[n] to Offsets[n+1] − 1.</param>
/// <param name="Count">M.</param>
/// <param name="Batch">N.</param>
public readonly record struct CenterBatch<T>(ArrayView<T> Centers, ArrayView<int> Offsets, int Count, int Batch)
    where T : unmanaged
{
    // The least and the largest coordinates, where the host knew them.
    internal (Position Least, Position Most)? Reach { get; init; }

    internal CenterViews<T> Views => new(Centers, Offsets);

    /// <summary>Refuses centres outside the maps, as far as the host knows where they are.</summary>
    internal void RequireInside(string operation, TensorShape scores)
    {
        if (Reach is not { } reach)
            return;
        Position end = new(scores.Depth - 0.5, scores.Height - 0.5, scores.Width - 0.5);
        if (reach.Least.Z < -0.5 || reach.Least.Y < -0.5 || reach.Least.X < -0.5
            || reach.Most.Z > end.Z || reach.Most.Y > end.Y || reach.Most.X > end.X)
            throw new InputException($"{operation}: a centre lies outside the volume of "
                + $"{scores.Depth}×{scores.Height}×{scores.Width} voxels; the centres reach from (z, y, x) = {reach.Least} to "
                + $"{reach.Most}. Expected voxel coordinates, the first voxel's centre at 0; leave such centres out.");
    }
}

/// <summary>What a mean-shift loss computed.</summary>
/// <param name="Loss">The scalar.</param>
/// <param name="Trajectory">Every position of every seed, [T + 1, N, S, 3].</param>
/// <param name="Positions">Where the seeds ended, [N, S, 3]: the trajectory's last part.</param>
/// <param name="NearestCenter">The row of the centre nearest to each, [N, S]; −1 in items without
/// centres.</param>
/// <remarks>The views hold until the tape ends; later their memory belongs to others.</remarks>
public sealed record MeanShiftLossResult<T>(
    Tensor<T> Loss, ArrayView<T> Trajectory, ArrayView<T> Positions, ArrayView<int> NearestCenter)
    where T : unmanaged, INumber<T>;

/// <summary>The mean-shift loss on a tape.</summary>
public static class MeanShiftLossOp
{
    /// <summary>Copies the centres of a batch to the device.</summary>
    /// <param name="tape">The tape whose arena holds them.</param>
    /// <param name="centers">One list for each item of the batch; a list may be empty. Losses refuse centres
    /// outside their maps.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The list of an item is null.</exception>
    /// <exception cref="InputException">A coordinate is not finite.</exception>
    public static CenterBatch<T> UploadCenters<T>(this Tape<T> tape, IReadOnlyList<IReadOnlyList<Position>> centers)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(centers);
        for (int n = 0; n < centers.Count; n++)
        {
            if (centers[n] is null)
                throw new ArgumentException(
                    $"UploadCenters: the centres of item {n} are null, expected a list, which may be empty.", nameof(centers));
        }

        int count = centers.Sum(c => c.Count);
        T[] packed = new T[3 * Math.Max(count, 1)];
        int[] offsets = new int[centers.Count + 1];
        int row = 0;
        (Position least, Position most) = (new(double.MaxValue, double.MaxValue, double.MaxValue),
            new(double.MinValue, double.MinValue, double.MinValue));
        for (int n = 0; n < centers.Count; n++)
        {
            foreach (Position center in centers[n])
            {
                if (!double.IsFinite(center.Z) || !double.IsFinite(center.Y) || !double.IsFinite(center.X))
                    throw new InputException($"centre {row} at (z {center.Z}, y {center.Y}, x {center.X}), item {n}: expected "
                        + "finite voxel coordinates.");
                least = new(Math.Min(least.Z, center.Z), Math.Min(least.Y, center.Y), Math.Min(least.X, center.X));
                most = new(Math.Max(most.Z, center.Z), Math.Max(most.Y, center.Y), Math.Max(most.X, center.X));
                packed[3 * row] = T.CreateChecked(center.Z);
                packed[3 * row + 1] = T.CreateChecked(center.Y);
                packed[3 * row + 2] = T.CreateChecked(center.X);
                row++;
            }

            offsets[n + 1] = row;
        }

        using CallerGate.Pass pass = tape.Context.Enter("Tape.UploadCenters");
        ArrayView<T> centersView = tape.Arena.Allocate<T>(packed.Length);
        ArrayView<int> offsetsView = tape.Arena.Allocate<int>(offsets.Length);
        centersView.CopyFromCPU(tape.Context.Stream, packed);
        offsetsView.CopyFromCPU(tape.Context.Stream, offsets);
        return new CenterBatch<T>(centersView, offsetsView, count, centers.Count)
        {
            Reach = count > 0 ? (least, most) : null,
        };
    }

    /// <summary>
    /// Draws seeds around the centres, shifts them along one score map and compares where they end with the
    /// centres: the mean over centres of the distance to the nearest seed plus the mean over seeds of the
    /// distance to the nearest centre.
    /// </summary>
    /// <param name="tape">The tape.</param>
    /// <param name="scores">[N, D, H, W, 1]: a score map, or a slice of one channel of several.</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="options">Bandwidth, weighting, distance, seeds.</param>
    /// <param name="seed">Random key of the seeds.</param>
    /// <param name="step">Training step: every step draws other seeds.</param>
    /// <param name="firstItem">The first map's place in the step, where that has more maps than these: every
    /// map draws other seeds.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The scores are not one map for each item.</exception>
    /// <exception cref="InputException">A centre that <see cref="UploadCenters"/> took lies outside the
    /// map.</exception>
    public static MeanShiftLossResult<T> MeanShiftLoss<T>(
        this Tape<T> tape,
        Tensor<T> scores,
        CenterBatch<T> centers,
        MeanShiftOptions options,
        ulong seed,
        uint step,
        int firstItem = 0)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(scores);
        ArgumentNullException.ThrowIfNull(options);
        return MeanShiftLoss(tape, scores, centers, options, new SeedSampling(
            seed, step, options.SeedRadiusVoxels, options.SeedMarginVoxels, firstItem), null);
    }

    /// <summary>The same with the training step in device memory.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="scores">[N, D, H, W, 1].</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="options">Bandwidth, weighting, distance, seeds.</param>
    /// <param name="sampling">How seeds are drawn.</param>
    /// <param name="step">[1]: takes the place of the sampling's step; null for that one.</param>
    internal static MeanShiftLossResult<T> MeanShiftLoss<T>(
        this Tape<T> tape, Tensor<T> scores, CenterBatch<T> centers, MeanShiftOptions options, SeedSampling sampling,
            ArrayView<int>? step)
        where T : unmanaged, INumber<T>
    {
        MeanShiftShape shape = ShapeOf(scores, centers, options, options.SeedCount);
        ArrayView<T> trajectory = tape.Arena.Allocate<T>(shape.TrajectoryLength);
        ArrayView<T> seeds = trajectory.SubView(0, shape.Points * 3);
        IMeanShift<T> kernels = tape.Context.Launcher(MeanShiftVariants<T>.Table, shape);
        if (step is { } inMemory)
            kernels.SampleSeeds(tape.Context.Stream, centers.Views, inMemory, seeds, shape, sampling);
        else
            kernels.SampleSeeds(tape.Context.Stream, centers.Views, seeds, shape, sampling);
        return MeanShiftLoss(tape, scores, centers, options, trajectory, shape);
    }

    /// <summary>The same with given seeds.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="scores">[N, D, H, W, 1].</param>
    /// <param name="centers">The annotated centres.</param>
    /// <param name="seeds">[N, S, 3], (z, y, x) in voxels, S the same for every item.</param>
    /// <param name="options">Bandwidth, weighting, distance.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The scores are not one map, or the seeds not a list, for each
    /// item.</exception>
    /// <exception cref="InputException">A seed is not finite, or a centre that
    /// <see cref="UploadCenters"/> took lies outside the map.</exception>
    public static MeanShiftLossResult<T> MeanShiftLoss<T>(
        this Tape<T> tape,
        Tensor<T> scores,
        CenterBatch<T> centers,
        ReadOnlySpan<T> seeds,
        MeanShiftOptions options)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(scores);
        ArgumentNullException.ThrowIfNull(options);
        if (scores.Shape.Batch < 1 || seeds.Length == 0 || seeds.Length % (3 * scores.Shape.Batch) != 0)
            throw new ArgumentException($"MeanShiftLoss: {seeds.Length} numbers are not [N, S, 3] seeds for "
                + $"{scores.Shape.Batch} items.", nameof(seeds));
        Ops.MeanShift.MeanShiftLoss<T>.CheckFinite(seeds);
        MeanShiftShape shape = ShapeOf(scores, centers, options, seeds.Length / 3 / scores.Shape.Batch);
        using CallerGate.Pass pass = tape.Context.Enter("MeanShiftLoss");
        ArrayView<T> trajectory = tape.Arena.Allocate<T>(shape.TrajectoryLength);
        trajectory.SubView(0, seeds.Length).CopyFromCPU(tape.Context.Stream, seeds);
        return MeanShiftLoss(tape, scores, centers, options, trajectory, shape);
    }

    private static MeanShiftShape ShapeOf<T>(Tensor<T> scores, CenterBatch<T> centers, MeanShiftOptions options, int seedsPerItem)
        where T : unmanaged, INumber<T>
    {
        if (scores.Shape.Channels != 1 || scores.Shape.Batch != centers.Batch)
            throw new ArgumentException($"MeanShiftLoss: scores are {scores.Shape} for centres of {centers.Batch} items; "
                + $"expected [{centers.Batch}, D, H, W, 1].", nameof(scores));
        if (centers.Count < 0 || centers.Count > centers.Centers.Length / 3)
            throw new ArgumentException($"MeanShiftLoss: {centers.Count} centres, of which {centers.Centers.Length / 3} are in "
                + "memory; expected as many as there are.", nameof(centers));
        centers.RequireInside("MeanShiftLoss", scores.Shape);
        return new MeanShiftShape(
            scores.Shape.Batch,
            scores.Shape.Depth,
            scores.Shape.Height,
            scores.Shape.Width,
            seedsPerItem,
            options.Iterations,
            scores.Pitch);
    }

    // The trajectory's first part holds the seeds.
    private static MeanShiftLossResult<T> MeanShiftLoss<T>(
        Tape<T> tape,
        Tensor<T> scores,
        CenterBatch<T> centers,
        MeanShiftOptions options,
        ArrayView<T> trajectory,
        MeanShiftShape shape)
        where T : unmanaged, INumber<T>
    {
        AcceleratorStream stream = tape.Context.Stream;
        IMeanShift<T> kernels = tape.Context.Launcher(MeanShiftVariants<T>.Table, shape);
        MeanShiftParameters parameters = options.Parameters;
        ArrayView<byte> workspace = tape.Arena.Allocate<byte>(
            Math.Max(1, kernels.WorkspaceBytes(shape, parameters, centers.Count)));
        // A batch without centres has no nearest points; an arena's buffer has at least one element.
        NearestPairs nearest = new(
            tape.Arena.Allocate<int>(shape.Points), tape.Arena.Allocate<int>(Math.Max(1, centers.Count)).SubView(
                0, centers.Count));
        Tensor<T> loss = tape.Allocate(TensorShape.Scalar);

        kernels.LossForward(
            stream,
            scores.View,
            trajectory.SubView(0, shape.Points * 3),
            trajectory,
            centers.Views,
            nearest,
            loss.View,
            workspace,
            shape,
            parameters,
            options.Distance);

        tape.Record("MeanShiftLoss", loss, [scores], [], [scores], () =>
        {
            ArrayView<T> gradPositions = tape.Arena.Allocate<T>(shape.Points * 3);
            tape.WriteGradient(scores, gradScores => kernels.LossBackward(
                stream, tape.Gradient(loss), scores.View, trajectory, centers.Views, nearest, gradPositions, gradScores,
                workspace, shape, parameters, options.Distance));
        });
        return new MeanShiftLossResult<T>(loss, trajectory, shape.Ends(trajectory), nearest.Centers);
    }
}
