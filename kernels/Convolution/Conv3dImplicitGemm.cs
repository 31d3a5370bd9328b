namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The 3³ convolution as a matrix product whose left side is never written down: halo tiles in shared memory,
/// blocks of 8 voxels × 8 channels in registers, plain multiply-adds. No warp operations and no atomics: for
/// GPUs without tensor cores, for OpenCL, and for float64.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class Conv3dImplicitGemm<T> : IConv3d<T, T>
    where T : unmanaged, INumber<T>
{
    /// <summary>Threads of the largest group.</summary>
    public const int MostThreads = 96;

    /// <summary>Elements of shared memory of the hungriest kernels, those with 48 or 64 channels.</summary>
    public const int MostSharedElements = 3456;

    private readonly PartSums<T> partSums;
    private readonly DeviceScratch<T> parts;
    private readonly Accelerator accelerator;
    private readonly Pass?[] passes = new Pass?[4];
    private readonly GradientPass?[] gradientPasses = new GradientPass?[2];

    /// <summary>Prepares for an accelerator; the kernels of a tile are compiled at its first use.</summary>
    public Conv3dImplicitGemm(Accelerator accelerator)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        this.accelerator = accelerator;
        partSums = new PartSums<T>(accelerator);
        parts = new DeviceScratch<T>(accelerator);
    }

    void IConv3d<T, T>.LaunchForward(
        AcceleratorStream stream, ArrayView<T> input, ArrayView<T> weight, ArrayView<T> bias, ArrayView<T> output,
        Conv3dShape shape)
    {
        Pass pass = PassFor(shape.OutputChannels);
        pass.Forward(
            stream, pass.Config(shape, shape.OutputChannels), input, weight, bias, output, shape,
            QuadAccess.Allowed(input, shape.InputChannels, shape.InputPitch),
            QuadAccess.Allowed(output, shape.OutputChannels, shape.OutputPitch));
    }

    void IConv3d<T, T>.LaunchBackwardInput(
        AcceleratorStream stream, ArrayView<T> gradOutput, ArrayView<T> output, ArrayView<T> weight, ArrayView<T> gradInput,
        Conv3dShape shape)
    {
        Pass pass = PassFor(shape.InputChannels);
        pass.BackwardInput(
            stream, pass.Config(shape, shape.InputChannels), gradOutput, output, weight, gradInput, shape,
            GradientAccess(gradOutput, output, shape),
            QuadAccess.Allowed(gradInput, shape.InputChannels, shape.InputPitch));
    }

    void IConv3d<T, T>.LaunchBackwardWeight(
        AcceleratorStream stream, ArrayView<T> input, ArrayView<T> gradOutput, ArrayView<T> output, ArrayView<T> gradWeight,
        ArrayView<T> gradBias, Conv3dShape shape)
    {
        GradientPass pass = GradientPassFor(shape.OutputChannels);
        int count = PartCount(shape, pass.Channels);
        ArrayView<T> sums = PartSums<T>.Take(stream, parts, count * (shape.WeightLength + shape.OutputChannels));
        KernelConfig config = new(
            new Index3D(count, DivideUp(shape.InputChannels, Conv3dTiles.Chunk), DivideUp(shape.OutputChannels, pass.Channels)),
            new Index3D(9 * pass.Channels / 4, 1, 1));
        pass.BackwardWeight(
            stream, config, input, gradOutput, output, sums, shape,
            QuadAccess.Allowed(input, shape.InputChannels, shape.InputPitch),
            GradientAccess(gradOutput, output, shape));
        partSums.Add(stream, sums, gradWeight.SubView(0, shape.WeightLength), gradBias.SubView(0, shape.OutputChannels), count);
    }

    public LaunchMemory Memory(Conv3dShape shape, bool isFirst)
        => new(PartCount(shape, GradientPassFor(shape.OutputChannels).Channels) * (shape.WeightLength + shape.OutputChannels)
            * Unsafe.SizeOf<T>(), 0, 0);

    public void Dispose() => parts.Dispose();

    private static int DivideUp(int count, int size) => (count + size - 1) / size;

    private static int GradientAccess(ArrayView<T> gradOutput, ArrayView<T> output, Conv3dShape shape)
        => QuadAccess.Allowed(gradOutput, shape.OutputChannels, shape.OutputPitch)
            & (shape.Activation == Activation.Relu ? QuadAccess.Allowed(output, shape.OutputChannels, shape.OutputPitch) : 1);

    // Into how many parts the voxels are cut for a weight gradient: a function of the shape alone, so that
    // every device adds in the same order. About 512 groups fill the largest device; their parts are 7 MB at
    // most.
    private static int PartCount(Conv3dShape shape, int channels)
    {
        const int groups = 512;
        int perPart = DivideUp(shape.InputChannels, Conv3dTiles.Chunk) * DivideUp(shape.OutputChannels, channels);
        long tiles = Conv3dTiles.Count(shape, Conv3dTiles.GradientDepth, Conv3dTiles.GradientHeight);
        return (int)Math.Min(tiles, DivideUp(groups, perPart));
    }

    // The tile that wastes least on channels that do not exist; a narrow tile reads more for each
    // multiply-add, which counts like a few channels more.
    private Pass PassFor(int channels)
    {
        (int Channels, int Handicap)[] tiles = [(16, 4), (32, 2), (48, 0), (64, 0)];
        int best = 0;
        for (int i = 1; i < tiles.Length; i++)
        {
            if (Cost(tiles[i]) < Cost(tiles[best]))
                best = i;
        }

        return passes[best] ??= best switch
        {
            0 => Pass.Load<Channels16Conv3dTile>(accelerator),
            1 => Pass.Load<Channels32Conv3dTile>(accelerator),
            2 => Pass.Load<Channels48Conv3dTile>(accelerator),
            _ => Pass.Load<Channels64Conv3dTile>(accelerator),
        };

        int Cost((int Channels, int Handicap) tile) => DivideUp(channels, tile.Channels) * (tile.Channels + tile.Handicap);
    }

    private GradientPass GradientPassFor(int channels)
        => channels <= Channels16Conv3dGradientTile.Channels
            ? gradientPasses[0] ??= GradientPass.Load<Channels16Conv3dGradientTile>(accelerator)
            : gradientPasses[1] ??= GradientPass.Load<Channels32Conv3dGradientTile>(accelerator);

    private delegate void Launcher(
        AcceleratorStream stream, KernelConfig config, ArrayView<T> first, ArrayView<T> second, ArrayView<T> third,
        ArrayView<T> target, Conv3dShape shape, int sourceAccess, int targetAccess);

    private sealed record Pass(int Depth, int Height, int Channels, Launcher Forward, Launcher BackwardInput)
    {
        public static Pass Load<TTile>(Accelerator accelerator)
            where TTile : struct, IConv3dTile
        {
            KernelSpecialization group = new(MostThreads, null);
            return new Pass(
                TTile.Depth, TTile.Height, TTile.Channels,
                accelerator.Load<Launcher>(Conv3dImplicitGemmKernels<T, TTile>.ForwardKernel, group),
                accelerator.Load<Launcher>(Conv3dImplicitGemmKernels<T, TTile>.BackwardInputKernel, group));
        }

        public KernelConfig Config(Conv3dShape shape, int targetChannels)
            => new(
                new Index3D(checked((int)Conv3dTiles.Count(shape, Depth, Height)), DivideUp(targetChannels, Channels), 1),
                new Index3D(Depth * Height * Channels / 8, 1, 1));
    }

    private sealed record GradientPass(int Channels, Launcher BackwardWeight)
    {
        public static GradientPass Load<TTile>(Accelerator accelerator)
            where TTile : struct, IConv3dGradientTile
            => new(TTile.Channels, accelerator.Load<Launcher>(
                Conv3dImplicitGemmGradientKernels<T, TTile>.BackwardWeightKernel, new KernelSpecialization(MostThreads, null)));
    }
}

