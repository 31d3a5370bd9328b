using System.Runtime.Intrinsics;
using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>
/// The score map as rows that vectors of eight can read: the caller's own memory where its voxels are
/// neighbours and rows are as long as the vectors over a ball, otherwise a copy in the workspace with rows
/// that are longer by a vector.
/// </summary>
internal readonly unsafe struct HostRows
{
    public const int Lanes = 8;

    public readonly MeanShiftShape Shape;
    public readonly BallConstants<float> Constants;
    public readonly int GradientIterations;
    public readonly bool IsCopy;

    /// <summary>Elements from one row to the next.</summary>
    public readonly long Stride;

    /// <summary>[N, D, H, Stride].</summary>
    public readonly float* Scores;

    /// <summary>Workspace for the chain, [N, S, R, 3].</summary>
    public readonly float* Chain;

    /// <summary>Workspace for the gradient, [N, D, H, Stride], where IsCopy.</summary>
    public readonly float* Gradient;

    // The caller's scores.
    private readonly float* source;

    private HostRows(float* scores, float* workspace, MeanShiftShape shape, MeanShiftParameters parameters)
    {
        Shape = shape;
        Constants = new BallConstants<float>(parameters);
        GradientIterations = parameters.GradientIterations(shape.Iterations);
        IsCopy = NeedsCopy(shape, parameters);
        Stride = StrideOf(shape, parameters);
        Chain = workspace;
        float* copies = workspace + ChainLength(shape, parameters);
        source = scores;
        Scores = IsCopy ? copies : scores;
        Gradient = IsCopy ? copies + RowCount(shape) * Stride : null;
    }

    public static long WorkspaceBytes(MeanShiftShape shape, MeanShiftParameters parameters)
        => sizeof(float) * (
            ChainLength(shape, parameters) + (
                NeedsCopy(shape, parameters) ? 2 * RowCount(shape) * StrideOf(shape, parameters) : 0));

    public static HostRows Of(
        ArrayView<float> scores, ArrayView<byte> workspace, MeanShiftShape shape, MeanShiftParameters parameters)
        => new(scores.Pointer(), (float*)workspace.Pointer(), shape, parameters);

    /// <summary>The rows of the whole batch, N·D·H.</summary>
    public long Rows => RowCount(Shape);

    /// <summary>Copies a row of the caller's scores, where IsCopy.</summary>
    public void CopyRow(long row)
    {
        float* from = source + row * Shape.Width * Shape.ScorePitch;
        float* to = Scores + row * Stride;
        for (int x = 0; x < Shape.Width; x++)
            to[x] = from[(long)x * Shape.ScorePitch];
        // What lies beyond the row never counts, but must be a number.
        for (long x = Shape.Width; x < Stride; x++)
            to[x] = 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long RowStart(int item, int z, int y) => (((long)item * Shape.Depth + z) * Shape.Height + y) * Stride;

    // At most ceil(2b) voxels of a row lie in a ball.
    private static int VectorsPerBall(MeanShiftParameters parameters)
        => ((int)Math.Ceiling(2 * parameters.BandwidthVoxels) + Lanes - 1) / Lanes;

    private static bool NeedsCopy(MeanShiftShape shape, MeanShiftParameters parameters)
        => shape.ScorePitch != 1 || shape.Width < VectorsPerBall(parameters) * Lanes;

    private static long StrideOf(MeanShiftShape shape, MeanShiftParameters parameters)
        => NeedsCopy(shape, parameters) ? shape.Width + Lanes : shape.Width;

    private static long RowCount(MeanShiftShape shape) => (long)shape.Batch * shape.Depth * shape.Height;

    private static long ChainLength(MeanShiftShape shape, MeanShiftParameters parameters)
        => shape.Points * parameters.GradientIterations(shape.Iterations) * 3;
}

/// <summary>The box of voxels around a ball, clipped to the volume, cut into vectors along x.</summary>
internal readonly struct HostBall
{
    public readonly int FirstZ;
    public readonly int LastZ;
    public readonly int FirstY;
    public readonly int LastY;
    public readonly int StartX;
    public readonly int Vectors;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public HostBall(Point<float> p, in HostRows rows)
    {
        float bandwidth = rows.Constants.Bandwidth;
        FirstZ = First(p.Z, bandwidth, rows.Shape.Depth);
        LastZ = Last(p.Z, bandwidth, rows.Shape.Depth);
        FirstY = First(p.Y, bandwidth, rows.Shape.Height);
        LastY = Last(p.Y, bandwidth, rows.Shape.Height);
        StartX = First(p.X, bandwidth, rows.Shape.Width);
        Vectors = (Math.Max(0, Last(p.X, bandwidth, rows.Shape.Width) - StartX + 1) + HostRows.Lanes - 1) / HostRows.Lanes;

        // In the caller's memory the vectors end with the row; lanes before the ball are outside it and
        // masked.
        if (!rows.IsCopy)
            StartX = Math.Min(StartX, rows.Shape.Width - Vectors * HostRows.Lanes);
    }

    // The first and last voxel at a distance below the bandwidth. NaN and positions far outside give empty or
    // clipped ranges.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int First(float position, float bandwidth, int extent)
    {
        float low = position - bandwidth;
        return low >= extent ? extent : low >= 0 ? (int)low + 1 : 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Last(float position, float bandwidth, int extent)
    {
        float high = position + bandwidth;
        return high > extent - 1 ? extent - 1 : high > 0 ? (int)MathF.Ceiling(high) - 1 : -1;
    }
}

/// <summary>One vector of columns of a ball: their coordinates and squared distances along x.</summary>
internal readonly struct HostColumns
{
    public readonly Vector256<float> X;
    public readonly Vector256<float> Offset;
    public readonly Vector256<float> SquaredOffset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public HostColumns(int x, float center, in HostRows rows)
    {
        X = Vector256.Create((float)x) + Vector256.Create(0f, 1, 2, 3, 4, 5, 6, 7);
        Offset = X - Vector256.Create(center);

        // Columns beyond the row are as far as the rim, where no ball is; farther out a weighting that grows
        // would be infinite, which their score of 0 turns into NaN.
        SquaredOffset = Vector256.ConditionalSelect(
            Vector256.LessThan(X, Vector256.Create((float)rows.Shape.Width)),
            Offset * Offset,
            Vector256.Create(rows.Constants.SquaredBandwidth));
    }
}
