using ILGPU.IR.Intrinsics;

namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// Four accumulators of a lane: rows lane/4 and lane/4 + 8 of a 16×8 tile, columns 2·(lane%4) and the next.
/// </summary>
internal struct Accumulators
{
    /// <summary>Row lane/4, column 2·(lane%4).</summary>
    public float X;

    /// <summary>Row lane/4, column 2·(lane%4) + 1.</summary>
    public float Y;

    /// <summary>Row lane/4 + 8, column 2·(lane%4).</summary>
    public float Z;

    /// <summary>Row lane/4 + 8, column 2·(lane%4) + 1.</summary>
    public float W;
}

/// <summary>
/// NVIDIA's warp-wide matrix instructions and asynchronous copies, from compute capability 8.0 on. On a GPU
/// each is one PTX instruction (<see cref="TensorCorePtx"/>); the bodies here are what the simulated GPU
/// runs. All lanes of a warp must call together.
/// </summary>
/// <remarks>
/// With g = lane/4 and t = lane%4, the lane's fragments of D[16,8] = A·B + C hold
/// TF32, A[16,8]: a0 (g, t), a1 (g+8, t), a2 (g, t+4), a3 (g+8, t+4); B[8,8]: b0 (t, g), b1 (t+4, g).
/// BF16, A[16,16], a pair of neighbouring columns each, the lower in the lower half: a0 (g, 2t), a1 (g+8,
/// 2t), a2 (g, 2t+8), a3 (g+8, 2t+8); B[16,8], a pair of neighbouring rows each: b0 (2t, g), b1 (2t+8, g).
/// </remarks>
internal static class TensorCores
{
    // The instruction reads the upper 19 bits of a TF32 operand; the others may hold anything.
    private const uint Tf32Bits = 0xFFFFE000;

    /// <summary>
    /// D = A·B + C, 16×8×8, TF32 operands as <see cref="RoundToTf32"/> gives them, float32 sums.
    /// </summary>
    [IntrinsicImplementation]
    public static Accumulators MultiplyTf32(uint a0, uint a1, uint a2, uint a3, uint b0, uint b1, Accumulators c)
    {
        WarpExchange warp = WarpExchange.Trade(a0, a1, a2, a3, b0, b1);
        int g = warp.Lane / 4;
        int t = warp.Lane % 4;
        for (int k = 0; k < 8; k++)
        {
            float upper = Tf32(warp[4 * g + k % 4, k < 4 ? 0 : 2]);
            float lower = Tf32(warp[4 * g + k % 4, k < 4 ? 1 : 3]);
            float left = Tf32(warp[8 * t + k % 4, k < 4 ? 4 : 5]);
            float right = Tf32(warp[8 * t + 4 + k % 4, k < 4 ? 4 : 5]);
            c.X += upper * left;
            c.Y += upper * right;
            c.Z += lower * left;
            c.W += lower * right;
        }

        return c;
    }

    /// <summary>
    /// D = A·B + C, 16×8×16, pairs of BF16 as <see cref="RoundToBf16"/> gives them, float32 sums.
    /// </summary>
    [IntrinsicImplementation]
    public static Accumulators MultiplyBf16(uint a0, uint a1, uint a2, uint a3, uint b0, uint b1, Accumulators c)
    {
        WarpExchange warp = WarpExchange.Trade(a0, a1, a2, a3, b0, b1);
        int g = warp.Lane / 4;
        int t = warp.Lane % 4;
        for (int k = 0; k < 16; k++)
        {
            int source = k % 8 / 2;
            float upper = Bf16(warp[4 * g + source, k < 8 ? 0 : 2], k % 2);
            float lower = Bf16(warp[4 * g + source, k < 8 ? 1 : 3], k % 2);
            float left = Bf16(warp[8 * t + source, k < 8 ? 4 : 5], k % 2);
            float right = Bf16(warp[8 * t + 4 + source, k < 8 ? 4 : 5], k % 2);
            c.X += upper * left;
            c.Y += upper * right;
            c.Z += lower * left;
            c.W += lower * right;
        }

        return c;
    }

    /// <summary>
    /// The nearest TF32 (8 bits of exponent, 10 of fraction), ties away from zero, as the bits of a float32
    /// whose other 13 are 0.
    /// </summary>
    [IntrinsicImplementation]
    public static uint RoundToTf32(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? 0x7FFFFFFF
            : float.IsInfinity(value) ? bits
            : (bits + 0x1000) & Tf32Bits;
    }

    /// <summary>The nearest BF16 of two float32, ties to even: the first in the lower half.</summary>
    [IntrinsicImplementation]
    public static uint RoundToBf16(float lower, float upper) => Bf16Bits(lower) | Bf16Bits(upper) << 16;

    /// <summary>
    /// Loads four matrices of 8 rows of 16 bytes from shared memory. Lane l gives the address (16-byte
    /// aligned) of row l%8 of matrix l/8 and gets the word l%4 of row l/4 of each matrix: as 8×4 words that
    /// is what <see cref="MultiplyTf32"/> takes, as 8×8 BF16 what <see cref="MultiplyBf16"/> takes.
    /// </summary>
    /// <param name="origin">An address in shared memory.</param>
    /// <param name="offset">Words from there to the row's first; a constant becomes part of the
    /// instruction.</param>
    [IntrinsicImplementation]
    public static Words LoadMatrices(ref uint origin, int offset)
    {
        WarpExchange warp = WarpExchange.TradeRow(ref Unsafe.Add(ref origin, offset));
        int from = warp.Lane / 4;
        int word = warp.Lane % 4;
        return new Words { X = warp[from, word], Y = warp[8 + from, word], Z = warp[16 + from, word], W = warp[24 + from, word] };
    }

