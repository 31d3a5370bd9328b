using MeanShiftGpu.Kernels.Machine.TensorCore;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The transposed convolution 2³ with stride 2 on tensor cores: operands rounded to nearest, float32 sums and
/// memory.
/// </summary>
internal static class ConvTranspose3dTensorCore
{
    /// <summary>Compiles the kernels for an accelerator.</summary>
    /// <param name="accelerator">A CUDA accelerator of a context with
    /// <see cref="TensorCorePtx.EnableTensorCores"/>, or the simulated GPU.</param>
    /// <param name="precision">The operands.</param>
    public static IConvTranspose3d<float, float> Create(Accelerator accelerator, TensorCorePrecision precision)
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
    public static IConvTranspose3d<Bf16, float> CreateBf16(Accelerator accelerator)
        => new ConvTranspose3dTensorCoreKernels<StoredBf16Operand>.Of<Bf16>(accelerator, groupsWanted: 0);

    // groupsWanted: with how many groups to fill the device; 0 for two on each multiprocessor. Tests ask for
    // more than a small problem has.
    internal static IConvTranspose3d<float, float> Create(
        Accelerator accelerator, TensorCorePrecision precision, int groupsWanted)
        => precision switch
        {
            TensorCorePrecision.Tf32 => new ConvTranspose3dTensorCoreKernels<Tf32Operand>.Of<float>(accelerator, groupsWanted),
            TensorCorePrecision.Bf16 => new ConvTranspose3dTensorCoreKernels<Bf16Operand>.Of<float>(accelerator, groupsWanted),
            _ => throw UnknownValue.Of(precision),
        };
}

