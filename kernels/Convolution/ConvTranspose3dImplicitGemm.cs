namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The transposed convolution as eight matrix products, one for each corner of the 2³ cube, on tiles in
/// shared memory with blocks of registers. No warp operations and no atomics: for GPUs without tensor cores,
/// for OpenCL, and for float64.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class ConvTranspose3dImplicitGemm<T> : IConvTranspose3d<T, T>
    where T : unmanaged, INumber<T>
{
    /// <summary>
    /// Threads of a group: 16 runs of voxels × 4 columns of channels; in a weight gradient 8 × 8 blocks of 4
    /// × 4 channels.
    /// </summary>
    public const int MostThreads = 64;

    /// <summary>Elements of shared memory of the hungriest kernel, BackwardWeight.</summary>
    public const int MostSharedElements = 2 * GradientVoxels * Channels;

    // A tile, of which so many channels are in shared memory at a time; and the voxels of a weight gradient's
    // step.
    private const int Voxels = 128;
    private const int Channels = 32;
    private const int Columns = Channels / 8;
    private const int Chunk = 8;
    private const int GradientVoxels = 32;

    // Four more than the voxels: the stores of a warp, which run over channels too, then meet different
    // banks.
    private const int VoxelPitch = Voxels + 4;

    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        ConvTranspose3dShape, int, int> forward;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, ConvTranspose3dShape, int,
        int> backwardInput;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        ConvTranspose3dShape, int, int> backwardWeight;
    private readonly PartSums<T> partSums;
    private readonly DeviceScratch<T> parts;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public ConvTranspose3dImplicitGemm(Accelerator accelerator)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        KernelSpecialization group = new(MostThreads, null);
        accelerator.Load(ForwardKernel, group, out forward);
        accelerator.Load(BackwardInputKernel, group, out backwardInput);
        accelerator.Load(BackwardWeightKernel, group, out backwardWeight);
        partSums = new PartSums<T>(accelerator);
        parts = new DeviceScratch<T>(accelerator);
    }

    void IConvTranspose3d<T, T>.LaunchForward(
        AcceleratorStream stream, ArrayView<T> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> output,
        ConvTranspose3dShape shape)
    {
        KernelConfig config = Config(Tiles(shape.InputVoxels, Voxels), Tiles(shape.OutputChannels, Channels), 8);
        forward(stream, config, input, weight, bias, output, shape, InputAccess(input, shape), OutputAccess(output, shape));
    }

    void IConvTranspose3d<T, T>.LaunchBackwardInput(
        AcceleratorStream stream,
        ArrayView<T> gradOutput, ArrayView<T> weight, ArrayView<T> gradInput,
        ConvTranspose3dShape shape)
    {
        KernelConfig config = Config(Tiles(shape.InputVoxels, Voxels), Tiles(shape.InputChannels, Channels), 1);
        backwardInput(
            stream, config, gradOutput, weight, gradInput, shape, OutputAccess(gradOutput, shape), InputAccess(gradInput, shape));
    }

    void IConvTranspose3d<T, T>.LaunchBackwardWeight(
        AcceleratorStream stream, ArrayView<T> input, ArrayView<T> gradOutput, ArrayView<T> gradWeight, ArrayView<T> gradBias,
        ConvTranspose3dShape shape)
    {
        (int count, int tiles) = Parts(shape);
        long biases = 8L * count * shape.OutputChannels;
        ArrayView<T> memory = PartSums<T>.Take(stream, parts, count * shape.WeightLength + biases);
        ArrayView<T> weightParts = memory.SubView(0, count * shape.WeightLength);
        ArrayView<T> biasParts = memory.SubView(count * shape.WeightLength, biases);
        KernelConfig config = Config(count, tiles, 8);
        backwardWeight(stream, config, input, gradOutput, weightParts, biasParts, shape, InputAccess(input, shape),
            OutputAccess(gradOutput, shape));
        partSums.Add(stream, weightParts, gradWeight.SubView(0, shape.WeightLength), count);
        partSums.Add(stream, biasParts, gradBias.SubView(0, shape.OutputChannels), 8 * count);
    }

    public LaunchMemory Memory(ConvTranspose3dShape shape)
        => new(Parts(shape).Count * (shape.WeightLength + 8L * shape.OutputChannels) * Unsafe.SizeOf<T>(), 0, 0);

    public void Dispose() => parts.Dispose();

    // Into how many parts the voxels are cut for a weight gradient, and the tiles of each: a function of the
    // shape alone, so that every device adds in the same order; about 512 groups fill the largest.
    private static (int Count, int Tiles) Parts(ConvTranspose3dShape shape)
    {
        int tiles = Tiles(shape.InputChannels, Channels) * Tiles(shape.OutputChannels, Channels);
        return (Math.Min(Tiles(shape.InputVoxels, GradientVoxels), Math.Max(1, 512 / (8 * tiles))), tiles);
    }

    private static KernelConfig Config(int x, int y, int z) => new(new Index3D(x, y, z), new Index3D(MostThreads, 1, 1));

    private static int Tiles(long count, int size) => checked((int)((count + size - 1) / size));

    private static int InputAccess(ArrayView<T> view, ConvTranspose3dShape shape)
        => QuadAccess.Allowed(view, shape.InputChannels, shape.InputPitch);

    private static int OutputAccess(ArrayView<T> view, ConvTranspose3dShape shape)
        => QuadAccess.Allowed(view, shape.OutputChannels, shape.OutputPitch);

    // y[2v+k,o] = b[o] + sum over input channels of x[v,i] w[k,i,o], k the corner of the 2³ cube.
    // Group: 128 voxels × 32 outputs of one corner (grid z); thread: 4 + 4 voxels × 4 + 4 channels in 64
    // registers. Output overwritten, sums in channel order.
    [Kernel(MaxGroupSize = MostThreads)]
    internal static void ForwardKernel(
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> weight, // [2, 2, 2, Cin, Cout]
        ArrayView<T> bias, // [Cout]
        ArrayView<T> output, // [N, 2D, 2H, 2W, Cout], pitch OutputPitch
        ConvTranspose3dShape shape,
        int inputAccess,
        int outputAccess)
    {
        ArrayView<T> source = SharedMemory.Allocate<T>(Chunk * VoxelPitch); // [Chunk, Voxels]
        ArrayView<T> weights = SharedMemory.Allocate<T>(Chunk * Channels); // [Chunk, Channels]
        int corner = Grid.IdxZ;
        int channel = Grid.IdxY * Channels + Group.IdxX % Columns * 4;
        RegisterBlock<T> sum = new(new Octet<T>(
            QuadAccess.Load(bias, channel, shape.OutputChannels - channel, 0),
            QuadAccess.Load(bias, channel + Channels / 2, shape.OutputChannels - channel - Channels / 2, 0)));
        sum = AddCorner(sum, source, weights, input, weight, corner, false, shape, inputAccess);
        StoreBlock(output, channel, sum, shape.OutputChannels - channel, corner, true, shape, outputAccess);
    }

    // dx[v,i] = sum over corners k and output channels of g[2v+k,o] w[k,i,o].
    // Group and thread as in the forward kernel, all corners one after the other; gradInput overwritten, sums
    // in the order corner, channel.
    [Kernel(MaxGroupSize = MostThreads)]
    internal static void BackwardInputKernel(
        ArrayView<T> gradOutput, // [N, 2D, 2H, 2W, Cout], pitch OutputPitch
        ArrayView<T> weight, // [2, 2, 2, Cin, Cout]
        ArrayView<T> gradInput, // [N, D, H, W, Cin], pitch InputPitch
        ConvTranspose3dShape shape,
        int outputAccess,
        int inputAccess)
    {
        ArrayView<T> source = SharedMemory.Allocate<T>(Chunk * VoxelPitch); // [Chunk, Voxels]
        ArrayView<T> weights = SharedMemory.Allocate<T>(Chunk * Channels); // [Chunk, Channels]
        RegisterBlock<T> sum = new(new Octet<T>(Quad<T>.Zero, Quad<T>.Zero));
        for (int corner = 0; corner < 8; corner++)
            sum = AddCorner(sum, source, weights, gradOutput, weight, corner, true, shape, outputAccess);
        int channel = Grid.IdxY * Channels + Group.IdxX % Columns * 4;
        StoreBlock(gradInput, channel, sum, shape.InputChannels - channel, 0, false, shape, inputAccess);
    }

    // parts[p,k,i,o] = sum over the voxels of part p of x[v,i] g[2v+k,o]; biasParts[p,k,o] = sum of
    // g[2v+k,o]. Group: part × (32 inputs × 32 outputs) × corner, steps of 32 voxels p, p + parts, … in
    // order; thread: 4 × 4 channels in 16 registers. Both overwritten.
    [Kernel(MaxGroupSize = MostThreads)]
    internal static void BackwardWeightKernel(
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> gradOutput, // [N, 2D, 2H, 2W, Cout], pitch OutputPitch
        ArrayView<T> weightParts, // [parts, 2, 2, 2, Cin, Cout]
        ArrayView<T> biasParts, // [parts, 2, 2, 2, Cout]
        ConvTranspose3dShape shape,
        int inputAccess,
        int outputAccess)
    {
        const int columns = Channels / 4;
        ArrayView<T> sourceTile = SharedMemory.Allocate<T>(GradientVoxels * Channels); // [GradientVoxels, Channels]
        ArrayView<T> gradientTile = SharedMemory.Allocate<T>(GradientVoxels * Channels); // [GradientVoxels, Channels]
        ArrayView<Quad<T>> sources = sourceTile.Cast<Quad<T>>();
        ArrayView<Quad<T>> gradients = gradientTile.Cast<Quad<T>>();
        int corner = Grid.IdxZ;
        int outputTiles = (shape.OutputChannels + Channels - 1) / Channels;
        int firstInput = Grid.IdxY / outputTiles * Channels;
        int firstOutput = Grid.IdxY % outputTiles * Channels;
        int column = Group.IdxX % columns;
        int row = Group.IdxX / columns;

        Quad<T> sum0 = Quad<T>.Zero;
        Quad<T> sum1 = Quad<T>.Zero;
        Quad<T> sum2 = Quad<T>.Zero;
        Quad<T> sum3 = Quad<T>.Zero;
        Quad<T> biasSum = Quad<T>.Zero;
        for (long step = (long)Grid.IdxX * GradientVoxels; step < shape.InputVoxels; step += (long)Grid.DimX * GradientVoxels)
        {
            Group.Barrier();
            for (int e = Group.IdxX; e < GradientVoxels * columns; e += MostThreads)
            {
                long voxel = step + e / columns;
                int i = firstInput + e % columns * 4;
                int o = firstOutput + e % columns * 4;
                Quad<T> source = Quad<T>.Zero;
                Quad<T> gradient = Quad<T>.Zero;
                if (voxel < shape.InputVoxels && i < shape.InputChannels)
                    source = QuadAccess.Load(input, voxel * shape.InputPitch + i, shape.InputChannels - i, inputAccess);
                if (voxel < shape.InputVoxels && o < shape.OutputChannels)
                    gradient = QuadAccess.Load(gradOutput, shape.OutputVoxel(voxel, corner) * shape.OutputPitch + o,
                        shape.OutputChannels - o, outputAccess);
                sources[e] = source;
                gradients[e] = gradient;
            }

            Group.Barrier();
            for (int v = 0; v < GradientVoxels; v++)
            {
                Quad<T> source = sources[v * columns + row];
                Quad<T> gradient = gradients[v * columns + column];
                sum0 = Quad<T>.MultiplyAdd(source.X, gradient, sum0);
                sum1 = Quad<T>.MultiplyAdd(source.Y, gradient, sum1);
                sum2 = Quad<T>.MultiplyAdd(source.Z, gradient, sum2);
                sum3 = Quad<T>.MultiplyAdd(source.W, gradient, sum3);
                biasSum = Quad<T>.Add(biasSum, gradient);
            }
        }

        int present = shape.OutputChannels - firstOutput - column * 4;
        int inputs = shape.InputChannels - firstInput - row * 4;
        long part = Grid.IdxX * 8L + corner;
        long index = (part * shape.InputChannels + firstInput + row * 4) * shape.OutputChannels + firstOutput + column * 4;
        QuadAccess.Store(weightParts, index, sum0, inputs > 0 ? present : 0, 0);
        QuadAccess.Store(weightParts, index + shape.OutputChannels, sum1, inputs > 1 ? present : 0, 0);
        QuadAccess.Store(weightParts, index + 2L * shape.OutputChannels, sum2, inputs > 2 ? present : 0, 0);
        QuadAccess.Store(weightParts, index + 3L * shape.OutputChannels, sum3, inputs > 3 ? present : 0, 0);
        if (firstInput == 0 && row == 0)
            QuadAccess.Store(biasParts, part * shape.OutputChannels + firstOutput + column * 4, biasSum, present, 0);
    }

    // Adds one corner's products with the group's voxels, chunk of channels by chunk. Forward takes input
    // voxels; the gradient of the input takes the output voxels at the corner, and the weights transposed.
    // The flag is a constant wherever this is called, so no branch on it is left.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static RegisterBlock<T> AddCorner(
        RegisterBlock<T> sum,
        ArrayView<T> source, // [Chunk, Voxels], shared
        ArrayView<T> weights, // [Chunk, Channels], shared
        ArrayView<T> activations, // input or gradOutput
        ArrayView<T> weight, // [2, 2, 2, Cin, Cout]
        int corner,
        bool ofGradient,
        ConvTranspose3dShape shape,
        int access)
    {
        ArrayView<Quad<T>> voxelQuads = source.Cast<Quad<T>>();
        ArrayView<Quad<T>> channelQuads = weights.Cast<Quad<T>>();
        int run = Group.IdxX / Columns;
        int column = Group.IdxX % Columns;
        int channels = ofGradient ? shape.OutputChannels : shape.InputChannels;
        int pitch = ofGradient ? shape.OutputPitch : shape.InputPitch;
        for (int first = 0; first < channels; first += Chunk)
        {
            Group.Barrier();
            for (int e = Group.IdxX; e < Voxels * Chunk / 4; e += MostThreads)
            {
                long voxel = (long)Grid.IdxX * Voxels + e / 2;
                int c = first + e % 2 * 4;
                Quad<T> value = Quad<T>.Zero;
                if (voxel < shape.InputVoxels && c < channels)
                    value = QuadAccess.Load(
                        activations, (ofGradient ? shape.OutputVoxel(voxel, corner) : voxel) * pitch + c, channels - c, access);
                int index = e % 2 * 4 * VoxelPitch + e / 2;
                source[index] = value.X;
                source[index + VoxelPitch] = value.Y;
                source[index + 2 * VoxelPitch] = value.Z;
                source[index + 3 * VoxelPitch] = value.W;
            }

            // Neighbouring threads take neighbouring output channels, which are neighbours in global memory.
            for (int e = Group.IdxX; e < Chunk * Channels; e += MostThreads)
            {
                int i = ofGradient ? Grid.IdxY * Channels + e / Chunk : first + e / Channels;
                int o = ofGradient ? first + e % Chunk : Grid.IdxY * Channels + e % Channels;
                T value = T.Zero;
                if (i < shape.InputChannels && o < shape.OutputChannels)
                    value = weight[((long)corner * shape.InputChannels + i) * shape.OutputChannels + o];
                weights[ofGradient ? e % Chunk * Channels + e / Chunk : e] = value;
            }

            Group.Barrier();
            for (int c = 0; c < Chunk; c++)
            {
                int v = c * (VoxelPitch / 4) + run;
                int w = c * (Channels / 4) + column;
                Octet<T> a = new(voxelQuads[v], voxelQuads[v + Voxels / 8]);
                sum = RegisterBlock<T>.MultiplyAdd(a, new(channelQuads[w], channelQuads[w + Channels / 8]), sum);
            }
        }

        return sum;
    }

    // Stores a thread's block: of output voxels at a corner, or of input voxels.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreBlock(
        ArrayView<T> target, int channel, RegisterBlock<T> sum, int present, int corner, bool isOutput,
        ConvTranspose3dShape shape, int access)
    {
        long run = (long)Grid.IdxX * Voxels + Group.IdxX / Columns * 4;
        StoreVoxel(target, run, channel, sum.V0, present, corner, isOutput, shape, access);
        StoreVoxel(target, run + 1, channel, sum.V1, present, corner, isOutput, shape, access);
        StoreVoxel(target, run + 2, channel, sum.V2, present, corner, isOutput, shape, access);
        StoreVoxel(target, run + 3, channel, sum.V3, present, corner, isOutput, shape, access);
        StoreVoxel(target, run + Voxels / 2, channel, sum.V4, present, corner, isOutput, shape, access);
        StoreVoxel(target, run + Voxels / 2 + 1, channel, sum.V5, present, corner, isOutput, shape, access);
        StoreVoxel(target, run + Voxels / 2 + 2, channel, sum.V6, present, corner, isOutput, shape, access);
        StoreVoxel(target, run + Voxels / 2 + 3, channel, sum.V7, present, corner, isOutput, shape, access);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreVoxel(
        ArrayView<T> target, long voxel, int channel, Octet<T> value, int present, int corner, bool isOutput,
        ConvTranspose3dShape shape, int access)
    {
        if (voxel >= shape.InputVoxels)
            return;
        long index = (isOutput ? shape.OutputVoxel(voxel, corner) * shape.OutputPitch : voxel * shape.InputPitch) + channel;
        QuadAccess.Store(target, index, value.Low, present, access);
        QuadAccess.Store(target, index + Channels / 2, value.High, present - Channels / 2, access);
    }
}
