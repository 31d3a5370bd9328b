using MeanShiftGpu.Kernels.Machine.TensorCore;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The convolution 3³ on tensor cores: implicit matrix products, operands rounded to nearest, float32 sums
/// and memory.
/// </summary>
internal static class Conv3dTensorCore
{
    /// <summary>Compiles the kernels for an accelerator.</summary>
    /// <param name="accelerator">A CUDA accelerator of a context with
    /// <see cref="TensorCorePtx.EnableTensorCores"/>, or the simulated GPU.</param>
    /// <param name="precision">The operands.</param>
    public static IConv3d<float, float> Create(Accelerator accelerator, TensorCorePrecision precision)
        => Create(accelerator, precision, groupsWanted: 0);

    /// <summary>
    /// Compiles the kernels whose activations lie in memory as BF16; parameters and their gradients are
    /// float32.
    /// </summary>
    /// <param name="accelerator">As for <see cref="Create(Accelerator, TensorCorePrecision)"/>.</param>
    /// <remarks>
    /// Pitches are multiples of <see cref="Bf16.ChannelMultiple"/>, and tensors begin at multiples of 16
    /// bytes.
    /// </remarks>
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

    /// <summary>
    /// How many channels the blocks have that a convolution of
    /// <see cref="Create(Accelerator, TensorCorePrecision)"/> needed so far, of activations and of gradients
    /// of weights.
    /// </summary>
    internal static (
        IReadOnlyList<int> Activations, IReadOnlyList<int> Gradients) WidthsUsed<TElement>(IConv3d<TElement, float> convolution)
        where TElement : unmanaged
        => ((Of<TElement>)convolution).WidthsUsed;

    private sealed class OfFloat32(IWidthsOfConv3d kernels) : Of<float>(kernels), IConv3d<float, float>;

    // The kernels take activations by words, whatever they hold.
    private class Of<TElement>(IWidthsOfConv3d kernels) : IConv3d<TElement, float>
        where TElement : unmanaged
    {
        public (IReadOnlyList<int> Activations, IReadOnlyList<int> Gradients) WidthsUsed => kernels.WidthsUsed;

        public LaunchMemory Memory(Conv3dShape shape, bool isFirst) => kernels.Memory(shape, isFirst);

        void IConv3d<TElement, float>.LaunchForward(
            AcceleratorStream stream,
            ArrayView<TElement> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<TElement> output,
            Conv3dShape shape)
            => kernels.Forward(stream, TensorCoreLaunch.Words(input), weight, bias, TensorCoreLaunch.Words(output), shape);

        void IConv3d<TElement, float>.LaunchBackwardInput(
            AcceleratorStream stream,
            ArrayView<TElement> gradOutput, ArrayView<TElement> output, ArrayView<float> weight, ArrayView<TElement> gradInput,
            Conv3dShape shape)
            => kernels.BackwardInput(
                stream,
                TensorCoreLaunch.Words(gradOutput),
                TensorCoreLaunch.Words(output),
                weight,
                TensorCoreLaunch.Words(gradInput),
                shape);

        void IConv3d<TElement, float>.LaunchBackwardWeight(
            AcceleratorStream stream,
            ArrayView<TElement> input, ArrayView<TElement> gradOutput, ArrayView<TElement> output, ArrayView<float> gradWeight,
            ArrayView<float> gradBias, Conv3dShape shape)
            => kernels.BackwardWeight(
                stream,
                TensorCoreLaunch.Words(input),
                TensorCoreLaunch.Words(gradOutput),
                TensorCoreLaunch.Words(output),
                gradWeight,
                gradBias,
                shape);

        public void Dispose() => kernels.Dispose();
    }
}

/// <summary>
/// Kernels for blocks of several widths, of which the launcher chooses. They take activations by words, of
/// which two BF16 are one; lengths were checked before.
/// </summary>
internal interface IWidthsOfConv3d : IDisposable
{
    void Forward(
        AcceleratorStream stream,
        ArrayView<uint> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<uint> output,
        Conv3dShape shape);

    void BackwardInput(
        AcceleratorStream stream,
        ArrayView<uint> gradOutput, ArrayView<uint> output, ArrayView<float> weight, ArrayView<uint> gradInput,
        Conv3dShape shape);

    void BackwardWeight(
        AcceleratorStream stream,
        ArrayView<uint> input, ArrayView<uint> gradOutput, ArrayView<uint> output, ArrayView<float> gradWeight,
            ArrayView<float> gradBias, Conv3dShape shape);

    /// <summary>As <see cref="IConv3d{TActivation, T}.Memory"/>.</summary>
    LaunchMemory Memory(Conv3dShape shape, bool isFirst);

    /// <summary>The widths that were chosen so far.</summary>
    (IReadOnlyList<int> Activations, IReadOnlyList<int> Gradients) WidthsUsed { get; }
}

