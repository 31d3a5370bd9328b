namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// What the operands of a matrix instruction are. A voxel's 32 bytes in shared memory hold the channels of one instruction: 8 TF32 or 16 BF16. Data is
/// moved in pieces of 8 channels.
/// </summary>
internal interface IOperand
{
    /// <summary>Channels (or voxels, where those are summed over) of one instruction: 8 or 16.</summary>
    static abstract int Depth { get; }

    /// <summary>Whether activations are float32, which are fetched as such and then rounded; otherwise they lie in memory as the operands that they are.</summary>
    static abstract bool Rounds { get; }

    /// <summary>Words of a piece of 8 channels as it is fetched: 8 of float32, 4 of BF16.</summary>
    static abstract int PieceWords { get; }

    /// <summary>Begins to copy a piece; zeros where the voxel is outside the volume or the channel does not exist.</summary>
    /// <param name="shared">The group's memory.</param>
    /// <param name="target">Where to, 16-byte aligned.</param>
    /// <param name="source">The activations.</param>
    /// <param name="element">The piece's first element; anything where the voxel is outside.</param>
    /// <param name="count">Channels that exist from there on: none outside, possibly more than 8.</param>
    /// <param name="aligned">1 where every voxel's first element is 16-byte aligned, which BF16 always is.</param>
    static abstract void Copy(ArrayView<uint> shared, int target, ArrayView<uint> source, long element, int count, int aligned);

    /// <summary>Channels of a word as activations lie in memory: 1 or 2.</summary>
    static abstract int WordChannels { get; }

    /// <summary>Words of Depth / 2 channels, whose operands are 16 bytes, as they are fetched.</summary>
    static abstract int FetchedWords { get; }

    /// <summary>Stores the operands of Depth / 2 channels, 16 bytes: rounded from 4 or 8 words as they were fetched.</summary>
    static abstract void StorePiece(ref uint target, int offset, Words low, Words high);

    /// <summary>Words between the channels' rows in a tile whose fragments are read across voxels, beyond the row itself, so that no two lanes meet in a bank.</summary>
    static abstract int RowPadding { get; }

    /// <summary>The lowest channel of a word of B's fragment: word 0 or 1 of the lane 4·column + t.</summary>
    static abstract int RowOf(int word, int t);

    /// <summary>A word of B's fragment from the weights of its channel and of the next, which TF32 ignores.</summary>
    static abstract uint Pack(float first, float second);

    /// <summary>Rounds 8 float32 and stores them in shared memory: 4 TF32 at each of two places, or 8 BF16 at the first.</summary>
    static abstract void Store(ArrayView<uint> shared, int first, int second, Words low, Words high);

    /// <summary>D = A·B + C of 16 rows and 8 columns.</summary>
    static abstract Accumulators Multiply(Words a, uint b0, uint b1, Accumulators c);

    /// <summary>Where a lane's part of <see cref="LoadTransposed"/> begins, in words from the first channel of the first voxel.</summary>
    /// <param name="lane">The lane.</param>
    /// <param name="row">Words from one voxel to the next.</param>
    /// <param name="run">Words from a run of 8 voxels to the next run.</param>
    static abstract int OriginOfTransposed(int lane, int row, int run);

    /// <summary>Where a lane's part of <see cref="LoadColumns"/> begins.</summary>
    static abstract int OriginOfColumns(int lane, int row, int run);

    /// <summary>The fragment A[16 channels, Depth voxels] of a tile whose rows are voxels, one or two runs of 8: the transpose of what lies there.</summary>
    static abstract Words LoadTransposed(ref uint origin, int offset, int row, int run);

    /// <summary>The fragments B[Depth voxels, 16 channels] of a tile whose rows are voxels: b0 and b1 of channels 0 to 7 in X and Y, of 8 to 15 in Z and W.</summary>
    static abstract Words LoadColumns(ref uint origin, int offset, int row, int run);
}

