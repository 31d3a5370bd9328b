namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// What the operands of a matrix instruction are. A voxel's 32 bytes in shared memory hold the channels of
/// one instruction: 8 TF32 or 16 BF16. Data is moved in pieces of 8 channels.
/// </summary>
internal interface IOperand
{
    /// <summary>Channels (or voxels, where those are summed over) of one instruction: 8 or 16.</summary>
    static abstract int Depth { get; }

    /// <summary>
    /// Whether activations are float32, which are fetched as such and then rounded; otherwise they lie in
    /// memory as the operands that they are.
    /// </summary>
    static abstract bool Rounds { get; }

    /// <summary>Words of a piece of 8 channels as it is fetched: 8 of float32, 4 of BF16.</summary>
    static abstract int PieceWords { get; }

    /// <summary>
    /// Begins to copy a piece; zeros where the voxel is outside the volume or the channel does not exist.
    /// </summary>
    /// <param name="shared">The group's memory.</param>
    /// <param name="target">Where to, 16-byte aligned.</param>
    /// <param name="source">The activations.</param>
    /// <param name="element">The piece's first element; anything where the voxel is outside.</param>
    /// <param name="count">Channels that exist from there on: none outside, possibly more than 8.</param>
    /// <param name="aligned">1 where every voxel's first element is 16-byte aligned, which BF16 always
    /// is.</param>
    static abstract void Copy(ArrayView<uint> shared, int target, ArrayView<uint> source, long element, int count, int aligned);

    /// <summary>Channels of a word as activations lie in memory: 1 or 2.</summary>
    static abstract int WordChannels { get; }

    /// <summary>Words of Depth / 2 channels, whose operands are 16 bytes, as they are fetched.</summary>
    static abstract int FetchedWords { get; }

    /// <summary>
    /// Stores the operands of Depth / 2 channels, 16 bytes: rounded from 4 or 8 words as they were fetched.
    /// </summary>
    static abstract void StorePiece(ref uint target, int offset, Words low, Words high);

    /// <summary>
    /// Words between the channels' rows in a tile whose fragments are read across voxels, beyond the row
    /// itself, so that no two lanes meet in a bank.
    /// </summary>
    static abstract int RowPadding { get; }

    /// <summary>The lowest channel of a word of B's fragment: word 0 or 1 of the lane 4·column + t.</summary>
    static abstract int RowOf(int word, int t);

    /// <summary>
    /// A word of B's fragment from the weights of its channel and of the next, which TF32 ignores.
    /// </summary>
    static abstract uint Pack(float first, float second);

    /// <summary>
    /// Rounds 8 float32 and stores them in shared memory: 4 TF32 at each of two places, or 8 BF16 at the
    /// first.
    /// </summary>
    static abstract void Store(ArrayView<uint> shared, int first, int second, Words low, Words high);

    /// <summary>D = A·B + C of 16 rows and 8 columns.</summary>
    static abstract Accumulators Multiply(Words a, uint b0, uint b1, Accumulators c);

    /// <summary>
    /// Where a lane's part of <see cref="LoadTransposed"/> begins, in words from the first channel of the
    /// first voxel.
    /// </summary>
    /// <param name="lane">The lane.</param>
    /// <param name="row">Words from one voxel to the next.</param>
    /// <param name="run">Words from a run of 8 voxels to the next run.</param>
    static abstract int OriginOfTransposed(int lane, int row, int run);

    /// <summary>Where a lane's part of <see cref="LoadColumns"/> begins.</summary>
    static abstract int OriginOfColumns(int lane, int row, int run);

    /// <summary>
    /// The fragment A[16 channels, Depth voxels] of a tile whose rows are voxels, one or two runs of 8: the
    /// transpose of what lies there.
    /// </summary>
    static abstract Words LoadTransposed(ref uint origin, int offset, int row, int run);

    /// <summary>Where a lane's part of <see cref="FirstWindow"/> begins.</summary>
    static abstract int OriginOfWindow(int lane, int row, int run);

    /// <summary>
    /// The fragments B[Depth voxels, 8 channels] of a tile whose rows are voxels, at three taps along y: one
    /// or two runs of 8 voxels each.
    /// </summary>
    /// <param name="origin">This lane's origin, see <see cref="OriginOfWindow"/>.</param>
    /// <param name="offset">Words from there to the first tap's first voxel.</param>
    /// <param name="row">Words from one voxel to the next.</param>
    /// <param name="run">Words from a run of 8 voxels to the next run.</param>
    static abstract TapWindow FirstWindow(ref uint origin, int offset, int row, int run);

