using MeanShiftGpu.Kernels.Machine.TensorCore;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// A warp's sums of a weight gradient: 3 neighbouring taps × 16 input channels × a multiple of 16 output channels, as a type parameter.
/// </summary>
internal interface ITapSums<TSelf>
    where TSelf : unmanaged, ITapSums<TSelf>
{
    /// <summary>The number of output channels.</summary>
    static abstract int Channels { get; }

    /// <summary>Adds the products of one depth of voxels.</summary>
    /// <param name="sums">The sums.</param>
    /// <param name="taps">The input's fragments, shifted by each tap.</param>
    /// <param name="gradient">This lane's origin in gradOutput.</param>
    /// <param name="offset">Words from there to the columns: two pieces for every 16.</param>
    /// <param name="row">Words from one voxel of gradOutput to the next.</param>
    static abstract TSelf Multiply<TOperand>(TSelf sums, TapFragments taps, ref uint gradient, int offset, int row)
        where TOperand : struct, IOperand;

    /// <summary>Stores the sums, [3 taps, Cin, Cout] from the first tap on.</summary>
    static abstract void Store(TSelf sums, ArrayView<float> partial, TapSumsTarget target);
}

/// <summary>The fragments of 16 input channels × one depth of voxels at three neighbouring taps along x.</summary>
internal struct TapFragments
{
    public Words Left;
    public Words Middle;
    public Words Right;
}

/// <summary>Where a lane stores its sums of a weight gradient.</summary>
internal struct TapSumsTarget
{
    /// <summary>Index of the first tap's weight [0, 0].</summary>
    public long Base;

    /// <summary>The lane's first input channel; its second is 8 further.</summary>
    public int Row;

    /// <summary>The lane's first output channel; its second is the next.</summary>
    public int Column;

    /// <summary>Cin.</summary>
    public int Rows;

    /// <summary>Cout.</summary>
    public int Columns;
}

/// <summary>3 taps × 16 × 16: 24 sums a lane.</summary>
internal struct TapSums16 : ITapSums<TapSums16>
{
    // Output channels 0 to 7 (A) and 8 to 15 (B).
    public Accumulators LeftA;
    public Accumulators LeftB;
    public Accumulators MiddleA;
    public Accumulators MiddleB;
    public Accumulators RightA;
    public Accumulators RightB;

    // ILGPU takes structs of the same flat fields for one type, however they are nested: TapSums64 would be Columns48. Never set, so it costs nothing.
    public int Distinct;

    public static int Channels => 16;

    public static TapSums16 Multiply<TOperand>(TapSums16 sums, TapFragments taps, ref uint gradient, int offset, int row)
        where TOperand : struct, IOperand
    {
        Words columns = TOperand.LoadColumns(ref gradient, offset, row, 8 * row);
        sums.LeftA = TOperand.Multiply(taps.Left, columns.X, columns.Y, sums.LeftA);
        sums.MiddleA = TOperand.Multiply(taps.Middle, columns.X, columns.Y, sums.MiddleA);
        sums.RightA = TOperand.Multiply(taps.Right, columns.X, columns.Y, sums.RightA);
        sums.LeftB = TOperand.Multiply(taps.Left, columns.Z, columns.W, sums.LeftB);
        sums.MiddleB = TOperand.Multiply(taps.Middle, columns.Z, columns.W, sums.MiddleB);
        sums.RightB = TOperand.Multiply(taps.Right, columns.Z, columns.W, sums.RightB);
        return sums;
    }

    public static void Store(TapSums16 sums, ArrayView<float> partial, TapSumsTarget target)
    {
        StoreTile(sums.LeftA, partial, target, 0, 0);
        StoreTile(sums.LeftB, partial, target, 0, 8);
        StoreTile(sums.MiddleA, partial, target, 1, 0);
        StoreTile(sums.MiddleB, partial, target, 1, 8);
        StoreTile(sums.RightA, partial, target, 2, 0);
        StoreTile(sums.RightB, partial, target, 2, 8);
    }

