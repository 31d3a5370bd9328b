namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>A position or direction in voxels.</summary>
internal readonly struct Point<T>
    where T : unmanaged, INumber<T>
{
    public readonly T Z;
    public readonly T Y;
    public readonly T X;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Point(T z, T y, T x)
    {
        Z = z;
        Y = y;
        X = x;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Point<T> Load(ArrayView<T> points, long index)
        => new(points[index * 3], points[index * 3 + 1], points[index * 3 + 2]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(ArrayView<T> points, long index)
    {
        points[index * 3] = Z;
        points[index * 3 + 1] = Y;
        points[index * 3 + 2] = X;
    }

    /// <summary>Zeros, but NaN where a coordinate is NaN or infinite.</summary>
    public Point<T> ZeroIfFinite
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(Z - Z, Y - Y, X - X);
    }

    /// <summary>Whether no coordinate is NaN or infinite.</summary>
    public bool IsFinite
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Z - Z == T.Zero && Y - Y == T.Zero && X - X == T.Zero;
    }

    /// <summary>The same point, but NaN where a coordinate is NaN or infinite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Point<T> OrNaN() => new(Z - (Z - Z), Y - (Y - Y), X - (X - X));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T SquaredDistance(Point<T> other)
    {
        T z = Z - other.Z;
        T y = Y - other.Y;
        T x = X - other.X;
        return z * z + y * y + x * x;
    }
}

/// <summary>The sums of one iteration over a ball: W and Σ m·(q − p).</summary>
internal readonly struct BallSum<T>
    where T : unmanaged, INumber<T>
{
    public readonly T Weight;
    public readonly Point<T> Moment;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public BallSum(T weight, Point<T> moment)
    {
        Weight = weight;
        Moment = moment;
    }
}

/// <summary>
/// <see cref="MeanShiftParameters"/> in a kernel's real type: devices without float64 must not see a double.
/// </summary>
internal readonly struct BallConstants<T>
    where T : unmanaged, INumber<T>
{
    public readonly T Bandwidth;
    public readonly T SquaredBandwidth;
    public readonly T InverseSquaredBandwidth;
    public readonly T ScoreFloor;

    public BallConstants(MeanShiftParameters parameters)
    {
        Bandwidth = T.CreateChecked(parameters.BandwidthVoxels);
        SquaredBandwidth = Bandwidth * Bandwidth;
        InverseSquaredBandwidth = T.One / SquaredBandwidth;
        ScoreFloor = T.CreateChecked(parameters.ScoreFloor);
    }
}

/// <summary><see cref="SeedSampling"/> for a kernel: lengths in steps of 1/4096 voxel.</summary>
internal readonly struct SeedSamplingConstants
{
    public const int StepsPerVoxel = 4096;

    public readonly ulong Seed;
    public readonly uint Step;
    public readonly int Radius;
    public readonly int Margin;
    public readonly int FirstItem;

    public SeedSamplingConstants(SeedSampling sampling)
    {
        Seed = sampling.Seed;
        Step = sampling.Step;
        Radius = (int)Math.Round(sampling.RadiusVoxels * StepsPerVoxel);
        Margin = (int)Math.Round(sampling.MarginVoxels * StepsPerVoxel);
        FirstItem = sampling.FirstItem;
    }
}

/// <summary>The range of voxels that a ball can reach along one axis.</summary>
internal static class BallRange<T, TReal>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    /// <summary>
    /// A lower bound of the ball's voxels inside the volume, tight to one voxel: membership is decided by
    /// distance alone. NaN and positions far outside give empty or clipped ranges before they become
    /// integers.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int First(T position, T bandwidth, int extent)
    {
        T low = position - bandwidth;
        if (low >= TReal.From(extent))
            return extent;
        return low >= T.Zero ? TReal.FloorToInt(low) : 0;
    }

    /// <summary>
    /// The matching upper bound, inclusive; below <see cref="First"/> when the range is empty.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Last(T position, T bandwidth, int extent)
    {
        T high = position + bandwidth;
        if (high >= TReal.From(extent - 1))
            return extent - 1;
        return high >= T.Zero ? TReal.FloorToInt(high) : -1;
    }
}

/// <summary>
/// The tiles of 8³ voxels in which the score gradient is gathered. Per tile one bit for each record (seed,
/// iteration) says whether that record's ball can reach it: bounded memory, no counting, no atomics, and a
/// fixed order.
/// </summary>
internal static class ScoreTiles
{
    public const int Edge = 8;
    public const int Voxels = Edge * Edge * Edge;
    public const int MaskBits = 32;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Along(int extent) => (extent + Edge - 1) / Edge;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long Count(MeanShiftShape shape) => (long)Along(shape.Depth) * Along(shape.Height) * Along(shape.Width);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int MaskWords(MeanShiftShape shape, int gradientIterations)
        => (shape.SeedsPerItem * gradientIterations + MaskBits - 1) / MaskBits;
}

/// <summary>First voxel of a tile; tiles are numbered with x fastest.</summary>
internal readonly struct TileOrigin
{
    public readonly int Z;
    public readonly int Y;
    public readonly int X;

    private TileOrigin(int z, int y, int x)
    {
        Z = z;
        Y = y;
        X = x;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TileOrigin Of(int tile, MeanShiftShape shape)
    {
        int alongX = ScoreTiles.Along(shape.Width);
        int alongY = ScoreTiles.Along(shape.Height);
        return new TileOrigin(
            tile / (alongX * alongY) * ScoreTiles.Edge,
            tile / alongX % alongY * ScoreTiles.Edge,
            tile % alongX * ScoreTiles.Edge);
    }
}

/// <summary>
/// The voxel of one thread of the gather; it may lie outside the volume, in the part of a tile that sticks
/// out.
/// </summary>
internal readonly struct TileVoxel
{
    public readonly int Item;
    public readonly long ItemTile;
    public readonly int Z;
    public readonly int Y;
    public readonly int X;

    private TileVoxel(int item, long itemTile, int z, int y, int x)
    {
        Item = item;
        ItemTile = itemTile;
        Z = z;
        Y = y;
        X = x;
    }

    // The voxels of a tile are neighbours in thread order, so that a warp reads one mask.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TileVoxel Of(long thread, MeanShiftShape shape)
    {
        long itemTile = thread / ScoreTiles.Voxels;
        int local = (int)(thread % ScoreTiles.Voxels);
        long tiles = ScoreTiles.Count(shape);
        TileOrigin origin = TileOrigin.Of((int)(itemTile % tiles), shape);
        return new TileVoxel(
            (int)(itemTile / tiles),
            itemTile,
            origin.Z + local / (ScoreTiles.Edge * ScoreTiles.Edge),
            origin.Y + local / ScoreTiles.Edge % ScoreTiles.Edge,
            origin.X + local % ScoreTiles.Edge);
    }
}
