using MeanShiftGpu.Kernels.Machine.TensorCore;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>The convolution 3³ on tensor cores: implicit matrix products, operands rounded to nearest, float32 sums and memory.</summary>
internal static class Conv3dTensorCore
{
    /// <summary>Compiles the kernels for an accelerator.</summary>
    /// <param name="accelerator">A CUDA accelerator of a context with <see cref="TensorCorePtx.EnableTensorCores"/>, or the simulated GPU.</param>
    /// <param name="precision">The operands.</param>
    public static IConv3d<float, float> Create(Accelerator accelerator, TensorCorePrecision precision)
        => Create(accelerator, precision, groupsWanted: 0);

    /// <summary>Compiles the kernels whose activations lie in memory as BF16; parameters and their gradients are float32.</summary>
    /// <param name="accelerator">As for <see cref="Create(Accelerator, TensorCorePrecision)"/>.</param>
    /// <remarks>Pitches are multiples of <see cref="Bf16.ChannelMultiple"/>, and tensors begin at multiples of 16 bytes.</remarks>
    public static IConv3d<Bf16, float> CreateBf16(Accelerator accelerator) => CreateBf16(accelerator, groupsWanted: 0);

    internal static IConv3d<float, float> Create(Accelerator accelerator, TensorCorePrecision precision, int groupsWanted)
        => new OfFloat32(precision switch
        {
            TensorCorePrecision.Tf32 => new Conv3dTensorCoreKernels<Tf32Operand>(accelerator, groupsWanted),
            TensorCorePrecision.Bf16 => new Conv3dTensorCoreKernels<Bf16Operand>(accelerator, groupsWanted),
            _ => throw UnknownValue.Of(precision),
        });

    internal static IConv3d<Bf16, float> CreateBf16(Accelerator accelerator, int groupsWanted)
        => new Of<Bf16>(new Conv3dTensorCoreKernels<StoredBf16Operand>(accelerator, groupsWanted));

    /// <summary>How many channels the blocks have that a convolution of <see cref="Create(Accelerator, TensorCorePrecision)"/> needed so far, of activations and of gradients of weights.</summary>
    internal static (IReadOnlyList<int> Activations, IReadOnlyList<int> Gradients) WidthsUsed<TElement>(IConv3d<TElement, float> convolution)
        where TElement : unmanaged
        => ((Of<TElement>)convolution).WidthsUsed;

    private sealed class OfFloat32(IWidthsOfConv3d kernels) : Of<float>(kernels), IConv3d<float, float>;

    // The kernels take activations by words, whatever they hold.
    private class Of<TElement>(IWidthsOfConv3d kernels) : IConv3d<TElement, float>
        where TElement : unmanaged
    {
        public (IReadOnlyList<int> Activations, IReadOnlyList<int> Gradients) WidthsUsed => kernels.WidthsUsed;

        public LaunchMemory Memory(Conv3dShape shape, bool isFirst) => kernels.Memory(shape, isFirst);

        void IConv3d<TElement, float>.LaunchForward(AcceleratorStream stream, ArrayView<TElement> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<TElement> output, Conv3dShape shape)
            => kernels.Forward(stream, TensorCoreLaunch.Words(input), weight, bias, TensorCoreLaunch.Words(output), shape);

        void IConv3d<TElement, float>.LaunchBackwardInput(AcceleratorStream stream, ArrayView<TElement> gradOutput, ArrayView<TElement> output, ArrayView<float> weight, ArrayView<TElement> gradInput, Conv3dShape shape)
            => kernels.BackwardInput(stream, TensorCoreLaunch.Words(gradOutput), TensorCoreLaunch.Words(output), weight, TensorCoreLaunch.Words(gradInput), shape);

        void IConv3d<TElement, float>.LaunchBackwardWeight(AcceleratorStream stream, ArrayView<TElement> input, ArrayView<TElement> gradOutput, ArrayView<TElement> output, ArrayView<float> gradWeight, ArrayView<float> gradBias, Conv3dShape shape)
            => kernels.BackwardWeight(stream, TensorCoreLaunch.Words(input), TensorCoreLaunch.Words(gradOutput), TensorCoreLaunch.Words(output), gradWeight, gradBias, shape);

        public void Dispose() => kernels.Dispose();
    }
}

/// <summary>
/// Kernels for blocks of several widths, of which the launcher chooses. They take activations by words, of which two BF16 are one; lengths were checked
/// before.
/// </summary>
internal interface IWidthsOfConv3d : IDisposable
{
    void Forward(AcceleratorStream stream, ArrayView<uint> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<uint> output, Conv3dShape shape);

    void BackwardInput(AcceleratorStream stream, ArrayView<uint> gradOutput, ArrayView<uint> output, ArrayView<float> weight, ArrayView<uint> gradInput, Conv3dShape shape);

    void BackwardWeight(AcceleratorStream stream, ArrayView<uint> input, ArrayView<uint> gradOutput, ArrayView<uint> output, ArrayView<float> gradWeight, ArrayView<float> gradBias, Conv3dShape shape);

    /// <summary>As <see cref="IConv3d{TActivation, T}.Memory"/>.</summary>
    LaunchMemory Memory(Conv3dShape shape, bool isFirst);

    /// <summary>The widths that were chosen so far.</summary>
    (IReadOnlyList<int> Activations, IReadOnlyList<int> Gradients) WidthsUsed { get; }
}

