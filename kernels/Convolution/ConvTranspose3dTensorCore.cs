using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Machine.Sums;
using MeanShiftGpu.Kernels.Machine.TensorCore;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>The transposed convolution 2³ with stride 2 on tensor cores: operands rounded to nearest, float32 sums and memory.</summary>
public static class ConvTranspose3dTensorCore
{
    /// <summary>Compiles the kernels for an accelerator.</summary>
    /// <param name="accelerator">A CUDA accelerator of a context with <see cref="TensorCorePtx.EnableTensorCores"/>, or the simulated GPU.</param>
    /// <param name="precision">The operands.</param>
    public static IConvTranspose3d<float, float> Create(Accelerator accelerator, TensorCorePrecision precision) => Create(accelerator, precision, groupsWanted: 0);

    /// <summary>Compiles the kernels whose activations lie in memory as BF16; parameters and their gradients are float32.</summary>
    /// <param name="accelerator">As for <see cref="Create(Accelerator, TensorCorePrecision)"/>.</param>
    /// <remarks>Pitches are multiples of <see cref="Bf16.ChannelMultiple"/>, and tensors begin at multiples of 16 bytes.</remarks>
    public static IConvTranspose3d<Bf16, float> CreateBf16(Accelerator accelerator)
        => new Of<Bf16>(new ConvTranspose3dTensorCoreKernels<StoredBf16Operand>(accelerator));

    internal static IConvTranspose3d<float, float> Create(Accelerator accelerator, TensorCorePrecision precision, int groupsWanted)
        => new OfFloat32(precision == TensorCorePrecision.Tf32
            ? new ConvTranspose3dTensorCoreKernels<Tf32Operand>(accelerator, groupsWanted)
            : new ConvTranspose3dTensorCoreKernels<Bf16Operand>(accelerator, groupsWanted));

    private sealed class OfFloat32(IConvTranspose3d<uint, float> kernels) : Of<float>(kernels), IConvTranspose3d<float, float>;

    // The kernels take activations by words, whatever they hold.
    private class Of<TElement>(IConvTranspose3d<uint, float> kernels) : IConvTranspose3d<TElement, float>
        where TElement : unmanaged
    {
        public void Forward(AcceleratorStream stream, ArrayView<TElement> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<TElement> output, ConvTranspose3dShape shape)
            => kernels.Forward(stream, TensorCoreLaunch.Words(input), weight, bias, TensorCoreLaunch.Words(output), shape);

        public void BackwardInput(AcceleratorStream stream, ArrayView<TElement> gradOutput, ArrayView<float> weight, ArrayView<TElement> gradInput, ConvTranspose3dShape shape)
            => kernels.BackwardInput(stream, TensorCoreLaunch.Words(gradOutput), weight, TensorCoreLaunch.Words(gradInput), shape);

        public void BackwardWeight(AcceleratorStream stream, ArrayView<TElement> input, ArrayView<TElement> gradOutput, ArrayView<float> gradWeight, ArrayView<float> gradBias, ConvTranspose3dShape shape)
            => kernels.BackwardWeight(stream, TensorCoreLaunch.Words(input), TensorCoreLaunch.Words(gradOutput), gradWeight, gradBias, shape);

        public void Dispose() => kernels.Dispose();
    }
}

