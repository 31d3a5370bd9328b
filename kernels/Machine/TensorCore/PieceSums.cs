namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// A thread's share of a bias gradient: sums, in float32, of the eight channels of the pieces of gradOutput
/// that it fetches.
/// </summary>
internal struct PieceSums
{
    public Accumulators Low;
    public Accumulators High;

    /// <summary>
    /// Adds a piece as it was fetched, masked in place if masked is not 0, and makes operands of it in place
    /// where it is to be rounded.
    /// </summary>
    /// <param name="sums">The thread's sums.</param>
    /// <param name="first">An address of 4 words of the piece as it was fetched; if it is rounded to one
    /// place, of the first.</param>
    /// <param name="second">An address of the other 4 words where it has 8.</param>
    /// <param name="offset">Words from both to the piece.</param>
    /// <param name="mask">Words from the piece to its mask.</param>
    /// <param name="masked">Whether only channels count whose mask is positive.</param>
    public static PieceSums AddRounding<TOperand>(
        PieceSums sums, ref uint first, ref uint second, int offset, int mask, int masked)
        where TOperand : struct, IOperand
    {
        Words low = TensorCores.LoadShared(ref first, offset);
        Words high;
        if (TOperand.Rounds)
        {
            high = TensorCores.LoadShared(ref second, offset);
            if (masked != 0)
            {
                low = ChannelPiece.Masked(low, TensorCores.LoadShared(ref first, offset + mask));
                high = ChannelPiece.Masked(high, TensorCores.LoadShared(ref second, offset + mask));
            }

            TOperand.StoreInPlace(ref first, ref second, offset, low, high);
        }
        else
        {
            Words pairs = low;
            if (masked != 0)
            {
                pairs = ChannelPiece.MaskedPairs(pairs, TensorCores.LoadShared(ref first, offset + mask));
                TensorCores.StoreShared(ref first, offset, pairs);
            }

            low = ChannelPiece.LowerFloats(pairs);
            high = ChannelPiece.UpperFloats(pairs);
        }

        return new() { Low = ChannelPiece.Add(sums.Low, low), High = ChannelPiece.Add(sums.High, high) };
    }

    /// <summary>Puts a thread's sums into shared memory, in two places of 4 words.</summary>
    public static void Save(PieceSums sums, ref uint origin, int second)
    {
        TensorCores.StoreShared(ref origin, 0, ChannelPiece.Bits(sums.Low));
        TensorCores.StoreShared(ref origin, second, ChannelPiece.Bits(sums.High));
    }

    /// <summary>Takes them from there.</summary>
    public static PieceSums Load(ref uint origin, int second) => new()
    {
        Low = ChannelPiece.Floats(TensorCores.LoadShared(ref origin, 0)),
        High = ChannelPiece.Floats(TensorCores.LoadShared(ref origin, second)),
    };

    /// <summary>
    /// Stores the sums over the group's threads, in their order; all of them call together. Thread t has had
    /// the pieces t, t + threads, … of rows of pieces.
    /// </summary>
    /// <param name="sums">The thread's sums.</param>
    /// <param name="shared">The group's memory, which nobody reads any more.</param>
    /// <param name="swap">0, or 4 where the thread's first sums are those of a piece's last four
    /// channels.</param>
    /// <param name="threads">Threads of the group, a multiple of the pieces in a row.</param>
    /// <param name="channels">Channels of a row, at most as many as threads.</param>
    /// <param name="partials">Partial sums.</param>
    /// <param name="first">Where the first channel's belongs.</param>
    /// <param name="count">Channels that exist from there on.</param>
    public static void Store(
        PieceSums sums,
        ArrayView<uint> shared, int swap, int threads, int channels, ArrayView<float> partials,
        long first,
        int count)
    {
        int channel = Group.IdxX;
        TensorCores.StoreShared(ref shared[ChannelPiece.Channels * Group.IdxX + swap], 0, ChannelPiece.Bits(sums.Low));
        TensorCores.StoreShared(ref shared[ChannelPiece.Channels * Group.IdxX + 4 - swap], 0, ChannelPiece.Bits(sums.High));
        Group.Barrier();
        if (channel >= channels || channel >= count)
            return;
        float sum = 0;
        for (int t = channel / ChannelPiece.Channels; t < threads; t += channels / ChannelPiece.Channels)
            sum += Interop.IntAsFloat(shared[ChannelPiece.Channels * t + channel % ChannelPiece.Channels]);
        partials[first + channel] = sum;
    }
}