/// <summary>
/// The passes of the convolution 3³ with one kind of operand. BackwardInput is Forward with the weights mirrored and transposed and with gradOutput masked.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class Conv3dTensorCoreKernels<TOperand> : IWidthsOfConv3d
    where TOperand : struct, IOperand
{
    private const int TileEdge = 8;
    private const int HaloEdge = TileEdge + 2;
    private const int PlaneVoxels = HaloEdge * HaloEdge;
    private const int Taps = 27;

    // Convolve: 4 warps make 4×8×8 voxels, a warp one plane of 64. A voxel's operands are 32 bytes, whatever they are. The weights arrive by rows of 3 taps,
    // two rows ahead.
    private const int ConvolveThreads = 128;
    private const int ConvolveDepth = 4;
    private const int ConvolveHalo = (ConvolveDepth + 2) * PlaneVoxels;
    private const int VoxelWords = TensorCoreLaunch.VoxelWords;
    private const int RowWords = HaloEdge * VoxelWords;
    private const int TapRows = 9;
    private const int RingRows = 3;
    private const int FetchRows = 5;

    // Gradient: 9 warps, one for each row of 3 taps, over planes of 64 voxels; 16 input channels a group.
    private const int GradientThreads = 288;
    private const int GradientVoxels = TileEdge * TileEdge;
    private const int GradientHalo = 3 * PlaneVoxels;
    private const int GradientRows = 16;

    /// <inheritdoc/>
    public (IReadOnlyList<int> Activations, IReadOnlyList<int> Gradients) WidthsUsed
        => ([.. convolve.Where(v => v.Launch.IsValueCreated).Select(v => v.Columns)], [.. gradient.Where(v => v.Launch.IsValueCreated).Select(v => v.Columns)]);

    private static int HaloPieces => ConvolveHalo * TOperand.Depth / ChannelPiece.Channels;

    private readonly Accelerator accelerator;
    private readonly int groupsWanted;
    private readonly TensorCoreWeights<TOperand> weights;
    private readonly DeviceScratch<float> partials;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<float>, ArrayView<float>, ArrayView<uint>, SplitSumsShape> addSplits;
    private readonly PartSums<float> partSums;
    private readonly ConvolveVariant[] convolve;
    private readonly GradientVariant[] gradient;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    /// <param name="accelerator">The accelerator.</param>
    /// <param name="groupsWanted">With how many groups to fill it; 0 for two on each multiprocessor. Tests ask for more than a small problem has.</param>
    public Conv3dTensorCoreKernels(Accelerator accelerator, int groupsWanted = 0)
    {
        this.accelerator = accelerator;
        this.groupsWanted = groupsWanted > 0 ? groupsWanted : 2 * accelerator.NumMultiprocessors;
        weights = new TensorCoreWeights<TOperand>(accelerator);
        partials = new DeviceScratch<float>(accelerator);
        accelerator.Load(AddSplitsKernel, out addSplits);
        partSums = new PartSums<float>(accelerator);
        convolve = [ConvolveWith<Columns16>(), ConvolveWith<Columns32>(), ConvolveWith<Columns48>(), ConvolveWith<Columns64>()];
        gradient = [GradientWith<TapSums16>(), GradientWith<TapSums32>(), GradientWith<TapSums48>(), GradientWith<TapSums64>()];
    }

    /// <inheritdoc/>
    public void Forward(AcceleratorStream stream, ArrayView<uint> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<uint> output, Conv3dShape shape)
        => Convolve(
            stream,
            input,
            input,
            weight,
            bias,
            output,
            shape,
            new TensorCoreConv3dShape
            {
                InputChannels = shape.InputChannels,
                OutputChannels = shape.OutputChannels,
                InputPitch = shape.InputPitch,
                OutputPitch = shape.OutputPitch,
                HasBias = 1,
                Relu = shape.Activation == Activation.Relu ? 1 : 0,
            },
            new PackedWeightsShape { InputStride = shape.OutputChannels, OutputStride = 1 });

    /// <inheritdoc/>
    public void BackwardInput(AcceleratorStream stream, ArrayView<uint> gradOutput, ArrayView<uint> output, ArrayView<float> weight, ArrayView<uint> gradInput, Conv3dShape shape)
        => Convolve(
            stream,
            gradOutput,
            output,
            weight,
            weight,
            gradInput,
            shape,
            new TensorCoreConv3dShape
            {
                InputChannels = shape.OutputChannels,
                OutputChannels = shape.InputChannels,
                InputPitch = shape.OutputPitch,
                OutputPitch = shape.InputPitch,
                Masked = shape.Activation == Activation.Relu ? 1 : 0,
            },
            new PackedWeightsShape { InputStride = 1, OutputStride = shape.OutputChannels, Mirrored = 1 });

    /// <inheritdoc/>
    public void BackwardWeight(AcceleratorStream stream, ArrayView<uint> input, ArrayView<uint> gradOutput, ArrayView<uint> output, ArrayView<float> gradWeight, ArrayView<float> gradBias, Conv3dShape shape)
    {
        bool masked = shape.Activation == Activation.Relu;
        GradientVariant variant = GradientOf(shape);
        TensorCoreConv3dShape of = new()
        {
            InputChannels = shape.InputChannels,
            OutputChannels = shape.OutputChannels,
            InputPitch = shape.InputPitch,
            OutputPitch = shape.OutputPitch,
            InputAligned = TensorCoreLaunch.Aligned(input, shape.InputPitch),
            OutputAligned = TensorCoreLaunch.Aligned(gradOutput, shape.OutputPitch) & (masked ? TensorCoreLaunch.Aligned(output, shape.OutputPitch) : 1),
            Masked = masked ? 1 : 0,
        };
        of.SetVolume(shape, planes: 1, TileEdge);
        (int splits, of.PerSplit, int rowBlocks, int columnBlocks) = GradientSplits(shape, of.Tiles, variant);
        ArrayView<float> scratch = PartSums<float>.Take(stream, partials, splits * (shape.WeightLength + shape.OutputChannels));
        variant.Launch.Value(stream, TensorCoreLaunch.Config((splits, rowBlocks, columnBlocks), GradientThreads, variant.SharedBytes(masked)), input, gradOutput, output, scratch, of);
        partSums.Add(stream, scratch, gradWeight.SubView(0, shape.WeightLength), gradBias.SubView(0, shape.OutputChannels), splits);
    }

    /// <inheritdoc/>
    public LaunchMemory Memory(Conv3dShape shape, bool isFirst)
    {
        TensorCoreConv3dShape of = new();
        of.SetVolume(shape, planes: 1, TileEdge);
        long parts = GradientSplits(shape, of.Tiles, GradientOf(shape)).Splits * (shape.WeightLength + shape.OutputChannels);
        (long words, long scratch) = Of(shape.InputChannels, shape.OutputChannels, masked: 0);
        if (!isFirst)
        {
            (long backwardWords, long backwardScratch) = Of(
                shape.OutputChannels, shape.InputChannels, shape.Activation == Activation.Relu ? 1 : 0);
            (words, scratch) = (words + backwardWords, Math.Max(scratch, backwardScratch));
        }

        return new LaunchMemory(sizeof(float) * parts, sizeof(uint) * words, sizeof(float) * scratch);

        (long Words, long Scratch) Of(int inputs, int outputs, int masked)
        {
            TensorCoreConv3dShape convolution = new() { InputChannels = inputs, OutputChannels = outputs, Masked = masked };
            convolution.SetVolume(shape, ConvolveDepth, TileEdge);
            int columns = WidthOf(convolution).Columns;
            int blocks = TensorCoreLaunch.Blocks(outputs, columns);
            int splits = Splits(convolution, blocks).Splits;
            return (TensorCoreWeights<TOperand>.Words(Taps, inputs, outputs, columns),
                splits == 1 ? 0 : splits * shape.Voxels * blocks * columns);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        weights.Dispose();
        partials.Dispose();
    }

    private GradientVariant GradientOf(Conv3dShape shape)
    {
        bool masked = shape.Activation == Activation.Relu;
        int most = LargeSharedMemory.Most(accelerator);
        return gradient.Where(v => v.SharedBytes(masked) <= most).MinBy(
            v => TensorCoreLaunch.Cost(shape.OutputChannels, v.Columns))!;
    }

    private (int Splits, int PerSplit, int RowBlocks, int ColumnBlocks) GradientSplits(
        Conv3dShape shape, int tiles, GradientVariant variant)
    {
        int rowBlocks = TensorCoreLaunch.Blocks(shape.InputChannels, GradientRows);
        int columnBlocks = TensorCoreLaunch.Blocks(shape.OutputChannels, variant.Columns);

        // One group for each multiprocessor: more would write more partial sums than they save time.
        (int splits, int perSplit) = TensorCoreLaunch.Share(tiles, groupsWanted / 2 / (rowBlocks * columnBlocks));
        return (splits, perSplit, rowBlocks, columnBlocks);
    }

    private ConvolveVariant WidthOf(TensorCoreConv3dShape of)
    {
        int most = LargeSharedMemory.Most(accelerator);
        return convolve.Where(v => v.SharedBytes(of.Masked != 0) <= most).MinBy(v => RelativeTime(of, v.Columns))!;
    }

    private void Convolve(
        AcceleratorStream stream,
        ArrayView<uint> input,
        ArrayView<uint> mask,
        ArrayView<float> weight,
        ArrayView<float> bias,
        ArrayView<uint> output,
        Conv3dShape shape,
        TensorCoreConv3dShape of,
        PackedWeightsShape packed)
    {
        of.SetVolume(shape, ConvolveDepth, TileEdge);
        ConvolveVariant variant = WidthOf(of);
        int blocks = TensorCoreLaunch.Blocks(of.OutputChannels, variant.Columns);

        packed.Taps = Taps;
        packed.InputChannels = of.InputChannels;
        packed.OutputChannels = of.OutputChannels;
        packed.TapStride = shape.InputChannels * shape.OutputChannels;
        packed.Columns = variant.Columns;
        ArrayView<uint> packedWeights = weights.Pack(stream, weight, packed);

        of.InputAligned = TensorCoreLaunch.Aligned(input, of.InputPitch) & (of.Masked != 0 ? TensorCoreLaunch.Aligned(mask, of.InputPitch) : 1);
        of.OutputAligned = TensorCoreLaunch.Aligned(output, of.OutputPitch);

        (int splits, of.PerSplit) = Splits(of, blocks);
        KernelConfig config = TensorCoreLaunch.Config((of.Tiles, blocks, splits), ConvolveThreads, variant.SharedBytes(of.Masked != 0));
        if (splits == 1)
        {
            variant.Launch.Value(stream, config, input, mask, packedWeights, bias, output, of);
            return;
        }

        SplitSumsShape sums = new()
        {
            Splits = splits,
            Channels = of.OutputChannels,
            Pitch = of.OutputPitch,
            SumsPitch = blocks * variant.Columns,
            Length = shape.Voxels * blocks * variant.Columns,
            HasBias = of.HasBias,
            Relu = of.Relu,
        };
        ArrayView<float> scratch = partials.Get(stream, splits * sums.Length);
        of.OutputPitch = sums.SumsPitch;
        of.OutputChannels = sums.SumsPitch;
        of.OutputAligned = 1;
        of.HasBias = 0;
        of.Relu = 0;
        of.SplitLength = sums.Length;
        variant.Launch.Value(stream, config, input, mask, packedWeights, bias, scratch.Cast<uint>(), of);
        addSplits(stream, LaunchExtent.Of(shape.Voxels * sums.Channels), scratch, bias, output, sums);
    }

    // A small volume has too few tiles to fill the device, so groups share the input channels of a tile: how many, and the chunks of each.
    private (int Splits, int PerSplit) Splits(TensorCoreConv3dShape of, int blocks)
    {
        int chunks = TensorCoreLaunch.Blocks(of.InputChannels, TOperand.Depth);
        (int splits, int perSplit) = TensorCoreLaunch.Share(chunks, groupsWanted / (of.Tiles * blocks));
        // Two would save no more than the launch that adds them takes.
        return splits == 2 ? (1, chunks) : (splits, perSplit);
    }

    // How long a width takes: groups in turn on each multiprocessor, chunks of a group, cost of a chunk. Where a layer has fewer groups than there are
    // multiprocessors, narrower ones finish sooner.
    private long RelativeTime(TensorCoreConv3dShape of, int columns)
    {
        int blocks = TensorCoreLaunch.Blocks(of.OutputChannels, columns);
        (int splits, int perSplit) = Splits(of, blocks);
        int multiprocessors = Math.Max(1, groupsWanted / 2);
        return (long)TensorCoreLaunch.Blocks(checked(of.Tiles * blocks * splits), multiprocessors) * perSplit * TensorCoreLaunch.Cost(columns, columns);
    }

    // Each width is compiled when a layer first needs it.
    private ConvolveVariant ConvolveWith<TColumns>()
        where TColumns : unmanaged, IColumns<TColumns>
        => new(
            TColumns.Channels,
            masked => sizeof(uint) * ConvolveWords(TColumns.Channels, masked ? 1 : 0),
            new(() =>
            {
                accelerator.Load(ConvolveKernel<TColumns>, new KernelSpecialization(ConvolveThreads, null),
                    out Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>, ArrayView<uint>, ArrayView<float>, ArrayView<uint>, TensorCoreConv3dShape> launch);
                LargeSharedMemory.Allow(launch.GetKernel(), Math.Min(sizeof(uint) * ConvolveWords(TColumns.Channels, 1), LargeSharedMemory.Most(accelerator)));
                return launch;
            }));

    private GradientVariant GradientWith<TSums>()
        where TSums : unmanaged, ITapSums<TSums>
        => new(
            TSums.Channels,
            masked => sizeof(uint) * 2 * GradientWords(TSums.Channels, masked ? 1 : 0),
            new(() =>
            {
                accelerator.Load(GradientKernel<TSums>, new KernelSpecialization(GradientThreads, null),
                    out Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>, ArrayView<uint>, ArrayView<float>, TensorCoreConv3dShape> launch);
                LargeSharedMemory.Allow(launch.GetKernel(), Math.Min(sizeof(uint) * 2 * GradientWords(TSums.Channels, 1), LargeSharedMemory.Most(accelerator)));
                return launch;
            }));

    // Fetched voxels, their mask, rounded voxels; or voxels in two places, the mask. Then a ring of weights.
    internal static int ConvolveWords(int columns, int masked) => RingAt(masked) + RingRows * 3 * VoxelWords * columns;

    // Input, gradOutput, mask; there are two such buffers.
    internal static int GradientWords(int columns, int masked)
        => GradientHalo * ChannelPiece.RowWords<TOperand>(GradientRows) + (1 + masked) * GradientVoxels * ChannelPiece.RowWords<TOperand>(columns);

    private static int ConvolveBytes<TColumns>()
        where TColumns : unmanaged, IColumns<TColumns>
        => sizeof(uint) * ConvolveWords(TColumns.Channels, masked: 1);

    private static int GradientBytes<TSums>()
        where TSums : unmanaged, ITapSums<TSums>
        => sizeof(uint) * 2 * GradientWords(TSums.Channels, masked: 1);

    private static int RingAt(int masked)
        => TOperand.Rounds ? (1 + masked) * ConvolveHalo * TOperand.Depth + ConvolveHalo * VoxelWords : (2 + masked) * ConvolveHalo * VoxelWords;

    // y[v,o] = act(b[o] + sum over taps and channels of x[v+tap,i] w[tap,i,o]), or the same without b and act of some channels only.
    // A group of 4 warps makes 4×8×8 voxels × Columns channels, a warp one plane. For every chunk of channels: fetch the surroundings (asynchronously,
    // during the chunk before), round them, multiply 27 taps. Output overwritten, sums in the order chunk, tap, channel.
    [Kernel(MaxGroupSize = ConvolveThreads, SharedBytes = nameof(ConvolveBytes))]
    internal static void ConvolveKernel<TColumns>(
        ArrayView<uint> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<uint> mask, // like input; input is 0 where it is not positive, if Masked
        ArrayView<uint> weights, // [blocks, chunks, taps, Columns / 16, lane, 4]
        ArrayView<float> bias, // [Cout]
        ArrayView<uint> output, // [splits, N, D, H, W, Cout], pitch OutputPitch; float32 with splits
        TensorCoreConv3dShape shape)
        where TColumns : unmanaged, IColumns<TColumns>
    {
        ArrayView<uint> shared = SharedMemory.GetDynamic<Words>().Cast<uint>();
        int masks = TOperand.Rounds ? ConvolveHalo * TOperand.Depth : 2 * ConvolveHalo * VoxelWords;
        int ring = RingAt(shape.Masked);
        const int weightRow = 3 * VoxelWords;

        // The next chunk's voxels are fetched in the first five of nine rows; a thread rounds the pieces that it fetched.
        int piecesPerRow = ConvolveThreads * TOperand.Depth / ChannelPiece.Channels;
        int lane = Group.IdxX % 32;
        int warp = Group.IdxX / 32;
        int tileX = Grid.IdxX % shape.TilesX * TileEdge;
        int tileY = Grid.IdxX / shape.TilesX % shape.TilesY * TileEdge;
        int tileZ = Grid.IdxX / (shape.TilesX * shape.TilesY) % shape.TilesZ * ConvolveDepth;
        int plane = Grid.IdxX / (shape.TilesX * shape.TilesY * shape.TilesZ) * shape.Depth;

        int chunks = (shape.InputChannels + TOperand.Depth - 1) / TOperand.Depth;
        int chunk = Grid.IdxZ * shape.PerSplit;
        int lastChunk = chunk + shape.PerSplit < chunks ? chunk + shape.PerSplit : chunks;
        int steps = (lastChunk - chunk) * TapRows;
        int weightBase = (Grid.IdxY * chunks + chunk) * TapRows * weightRow * TColumns.Channels;

        for (int piece = Group.IdxX; piece < HaloPieces; piece += ConvolveThreads)
            CopyHaloPiece(shared, 0, masks, input, mask, piece, chunk, plane, tileZ, tileY, tileX, shape);
        CopyWeightRow(shared, ring, weights, weightBase, 0, TColumns.Channels);
        TensorCores.CommitCopies();
        CopyWeightRow(shared, ring, weights, weightBase, 1, TColumns.Channels);
        TensorCores.CommitCopies();

        // Where the operands of a chunk are; those that need no rounding lie where they were fetched to, in two places by turns.
        int tile = TOperand.Rounds ? (1 + shape.Masked) * ConvolveHalo * TOperand.Depth : 0;
        int own = warp * HaloEdge * RowWords;
        int left = own + VoxelRows.Origin(lane, 0, RowWords);
        int middle = own + VoxelRows.Origin(lane, 1, RowWords);
        int right = own + VoxelRows.Origin(lane, 2, RowWords);

        TColumns sums = default;
        int step = 0;
        for (; chunk < lastChunk; chunk++)
        {
            // The chunk's voxels have arrived; nobody reads the ones before any more.
            TensorCores.WaitForCopies(1);
            Group.Barrier();
            if (TOperand.Rounds)
            {
                for (int piece = Group.IdxX; piece < HaloPieces; piece += ConvolveThreads)
                    RoundHaloPiece(shared, tile, masks, piece, shape.Masked);
            }
            else if (shape.Masked != 0)
            {
                for (int piece = Group.IdxX; piece < HaloPieces; piece += ConvolveThreads)
                    MaskHaloPiece(shared, tile, masks, piece);
            }

            int next = TOperand.Rounds ? 0 : ConvolveHalo * VoxelWords - tile;
            for (int row = 0; row < TapRows; row++)
            {
                TensorCores.WaitForCopies(1);
                Group.Barrier();
                if (step + 2 < steps)
                    CopyWeightRow(shared, ring, weights, weightBase, step + 2, TColumns.Channels);
                if (chunk + 1 < lastChunk && row < FetchRows)
                {
                    int end = (row + 1) * piecesPerRow < HaloPieces ? (row + 1) * piecesPerRow : HaloPieces;
                    for (int piece = row * piecesPerRow + Group.IdxX; piece < end; piece += ConvolveThreads)
                        CopyHaloPiece(shared, next, masks, input, mask, piece, chunk + 1, plane, tileZ, tileY, tileX, shape);
                }

                TensorCores.CommitCopies();
                if (tileZ + warp < shape.Depth)
                {
                    int at = tile + (row / 3 * HaloEdge + row % 3) * HaloEdge * VoxelWords;
                    ref uint w = ref shared[ring + step % RingRows * weightRow * TColumns.Channels + 4 * lane];
                    sums = TColumns.Multiply<TOperand>(sums, VoxelRows.Load(ref shared[left + at], RowWords), ref w, 0);
                    sums = TColumns.Multiply<TOperand>(sums, VoxelRows.Load(ref shared[middle + at], RowWords), ref w, VoxelWords * TColumns.Channels);
                    sums = TColumns.Multiply<TOperand>(sums, VoxelRows.Load(ref shared[right + at], RowWords), ref w, 2 * VoxelWords * TColumns.Channels);
                }

                step++;
            }

            if (!TOperand.Rounds)
                tile = next;
        }

        TensorCores.WaitForCopies(0);
        int z = tileZ + warp;
        int outX = tileX + lane / 4;
        int rows = shape.Height - tileY;
        TColumns.Store<TOperand>(sums, bias, output, new ColumnsTarget
        {
            Voxel = ((long)(plane + z) * shape.Height + tileY) * shape.Width + outX,
            Width = shape.Width,
            Rows = z < shape.Depth && outX < shape.Width ? rows : 0,
            Channel = Grid.IdxY * TColumns.Channels + lane % 4 * 4,
            Channels = shape.OutputChannels,
            Pitch = shape.OutputPitch,
            Aligned = shape.OutputAligned,
            Relu = shape.Relu,
            HasBias = shape.HasBias,
            Offset = Grid.IdxZ * shape.SplitLength,
            Rounded = !TOperand.Rounds && shape.SplitLength == 0 ? 1 : 0,
        });
    }

    // dw[tap,i,o] = sum over voxels of x[v+tap,i] g[v,o] and db[o] = sum over voxels of g[v,o], both of some tiles of 8×8 voxels, g masked under ReLU.
    // A group of 9 warps makes 27 taps × 16 input channels × Channels output channels, a warp a row of 3 taps. For every tile: fetch it (asynchronously, during
    // the tile before), round it in place, multiply its voxels. Partial sums overwritten, in the order of the tiles and their voxels; db is summed in
    // float32 from what was fetched, by the threads that round it.
    [Kernel(MaxGroupSize = GradientThreads, SharedBytes = nameof(GradientBytes))]
    internal static void GradientKernel<TSums>(
        ArrayView<uint> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<uint> gradOutput, // [N, D, H, W, Cout], pitch OutputPitch
        ArrayView<uint> mask, // like gradOutput; gradOutput is 0 where it is not positive, if Masked
        ArrayView<float> partials, // [splits, 27·Cin·Cout + Cout]
        TensorCoreConv3dShape shape)
        where TSums : unmanaged, ITapSums<TSums>
    {
        ArrayView<uint> shared = SharedMemory.GetDynamic<Words>().Cast<uint>();
        int lane = Group.IdxX % 32;
        int tapRow = Group.IdxX / 32;
        int inputRow = ChannelPiece.RowWords<TOperand>(GradientRows);
        int gradientRow = ChannelPiece.RowWords<TOperand>(TSums.Channels);
        int gradients = GradientHalo * inputRow;
        int bufferWords = gradients + (1 + shape.Masked) * GradientVoxels * gradientRow;
        int inputOrigin = (tapRow / 3 * PlaneVoxels + tapRow % 3 * HaloEdge) * inputRow + TOperand.OriginOfTransposed(lane, inputRow, HaloEdge * inputRow);
        int gradientOrigin = gradients + TOperand.OriginOfColumns(lane, gradientRow, TileEdge * gradientRow);
        int octet = Group.IdxX % (TSums.Channels / ChannelPiece.Channels) * TOperand.PieceWords;
        int firstOutput = Grid.IdxZ * TSums.Channels;

        int tile = Grid.IdxX * shape.PerSplit;
        int lastTile = tile + shape.PerSplit < shape.Tiles ? tile + shape.PerSplit : shape.Tiles;
        CopyGradientTile(shared, 0, input, gradOutput, mask, tile, inputRow, gradientRow, firstOutput, TSums.Channels, shape);
        TensorCores.CommitCopies();

        TSums sums = default;
        PieceSums bias = default;
        int buffer = 0;
        for (; tile < lastTile; tile++)
        {
            if (tile + 1 < lastTile)
                CopyGradientTile(shared, bufferWords - buffer, input, gradOutput, mask, tile + 1, inputRow, gradientRow, firstOutput, TSums.Channels, shape);
            TensorCores.CommitCopies();
            TensorCores.WaitForCopies(1);
            if (TOperand.Rounds)
            {
                for (int piece = Group.IdxX; piece < GradientHalo * GradientRows / ChannelPiece.Channels; piece += GradientThreads)
                {
                    int at = buffer + piece / 2 * inputRow + piece % 2 * ChannelPiece.Channels;
                    TOperand.Store(shared, at, at + 4, TensorCores.LoadShared(ref shared[at], 0), TensorCores.LoadShared(ref shared[at], 4));
                }
            }

            for (int piece = Group.IdxX; piece < GradientVoxels * TSums.Channels / ChannelPiece.Channels; piece += GradientThreads)
            {
                int at = buffer + gradients + piece / (TSums.Channels / ChannelPiece.Channels) * gradientRow + octet;
                bias = PieceSums.AddRounding<TOperand>(bias, shared, at, at + GradientVoxels * gradientRow, shape.Masked);
            }

            Group.Barrier();
            int rows = shape.Height - tile / shape.TilesX % shape.TilesY * TileEdge;
            if (rows > TileEdge)
                rows = TileEdge;
            for (int y = 0; y < rows; y += TOperand.Depth / TileEdge)
            {
                ref uint voxels = ref shared[buffer + inputOrigin + y * HaloEdge * inputRow];
                TapFragments taps = new()
                {
                    Left = TOperand.LoadTransposed(ref voxels, 0, inputRow, HaloEdge * inputRow),
                    Middle = TOperand.LoadTransposed(ref voxels, inputRow, inputRow, HaloEdge * inputRow),
                    Right = TOperand.LoadTransposed(ref voxels, 2 * inputRow, inputRow, HaloEdge * inputRow),
                };
                sums = TSums.Multiply<TOperand>(sums, taps, ref shared[buffer + gradientOrigin + y * TileEdge * gradientRow], 0, gradientRow);
            }

            // The next tile but one overwrites this one.
            Group.Barrier();
            buffer = bufferWords - buffer;
        }

        TensorCores.WaitForCopies(0);
        long weights = (long)Taps * shape.InputChannels * shape.OutputChannels;
        long partial = Grid.IdxX * (weights + shape.OutputChannels);
        TSums.Store(sums, partials, new TapSumsTarget
        {
            Base = partial + tapRow * 3L * shape.InputChannels * shape.OutputChannels,
            Row = Grid.IdxY * GradientRows + lane / 4,
            Column = firstOutput + lane % 4 * 2,
            Rows = shape.InputChannels,
            Columns = shape.OutputChannels,
        });

        if (Grid.IdxY == 0)
            PieceSums.Store(bias, shared, GradientThreads, TSums.Channels, partials, partial + weights + firstOutput, shape.OutputChannels - firstOutput);
    }

    // y[v,o] = act(b[o] + sum over splits). One thread per (voxel, channel); output overwritten, sums in the order of the splits. At 14³ with 64 channels and 8
    // splits 5.6 MB from the second-level cache, where they were just written, and at most 8 loads in a row: 3 µs with the launch (estimate).
    [Kernel]
    internal static void AddSplitsKernel(
        Index1D index,
        ArrayView<float> sums, // [splits, N, D, H, W, SumsPitch]
        ArrayView<float> bias, // [Channels]
        ArrayView<uint> output, // [N, D, H, W, Channels], pitch Pitch
        SplitSumsShape shape)
    {
        int o = index.X % shape.Channels;
        long voxel = index.X / shape.Channels;
        float sum = shape.HasBias != 0 ? bias[o] : 0;
        long at = voxel * shape.SumsPitch + o;
        for (int split = 0; split < shape.Splits; split++)
        {
            sum += sums[at];
            at += shape.Length;
        }

        if (shape.Relu != 0 && sum < 0)
            sum = 0;
        if (TOperand.Rounds)
            output[voxel * shape.Pitch + o] = Interop.FloatAsInt(sum);
        else
            output.Cast<Bf16>()[voxel * shape.Pitch + o] = Bf16.Round(sum);
    }

    // Where a piece of the surroundings lies from the first: in order, or as matrix instructions read it.
    private static int HaloWord(int piece)
    {
        if (TOperand.Rounds)
            return piece * ChannelPiece.Channels;
        int voxel = piece / 2;
        return voxel / HaloEdge * RowWords + VoxelRows.At(voxel % HaloEdge, piece % 2);
    }

    private static void CopyHaloPiece(
        ArrayView<uint> shared,
        int tile,
        int masks,
        ArrayView<uint> input,
        ArrayView<uint> mask,
        int piece,
        int chunk,
        int plane,
        int tileZ,
        int tileY,
        int tileX,
        TensorCoreConv3dShape shape)
    {
        int voxel = piece / (TOperand.Depth / ChannelPiece.Channels);
        int z = tileZ + voxel / PlaneVoxels - 1;
        int y = tileY + voxel / HaloEdge % HaloEdge - 1;
        int x = tileX + voxel % HaloEdge - 1;
        bool inside = z >= 0 && z < shape.Depth && y >= 0 && y < shape.Height && x >= 0 && x < shape.Width;
        int channel = chunk * TOperand.Depth + piece % (TOperand.Depth / ChannelPiece.Channels) * ChannelPiece.Channels;
        int count = inside ? shape.InputChannels - channel : 0;
        long element = (((long)(plane + z) * shape.Height + y) * shape.Width + x) * shape.InputPitch + channel;
        int target = HaloWord(piece);
        TOperand.Copy(shared, tile + target, input, element, count, shape.InputAligned);
        if (shape.Masked != 0)
            TOperand.Copy(shared, masks + target, mask, element, count, shape.InputAligned);
    }

    private static void MaskHaloPiece(ArrayView<uint> shared, int tile, int masks, int piece)
    {
        int at = HaloWord(piece);
        TensorCores.StoreShared(ref shared[tile + at], ChannelPiece.MaskedPairs(TensorCores.LoadShared(ref shared[tile + at], 0), TensorCores.LoadShared(ref shared[masks + at], 0)));
    }

    private static void RoundHaloPiece(ArrayView<uint> shared, int rounded, int masks, int piece, int masked)
    {
        int from = piece * ChannelPiece.Channels;
        Words low = TensorCores.LoadShared(ref shared[from], 0);
        Words high = TensorCores.LoadShared(ref shared[from], 4);
        if (masked != 0)
        {
            from += masks;
            low = ChannelPiece.Masked(low, TensorCores.LoadShared(ref shared[from], 0));
            high = ChannelPiece.Masked(high, TensorCores.LoadShared(ref shared[from], 4));
        }

        int voxel = piece / (TOperand.Depth / ChannelPiece.Channels);
        int row = rounded + voxel / HaloEdge * HaloEdge * VoxelWords;
        TOperand.Store(
            shared,
            row + VoxelRows.At(voxel % HaloEdge, piece % (TOperand.Depth / ChannelPiece.Channels)),
            row + VoxelRows.At(voxel % HaloEdge, 1),
            low,
            high);
    }

    // Row step of the weights, 3 taps, to its place in the ring.
    private static void CopyWeightRow(ArrayView<uint> shared, int ring, ArrayView<uint> weights, int weightBase, int step, int columns)
    {
        int words = 3 * VoxelWords * columns;
        for (int at = 4 * Group.IdxX; at < words; at += 4 * ConvolveThreads)
            TensorCores.CopyAsync16(ref shared[ring + step % RingRows * words + at], ref weights[weightBase + step * words + at], 16);
    }

    private static void CopyGradientTile(
        ArrayView<uint> shared,
        int buffer,
        ArrayView<uint> input,
        ArrayView<uint> gradOutput,
        ArrayView<uint> mask,
        int tile,
        int inputRow,
        int gradientRow,
        int firstOutput,
        int columns,
        TensorCoreConv3dShape shape)
    {
        int tileX = tile % shape.TilesX * TileEdge;
        int tileY = tile / shape.TilesX % shape.TilesY * TileEdge;
        int plane = tile / (shape.TilesX * shape.TilesY); // n·D + z
        int tileZ = plane % shape.Depth;

        for (int piece = Group.IdxX; piece < GradientHalo * GradientRows / ChannelPiece.Channels; piece += GradientThreads)
        {
            int voxel = piece / 2;
            int z = voxel / PlaneVoxels - 1;
            int y = tileY + voxel / HaloEdge % HaloEdge - 1;
            int x = tileX + voxel % HaloEdge - 1;
            bool inside = tileZ + z >= 0 && tileZ + z < shape.Depth && y >= 0 && y < shape.Height && x >= 0 && x < shape.Width;
            int channel = Grid.IdxY * GradientRows + piece % 2 * ChannelPiece.Channels;
            long element = (((long)(plane + z) * shape.Height + y) * shape.Width + x) * shape.InputPitch + channel;
            TOperand.Copy(
                shared,
                buffer + voxel * inputRow + piece % 2 * TOperand.PieceWords,
                input,
                element,
                inside ? shape.InputChannels - channel : 0,
                shape.InputAligned);
        }

        int octets = columns / ChannelPiece.Channels;
        int gradients = buffer + GradientHalo * inputRow;
        for (int piece = Group.IdxX; piece < GradientVoxels * octets; piece += GradientThreads)
        {
            int voxel = piece / octets;
            int y = tileY + voxel / TileEdge;
            int x = tileX + voxel % TileEdge;
            int channel = firstOutput + piece % octets * ChannelPiece.Channels;
            int count = y < shape.Height && x < shape.Width ? shape.OutputChannels - channel : 0;
            long element = (((long)plane * shape.Height + y) * shape.Width + x) * shape.OutputPitch + channel;
            int target = gradients + voxel * gradientRow + piece % octets * TOperand.PieceWords;
            TOperand.Copy(shared, target, gradOutput, element, count, shape.OutputAligned);
            if (shape.Masked != 0)
                TOperand.Copy(shared, target + GradientVoxels * gradientRow, mask, element, count, shape.OutputAligned);
        }
    }

    private sealed record ConvolveVariant(
        int Columns,
        Func<bool, int> SharedBytes,
        Lazy<Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>, ArrayView<uint>, ArrayView<float>, ArrayView<uint>, TensorCoreConv3dShape>> Launch);

    private sealed record GradientVariant(
        int Columns,
        Func<bool, int> SharedBytes,
        Lazy<Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>, ArrayView<uint>, ArrayView<float>, TensorCoreConv3dShape>> Launch);
}

/// <summary>What a tensor-core convolution works on, in the roles of its pass: BackwardInput's input is gradOutput.</summary>
internal struct TensorCoreConv3dShape
{
    public int Depth;
    public int Height;
    public int Width;
    public int InputChannels;
    public int OutputChannels;
    public int InputPitch;
    public int OutputPitch;
    public int TilesX;
    public int TilesY;
    public int TilesZ;

    /// <summary>All tiles of all volumes.</summary>
    public int Tiles;

    /// <summary>Chunks of input channels (gradient: tiles) of a split.</summary>
    public int PerSplit;

    /// <summary>1 where the input (and its mask) can be fetched by 16 bytes.</summary>
    public int InputAligned;

    /// <summary>1 where the output can be stored (gradient: fetched) by 16 bytes.</summary>
    public int OutputAligned;

    /// <summary>1 where a mask is applied to the input (gradient: to gradOutput).</summary>
    public int Masked;

    public int HasBias;
    public int Relu;

    /// <summary>Elements from one split's sums to the next's; 0 without splits.</summary>
    public long SplitLength;

    public void SetVolume(Conv3dShape shape, int planes, int edge)
    {
        Depth = shape.Depth;
        Height = shape.Height;
        Width = shape.Width;
        TilesX = (shape.Width + edge - 1) / edge;
        TilesY = (shape.Height + edge - 1) / edge;
        TilesZ = (shape.Depth + planes - 1) / planes;
        Tiles = checked(shape.Batch * TilesX * TilesY * TilesZ);
    }
}

/// <summary>How the sums of a convolution's splits become its output.</summary>
internal struct SplitSumsShape
{
    public int Splits;
    public int Channels;
    public int Pitch;
    public int SumsPitch;
    public long Length;
    public int HasBias;
    public int Relu;
}