/// <summary>
/// The passes with one kind of operand. Forward multiplies an input voxel's channels with the weights of each
/// of its 8 corners; BackwardInput adds up over the corners what Forward spread.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal static class ConvTranspose3dTensorCoreKernels<TOperand>
    where TOperand : struct, IOperand
{
    private const int Corners = 8;
    private const int TileEdge = 8;
    private const int VoxelWords = TensorCoreLaunch.VoxelWords;

    // Multiply: 4 warps, a plane of 64 voxels each; chunks arrive two steps ahead.
    private const int MultiplyThreads = 128;
    private const int TileDepth = 4;
    private const int PlaneVoxels = TileEdge * TileEdge;
    private const int TileVoxels = TileDepth * PlaneVoxels;
    private const int RowWords = TileEdge * VoxelWords;
    private const int Stages = 3;

    // Gradient: 8 warps, a corner each, over 4 rows of 8 voxels; 64 input and 16 output channels a group.
    private const int GradientThreads = 256;
    private const int GradientHeight = 4;
    private const int GradientVoxels = GradientHeight * TileEdge;
    private const int GradientRows = 64;
    private const int GradientColumns = 16;

    /// <summary>Words of one of the gradient's two buffers: input, then gradOutput.</summary>
    public static int GradientWords
        => GradientVoxels * ChannelPiece.RowWords<TOperand>(GradientRows)
            + Corners * GradientVoxels * ChannelPiece.RowWords<TOperand>(GradientColumns);

    /// <summary>
    /// Words of shared memory: stages of voxels and weights; where voxels are rounded, two tiles for that.
    /// </summary>
    public static int MultiplyWords(int columns)
        => Stages * (StagedVoxels + VoxelWords * columns) + (TOperand.Rounds ? 2 * TileVoxels * VoxelWords : 0);

    private static int Pieces => TOperand.Depth / ChannelPiece.Channels;

    private static int MultiplyBytes<TColumns>()
        where TColumns : unmanaged, IColumns<TColumns>
        => sizeof(uint) * MultiplyWords(TColumns.Channels);

    private static int GradientBytes() => sizeof(uint) * 2 * GradientWords;

    private static int StagedVoxels => TileVoxels * Pieces * TOperand.PieceWords;

    // Forward: y[2v+k,o] = b[o] + sum over channels of x[v,i] w[k,i,o], a corner k a group. BackwardInput
    // (Gathers): dx[v,i] = sum over corners and channels of g[2v+k,o] w[k,i,o]. A group of 4 warps makes
    // 4×8×8 voxels × Columns channels, a warp one plane. For every chunk of channels (and corner): fetch it
    // (asynchronously, two steps ahead), round it, multiply. Output overwritten, sums in the order chunk,
    // corner, channel.
    [Kernel(MaxGroupSize = MultiplyThreads, SharedBytes = nameof(MultiplyBytes))]
    internal static void MultiplyKernel<TColumns>(
        ArrayView<uint> input, // [N, D, H, W, Cin] (Gathers: [N, 2D, 2H, 2W, Cin]), pitch InputPitch
        ArrayView<uint> weights, // [blocks, chunks, corners, Columns / 16, lane, 4]
        ArrayView<float> bias, // [Cout], not read if Gathers
        ArrayView<uint> output, // [N, 2D, 2H, 2W, Cout] (Gathers: [N, D, H, W, Cout]), pitch OutputPitch
        TensorCoreTransposeShape shape)
        where TColumns : unmanaged, IColumns<TColumns>
    {
        ArrayView<uint> shared = SharedMemory.GetDynamic<Words>().Cast<uint>();
        int stageWords = StagedVoxels + VoxelWords * TColumns.Channels;
        int rounded = Stages * stageWords;
        int lane = Group.IdxX % 32;
        int warp = Group.IdxX / 32;
        MultiplyTile tile = MultiplyTile.OfGroup(shape);
        int steps = shape.Gathers != 0 ? Corners * tile.Chunks : tile.Chunks;

        CopyStep(shared, 0, input, weights, 0, tile, TColumns.Channels, shape);
        TensorCores.CommitCopies();
        if (steps > 1)
            CopyStep(shared, stageWords, input, weights, 1, tile, TColumns.Channels, shape);
        TensorCores.CommitCopies();

        TColumns sums = default;
        int own = warp * PlaneVoxels * VoxelWords + VoxelRows.Origin(lane, 0, RowWords);
        for (int step = 0; step < steps; step++)
        {
            int stage = step % Stages * stageWords;
            int operands = TOperand.Rounds ? rounded + step % 2 * TileVoxels * VoxelWords : stage;
            TensorCores.WaitForCopies(1);
            if (TOperand.Rounds)
            {
                for (int piece = Group.IdxX; piece < TileVoxels * Pieces; piece += MultiplyThreads)
                {
                    int from = stage + piece * ChannelPiece.Channels;
                    int voxel = piece / Pieces;
                    int row = operands + voxel / TileEdge * RowWords;
                    TOperand.Store(
                        shared,
                        row + VoxelRows.At(voxel % TileEdge, piece % Pieces),
                        row + VoxelRows.At(voxel % TileEdge, 1),
                        TensorCores.LoadShared(ref shared[from], 0),
                        TensorCores.LoadShared(ref shared[from], 4));
                }
            }

            // Behind the barrier nobody reads the tile and the weights of the step before.
            Group.Barrier();
            if (step + 2 < steps)
                CopyStep(shared, (step + 2) % Stages * stageWords, input, weights, step + 2, tile, TColumns.Channels, shape);
            TensorCores.CommitCopies();
            if (tile.Z + warp < shape.Planes)
                sums = TColumns.Multiply<TOperand>(
                    sums, VoxelRows.Load(ref shared[operands + own], RowWords), ref shared[stage + StagedVoxels + 4 * lane], 0);
        }

        TensorCores.WaitForCopies(0);
        int z = tile.Z + warp;
        int x = tile.X + lane / 4;
        TColumns.Store<TOperand>(sums, bias, output, new ColumnsTarget
        {
            Voxel = shape.Gathers != 0 ? shape.Voxel(z, tile.Y, x) : shape.CornerVoxel(z, tile.Y, x, Grid.IdxZ),
            Width = shape.Gathers != 0 ? shape.Width : 4 * shape.Width,
            Rows = z < shape.Planes && x < shape.Width ? shape.Height - tile.Y : 0,
            Channel = Grid.IdxY * TColumns.Channels + lane % 4 * 4,
            Channels = shape.OutputChannels,
            Pitch = shape.OutputPitch,
            Aligned = shape.OutputAligned,
            HasBias = 1 - shape.Gathers,
            Rounded = TOperand.Rounds ? 0 : 1,
        });
    }

    // dw[k,i,o] = sum over input voxels of x[v,i] g[2v+k,o] and db[o] = sum over output voxels of g[v,o],
    // both of some tiles of 4×8 input voxels. A group of 8 warps makes 64 input × 16 output channels, a warp
    // one corner. For every tile: fetch it (asynchronously, during the tile before), round it in place,
    // multiply its voxels. Partial sums overwritten, in the order of the tiles and their voxels.
    [Kernel(MaxGroupSize = GradientThreads, SharedBytes = nameof(GradientBytes))]
    internal static void GradientKernel(
        ArrayView<uint> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<uint> gradOutput, // [N, 2D, 2H, 2W, Cout], pitch OutputPitch
        ArrayView<float> partials, // [splits, 8·Cin·Cout + Cout]
        TensorCoreTransposeShape shape)
    {
        ArrayView<uint> shared = SharedMemory.GetDynamic<Words>().Cast<uint>();
        int lane = Group.IdxX % 32;
        int corner = Group.IdxX / 32;
        int inputRow = ChannelPiece.RowWords<TOperand>(GradientRows);
        int gradientRow = ChannelPiece.RowWords<TOperand>(GradientColumns);
        int gradients = GradientVoxels * inputRow;
        int inputOrigin = TOperand.OriginOfTransposed(lane, inputRow, TileEdge * inputRow);
        int gradientOrigin = gradients + corner * GradientVoxels * gradientRow + TOperand.OriginOfColumns(
            lane, gradientRow, TileEdge * gradientRow);

        int tile = Grid.IdxX * shape.PerSplit;
        int lastTile = tile + shape.PerSplit < shape.Tiles ? tile + shape.PerSplit : shape.Tiles;
        CopyGradientTile(shared, 0, input, gradOutput, tile, shape);
        TensorCores.CommitCopies();

        Columns16 sums = default; // 64 input × 16 output channels of a corner
        PieceSums bias = default;
        int buffer = 0;
        for (; tile < lastTile; tile++)
        {
            if (tile + 1 < lastTile)
                CopyGradientTile(shared, GradientWords - buffer, input, gradOutput, tile + 1, shape);
            TensorCores.CommitCopies();
            TensorCores.WaitForCopies(1);
            if (TOperand.Rounds)
            {
                int at = buffer + Group.IdxX / (GradientRows / ChannelPiece.Channels) * inputRow
                    + Group.IdxX % (GradientRows / ChannelPiece.Channels) * ChannelPiece.Channels;
                TOperand.Store(
                    shared, at, at + 4, TensorCores.LoadShared(ref shared[at], 0), TensorCores.LoadShared(ref shared[at], 4));
            }

            for (int piece = Group.IdxX; piece < Corners * GradientVoxels * 2; piece += GradientThreads)
            {
                int at = buffer + gradients + piece / 2 * gradientRow + piece % 2 * TOperand.PieceWords;
                bias = PieceSums.AddRounding<TOperand>(bias, ref shared[at], ref shared[at + ChannelPiece.Channels / 2], 0, 0, 0);
            }

            Group.Barrier();
            int rows = Math.Min(shape.Height - tile / shape.TilesX % shape.TilesY * GradientHeight, GradientHeight);
            for (int y = 0; y < rows; y += TOperand.Depth / TileEdge)
            {
                Words columns = TOperand.LoadColumns(
                    ref shared[buffer + gradientOrigin + y * TileEdge * gradientRow], 0, gradientRow, TileEdge * gradientRow);
                ref uint rows64 = ref shared[buffer + inputOrigin + y * TileEdge * inputRow];
                sums = Columns16.Multiply<TOperand>(
                    sums, VoxelRows.LoadTransposed<TOperand>(ref rows64, inputRow, TileEdge * inputRow), columns);
            }

            // The next tile but one overwrites this one.
            Group.Barrier();
            buffer = GradientWords - buffer;
        }

        TensorCores.WaitForCopies(0);
        long weights = (long)Corners * shape.InputChannels * shape.OutputChannels;
        long partial = Grid.IdxX * (weights + shape.OutputChannels);
        int firstOutput = Grid.IdxZ * GradientColumns;
        TapSumsTarget target = new()
        {
            Base = partial + (long)corner * shape.InputChannels * shape.OutputChannels,
            Row = Grid.IdxY * GradientRows + lane / 4,
            Column = firstOutput + lane % 4 * 2,
            Rows = shape.InputChannels,
            Columns = shape.OutputChannels,
        };
        StoreRows(sums.A01, sums.B01, partials, target, 0);
        StoreRows(sums.A23, sums.B23, partials, target, 16);
        StoreRows(sums.A45, sums.B45, partials, target, 32);
        StoreRows(sums.A67, sums.B67, partials, target, 48);

        if (Grid.IdxY == 0)
            PieceSums.Store(
                bias, shared, 0, GradientThreads, GradientColumns, partials, partial + weights + firstOutput,
                shape.OutputChannels - firstOutput);
    }

    // A group's tile: its first voxel, and the chunks of channels over which it sums.
    private struct MultiplyTile
    {
        public int X;
        public int Y;
        public int Z;
        public int Chunks;

        public static MultiplyTile OfGroup(TensorCoreTransposeShape shape) => new()
        {
            X = Grid.IdxX % shape.TilesX * TileEdge,
            Y = Grid.IdxX / shape.TilesX % shape.TilesY * TileEdge,
            Z = Grid.IdxX / (shape.TilesX * shape.TilesY) * TileDepth,
            Chunks = (shape.InputChannels + TOperand.Depth - 1) / TOperand.Depth,
        };
    }

    // Begins to copy a step's voxels and weights.
    private static void CopyStep(
        ArrayView<uint> shared, int stage, ArrayView<uint> input, ArrayView<uint> weights, int step, MultiplyTile tile,
        int columns, TensorCoreTransposeShape shape)
    {
        int chunk = shape.Gathers != 0 ? step / Corners : step;
        int corner = shape.Gathers != 0 ? step % Corners : Grid.IdxZ;
        for (int piece = Group.IdxX; piece < TileVoxels * Pieces; piece += MultiplyThreads)
        {
            int voxel = piece / Pieces;
            int z = tile.Z + voxel / PlaneVoxels;
            int y = tile.Y + voxel / TileEdge % TileEdge;
            int x = tile.X + voxel % TileEdge;
            bool inside = z < shape.Planes && y < shape.Height && x < shape.Width;
            int channel = chunk * TOperand.Depth + piece % Pieces * ChannelPiece.Channels;
            long source = shape.Gathers != 0 ? shape.CornerVoxel(z, y, x, corner) : shape.Voxel(z, y, x);
            int target = TOperand.Rounds
                ? piece * ChannelPiece.Channels
                : voxel / TileEdge * RowWords + VoxelRows.At(voxel % TileEdge, piece % Pieces);
            TOperand.Copy(
                shared, stage + target, input, source * shape.InputPitch + channel,
                inside ? shape.InputChannels - channel : 0, shape.InputAligned);
        }

        int weightsAt = stage + StagedVoxels;
        int from = ((Grid.IdxY * tile.Chunks + chunk) * Corners + corner) * VoxelWords * columns;
        for (int at = 4 * Group.IdxX; at < VoxelWords * columns; at += 4 * MultiplyThreads)
            TensorCores.CopyAsync16(ref shared[weightsAt + at], 0, ref weights[from + at], 0, 16);
    }

    private static void CopyGradientTile(
        ArrayView<uint> shared, int buffer, ArrayView<uint> input, ArrayView<uint> gradOutput, int tile,
        TensorCoreTransposeShape shape)
    {
        int tileX = tile % shape.TilesX * TileEdge;
        int tileY = tile / shape.TilesX % shape.TilesY * GradientHeight;
        int z = tile / (shape.TilesX * shape.TilesY); // n·D + z, which doubles like z
        int inputRow = ChannelPiece.RowWords<TOperand>(GradientRows);
        int gradientRow = ChannelPiece.RowWords<TOperand>(GradientColumns);

        // One piece of the input a thread.
        int octets = GradientRows / ChannelPiece.Channels;
        int voxel = Group.IdxX / octets;
        int y = tileY + voxel / TileEdge;
        int x = tileX + voxel % TileEdge;
        int channel = Grid.IdxY * GradientRows + Group.IdxX % octets * ChannelPiece.Channels;
        TOperand.Copy(
            shared, buffer + voxel * inputRow + Group.IdxX % octets * TOperand.PieceWords, input,
            shape.Voxel(z, y, x) * shape.InputPitch + channel,
            y < shape.Height && x < shape.Width ? shape.InputChannels - channel : 0, shape.InputAligned);

        channel = Grid.IdxZ * GradientColumns + Group.IdxX % 2 * ChannelPiece.Channels;
        for (int piece = Group.IdxX; piece < Corners * GradientVoxels * 2; piece += GradientThreads)
        {
            int corner = piece / (2 * GradientVoxels);
            voxel = piece / 2 % GradientVoxels;
            y = tileY + voxel / TileEdge;
            x = tileX + voxel % TileEdge;
            TOperand.Copy(
                shared, buffer + GradientVoxels * inputRow + piece / 2 * gradientRow + piece % 2 * TOperand.PieceWords,
                gradOutput, shape.CornerVoxel(z, y, x, corner) * shape.OutputPitch + channel,
                y < shape.Height && x < shape.Width ? shape.OutputChannels - channel : 0, shape.OutputAligned);
        }
    }

    private static void StoreRows(
        Accumulators lower, Accumulators upper, ArrayView<float> partials, TapSumsTarget target, int row)
    {
        target.Row += row;
        StoreTile(lower, partials, target, 0);
        StoreTile(upper, partials, target, 8);
    }

    private static void StoreTile(Accumulators sums, ArrayView<float> partials, TapSumsTarget target, int column)
    {
        TapSumsTarget.Store(sums.X, partials, target, 0, 0, column);
        TapSumsTarget.Store(sums.Y, partials, target, 0, 0, column + 1);
        TapSumsTarget.Store(sums.Z, partials, target, 0, 8, column);
        TapSumsTarget.Store(sums.W, partials, target, 0, 8, column + 1);
    }

    /// <summary>
    /// The launchers, for what activations hold; the kernels take them by words, whatever that is.
    /// </summary>
    public sealed class Of<TElement> : IConvTranspose3d<TElement, float>
        where TElement : unmanaged
    {
        private readonly Accelerator accelerator;
        private readonly int groupsWanted;
        private readonly TensorCoreWeights<TOperand> weights;
        private readonly DeviceScratch<float> partials;
        private readonly PartSums<float> partSums;
        private readonly MultiplyVariant[] multiply;
        private readonly LazyKernel<Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>, ArrayView<float>,
            TensorCoreTransposeShape>> gradient;

        public Of(Accelerator accelerator, int groupsWanted)
        {
            this.accelerator = accelerator;
            this.groupsWanted = groupsWanted > 0 ? groupsWanted : 2 * accelerator.NumMultiprocessors;
            weights = new TensorCoreWeights<TOperand>(accelerator);
            partials = new DeviceScratch<float>(accelerator);
            partSums = new PartSums<float>(accelerator);
            multiply =
                [MultiplyWith<Columns16>(), MultiplyWith<Columns32>(), MultiplyWith<Columns48>(), MultiplyWith<Columns64>()];
            gradient = new(accelerator, GradientKernel, new KernelSpecialization(GradientThreads, null), GradientBytes());
        }

        void IConvTranspose3d<TElement, float>.LaunchForward(
            AcceleratorStream stream, ArrayView<TElement> input, ArrayView<float> weight, ArrayView<float> bias,
            ArrayView<TElement> output, ConvTranspose3dShape shape)
            => Multiply(stream, input, weight, bias, output, new(shape, TileDepth, TileEdge, gathers: false));

        void IConvTranspose3d<TElement, float>.LaunchBackwardInput(
            AcceleratorStream stream, ArrayView<TElement> gradOutput, ArrayView<float> weight, ArrayView<TElement> gradInput,
            ConvTranspose3dShape shape)
            => Multiply(stream, gradOutput, weight, weight, gradInput, new(shape, TileDepth, TileEdge, gathers: true));

        void IConvTranspose3d<TElement, float>.LaunchBackwardWeight(
            AcceleratorStream stream, ArrayView<TElement> input, ArrayView<TElement> gradOutput, ArrayView<float> gradWeight,
            ArrayView<float> gradBias, ConvTranspose3dShape shape)
        {
            ArrayView<uint> inputWords = TensorCoreLaunch.Words(input);
            ArrayView<uint> gradientWords = TensorCoreLaunch.Words(gradOutput);
            TensorCoreTransposeShape of = new(shape, planes: 1, GradientHeight, gathers: false)
            {
                InputAligned = TensorCoreLaunch.Aligned(inputWords, shape.InputPitch),
                OutputAligned = TensorCoreLaunch.Aligned(gradientWords, shape.OutputPitch),
            };
            (int splits, of.PerSplit, int rowBlocks, int columnBlocks) = GradientSplits(shape, of.Tiles);
            KernelConfig config =
                TensorCoreLaunch.Config((splits, rowBlocks, columnBlocks), GradientThreads, GradientBytes());

            ArrayView<float> scratch = PartSums<float>.Take(
                stream, partials, splits * (shape.WeightLength + shape.OutputChannels));
            gradient.Value(stream, config, inputWords, gradientWords, scratch, of);
            partSums.Add(
                stream, scratch, gradWeight.SubView(0, shape.WeightLength), gradBias.SubView(0, shape.OutputChannels), splits);
        }

        LaunchMemory IConvTranspose3d<TElement, float>.Memory(ConvTranspose3dShape shape)
        {
            TensorCoreTransposeShape of = new(shape, planes: 1, GradientHeight, gathers: false);
            long parts = GradientSplits(shape, of.Tiles).Splits * (shape.WeightLength + shape.OutputChannels);
            long words = Words(shape.InputChannels, shape.OutputChannels) + Words(shape.OutputChannels, shape.InputChannels);
            return new LaunchMemory(sizeof(float) * parts, sizeof(uint) * words, 0);

            long Words(int inputs, int outputs)
                => TensorCoreWeights<TOperand>.Words(Corners, inputs, outputs, multiply.MinBy(
                    v => TensorCoreLaunch.Cost(outputs, v.Columns))!.Columns);
        }

        public void Dispose()
        {
            weights.Dispose();
            partials.Dispose();
        }

        private (int Splits, int PerSplit, int RowBlocks, int ColumnBlocks) GradientSplits(ConvTranspose3dShape shape, int tiles)
        {
            int rowBlocks = TensorCoreLaunch.Blocks(shape.InputChannels, GradientRows);
            int columnBlocks = TensorCoreLaunch.Blocks(shape.OutputChannels, GradientColumns);
            (int splits, int perSplit) = TensorCoreLaunch.Share(tiles, groupsWanted / (rowBlocks * columnBlocks));
            return (splits, perSplit, rowBlocks, columnBlocks);
        }

        private void Multiply(
            AcceleratorStream stream, ArrayView<TElement> input, ArrayView<float> weight, ArrayView<float> bias,
            ArrayView<TElement> output, TensorCoreTransposeShape of)
        {
            ArrayView<uint> source = TensorCoreLaunch.Words(input);
            ArrayView<uint> target = TensorCoreLaunch.Words(output);
            of.InputAligned = TensorCoreLaunch.Aligned(source, of.InputPitch);
            of.OutputAligned = TensorCoreLaunch.Aligned(target, of.OutputPitch);
            (int columns, int sharedBytes, var launch) =
                multiply.MinBy(v => TensorCoreLaunch.Cost(of.OutputChannels, v.Columns))!;
            ArrayView<uint> packed = weights.Pack(stream, weight, new PackedWeightsShape
            {
                Taps = Corners,
                InputChannels = of.InputChannels,
                OutputChannels = of.OutputChannels,
                TapStride = of.InputChannels * of.OutputChannels,
                InputStride = of.Gathers != 0 ? 1 : of.OutputChannels,
                OutputStride = of.Gathers != 0 ? of.InputChannels : 1,
                Columns = columns,
            });
            int corners = of.Gathers != 0 ? 1 : Corners;
            (int X, int Y, int Z) groups = (of.Tiles, TensorCoreLaunch.Blocks(of.OutputChannels, columns), corners);
            KernelConfig config = TensorCoreLaunch.Config(groups, MultiplyThreads, sharedBytes);
            launch.Value(stream, config, source, packed, bias, target, of);
        }

        private MultiplyVariant MultiplyWith<TColumns>()
            where TColumns : unmanaged, IColumns<TColumns>
            => new(TColumns.Channels, MultiplyBytes<TColumns>(), new(accelerator, MultiplyKernel<TColumns>,
                new KernelSpecialization(MultiplyThreads, null), MultiplyBytes<TColumns>()));

        private sealed record MultiplyVariant(
            int Columns,
            int SharedBytes,
            LazyKernel<Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>, ArrayView<float>,
                ArrayView<uint>, TensorCoreTransposeShape>> Launch);
    }
}