/// <summary>
/// How a volume is cut into tiles of Depth × Height × 8 voxels, numbered with x fastest, items last; and the
/// halo tile in shared memory.
/// </summary>
internal static class Conv3dTiles
{
    /// <summary>Voxels of a tile along x.</summary>
    public const int Width = 8;

    /// <summary>Source channels in shared memory at a time.</summary>
    public const int Chunk = 4;

    /// <summary>
    /// Elements of a row of the halo tile: eight voxels, a neighbour on each side, and two that keep rows at
    /// multiples of 16 bytes.
    /// </summary>
    public const int RowPitch = 12;

    /// <summary>Rows of a weight gradient's tile along z.</summary>
    public const int GradientDepth = 2;

    /// <summary>Rows of a weight gradient's tile along y.</summary>
    public const int GradientHeight = 4;

    public static long Count(Conv3dShape shape, int depth, int height)
        => (long)shape.Batch * Along(shape.Depth, depth) * Along(shape.Height, height) * Along(shape.Width, Width);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Along(int extent, int size) => (extent + size - 1) / size;

    /// <summary>
    /// Copies the halo of a tile, [Chunk, depth + 2, height + 2, RowPitch], with zeros outside the volume and
    /// beyond the channels; all threads of the group together, a voxel's four channels each.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadHalo<T>(
        ArrayView<T> tile,
        ArrayView<T> source, // [N, D, H, W, C]
        ArrayView<T> gate, // [N, D, H, W, C]; read where isGated
        bool isGated,
        Conv3dTileOrigin origin,
        int depth,
        int height,
        int firstChannel,
        int channels,
        int pitch,
        Conv3dShape shape,
        int access)
        where T : unmanaged, INumber<T>
    {
        const int haloWidth = Width + 2;
        int rows = (depth + 2) * (height + 2);
        for (int v = Group.IdxX; v < rows * haloWidth; v += Group.DimX)
        {
            int row = v / haloWidth;
            int inRow = v % haloWidth;
            int z = origin.Z + row / (height + 2) - 1;
            int y = origin.Y + row % (height + 2) - 1;
            int x = origin.X + inRow - 1;
            Quad<T> value = Quad<T>.Zero;
            if (z >= 0 && z < shape.Depth && y >= 0 && y < shape.Height && x >= 0 && x < shape.Width)
            {
                long index =
                    ((((long)origin.Item * shape.Depth + z) * shape.Height + y) * shape.Width + x) * pitch + firstChannel;
                value = QuadAccess.Load(source, index, channels - firstChannel, access);
                if (isGated)
                    value = Quad<T>.WherePositive(QuadAccess.Load(gate, index, channels - firstChannel, access), value);
            }

            int target = row * RowPitch + inRow;
            int channelPitch = rows * RowPitch;
            tile[target] = value.X;
            tile[target + channelPitch] = value.Y;
            tile[target + 2 * channelPitch] = value.Z;
            tile[target + 3 * channelPitch] = value.W;
        }
    }

    /// <summary>A row of the halo tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static HaloRun<T> LoadRun<T>(ArrayView<Quad<T>> tile, int row)
        where T : unmanaged, INumber<T>
    {
        int first = row * (RowPitch / 4);
        return new HaloRun<T>(tile[first], tile[first + 1], tile[first + 2]);
    }
}

