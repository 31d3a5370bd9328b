namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// Eight neighbouring channels of a voxel: the unit in which tensor-core kernels fetch activations, mask them
/// and round them.
/// </summary>
internal static class ChannelPiece
{
    /// <summary>Channels, each a word before rounding.</summary>
    public const int Channels = 8;

    /// <summary>
    /// Words from one voxel of so many channels to the next in a tile whose fragments are read across voxels.
    /// </summary>
    public static int RowWords<TOperand>(int channels)
        where TOperand : struct, IOperand
        => channels / Channels * TOperand.PieceWords + TOperand.RowPadding;

    /// <summary>
    /// Begins to copy a piece; zeros where the voxel is outside the volume or the channel does not exist.
    /// </summary>
    /// <param name="shared">The group's memory.</param>
    /// <param name="target">Where to, 16-byte aligned.</param>
    /// <param name="source">The activations.</param>
    /// <param name="element">The piece's first element; anything where the voxel is outside.</param>
    /// <param name="count">Channels that exist from there on: none outside, possibly more than 8.</param>
    /// <param name="aligned">1 where every voxel's first element is 16-byte aligned.</param>
    public static void Copy(ArrayView<uint> shared, int target, ArrayView<uint> source, long element, int count, int aligned)
    {
        if (aligned != 0)
        {
            int low = Clamp(count, 4);
            int high = Clamp(count - 4, 4);
            TensorCores.CopyAsync16(ref shared[target], 0, ref source[low > 0 ? element : 0], 0, 4 * low);
            TensorCores.CopyAsync16(ref shared[target], 4, ref source[high > 0 ? element + 4 : 0], 0, 4 * high);
            return;
        }

        for (int c = 0; c < Channels; c++)
            TensorCores.CopyAsync4(ref shared[target], c, ref source[c < count ? element + c : 0], 0, c < count ? 4 : 0);
    }

    /// <summary>Keeps the words whose channel of the mask is positive.</summary>
    public static Words Masked(Words values, Words mask) => new()
    {
        X = Interop.IntAsFloat(mask.X) > 0 ? values.X : 0,
        Y = Interop.IntAsFloat(mask.Y) > 0 ? values.Y : 0,
        Z = Interop.IntAsFloat(mask.Z) > 0 ? values.Z : 0,
        W = Interop.IntAsFloat(mask.W) > 0 ? values.W : 0,
    };

    /// <summary>Adds four words as floats.</summary>
    public static Accumulators Add(Accumulators sums, Words values) => new()
    {
        X = sums.X + Interop.IntAsFloat(values.X),
        Y = sums.Y + Interop.IntAsFloat(values.Y),
        Z = sums.Z + Interop.IntAsFloat(values.Z),
        W = sums.W + Interop.IntAsFloat(values.W),
    };

    /// <summary>Four words as floats.</summary>
    public static Accumulators Floats(Words bits) => new()
    {
        X = Interop.IntAsFloat(bits.X),
        Y = Interop.IntAsFloat(bits.Y),
        Z = Interop.IntAsFloat(bits.Z),
        W = Interop.IntAsFloat(bits.W),
    };

    /// <summary>The bits of four sums.</summary>
    public static Words Bits(Accumulators sums) => new()
    {
        X = Interop.FloatAsInt(sums.X),
        Y = Interop.FloatAsInt(sums.Y),
        Z = Interop.FloatAsInt(sums.Z),
        W = Interop.FloatAsInt(sums.W),
    };

    /// <summary>Keeps the BF16 whose channel of the mask is positive, two to a word.</summary>
    public static Words MaskedPairs(Words values, Words mask) => new()
    {
        X = MaskedPair(values.X, mask.X),
        Y = MaskedPair(values.Y, mask.Y),
        Z = MaskedPair(values.Z, mask.Z),
        W = MaskedPair(values.W, mask.W),
    };

    /// <summary>The first four of eight BF16 as float32.</summary>
    public static Words LowerFloats(Words pairs)
        => new() { X = pairs.X << 16, Y = pairs.X & 0xFFFF0000, Z = pairs.Y << 16, W = pairs.Y & 0xFFFF0000 };

    /// <summary>The last four of eight BF16 as float32.</summary>
    public static Words UpperFloats(Words pairs)
        => new() { X = pairs.Z << 16, Y = pairs.Z & 0xFFFF0000, Z = pairs.W << 16, W = pairs.W & 0xFFFF0000 };

    private static uint MaskedPair(uint pair, uint mask)
        => (Interop.IntAsFloat(mask << 16) > 0 ? pair & 0xFFFF : 0) | (
            Interop.IntAsFloat(mask & 0xFFFF0000) > 0 ? pair & 0xFFFF0000 : 0);

    /// <summary>A count between none and the most that there can be.</summary>
    public static int Clamp(int count, int most) => Math.Max(0, Math.Min(count, most));
}