/// <summary>
/// What a tensor-core transposed convolution works on, in the roles of its pass, in tiles 8 wide; extents are
/// those of the smaller volume.
/// </summary>
internal struct TensorCoreTransposeShape(ConvTranspose3dShape shape, int planes, int height, bool gathers)
{
    /// <summary>N·D.</summary>
    public int Planes = checked(shape.Batch * shape.Depth);
    public int Height = shape.Height;
    public int Width = shape.Width;
    public int InputChannels = gathers ? shape.OutputChannels : shape.InputChannels;
    public int OutputChannels = gathers ? shape.InputChannels : shape.OutputChannels;
    public int InputPitch = gathers ? shape.OutputPitch : shape.InputPitch;
    public int OutputPitch = gathers ? shape.InputPitch : shape.OutputPitch;
    public int TilesX = TensorCoreLaunch.Blocks(shape.Width, 8);
    public int TilesY = TensorCoreLaunch.Blocks(shape.Height, height);

    /// <summary>All tiles.</summary>
    public int Tiles = checked(
        TensorCoreLaunch.Blocks(shape.Batch * shape.Depth, planes)
        * TensorCoreLaunch.Blocks(shape.Height, height) * TensorCoreLaunch.Blocks(shape.Width, 8));

    /// <summary>The gradient's tiles of a split.</summary>
    public int PerSplit;

    /// <summary>1 where the input can be fetched by 16 bytes.</summary>
    public int InputAligned;

    /// <summary>1 where the output can be stored (gradient: fetched) by 16 bytes.</summary>
    public int OutputAligned;

    /// <summary>1 where a voxel adds up its corners, 0 where it makes them.</summary>
    public int Gathers = gathers ? 1 : 0;

    /// <summary>A voxel of the smaller volume; z is n·D + z.</summary>
    public readonly long Voxel(int z, int y, int x) => ((long)z * Height + y) * Width + x;

    /// <summary>The voxel of the larger volume at its corner.</summary>
    public readonly long CornerVoxel(int z, int y, int x, int corner)
        => ((long)(2 * z + corner / 4) * 2 * Height + 2 * y + corner / 2 % 2) * 2 * Width + 2 * x + corner % 2;
}