/// <summary>
/// The passes of the transposed convolution with one kind of operand. Forward multiplies an input voxel's channels with the weights of each of its 8 corners;
/// BackwardInput adds up over the corners what Forward spread.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class ConvTranspose3dTensorCoreKernels<TOperand> : IConvTranspose3d<uint, float>
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

    private readonly Accelerator accelerator;
    private readonly int groupsWanted;
    private readonly TensorCoreWeights<TOperand> weights;
    private readonly DeviceScratch<float> partials;
    private readonly PartSums<float> partSums;
    private readonly MultiplyVariant[] multiply;
    private readonly Lazy<Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>, ArrayView<float>, TensorCoreTransposeShape>> gradient;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    /// <param name="accelerator">The accelerator.</param>
    /// <param name="groupsWanted">With how many groups to fill it; 0 for two on each multiprocessor. Tests ask for more than a small problem has.</param>
    public ConvTranspose3dTensorCoreKernels(Accelerator accelerator, int groupsWanted = 0)
    {
        this.accelerator = accelerator;
        this.groupsWanted = groupsWanted > 0 ? groupsWanted : 2 * accelerator.NumMultiprocessors;
        weights = new TensorCoreWeights<TOperand>(accelerator);
        partials = new DeviceScratch<float>(accelerator);
        partSums = new PartSums<float>(accelerator);
        multiply = [MultiplyWith<Columns16>(), MultiplyWith<Columns32>(), MultiplyWith<Columns48>(), MultiplyWith<Columns64>()];
        gradient = new(() =>
        {
            var launch = accelerator.LoadKernel<ArrayView<uint>, ArrayView<uint>, ArrayView<float>, TensorCoreTransposeShape>(
                GradientKernel,
                new KernelSpecialization(GradientThreads, null));
            LargeSharedMemory.Allow(launch.GetKernel(), sizeof(uint) * 2 * GradientWords);
            return launch;
        });
    }

    /// <summary>Words of one of the gradient's two buffers: input, then gradOutput.</summary>
    internal static int GradientWords
        => GradientVoxels * ChannelPiece.RowWords<TOperand>(GradientRows) + Corners * GradientVoxels * ChannelPiece.RowWords<TOperand>(GradientColumns);

    /// <inheritdoc/>
    public void Forward(AcceleratorStream stream, ArrayView<uint> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<uint> output, ConvTranspose3dShape shape)
        => Multiply(
            stream,
            input,
            weight,
            bias,
            output,
            new TensorCoreTransposeShape
            {
                InputChannels = shape.InputChannels,
                OutputChannels = shape.OutputChannels,
                InputPitch = shape.InputPitch,
                OutputPitch = shape.OutputPitch,
            },
            shape,
            new PackedWeightsShape { InputStride = shape.OutputChannels, OutputStride = 1 });

    /// <inheritdoc/>
    public void BackwardInput(AcceleratorStream stream, ArrayView<uint> gradOutput, ArrayView<float> weight, ArrayView<uint> gradInput, ConvTranspose3dShape shape)
        => Multiply(
            stream,
            gradOutput,
            weight,
            weight,
            gradInput,
            new TensorCoreTransposeShape
            {
                InputChannels = shape.OutputChannels,
                OutputChannels = shape.InputChannels,
                InputPitch = shape.OutputPitch,
                OutputPitch = shape.InputPitch,
                Gathers = 1,
            },
            shape,
            new PackedWeightsShape { InputStride = 1, OutputStride = shape.OutputChannels });

    /// <inheritdoc/>
    public void BackwardWeight(AcceleratorStream stream, ArrayView<uint> input, ArrayView<uint> gradOutput, ArrayView<float> gradWeight, ArrayView<float> gradBias, ConvTranspose3dShape shape)
    {
        TensorCoreTransposeShape of = new()
        {
            InputChannels = shape.InputChannels,
            OutputChannels = shape.OutputChannels,
            InputPitch = shape.InputPitch,
            OutputPitch = shape.OutputPitch,
            InputAligned = TensorCoreLaunch.Aligned(input, shape.InputPitch),
            OutputAligned = TensorCoreLaunch.Aligned(gradOutput, shape.OutputPitch),
        };
        of.SetVolume(shape, planes: 1, GradientHeight, TileEdge);
        int rowBlocks = TensorCoreLaunch.Blocks(shape.InputChannels, GradientRows);
        int columnBlocks = TensorCoreLaunch.Blocks(shape.OutputChannels, GradientColumns);
        (int splits, of.PerSplit) = TensorCoreLaunch.Share(of.Tiles, groupsWanted / (rowBlocks * columnBlocks));

        ArrayView<float> scratch = partials.Get(stream, splits * (shape.WeightLength + shape.OutputChannels));
        gradient.Value(stream, TensorCoreLaunch.Config((splits, rowBlocks, columnBlocks), GradientThreads, sizeof(uint) * 2 * GradientWords), input, gradOutput, scratch, of);
        partSums.Add(stream, scratch, gradWeight.SubView(0, shape.WeightLength), gradBias.SubView(0, shape.OutputChannels), splits);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        weights.Dispose();
        partials.Dispose();
    }

    private void Multiply(
        AcceleratorStream stream,
        ArrayView<uint> input,
        ArrayView<float> weight,
        ArrayView<float> bias,
        ArrayView<uint> output,
        TensorCoreTransposeShape of,
        ConvTranspose3dShape shape,
        PackedWeightsShape packed)
    {
        MultiplyVariant variant = multiply.MinBy(v => TensorCoreLaunch.Cost(of.OutputChannels, v.Columns))!;
        packed.Taps = Corners;
        packed.InputChannels = of.InputChannels;
        packed.OutputChannels = of.OutputChannels;
        packed.TapStride = shape.InputChannels * shape.OutputChannels;
        packed.Columns = variant.Columns;
        ArrayView<uint> packedWeights = weights.Pack(stream, weight, packed);

        of.SetVolume(shape, TileDepth, TileEdge, TileEdge);
        of.InputAligned = TensorCoreLaunch.Aligned(input, of.InputPitch);
        of.OutputAligned = TensorCoreLaunch.Aligned(output, of.OutputPitch);
        (int X, int Y, int Z) groups = (of.Tiles, TensorCoreLaunch.Blocks(of.OutputChannels, variant.Columns), of.Gathers != 0 ? 1 : Corners);
        variant.Launch.Value(stream, TensorCoreLaunch.Config(groups, MultiplyThreads, sizeof(uint) * MultiplyWords(variant.Columns)), input, packedWeights, bias, output, of);
    }

    // Each width is compiled when a layer first needs it.
    private MultiplyVariant MultiplyWith<TColumns>()
        where TColumns : unmanaged, IColumns<TColumns>
        => new(
            TColumns.Channels,
            new(() =>
            {
                var launch = accelerator.LoadKernel<ArrayView<uint>, ArrayView<uint>, ArrayView<float>, ArrayView<uint>, TensorCoreTransposeShape>(
                    MultiplyKernel<TColumns>,
                    new KernelSpecialization(MultiplyThreads, null));
                LargeSharedMemory.Allow(launch.GetKernel(), sizeof(uint) * MultiplyWords(TColumns.Channels));
                return launch;
            }));

    /// <summary>Words of shared memory: stages of voxels and weights; where voxels are rounded, two tiles for that.</summary>
    internal static int MultiplyWords(int columns)
        => Stages * (StagedVoxels + VoxelWords * columns) + (TOperand.Rounds ? 2 * TileVoxels * VoxelWords : 0);

    private static int StagedVoxels => TileVoxels * TOperand.Depth / ChannelPiece.Channels * TOperand.PieceWords;

    // Forward: y[2v+k,o] = b[o] + sum over channels of x[v,i] w[k,i,o], a corner k a group. BackwardInput (Gathers): dx[v,i] = sum over corners and
    // channels of g[2v+k,o] w[k,i,o]. A group of 4 warps makes 4×8×8 voxels × Columns channels, a warp one plane. For every chunk of channels (and corner):
    // fetch it (asynchronously, two steps ahead), round it, multiply. Output overwritten, sums in the order chunk, corner, channel.
    [Kernel(MaxGroupSize = MultiplyThreads)]
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
        int tileX = Grid.IdxX % shape.TilesX * TileEdge;
        int tileY = Grid.IdxX / shape.TilesX % shape.TilesY * TileEdge;
        int tileZ = Grid.IdxX / (shape.TilesX * shape.TilesY) * TileDepth;
        int chunks = (shape.InputChannels + TOperand.Depth - 1) / TOperand.Depth;
        int steps = shape.Gathers != 0 ? Corners * chunks : chunks;

        CopyStep(shared, 0, input, weights, 0, chunks, tileZ, tileY, tileX, TColumns.Channels, shape);
        TensorCores.CommitCopies();
        if (steps > 1)
            CopyStep(shared, stageWords, input, weights, 1, chunks, tileZ, tileY, tileX, TColumns.Channels, shape);
        TensorCores.CommitCopies();

        TColumns sums = default;
        int own = warp * PlaneVoxels * VoxelWords + VoxelRows.Origin(lane, 0, RowWords);
        for (int step = 0; step < steps; step++)
        {
            int stage = step % Stages * stageWords;
            int tile = TOperand.Rounds ? rounded + step % 2 * TileVoxels * VoxelWords : stage;
            TensorCores.WaitForCopies(1);
            if (TOperand.Rounds)
            {
                for (int piece = Group.IdxX; piece < TileVoxels * TOperand.Depth / ChannelPiece.Channels; piece += MultiplyThreads)
                {
                    int from = stage + piece * ChannelPiece.Channels;
                    int voxel = piece / (TOperand.Depth / ChannelPiece.Channels);
                    int row = tile + voxel / TileEdge * RowWords;
                    TOperand.Store(
                        shared,
                        row + VoxelRows.At(voxel % TileEdge, piece % (TOperand.Depth / ChannelPiece.Channels)),
                        row + VoxelRows.At(voxel % TileEdge, 1),
                        TensorCores.LoadShared(ref shared[from], 0),
                        TensorCores.LoadShared(ref shared[from], 4));
                }
            }

            // Behind the barrier nobody reads the tile and the weights of the step before.
            Group.Barrier();
            if (step + 2 < steps)
                CopyStep(shared, (step + 2) % Stages * stageWords, input, weights, step + 2, chunks, tileZ, tileY, tileX, TColumns.Channels, shape);
            TensorCores.CommitCopies();
            if (tileZ + warp < shape.Planes)
                sums = TColumns.Multiply<TOperand>(sums, VoxelRows.Load(ref shared[tile + own], RowWords), ref shared[stage + StagedVoxels + 4 * lane], 0);
        }

        TensorCores.WaitForCopies(0);
        int corner = Grid.IdxZ;
        int z = tileZ + warp;
        int x = tileX + lane / 4;
        TColumns.Store<TOperand>(sums, bias, output, new ColumnsTarget
        {
            Voxel = shape.Gathers != 0
                ? ((long)z * shape.Height + tileY) * shape.Width + x
                : ((long)(2 * z + corner / 4) * 2 * shape.Height + 2 * tileY + corner / 2 % 2) * 2 * shape.Width + 2 * x + corner % 2,
            Width = shape.Gathers != 0 ? shape.Width : 4 * shape.Width,
            Rows = z < shape.Planes && x < shape.Width ? shape.Height - tileY : 0,
            Channel = Grid.IdxY * TColumns.Channels + lane % 4 * 4,
            Channels = shape.OutputChannels,
            Pitch = shape.OutputPitch,
            Aligned = shape.OutputAligned,
            HasBias = 1 - shape.Gathers,
            Rounded = TOperand.Rounds ? 0 : 1,
        });
    }

    // dw[k,i,o] = sum over input voxels of x[v,i] g[2v+k,o] and db[o] = sum over output voxels of g[v,o], both of some tiles of 4×8 input voxels.
    // A group of 8 warps makes 64 input × 16 output channels, a warp one corner. For every tile: fetch it (asynchronously, during the tile before), round it in
    // place, multiply its voxels. Partial sums overwritten, in the order of the tiles and their voxels.
    [Kernel(MaxGroupSize = GradientThreads)]
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
        int gradientOrigin = gradients + corner * GradientVoxels * gradientRow + TOperand.OriginOfColumns(lane, gradientRow, TileEdge * gradientRow);

        int tile = Grid.IdxX * shape.PerSplit;
        int lastTile = tile + shape.PerSplit < shape.Tiles ? tile + shape.PerSplit : shape.Tiles;
        CopyGradientTile(shared, 0, input, gradOutput, tile, shape);
        TensorCores.CommitCopies();

        CornerSums sums = default;
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
                int at = buffer + Group.IdxX / (GradientRows / ChannelPiece.Channels) * inputRow + Group.IdxX % (GradientRows / ChannelPiece.Channels) * ChannelPiece.Channels;
                TOperand.Store(shared, at, at + 4, TensorCores.LoadShared(ref shared[at], 0), TensorCores.LoadShared(ref shared[at], 4));
            }

            for (int piece = Group.IdxX; piece < Corners * GradientVoxels * 2; piece += GradientThreads)
            {
                int at = buffer + gradients + piece / 2 * gradientRow + piece % 2 * TOperand.PieceWords;
                bias = PieceSums.AddRounding<TOperand>(bias, shared, at, 0, 0);
            }

            Group.Barrier();
            int rows = shape.Height - tile / shape.TilesX % shape.TilesY * GradientHeight;
            if (rows > GradientHeight)
                rows = GradientHeight;
            for (int y = 0; y < rows; y += TOperand.Depth / TileEdge)
            {
                Words columns = TOperand.LoadColumns(ref shared[buffer + gradientOrigin + y * TileEdge * gradientRow], 0, gradientRow, TileEdge * gradientRow);
                sums = CornerSums.Multiply<TOperand>(sums, ref shared[buffer + inputOrigin + y * TileEdge * inputRow], inputRow, columns);
            }

            // The next tile but one overwrites this one.
            Group.Barrier();
            buffer = GradientWords - buffer;
        }

        TensorCores.WaitForCopies(0);
        long weights = (long)Corners * shape.InputChannels * shape.OutputChannels;
        long partial = Grid.IdxX * (weights + shape.OutputChannels);
        int firstOutput = Grid.IdxZ * GradientColumns;
        CornerSums.Store(sums, partials, new TapSumsTarget
        {
            Base = partial + (long)corner * shape.InputChannels * shape.OutputChannels,
            Row = Grid.IdxY * GradientRows + lane / 4,
            Column = firstOutput + lane % 4 * 2,
            Rows = shape.InputChannels,
            Columns = shape.OutputChannels,
        });

        if (Grid.IdxY == 0)
            PieceSums.Store(bias, shared, GradientThreads, GradientColumns, partials, partial + weights + firstOutput, shape.OutputChannels - firstOutput);
    }

    private static void CopyStep(
        ArrayView<uint> shared,
        int stage,
        ArrayView<uint> input,
        ArrayView<uint> weights,
        int step,
        int chunks,
        int tileZ,
        int tileY,
        int tileX,
        int columns,
        TensorCoreTransposeShape shape)
    {
        int chunk = shape.Gathers != 0 ? step / Corners : step;
        int corner = shape.Gathers != 0 ? step % Corners : Grid.IdxZ;
        for (int piece = Group.IdxX; piece < TileVoxels * TOperand.Depth / ChannelPiece.Channels; piece += MultiplyThreads)
        {
            int voxel = piece / (TOperand.Depth / ChannelPiece.Channels);
            int z = tileZ + voxel / PlaneVoxels;
            int y = tileY + voxel / TileEdge % TileEdge;
            int x = tileX + voxel % TileEdge;
            bool inside = z < shape.Planes && y < shape.Height && x < shape.Width;
            int channel = chunk * TOperand.Depth + piece % (TOperand.Depth / ChannelPiece.Channels) * ChannelPiece.Channels;
            long source = shape.Gathers != 0
                ? ((long)(2 * z + corner / 4) * 2 * shape.Height + 2 * y + corner / 2 % 2) * 2 * shape.Width + 2 * x + corner % 2
                : ((long)z * shape.Height + y) * shape.Width + x;
            int target = TOperand.Rounds
                ? piece * ChannelPiece.Channels
                : voxel / TileEdge * RowWords + VoxelRows.At(voxel % TileEdge, piece % (TOperand.Depth / ChannelPiece.Channels));
            TOperand.Copy(shared, stage + target, input, source * shape.InputPitch + channel, inside ? shape.InputChannels - channel : 0, shape.InputAligned);
        }

        int weightsAt = stage + StagedVoxels;
        int from = ((Grid.IdxY * chunks + chunk) * Corners + corner) * VoxelWords * columns;
        for (int at = 4 * Group.IdxX; at < VoxelWords * columns; at += 4 * MultiplyThreads)
            TensorCores.CopyAsync16(ref shared[weightsAt + at], ref weights[from + at], 16);
    }

    private static void CopyGradientTile(ArrayView<uint> shared, int buffer, ArrayView<uint> input, ArrayView<uint> gradOutput, int tile, TensorCoreTransposeShape shape)
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
            shared,
            buffer + voxel * inputRow + Group.IdxX % octets * TOperand.PieceWords,
            input,
            (((long)z * shape.Height + y) * shape.Width + x) * shape.InputPitch + channel,
            y < shape.Height && x < shape.Width ? shape.InputChannels - channel : 0,
            shape.InputAligned);

        channel = Grid.IdxZ * GradientColumns + Group.IdxX % 2 * ChannelPiece.Channels;
        for (int piece = Group.IdxX; piece < Corners * GradientVoxels * 2; piece += GradientThreads)
        {
            int corner = piece / (2 * GradientVoxels);
            voxel = piece / 2 % GradientVoxels;
            y = tileY + voxel / TileEdge;
            x = tileX + voxel % TileEdge;
            long source = ((long)(2 * z + corner / 4) * 2 * shape.Height + 2 * y + corner / 2 % 2) * 2 * shape.Width + 2 * x + corner % 2;
            TOperand.Copy(
                shared,
                buffer + GradientVoxels * inputRow + piece / 2 * gradientRow + piece % 2 * TOperand.PieceWords,
                gradOutput,
                source * shape.OutputPitch + channel,
                y < shape.Height && x < shape.Width ? shape.OutputChannels - channel : 0,
                shape.OutputAligned);
        }
    }

    private sealed record MultiplyVariant(
        int Columns,
        Lazy<Action<AcceleratorStream, KernelConfig, ArrayView<uint>, ArrayView<uint>, ArrayView<float>, ArrayView<uint>, TensorCoreTransposeShape>> Launch);
}

