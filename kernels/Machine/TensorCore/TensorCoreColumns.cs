namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// A warp's sums for 64 voxels × a multiple of 16 channels, as a type parameter: each width compiles to its
/// own unrolled code with the sums in registers.
/// </summary>
/// <remarks>
/// The 64 voxels are 8 rows (along y) of 8 (along x); a matrix instruction takes two rows. The weights'
/// columns are permuted when they are packed so that a lane's sums of two neighbouring instructions are 4
/// neighbouring channels, which it stores with one 16-byte access.
/// </remarks>
internal interface IColumns<TSelf>
    where TSelf : unmanaged, IColumns<TSelf>
{
    /// <summary>The number of channels.</summary>
    static abstract int Channels { get; }

    /// <summary>Adds the products of 64 voxels and one depth of the weights.</summary>
    /// <param name="sums">The sums.</param>
    /// <param name="rows">The voxels' fragments.</param>
    /// <param name="weights">This lane's words of the weights, in fragment order; 128 words further for every
    /// 16 channels.</param>
    /// <param name="offset">Words from there.</param>
    static abstract TSelf Multiply<TOperand>(TSelf sums, VoxelRows rows, ref uint weights, int offset)
        where TOperand : struct, IOperand;

    /// <summary>Hands the sums to their places.</summary>
    static abstract void Store<TOperand>(TSelf sums, ArrayView<float> bias, ArrayView<uint> output, ColumnsTarget target)
        where TOperand : struct, IOperand;
}

/// <summary>The fragments of 64 voxels: rows 0 and 1, 2 and 3, 4 and 5, 6 and 7.</summary>
internal struct VoxelRows
{
    public Words Rows01;
    public Words Rows23;
    public Words Rows45;
    public Words Rows67;

    /// <summary>
    /// Words from a row's first voxel to a voxel's half. Eight neighbours along x meet every bank once,
    /// whichever is the first.
    /// </summary>
    public static int At(int x, int half) => x * TensorCoreLaunch.VoxelWords + (half ^ (x >> 2 & 1)) * 4;

    /// <summary>
    /// The offset of a lane's address for <see cref="Load"/>: its voxel along x, the second row of each two,
    /// the second half of the channels.
    /// </summary>
    /// <param name="lane">The lane.</param>
    /// <param name="shift">Voxels along x.</param>
    /// <param name="rowWords">Words from one row of voxels to the next.</param>
    public static int Origin(int lane, int shift, int rowWords) => (lane >> 3 & 1) * rowWords + At((lane & 7) + shift, lane >> 4);

    /// <summary>Loads the fragments of 8 rows of 8 voxels.</summary>
    public static VoxelRows Load(ref uint origin, int rowWords) => new()
    {
        Rows01 = TensorCores.LoadMatrices(ref origin, 0),
        Rows23 = TensorCores.LoadMatrices(ref origin, 2 * rowWords),
        Rows45 = TensorCores.LoadMatrices(ref origin, 4 * rowWords),
        Rows67 = TensorCores.LoadMatrices(ref origin, 6 * rowWords),
    };

    /// <summary>Loads 64 channels as rows, to be summed over one depth of voxels.</summary>
    /// <param name="origin">This lane's origin, see <see cref="IOperand.OriginOfTransposed"/>.</param>
    /// <param name="row">Words from one voxel to the next.</param>
    /// <param name="nextRow">Words from one row of 8 voxels to the next.</param>
    public static VoxelRows LoadTransposed<TOperand>(ref uint origin, int row, int nextRow)
        where TOperand : struct, IOperand
        => new()
        {
            Rows01 = TOperand.LoadTransposed(ref origin, 0, row, nextRow),
            Rows23 = TOperand.LoadTransposed(ref origin, 2 * TOperand.PieceWords, row, nextRow),
            Rows45 = TOperand.LoadTransposed(ref origin, 4 * TOperand.PieceWords, row, nextRow),
            Rows67 = TOperand.LoadTransposed(ref origin, 6 * TOperand.PieceWords, row, nextRow),
        };
}

/// <summary>Where a lane stores its sums: a voxel in each of 8 rows, 4 channels at a time.</summary>
internal struct ColumnsTarget
{
    /// <summary>Index of the lane's voxel in the first row.</summary>
    public long Voxel;

    /// <summary>Voxels from one row to the next.</summary>
    public int Width;

    /// <summary>Rows inside the volume, none where the lane's column or plane is outside.</summary>
    public int Rows;

    /// <summary>The first of this lane's 4 channels.</summary>
    public int Channel;

    /// <summary>The number of channels that exist.</summary>
    public int Channels;

    /// <summary>Elements from one voxel to the next.</summary>
    public int Pitch;