    /// <summary>
    /// The same a depth of voxels further, of which the one before holds a part; BF16's only once after the
    /// first.
    /// </summary>
    static abstract TapWindow NextWindow(TapWindow before, ref uint origin, int offset, int row, int run);

    /// <summary>
    /// Rounds 8 float32 and stores them where they were: in two places, or all in the first.
    /// </summary>
    static abstract void StoreInPlace(ref uint first, ref uint second, int offset, Words low, Words high);

    /// <summary>
    /// The fragments B[Depth voxels, 16 channels] of a tile whose rows are voxels: b0 and b1 of channels 0 to
    /// 7 in X and Y, of 8 to 15 in Z and W.
    /// </summary>
    static abstract Words LoadColumns(ref uint origin, int offset, int row, int run);
}

/// <summary>
/// Fragments of one tap along x at three neighbouring taps along y: b0 (Low) and b1 (High) of each.
/// </summary>
internal struct TapWindow
{
    public uint FirstLow;
    public uint FirstHigh;
    public uint SecondLow;
    public uint SecondHigh;
    public uint ThirdLow;
    public uint ThirdHigh;

    // The second tap's of the next depth, where it was loaded with this one's.
    public uint NextLow;
    public uint NextHigh;
}

/// <summary>TF32: float32's range with 11 significant bits.</summary>
internal readonly struct Tf32Operand : IOperand
{
    public static int Depth => 8;

    public static bool Rounds => true;

    public static int PieceWords => ChannelPiece.Channels;

    public static int WordChannels => 1;

    public static int FetchedWords => 4;

    public static void StorePiece(ref uint target, int offset, Words low, Words high)
        => TensorCores.StoreShared(ref target, offset, Round(low));

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

    public static int OriginOfWindow(int lane, int row, int run) => (lane & 3) * row + (lane >> 2);

    public static TapWindow FirstWindow(ref uint origin, int offset, int row, int run) => new()
    {
        FirstLow = TensorCores.LoadWord(ref origin, offset),
        FirstHigh = TensorCores.LoadWord(ref origin, offset + 4 * row),
        SecondLow = TensorCores.LoadWord(ref origin, offset + run),
        SecondHigh = TensorCores.LoadWord(ref origin, offset + run + 4 * row),
        ThirdLow = TensorCores.LoadWord(ref origin, offset + 2 * run),
        ThirdHigh = TensorCores.LoadWord(ref origin, offset + 2 * run + 4 * row),
    };

    public static TapWindow NextWindow(TapWindow before, ref uint origin, int offset, int row, int run) => new()
    {
        FirstLow = before.SecondLow,
        FirstHigh = before.SecondHigh,
        SecondLow = before.ThirdLow,
        SecondHigh = before.ThirdHigh,
        ThirdLow = TensorCores.LoadWord(ref origin, offset + 2 * run),
        ThirdHigh = TensorCores.LoadWord(ref origin, offset + 2 * run + 4 * row),
    };

    public static void StoreInPlace(ref uint first, ref uint second, int offset, Words low, Words high)
    {
        TensorCores.StoreShared(ref first, offset, Round(low));
        TensorCores.StoreShared(ref second, offset, Round(high));
    }

    public static int OriginOfTransposed(int lane, int row, int run) => (lane & 3) * row + (lane >> 2);

    public static int OriginOfColumns(int lane, int row, int run) => (lane & 3) * row + (lane >> 2);

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

    public static void StorePiece(ref uint target, int offset, Words low, Words high)
        => TensorCores.StoreShared(ref target, offset, Round(low, high));

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

    // Matrices: four runs of 8 voxels.
    public static int OriginOfWindow(int lane, int row, int run) => (lane & 7) * row + (lane >> 3) * run;

    // A fragment is two runs, in registers side by side: what begins with the second of them is loaded anew,
    // for two depths at once.
    public static TapWindow FirstWindow(ref uint origin, int offset, int row, int run)
    {
        Words even = TensorCores.LoadMatricesTransposed(ref origin, offset);
        Words odd = TensorCores.LoadMatricesTransposed(ref origin, offset + run);
        return new()
        {
            FirstLow = even.X,
            FirstHigh = even.Y,
            SecondLow = odd.X,
            SecondHigh = odd.Y,
            ThirdLow = even.Z,
            ThirdHigh = even.W,
            NextLow = odd.Z,
            NextHigh = odd.W,
        };
    }

    public static TapWindow NextWindow(TapWindow before, ref uint origin, int offset, int row, int run)
    {
        Words even = TensorCores.LoadMatricesTransposed(ref origin, offset);
        return new()
        {
            FirstLow = even.X,
            FirstHigh = even.Y,
            SecondLow = before.NextLow,
            SecondHigh = before.NextHigh,
            ThirdLow =
            even.Z,
            ThirdHigh = even.W
        };
    }

    public static void StoreInPlace(ref uint first, ref uint second, int offset, Words low, Words high)
        => TensorCores.StoreShared(ref first, offset, Round(low, high));

    // Eight channels lie in the first half of their piece's 8 words, so that rounding needs no second tile.
    // Matrices: voxels 0 to 7 with channels 0 to 7, with channels 8 to 15, then voxels 8 to 15.
    public static int OriginOfTransposed(int lane, int row, int run)
        => (lane & 7) * row + (lane >> 4) * run + (lane >> 3 & 1) * 8;

    public static Words LoadTransposed(ref uint origin, int offset, int row, int run)
        => TensorCores.LoadMatricesTransposed(ref origin, offset);

    // Matrices: channels 0 to 7 with voxels 0 to 7, with voxels 8 to 15, then channels 8 to 15.
    public static int OriginOfColumns(int lane, int row, int run) => (lane & 7) * row + (lane >> 3 & 1) * run + (lane >> 4) * 8;

    public static Words LoadColumns(ref uint origin, int offset, int row, int run)
        => TensorCores.LoadMatricesTransposed(ref origin, offset);
}