/// <summary>A warp's sums of a transposed convolution's weight gradient: 64 input × 16 output channels of a corner, 32 sums a lane.</summary>
internal struct CornerSums
{
    public Accumulators A0;
    public Accumulators B0;
    public Accumulators A16;
    public Accumulators B16;
    public Accumulators A32;
    public Accumulators B32;
    public Accumulators A48;
    public Accumulators B48;

    // ILGPU takes structs of the same flat fields for one type; see TapSums16.
    public int Distinct;

    /// <summary>Adds the products of one depth of voxels.</summary>
    /// <param name="sums">The sums.</param>
    /// <param name="voxels">This lane's origin in the input.</param>
    /// <param name="row">Words from one voxel of the input to the next.</param>
    /// <param name="columns">gradOutput's fragments.</param>
    public static CornerSums Multiply<TOperand>(CornerSums sums, ref uint voxels, int row, Words columns)
        where TOperand : struct, IOperand
    {
        Words rows = TOperand.LoadTransposed(ref voxels, 0, row, 8 * row);
        sums.A0 = TOperand.Multiply(rows, columns.X, columns.Y, sums.A0);
        sums.B0 = TOperand.Multiply(rows, columns.Z, columns.W, sums.B0);
        rows = TOperand.LoadTransposed(ref voxels, 2 * TOperand.PieceWords, row, 8 * row);
        sums.A16 = TOperand.Multiply(rows, columns.X, columns.Y, sums.A16);
        sums.B16 = TOperand.Multiply(rows, columns.Z, columns.W, sums.B16);
        rows = TOperand.LoadTransposed(ref voxels, 4 * TOperand.PieceWords, row, 8 * row);
        sums.A32 = TOperand.Multiply(rows, columns.X, columns.Y, sums.A32);
        sums.B32 = TOperand.Multiply(rows, columns.Z, columns.W, sums.B32);
        rows = TOperand.LoadTransposed(ref voxels, 6 * TOperand.PieceWords, row, 8 * row);
        sums.A48 = TOperand.Multiply(rows, columns.X, columns.Y, sums.A48);
        sums.B48 = TOperand.Multiply(rows, columns.Z, columns.W, sums.B48);
        return sums;
    }

