using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Kernels;

/// <summary>
/// The convolution with a kernel of 3³ by Winograd's algorithm, on the processor's vectors and cores, for buffers of the CPU accelerator.
/// float32. It needs 144 multiplications per 2×4×4 outputs where the direct algorithm needs 864, and transforms before and after that are worth
/// it where channels are many. Results do not depend on the number of threads. Launchers return when
/// the work is done.
/// </summary>
public sealed class Conv3dHostWinograd : IConv3d<float>
{
    private readonly IConv3d<float> kernels;

    /// <summary>Uses the widest vectors of this processor.</summary>
    /// <param name="threads">The threads to share the work among; they may be shared with other host variants.</param>
    public Conv3dHostWinograd(HostThreads threads)
        : this(threads, HostVector.PreferredBits)
    {
    }

    internal Conv3dHostWinograd(HostThreads threads, int vectorBits)
    {
        ArgumentNullException.ThrowIfNull(threads);
        kernels = vectorBits switch
        {
            512 => new Conv3dHostWinogradKernels<Vector512<float>, HostVector512>(threads),
            256 => new Conv3dHostWinogradKernels<Vector256<float>, HostVector256>(threads),
            _ => new Conv3dHostWinogradKernels<Vector128<float>, HostVector128>(threads),
        };
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The kernel's edge is not 3.</exception>
    public void Forward(AcceleratorStream stream, ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output, Conv3dShape shape)
        => kernels.Forward(stream, input, weight, bias, output, Checked(shape));

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The kernel's edge is not 3.</exception>
    public void BackwardInput(AcceleratorStream stream, ArrayView<float> gradOutput, ArrayView<float> output, ArrayView<float> weight, ArrayView<float> gradInput, Conv3dShape shape)
        => kernels.BackwardInput(stream, gradOutput, output, weight, gradInput, Checked(shape));

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The kernel's edge is not 3.</exception>
    public void BackwardWeight(AcceleratorStream stream, ArrayView<float> input, ArrayView<float> gradOutput, ArrayView<float> output, ArrayView<float> gradWeight, ArrayView<float> gradBias, Conv3dShape shape)
        => kernels.BackwardWeight(stream, input, gradOutput, output, gradWeight, gradBias, Checked(shape));

    /// <inheritdoc/>
    public void Dispose() => kernels.Dispose();

    private static Conv3dShape Checked(Conv3dShape shape) => shape.KernelSize == 3
        ? shape
        : throw new ArgumentException($"Conv3dHostWinograd: the kernel's edge is {shape.KernelSize}; expected 3.", nameof(shape));
}

/// <summary>The three passes for one width of vectors. Tiles are F(2, 3) along z, F(4, 3) along y and x.</summary>
/// <remarks>
/// The 4 points of z are worked on one after the other ("slices"), each with 6×6 matrix products, so that the transformed
/// weights and data of a slice, for a chunk of a few dozen tiles, stay in the second-level cache. A point of z combines only two planes, so
/// the transforms of a slice read little more than those of all points together would.
/// </remarks>
internal sealed unsafe class Conv3dHostWinogradKernels<TVector, TOps> : IConv3d<float>
    where TVector : unmanaged
    where TOps : struct, IHostVector<TVector>
{
    private const int Slices = 4;
    private const int SlicePoints = 36;
    private const int TileOutputs = 32;

    // Where A along z is a plain sum, of which the bias's gradient is made.
    private const int BiasSlice = 1;

    // A weight gradient's tiles are summed in at most this many parts, each with its own copy of the sums, which are added in order.
    private const int MostParts = 4;

    // Tiles of a chunk of a weight gradient, whose products sum over them.
    private const int SumTiles = 32;

    // A run of tiles that is transformed at once: its packed columns are to stay in the first-level cache.
    private const int MostColumns = 64;

    private readonly HostThreads threads;
    private readonly Worker[] workers;
    private readonly HostScratch transformedWeights = new();
    private readonly HostScratch packedBias = new();
    private readonly HostScratch zeros = new();
    private readonly HostScratch parts = new();
    private readonly Action<int, int> transformWeights;
    private readonly Action<int, int> convolveChunk;
    private readonly Action<int, int> sumPart;
    private readonly Action<int, int> reduceParts;

    // The pass in progress; every chunk of work reads these.
    private Conv3dShape shape;
    private HostActivations source;
    private HostActivations gradients;
    private float* weight;
    private float* target;
    private float* targetBias;
    private int targetChannels;
    private int targetPitch;
    private bool transposed;
    private bool relu;
    private int tilesX;
    private int tilesY;
    private int tilesZ;
    private int chunkTiles;
    private int partCount;

    public Conv3dHostWinogradKernels(HostThreads threads)
    {
        this.threads = threads;
        workers = [.. Enumerable.Range(0, threads.Count).Select(_ => new Worker())];
        transformWeights = TransformWeights;
        convolveChunk = ConvolveChunk;
        sumPart = SumPart;
        reduceParts = ReduceParts;
    }

    public void Forward(AcceleratorStream stream, ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output, Conv3dShape shape)
    {
        this.shape = shape;
        this.weight = weight.Pointer();
        transposed = false;
        relu = shape.Activation == Activation.Relu;
        source = new HostActivations(input.Pointer(), null, shape.Depth, shape.Height, shape.Width, shape.InputChannels, shape.InputPitch);
        target = output.Pointer();
        targetChannels = shape.OutputChannels;
        targetPitch = shape.OutputPitch;
        Convolve(bias.Pointer());
    }

    // The forward pass of gradOutput under the weights with channels exchanged and taps reversed.
    public void BackwardInput(AcceleratorStream stream, ArrayView<float> gradOutput, ArrayView<float> output, ArrayView<float> weight, ArrayView<float> gradInput, Conv3dShape shape)
    {
        this.shape = shape;
        this.weight = weight.Pointer();
        transposed = true;
        relu = false;
        source = HostActivations.OfGradient(gradOutput, output, shape);
        target = gradInput.Pointer();
        targetChannels = shape.InputChannels;
        targetPitch = shape.InputPitch;
        Convolve(null);
    }

    public void BackwardWeight(AcceleratorStream stream, ArrayView<float> input, ArrayView<float> gradOutput, ArrayView<float> output, ArrayView<float> gradWeight, ArrayView<float> gradBias, Conv3dShape shape)
    {
        if (shape.Voxels == 0)
            return;
        this.shape = shape;
        source = new HostActivations(input.Pointer(), null, shape.Depth, shape.Height, shape.Width, shape.InputChannels, shape.InputPitch);
        gradients = HostActivations.OfGradient(gradOutput, output, shape);
        target = gradWeight.Pointer();
        targetBias = gradBias.Pointer();
        targetChannels = shape.OutputChannels;
        CutTiles(SumTiles, Math.Max(source.Pitch, gradients.Pitch));
        partCount = Math.Clamp(HostBlock.DivideUp(TileCount, chunkTiles), 1, MostParts);
        parts.Require<float>(partCount * PartLength);
        threads.For(partCount * Slices, sumPart);
        threads.For(source.Channels + 1, reduceParts);
    }

    public void Dispose()
    {
        transformedWeights.Dispose();
        packedBias.Dispose();
        zeros.Dispose();
        parts.Dispose();
        foreach (Worker worker in workers)
            worker.Dispose();
    }

    // Tiles of a chunk of the other passes: whole register tiles, and few, so that a slice of a chunk leaves the second-level cache room for
    // the weights and for the activations that the four slices read again.
    private static int ConvolveTiles => HostBlock.DivideUp(16, HostTile<TVector, TOps>.Rows) * HostTile<TVector, TOps>.Rows;

    private static int Columns(int channels) => HostMatrix<TVector, TOps>.Columns(channels);

    private int TileCount => shape.Batch * tilesZ * tilesY * tilesX;

    private void CutTiles(int tilesOfChunk, int widestPitch)
    {
        tilesX = HostBlock.DivideUp(shape.Width, 4);
        tilesY = HostBlock.DivideUp(shape.Height, 4);
        tilesZ = HostBlock.DivideUp(shape.Depth, 2);
        chunkTiles = tilesOfChunk;
        int zeroCount = MostColumns * widestPitch;
        new Span<float>(zeros.Require<float>(zeroCount), zeroCount).Clear();
    }

    private void Convolve(float* bias)
    {
        if (shape.Voxels == 0)
            return;
        int columns = Columns(targetChannels);
        transformedWeights.Require<float>((long)Slices * SlicePoints * source.Channels * columns);
        Span<float> columnBias = new(packedBias.Require<float>(columns), columns);
        columnBias.Clear();
        if (bias != null)
            new Span<float>(bias, targetChannels).CopyTo(columnBias);
        threads.For(source.Channels, transformWeights);
        CutTiles(ConvolveTiles, source.Pitch);
        threads.For(HostBlock.DivideUp(TileCount, chunkTiles), convolveChunk);
    }

    // G w of one source channel, into [slice, point][columns / c][source channel][c], c being a register tile's group of target channels.
    private void TransformWeights(int channel, int workerIndex)
    {
        int columns = Columns(targetChannels);
        float* packed = transformedWeights.Require<float>(0);
        float* taps = stackalloc float[27 * TOps.Width];
        float* alongZ = stackalloc float[4 * 9 * TOps.Width];
        float* alongY = stackalloc float[24 * 3 * TOps.Width];
        float* points = stackalloc float[4 * SlicePoints * TOps.Width];
        for (int column = 0; column < columns; column += TOps.Width)
        {
            for (int tap = 0; tap < 27; tap++)
                LoadTap(tap, channel, column, taps + tap * TOps.Width);
            Apply(WinogradTransforms<TVector, TOps>.WeightsOfTwo, 3, 1, 4, 3, taps, 1, 9, alongZ);
            Apply(WinogradTransforms<TVector, TOps>.WeightsOfFour, 3, 1, 6, 3, alongZ, 4, 3, alongY);
            Apply(WinogradTransforms<TVector, TOps>.WeightsOfFour, 3, 1, 6, 3, alongY, 24, 1, points);

            int firstColumn = column / (2 * TOps.Width) * (2 * TOps.Width);
            int group = HostMatrix<TVector, TOps>.Group(firstColumn, columns);
            float* to = packed + (long)firstColumn * source.Channels + (long)channel * group + column - firstColumn;
            for (int point = 0; point < Slices * SlicePoints; point++)
                TOps.Store(TOps.Load(points + point * TOps.Width), to + (long)point * columns * source.Channels);
        }
    }

    // One tap's weights from a source channel to a vector of target channels; zero beyond the last.
    private void LoadTap(int tap, int channel, int column, float* to)
    {
        int present = Math.Min(TOps.Width, targetChannels - column);
        if (transposed)
        {
            float* from = weight + ((long)(26 - tap) * targetChannels + column) * source.Channels + channel;
            for (int c = 0; c < present; c++)
                to[c] = from[(long)c * source.Channels];
        }
        else
        {
            float* from = weight + ((long)tap * source.Channels + channel) * targetChannels + column;
            for (int c = 0; c < present; c++)
                to[c] = from[c];
        }

        for (int c = present; c < TOps.Width; c++)
            to[c] = 0;
    }

    // A matrix (element (o, i) at o·rowPitch + i·columnPitch) applied to the middle axis of vectors [outer][inputs][inner].
    private static void Apply(ReadOnlySpan<float> matrix, int rowPitch, int columnPitch, int outputs, int inputs, float* from, int outer, int inner, float* to)
    {
        for (int a = 0; a < outer; a++)
        {
            for (int o = 0; o < outputs; o++)
            {
                for (int b = 0; b < inner; b++)
                {
                    TVector sum = TOps.Broadcast(0);
                    for (int i = 0; i < inputs; i++)
                        sum = TOps.MultiplyAdd(TOps.Broadcast(matrix[o * rowPitch + i * columnPitch]), TOps.Load(from + ((a * inputs + i) * inner + b) * TOps.Width), sum);
                    TOps.Store(sum, to + ((a * outputs + o) * inner + b) * TOps.Width);
                }
            }
        }
    }

    // One chunk of tiles: for each slice Bᵀ d, the matrix products and Aᵀ m.
    private void ConvolveChunk(int chunk, int workerIndex)
    {
        Worker worker = workers[workerIndex];
        int first = chunk * chunkTiles;
        int tiles = Math.Min(chunkTiles, TileCount - first);
        int channels = source.Channels;
        int sourceColumns = Columns(channels);
        int columns = Columns(targetChannels);
        nint pointPitch = (nint)chunkTiles * sourceColumns;
        // A vector more than the tiles take, lest the points of a tile share a few sets of the cache.
        nint productPitch = (nint)chunkTiles * columns + TOps.Width;
        float* data = worker.Source.Require<float>(SlicePoints * pointPitch);
        float* products = worker.Products.Require<float>(SlicePoints * productPitch + HostTile<TVector, TOps>.Rows * columns);
        float* outputs = worker.Outputs.Require<float>((long)chunkTiles * TileOutputs * columns);
        float* bias = packedBias.Require<float>(0);
        nint* offsets = TileOffsets(tiles, sourceColumns, worker);
        float* scratch = stackalloc float[24 * TOps.Width];
        for (int slice = 0; slice < Slices; slice++)
        {
            TransformTiles(source, isGradient: false, slice, first, tiles, data, pointPitch, null, worker);
            for (int point = 0; point < SlicePoints; point++)
            {
                float* matrix = transformedWeights.Require<float>(0) + (long)(slice * SlicePoints + point) * channels * columns;
                for (int column = 0; column < columns; column += 2 * TOps.Width)
                {
                    int group = HostMatrix<TVector, TOps>.Group(column, columns);
                    for (int tile = 0; tile < tiles; tile += HostTile<TVector, TOps>.Rows)
                    {
                        HostTile<TVector, TOps>.Store(
                            group / TOps.Width, data + point * pointPitch, offsets + tile, channels, matrix + column * channels, group,
                            products + point * productPitch + (nint)tile * columns + column, columns);
                    }
                }
            }

            for (int tile = 0; tile < tiles; tile++)
            {
                for (int column = 0; column < columns; column += TOps.Width)
                {
                    WinogradTransforms<TVector, TOps>.Output(
                        products + (nint)tile * columns + column, productPitch, slice, TOps.Load(bias + column), outputs + (nint)tile * TileOutputs * columns + column, columns, scratch);
                }
            }
        }

        for (int tile = 0; tile < tiles; tile++)
            StoreTile(first + tile, outputs + (long)tile * TileOutputs * columns, columns);
    }

    // Beyond the end the last tile again: computed, not used.
    private static nint* TileOffsets(int tiles, int pitch, Worker worker)
    {
        nint* offsets = worker.Offsets.Require<nint>(tiles + HostTile<TVector, TOps>.Rows);
        for (int tile = 0; tile < tiles + HostTile<TVector, TOps>.Rows; tile++)
            offsets[tile] = (nint)Math.Min(tile, tiles - 1) * pitch;
        return offsets;
    }

    private void StoreTile(int tile, float* outputs, int columns)
    {
        (int n, int z, int y, int x) = TileAt(tile);
        for (int dz = 0; dz < Math.Min(2, shape.Depth - z); dz++)
        {
            for (int dy = 0; dy < Math.Min(4, shape.Height - y); dy++)
            {
                float* from = outputs + (dz * 4 + dy) * 4 * columns;
                float* to = target + ((((long)n * shape.Depth + z + dz) * shape.Height + y + dy) * shape.Width + x) * targetPitch;
                for (int dx = 0; dx < Math.Min(4, shape.Width - x); dx++)
                {
                    HostMatrix<TVector, TOps>.StoreRow(from, to, targetChannels, relu);
                    from += columns;
                    to += targetPitch;
                }
            }
        }
    }

    // A tile's volume and its first output voxel.
    private (int N, int Z, int Y, int X) TileAt(int tile)
    {
        (int row, int x) = Math.DivRem(tile, tilesX);
        (int plane, int y) = Math.DivRem(row, tilesY);
        (int n, int z) = Math.DivRem(plane, tilesZ);
        return (n, 2 * z, 4 * y, 4 * x);
    }

    // One slice of Bᵀ d of the source or of A g of the gradients, for consecutive tiles, as [point][tile][channel]. Gradients summed
    // along all axes are added to sums, if it is not null.
    private void TransformTiles(in HostActivations from, bool isGradient, int slice, int first, int tiles, float* data, nint pointPitch, float* sums, Worker worker)
    {
        int channelPitch = Columns(from.Channels);
        int border = isGradient ? 0 : 1;
        int rowCount = isGradient ? 4 : 6;
        (int near, int far, float factor) = isGradient ? GradientPlanes(slice) : InputPlanes(slice);
        HostRow* rows = stackalloc HostRow[12];
        for (int tile = first; tile < first + tiles;)
        {
            // A run of neighbours along x. Its columns begin ≤ column < end are inside the volume.
            int count = Math.Min(Math.Min(tilesX - tile % tilesX, first + tiles - tile), (MostColumns - 2) / 4);
            int columns = count * 4 + 2 * border;
            (int n, int z, int y, int x) = TileAt(tile);
            x -= border;
            Run run = new(count, columns, Math.Max(0, -x), Math.Min(columns, shape.Width - x), from.Channels, from.Pitch, factor);
            for (int row = 0; row < 2 * rowCount; row++)
            {
                int plane = z - border + (row < rowCount ? near : far);
                int line = y - border + row % rowCount;
                rows[row] = from.Channels < TOps.Width
                    ? WidenedRow(from, n, plane, line, x, columns, row, worker)
                    : RowAt(from, n, plane, line, x);
            }

            float* to = data + (long)(tile - first) * channelPitch;
            if (from.Channels < TOps.Width)
                TransformRun<HostOpenGate>(rows, run with { Begin = 0, End = columns, Channels = TOps.Width, Pitch = TOps.Width }, isGradient, to, pointPitch, sums, worker);
            else if (from.IsGated)
                TransformRun<HostReluGate>(rows, run, isGradient, to, pointPitch, sums, worker);
            else
                TransformRun<HostOpenGate>(rows, run, isGradient, to, pointPitch, sums, worker);
            tile += count;
        }
    }

    // The same for a run, one vector of channels after the other.
    private static void TransformRun<TGate>(HostRow* rows, in Run run, bool isGradient, float* to, nint pointPitch, float* sums, Worker worker)
        where TGate : struct, IHostGate
    {
        int channelPitch = Columns(run.Channels);
        nint rowLength = (MostColumns + 1) * TOps.Width;
        float* packed = worker.Columns.Require<float>(6 * rowLength);
        for (int row = 0; row < 6; row++)
        {
            new Span<float>(packed + row * rowLength, run.Begin * TOps.Width).Clear();
            new Span<float>(packed + row * rowLength + run.End * TOps.Width, (run.Columns - run.End) * TOps.Width).Clear();
        }

        for (int column = 0; column < channelPitch; column += TOps.Width)
        {
            // The last vector overlaps the one before, lest it end beyond the last channel.
            int channel = Math.Min(column, run.Channels - TOps.Width);
            if (isGradient)
            {
                TVector sum = PackGradients<TGate>(rows, run, channel, packed, rowLength);
                if (sums != null)
                    TOps.Store(TOps.Add(TOps.Load(sums + column), sum), sums + column);
            }
            else
            {
                PackInputs<TGate>(rows, run, channel, packed, rowLength);
            }

            for (int row = 0; row < 6; row++)
            {
                float* target = to + row * 6 * pointPitch + channel;
                if (isGradient)
                    TransformGradients(packed + row * rowLength, run.Tiles, target, pointPitch, channelPitch);
                else
                    TransformInputs(packed + row * rowLength, run.Tiles, target, pointPitch, channelPitch);
            }
        }
    }

    // A slice of F(2, 3)'s Bᵀ along z is one plane of a tile's four plus a factor times another one.
    private static (int Near, int Far, float Factor) InputPlanes(int slice) => slice switch
    {
        0 => (0, 2, -1),
        1 => (1, 2, 1),
        2 => (2, 1, -1),
        _ => (3, 1, -1),
    };

    // The same of A, of a tile's two planes.
    private static (int Near, int Far, float Factor) GradientPlanes(int slice) => slice switch
    {
        0 => (0, 1, 0),
        1 => (0, 1, 1),
        2 => (0, 1, -1),
        _ => (1, 0, 0),
    };

    // A row from voxel x on; rows outside the volume are zeros.
    private HostRow RowAt(in HostActivations from, int n, int z, int y, int x)
    {
        float* values = null;
        float* gate = null;
        return from.TryRow(n, z, y, ref values, ref gate)
            ? new HostRow(values + (nint)x * from.Pitch, gate + (nint)x * from.Pitch)
            : new HostRow(zeros.Require<float>(0), zeros.Require<float>(0));
    }

    // A row with fewer channels than a vector has, packed with zeros around.
    private static HostRow WidenedRow(in HostActivations from, int n, int z, int y, int x, int columns, int row, Worker worker)
    {
        float* widened = worker.Rows.Require<float>(12 * MostColumns * TOps.Width) + row * MostColumns * TOps.Width;
        from.PackRow<TVector, TOps>(n, z, y, x, x + columns, widened, TOps.Width);
        return new HostRow(widened, null);
    }

    // Bᵀ along z and y of one vector of channels, as [6][column].
    private static void PackInputs<TGate>(HostRow* rows, in Run run, nint channel, float* packed, nint rowLength)
        where TGate : struct, IHostGate
    {
        TVector factor = TOps.Broadcast(run.Factor);
        for (int column = run.Begin; column < run.End; column++)
        {
            nint i = column * run.Pitch + channel;
            TVector d0 = TOps.MultiplyAdd(factor, TGate.Load<TVector, TOps>(rows[6], i), TGate.Load<TVector, TOps>(rows[0], i));
            TVector d1 = TOps.MultiplyAdd(factor, TGate.Load<TVector, TOps>(rows[7], i), TGate.Load<TVector, TOps>(rows[1], i));
            TVector d2 = TOps.MultiplyAdd(factor, TGate.Load<TVector, TOps>(rows[8], i), TGate.Load<TVector, TOps>(rows[2], i));
            TVector d3 = TOps.MultiplyAdd(factor, TGate.Load<TVector, TOps>(rows[9], i), TGate.Load<TVector, TOps>(rows[3], i));
            TVector d4 = TOps.MultiplyAdd(factor, TGate.Load<TVector, TOps>(rows[10], i), TGate.Load<TVector, TOps>(rows[4], i));
            TVector d5 = TOps.MultiplyAdd(factor, TGate.Load<TVector, TOps>(rows[11], i), TGate.Load<TVector, TOps>(rows[5], i));
            WinogradTransforms<TVector, TOps>.Input(d0, d1, d2, d3, d4, d5, packed + column * TOps.Width, rowLength);
        }
    }

    // A along z and y of one vector of channels, as [6][column]. Returns the sum of all.
    private static TVector PackGradients<TGate>(HostRow* rows, in Run run, nint channel, float* packed, nint rowLength)
        where TGate : struct, IHostGate
    {
        TVector factor = TOps.Broadcast(run.Factor);
        TVector total = TOps.Broadcast(0);
        for (int column = run.Begin; column < run.End; column++)
        {
            nint i = column * run.Pitch + channel;
            TVector g0 = TGate.Load<TVector, TOps>(rows[0], i);
            TVector g1 = TGate.Load<TVector, TOps>(rows[1], i);
            TVector g2 = TGate.Load<TVector, TOps>(rows[2], i);
            TVector g3 = TGate.Load<TVector, TOps>(rows[3], i);
            if (run.Factor != 0)
            {
                g0 = TOps.MultiplyAdd(factor, TGate.Load<TVector, TOps>(rows[4], i), g0);
                g1 = TOps.MultiplyAdd(factor, TGate.Load<TVector, TOps>(rows[5], i), g1);
                g2 = TOps.MultiplyAdd(factor, TGate.Load<TVector, TOps>(rows[6], i), g2);
                g3 = TOps.MultiplyAdd(factor, TGate.Load<TVector, TOps>(rows[7], i), g3);
            }

            total = TOps.Add(total, TOps.Add(TOps.Add(g0, g1), TOps.Add(g2, g3)));
            WinogradTransforms<TVector, TOps>.Gradient(g0, g1, g2, g3, packed + column * TOps.Width, rowLength);
        }

        return total;
    }

    // Bᵀ along x of one packed row.
    private static void TransformInputs(float* row, int tiles, float* target, nint pointPitch, nint tilePitch)
    {
        TVector d0 = TOps.Load(row);
        TVector d1 = TOps.Load(row + TOps.Width);
        for (int tile = 0; tile < tiles; tile++)
        {
            TVector d4 = TOps.Load(row + 4 * TOps.Width);
            TVector d5 = TOps.Load(row + 5 * TOps.Width);
            WinogradTransforms<TVector, TOps>.Input(d0, d1, TOps.Load(row + 2 * TOps.Width), TOps.Load(row + 3 * TOps.Width), d4, d5, target, pointPitch);
            (d0, d1) = (d4, d5);
            row += 4 * TOps.Width;
            target += tilePitch;
        }
    }

    // A along x of one packed row.
    private static void TransformGradients(float* row, int tiles, float* target, nint pointPitch, nint tilePitch)
    {
        for (int tile = 0; tile < tiles; tile++)
        {
            WinogradTransforms<TVector, TOps>.Gradient(TOps.Load(row), TOps.Load(row + TOps.Width), TOps.Load(row + 2 * TOps.Width), TOps.Load(row + 3 * TOps.Width), target, pointPitch);
            row += 4 * TOps.Width;
            target += tilePitch;
        }
    }

    // One slice of one part of the tiles: Bᵀ d and A g of a chunk, then their products, added to the part's sums.
    private void SumPart(int item, int workerIndex)
    {
        Worker worker = workers[workerIndex];
        (int part, int slice) = Math.DivRem(item, Slices);
        int each = HostBlock.DivideUp(TileCount, partCount);
        int channels = source.Channels;
        int sourceColumns = Columns(channels);
        int columns = Columns(targetChannels);
        int rows = SumRows;
        nint dataPitch = (nint)chunkTiles * sourceColumns;
        nint gradientPitch = (nint)chunkTiles * columns;
        float* data = worker.Source.Require<float>(SlicePoints * dataPitch);
        float* packedGradients = worker.Products.Require<float>(SlicePoints * gradientPitch);
        float* sums = PartSums(part) + (long)slice * SlicePoints * rows * columns;
        float* biasSums = PartSums(part) + (long)Slices * SlicePoints * rows * columns;
        new Span<float>(sums, SlicePoints * rows * columns).Clear();
        if (slice == BiasSlice)
            new Span<float>(biasSums, columns).Clear();

        // Beyond the last channel the last again: computed, not used.
        nint* offsets = worker.Offsets.Require<nint>(rows);
        for (int row = 0; row < rows; row++)
            offsets[row] = Math.Min(row, channels - 1);
        nint segment = 0;
        int end = Math.Min((part + 1) * each, TileCount);
        for (int first = part * each; first < end; first += chunkTiles)
        {
            int tiles = Math.Min(chunkTiles, end - first);
            TransformTiles(source, isGradient: false, slice, first, tiles, data, dataPitch, null, worker);
            TransformTiles(gradients, isGradient: true, slice, first, tiles, packedGradients, gradientPitch, slice == BiasSlice ? biasSums : null, worker);
            for (int point = 0; point < SlicePoints; point++)
            {
                float* a = data + point * dataPitch;
                float* b = packedGradients + point * gradientPitch;
                float* c = sums + (nint)point * rows * columns;
                for (int column = 0; column < columns; column += 2 * TOps.Width)
                {
                    int group = HostMatrix<TVector, TOps>.Group(column, columns);
                    for (int row = 0; row < rows; row += HostTile<TVector, TOps>.Rows)
                    {
                        HostTile<TVector, TOps>.Add(
                            group / TOps.Width, a, offsets + row, &segment, 1, tiles, sourceColumns, b + column, columns, c + (nint)row * columns + column, columns);
                    }
                }
            }
        }
    }

    // The parts' sums, in their order, of one source channel: Gᵀ of them is added to the weights' gradient. After the last channel the bias.
    private void ReduceParts(int channel, int workerIndex)
    {
        int columns = Columns(targetChannels);
        if (channel == source.Channels)
        {
            ReduceBias(columns);
            return;
        }

        float* points = stackalloc float[4 * SlicePoints * TOps.Width];
        float* alongX = stackalloc float[24 * 3 * TOps.Width];
        float* alongY = stackalloc float[4 * 9 * TOps.Width];
        float* taps = stackalloc float[27 * TOps.Width];
        for (int column = 0; column < columns; column += TOps.Width)
        {
            for (int point = 0; point < Slices * SlicePoints; point++)
            {
                float* from = PartSums(0) + ((long)point * SumRows + channel) * columns + column;
                TVector sum = TOps.Load(from);
                for (int part = 1; part < partCount; part++)
                    sum = TOps.Add(sum, TOps.Load(from + part * PartLength));
                TOps.Store(sum, points + point * TOps.Width);
            }

            Apply(WinogradTransforms<TVector, TOps>.WeightsOfFour, 1, 3, 3, 6, points, 24, 1, alongX);
            Apply(WinogradTransforms<TVector, TOps>.WeightsOfFour, 1, 3, 3, 6, alongX, 4, 3, alongY);
            Apply(WinogradTransforms<TVector, TOps>.WeightsOfTwo, 1, 3, 3, 4, alongY, 1, 9, taps);
            for (int tap = 0; tap < 27; tap++)
            {
                float* to = target + ((long)tap * source.Channels + channel) * targetChannels + column;
                for (int c = 0; c < Math.Min(TOps.Width, targetChannels - column); c++)
                    to[c] += taps[tap * TOps.Width + c];
            }
        }
    }

    private void ReduceBias(int columns)
    {
        for (int i = 0; i < columns; i++)
        {
            // The vectors of channels that TransformRun took; of two that overlap the first counts.
            int column = i / TOps.Width * TOps.Width;
            int channel = Math.Max(0, Math.Min(column, targetChannels - TOps.Width)) + i - column;
            if (channel < column || channel >= targetChannels)
                continue;
            float sum = 0;
            for (int part = 0; part < partCount; part++)
                sum += PartSums(part)[PartLength - columns + i];
            targetBias[channel] += sum;
        }
    }

    // Source channels rounded up to whole register tiles.
    private int SumRows => HostBlock.DivideUp(source.Channels, HostTile<TVector, TOps>.Rows) * HostTile<TVector, TOps>.Rows;

    // A part's sums: [slice, point][source channel][columns] of the weights, then [columns] of the bias.
    private long PartLength => ((long)Slices * SlicePoints * SumRows + 1) * Columns(targetChannels);

    private float* PartSums(int part) => parts.Require<float>(0) + part * PartLength;

    // Tiles that are neighbours along x, made of rows of one plane and, times a factor, those of another one.
    private readonly record struct Run(int Tiles, int Columns, int Begin, int End, int Channels, nint Pitch, float Factor);

    private sealed class Worker : IDisposable
    {
        public HostScratch Rows { get; } = new();

        public HostScratch Columns { get; } = new();

        public HostScratch Source { get; } = new();

        public HostScratch Products { get; } = new();

        public HostScratch Outputs { get; } = new();

        public HostScratch Offsets { get; } = new();

        public void Dispose()
        {
            Rows.Dispose();
            Columns.Dispose();
            Source.Dispose();
            Products.Dispose();
            Outputs.Dispose();
            Offsets.Dispose();
        }
    }
}

/// <summary>The address of a row's first voxel that is read, and of its gate.</summary>
internal readonly unsafe struct HostRow(float* values, float* gate)
{
    public readonly float* Values = values;

    public readonly float* Gate = gate;
}

/// <summary>How activations are read: plainly, or through the mask of ReLU.</summary>
internal unsafe interface IHostGate
{
    static abstract TVector Load<TVector, TOps>(in HostRow row, nint index)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>;
}

/// <summary>The values as they are.</summary>
internal readonly unsafe struct HostOpenGate : IHostGate
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TVector, TOps>(in HostRow row, nint index)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
        => TOps.Load(row.Values + index);
}

/// <summary>0 where the gate is not above 0.</summary>
internal readonly unsafe struct HostReluGate : IHostGate
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TVector, TOps>(in HostRow row, nint index)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
        => TOps.WherePositive(TOps.Load(row.Gate + index), TOps.Load(row.Values + index));
}
