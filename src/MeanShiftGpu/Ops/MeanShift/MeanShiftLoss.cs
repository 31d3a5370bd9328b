using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>
/// The mean-shift loss and its gradient without a tape, for programs with their own training loop: score map and centres in,
/// loss and score gradient out. With device views nothing is copied or waited for, and after the first call of a size no device
/// memory is allocated (the launches leave about 1 KiB of short-lived objects to the garbage collector).
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public sealed class MeanShiftLoss<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    // More than any memory holds.
    private const double MostElements = 1e15;

    private readonly GpuContext context;
    private readonly MemoryBuffer1D<T, Stride1D.Dense> one;
    private readonly GrowingBuffer<T> trajectory = new();
    private readonly GrowingBuffer<T> gradPositions = new();
    private readonly GrowingBuffer<int> nearestCenter = new();
    private readonly GrowingBuffer<int> nearestPoint = new();
    private readonly GrowingBuffer<byte> workspace = new();
    private readonly GrowingBuffer<T> scoresCopy = new();
    private readonly GrowingBuffer<T> gradScoresCopy = new();
    private readonly GrowingBuffer<T> centersCopy = new();
    private readonly GrowingBuffer<T> lossCopy = new();
    private readonly GrowingBuffer<int> offsetsCopy = new();
    private MeanShiftShape lastShape;
    private bool disposed;

    /// <summary>Takes the settings; kernels are compiled at the first call.</summary>
    /// <param name="context">The device; it must outlive this object.</param>
    /// <param name="options">Null for <see cref="MeanShiftOptions.Compact"/>.</param>
    public MeanShiftLoss(GpuContext context, MeanShiftOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(context);
        this.context = context;
        Options = options ?? MeanShiftOptions.Compact;
        one = context.Accelerator.Allocate1D([T.One]);
    }

    /// <summary>The settings.</summary>
    public MeanShiftOptions Options { get; }

    /// <summary>[N, S, 3], where the seeds of the last call ended, on the device.</summary>
    public ArrayView<T> Positions => trajectory.View.SubView(lastShape.Iterations * lastShape.Points * 3, lastShape.Points * 3);

    /// <summary>[T + 1, N, S, 3], the paths of the seeds of the last call, on the device.</summary>
    public ArrayView<T> Trajectory => trajectory.View.SubView(0, lastShape.TrajectoryLength);

    /// <summary>Bytes of device memory held beyond the caller's views.</summary>
    public long Bytes
        => one.LengthInBytes + trajectory.Bytes + gradPositions.Bytes + nearestCenter.Bytes + nearestPoint.Bytes + workspace.Bytes
            + scoresCopy.Bytes + gradScoresCopy.Bytes + centersCopy.Bytes + lossCopy.Bytes + offsetsCopy.Bytes;

    /// <summary>Loss and gradient with seeds drawn on the device. Queues on the context's stream and does not wait.</summary>
    /// <param name="scores">[N, D, H, W] at the shape's pitch.</param>
    /// <param name="centers">[M, 3], (z, y, x) in voxels, packed over the batch.</param>
    /// <param name="centerOffsets">[N + 1]: item n owns centres centerOffsets[n] to centerOffsets[n + 1] − 1.</param>
    /// <param name="loss">[1], overwritten.</param>
    /// <param name="gradScores">[N, D, H, W] at the shape's pitch, overwritten.</param>
    /// <param name="shape">From <see cref="MeanShiftOptions.Shape"/>.</param>
    /// <param name="sampling">From <see cref="MeanShiftOptions.Sampling"/>.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape.</exception>
    public void Evaluate(
        ArrayView<T> scores,
        ArrayView<T> centers,
        ArrayView<int> centerOffsets,
        ArrayView<T> loss,
        ArrayView<T> gradScores,
        MeanShiftShape shape,
        SeedSampling sampling)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        using CallerGate.Pass pass = context.Enter("MeanShiftLoss");
        RequireShape(shape);
        RequireLength("scores", scores.Length, shape.ScoreLength);
        RequireLength("gradScores", gradScores.Length, shape.ScoreLength);
        ArrayView<T> seeds = trajectory.Require(context, shape.TrajectoryLength).SubView(0, shape.Points * 3);
        Launcher(shape).SampleSeeds(context.Stream, new CenterViews<T>(centers, centerOffsets), seeds, shape, sampling);
        Evaluate(scores, seeds, centers, centerOffsets, loss, gradScores, shape);
    }

    /// <summary>Loss and gradient with the caller's seeds. Queues on the context's stream and does not wait.</summary>
    /// <param name="scores">[N, D, H, W] at the shape's pitch.</param>
    /// <param name="seeds">[N, S, 3], (z, y, x) in voxels.</param>
    /// <param name="centers">[M, 3], packed over the batch.</param>
    /// <param name="centerOffsets">[N + 1].</param>
    /// <param name="loss">[1], overwritten.</param>
    /// <param name="gradScores">[N, D, H, W] at the shape's pitch, overwritten.</param>
    /// <param name="shape">From <see cref="MeanShiftOptions.Shape"/>.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape.</exception>
    public void Evaluate(
        ArrayView<T> scores,
        ArrayView<T> seeds,
        ArrayView<T> centers,
        ArrayView<int> centerOffsets,
        ArrayView<T> loss,
        ArrayView<T> gradScores,
        MeanShiftShape shape)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        using CallerGate.Pass pass = context.Enter("MeanShiftLoss");
        RequireShape(shape);
        RequireLength("scores", scores.Length, shape.ScoreLength);
        RequireLength("gradScores", gradScores.Length, shape.ScoreLength);
        RequireLength("seeds", seeds.Length, shape.Points * 3);
        RequireLength("centerOffsets", centerOffsets.Length, shape.Batch + 1L);
        RequireLength("loss", loss.Length, 1);

        IMeanShift<T> kernels = Launcher(shape);
        AcceleratorStream stream = context.Stream;
        long centerCount = centers.Length / 3;
        ArrayView<T> paths = trajectory.Require(context, shape.TrajectoryLength);
        ArrayView<T> gradients = gradPositions.Require(context, shape.Points * 3);
        CenterViews<T> annotated = new(centers, centerOffsets);
        NearestPairs nearest = new(nearestCenter.Require(context, shape.Points), nearestPoint.Require(context, centerCount));
        ArrayView<byte> scratch = workspace.Require(context, kernels.WorkspaceBytes(shape, Options.Parameters, centerCount));
        lastShape = shape;

        kernels.LossForward(stream, scores, seeds, paths, annotated, nearest, loss, scratch, shape, Options.Parameters, Options.Distance);
        kernels.LossBackward(stream, one.View, scores, paths, annotated, nearest, gradients, gradScores, scratch, shape, Options.Parameters, Options.Distance);
    }

    /// <summary>Loss and gradient of one volume in the caller's memory: copies in, computes, waits, copies out.</summary>
    /// <param name="scores">[D, H, W], x fastest.</param>
    /// <param name="depth">D.</param>
    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    /// <param name="centers">[M, 3], (z, y, x) in voxels, inside the volume.</param>
    /// <param name="gradScores">[D, H, W], overwritten.</param>
    /// <param name="seed">The random key of the seed points.</param>
    /// <param name="step">The training step, so that each draws other seed points.</param>
    /// <returns>The loss.</returns>
    /// <exception cref="ArgumentException">A span has the wrong length, or an extent is below 1.</exception>
    /// <exception cref="InputException">A centre lies outside the volume.</exception>
    public T Evaluate(ReadOnlySpan<T> scores, int depth, int height, int width, ReadOnlySpan<T> centers, Span<T> gradScores, ulong seed, uint step = 0)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        using CallerGate.Pass pass = context.Enter("MeanShiftLoss");
        ArgumentOutOfRangeException.ThrowIfLessThan(depth, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        MeanShiftShape shape = Options.Shape(1, depth, height, width);
        if (scores.Length != shape.ItemVoxels || gradScores.Length != shape.ItemVoxels)
            throw new ArgumentException($"MeanShiftLoss: {scores.Length} scores and {gradScores.Length} gradients for {depth}×{height}×{width} voxels. Expected {shape.ItemVoxels} of each.", nameof(scores));
        if (centers.Length % 3 != 0)
            throw new ArgumentException($"MeanShiftLoss: {centers.Length} numbers are no list of centres. Expected z, y, x of each.", nameof(centers));
        CheckInside(centers, depth, height, width);

        AcceleratorStream stream = context.Stream;
        ArrayView<T> deviceScores = scoresCopy.Require(context, scores.Length);
        ArrayView<T> deviceGradient = gradScoresCopy.Require(context, scores.Length);
        ArrayView<T> deviceCenters = centersCopy.Require(context, centers.Length);
        ArrayView<int> deviceOffsets = offsetsCopy.Require(context, 2);
        ArrayView<T> deviceLoss = lossCopy.Require(context, 1);
        deviceScores.CopyFromCPU(stream, scores);
        if (centers.Length > 0)
            deviceCenters.CopyFromCPU(stream, centers);
        deviceOffsets.CopyFromCPU(stream, [0, centers.Length / 3]);

        Evaluate(deviceScores, deviceCenters, deviceOffsets, deviceLoss, deviceGradient, shape, Options.Sampling(seed, step));

        Span<T> loss = [T.Zero];
        deviceLoss.CopyToCPU(stream, loss);
        deviceGradient.CopyToCPU(stream, gradScores);
        context.Synchronize();
        return loss[0];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        disposed = true;
        one.Dispose();
        trajectory.Dispose();
        gradPositions.Dispose();
        nearestCenter.Dispose();
        nearestPoint.Dispose();
        workspace.Dispose();
        scoresCopy.Dispose();
        gradScoresCopy.Dispose();
        centersCopy.Dispose();
        lossCopy.Dispose();
        offsetsCopy.Dispose();
    }

    private IMeanShift<T> Launcher(MeanShiftShape shape) => context.Launcher(MeanShiftVariants<T>.Table, shape);

    // Before memory of its size is asked for; doubles do not overflow.
    private static void RequireShape(MeanShiftShape shape)
    {
        ReadOnlySpan<int> extents = [shape.Batch, shape.Depth, shape.Height, shape.Width, shape.SeedsPerItem, shape.Iterations, shape.ScorePitch];
        foreach (int extent in extents)
        {
            if (extent < 1)
                throw new ArgumentException($"MeanShiftLoss: the shape is {shape}. Expected every number to be 1 or more.", nameof(shape));
        }

        double scores = (double)shape.Batch * shape.Depth * shape.Height * shape.Width * shape.ScorePitch;
        double positions = (shape.Iterations + 1.0) * shape.SeedsPerItem;
        if (scores > MostElements || positions > int.MaxValue || positions * shape.Batch > MostElements)
            throw new ArgumentException($"MeanShiftLoss: the shape is {shape}. Expected at most {MostElements} scores and {int.MaxValue} positions of an item's seeds.", nameof(shape));
    }

    private static void RequireLength(string name, long length, long expected)
    {
        if (length < expected)
            throw new ArgumentException($"MeanShiftLoss: {name} holds {length} elements. Expected {expected} for this shape.");
    }

    private static void CheckInside(ReadOnlySpan<T> centers, int depth, int height, int width)
    {
        ReadOnlySpan<int> extents = [depth, height, width];
        for (int i = 0; i < centers.Length; i++)
        {
            double value = double.CreateChecked(centers[i]);
            if (!(value >= -0.5 && value <= extents[i % 3] - 0.5))
            {
                int c = i / 3 * 3;
                throw new InputException($"mean-shift loss: centre {i / 3} at (z {centers[c]}, y {centers[c + 1]}, x {centers[c + 2]}) lies outside the volume of {depth}×{height}×{width} voxels. Expected voxel coordinates, the first voxel's centre at 0; leave such centres out.");
            }
        }
    }

    // Device memory that is kept between calls and replaced when a larger size is asked for.
    private sealed class GrowingBuffer<TElement> : IDisposable
        where TElement : unmanaged
    {
        private MemoryBuffer1D<TElement, Stride1D.Dense>? buffer;

        public long Bytes => buffer?.LengthInBytes ?? 0;

        public ArrayView<TElement> View => buffer is null ? default : buffer.View;

        public ArrayView<TElement> Require(GpuContext context, long length)
        {
            if (buffer is null || buffer.Length < length)
            {
                // The kernels of the previous call may still be reading.
                if (buffer is not null)
                    context.Synchronize();
                buffer?.Dispose();
                // Forgotten, so that it is not used again if there is no memory for the next.
                buffer = null;
                buffer = context.Accelerator.Allocate1D<TElement>(Math.Max(1, length));
            }

            return buffer.View.SubView(0, length);
        }

        public void Dispose() => buffer?.Dispose();
    }
}