    /// <summary>Stores the sums, [Cin, Cout] of the corner.</summary>
    public static void Store(CornerSums sums, ArrayView<float> partial, TapSumsTarget target)
    {
        TapSums16.StoreTile(sums.A0, partial, target, 0, 0);
        TapSums16.StoreTile(sums.B0, partial, target, 0, 8);
        target.Row += 16;
        TapSums16.StoreTile(sums.A16, partial, target, 0, 0);
        TapSums16.StoreTile(sums.B16, partial, target, 0, 8);
        target.Row += 16;
        TapSums16.StoreTile(sums.A32, partial, target, 0, 0);
        TapSums16.StoreTile(sums.B32, partial, target, 0, 8);
        target.Row += 16;
        TapSums16.StoreTile(sums.A48, partial, target, 0, 0);
        TapSums16.StoreTile(sums.B48, partial, target, 0, 8);
    }
}

/// <summary>What a tensor-core transposed convolution works on, in the roles of its pass; extents are those of the smaller volume.</summary>
internal struct TensorCoreTransposeShape
{
    /// <summary>N·D.</summary>
    public int Planes;
    public int Height;
    public int Width;
    public int InputChannels;
    public int OutputChannels;
    public int InputPitch;
    public int OutputPitch;
    public int TilesX;
    public int TilesY;

    /// <summary>All tiles.</summary>
    public int Tiles;

    /// <summary>The gradient's tiles of a split.</summary>
    public int PerSplit;

    /// <summary>1 where the input can be fetched by 16 bytes.</summary>
    public int InputAligned;

    /// <summary>1 where the output can be stored (gradient: fetched) by 16 bytes.</summary>
    public int OutputAligned;

    /// <summary>1 where a voxel adds up its corners, 0 where it makes them.</summary>
    public int Gathers;

    public void SetVolume(ConvTranspose3dShape shape, int planes, int height, int width)
    {
        Planes = checked(shape.Batch * shape.Depth);
        Height = shape.Height;
        Width = shape.Width;
        TilesX = TensorCoreLaunch.Blocks(shape.Width, width);
        TilesY = TensorCoreLaunch.Blocks(shape.Height, height);
        Tiles = checked(TensorCoreLaunch.Blocks(Planes, planes) * TilesY * TilesX);
    }
}
