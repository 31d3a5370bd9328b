using System.Numerics;
using ILGPU;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>
/// One evaluation of <see cref="MeanShiftLoss{T}"/> on the device: what it reads and where it writes. C is
/// the number of maps, one for each class.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public readonly record struct MeanShiftCall<T>
    where T : unmanaged
{
    /// <summary>
    /// Extents of a map's batch, from <see cref="MeanShiftOptions.Shape"/>; with C maps interleaved as [N, D,
    /// H, W, C] its score pitch is C, or more in a wider tensor. The number of seeds may be another than that
    /// of the options.
    /// </summary>
    public required MeanShiftShape Shape { get; init; }

    /// <summary>C: how many maps are evaluated, channel 0 to C − 1 of the scores.</summary>
    public int Maps { get; init; } = 1;

    /// <summary>[N, D, H, W, C] at the shape's pitch.</summary>
    public required ArrayView<T> Scores { get; init; }

    /// <summary>
    /// [C, N, S, 3], (z, y, x) in voxels; empty to draw them around the centres as <see cref="Sampling"/>
    /// says.
    /// </summary>
    public ArrayView<T> Seeds { get; init; }

    /// <summary>
    /// How seeds are drawn where none are given, from <see cref="MeanShiftOptions.Sampling"/>; one of the two
    /// must be there.
    /// </summary>
    public SeedSampling? Sampling { get; init; }

    /// <summary>[M, 3], (z, y, x) in voxels, packed over classes and items.</summary>
    public required ArrayView<T> Centers { get; init; }

    /// <summary>
    /// [C·N + 1]: item n of class c owns the centres from element c·N + n to the one before element c·N + n +
    /// 1.
    /// </summary>
    public required ArrayView<int> CenterOffsets { get; init; }

    /// <summary>
    /// [C], overwritten with the loss of each map: the mean over the items that have centres, 0 if none has.
    /// </summary>
    public required ArrayView<T> Losses { get; init; }

    /// <summary>
    /// [N, D, H, W, C] at the shape's pitch, other channels left alone; empty for the value alone, which
    /// costs about half.
    /// </summary>
    public ArrayView<T> GradScores { get; init; }

    /// <summary>[C], the upstream gradients: multiply each map's gradient; empty for 1.</summary>
    public ArrayView<T> Upstream { get; init; }

    /// <summary>
    /// Multiplies every gradient, beside <see cref="Upstream"/>. The values of the losses stay as they are.
    /// </summary>
    public double Scale { get; init; } = 1;

    /// <summary>
    /// Whether gradients are added to what is in <see cref="GradScores"/>, instead of overwriting it.
    /// </summary>
    public bool Accumulate { get; init; }

    /// <summary>[C, N, S, 3], gets where the seeds ended; empty where it is not wanted.</summary>
    public ArrayView<T> Positions { get; init; }

    /// <summary>
    /// [C, N, S], gets the row of the centre nearest to each end, −1 in items without centres; empty where it
    /// is not wanted.
    /// </summary>
    public ArrayView<int> NearestCenters { get; init; }

    /// <summary>A call with every default.</summary>
    public MeanShiftCall()
    {
    }
}

/// <summary>
/// One evaluation of <see cref="MeanShiftLoss{T}"/> in the caller's memory. C is the number of maps, one for
/// each class.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public readonly ref struct MeanShiftSpans<T>
    where T : unmanaged, INumber<T>
{
    /// <summary>D, H, W of each map in voxels.</summary>
    public required Extent Size { get; init; }

    /// <summary>N: items of the batch.</summary>
    public int Batch { get; init; } = 1;

    /// <summary>C: maps of each item, evaluated in one call.</summary>
    public int Maps { get; init; } = 1;

    /// <summary>[N, D, H, W, C], the last the fastest.</summary>
    public required ReadOnlySpan<T> Scores { get; init; }

    /// <summary>
    /// [C, N, S, 3], (z, y, x) in voxels, S of your own choice; empty to draw the options' number of them
    /// from <see cref="Seed"/>.
    /// </summary>
    public ReadOnlySpan<T> Seeds { get; init; }

    /// <summary>The random key of drawn seeds; the same for every map, whose centres differ.</summary>
    public ulong Seed { get; init; }

    /// <summary>The training step, so that each draws other seeds.</summary>
    public uint Step { get; init; }

    /// <summary>[M, 3], (z, y, x) in voxels, inside the volume, packed over classes and items.</summary>
    public required ReadOnlySpan<T> Centers { get; init; }

    /// <summary>
    /// [C·N + 1]: item n of class c owns the centres from element c·N + n to the one before element c·N + n +
    /// 1. Empty where there is one item and one map.
    /// </summary>
    public ReadOnlySpan<int> CenterOffsets { get; init; }

    /// <summary>
    /// [C], gets the loss of each map: the mean over the items that have centres, 0 if none has; empty where
    /// the sum is enough.
    /// </summary>
    public Span<T> Losses { get; init; }

    /// <summary>
    /// [N, D, H, W, C], gets the gradient; empty for the value alone, which costs about half.
    /// </summary>
    public Span<T> GradScores { get; init; }

    /// <summary>[C], the upstream gradients: multiply each map's gradient; empty for 1.</summary>
    public ReadOnlySpan<T> Upstream { get; init; }

    /// <summary>
    /// Multiplies every gradient, beside <see cref="Upstream"/>. The values of the losses stay as they are.
    /// </summary>
    public double Scale { get; init; } = 1;

    /// <summary>
    /// Whether gradients are added to what is in <see cref="GradScores"/>, instead of overwriting it.
    /// </summary>
    public bool Accumulate { get; init; }

    /// <summary>[C, N, S, 3], gets where the seeds ended; empty where it is not wanted.</summary>
    public Span<T> Positions { get; init; }

    /// <summary>
    /// [C, N, S], gets the row of the centre nearest to each end, −1 in items without centres; empty where it
    /// is not wanted.
    /// </summary>
    public Span<int> NearestCenters { get; init; }

    /// <summary>A call with every default.</summary>
    public MeanShiftSpans()
    {
    }
}