/// <summary>Where a tile begins.</summary>
internal readonly struct Conv3dTileOrigin
{
    public readonly int Item;
    public readonly int Z;
    public readonly int Y;
    public readonly int X;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Conv3dTileOrigin(int tile, int depth, int height, Conv3dShape shape)
    {
        int alongX = Conv3dTiles.Along(shape.Width, Conv3dTiles.Width);
        int alongY = Conv3dTiles.Along(shape.Height, height);
        int alongZ = Conv3dTiles.Along(shape.Depth, depth);
        X = tile % alongX * Conv3dTiles.Width;
        Y = tile / alongX % alongY * height;
        int slab = tile / (alongX * alongY);
        Z = slab % alongZ * depth;
        Item = slab / alongZ;
    }
}

/// <summary>The kernels of <see cref="Conv3dImplicitGemm{T}"/> that write activations.</summary>
internal static class Conv3dImplicitGemmKernels<T, TTile>
    where T : unmanaged, INumber<T>
    where TTile : struct, IConv3dTile
{
    // y[v,o] = act(b[o] + sum over taps and input channels of x[v+tap,i] w[tap,i,o]).
    // Group: one tile of voxels × TTile.Channels outputs; thread: 8 voxels along x × 4 + 4 channels in 64
    // registers. Output overwritten; sums in the order chunk of 4 channels, tap z, y, channel, tap x.
    [Kernel(MaxGroupSize = Conv3dImplicitGemm<float>.MostThreads)]
    internal static void ForwardKernel(
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> weight, // [3, 3, 3, Cin, Cout]
        ArrayView<T> bias, // [Cout]
        ArrayView<T> output, // [N, D, H, W, Cout], pitch OutputPitch
        Conv3dShape shape,
        int inputAccess,
        int outputAccess)
    {
        int first = FirstChannel();
        Octet<T> start = new(
            QuadAccess.Load(bias, first, shape.OutputChannels - first, 0),
            QuadAccess.Load(bias, first + TTile.Channels / 2, shape.OutputChannels - first - TTile.Channels / 2, 0));
        RegisterBlock<T> sum = Convolve(
            false,
            input,
            input,
            false,
            weight,
            start,
            shape.InputChannels,
            shape.InputPitch,
            shape.OutputChannels,
            shape,
            inputAccess);
        Store(output, sum, shape.Activation == Activation.Relu, shape.OutputChannels, shape.OutputPitch, shape, outputAccess);
    }

    // dx[v,i] = sum over taps and output channels of g[v-tap,o] w[tap,i,o], g = gradOutput masked by output >
    // 0 under ReLU. The forward kernel on the masked gradient with the weights transposed and the taps
    // mirrored; gradInput overwritten, same order.
    [Kernel(MaxGroupSize = Conv3dImplicitGemm<float>.MostThreads)]
    internal static void BackwardInputKernel(
        ArrayView<T> gradOutput, // [N, D, H, W, Cout], pitch OutputPitch
        ArrayView<T> output, // [N, D, H, W, Cout], pitch OutputPitch
        ArrayView<T> weight, // [3, 3, 3, Cin, Cout]
        ArrayView<T> gradInput, // [N, D, H, W, Cin], pitch InputPitch
        Conv3dShape shape,
        int gradientAccess,
        int inputAccess)
    {
        Octet<T> zero = new(Quad<T>.Zero, Quad<T>.Zero);
        RegisterBlock<T> sum = Convolve(
            true,
            gradOutput,
            output,
            shape.Activation == Activation.Relu,
            weight,
            zero,
            shape.OutputChannels,
            shape.OutputPitch,
            shape.InputChannels,
            shape,
            gradientAccess);
        Store(gradInput, sum, false, shape.InputChannels, shape.InputPitch, shape, inputAccess);
    }

    // The first of a thread's channels 0 … 3 and Channels/2 … Channels/2 + 3 from there: neighbours of a warp
    // then read neighbouring 16 bytes of shared memory, which takes every bank once.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int FirstChannel() => Grid.IdxY * TTile.Channels + Group.IdxX % (TTile.Channels / 8) * 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static RegisterBlock<T> Convolve(
        bool isTransposed,
        ArrayView<T> source, // [N, D, H, W, sourceChannels], pitch sourcePitch
        ArrayView<T> gate, // likewise; read where isGated
        bool isGated,
        ArrayView<T> weight, // [3, 3, 3, Cin, Cout]
        Octet<T> start,
        int sourceChannels,
        int sourcePitch,
        int targetChannels,
        Conv3dShape shape,
        int access)
    {
        ArrayView<T> sourceTile = SharedMemory.Allocate<T>(
            Conv3dTiles.Chunk * (TTile.Depth + 2) * (TTile.Height + 2) * Conv3dTiles.RowPitch);
        // [3, 3, Chunk, Channels] of one tap along z
        ArrayView<T> weightTile = SharedMemory.Allocate<T>(9 * Conv3dTiles.Chunk * TTile.Channels);
        ArrayView<Quad<T>> runs = sourceTile.Cast<Quad<T>>();
        ArrayView<Quad<T>> weights = weightTile.Cast<Quad<T>>();
        Conv3dTileOrigin origin = new(Grid.IdxX, TTile.Depth, TTile.Height, shape);
        int firstTarget = Grid.IdxY * TTile.Channels;
        int column = Group.IdxX % (TTile.Channels / 8);
        int row = Group.IdxX / (TTile.Channels / 8);
        int haloRow = row / TTile.Height * (TTile.Height + 2) + row % TTile.Height;

        RegisterBlock<T> sum = new(start);
        for (int firstSource = 0; firstSource < sourceChannels; firstSource += Conv3dTiles.Chunk)
        {
            int chunk = Math.Min(Conv3dTiles.Chunk, sourceChannels - firstSource);
            Group.Barrier();
            Conv3dTiles.LoadHalo(
                sourceTile, source, gate, isGated, origin, TTile.Depth, TTile.Height, firstSource, sourceChannels, sourcePitch,
                shape, access);
            for (int kz = 0; kz < 3; kz++)
            {
                if (kz > 0)
                    Group.Barrier();
                LoadWeights(isTransposed, weightTile, weight, kz, firstSource, sourceChannels, firstTarget, targetChannels);
                Group.Barrier();
                for (int ky = 0; ky < 3; ky++)
                {
                    for (int c = 0; c < chunk; c++)
                    {
                        HaloRun<T> run = Conv3dTiles.LoadRun(
                            runs, (c * (TTile.Depth + 2) + kz) * (TTile.Height + 2) + ky + haloRow);
                        int w = (ky * 3 * Conv3dTiles.Chunk + c) * (TTile.Channels / 4) + column;
                        sum = RegisterBlock<T>.MultiplyAdd(run.Left, LoadOctet(weights, w), sum);
                        sum = RegisterBlock<T>.MultiplyAdd(
                            run.Middle, LoadOctet(weights, w + Conv3dTiles.Chunk * (TTile.Channels / 4)), sum);
                        sum = RegisterBlock<T>.MultiplyAdd(
                            run.Right, LoadOctet(weights, w + 2 * Conv3dTiles.Chunk * (TTile.Channels / 4)), sum);
                    }
                }
            }
        }

        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Octet<T> LoadOctet(ArrayView<Quad<T>> weights, int index)
        => new(weights[index], weights[index + TTile.Channels / 8]);

    // Neighbouring threads take neighbours in global memory: output channels, which for the transposed
    // product are the source's.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadWeights(
        bool isTransposed,
        ArrayView<T> weightTile, ArrayView<T> weight,
        int kz,
        int firstSource,
        int sourceChannels,
        int firstTarget,
        int targetChannels)
    {
        for (int e = Group.IdxX; e < 9 * Conv3dTiles.Chunk * TTile.Channels; e += Group.DimX)
        {
            int tap = e / (Conv3dTiles.Chunk * TTile.Channels);
            int inTap = e % (Conv3dTiles.Chunk * TTile.Channels);
            int c = isTransposed ? inTap % Conv3dTiles.Chunk : inTap / TTile.Channels;
            int t = isTransposed ? inTap / Conv3dTiles.Chunk : inTap % TTile.Channels;
            T value = T.Zero;
            if (firstSource + c < sourceChannels && firstTarget + t < targetChannels)
            {
                long index = isTransposed
                    ? ((long)(26 - 9 * kz - tap) * targetChannels + firstTarget + t) * sourceChannels + firstSource + c
                    : ((long)(9 * kz + tap) * sourceChannels + firstSource + c) * targetChannels + firstTarget + t;
                value = weight[index];
            }

            weightTile[(tap * Conv3dTiles.Chunk + c) * TTile.Channels + t] = value;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(
        ArrayView<T> target, RegisterBlock<T> sum, bool isRelu, int channels, int pitch, Conv3dShape shape, int access)
    {
        Conv3dTileOrigin origin = new(Grid.IdxX, TTile.Depth, TTile.Height, shape);
        int row = Group.IdxX / (TTile.Channels / 8);
        int z = origin.Z + row / TTile.Height;
        int y = origin.Y + row % TTile.Height;
        if (z >= shape.Depth || y >= shape.Height)
            return;
        int channel = FirstChannel();
        long index = ((((long)origin.Item * shape.Depth + z) * shape.Height + y) * shape.Width + origin.X) * pitch + channel;
        int width = shape.Width - origin.X;
        int present = channels - channel;
        StoreVoxel(target, index, sum.V0, isRelu, 0 < width ? present : 0, access);
        StoreVoxel(target, index + pitch, sum.V1, isRelu, 1 < width ? present : 0, access);
        StoreVoxel(target, index + 2L * pitch, sum.V2, isRelu, 2 < width ? present : 0, access);
        StoreVoxel(target, index + 3L * pitch, sum.V3, isRelu, 3 < width ? present : 0, access);
        StoreVoxel(target, index + 4L * pitch, sum.V4, isRelu, 4 < width ? present : 0, access);
        StoreVoxel(target, index + 5L * pitch, sum.V5, isRelu, 5 < width ? present : 0, access);
        StoreVoxel(target, index + 6L * pitch, sum.V6, isRelu, 6 < width ? present : 0, access);
        StoreVoxel(target, index + 7L * pitch, sum.V7, isRelu, 7 < width ? present : 0, access);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreVoxel(ArrayView<T> target, long index, Octet<T> value, bool isRelu, int present, int access)
    {
        if (isRelu)
            value = new Octet<T>(Quad<T>.Relu(value.Low), Quad<T>.Relu(value.High));
        QuadAccess.Store(target, index, value.Low, present, access);
        QuadAccess.Store(target, index + TTile.Channels / 2, value.High, present - TTile.Channels / 2, access);
    }
}

/// <summary>
/// The kernel of <see cref="Conv3dImplicitGemm{T}"/> that writes a weight gradient's parts.
/// </summary>
internal static class Conv3dImplicitGemmGradientKernels<T, TTile>
    where T : unmanaged, INumber<T>
    where TTile : struct, IConv3dGradientTile
{
    // parts[p,tap,i,o] = sum over the voxels of part p's tiles of x[v+tap,i] g[v,o], behind them the bias's
    // parts[p,o] = sum of g[v,o]; g masked under ReLU. Group: part × 4 input channels × TTile.Channels
    // outputs, tiles p, p + parts, … in order; thread: one (tap z, tap y), 3 taps x, 4 × 4 channels in 48
    // registers. Both overwritten. Per row of 8 voxels 384 multiply-adds against 20 loads of 16 bytes from
    // shared memory: 80 cycles of it beside 96 of arithmetic, so about balanced; 0.3 ms for 32→32 at 56³ on
    // an H200, 1.5 ms on a card of 13 TFLOP/s (estimates).
    [Kernel(MaxGroupSize = Conv3dImplicitGemm<float>.MostThreads)]
    internal static void BackwardWeightKernel(
        ArrayView<T> input, // [N, D, H, W, Cin], pitch InputPitch
        ArrayView<T> gradOutput, // [N, D, H, W, Cout], pitch OutputPitch
        ArrayView<T> output, // [N, D, H, W, Cout], pitch OutputPitch
        ArrayView<T> parts, // [parts, 3·3·3·Cin·Cout + Cout]
        Conv3dShape shape,
        int inputAccess,
        int gradientAccess)
    {
        const int depth = Conv3dTiles.GradientDepth;
        const int height = Conv3dTiles.GradientHeight;
        ArrayView<T> sourceTile = SharedMemory.Allocate<T>(Conv3dTiles.Chunk * (depth + 2) * (height + 2) * Conv3dTiles.RowPitch);
        // [depth, height, Width, Channels]
        ArrayView<T> gradientTile = SharedMemory.Allocate<T>(depth * height * Conv3dTiles.Width * TTile.Channels);
        ArrayView<Quad<T>> runs = sourceTile.Cast<Quad<T>>();
        ArrayView<Quad<T>> gradients = gradientTile.Cast<Quad<T>>();
        int firstInput = Grid.IdxY * Conv3dTiles.Chunk;
        int firstOutput = Grid.IdxZ * TTile.Channels;
        int column = Group.IdxX % (TTile.Channels / 4);
        int tap = Group.IdxX / (TTile.Channels / 4);
        int haloRow = tap / 3 * (height + 2) + tap % 3;
        bool sumsBias = tap == 0 && firstInput == 0;

        TapQuads<T> sum0 = TapQuads<T>.Zero;
        TapQuads<T> sum1 = TapQuads<T>.Zero;
        TapQuads<T> sum2 = TapQuads<T>.Zero;
        TapQuads<T> sum3 = TapQuads<T>.Zero;
        Quad<T> biasSum = Quad<T>.Zero;
        int tiles = shape.Batch * Conv3dTiles.Along(shape.Depth, depth) * Conv3dTiles.Along(shape.Height, height) * Conv3dTiles
            .Along(shape.Width, Conv3dTiles.Width);
        for (int tile = Grid.IdxX; tile < tiles; tile += Grid.DimX)
        {
            Conv3dTileOrigin origin = new(tile, depth, height, shape);
            Group.Barrier();
            Conv3dTiles.LoadHalo(
                sourceTile, input, input, false, origin, depth, height, firstInput, shape.InputChannels, shape.InputPitch, shape,
                inputAccess);
            LoadGradients(gradients, gradOutput, output, origin, firstOutput, shape, gradientAccess);
            Group.Barrier();
            for (int row = 0; row < depth * height; row++)
            {
                int g = row * Conv3dTiles.Width * (TTile.Channels / 4) + column;
                GradientRun<T> gradient = new(gradients, g, TTile.Channels / 4);
                int sourceRow = row / height * (height + 2) + row % height + haloRow;
                const int channelRows = (depth + 2) * (height + 2);
                sum0 = TapQuads<T>.MultiplyAdd(Conv3dTiles.LoadRun(runs, sourceRow), gradient, sum0);
                sum1 = TapQuads<T>.MultiplyAdd(Conv3dTiles.LoadRun(runs, sourceRow + channelRows), gradient, sum1);
                sum2 = TapQuads<T>.MultiplyAdd(Conv3dTiles.LoadRun(runs, sourceRow + 2 * channelRows), gradient, sum2);
                sum3 = TapQuads<T>.MultiplyAdd(Conv3dTiles.LoadRun(runs, sourceRow + 3 * channelRows), gradient, sum3);
                if (sumsBias)
                    biasSum = Quad<T>.Add(biasSum, gradient.Sum);
            }
        }

        int channel = firstOutput + column * 4;
        int present = shape.OutputChannels - channel;
        long part = Grid.IdxX * (shape.WeightLength + shape.OutputChannels);
        long index = part + ((long)tap * 3 * shape.InputChannels + firstInput) * shape.OutputChannels + channel;
        int inputs = shape.InputChannels - firstInput;
        StoreTaps(parts, index, sum0, present, shape);
        StoreTaps(parts, index + shape.OutputChannels, sum1, inputs > 1 ? present : 0, shape);
        StoreTaps(parts, index + 2L * shape.OutputChannels, sum2, inputs > 2 ? present : 0, shape);
        StoreTaps(parts, index + 3L * shape.OutputChannels, sum3, inputs > 3 ? present : 0, shape);
        if (sumsBias)
            QuadAccess.Store(parts, part + shape.WeightLength + channel, biasSum, present, 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadGradients(
        ArrayView<Quad<T>> gradients, ArrayView<T> gradOutput, ArrayView<T> output,
        Conv3dTileOrigin origin,
        int firstOutput,
        Conv3dShape shape,
        int access)
    {
        const int quads = Conv3dTiles.GradientDepth * Conv3dTiles.GradientHeight * Conv3dTiles.Width;
        for (int e = Group.IdxX; e < quads * (TTile.Channels / 4); e += Group.DimX)
        {
            int voxel = e / (TTile.Channels / 4);
            int channel = firstOutput + e % (TTile.Channels / 4) * 4;
            int z = origin.Z + voxel / (Conv3dTiles.GradientHeight * Conv3dTiles.Width);
            int y = origin.Y + voxel / Conv3dTiles.Width % Conv3dTiles.GradientHeight;
            int x = origin.X + voxel % Conv3dTiles.Width;
            Quad<T> value = Quad<T>.Zero;
            if (z < shape.Depth && y < shape.Height && x < shape.Width && channel < shape.OutputChannels)
            {
                long index =
                    ((((long)origin.Item * shape.Depth + z) * shape.Height + y) * shape.Width + x) * shape.OutputPitch + channel;
                value = QuadAccess.Load(gradOutput, index, shape.OutputChannels - channel, access);
                if (shape.Activation == Activation.Relu)
                    value = Quad<T>.WherePositive(QuadAccess.Load(output, index, shape.OutputChannels - channel, access), value);
            }

            gradients[e] = value;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreTaps(ArrayView<T> parts, long index, TapQuads<T> sum, int present, Conv3dShape shape)
    {
        long next = (long)shape.InputChannels * shape.OutputChannels;
        QuadAccess.Store(parts, index, sum.Left, present, 0);
        QuadAccess.Store(parts, index + next, sum.Middle, present, 0);
        QuadAccess.Store(parts, index + 2 * next, sum.Right, present, 0);
    }
}

/// <summary>Four output channels of eight voxels along x.</summary>
internal readonly struct GradientRun<T>
    where T : unmanaged, INumber<T>
{
    public readonly Quad<T> V0;
    public readonly Quad<T> V1;
    public readonly Quad<T> V2;
    public readonly Quad<T> V3;
    public readonly Quad<T> V4;
    public readonly Quad<T> V5;
    public readonly Quad<T> V6;
    public readonly Quad<T> V7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public GradientRun(ArrayView<Quad<T>> gradients, int first, int pitch)
    {
        V0 = gradients[first];
        V1 = gradients[first + pitch];
        V2 = gradients[first + 2 * pitch];
        V3 = gradients[first + 3 * pitch];
        V4 = gradients[first + 4 * pitch];
        V5 = gradients[first + 5 * pitch];
        V6 = gradients[first + 6 * pitch];
        V7 = gradients[first + 7 * pitch];
    }

    public Quad<T> Sum
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Quad<T>.Add(
            Quad<T>.Add(Quad<T>.Add(V0, V1), Quad<T>.Add(V2, V3)),
            Quad<T>.Add(Quad<T>.Add(V4, V5), Quad<T>.Add(V6, V7)));
    }
}

/// <summary>One input channel's sums for the three taps along x, four output channels each.</summary>
internal readonly struct TapQuads<T>
    where T : unmanaged, INumber<T>
{
    public readonly Quad<T> Left;
    public readonly Quad<T> Middle;
    public readonly Quad<T> Right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private TapQuads(Quad<T> left, Quad<T> middle, Quad<T> right)
    {
        Left = left;
        Middle = middle;
        Right = right;
    }

    public static TapQuads<T> Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(Quad<T>.Zero, Quad<T>.Zero, Quad<T>.Zero);
    }

    /// <summary>
    /// Adds the products of eight voxels' source neighbours with their gradients: 96 multiply-adds.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TapQuads<T> MultiplyAdd(HaloRun<T> source, GradientRun<T> gradient, TapQuads<T> sum)
        => new(Add(source.Left, gradient, sum.Left), Add(source.Middle, gradient, sum.Middle), Add(
            source.Right, gradient, sum.Right));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Quad<T> Add(Octet<T> source, GradientRun<T> gradient, Quad<T> sum)
    {
        sum = Quad<T>.MultiplyAdd(source.Low.X, gradient.V0, sum);
        sum = Quad<T>.MultiplyAdd(source.Low.Y, gradient.V1, sum);
        sum = Quad<T>.MultiplyAdd(source.Low.Z, gradient.V2, sum);
        sum = Quad<T>.MultiplyAdd(source.Low.W, gradient.V3, sum);
        sum = Quad<T>.MultiplyAdd(source.High.X, gradient.V4, sum);
        sum = Quad<T>.MultiplyAdd(source.High.Y, gradient.V5, sum);
        sum = Quad<T>.MultiplyAdd(source.High.Z, gradient.V6, sum);
        return Quad<T>.MultiplyAdd(source.High.W, gradient.V7, sum);
    }
}
