using MeanShiftGpu.Kernels.Machine.TensorCore;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// A warp's sums of a weight gradient: the 9 taps of a plane × 8 input channels × 16, 32 or 48 output
/// channels, and how a group's warps share its work, as a type parameter.
/// </summary>
internal interface ITapSums<TSelf>
    where TSelf : unmanaged, ITapSums<TSelf>
{
    /// <summary>Output channels of a group.</summary>
    static abstract int Channels { get; }

    /// <summary>Output channels of a warp: 16, 32 or 48.</summary>
    static abstract int WarpChannels { get; }

    /// <summary>1, or 2 where the lower half of a tile's rows has warps of its own.</summary>
    static abstract int Parts { get; }

    /// <summary>Adds the products of one depth of voxels.</summary>
    /// <param name="sums">The sums.</param>
    /// <param name="left">The input's fragments at the three taps along y, shifted by the first tap along
    /// x.</param>
    /// <param name="middle">By the second.</param>
    /// <param name="right">By the third.</param>
    /// <param name="gradient">This lane's origin in gradOutput.</param>
    /// <param name="offset">Words from there to the depth's first voxel.</param>
    /// <param name="row">Words from one voxel of gradOutput to the next.</param>
    static abstract TSelf Multiply<TOperand>(
        TSelf sums, TapWindow left, TapWindow middle, TapWindow right, ref uint gradient, int offset, int row)
        where TOperand : struct, IOperand;

    /// <summary>Puts the sums where another warp takes them from: 32 words for each sum.</summary>
    /// <param name="sums">The sums.</param>
    /// <param name="origin">This lane's place, 4 words.</param>
    static abstract void Put(TSelf sums, ref uint origin);

    /// <summary>Adds what another warp has put.</summary>
    static abstract TSelf Add(TSelf sums, ref uint origin);

    /// <summary>Stores the sums, [9 taps, Cin, Cout] from the first tap on.</summary>
    static abstract void Store(TSelf sums, ArrayView<float> partial, TapSumsTarget target);
}

/// <summary>Where a lane stores its sums of a weight gradient.</summary>
internal struct TapSumsTarget
{
    /// <summary>Index of the first tap's weight [0, 0].</summary>
    public long Base;

    /// <summary>The lane's first input channel.</summary>
    public int Row;

    /// <summary>The lane's first output channel.</summary>
    public int Column;

    /// <summary>Cin.</summary>
    public int Rows;

    /// <summary>Cout.</summary>
    public int Columns;

    /// <summary>
    /// Stores one sum at a tap, so many input and output channels further, where both exist.
    /// </summary>
    public static void Store(float sum, ArrayView<float> partial, TapSumsTarget target, int tap, int row, int column)
    {
        int i = target.Row + row;
        int o = target.Column + column;
        if (i < target.Rows && o < target.Columns)
            partial[target.Base + ((long)tap * target.Rows + i) * target.Columns + o] = sum;
    }
}

/// <summary>9 taps × 16 output × 8 input channels: 36 sums a lane.</summary>
internal struct NineTaps
{
    // The tap along y, then along x.
    public Accumulators UpperLeft;
    public Accumulators UpperMiddle;
    public Accumulators UpperRight;
    public Accumulators Left;
    public Accumulators Middle;
    public Accumulators Right;
    public Accumulators LowerLeft;
    public Accumulators LowerMiddle;
    public Accumulators LowerRight;

    public static NineTaps Multiply<TOperand>(NineTaps sums, TapWindow left, TapWindow middle, TapWindow right, Words gradient)
        where TOperand : struct, IOperand
    {
        sums.UpperLeft = TOperand.Multiply(gradient, left.FirstLow, left.FirstHigh, sums.UpperLeft);
        sums.UpperMiddle = TOperand.Multiply(gradient, middle.FirstLow, middle.FirstHigh, sums.UpperMiddle);
        sums.UpperRight = TOperand.Multiply(gradient, right.FirstLow, right.FirstHigh, sums.UpperRight);
        sums.Left = TOperand.Multiply(gradient, left.SecondLow, left.SecondHigh, sums.Left);
        sums.Middle = TOperand.Multiply(gradient, middle.SecondLow, middle.SecondHigh, sums.Middle);
        sums.Right = TOperand.Multiply(gradient, right.SecondLow, right.SecondHigh, sums.Right);
        sums.LowerLeft = TOperand.Multiply(gradient, left.ThirdLow, left.ThirdHigh, sums.LowerLeft);
        sums.LowerMiddle = TOperand.Multiply(gradient, middle.ThirdLow, middle.ThirdHigh, sums.LowerMiddle);
        sums.LowerRight = TOperand.Multiply(gradient, right.ThirdLow, right.ThirdHigh, sums.LowerRight);
        return sums;
    }