    /// <summary>Elements before the first voxel: a multiple of 4.</summary>
    public long Offset;

    /// <summary>1 where the output takes 16-byte stores.</summary>
    public int Aligned;

    /// <summary>1 where negative values become 0.</summary>
    public int Relu;

    /// <summary>1 where the bias is added.</summary>
    public int HasBias;

    /// <summary>
    /// 1 where the output is BF16, which only operands that lie in memory as such have; then Aligned is not
    /// read.
    /// </summary>
    public int Rounded;
}

/// <summary>64 voxels × 16 channels: 32 sums a lane.</summary>
internal struct Columns16 : IColumns<Columns16>
{
    // The sums of the rows' lower (A) and upper (B) instruction; the rows are X, Y and Z, W.
    public Accumulators A01;
    public Accumulators B01;
    public Accumulators A23;
    public Accumulators B23;
    public Accumulators A45;
    public Accumulators B45;
    public Accumulators A67;
    public Accumulators B67;

    public static int Channels => 16;

    public static Columns16 Multiply<TOperand>(Columns16 sums, VoxelRows rows, ref uint weights, int offset)
        where TOperand : struct, IOperand
        => Multiply<TOperand>(sums, rows, TensorCores.LoadShared(ref weights, offset));

    /// <summary>Adds the products with weights that are already in a lane's registers.</summary>
    public static Columns16 Multiply<TOperand>(Columns16 sums, VoxelRows rows, Words w)
        where TOperand : struct, IOperand
    {
        sums.A01 = TOperand.Multiply(rows.Rows01, w.X, w.Y, sums.A01);
        sums.A23 = TOperand.Multiply(rows.Rows23, w.X, w.Y, sums.A23);
        sums.A45 = TOperand.Multiply(rows.Rows45, w.X, w.Y, sums.A45);
        sums.A67 = TOperand.Multiply(rows.Rows67, w.X, w.Y, sums.A67);
        sums.B01 = TOperand.Multiply(rows.Rows01, w.Z, w.W, sums.B01);
        sums.B23 = TOperand.Multiply(rows.Rows23, w.Z, w.W, sums.B23);
        sums.B45 = TOperand.Multiply(rows.Rows45, w.Z, w.W, sums.B45);
        sums.B67 = TOperand.Multiply(rows.Rows67, w.Z, w.W, sums.B67);
        return sums;
    }

    public static void Store<TOperand>(Columns16 sums, ArrayView<float> bias, ArrayView<uint> output, ColumnsTarget target)
        where TOperand : struct, IOperand
    {
        if (target.Channel >= target.Channels)
            return;
        float b0 = Bias(bias, target, 0);
        float b1 = Bias(bias, target, 1);
        float b2 = Bias(bias, target, 2);
        float b3 = Bias(bias, target, 3);
        StoreRow<TOperand>(output, target, 0, sums.A01.X + b0, sums.A01.Y + b1, sums.B01.X + b2, sums.B01.Y + b3);
        StoreRow<TOperand>(output, target, 1, sums.A01.Z + b0, sums.A01.W + b1, sums.B01.Z + b2, sums.B01.W + b3);
        StoreRow<TOperand>(output, target, 2, sums.A23.X + b0, sums.A23.Y + b1, sums.B23.X + b2, sums.B23.Y + b3);
        StoreRow<TOperand>(output, target, 3, sums.A23.Z + b0, sums.A23.W + b1, sums.B23.Z + b2, sums.B23.W + b3);
        StoreRow<TOperand>(output, target, 4, sums.A45.X + b0, sums.A45.Y + b1, sums.B45.X + b2, sums.B45.Y + b3);
        StoreRow<TOperand>(output, target, 5, sums.A45.Z + b0, sums.A45.W + b1, sums.B45.Z + b2, sums.B45.W + b3);
        StoreRow<TOperand>(output, target, 6, sums.A67.X + b0, sums.A67.Y + b1, sums.B67.X + b2, sums.B67.Y + b3);
        StoreRow<TOperand>(output, target, 7, sums.A67.Z + b0, sums.A67.W + b1, sums.B67.Z + b2, sums.B67.W + b3);
    }

    private static float Bias(ArrayView<float> bias, ColumnsTarget target, int c)
        => target.HasBias != 0 && target.Channel + c < target.Channels ? bias[target.Channel + c] : 0;

