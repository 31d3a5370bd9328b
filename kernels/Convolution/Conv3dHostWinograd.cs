using System.Runtime.Intrinsics;
using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The convolution with a kernel of 3³ by Winograd's algorithm, on the processor's vectors and cores, for
/// buffers of the CPU accelerator. float32. It needs 144 multiplications per 2×4×4 outputs where the direct
/// algorithm needs 864, and transforms before and after that are worth it where channels are many. Results do
/// not depend on the number of threads.
/// </summary>
internal static class Conv3dHostWinograd
{
    /// <summary>Uses the widest vectors of this processor.</summary>
    /// <param name="threads">The threads to share the work among; they may be shared with other host
    /// variants.</param>
    public static IConv3dByPlanes<float> Create(HostThreads threads) => Create(threads, HostVector.PreferredBits);

    internal static IConv3dByPlanes<float> Create(HostThreads threads, int vectorBits) => vectorBits switch
    {
        512 => new Conv3dHostWinograd<Vector512<float>, HostVector512>(threads),
        256 => new Conv3dHostWinograd<Vector256<float>, HostVector256>(threads),
        128 => new Conv3dHostWinograd<Vector128<float>, HostVector128>(threads),
        _ => throw HostVector.Unknown(vectorBits),
    };
}

/// <summary>
/// The three passes for one width of vectors. Tiles are F(2, 3) along z, F(4, 3) along y and x.
/// </summary>
/// <remarks>
/// The 4 points of z are worked on one after the other ("slices"), each with 6×6 matrix products, so that the
/// transformed weights and data of a slice, for a chunk of a few dozen tiles, stay in the second-level cache.
/// A point of z combines only two planes, so the transforms of a slice read little more than those of all
/// points together would.
/// </remarks>
internal sealed unsafe class Conv3dHostWinograd<TVector, TOps> : Conv3dHost<TVector, TOps>
    where TVector : unmanaged
    where TOps : struct, IHostVector<TVector>
{
    private const int Slices = 4;
    private const int SlicePoints = 36;
    private const int SliceTaps = 9;
    private const int TileOutputs = 32;

    // Where A along z is a plain sum, of which the bias's gradient is made.
    private const int BiasSlice = 1;

    // A weight gradient's tiles are summed in at most this many parts, each with its own copy of the sums,
    // which are added in order. A part is at least two chunks, lest the copies of a small volume cost more
    // than its products.
    private const int MostParts = 4;

    // Tiles of a chunk of a weight gradient, whose products sum over them.
    private const int SumTiles = 32;

    // Channels whose weights are transformed by one call: together they are long runs of memory at each
    // point.
    private const int BlockChannels = 8;

    // Vectors between taps and points: [slice][3, 3] and [slice][6, 3].
    private const int TapScratch = Slices * (9 + 18);

    // Tiles of a chunk of the other passes, rounded up to whole register tiles: few, so that a slice of a
    // chunk leaves the second-level cache room for the weights and for the activations that the four slices
    // read again. Fewer in a small volume, so that there is work for several threads.
    private const int ConvolveTiles = 16;
    private const int FewestChunks = 4;

    // A run of tiles that is transformed at once has at most this many columns, and about this many packed
    // floats: a part of the second-level cache.
    private const int MostColumns = 64;
    private const int MostPacked = 16 * 1024;

    private readonly Worker[] workers;
    private readonly HostScratch transformedWeights = new();
    private readonly HostScratch zeros = new();
    private readonly HostScratch parts = new();
    private readonly Action<int, int> transformWeights;
    private readonly Action<int, int> convolveChunk;
    private readonly Action<int, int> sumPart;
    private readonly Action<int, int> reduceTap;

    private int tilesX;
    private int tilesY;
    private int tilesZ;
    private int chunkTiles;
    private int partCount;

    public Conv3dHostWinograd(HostThreads threads)
        : base(threads)
    {
        workers = [.. Enumerable.Range(0, threads.Count).Select(_ => new Worker())];
        transformWeights = TransformWeights;
        convolveChunk = ConvolveChunk;
        sumPart = SumPart;
        reduceTap = ReduceTap;
    }

    public override void Dispose()
    {
        base.Dispose();
        transformedWeights.Dispose();
        zeros.Dispose();
        parts.Dispose();
        foreach (Worker worker in workers)
            worker.Dispose();
    }

    // From one point of the transformed weights to the next: a vector more than they take, lest the points
    // share a few sets of the cache.
    private nint WeightPitch => (nint)sourceChannels * Columns(targetChannels) + TOps.Width;

    private int TileCount => shape.Batch * tilesZ * tilesY * tilesX;

    // Planes begin at an even one, where those of the whole volume's tiles begin.
    private void CutTiles(int widestPitch)
    {
        if (shape.KernelSize != 3)
            throw new ArgumentException($"Conv3dHostWinograd: the kernel's edge is {shape.KernelSize}; expected 3.");
        if (range.Begin % 2 != 0)
            throw new ArgumentException($"Conv3dHostWinograd: planes begin at {range.Begin}; expected an even number.");
        tilesX = HostBlock.DivideUp(shape.Width, 4);
        tilesY = HostBlock.DivideUp(shape.Height, 4);
        tilesZ = HostBlock.DivideUp(range.Count, 2);
        int zeroCount = MostColumns * widestPitch;
        new Span<float>(zeros.Require<float>(zeroCount), zeroCount).Clear();
    }

    protected override void Convolve()
    {
        CutTiles(sources.Max(s => s.Pitch));
        int columns = Columns(targetChannels);
        transformedWeights.Require<float>(Slices * SlicePoints * WeightPitch);
        threads.For(
            HostBlock.DivideUp(sourceChannels, BlockChannels) * HostBlock.DivideUp(columns, 2 * TOps.Width), transformWeights);
        int rows = HostTile<TVector, TOps>.Rows;
        chunkTiles = HostBlock.DivideUp(Math.Clamp(TileCount / FewestChunks, 1, ConvolveTiles), rows) * rows;
        threads.For(HostBlock.DivideUp(TileCount, chunkTiles), convolveChunk);
    }

    protected override void SumProducts()
    {
        CutTiles(Math.Max(sources.Max(s => s.Pitch), gradients.Pitch));
        chunkTiles = SumTiles;
        partCount = Math.Clamp(HostBlock.DivideUp(TileCount, 2 * chunkTiles), 1, MostParts);
        parts.Require<float>(partCount * PartLength);
        threads.For(partCount * Slices, sumPart);
        threads.For(SliceTaps + 1, reduceTap);
    }

    // G w of a block of source channels and a register tile's group c of target channels, into [slice,
    // point][columns / c][source channel][c].
    private void TransformWeights(int item, int workerIndex)
    {
        int columns = Columns(targetChannels);
        (int block, int firstColumn) = Math.DivRem(item, HostBlock.DivideUp(columns, 2 * TOps.Width));
        firstColumn *= 2 * TOps.Width;
        int group = HostMatrix<TVector, TOps>.Group(firstColumn, columns);
        int firstChannel = block * BlockChannels;
        int channels = Math.Min(BlockChannels, sourceChannels - firstChannel);
        int length = channels * group;
        float* taps = workers[workerIndex].Products.Require<float>(27 * length);
        float* scratch = stackalloc float[TapScratch * TOps.Width];
        for (int tap = 0; tap < 27; tap++)
            PackTap(tap, firstChannel, channels, firstColumn, group, taps + tap * length);
        float* to = transformedWeights.Require<float>(0) + (long)firstColumn * sourceChannels + (long)firstChannel * group;
        for (int i = 0; i < length; i += TOps.Width)
            TransformTaps(taps + i, length, to + i, WeightPitch, scratch);
    }

    // One tap's weights from a block of source channels to a group of target channels, as [source
    // channel][c]; zero beyond the last target.
    private void PackTap(int tap, int firstChannel, int channels, int firstColumn, int group, float* packed)
    {
        int present = Math.Min(group, targetChannels - firstColumn);
        if (present < group)
            new Span<float>(packed, channels * group).Clear();
        if (transposed)
        {
            float* from = weight + ((long)(26 - tap) * targetChannels + firstColumn) * sourceChannels + firstChannel;
            for (int c = 0; c < present; c++, from += sourceChannels)
            {
                for (int channel = 0; channel < channels; channel++)
                    packed[channel * group + c] = from[channel];
            }
        }
        else
        {
            float* from = weight + ((long)tap * sourceChannels + firstChannel) * targetChannels + firstColumn;
            for (int channel = 0; channel < channels; channel++, from += targetChannels)
                new Span<float>(from, present).CopyTo(new Span<float>(packed + channel * group, present));
        }
    }

    // G along z, y and x: vectors of taps [3, 3, 3] to points [slice][6, 6], each a pitch apart.
    private static void TransformTaps(float* taps, nint tapPitch, float* points, nint pitch, float* scratch)
    {
        float* alongZ = scratch;
        float* alongY = scratch + Slices * 9 * TOps.Width;
        for (int yx = 0; yx < 9; yx++)
        {
            float* tap = taps + yx * tapPitch;
            WinogradTransforms<TVector, TOps>.WeightsOfTwo(
                TOps.Load(tap),
                TOps.Load(tap + 9 * tapPitch),
                TOps.Load(tap + 18 * tapPitch),
                alongZ + yx * TOps.Width,
                9 * TOps.Width);
        }

        for (int slice = 0; slice < Slices; slice++)
        {
            for (int x = 0; x < 3; x++)
            {
                float* tap = alongZ + (slice * 9 + x) * TOps.Width;
                WinogradTransforms<TVector, TOps>.Weights(
                    TOps.Load(tap),
                    TOps.Load(tap + 3 * TOps.Width),
                    TOps.Load(tap + 6 * TOps.Width),
                    alongY + (slice * 18 + x) * TOps.Width,
                    3 * TOps.Width);
            }
        }

        for (int row = 0; row < Slices * 6; row++)
        {
            float* tap = alongY + row * 3 * TOps.Width;
            WinogradTransforms<TVector, TOps>.Weights(
                TOps.Load(tap), TOps.Load(tap + TOps.Width), TOps.Load(tap + 2 * TOps.Width), points + row * 6 * pitch, pitch);
        }
    }

    // Gᵀ along x and y: vectors of one slice's points [6, 6] to its taps [3, 3], each a pitch apart.
    private static void FoldPoints(float* points, nint pitch, float* taps, nint tapPitch, float* scratch)
    {
        for (int row = 0; row < 6; row++)
            WinogradTransforms<TVector, TOps>.WeightGradient(
                points + row * 6 * pitch, pitch, scratch + row * 3 * TOps.Width, TOps.Width);
        for (int x = 0; x < 3; x++)
            WinogradTransforms<TVector, TOps>.WeightGradient(
                scratch + x * TOps.Width, 3 * TOps.Width, taps + x * tapPitch, 3 * tapPitch);
    }

    // One chunk of tiles: for each slice Bᵀ d, the matrix products and Aᵀ m.
    private void ConvolveChunk(int chunk, int workerIndex)
    {
        Worker worker = workers[workerIndex];
        int first = chunk * chunkTiles;
        int tiles = Math.Min(chunkTiles, TileCount - first);
        int channels = sourceChannels;
        int sourceColumns = SourceColumns;
        int columns = Columns(targetChannels);
        // A vector more than the tiles take, lest the points of a tile share a few sets of the cache.
        nint pointPitch = (nint)chunkTiles * sourceColumns + TOps.Width;
        nint productPitch = (nint)chunkTiles * columns + TOps.Width;
        float* data = worker.Source.Require<float>(SlicePoints * pointPitch);
        float* products = worker.Products.Require<float>(SlicePoints * productPitch + HostTile<TVector, TOps>.Rows * columns);
        float* outputs = worker.Outputs.Require<float>((long)chunkTiles * TileOutputs * columns);
        nint* offsets = TileOffsets(tiles, sourceColumns, worker);
        float* scratch = stackalloc float[24 * TOps.Width];
        for (int slice = 0; slice < Slices; slice++)
        {
            TransformSources(slice, first, tiles, data, pointPitch, worker);
            for (int point = 0; point < SlicePoints; point++)
            {
                float* matrix = transformedWeights.Require<float>(0) + (slice * SlicePoints + point) * WeightPitch;
                for (int column = 0; column < columns; column += 2 * TOps.Width)
                {
                    int group = HostMatrix<TVector, TOps>.Group(column, columns);
                    int rows;
                    for (int tile = 0; tile < tiles; tile += rows)
                    {
                        rows = HostTile<TVector, TOps>.RowsFor(tiles - tile);
                        HostTile<TVector, TOps>.Product(
                            rows,
                            group / TOps.Width,
                            data + point * pointPitch,
                            offsets + tile,
                            channels,
                            1,
                            matrix + column * channels,
                            group,
                            products + point * productPitch + (nint)tile * columns + column, columns, overwrite: true);
                    }
                }
            }

            for (int tile = 0; tile < tiles; tile++)
            {
                for (int column = 0; column < columns; column += TOps.Width)
                {
                    WinogradTransforms<TVector, TOps>.Output(
                        products + (nint)tile * columns + column,
                        productPitch,
                        slice,
                        outputs + (nint)tile * TileOutputs * columns + column,
                        columns,
                        scratch);
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
        float* bias = packedBias.Require<float>(0);
        (int n, int z, int y, int x) = TileAt(tile);
        for (int dz = 0; dz < Math.Min(2, range.End - z); dz++)
        {
            for (int dy = 0; dy < Math.Min(4, shape.Height - y); dy++)
            {
                float* from = outputs + (dz * 4 + dy) * 4 * columns;
                float* to =
                    target + (
                        (((long)n * range.OutputRing + (z + dz) % range.OutputRing) * shape.Height + y + dy) * shape.Width
                            + x) * targetPitch;
                for (int dx = 0; dx < Math.Min(4, shape.Width - x); dx++)
                {
                    HostMatrix<TVector, TOps>.StoreRow(from, bias, to, targetChannels, relu);
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
        return (n, range.Begin + 2 * z, 4 * y, 4 * x);
    }

    // Floats from one tile's transformed source to the next. Whole vectors are written, those of one source's
    // last channels over the next one's first, which follow.
    private int SourceColumns => sourceChannels - sources[^1].Channels + Columns(sources[^1].Channels);

    // One slice of Bᵀ d for consecutive tiles, as [point][tile][channel], the sources' channels side by side.
    private void TransformSources(int slice, int first, int tiles, float* data, nint pointPitch, Worker worker)
    {
        int tilePitch = SourceColumns;
        foreach (ref readonly HostActivations source in sources.AsSpan())
        {
            TransformTiles<InputTransform>(source, slice, first, tiles, data, tilePitch, pointPitch, null, worker);
            data += source.Channels;
        }
    }

    // One slice of Bᵀ d of a source or of A g of the gradients, for consecutive tiles. Gradients summed along
    // all axes are added to sums, if it is not null.
    private void TransformTiles<TTransform>(
        in HostActivations from,
        int slice,
        int first,
        int tiles,
        float* data,
        int tilePitch,
        nint pointPitch,
        float* sums,
        Worker worker)
        where TTransform : struct, ITransform
    {
        int channelPitch = Columns(from.Channels);
        int border = TTransform.Border;
        (int near, int far, float factor) = TTransform.Planes(slice);
        HostRow* rows = stackalloc HostRow[12];
        for (int tile = first; tile < first + tiles;)
        {
            // A run of neighbours along x. Its columns begin ≤ column < end are inside the volume.
            int most = Math.Clamp((MostPacked / (6 * channelPitch) - 2) / 4, 1, (MostColumns - 2) / 4);
            int count = Math.Min(Math.Min(tilesX - tile % tilesX, first + tiles - tile), most);
            int columns = count * 4 + 2 * border;
            (int n, int z, int y, int x) = TileAt(tile);
            x -= border;
            Run run = new(count, columns, Math.Max(0, -x), Math.Min(columns, shape.Width - x), from.Channels, from.Pitch, factor);
            for (int row = 0; row < 2 * TTransform.Rows; row++)
            {
                int plane = z - border + (row < TTransform.Rows ? near : far);
                int line = y - border + row % TTransform.Rows;
                rows[row] = from.Channels < TOps.Width
                    ? WidenedRow(from, n, plane, line, x, columns, row, worker)
                    : RowAt(from, n, plane, line, x);
            }

            float* to = data + (long)(tile - first) * tilePitch;
            if (from.Channels < TOps.Width)
                TransformRun<TTransform, HostOpenGate>(
                    rows,
                    run with { Begin = 0, End = columns, Channels = TOps.Width, Pitch = TOps.Width },
                    to,
                    tilePitch,
                    pointPitch,
                    sums,
                    worker);
            else if (from.IsGated)
                TransformRun<TTransform, HostReluGate>(rows, run, to, tilePitch, pointPitch, sums, worker);
            else
                TransformRun<TTransform, HostOpenGate>(rows, run, to, tilePitch, pointPitch, sums, worker);
            tile += count;
        }
    }

    // The same for a run: along z and y into packed rows of all its columns, then along x.
    private static void TransformRun<TTransform, TGate>(
        HostRow* rows, in Run run, float* to, int tilePitch, nint pointPitch, float* sums, Worker worker)
        where TTransform : struct, ITransform
        where TGate : struct, IHostGate
    {
        int channelPitch = Columns(run.Channels);
        // A vector more than the columns take, lest the rows share a few sets of the cache.
        nint rowLength = run.Columns * channelPitch + TOps.Width;
        float* packed = worker.Columns.Require<float>(6 * rowLength);
        for (int row = 0; row < 6; row++)
        {
            new Span<float>(packed + row * rowLength, run.Begin * channelPitch).Clear();
            new Span<float>(packed + row * rowLength + run.End * channelPitch, (run.Columns - run.End) * channelPitch).Clear();
        }

        TTransform.Pack<TGate>(rows, run, packed, rowLength, sums);
        for (int row = 0; row < 6; row++)
            TransformRow<TTransform>(
                packed + row * rowLength, run.Tiles, run.Channels, to + row * 6 * pointPitch, tilePitch, pointPitch);
    }

    // Along x of one packed row, in which a tile begins four columns after the one before.
    private static void TransformRow<TTransform>(
        float* row, int tiles, int channels, float* target, int tilePitch, nint pointPitch)
        where TTransform : struct, ITransform
    {
        nint pitch = Columns(channels);
        for (int tile = 0; tile < tiles; tile++)
        {
            for (nint c = 0; c < pitch; c += TOps.Width)
            {
                nint channel = Math.Min(c, channels - TOps.Width);
                TTransform.AlongX(row + channel, pitch, target + channel, pointPitch);
            }

            row += 4 * pitch;
            target += tilePitch;
        }
    }

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
        from.PackRow<TVector, TOps>(n, z, y, x, x + columns, widened, TOps.Width, TOps.Width);
        return new HostRow(widened, null);
    }

    // One slice of one part of the tiles: Bᵀ d and A g of a chunk, then their products, summed over the
    // chunks, then Gᵀ along x and y into the part's sums.
    private void SumPart(int item, int workerIndex)
    {
        Worker worker = workers[workerIndex];
        (int part, int slice) = Math.DivRem(item, Slices);
        int each = HostBlock.DivideUp(TileCount, partCount);
        int channels = sourceChannels;
        int sourceColumns = SourceColumns;
        int columns = Columns(targetChannels);
        // The last register tile may have three rows that nobody needs.
        int rows = channels + 3;
        nint dataPitch = (nint)chunkTiles * sourceColumns + TOps.Width;
        nint gradientPitch = (nint)chunkTiles * columns + TOps.Width;
        float* data = worker.Source.Require<float>(SlicePoints * dataPitch);
        float* packedGradients = worker.Products.Require<float>(SlicePoints * gradientPitch);
        nint sumPitch = (nint)rows * columns + TOps.Width;
        float* sums = worker.Outputs.Require<float>(SlicePoints * sumPitch);
        float* biasSums = PartSums(part) + PartLength - columns;
        if (slice == BiasSlice)
            new Span<float>(biasSums, columns).Clear();

        // Beyond the last channel the last again: computed, not used.
        nint* offsets = worker.Offsets.Require<nint>(rows);
        for (int row = 0; row < rows; row++)
            offsets[row] = Math.Min(row, channels - 1);
        int begin = part * each;
        int end = Math.Min(begin + each, TileCount);
        for (int first = begin; first < end; first += chunkTiles)
        {
            int tiles = Math.Min(chunkTiles, end - first);
            TransformSources(slice, first, tiles, data, dataPitch, worker);
            TransformTiles<GradientTransform>(
                gradients,
                slice,
                first,
                tiles,
                packedGradients,
                columns,
                gradientPitch,
                slice == BiasSlice ? biasSums : null,
                worker);
            for (int point = 0; point < SlicePoints; point++)
            {
                float* a = data + point * dataPitch;
                float* b = packedGradients + point * gradientPitch;
                float* c = sums + point * sumPitch;
                for (int column = 0; column < columns; column += 2 * TOps.Width)
                {
                    int group = HostMatrix<TVector, TOps>.Group(column, columns);
                    int height;
                    for (int row = 0; row < channels; row += height)
                    {
                        height = HostTile<TVector, TOps>.RowsFor(channels - row);
                        HostTile<TVector, TOps>.Product(
                            height,
                            group / TOps.Width,
                            a,
                            offsets + row,
                            tiles,
                            sourceColumns,
                            b + column,
                            columns,
                            c + (nint)row * columns + column,
                            columns,
                            overwrite: first == begin);
                    }
                }
            }
        }

        float* taps = PartSums(part) + slice * SliceTaps * TapLength;
        float* scratch = stackalloc float[18 * TOps.Width];
        for (nint i = 0; i < TapLength; i += TOps.Width)
            FoldPoints(sums + i, sumPitch, taps + i, TapLength, scratch);
    }

    // The parts' sums, in their order, of one tap of y and x: Gᵀ along z of them is added to the weights'
    // gradient. After the last tap the bias.
    private void ReduceTap(int tap, int workerIndex)
    {
        int columns = Columns(targetChannels);
        if (tap == SliceTaps)
        {
            ReduceBias(columns);
            return;
        }

        nint slicePitch = SliceTaps * TapLength;
        float* sums = PartSums(0) + tap * TapLength;
        float* points = stackalloc float[Slices * TOps.Width];
        float* taps = stackalloc float[3 * TOps.Width];
        for (int channel = 0; channel < sourceChannels; channel++)
        {
            for (int column = 0; column < columns; column += TOps.Width, sums += TOps.Width)
            {
                for (int slice = 0; slice < Slices; slice++)
                {
                    float* from = sums + slice * slicePitch;
                    TVector sum = TOps.Load(from);
                    for (int part = 1; part < partCount; part++)
                        sum = TOps.Add(sum, TOps.Load(from + part * PartLength));
                    TOps.Store(sum, points + slice * TOps.Width);
                }

                WinogradTransforms<TVector, TOps>.WeightGradientOfTwo(points, TOps.Width, taps, TOps.Width);
                for (int z = 0; z < 3; z++)
                {
                    float* to = target + ((long)(z * SliceTaps + tap) * sourceChannels + channel) * targetChannels + column;
                    HostMatrix<TVector, TOps>.AddRow(taps + z * TOps.Width, to, Math.Min(TOps.Width, targetChannels - column));
                }
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

    // A part's sums: [slice][tap of y, x][source channel][columns] of the weights, then [columns] of the
    // bias.
    private long PartLength => Slices * SliceTaps * TapLength + Columns(targetChannels);

    private nint TapLength => (nint)sourceChannels * Columns(targetChannels);

    private float* PartSums(int part) => parts.Require<float>(0) + part * PartLength;

    /// <summary>
    /// What becomes of activations before the matrix products: which planes and rows of a tile count, and the
    /// two steps.
    /// </summary>
    private interface ITransform
    {
        /// <summary>Voxels that a tile reads on either side of its outputs.</summary>
        static abstract int Border { get; }

        /// <summary>Rows of a tile along y.</summary>
        static abstract int Rows { get; }

        /// <summary>A slice along z is one plane of a tile plus a factor times another one.</summary>
        static abstract (int Near, int Far, float Factor) Planes(int slice);

        /// <summary>
        /// Along z and y, from the rows of the near plane and those of the far one to [6][column][channel].
        /// </summary>
        static abstract void Pack<TGate>(HostRow* rows, in Run run, float* packed, nint rowLength, float* sums)
            where TGate : struct, IHostGate;

        /// <summary>Along x, one vector of channels of one tile of a packed row.</summary>
        static abstract void AlongX(float* from, nint pitch, float* target, nint pointPitch);
    }

    /// <summary>
    /// Bᵀ d of an input. Here and below the last vector of channels overlaps the one before, lest it end
    /// beyond the last channel.
    /// </summary>
    private readonly struct InputTransform : ITransform
    {
        public static int Border => 1;

        public static int Rows => 6;

        public static (int Near, int Far, float Factor) Planes(int slice) => slice switch
        {
            0 => (0, 2, -1),
            1 => (1, 2, 1),
            2 => (2, 1, -1),
            _ => (3, 1, -1),
        };

        public static void Pack<TGate>(HostRow* rows, in Run run, float* packed, nint rowLength, float* sums)
            where TGate : struct, IHostGate
        {
            nint channelPitch = Columns(run.Channels);
            TVector factor = TOps.Broadcast(run.Factor);
            for (int column = run.Begin; column < run.End; column++)
            {
                for (nint c = 0; c < channelPitch; c += TOps.Width)
                {
                    nint channel = Math.Min(c, run.Channels - TOps.Width);
                    nint i = column * run.Pitch + channel;
                    TVector d0 = TOps.MultiplyAdd(
                        factor, TGate.Load<TVector, TOps>(rows[6], i), TGate.Load<TVector, TOps>(rows[0], i));
                    TVector d1 = TOps.MultiplyAdd(
                        factor, TGate.Load<TVector, TOps>(rows[7], i), TGate.Load<TVector, TOps>(rows[1], i));
                    TVector d2 = TOps.MultiplyAdd(
                        factor, TGate.Load<TVector, TOps>(rows[8], i), TGate.Load<TVector, TOps>(rows[2], i));
                    TVector d3 = TOps.MultiplyAdd(
                        factor, TGate.Load<TVector, TOps>(rows[9], i), TGate.Load<TVector, TOps>(rows[3], i));
                    TVector d4 = TOps.MultiplyAdd(
                        factor, TGate.Load<TVector, TOps>(rows[10], i), TGate.Load<TVector, TOps>(rows[4], i));
                    TVector d5 = TOps.MultiplyAdd(
                        factor, TGate.Load<TVector, TOps>(rows[11], i), TGate.Load<TVector, TOps>(rows[5], i));
                    WinogradTransforms<TVector, TOps>.Input(
                        d0, d1, d2, d3, d4, d5, packed + column * channelPitch + channel, rowLength);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void AlongX(float* d, nint pitch, float* target, nint pointPitch)
            => WinogradTransforms<TVector, TOps>.Input(
                TOps.Load(d),
                TOps.Load(d + pitch),
                TOps.Load(d + 2 * pitch),
                TOps.Load(d + 3 * pitch),
                TOps.Load(d + 4 * pitch),
                TOps.Load(d + 5 * pitch),
                target,
                pointPitch);
    }

    /// <summary>
    /// A g of the gradients, channels in the outer loop: their sum over all columns is added to sums, if it
    /// is not null.
    /// </summary>
    private readonly struct GradientTransform : ITransform
    {
        public static int Border => 0;

        public static int Rows => 4;

        public static (int Near, int Far, float Factor) Planes(int slice) => slice switch
        {
            0 => (0, 1, 0),
            1 => (0, 1, 1),
            2 => (0, 1, -1),
            _ => (1, 0, 0),
        };

        public static void Pack<TGate>(HostRow* rows, in Run run, float* packed, nint rowLength, float* sums)
            where TGate : struct, IHostGate
        {
            nint channelPitch = Columns(run.Channels);
            TVector factor = TOps.Broadcast(run.Factor);
            for (nint c = 0; c < channelPitch; c += TOps.Width)
            {
                nint channel = Math.Min(c, run.Channels - TOps.Width);
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
                    WinogradTransforms<TVector, TOps>.Gradient(
                        g0, g1, g2, g3, packed + column * channelPitch + channel, rowLength);
                }

                if (sums != null)
                    TOps.Store(TOps.Add(TOps.Load(sums + c), total), sums + c);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void AlongX(float* g, nint pitch, float* target, nint pointPitch)
            => WinogradTransforms<TVector, TOps>.Gradient(
                TOps.Load(g), TOps.Load(g + pitch), TOps.Load(g + 2 * pitch), TOps.Load(g + 3 * pitch), target, pointPitch);
    }

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