    public static void Put(NineTaps sums, ref uint origin, int offset)
    {
        TensorCores.StoreShared(ref origin, offset, ChannelPiece.Bits(sums.UpperLeft));
        TensorCores.StoreShared(ref origin, offset + 128, ChannelPiece.Bits(sums.UpperMiddle));
        TensorCores.StoreShared(ref origin, offset + 256, ChannelPiece.Bits(sums.UpperRight));
        TensorCores.StoreShared(ref origin, offset + 384, ChannelPiece.Bits(sums.Left));
        TensorCores.StoreShared(ref origin, offset + 512, ChannelPiece.Bits(sums.Middle));
        TensorCores.StoreShared(ref origin, offset + 640, ChannelPiece.Bits(sums.Right));
        TensorCores.StoreShared(ref origin, offset + 768, ChannelPiece.Bits(sums.LowerLeft));
        TensorCores.StoreShared(ref origin, offset + 896, ChannelPiece.Bits(sums.LowerMiddle));
        TensorCores.StoreShared(ref origin, offset + 1024, ChannelPiece.Bits(sums.LowerRight));
    }

    public static NineTaps Add(NineTaps sums, ref uint origin, int offset) => new()
    {
        UpperLeft = ChannelPiece.Add(sums.UpperLeft, TensorCores.LoadShared(ref origin, offset)),
        UpperMiddle = ChannelPiece.Add(sums.UpperMiddle, TensorCores.LoadShared(ref origin, offset + 128)),
        UpperRight = ChannelPiece.Add(sums.UpperRight, TensorCores.LoadShared(ref origin, offset + 256)),
        Left = ChannelPiece.Add(sums.Left, TensorCores.LoadShared(ref origin, offset + 384)),
        Middle = ChannelPiece.Add(sums.Middle, TensorCores.LoadShared(ref origin, offset + 512)),
        Right = ChannelPiece.Add(sums.Right, TensorCores.LoadShared(ref origin, offset + 640)),
        LowerLeft = ChannelPiece.Add(sums.LowerLeft, TensorCores.LoadShared(ref origin, offset + 768)),
        LowerMiddle = ChannelPiece.Add(sums.LowerMiddle, TensorCores.LoadShared(ref origin, offset + 896)),
        LowerRight = ChannelPiece.Add(sums.LowerRight, TensorCores.LoadShared(ref origin, offset + 1024)),
    };

    public static void Store(NineTaps sums, ArrayView<float> partial, TapSumsTarget target)
    {
        StoreTap(sums.UpperLeft, partial, target, 0);
        StoreTap(sums.UpperMiddle, partial, target, 1);
        StoreTap(sums.UpperRight, partial, target, 2);
        StoreTap(sums.Left, partial, target, 3);
        StoreTap(sums.Middle, partial, target, 4);
        StoreTap(sums.Right, partial, target, 5);
        StoreTap(sums.LowerLeft, partial, target, 6);
        StoreTap(sums.LowerMiddle, partial, target, 7);
        StoreTap(sums.LowerRight, partial, target, 8);
    }

    // Rows of the instruction are output channels, its columns input channels.
    private static void StoreTap(Accumulators sums, ArrayView<float> partial, TapSumsTarget target, int tap)
    {
        TapSumsTarget.Store(sums.X, partial, target, tap, 0, 0);
        TapSumsTarget.Store(sums.Y, partial, target, tap, 1, 0);
        TapSumsTarget.Store(sums.Z, partial, target, tap, 0, 8);
        TapSumsTarget.Store(sums.W, partial, target, tap, 1, 8);
    }
}

/// <summary>16 output channels with 8 warps: 4 blocks of 8 input channels, two parts of the rows.</summary>
internal struct TapSums16 : ITapSums<TapSums16>
{
    public NineTaps Lower;

    // ILGPU takes structs of the same flat fields for one type, however they are nested. This field is
    // never set, so it costs nothing.
    public int Distinct;

    public static int Channels => 16;

    public static int WarpChannels => 16;

    public static int Parts => 2;

    public static TapSums16 Multiply<TOperand>(
        TapSums16 sums, TapWindow left, TapWindow middle, TapWindow right, ref uint gradient, int offset, int row)
        where TOperand : struct, IOperand
    {
        sums.Lower = NineTaps.Multiply<TOperand>(
            sums.Lower, left, middle, right, TOperand.LoadTransposed(ref gradient, offset, row, 8 * row));
        return sums;
    }

    public static void Put(TapSums16 sums, ref uint origin) => NineTaps.Put(sums.Lower, ref origin, 0);

    public static TapSums16 Add(TapSums16 sums, ref uint origin)
    {
        sums.Lower = NineTaps.Add(sums.Lower, ref origin, 0);
        return sums;
    }

    public static void Store(TapSums16 sums, ArrayView<float> partial, TapSumsTarget target)
        => NineTaps.Store(sums.Lower, partial, target);
}

/// <summary>32 output channels with 8 warps: 4 blocks of 8 input and 2 of 16 output channels.</summary>
internal struct TapSums32 : ITapSums<TapSums32>
{
    public NineTaps Lower;

    // As TapSums16's.
    public int Distinct;
    public int DistinctToo;

    public static int Channels => 32;

    public static int WarpChannels => 16;

    public static int Parts => 1;

