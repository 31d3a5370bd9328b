namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>A thread's share of a bias gradient: sums, in float32, of the eight channels of the pieces of gradOutput that it fetches.</summary>
internal struct PieceSums
{
    public Accumulators Low;
    public Accumulators High;

    /// <summary>Adds a piece as it was fetched, masked in place if masked is 1, and makes operands of it in place where it is to be rounded.</summary>
    /// <param name="sums">The thread's sums.</param>
    /// <param name="shared">The group's memory.</param>
    /// <param name="at">Where the piece lies.</param>
    /// <param name="maskAt">Where its mask lies, if masked is 1.</param>
    /// <param name="masked">Whether only channels count whose mask is positive.</param>
    public static PieceSums AddRounding<TOperand>(PieceSums sums, ArrayView<uint> shared, int at, int maskAt, int masked)
        where TOperand : struct, IOperand
    {
        Words low = TensorCores.LoadShared(ref shared[at], 0);
        Words high;
        if (TOperand.Rounds)
        {
            high = TensorCores.LoadShared(ref shared[at], 4);
            if (masked != 0)
            {
                low = ChannelPiece.Masked(low, TensorCores.LoadShared(ref shared[maskAt], 0));
                high = ChannelPiece.Masked(high, TensorCores.LoadShared(ref shared[maskAt], 4));
            }

            TOperand.Store(shared, at, at + 4, low, high);
        }
        else
        {
            Words pairs = low;
            if (masked != 0)
            {
                pairs = ChannelPiece.MaskedPairs(pairs, TensorCores.LoadShared(ref shared[maskAt], 0));
                TensorCores.StoreShared(ref shared[at], 0, pairs);
            }

            low = ChannelPiece.LowerFloats(pairs);
            high = ChannelPiece.UpperFloats(pairs);
        }

        return new() { Low = ChannelPiece.Add(sums.Low, low), High = ChannelPiece.Add(sums.High, high) };
    }

    /// <summary>Stores the sums over the group's threads, in their order; all of them call together. Thread t has had the pieces t, t + threads, … of rows of pieces.</summary>
    /// <param name="sums">The thread's sums.</param>
    /// <param name="shared">The group's memory, which nobody reads any more.</param>
    /// <param name="threads">Threads of the group, a multiple of the pieces in a row.</param>
    /// <param name="channels">Channels of a row, at most as many as threads.</param>
    /// <param name="partials">Partial sums.</param>
    /// <param name="first">Where the first channel's belongs.</param>
    /// <param name="count">Channels that exist from there on.</param>
    public static void Store(PieceSums sums, ArrayView<uint> shared, int threads, int channels, ArrayView<float> partials, long first, int count)
    {
        int channel = Group.IdxX;
        TensorCores.StoreShared(ref shared[ChannelPiece.Channels * Group.IdxX], 0, ChannelPiece.Bits(sums.Low));
        TensorCores.StoreShared(ref shared[ChannelPiece.Channels * Group.IdxX], 4, ChannelPiece.Bits(sums.High));
        Group.Barrier();
        if (channel >= channels || channel >= count)
            return;
        float sum = 0;
        for (int t = channel / ChannelPiece.Channels; t < threads; t += channels / ChannelPiece.Channels)
            sum += Interop.IntAsFloat(shared[ChannelPiece.Channels * t + channel % ChannelPiece.Channels]);
        partials[first + channel] = sum;
    }
}