/// <summary>TF32: float32's range with 11 significant bits.</summary>
internal readonly struct Tf32Operand : IOperand
{
    public static int Depth => 8;

    public static bool Rounds => true;

    public static int PieceWords => ChannelPiece.Channels;

    public static int WordChannels => 1;

    public static int FetchedWords => 4;

    public static void StorePiece(ref uint target, int offset, Words low, Words high) => TensorCores.StoreShared(ref target, offset, Round(low));

    public static void Copy(ArrayView<uint> shared, int target, ArrayView<uint> source, long element, int count, int aligned)
        => ChannelPiece.Copy(shared, target, source, element, count, aligned);

    // Rows of 16·n words at 8 modulo 32 banks: 4 voxels of 8 channels meet every bank once.
    public static int RowPadding => 8;

    public static int RowOf(int word, int t) => 4 * word + t;

    public static uint Pack(float first, float second) => TensorCores.RoundToTf32(first);

    public static void Store(ArrayView<uint> shared, int first, int second, Words low, Words high)
    {
        TensorCores.StoreShared(ref shared[first], 0, Round(low));
        TensorCores.StoreShared(ref shared[second], 0, Round(high));
    }

    public static Accumulators Multiply(Words a, uint b0, uint b1, Accumulators c)
        => TensorCores.MultiplyTf32(a.X, a.Y, a.Z, a.W, b0, b1, c);

    public static int OriginOfTransposed(int lane, int row, int run) => lane % 4 * row + lane / 4;

    public static int OriginOfColumns(int lane, int row, int run) => lane % 4 * row + lane / 4;

    public static Words LoadTransposed(ref uint origin, int offset, int row, int run) => new()
    {
        X = TensorCores.LoadWord(ref origin, offset),
        Y = TensorCores.LoadWord(ref origin, offset + 8),
        Z = TensorCores.LoadWord(ref origin, offset + 4 * row),
        W = TensorCores.LoadWord(ref origin, offset + 4 * row + 8),
    };

    public static Words LoadColumns(ref uint origin, int offset, int row, int run) => new()
    {
        X = TensorCores.LoadWord(ref origin, offset),
        Y = TensorCores.LoadWord(ref origin, offset + 4 * row),
        Z = TensorCores.LoadWord(ref origin, offset + 8),
        W = TensorCores.LoadWord(ref origin, offset + 4 * row + 8),
    };

    private static Words Round(Words raw) => new()
    {
        X = TensorCores.RoundToTf32(Interop.IntAsFloat(raw.X)),
        Y = TensorCores.RoundToTf32(Interop.IntAsFloat(raw.Y)),
        Z = TensorCores.RoundToTf32(Interop.IntAsFloat(raw.Z)),
        W = TensorCores.RoundToTf32(Interop.IntAsFloat(raw.W)),
    };
}