    /// <summary>Stores one instruction's sums at a tap and a column.</summary>
    public static void StoreTile(Accumulators sums, ArrayView<float> partial, TapSumsTarget target, int tap, int column)
    {
        StoreOne(sums.X, partial, target, tap, 0, column);
        StoreOne(sums.Y, partial, target, tap, 0, column + 1);
        StoreOne(sums.Z, partial, target, tap, 8, column);
        StoreOne(sums.W, partial, target, tap, 8, column + 1);
    }

    private static void StoreOne(float sum, ArrayView<float> partial, TapSumsTarget target, int tap, int row, int column)
    {
        int i = target.Row + row;
        int o = target.Column + column;
        if (i < target.Rows && o < target.Columns)
            partial[target.Base + ((long)tap * target.Rows + i) * target.Columns + o] = sum;
    }
}

/// <summary>3 taps × 16 × 32: 48 sums a lane.</summary>
internal struct TapSums32 : ITapSums<TapSums32>
{
    public TapSums16 Lower;
    public TapSums16 Upper;

    public static int Channels => 32;

    public static TapSums32 Multiply<TOperand>(TapSums32 sums, TapFragments taps, ref uint gradient, int offset, int row)
        where TOperand : struct, IOperand
    {
        sums.Lower = TapSums16.Multiply<TOperand>(sums.Lower, taps, ref gradient, offset, row);
        sums.Upper = TapSums16.Multiply<TOperand>(sums.Upper, taps, ref gradient, offset + 2 * TOperand.PieceWords, row);
        return sums;
    }

    public static void Store(TapSums32 sums, ArrayView<float> partial, TapSumsTarget target)
    {
        TapSums16.Store(sums.Lower, partial, target);
        target.Column += 16;
        TapSums16.Store(sums.Upper, partial, target);
    }
}

/// <summary>3 taps × 16 × 48: 72 sums a lane.</summary>
internal struct TapSums48 : ITapSums<TapSums48>
{
    public TapSums32 Lower;
    public TapSums16 Upper;

    public static int Channels => 48;

    public static TapSums48 Multiply<TOperand>(TapSums48 sums, TapFragments taps, ref uint gradient, int offset, int row)
        where TOperand : struct, IOperand
    {
        sums.Lower = TapSums32.Multiply<TOperand>(sums.Lower, taps, ref gradient, offset, row);
        sums.Upper = TapSums16.Multiply<TOperand>(sums.Upper, taps, ref gradient, offset + 4 * TOperand.PieceWords, row);
        return sums;
    }

    public static void Store(TapSums48 sums, ArrayView<float> partial, TapSumsTarget target)
    {
        TapSums32.Store(sums.Lower, partial, target);
        target.Column += 32;
        TapSums16.Store(sums.Upper, partial, target);
    }
}

/// <summary>3 taps × 16 × 64: 96 sums a lane.</summary>
internal struct TapSums64 : ITapSums<TapSums64>
{
    public TapSums32 Lower;
    public TapSums32 Upper;

    public static int Channels => 64;

    public static TapSums64 Multiply<TOperand>(TapSums64 sums, TapFragments taps, ref uint gradient, int offset, int row)
        where TOperand : struct, IOperand
    {
        sums.Lower = TapSums32.Multiply<TOperand>(sums.Lower, taps, ref gradient, offset, row);
        sums.Upper = TapSums32.Multiply<TOperand>(sums.Upper, taps, ref gradient, offset + 4 * TOperand.PieceWords, row);
        return sums;
    }

    public static void Store(TapSums64 sums, ArrayView<float> partial, TapSumsTarget target)
    {
        TapSums32.Store(sums.Lower, partial, target);
        target.Column += 32;
        TapSums32.Store(sums.Upper, partial, target);
    }
}
