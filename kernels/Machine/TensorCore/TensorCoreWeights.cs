namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// Weights as tensor-core kernels read them: rounded, in the order of B's fragments, padded with zeros to
/// whole blocks.
/// </summary>
internal sealed class TensorCoreWeights<TOperand>(Accelerator accelerator) : IDisposable
    where TOperand : struct, IOperand
{
    private readonly DeviceScratch<uint> packed = new(accelerator);
    private readonly Action<AcceleratorStream, Index1D, ArrayView<float>, ArrayView<uint>, PackedWeightsShape> pack =
        accelerator.Load<Action<AcceleratorStream, Index1D, ArrayView<float>, ArrayView<uint>, PackedWeightsShape>>(PackKernel);

    /// <summary>
    /// Packs weights; the result is valid until the next call. Where a step is under way all that it needs
    /// are packed in one launch, from the second step on.
    /// </summary>
    public ArrayView<uint> Pack(AcceleratorStream stream, ArrayView<float> weight, PackedWeightsShape shape)
    {
        shape.Chunks = TensorCoreLaunch.Blocks(shape.InputChannels, TOperand.Depth);
        int length = Words(shape.Taps, shape.InputChannels, shape.OutputChannels, shape.Columns);
        if (StepScope.Of(stream)?.Get(static accelerator => new PackedTogether<TOperand>(accelerator)).Find(
            weight, shape, length) is { } found)
            return found;
        ArrayView<uint> target = packed.Get(stream, length);
        pack(stream, length, weight, target, shape);
        return target;
    }

    /// <summary>How many words packed weights have.</summary>
    public static int Words(int taps, int inputChannels, int outputChannels, int columns)
        => checked(TensorCoreLaunch.Blocks(outputChannels, columns) * TensorCoreLaunch.Blocks(
            inputChannels, TOperand.Depth) * taps
            * TensorCoreLaunch.VoxelWords * columns);

    public void Dispose() => packed.Dispose();

    // One thread per word, which is a weight (TF32) or those of two neighbouring input channels (BF16);
    // packed overwritten. The columns of 16 are permuted as IColumns stores them. Budget: 0.1 MB (32→32) to
    // 0.6 MB (112→48) read and written, in the second-level cache; one load and one store in a row, so 3 µs
    // is the launch and its gap (estimate).
    [Kernel]
    internal static void PackKernel(
        Index1D index,
        ArrayView<float> weight, // by strides: [taps, Cin, Cout] or another order
        ArrayView<uint> packed, // [blocks, chunks, taps, Columns / 16, lane, 4]
        PackedWeightsShape shape)
        => packed[index] = Word(index.X, weight, shape);

    /// <summary>In a kernel: a word of packed weights.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Word(int index, ArrayView<float> weight, PackedWeightsShape shape)
    {
        int word = index % 4;
        int lane = index / 4 % 32;
        int rest = index / 128;
        int sixteen = rest % (shape.Columns / 16);
        rest /= shape.Columns / 16;
        int tap = rest % shape.Taps;
        rest /= shape.Taps;
        int chunk = rest % shape.Chunks;
        int block = rest / shape.Chunks;

        int column = lane / 4;
        int o = block * shape.Columns + 16 * sixteen + column / 2 * 4 + word / 2 * 2 + column % 2;
        int i = chunk * TOperand.Depth + TOperand.RowOf(word % 2, lane % 4);
        int from =
            (shape.Mirrored != 0 ? shape.Taps - 1 - tap : tap) * shape.TapStride + i * shape.InputStride + o * shape.OutputStride;
        bool exists = o < shape.OutputChannels;
        float first = exists && i < shape.InputChannels ? weight[from] : 0;
        float second = exists && i + 1 < shape.InputChannels ? weight[from + shape.InputStride] : 0;
        return TOperand.Pack(first, second);
    }
}

/// <summary>
/// How weights lie: that of a tap, an input and an output channel is at tap·TapStride + input·InputStride +
/// output·OutputStride.
/// </summary>
internal record struct PackedWeightsShape
{
    public int Taps;
    public int InputChannels;
    public int OutputChannels;
    public int TapStride;
    public int InputStride;
    public int OutputStride;

    /// <summary>1 where the last tap comes first.</summary>
    public int Mirrored;

    /// <summary>Output channels of a block.</summary>
    public int Columns;

    /// <summary>Chunks of input channels.</summary>
    public int Chunks;
}