    public static TapSums32 Multiply<TOperand>(
        TapSums32 sums, TapWindow left, TapWindow middle, TapWindow right, ref uint gradient, int offset, int row)
        where TOperand : struct, IOperand
    {
        sums.Lower = NineTaps.Multiply<TOperand>(
            sums.Lower, left, middle, right, TOperand.LoadTransposed(ref gradient, offset, row, 8 * row));
        return sums;
    }

    public static void Put(TapSums32 sums, ref uint origin) => NineTaps.Put(sums.Lower, ref origin, 0);

    public static TapSums32 Add(TapSums32 sums, ref uint origin)
    {
        sums.Lower = NineTaps.Add(sums.Lower, ref origin, 0);
        return sums;
    }

    public static void Store(TapSums32 sums, ArrayView<float> partial, TapSumsTarget target)
        => NineTaps.Store(sums.Lower, partial, target);
}

/// <summary>48 output channels with 8 warps: 4 blocks of 8 input channels, two parts of the rows.</summary>
internal struct TapSums48 : ITapSums<TapSums48>
{
    public NineTaps Lower;
    public NineTaps Middle;
    public NineTaps Upper;

    // ILGPU takes structs of the same flat fields for one type, however they are nested. This field is
    // never set, so it costs nothing.
    public int Distinct;

    public static int Channels => 48;

    public static int WarpChannels => 48;

    public static int Parts => 2;

    public static TapSums48 Multiply<TOperand>(
        TapSums48 sums, TapWindow left, TapWindow middle, TapWindow right, ref uint gradient, int offset, int row)
        where TOperand : struct, IOperand
    {
        sums.Lower = NineTaps.Multiply<TOperand>(
            sums.Lower, left, middle, right, TOperand.LoadTransposed(ref gradient, offset, row, 8 * row));
        sums.Middle = NineTaps.Multiply<TOperand>(
            sums.Middle,
            left,
            middle,
            right,
            TOperand.LoadTransposed(ref gradient, offset + 2 * TOperand.PieceWords, row, 8 * row));
        sums.Upper = NineTaps.Multiply<TOperand>(
            sums.Upper,
            left,
            middle,
            right,
            TOperand.LoadTransposed(ref gradient, offset + 4 * TOperand.PieceWords, row, 8 * row));
        return sums;
    }

    public static void Put(TapSums48 sums, ref uint origin)
    {
        NineTaps.Put(sums.Lower, ref origin, 0);
        NineTaps.Put(sums.Middle, ref origin, 1152);
        NineTaps.Put(sums.Upper, ref origin, 2304);
    }

    public static TapSums48 Add(TapSums48 sums, ref uint origin)
    {
        sums.Lower = NineTaps.Add(sums.Lower, ref origin, 0);
        sums.Middle = NineTaps.Add(sums.Middle, ref origin, 1152);
        sums.Upper = NineTaps.Add(sums.Upper, ref origin, 2304);
        return sums;
    }

    public static void Store(TapSums48 sums, ArrayView<float> partial, TapSumsTarget target)
    {
        NineTaps.Store(sums.Lower, partial, target);
        target.Column += 16;
        NineTaps.Store(sums.Middle, partial, target);
        target.Column += 16;
        NineTaps.Store(sums.Upper, partial, target);
    }
}

/// <summary>64 output channels with 8 warps: 4 blocks of 8 input and 2 of 32 output channels.</summary>
internal struct TapSums64 : ITapSums<TapSums64>
{
    public NineTaps Lower;
    public NineTaps Upper;

    // ILGPU takes structs of the same flat fields for one type, however they are nested. This field is
    // never set, so it costs nothing.
    public int Distinct;
    public int DistinctToo;

    public static int Channels => 64;

    public static int WarpChannels => 32;

    public static int Parts => 1;

    public static TapSums64 Multiply<TOperand>(
        TapSums64 sums, TapWindow left, TapWindow middle, TapWindow right, ref uint gradient, int offset, int row)
        where TOperand : struct, IOperand
    {
        sums.Lower = NineTaps.Multiply<TOperand>(
            sums.Lower, left, middle, right, TOperand.LoadTransposed(ref gradient, offset, row, 8 * row));
        sums.Upper = NineTaps.Multiply<TOperand>(
            sums.Upper,
            left,
            middle,
            right,
            TOperand.LoadTransposed(ref gradient, offset + 2 * TOperand.PieceWords, row, 8 * row));
        return sums;
    }

    public static void Put(TapSums64 sums, ref uint origin)
    {
        NineTaps.Put(sums.Lower, ref origin, 0);
        NineTaps.Put(sums.Upper, ref origin, 1152);
    }

    public static TapSums64 Add(TapSums64 sums, ref uint origin)
    {
        sums.Lower = NineTaps.Add(sums.Lower, ref origin, 0);
        sums.Upper = NineTaps.Add(sums.Upper, ref origin, 1152);
        return sums;
    }

    public static void Store(TapSums64 sums, ArrayView<float> partial, TapSumsTarget target)
    {
        NineTaps.Store(sums.Lower, partial, target);
        target.Column += 16;
        NineTaps.Store(sums.Upper, partial, target);
    }
}