/// <summary>
/// The passes of the convolution 3³ with one kind of operand. BackwardInput is Forward with the weights
/// mirrored and transposed and with gradOutput masked.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class Conv3dTensorCoreKernels<TOperand> : IWidthsOfConv3d
    where TOperand : struct, IOperand
{
    private const int TileEdge = 8;
    private const int HaloEdge = TileEdge + 2;
    private const int PlaneVoxels = HaloEdge * HaloEdge;
    private const int Taps = 27;

    // Convolve: 4 warps make 4×8×8 voxels, a warp one plane of 64. A voxel's operands are 32 bytes, whatever
    // they are. The weights arrive by rows of 3 taps, two rows ahead.
    private const int ConvolveThreads = 128;
    private const int ConvolveDepth = 4;
    private const int ConvolveHalo = (ConvolveDepth + 2) * PlaneVoxels;
    private const int VoxelWords = TensorCoreLaunch.VoxelWords;
    private const int RowWords = HaloEdge * VoxelWords;
    private const int TapRows = 9;
    private const int RingRows = 3;
    private const int WeightRow = 3 * VoxelWords;

    // A voxel's operands are two pieces of 16 bytes, a row's 20. A pass takes 6 rows of the surroundings, a
    // thread the same piece of a row in each pass, and ten passes take them all: two with each of the chunk's
    // first five rows of taps.
    private const int HaloRows = (ConvolveDepth + 2) * HaloEdge;
    private const int RowPieces = 2 * HaloEdge;
    private const int PassRows = ConvolveThreads / RowPieces;
    private const int Passes = HaloRows / PassRows;
    private const int FetchRows = 5;
    private const int PassesPerRow = Passes / FetchRows;

    // Negative, and a multiple of 16 bytes, so that an address that is not read is still aligned.
    private const int Outside = -4;

    // Gradient: the 9 taps of one plane, over planes of 64 voxels; 32 input channels a group, in 4 blocks of
    // 8 with warps of their own.
    private const int GradientThreads = 256;
    private const int GradientVoxels = TileEdge * TileEdge;
    private const int GradientRows = 32;
    private const int RowBlocks = GradientRows / ChannelPiece.Channels;
    private const int TapPlanes = 3;
    private const int PlaneTaps = 9;
    private const int HalfHeight = TileEdge / 2;
    private const int BiasWords = ChannelPiece.Channels * GradientThreads;

    // A third, a tenth of small numbers, without the reciprocals that ptxas computes at run time.
    private static int Third(int number) => number * 43691 >> 17;

    private static int Tenth(int number) => number * 205 >> 11;

    public (IReadOnlyList<int> Activations, IReadOnlyList<int> Gradients) WidthsUsed
        => ([.. convolve.Where(v => v.Launch.IsValueCreated).Select(v => v.Columns)],
            [.. gradient.Where(v => v.Launch.IsValueCreated).Select(v => v.Columns)]);

    // Words of a row of the surroundings as it is fetched.
    private static int FetchedRow => RowPieces * TOperand.FetchedWords;

    private readonly Accelerator accelerator;
    private readonly int groupsWanted;
    private readonly TensorCoreWeights<TOperand> weights;
    private readonly DeviceScratch<float> partials;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<float>, ArrayView<float>, ArrayView<uint>,
        SplitSumsShape> addSplits;
    private readonly PartSums<float> partSums;
    private readonly ConvolveVariant[] convolve;
    private readonly GradientVariant[] gradient;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    /// <param name="accelerator">The accelerator.</param>
    /// <param name="groupsWanted">With how many groups to fill it; 0 for two on each multiprocessor. Tests
    /// ask for more than a small problem has.</param>
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

    public void Forward(
        AcceleratorStream stream,
        ArrayView<uint> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<uint> output,
        Conv3dShape shape)
        => Convolve(stream, input, input, weight, bias, output, shape, backward: false);

    public void BackwardInput(
        AcceleratorStream stream,
        ArrayView<uint> gradOutput, ArrayView<uint> output, ArrayView<float> weight, ArrayView<uint> gradInput,
        Conv3dShape shape)
        => Convolve(stream, gradOutput, output, weight, weight, gradInput, shape, backward: true);

    public void BackwardWeight(
        AcceleratorStream stream,
        ArrayView<uint> input, ArrayView<uint> gradOutput, ArrayView<uint> output, ArrayView<float> gradWeight,
            ArrayView<float> gradBias, Conv3dShape shape)
    {
        bool masked = shape.Activation == Activation.Relu;
        GradientVariant variant = GradientOf(shape);
        TensorCoreConv3dShape of = new()
        {
            InputChannels = shape.InputChannels,
            OutputChannels = shape.OutputChannels,
            InputPitch = shape.InputPitch,
            OutputPitch = shape.OutputPitch,
            InputAligned = Whole(input, shape.InputPitch, shape.InputChannels),
            OutputAligned = Whole(gradOutput, shape.OutputPitch, shape.OutputChannels) & (
                masked ? Whole(output, shape.OutputPitch, shape.OutputChannels) : 1),
            Masked = masked ? 1 : 0,
        };
        of.SetVolume(shape, planes: 1, TileEdge);
        (int splits, of.PerSplit, int rowBlocks, int columnBlocks) = GradientSplits(shape, of.Tiles, variant);
        ArrayView<float> scratch = PartSums<float>.Take(stream, partials, splits * (shape.WeightLength + shape.OutputChannels));
        KernelConfig config = TensorCoreLaunch.Config(
            (splits, rowBlocks, columnBlocks * TapPlanes), GradientThreads, variant.SharedBytes(masked));
        variant.Launch.Value(stream, config, input, gradOutput, output, scratch, of);
        partSums.Add(
            stream, scratch, gradWeight.SubView(0, shape.WeightLength), gradBias.SubView(0, shape.OutputChannels), splits);
    }

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

        (int splits, int perSplit) = TensorCoreLaunch.Share(tiles, groupsWanted / (rowBlocks * columnBlocks * TapPlanes));
        return (splits, perSplit, rowBlocks, columnBlocks);
    }

    private ConvolveVariant WidthOf(TensorCoreConv3dShape of)
    {
        int most = LargeSharedMemory.Most(accelerator);
        return convolve.Where(v => v.SharedBytes(of.Masked != 0) <= most).MinBy(v => RelativeTime(of, v.Columns))!;
    }

    private void Convolve(
        AcceleratorStream stream, ArrayView<uint> input, ArrayView<uint> mask, ArrayView<float> weight, ArrayView<float> bias,
        ArrayView<uint> output, Conv3dShape shape, bool backward)
    {
        TensorCoreConv3dShape of = new()
        {
            InputChannels = backward ? shape.OutputChannels : shape.InputChannels,
            OutputChannels = backward ? shape.InputChannels : shape.OutputChannels,
            InputPitch = backward ? shape.OutputPitch : shape.InputPitch,
            OutputPitch = backward ? shape.InputPitch : shape.OutputPitch,
            HasBias = backward ? 0 : 1,
            Relu = !backward && shape.Activation == Activation.Relu ? 1 : 0,
            Masked = backward && shape.Activation == Activation.Relu ? 1 : 0,
        };
        of.SetVolume(shape, ConvolveDepth, TileEdge);
        ConvolveVariant variant = WidthOf(of);
        int blocks = TensorCoreLaunch.Blocks(of.OutputChannels, variant.Columns);
        ArrayView<uint> packedWeights = weights.Pack(stream, weight, new PackedWeightsShape
        {
            Taps = Taps,
            InputChannels = of.InputChannels,
            OutputChannels = of.OutputChannels,
            TapStride = shape.InputChannels * shape.OutputChannels,
            InputStride = backward ? 1 : shape.OutputChannels,
            OutputStride = backward ? shape.OutputChannels : 1,
            Mirrored = backward ? 1 : 0,
            Columns = variant.Columns,
        });

        of.InputAligned = Whole(input, of.InputPitch, of.InputChannels) & (
            of.Masked != 0 ? Whole(mask, of.InputPitch, of.InputChannels) : 1);
        of.OutputAligned = TensorCoreLaunch.Aligned(output, of.OutputPitch);

        (int splits, of.PerSplit) = Splits(of, blocks);
        KernelConfig config = TensorCoreLaunch.Config(
            (of.Tiles, blocks, splits), ConvolveThreads, variant.SharedBytes(of.Masked != 0));
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

    // 1 where all channels can be fetched by whole 16 bytes. BF16 activations begin at multiples of them,
    // with any pitch of whole pieces.
    private static int Whole(ArrayView<uint> view, int pitch, int channels)
        => channels % (4 * TOperand.WordChannels) == 0 && (!TOperand.Rounds || TensorCoreLaunch.Aligned(view, pitch) != 0) ? 1
            : 0;

    // A small volume has too few tiles to fill the device, so groups share the input channels of a tile: how
    // many, and the chunks of each.
    private (int Splits, int PerSplit) Splits(TensorCoreConv3dShape of, int blocks)
    {
        int chunks = TensorCoreLaunch.Blocks(of.InputChannels, TOperand.Depth);
        (int splits, int perSplit) = TensorCoreLaunch.Share(chunks, groupsWanted / (of.Tiles * blocks));
        // Two would save no more than the launch that adds them takes.
        return splits == 2 ? (1, chunks) : (splits, perSplit);
    }

    // How long a width takes: groups in turn on each multiprocessor, chunks of a group, cost of a chunk.
    // Where a layer has fewer groups than there are multiprocessors, narrower ones finish sooner.
    private long RelativeTime(TensorCoreConv3dShape of, int columns)
    {
        int blocks = TensorCoreLaunch.Blocks(of.OutputChannels, columns);
        (int splits, int perSplit) = Splits(of, blocks);
        int multiprocessors = Math.Max(1, groupsWanted / 2);
        return (long)TensorCoreLaunch.Blocks(checked(of.Tiles * blocks * splits), multiprocessors) * perSplit * TensorCoreLaunch
            .Cost(columns, columns);
    }

    private ConvolveVariant ConvolveWith<TColumns>()
        where TColumns : unmanaged, IColumns<TColumns>
        => new(
            TColumns.Channels,
            masked => sizeof(uint) * ConvolveWords(TColumns.Channels, masked ? 1 : 0),
            new(accelerator, ConvolveKernel<TColumns>, new KernelSpecialization(ConvolveThreads, null),
                Math.Min(ConvolveBytes<TColumns>(), LargeSharedMemory.Most(accelerator))));

    private GradientVariant GradientWith<TSums>()
        where TSums : unmanaged, ITapSums<TSums>
        => new(
            TSums.Channels,
            masked => sizeof(uint) * GradientWords(TSums.Channels, masked ? 1 : 0),
            new(accelerator, GradientKernel<TSums>, new KernelSpecialization(GradientThreads, GradientGroups<TSums>()),
                Math.Min(GradientBytes<TSums>(), LargeSharedMemory.Most(accelerator))));

    // Fetched voxels, their mask, rounded voxels; or voxels in two places, the mask. Then where the rows of
    // the surroundings begin, and a ring of weights.
    internal static int ConvolveWords(int columns, int masked) => RingAt(masked) + RingRows * WeightRow * columns;

    // Two buffers of input, gradOutput, mask; then each thread's sums of a bias. 16 and 48 columns have two
    // parts, of which one hands the other its sums in all of that.
    internal static int GradientWords(int columns, int masked)
        => Math.Max(
            2 * (PlaneVoxels * ChannelPiece.RowWords<TOperand>(GradientRows)
                + (1 + masked) * GradientVoxels * ChannelPiece.RowWords<TOperand>(columns))
                + BiasWords,
            columns is 16 or 48 ? GradientRows * columns * PlaneTaps : 0);

    // The sums of 48 columns leave no room for a second group on a multiprocessor.
    private static int GradientGroups<TSums>()
        where TSums : unmanaged, ITapSums<TSums>
        => TSums.WarpChannels > 32 ? 1 : 2;

    private static int ConvolveBytes<TColumns>()
        where TColumns : unmanaged, IColumns<TColumns>
        => sizeof(uint) * ConvolveWords(TColumns.Channels, masked: 1);

    private static int GradientBytes<TSums>()
        where TSums : unmanaged, ITapSums<TSums>
        => sizeof(uint) * GradientWords(TSums.Channels, masked: 1);

    private static int RowsAt(int masked)
        => TOperand.Rounds ? (1 + masked) * HaloRows * FetchedRow + ConvolveHalo * VoxelWords
            : (2 + masked) * ConvolveHalo * VoxelWords;

    private static int RingAt(int masked) => RowsAt(masked) + HaloRows;

    // y[v,o] = act(b[o] + sum over taps and channels of x[v+tap,i] w[tap,i,o]), or the same without b and act
    // of some channels only. A group of 4 warps makes 4×8×8 voxels × Columns channels, a warp one plane. For
    // every chunk of channels: fetch the surroundings (asynchronously, during the chunk before), round them,
    // multiply 27 taps. Output overwritten, sums in the order chunk, tap, channel.
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
        int masks = TOperand.Rounds ? HaloRows * FetchedRow : 2 * ConvolveHalo * VoxelWords;
        int ring = RingAt(shape.Masked);
        int lane = Group.IdxX & 31;
        int warp = Group.IdxX >> 5;
        int tileX = Grid.IdxX % shape.TilesX * TileEdge;
        int tileY = Grid.IdxX / shape.TilesX % shape.TilesY * TileEdge;
        int tileZ = Grid.IdxX / (shape.TilesX * shape.TilesY) % shape.TilesZ * ConvolveDepth;
        int plane = Grid.IdxX / (shape.TilesX * shape.TilesY * shape.TilesZ) * shape.Depth;

        int chunks = (shape.InputChannels + TOperand.Depth - 1) / TOperand.Depth;
        int chunk = Grid.IdxZ * shape.PerSplit;
        int lastChunk = chunk + shape.PerSplit < chunks ? chunk + shape.PerSplit : chunks;

        HaloPart part = HaloPart.OfTile(shared, RowsAt(shape.Masked), plane, tileZ, tileY, tileX, chunk, shape);
        ref uint source = ref input[part.Origin];
        ref uint maskSource = ref mask[part.Origin];
        Group.Barrier();
        if (HaloPart.Exists)
            FetchPasses(shared, 0, masks, ref source, ref maskSource, part, 0, Passes, shape);
        int weightAt = (Grid.IdxY * chunks + chunk) * TapRows * WeightRow * TColumns.Channels + 4 * Group.IdxX;
        CopyWeightRow(shared, ring, weights, weightAt, TColumns.Channels);
        TensorCores.CommitCopies();
        CopyWeightRow(
            shared, ring + WeightRow * TColumns.Channels, weights, weightAt + WeightRow * TColumns.Channels, TColumns.Channels);
        TensorCores.CommitCopies();
        weightAt += 2 * WeightRow * TColumns.Channels;

        // Where the operands of a chunk are; those that need no rounding lie where they were fetched to, in
        // two places by turns.
        int tile = TOperand.Rounds ? (1 + shape.Masked) * HaloRows * FetchedRow : 0;
        int own = warp * HaloEdge * RowWords;
        int left = own + VoxelRows.Origin(lane, 0, RowWords);
        int middle = own + VoxelRows.Origin(lane, 1, RowWords);
        int right = own + VoxelRows.Origin(lane, 2, RowWords);

        TColumns sums = default;
        int weightRow = ring;
        for (; chunk < lastChunk; chunk++)
        {
            // The chunk's voxels have arrived; nobody reads the ones before any more.
            TensorCores.WaitForCopies(1);
            Group.Barrier();
            if ((TOperand.Rounds || shape.Masked != 0) && HaloPart.Exists)
                RoundPasses(shared, tile, masks, part, shape.Masked);
            part = part.NextChunk();

            int next = TOperand.Rounds ? 0 : ConvolveHalo * VoxelWords - tile;
            for (int row = 0; row < TapRows; row++)
            {
                TensorCores.WaitForCopies(1);
                Group.Barrier();
                if (chunk + 1 < lastChunk || row + 2 < TapRows)
                {
                    // Two rows ahead is one row back in a ring of three.
                    int free =
                        weightRow == ring ? ring + 2 * WeightRow * TColumns.Channels : weightRow - WeightRow * TColumns.Channels;
                    CopyWeightRow(shared, free, weights, weightAt, TColumns.Channels);
                    weightAt += WeightRow * TColumns.Channels;
                }

                if (row < FetchRows && chunk + 1 < lastChunk && HaloPart.Exists)
                    FetchPasses(shared, next, masks, ref source, ref maskSource, part, row * PassesPerRow, PassesPerRow, shape);

                TensorCores.CommitCopies();
                if (tileZ + warp < shape.Depth)
                {
                    // A third of the row, for which ptxas would compute a reciprocal.
                    int tapPlane = row * 11 >> 5;
                    int at = tile + (tapPlane * (PlaneVoxels - 3 * HaloEdge) + row * HaloEdge) * VoxelWords;
                    ref uint w = ref shared[weightRow + 4 * lane];
                    sums = TColumns.Multiply<TOperand>(sums, VoxelRows.Load(ref shared[left + at], RowWords), ref w, 0);
                    sums = TColumns.Multiply<TOperand>(
                        sums, VoxelRows.Load(ref shared[middle + at], RowWords), ref w, VoxelWords * TColumns.Channels);
                    sums = TColumns.Multiply<TOperand>(
                        sums, VoxelRows.Load(ref shared[right + at], RowWords), ref w, 2 * VoxelWords * TColumns.Channels);
                }

                weightRow =
                    weightRow == ring + 2 * WeightRow * TColumns.Channels ? ring : weightRow + WeightRow * TColumns.Channels;
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

    // dw[tap,i,o] = sum over voxels of x[v+tap,i] g[v,o] and db[o] = sum over voxels of g[v,o], both of some
    // tiles of 8×8 voxels, g masked under ReLU. A group makes the 9 taps of a plane × 32 input × Channels
    // output channels, a warp 8 input channels × 16, 32 or 48 output channels of all or of half of a tile's
    // rows. For every tile: fetch it (asynchronously, during the tile before), round it in place, multiply
    // its voxels. Partial sums overwritten, in the order of the tiles and their voxels, the upper half's
    // before the lower half's where those have warps of their own; db is summed in float32 from what was
    // fetched, by the threads that round it.
    [Kernel(MaxGroupSize = GradientThreads, MinGroupsOf = nameof(GradientGroups), SharedBytes = nameof(GradientBytes))]
    internal static void GradientKernel<TSums>(
        ArrayView<uint> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<uint> gradOutput, // [N, D, H, W, Cout], pitch OutputPitch
        ArrayView<uint> mask, // like gradOutput; gradOutput is 0 where it is not positive, if Masked
        ArrayView<float> partials, // [splits, 27·Cin·Cout + Cout]
        TensorCoreConv3dShape shape)
        where TSums : unmanaged, ITapSums<TSums>
    {
        ArrayView<uint> shared = SharedMemory.GetDynamic<Words>().Cast<uint>();
        int inputRow = ChannelPiece.RowWords<TOperand>(GradientRows);
        int gradientRow = ChannelPiece.RowWords<TOperand>(TSums.Channels);
        int gradients = PlaneVoxels * inputRow;
        int bufferWords = gradients + (1 + shape.Masked) * GradientVoxels * gradientRow;
        int lane = Group.IdxX & 31;
        int rowBlock = Group.IdxX >> 5 & (RowBlocks - 1);
        int part = TSums.Parts == 1 ? 0 : Group.IdxX >> 7;
        int warpColumn = TSums.Parts == 1 ? (Group.IdxX >> 7) * TSums.WarpChannels : 0;
        int columnBlock = Third(Grid.IdxZ);
        int tapPlane = Grid.IdxZ - TapPlanes * columnBlock;
        int firstOutput = columnBlock * TSums.Channels;

        int inputOrigin = part * HalfHeight * HaloEdge * inputRow + rowBlock * TOperand.PieceWords + TOperand.OriginOfWindow(
            lane, inputRow, HaloEdge * inputRow);
        int gradientOrigin =
            gradients + part * HalfHeight * TileEdge * gradientRow + warpColumn / ChannelPiece.Channels * TOperand.PieceWords
            + TOperand.OriginOfTransposed(lane, gradientRow, TileEdge * gradientRow);

        int left = Math.Min(shape.PerSplit, shape.Tiles - Grid.IdxX * shape.PerSplit);
        GradientTile place = GradientTile.At(Grid.IdxX * shape.PerSplit, shape);
        FetchGradientTile<TSums>(shared, 0, input, gradOutput, mask, place, tapPlane, firstOutput, shape);
        TensorCores.CommitCopies();

        TSums sums = default;
        ref uint bias = ref shared[2 * bufferWords + 4 * Group.IdxX];
        PieceSums.Save(default, ref bias, BiasWords / 2);
        int buffer = 0;
        for (; left > 0; left--)
        {
            int rows = shape.Height - place.Y;
            place = place.Next(shape);
            if (left > 1)
                FetchGradientTile<TSums>(
                    shared, bufferWords - buffer, input, gradOutput, mask, place, tapPlane, firstOutput, shape);
            TensorCores.CommitCopies();
            TensorCores.WaitForCopies(1);
            RoundGradientTile<TSums>(ref bias, shared, buffer, shape.Masked);
            Group.Barrier();
            ref uint voxels = ref shared[buffer + inputOrigin];
            ref uint outputs = ref shared[buffer + gradientOrigin];
            if (part * HalfHeight < rows)
                sums = MultiplyHalf(sums, ref voxels, 0, ref outputs, 0);
            if (TSums.Parts == 1 && HalfHeight < rows)
                sums = MultiplyHalf(
                    sums, ref voxels, HalfHeight * HaloEdge * inputRow, ref outputs, HalfHeight * TileEdge * gradientRow);

            // The next tile but one overwrites this one.
            Group.Barrier();
            buffer = bufferWords - buffer;
        }

        TensorCores.WaitForCopies(0);
        PieceSums biasSums = PieceSums.Load(ref bias, BiasWords / 2);
        if (TSums.Parts == 2)
        {
            // Over the biases of other threads, too, which have taken theirs.
            Group.Barrier();
            ref uint exchange = ref shared[rowBlock * TSums.WarpChannels * ChannelPiece.Channels * PlaneTaps + 4 * lane];
            if (part == 1)
                TSums.Put(sums, ref exchange);
            Group.Barrier();
            if (part == 0)
                sums = TSums.Add(sums, ref exchange);
        }

        // PieceSums takes the group's memory.
        Group.Barrier();

        long weights = (long)Taps * shape.InputChannels * shape.OutputChannels;
        long partial = Grid.IdxX * (weights + shape.OutputChannels);
        if (part == 0)
        {
            TSums.Store(sums, partials, new TapSumsTarget
            {
                Base = partial + tapPlane * (long)PlaneTaps * shape.InputChannels * shape.OutputChannels,
                Row = Grid.IdxY * GradientRows + rowBlock * ChannelPiece.Channels + (lane & 3) * 2,
                Column = firstOutput + warpColumn + (lane >> 2),
                Rows = shape.InputChannels,
                Columns = shape.OutputChannels,
            });
        }

        if (Grid.IdxY == 0 && tapPlane == 1)
        {
            PieceSums.Store(
                biasSums,
                shared,
                SwapOfThread(),
                GradientThreads,
                TSums.Channels,
                partials,
                partial + weights + firstOutput,
                shape.OutputChannels - firstOutput);
        }
    }

    // Four rows of 8 voxels, by depths of one or two rows; at and gradientAt are where they begin.
    private static TSums MultiplyHalf<TSums>(TSums sums, ref uint voxels, int at, ref uint gradient, int gradientAt)
        where TSums : unmanaged, ITapSums<TSums>
    {
        int row = ChannelPiece.RowWords<TOperand>(GradientRows);
        int run = HaloEdge * row;
        int depth = TOperand.Depth / TileEdge * run;
        int gradientRow = ChannelPiece.RowWords<TOperand>(TSums.Channels);
        int gradientDepth = TOperand.Depth * gradientRow;
        TapWindow left = TOperand.FirstWindow(ref voxels, at, row, run);
        TapWindow middle = TOperand.FirstWindow(ref voxels, at + row, row, run);
        TapWindow right = TOperand.FirstWindow(ref voxels, at + 2 * row, row, run);
        sums = TSums.Multiply<TOperand>(sums, left, middle, right, ref gradient, gradientAt, gradientRow);

        left = TOperand.NextWindow(left, ref voxels, at + depth, row, run);
        middle = TOperand.NextWindow(middle, ref voxels, at + depth + row, row, run);
        right = TOperand.NextWindow(right, ref voxels, at + depth + 2 * row, row, run);
        sums = TSums.Multiply<TOperand>(sums, left, middle, right, ref gradient, gradientAt + gradientDepth, gradientRow);
        if (TOperand.Depth > TileEdge)
            return sums;

        left = TOperand.NextWindow(left, ref voxels, at + 2 * run, row, run);
        middle = TOperand.NextWindow(middle, ref voxels, at + 2 * run + row, row, run);
        right = TOperand.NextWindow(right, ref voxels, at + 2 * run + 2 * row, row, run);
        sums = TSums.Multiply<TOperand>(sums, left, middle, right, ref gradient, gradientAt + 2 * gradientDepth, gradientRow);

        left = TOperand.NextWindow(left, ref voxels, at + 3 * run, row, run);
        middle = TOperand.NextWindow(middle, ref voxels, at + 3 * run + row, row, run);
        right = TOperand.NextWindow(right, ref voxels, at + 3 * run + 2 * row, row, run);
        return TSums.Multiply<TOperand>(sums, left, middle, right, ref gradient, gradientAt + 3 * gradientDepth, gradientRow);
    }

    // y[v,o] = act(b[o] + sum over splits). One thread per (voxel, channel); output overwritten, sums in the
    // order of the splits. At 14³ with 64 channels and 8 splits 5.6 MB from the second-level cache, where
    // they were just written, and at most 8 loads in a row: 3 µs with the launch (estimate).
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

    // A thread's part of the surroundings: the same piece of 16 bytes of a row's operands, in every sixth row
    // of voxels. It is computed once for a tile, by shifts, because ptxas divides by constants at run time
    // and moves what is cheap in its eyes into loops.
    private struct HaloPart
    {
        // The first voxel of the surroundings that exists, in words of the input, and the part's first row in
        // the shared table of rows.
        public long Origin;
        public int Rows;

        // From a row's beginning to the piece in the input, for the chunk at hand, and how many channels
        // exist from there on: none outside, where Offset is anything.
        public int Offset;
        public int Channels;

        // The piece's place in the first row as it is fetched and as matrix instructions read it, and which
        // half of the piece comes first in what is fetched (0 or 4 words), so that eight threads meet every
        // bank once.
        public int Fetched;
        public int Operands;
        public int Swap;

        // Whether the thread has a part: 120 of 128 do.
        public static bool Exists => Group.IdxX < PassRows * RowPieces;

        // Writes the table: where in the input each row begins, from the origin, or Outside. It is there for
        // all after a barrier.
        public static HaloPart OfTile(
            ArrayView<uint> shared, int rows, int plane, int tileZ, int tileY, int tileX, int chunk, TensorCoreConv3dShape shape)
        {
            int pitch = shape.InputPitch / TOperand.WordChannels;
            int firstZ = Math.Max(tileZ - 1, 0);
            int firstY = Math.Max(tileY - 1, 0);
            int firstX = Math.Max(tileX - 1, 0);
            if (Group.IdxX < HaloRows)
            {
                int haloZ = Tenth(Group.IdxX);
                int z = tileZ + haloZ - 1;
                int y = tileY + Group.IdxX - haloZ * HaloEdge - 1;
                bool inside = z >= 0 && z < shape.Depth && y >= 0 && y < shape.Height;
                int begin = ((z - firstZ) * shape.Height + y - firstY) * shape.Width * pitch;
                shared[rows + Group.IdxX] = (uint)(inside ? begin : Outside);
            }

            int row = Tenth(Group.IdxX) >> 1;
            int piece = Group.IdxX - row * RowPieces;
            int x = tileX + (piece >> 1) - 1;
            int channel = chunk * TOperand.Depth + (piece & 1) * (TOperand.Depth / 2);
            return new()
            {
                Origin = (((long)(plane + firstZ) * shape.Height + firstY) * shape.Width + firstX) * pitch,
                Rows = rows + row,
                Offset = (x - firstX) * pitch + channel / TOperand.WordChannels,
                Channels = x >= 0 && x < shape.Width ? shape.InputChannels - channel : 0,
                Fetched = row * FetchedRow + piece * TOperand.FetchedWords,
                Operands = row * RowWords + VoxelRows.At(piece >> 1, piece & 1),
                Swap = TOperand.FetchedWords == 8 ? (Group.IdxX >> 2 & 1) * 4 : 0,
            };
        }

        public HaloPart NextChunk()
        {
            HaloPart next = this;
            next.Offset += TOperand.Depth / TOperand.WordChannels;
            next.Channels -= TOperand.Depth;
            return next;
        }
    }

    // Begins to copy some passes of a chunk; those that need no rounding go to where matrix instructions read
    // them.
    private static void FetchPasses(
        ArrayView<uint> shared,
        int tile,
        int masks,
        ref uint source,
        ref uint maskSource,
        HaloPart part,
        int firstPass,
        int passes,
        TensorCoreConv3dShape shape)
    {
        int passWords = PassRows * (TOperand.Rounds ? FetchedRow : RowWords);
        int at = (TOperand.Rounds ? part.Fetched : part.Operands) + firstPass * passWords;
        int target = TOperand.Rounds ? at : tile + at;
        ref uint low = ref shared[target + part.Swap];
        ref uint high = ref shared[target + 4 - part.Swap];
        int maskAt = shape.Masked != 0 ? masks + at : 0;
        ref uint lowMask = ref shared[maskAt + part.Swap];
        ref uint highMask = ref shared[maskAt + 4 - part.Swap];
        ref uint rows = ref shared[part.Rows + firstPass * PassRows];
        if (shape.InputAligned == 0)
        {
            for (int pass = 0; pass < passes; pass++)
            {
                int begin = (int)TensorCores.LoadWord(ref rows, pass * PassRows);
                FetchWords(ref low, ref high, pass * passWords, ref source, part, begin);
                if (shape.Masked != 0)
                    FetchWords(ref lowMask, ref highMask, pass * passWords, ref maskSource, part, begin);
            }

            return;
        }

        for (int pass = 0; pass < passes; pass++)
        {
            int begin = (int)TensorCores.LoadWord(ref rows, pass * PassRows);
            FetchPiece(ref low, ref high, pass * passWords, ref source, part, begin);
            if (shape.Masked != 0)
                FetchPiece(ref lowMask, ref highMask, pass * passWords, ref maskSource, part, begin);
        }
    }

    private static void FetchPiece(ref uint low, ref uint high, int offset, ref uint source, HaloPart part, int begin)
    {
        FetchQuad(ref low, offset, ref source, begin + part.Offset, begin >= 0 & part.Channels > 0);
        if (TOperand.FetchedWords == 8)
            FetchQuad(ref high, offset, ref source, begin + part.Offset + 4, begin >= 0 & part.Channels > 4);
    }

    // The same from an input that cannot be fetched by whole 16 bytes.
    private static void FetchWords(ref uint low, ref uint high, int offset, ref uint source, HaloPart part, int begin)
    {
        for (int c = 0; c < 4; c++)
            FetchWord(
                ref low,
                offset + c,
                ref source,
                begin + part.Offset + c,
                begin >= 0 ? part.Channels - c * TOperand.WordChannels : 0);
        if (TOperand.FetchedWords == 4)
            return;
        for (int c = 4; c < 8; c++)
            FetchWord(ref high, offset + c - 4, ref source, begin + part.Offset + c, begin >= 0 ? part.Channels - c : 0);
    }

    // Begins to copy 16 bytes that exist as a whole; otherwise zeros.
    private static void FetchQuad(ref uint target, int offset, ref uint source, int word, bool exists)
        => TensorCores.CopyAsync16(ref target, offset, ref source, word, exists ? 16 : 0);

    // Begins to copy a word, of which so many channels exist: none, or possibly more than it has.
    private static void FetchWord(ref uint target, int offset, ref uint source, int word, int channels)
        => TensorCores.CopyAsync4(
            ref target,
            offset,
            ref source,
            word,
            ChannelPiece.Clamp(channels, TOperand.WordChannels) * (4 / TOperand.WordChannels));

    // Masks and rounds a thread's part of a chunk.
    private static void RoundPasses(ArrayView<uint> shared, int tile, int masks, HaloPart part, int masked)
    {
        ref uint operands = ref shared[tile + part.Operands];
        if (!TOperand.Rounds)
        {
            ref uint mask = ref shared[masks + part.Operands];
            for (int pass = 0; pass < Passes; pass++)
            {
                int at = pass * PassRows * RowWords;
                TensorCores.StoreShared(
                    ref operands,
                    at,
                    ChannelPiece.MaskedPairs(TensorCores.LoadShared(ref operands, at), TensorCores.LoadShared(ref mask, at)));
            }

            return;
        }

        ref uint low = ref shared[part.Fetched + part.Swap];
        ref uint high = ref shared[part.Fetched + 4 - part.Swap];
        for (int pass = 0; pass < Passes; pass++)
        {
            int at = pass * PassRows * FetchedRow;
            TOperand.StorePiece(
                ref operands,
                pass * PassRows * RowWords,
                Fetched(ref low, at, masks, masked),
                TOperand.FetchedWords == 8 ? Fetched(ref high, at, masks, masked) : default);
        }
    }

    private static Words Fetched(ref uint origin, int at, int masks, int masked)
    {
        Words values = TensorCores.LoadShared(ref origin, at);
        return masked != 0 ? ChannelPiece.Masked(values, TensorCores.LoadShared(ref origin, masks + at)) : values;
    }

    // A row of the weights, 3 taps, to its place in the ring; from is this thread's first word.
    private static void CopyWeightRow(ArrayView<uint> shared, int row, ArrayView<uint> weights, int from, int columns)
    {
        const int passWords = 4 * ConvolveThreads;
        int words = WeightRow * columns;
        for (int pass = 0; pass < (words + passWords - 1) / passWords; pass++)
        {
            if ((pass + 1) * passWords <= words || pass * passWords + 4 * Group.IdxX < words)
                TensorCores.CopyAsync16(
                    ref shared[row + 4 * Group.IdxX], pass * passWords, ref weights[from], pass * passWords, 16);
        }
    }

    // A tile of the weight gradient: 8×8 voxels of a plane.
    private struct GradientTile
    {
        public int X;
        public int Y;

        // The plane, in its volume and among all.
        public int Z;
        public int Plane;

        public static GradientTile At(int tile, TensorCoreConv3dShape shape)
        {
            int plane = tile / (shape.TilesX * shape.TilesY);
            return new()
            {
                X = tile % shape.TilesX * TileEdge,
                Y = tile / shape.TilesX % shape.TilesY * TileEdge,
                Z = plane % shape.Depth,
                Plane = plane,
            };
        }

        // The next one, without a division.
        public GradientTile Next(TensorCoreConv3dShape shape)
        {
            int x = X + TileEdge;
            int y = x < shape.Width ? Y : Y + TileEdge;
            int plane = y < shape.Height ? Plane : Plane + 1;
            int z = y < shape.Height ? Z : Z + 1;
            return new()
            {
                X = x < shape.Width ? x : 0,
                Y = y < shape.Height ? y : 0,
                Z = z < shape.Depth ? z : 0,
                Plane =
                plane
            };
        }
    }

    // Which half of a piece of float32 a thread takes first, so that eight threads meet every bank once;
    // BF16's rows are padded so that they do.
    private static int SwapOfThread()
        => TOperand.Rounds && TOperand.Depth == ChannelPiece.Channels ? (Group.IdxX >> 2 & 1) * 4 : 0;

    // Begins to copy a tile: of the input the plane of its taps, of 4 threads each has 8 channels of a voxel;
    // of gradOutput and the mask all channels.
    private static void FetchGradientTile<TSums>(
        ArrayView<uint> shared,
        int buffer,
        ArrayView<uint> input,
        ArrayView<uint> gradOutput,
        ArrayView<uint> mask,
        GradientTile place,
        int tapPlane,
        int firstOutput,
        TensorCoreConv3dShape shape)
        where TSums : unmanaged, ITapSums<TSums>
    {
        int inputRow = ChannelPiece.RowWords<TOperand>(GradientRows);
        int passVoxels = GradientThreads / RowBlocks;
        int octet = Group.IdxX & (RowBlocks - 1);
        int thread = Group.IdxX >> 2;
        int z = place.Z + tapPlane - 1;
        int channel = Grid.IdxY * GradientRows + octet * ChannelPiece.Channels;
        Octet fetched = new()
        {
            Pitch = shape.InputPitch / TOperand.WordChannels,
            Word = channel / TOperand.WordChannels,
            Count = shape.InputChannels - channel,
            Aligned = shape.InputAligned,
        };

        // From the first voxel that exists; the surroundings begin at most one row and column before it.
        int firstY = Math.Max(place.Y - 1, 0);
        int firstX = Math.Max(place.X - 1, 0);
        int plane = (uint)z < (uint)shape.Depth ? place.Plane + tapPlane - 1 : place.Plane;
        ref uint source = ref input[(((long)plane * shape.Height + firstY) * shape.Width + firstX) * fetched.Pitch];
        int shift = (place.Y - 1 - firstY) * shape.Width + place.X - 1 - firstX;
        ref uint target = ref shared[buffer + thread * inputRow + octet * TOperand.PieceWords];
        for (int pass = 0; pass < (PlaneVoxels + passVoxels - 1) / passVoxels; pass++)
        {
            int voxel = thread + pass * passVoxels;
            int y = Tenth(voxel);
            int x = voxel - y * HaloEdge;
            bool inside = (uint)z < (uint)shape.Depth & (uint)(place.Y + y - 1) < (uint)shape.Height & (uint)(place.X + x - 1) < (
                uint)shape.Width;
            if ((pass + 1) * passVoxels <= PlaneVoxels || voxel < PlaneVoxels)
                fetched.Fetch(ref target, pass * passVoxels * inputRow, ref source, y * shape.Width + x + shift, inside);
        }

        int octets = TSums.Channels / ChannelPiece.Channels;
        int gradientRow = ChannelPiece.RowWords<TOperand>(TSums.Channels);
        passVoxels = GradientThreads / octets;
        // this part of the thread's number; of 48 columns the last four threads have none
        thread = Group.IdxX * ((1 << 18) / octets + 1) >> 18;
        octet = Group.IdxX - thread * octets;
        channel = firstOutput + octet * ChannelPiece.Channels;
        fetched = new()
        {
            Pitch = shape.OutputPitch / TOperand.WordChannels,
            Word = channel / TOperand.WordChannels,
            Count = shape.OutputChannels - channel,
            Aligned = shape.OutputAligned,
        };
        long origin = (((long)place.Plane * shape.Height + place.Y) * shape.Width + place.X) * fetched.Pitch;
        source = ref gradOutput[origin];
        ref uint maskSource = ref mask[origin];
        target = ref shared[buffer + PlaneVoxels * inputRow + thread * gradientRow + octet * TOperand.PieceWords];
        for (int pass = 0; pass < (GradientVoxels + passVoxels - 1) / passVoxels; pass++)
        {
            int voxel = thread + pass * passVoxels;
            int y = voxel >> 3;
            int x = voxel & (TileEdge - 1);
            bool inside = place.Y + y < shape.Height & place.X + x < shape.Width;
            if ((GradientThreads % octets == 0 || thread < passVoxels) && (
                (pass + 1) * passVoxels <= GradientVoxels || voxel < GradientVoxels))
            {
                fetched.Fetch(ref target, pass * passVoxels * gradientRow, ref source, y * shape.Width + x, inside);
                if (shape.Masked != 0)
                    fetched.Fetch(
                        ref target,
                        (pass * passVoxels + GradientVoxels) * gradientRow,
                        ref maskSource,
                        y * shape.Width + x,
                        inside);
            }
        }
    }

    // The eight channels of a voxel that a thread fetches, the same ones of every voxel.
    private struct Octet
    {
        // From one voxel to the next and from a voxel to the channels, in words.
        public int Pitch;
        public int Word;

        // How many of them exist: none, or possibly more.
        public int Count;
        public int Aligned;

        public readonly void Fetch(ref uint target, int offset, ref uint source, int voxel, bool inside)
        {
            int word = voxel * Pitch + Word;
            if (Aligned == 0)
            {
                for (int c = 0; c < TOperand.PieceWords; c++)
                    FetchWord(ref target, offset + c, ref source, word + c, inside ? Count - c * TOperand.WordChannels : 0);
                return;
            }

            FetchQuad(ref target, offset, ref source, word, inside & Count > 0);
            if (TOperand.Rounds)
                FetchQuad(ref target, offset + 4, ref source, word + 4, inside & Count > 4);
        }
    }

    // Masks and rounds what the thread fetched of a tile, and adds up gradOutput.
    private static void RoundGradientTile<TSums>(ref uint bias, ArrayView<uint> shared, int buffer, int masked)
        where TSums : unmanaged, ITapSums<TSums>
    {
        int swap = SwapOfThread();
        int inputRow = ChannelPiece.RowWords<TOperand>(GradientRows);
        if (TOperand.Rounds)
        {
            int passVoxels = GradientThreads / RowBlocks;
            int thread = Group.IdxX >> 2;
            int at = buffer + thread * inputRow + (Group.IdxX & (RowBlocks - 1)) * TOperand.PieceWords;
            ref uint first = ref shared[at + swap];
            ref uint second = ref shared[at + 4 - swap];
            for (int pass = 0; pass < (PlaneVoxels + passVoxels - 1) / passVoxels; pass++)
            {
                int offset = pass * passVoxels * inputRow;
                if ((pass + 1) * passVoxels <= PlaneVoxels || thread + pass * passVoxels < PlaneVoxels)
                    TOperand.StoreInPlace(
                        ref first,
                        ref second,
                        offset,
                        TensorCores.LoadShared(ref first, offset),
                        TensorCores.LoadShared(ref second, offset));
            }
        }

        int octets = TSums.Channels / ChannelPiece.Channels;
        int gradientRow = ChannelPiece.RowWords<TOperand>(TSums.Channels);
        int gradientVoxels = GradientThreads / octets;
        int voxel = Group.IdxX * ((1 << 18) / octets + 1) >> 18;
        int gradientAt =
            buffer + PlaneVoxels * inputRow + voxel * gradientRow + (Group.IdxX - voxel * octets) * TOperand.PieceWords;
        ref uint firstOf = ref shared[gradientAt + swap];
        ref uint secondOf = ref shared[gradientAt + (TOperand.Rounds ? 4 - swap : 0)];
        PieceSums sums = PieceSums.Load(ref bias, BiasWords / 2);
        for (int pass = 0; pass < (GradientVoxels + gradientVoxels - 1) / gradientVoxels; pass++)
        {
            if ((GradientThreads % octets == 0 || voxel < gradientVoxels)
                && ((pass + 1) * gradientVoxels <= GradientVoxels || voxel + pass * gradientVoxels < GradientVoxels))
                sums = PieceSums.AddRounding<TOperand>(
                    sums, ref firstOf, ref secondOf, pass * gradientVoxels * gradientRow, GradientVoxels * gradientRow, masked);
        }

        PieceSums.Save(sums, ref bias, BiasWords / 2);
    }

    private sealed record ConvolveVariant(
        int Columns,
        Func<bool, int> SharedBytes,
        LazyKernel<Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>, ArrayView<uint>, ArrayView<float>,
            ArrayView<uint>, TensorCoreConv3dShape>> Launch);

    private sealed record GradientVariant(
        int Columns,
        Func<bool, int> SharedBytes,
        LazyKernel<Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>, ArrayView<uint>, ArrayView<float>,
            TensorCoreConv3dShape>> Launch);
}

/// <summary>
/// What a tensor-core convolution works on, in the roles of its pass: BackwardInput's input is gradOutput.
/// </summary>
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

    /// <summary>1 where the input (and its mask) can be fetched by whole 16 bytes.</summary>
    public int InputAligned;

    /// <summary>1 where the output can be stored (gradient: fetched, whole) by 16 bytes.</summary>
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