    /// <summary>
    /// Like <see cref="LoadMatrices"/>, each matrix of 8×8 BF16 transposed: the lane gets the elements (2t,
    /// g) in the lower and (2t+1, g) in the upper half, with g = lane/4 and t = lane%4.
    /// </summary>
    /// <param name="origin">An address in shared memory.</param>
    /// <param name="offset">Words from there to the row's first; a constant becomes part of the
    /// instruction.</param>
    [IntrinsicImplementation]
    public static Words LoadMatricesTransposed(ref uint origin, int offset)
    {
        WarpExchange warp = WarpExchange.TradeRow(ref Unsafe.Add(ref origin, offset));
        int g = warp.Lane / 4;
        int t = warp.Lane % 4;
        uint Pair(int matrix)
            => Half(warp[8 * matrix + 2 * t, g / 2], g % 2) | Half(warp[8 * matrix + 2 * t + 1, g / 2], g % 2) << 16;
        return new Words { X = Pair(0), Y = Pair(1), Z = Pair(2), W = Pair(3) };
    }

    /// <summary>Loads a word of shared memory.</summary>
    /// <param name="origin">An address in shared memory.</param>
    /// <param name="offset">Words from there; a constant becomes part of the instruction.</param>
    [IntrinsicImplementation]
    public static uint LoadWord(ref uint origin, int offset) => Unsafe.Add(ref origin, offset);

    /// <summary>Loads 16 bytes of shared memory, aligned to 16 bytes.</summary>
    /// <param name="origin">An address in shared memory.</param>
    /// <param name="offset">Words from there; a constant becomes part of the instruction.</param>
    [IntrinsicImplementation]
    public static Words LoadShared(ref uint origin, int offset) => AsyncCopies.WordsAt(ref Unsafe.Add(ref origin, offset));

    /// <summary>Stores 16 bytes in shared memory, aligned to 16 bytes.</summary>
    /// <param name="origin">An address in shared memory.</param>
    /// <param name="offset">Words from there; a constant becomes part of the instruction.</param>
    /// <param name="value">What is stored.</param>
    [IntrinsicImplementation]
    public static void StoreShared(ref uint origin, int offset, Words value)
        => AsyncCopies.WordsAt(ref Unsafe.Add(ref origin, offset)) = value;

    /// <summary>
    /// Begins to copy 16 bytes from global to shared memory, both aligned to 16 bytes. Of the source only the
    /// first bytes are read, the rest of the target becomes 0. The target is undefined until
    /// <see cref="WaitForCopies"/>.
    /// </summary>
    /// <param name="target">An address in shared memory.</param>
    /// <param name="offset">Words from there to where the bytes go; a constant becomes part of the
    /// instruction.</param>
    /// <param name="source">An address in global memory: an element of a buffer even where no byte is
    /// read.</param>
    /// <param name="word">Words from there to where the bytes come from: none or more; anything where no byte
    /// is read.</param>
    /// <param name="bytes">How many bytes are read: 0 to 16.</param>
    [IntrinsicImplementation]
    public static void CopyAsync16(ref uint target, int offset, ref uint source, int word, int bytes)
        => AsyncCopies.Begin(ref Unsafe.Add(ref target, offset), ref Unsafe.Add(ref source, bytes > 0 ? word : 0), 16, bytes);

    /// <summary>
    /// Begins to copy 4 bytes from global to shared memory, both aligned to 4 bytes, as
    /// <see cref="CopyAsync16"/> does.
    /// </summary>
    [IntrinsicImplementation]
    public static void CopyAsync4(ref uint target, int offset, ref uint source, int word, int bytes)
        => AsyncCopies.Begin(ref Unsafe.Add(ref target, offset), ref Unsafe.Add(ref source, bytes > 0 ? word : 0), 4, bytes);

    /// <summary>
    /// Ends a stage: the copies that this thread began since the last stage become one, which may be empty.
    /// </summary>
    [IntrinsicImplementation]
    public static void CommitCopies() => AsyncCopies.Commit();

    /// <summary>
    /// Waits until all but this thread's last <paramref name="pending"/> stages have arrived. What other
    /// threads copied is there only after a group barrier behind their wait. A kernel must end with 0
    /// pending.
    /// </summary>
    /// <param name="pending">A literal 0, 1 or 2.</param>
    [IntrinsicImplementation]
    public static void WaitForCopies(int pending) => AsyncCopies.Wait(pending);

    private static float Tf32(uint bits) => BitConverter.UInt32BitsToSingle(bits & Tf32Bits);

    private static float Bf16(uint pair, int half) => BitConverter.UInt32BitsToSingle(Half(pair, half) << 16);

    private static uint Half(uint pair, int half) => half == 0 ? pair & 0xFFFF : pair >> 16;

    private static uint Bf16Bits(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? 0x7FFF : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    }
}