    private static void StoreRow<TOperand>(
        ArrayView<uint> output, ColumnsTarget target, int row, float v0, float v1, float v2, float v3)
        where TOperand : struct, IOperand
    {
        if (row >= target.Rows)
            return;
        if (target.Relu != 0)
        {
            v0 = v0 < 0 ? 0 : v0;
            v1 = v1 < 0 ? 0 : v1;
            v2 = v2 < 0 ? 0 : v2;
            v3 = v3 < 0 ? 0 : v3;
        }

        long at = target.Offset + (target.Voxel + (long)row * target.Width) * target.Pitch + target.Channel;
        int count = target.Channels - target.Channel;
        if (!TOperand.Rounds && target.Rounded != 0)
        {
            StoreRounded(output, at, count, TensorCores.RoundToBf16(v0, v1), TensorCores.RoundToBf16(v2, v3));
            return;
        }

        if (target.Aligned != 0 && count >= 4)
        {
            output.Cast<Words>()[at / 4] = new Words
            {
                X = Interop.FloatAsInt(v0),
                Y = Interop.FloatAsInt(v1),
                Z = Interop.FloatAsInt(v2),
                W = Interop.FloatAsInt(v3),
            };
            return;
        }

        output[at] = Interop.FloatAsInt(v0);
        if (count > 1)
            output[at + 1] = Interop.FloatAsInt(v1);
        if (count > 2)
            output[at + 2] = Interop.FloatAsInt(v2);
        if (count > 3)
            output[at + 3] = Interop.FloatAsInt(v3);
    }

    // Four BF16 of a voxel, which begins at a multiple of 16 bytes.
    private static void StoreRounded(ArrayView<uint> output, long at, int count, uint low, uint high)
    {
        if (count >= 4)
        {
            output.Cast<WordPair>()[at / 4] = new WordPair { X = low, Y = high };
            return;
        }

        ArrayView<ushort> elements = output.Cast<ushort>();
        elements[at] = (ushort)low;
        if (count > 1)
            elements[at + 1] = (ushort)(low >> 16);
        if (count > 2)
            elements[at + 2] = (ushort)high;
    }
}

/// <summary>64 voxels × 32 channels: 64 sums a lane.</summary>
internal struct Columns32 : IColumns<Columns32>
{
    public Columns16 Lower;
    public Columns16 Upper;

    public static int Channels => 32;

    public static Columns32 Multiply<TOperand>(Columns32 sums, VoxelRows rows, ref uint weights, int offset)
        where TOperand : struct, IOperand
    {
        sums.Lower = Columns16.Multiply<TOperand>(sums.Lower, rows, ref weights, offset);
        sums.Upper = Columns16.Multiply<TOperand>(sums.Upper, rows, ref weights, offset + 128);
        return sums;
    }

    public static void Store<TOperand>(Columns32 sums, ArrayView<float> bias, ArrayView<uint> output, ColumnsTarget target)
        where TOperand : struct, IOperand
    {
        Columns16.Store<TOperand>(sums.Lower, bias, output, target);
        target.Channel += 16;
        Columns16.Store<TOperand>(sums.Upper, bias, output, target);
    }
}

/// <summary>64 voxels × 48 channels: 96 sums a lane.</summary>
internal struct Columns48 : IColumns<Columns48>
{
    public Columns32 Lower;
    public Columns16 Upper;

    public static int Channels => 48;

    public static Columns48 Multiply<TOperand>(Columns48 sums, VoxelRows rows, ref uint weights, int offset)
        where TOperand : struct, IOperand
    {
        sums.Lower = Columns32.Multiply<TOperand>(sums.Lower, rows, ref weights, offset);
        sums.Upper = Columns16.Multiply<TOperand>(sums.Upper, rows, ref weights, offset + 256);
        return sums;
    }

    public static void Store<TOperand>(Columns48 sums, ArrayView<float> bias, ArrayView<uint> output, ColumnsTarget target)
        where TOperand : struct, IOperand
    {
        Columns32.Store<TOperand>(sums.Lower, bias, output, target);
        target.Channel += 32;
        Columns16.Store<TOperand>(sums.Upper, bias, output, target);
    }
}

/// <summary>64 voxels × 64 channels: 128 sums a lane.</summary>
internal struct Columns64 : IColumns<Columns64>
{
    public Columns32 Lower;
    public Columns32 Upper;

    public static int Channels => 64;

    public static Columns64 Multiply<TOperand>(Columns64 sums, VoxelRows rows, ref uint weights, int offset)
        where TOperand : struct, IOperand
    {
        sums.Lower = Columns32.Multiply<TOperand>(sums.Lower, rows, ref weights, offset);
        sums.Upper = Columns32.Multiply<TOperand>(sums.Upper, rows, ref weights, offset + 256);
        return sums;
    }

    public static void Store<TOperand>(Columns64 sums, ArrayView<float> bias, ArrayView<uint> output, ColumnsTarget target)
        where TOperand : struct, IOperand
    {
        Columns32.Store<TOperand>(sums.Lower, bias, output, target);
        target.Channel += 32;
        Columns32.Store<TOperand>(sums.Upper, bias, output, target);
    }
}