/// <summary>
/// BF16 that lie in memory as such: fetched into the place from which matrix instructions read them, without
/// a pass that rounds.
/// </summary>
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
    public static void StorePiece(ref uint target, int offset, Words low, Words high)
        => Bf16Operand.StorePiece(ref target, offset, low, high);

    public static void Copy(ArrayView<uint> shared, int target, ArrayView<uint> source, long element, int count, int aligned)
    {
        int present = ChannelPiece.Clamp(count, ChannelPiece.Channels);
        TensorCores.CopyAsync16(ref shared[target], 0, ref source[present > 0 ? element / 2 : 0], 0, 2 * present);
    }

    // Nothing is rounded on the way; Bf16Operand's, so that the contract holds.
    public static void Store(ArrayView<uint> shared, int first, int second, Words low, Words high)
        => Bf16Operand.Store(shared, first, second, low, high);

    public static Accumulators Multiply(Words a, uint b0, uint b1, Accumulators c) => Bf16Operand.Multiply(a, b0, b1, c);

    public static int OriginOfWindow(int lane, int row, int run) => Bf16Operand.OriginOfWindow(lane, row, run);

    public static TapWindow FirstWindow(ref uint origin, int offset, int row, int run)
        => Bf16Operand.FirstWindow(ref origin, offset, row, run);

    public static TapWindow NextWindow(TapWindow before, ref uint origin, int offset, int row, int run)
        => Bf16Operand.NextWindow(before, ref origin, offset, row, run);

    // Nothing is rounded on the way; Bf16Operand's, so that the contract holds.
    public static void StoreInPlace(ref uint first, ref uint second, int offset, Words low, Words high)
        => Bf16Operand.StoreInPlace(ref first, ref second, offset, low, high);

    // As Bf16Operand's, but a piece is 4 words.
    public static int OriginOfTransposed(int lane, int row, int run)
        => (lane & 7) * row + (lane >> 4) * run + (lane >> 3 & 1) * 4;

    public static Words LoadTransposed(ref uint origin, int offset, int row, int run)
        => TensorCores.LoadMatricesTransposed(ref origin, offset);

    public static int OriginOfColumns(int lane, int row, int run) => (lane & 7) * row + (lane >> 3 & 1) * run + (lane >> 4) * 4;

    public static Words LoadColumns(ref uint origin, int offset, int row, int run)
        => TensorCores.LoadMatricesTransposed(ref origin, offset);
}