/// <summary>BF16 of float32 activations: float32's range with 8 significant bits.</summary>
internal readonly struct Bf16Operand : IOperand
{
    public static int Depth => 16;

    public static bool Rounds => true;

    public static int PieceWords => ChannelPiece.Channels;

    public static int WordChannels => 1;

    public static int FetchedWords => 8;

    public static void StorePiece(ref uint target, int offset, Words low, Words high) => TensorCores.StoreShared(ref target, offset, Round(low, high));

    public static void Copy(ArrayView<uint> shared, int target, ArrayView<uint> source, long element, int count, int aligned)
        => ChannelPiece.Copy(shared, target, source, element, count, aligned);

    // Rows at an odd multiple of 16 bytes: 8 rows of 16 bytes meet every bank once.
    public static int RowPadding => 4;

    public static int RowOf(int word, int t) => 8 * word + 2 * t;

    public static uint Pack(float first, float second) => TensorCores.RoundToBf16(first, second);

    public static void Store(ArrayView<uint> shared, int first, int second, Words low, Words high)
        => TensorCores.StoreShared(ref shared[first], 0, Round(low, high));

    private static Words Round(Words low, Words high) => new()
    {
        X = TensorCores.RoundToBf16(Interop.IntAsFloat(low.X), Interop.IntAsFloat(low.Y)),
        Y = TensorCores.RoundToBf16(Interop.IntAsFloat(low.Z), Interop.IntAsFloat(low.W)),
        Z = TensorCores.RoundToBf16(Interop.IntAsFloat(high.X), Interop.IntAsFloat(high.Y)),
        W = TensorCores.RoundToBf16(Interop.IntAsFloat(high.Z), Interop.IntAsFloat(high.W)),
    };

    public static Accumulators Multiply(Words a, uint b0, uint b1, Accumulators c)
        => TensorCores.MultiplyBf16(a.X, a.Y, a.Z, a.W, b0, b1, c);

    // Eight channels lie in the first half of their piece's 8 words, so that rounding needs no second tile. Matrices: voxels 0 to 7 with channels 0 to 7,
    // with channels 8 to 15, then voxels 8 to 15.
    public static int OriginOfTransposed(int lane, int row, int run) => lane % 8 * row + lane / 16 * run + lane / 8 % 2 * 8;

    public static Words LoadTransposed(ref uint origin, int offset, int row, int run) => TensorCores.LoadMatricesTransposed(ref origin, offset);

    // Matrices: channels 0 to 7 with voxels 0 to 7, with voxels 8 to 15, then channels 8 to 15.
    public static int OriginOfColumns(int lane, int row, int run) => lane % 8 * row + lane / 8 % 2 * run + lane / 16 * 8;

    public static Words LoadColumns(ref uint origin, int offset, int row, int run) => TensorCores.LoadMatricesTransposed(ref origin, offset);
}

/// <summary>BF16 that lie in memory as such: fetched into the place from which matrix instructions read them, without a pass that rounds.</summary>
internal readonly struct StoredBf16Operand : IOperand
{
    public static int Depth => 16;

    public static bool Rounds => false;

    public static int PieceWords => ChannelPiece.Channels / 2;

    public static int RowPadding => 4;

    public static int RowOf(int word, int t) => Bf16Operand.RowOf(word, t);

    public static uint Pack(float first, float second) => Bf16Operand.Pack(first, second);

    public static int WordChannels => 2;

    public static int FetchedWords => 4;

    // Nothing is rounded on the way; Bf16Operand's, so that the contract holds.
    public static void StorePiece(ref uint target, int offset, Words low, Words high) => Bf16Operand.StorePiece(ref target, offset, low, high);

    public static void Copy(ArrayView<uint> shared, int target, ArrayView<uint> source, long element, int count, int aligned)
    {
        int present = ChannelPiece.Clamp(count, ChannelPiece.Channels);
        TensorCores.CopyAsync16(ref shared[target], 0, ref source[present > 0 ? element / 2 : 0], 2 * present);
    }

    // Nothing is rounded on the way; Bf16Operand's, so that the contract holds.
    public static void Store(ArrayView<uint> shared, int first, int second, Words low, Words high) => Bf16Operand.Store(shared, first, second, low, high);

    public static Accumulators Multiply(Words a, uint b0, uint b1, Accumulators c) => Bf16Operand.Multiply(a, b0, b1, c);

    // As Bf16Operand's, but a piece is 4 words.
    public static int OriginOfTransposed(int lane, int row, int run) => lane % 8 * row + lane / 16 * run + lane / 8 % 2 * 4;

    public static Words LoadTransposed(ref uint origin, int offset, int row, int run) => TensorCores.LoadMatricesTransposed(ref origin, offset);

    public static int OriginOfColumns(int lane, int row, int run) => lane % 8 * row + lane / 8 % 2 * run + lane / 16 * 4;

    public static Words LoadColumns(ref uint origin, int offset, int row, int run) => TensorCores.LoadMatricesTransposed(ref origin, offset);
}
