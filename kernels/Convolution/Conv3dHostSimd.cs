using System.Runtime.Intrinsics;
using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The convolution on the processor's vectors and cores, for buffers of the CPU accelerator. float32. Results
/// do not depend on the number of threads. Channels that are a multiple of 16 (AVX2) or 32 (AVX-512) run
/// fastest.
/// </summary>
internal static class Conv3dHostSimd
{
    /// <summary>Uses the widest vectors of this processor.</summary>
    /// <param name="threads">The threads to share the work among; they may be shared with other host
    /// variants.</param>
    public static IConv3dByPlanes<float> Create(HostThreads threads) => Create(threads, HostVector.PreferredBits);

    internal static IConv3dByPlanes<float> Create(HostThreads threads, int vectorBits) => vectorBits switch
    {
        512 => new Conv3dHostSimd<Vector512<float>, HostVector512>(threads),
        256 => new Conv3dHostSimd<Vector256<float>, HostVector256>(threads),
        128 => new Conv3dHostSimd<Vector128<float>, HostVector128>(threads),
        _ => throw HostVector.Unknown(vectorBits),
    };
}

/// <summary>The three passes for one width of vectors.</summary>
internal sealed unsafe class Conv3dHostSimd<TVector, TOps> : Conv3dHost<TVector, TOps>
    where TVector : unmanaged
    where TOps : struct, IHostVector<TVector>
{
    // A weight gradient's voxels are summed in at most this many parts, each with its own copy of the
    // weights, which are added in order.
    private const int MostParts = 16;

    // Voxels per step of a weight gradient: their input and gradOutput, together this many bytes, are to stay
    // in the second-level cache while every pair of channels passes over them. Less would pass over the sums
    // more often, which costs more than leaving the first level.
    private const int StepBytes = 96 * 1024;

    private readonly Worker[] workers;
    private readonly HostScratch packedWeights = new();
    private readonly HostScratch parts = new();
    private readonly Action<int, int> packWeights;
    private readonly Action<int, int> convolveBlock;
    private readonly Action<int, int> sumPart;
    private readonly Action<int, int> reduceParts;

    private HostBlock block;
    private int partCount;

    public Conv3dHostSimd(HostThreads threads)
        : base(threads)
    {
        workers = [.. Enumerable.Range(0, threads.Count).Select(_ => new Worker())];
        packWeights = PackWeights;
        convolveBlock = ConvolveBlock;
        sumPart = SumPart;
        reduceParts = ReduceParts;
    }

    public override void Dispose()
    {
        base.Dispose();
        packedWeights.Dispose();
        parts.Dispose();
        foreach (Worker worker in workers)
            worker.Dispose();
    }

    protected override void Convolve()
    {
        packedWeights.Require<float>((long)shape.Taps * sourceChannels * Columns(targetChannels));
        threads.For(shape.Taps, packWeights);
        block = HostBlock.ForThreads(shape.Batch, range.Count, shape.Height, shape.Width, sourceChannels, shape.KernelSize);
        threads.For(block.Count(shape.Batch, range.Count, shape.Height, shape.Width), convolveBlock);
    }

    protected override void SumProducts()
    {
        block = HostBlock.ForSums(shape.Depth, shape.Height, shape.Width, shape.InputChannels, shape.KernelSize);
        int planes = shape.Batch * shape.Depth;
        partCount = HostBlock.DivideUp(planes, HostBlock.DivideUp(planes, MostParts));
        parts.Require<float>(partCount * PartLength);
        threads.For(partCount, sumPart);
        threads.For(shape.Taps + 1, reduceParts);
    }

    private void PackWeights(int tap, int workerIndex)
    {
        int from = transposed ? shape.Taps - 1 - tap : tap;
        HostMatrix<TVector, TOps>.PackWeights(
            weight + (long)from * shape.InputChannels * shape.OutputChannels,
            packedWeights.Require<float>(0),
            tap,
            shape.Taps,
            sourceChannels,
            targetChannels,
            transposed);
    }

    // One block of voxels, plane by plane along z.
    private void ConvolveBlock(int index, int workerIndex)
    {
        int blocksX = HostBlock.DivideUp(shape.Width, block.Width);
        int blocksY = HostBlock.DivideUp(shape.Height, block.Height);
        int blocksZ = HostBlock.DivideUp(range.Count, block.Depth);
        int x = index % blocksX * block.Width;
        int y = index / blocksX % blocksY * block.Height;
        int z = range.Begin + index / (blocksX * blocksY) % blocksZ * block.Depth;
        int n = index / (blocksX * blocksY * blocksZ);
        Region region = RegionAt(n, y, x);
        Worker worker = workers[workerIndex];
        float* planes = worker.Source.Require<float>(shape.KernelSize * region.PlaneLength);
        nint* offsets = VoxelOffsets(region, worker);
        for (int first = z, end = Math.Min(z + block.Depth, range.End); z < end; z++)
        {
            PackNextPlanes(region, planes, z, isFirst: z == first);
            ConvolvePlane(region, z, planes, offsets, worker);
        }
    }

    private void ConvolvePlane(in Region region, int z, float* planes, nint* offsets, Worker worker)
    {
        int pad = shape.KernelSize / 2;
        int channels = sourceChannels;
        int columns = Columns(targetChannels);
        int voxels = region.Height * region.Width;
        float* packed = packedWeights.Require<float>(0);
        float* columnBias = packedBias.Require<float>(0);

        // A segment is the run (tap x, channel) of one packed row; planes outside the volume have none.
        int firstPlane = Math.Max(0, pad - z);
        int lastPlane = Math.Min(shape.KernelSize, shape.Depth + pad - z);
        nint* segments = stackalloc nint[9];
        int segmentCount = 0;
        for (int kz = firstPlane; kz < lastPlane; kz++)
        {
            for (int ky = 0; ky < shape.KernelSize; ky++)
                segments[segmentCount++] = Slot(z + kz - pad) * region.PlaneLength + ky * region.RowLength;
        }

        float* tile = stackalloc float[HostTile<TVector, TOps>.Rows * 2 * TOps.Width];
        for (int column = 0; column < columns; column += 2 * TOps.Width)
        {
            int group = HostMatrix<TVector, TOps>.Group(column, columns);
            float* groupWeights = packed + (long)channels * (
                column * shape.Taps + firstPlane * shape.KernelSize * shape.KernelSize * group);
            for (int voxel = 0; voxel < voxels; voxel += HostTile<TVector, TOps>.Rows)
            {
                HostTile<TVector, TOps>.Overwrite(
                    group / TOps.Width,
                    planes,
                    offsets + voxel,
                    segments,
                    segmentCount,
                    shape.KernelSize * channels,
                    1,
                    groupWeights,
                    group,
                    tile,
                    group);
                StoreTile(
                    region,
                    z,
                    voxel,
                    Math.Min(HostTile<TVector, TOps>.Rows, voxels - voxel),
                    tile,
                    columnBias + column,
                    column,
                    group);
            }
        }
    }

    private void StoreTile(in Region region, int z, int voxel, int rows, float* tile, float* bias, int column, int group)
    {
        int present = Math.Min(group, targetChannels - column);
        (int y, int x) = Math.DivRem(voxel, region.Width);
        long first = (((long)region.N * range.OutputRing + z % range.OutputRing) * shape.Height + region.Y + y) * shape.Width
            + region.X + x;
        float* to = target + first * targetPitch + column;
        for (int j = 0; j < rows; j++)
        {
            HostMatrix<TVector, TOps>.StoreRow(tile + j * group, bias, to, present, relu);
            to += targetPitch;
            if (++x < region.Width)
                continue;
            x = 0;
            to += (long)(shape.Width - region.Width) * targetPitch;
        }
    }

    // One part of the voxels: whole planes, of which each volume's are swept in blocks.
    private void SumPart(int part, int workerIndex)
    {
        int planes = shape.Batch * shape.Depth;
        int each = HostBlock.DivideUp(planes, partCount);
        float* sums = PartSums(part);
        new Span<float>(sums, checked((int)PartLength)).Clear();
        int end = Math.Min((part + 1) * each, planes);
        for (int plane = part * each; plane < end;)
        {
            int z = plane % shape.Depth;
            int zEnd = Math.Min(shape.Depth, z + end - plane);
            for (int y = 0; y < shape.Height; y += block.Height)
            {
                for (int x = 0; x < shape.Width; x += block.Width)
                    SumBlock(RegionAt(plane / shape.Depth, y, x), z, zEnd, sums, workers[workerIndex]);
            }

            plane += zEnd - z;
        }
    }

    private void SumBlock(in Region region, int zBegin, int zEnd, float* sums, Worker worker)
    {
        int columns = Columns(targetChannels);
        int weightRows = shape.Taps * sourceChannels;
        float* planes = worker.Source.Require<float>(shape.KernelSize * region.PlaneLength);
        float* packedGradients = worker.Gradients.Require<float>((long)region.Height * region.Width * columns);
        for (int z = zBegin; z < zEnd; z++)
        {
            PackNextPlanes(region, planes, z, isFirst: z == zBegin);
            for (int y = 0; y < region.Height; y++)
            {
                float* row = packedGradients + (long)y * region.Width * columns;
                gradients.PackRow<TVector, TOps>(
                    region.N, z, region.Y + y, region.X, region.X + region.Width, row, columns, columns);
                HostMatrix<TVector, TOps>.AddRows(row, region.Width, columns, sums + (long)weightRows * columns);
            }

            SumPlane(region, z, planes, packedGradients, sums, worker);
        }
    }

    // Adds one plane's products to the weights of every tap whose source plane is inside the volume.
    private void SumPlane(in Region region, int z, float* planes, float* packedGradients, float* sums, Worker worker)
    {
        int pad = shape.KernelSize / 2;
        int channels = sourceChannels;
        int columns = Columns(targetChannels);
        int runLength = shape.KernelSize * channels;
        int rowsPerPlane = shape.KernelSize * runLength;
        int firstPlane = Math.Max(0, pad - z);
        int endPlane = Math.Min(shape.KernelSize, shape.Depth + pad - z);
        int firstRow = firstPlane * rowsPerPlane;
        int endRow = endPlane * rowsPerPlane;

        // The rows of one tap of z and y are a run of one packed row of voxels.
        nint* offsets = worker.Offsets.Require<nint>(endRow + HostTile<TVector, TOps>.Rows);
        nint* offset = offsets + firstRow;
        for (int kz = firstPlane; kz < endPlane; kz++)
        {
            for (int ky = 0; ky < shape.KernelSize; ky++)
            {
                nint start = Slot(z + kz - pad) * region.PlaneLength + ky * region.RowLength;
                for (int i = 0; i < runLength; i++)
                    *offset++ = start + i;
            }
        }

        // Beyond the end the last row again: computed, not stored.
        for (int i = 0; i < HostTile<TVector, TOps>.Rows; i++)
            offset[i] = offset[-1];

        int step = Math.Clamp(StepBytes / (region.Width * (channels + columns) * sizeof(float)), 1, region.Height);
        nint* segments = worker.Segments.Require<nint>(step);
        for (int s = 0; s < step; s++)
            segments[s] = s * region.RowLength;
        for (int y = 0; y < region.Height; y += step)
        {
            HostMatrix<TVector, TOps>.AddProduct(
                endRow - firstRow,
                columns,
                planes + y * region.RowLength,
                offsets + firstRow,
                segments,
                Math.Min(step, region.Height - y),
                region.Width,
                channels,
                packedGradients + (long)y * region.Width * columns,
                sums + (long)firstRow * columns);
        }
    }

    // The parts' sums, in their order, added to the weights of one tap; after the last tap, to the bias.
    private void ReduceParts(int tap, int workerIndex)
    {
        long first = (long)tap * sourceChannels;
        HostMatrix<TVector, TOps>.AddParts(
            PartSums(0) + first * Columns(targetChannels),
            PartLength,
            partCount,
            tap < shape.Taps ? sourceChannels : 1,
            targetChannels,
            tap < shape.Taps ? target + first * targetChannels : targetBias);
    }

    // A part's sums: [taps, Cin, columns] of the weights, then [columns] of the bias.
    private long PartLength => ((long)shape.Taps * sourceChannels + 1) * Columns(targetChannels);

    private float* PartSums(int part) => parts.Require<float>(0) + part * PartLength;

    private Region RegionAt(int n, int y, int x)
    {
        int height = Math.Min(block.Height, shape.Height - y);
        int width = Math.Min(block.Width, shape.Width - x);
        int border = shape.KernelSize - 1;
        nint rowLength = (nint)(width + border) * sourceChannels;
        return new Region(n, y, x, height, width, rowLength, (height + border) * rowLength);
    }

    // Where a plane of the source lies in the packed memory, which holds as many as the kernel is high.
    private int Slot(int z) => (z + shape.KernelSize) % shape.KernelSize;

    // Makes z − pad … z + pad present; all but the last are there already unless z is the first of a sweep.
    private void PackNextPlanes(in Region region, float* planes, int z, bool isFirst)
    {
        int pad = shape.KernelSize / 2;
        for (int from = isFirst ? Math.Max(z - pad, 0) : z + pad; from <= Math.Min(z + pad, shape.Depth - 1); from++)
        {
            float* to = planes + Slot(from) * region.PlaneLength;
            for (int y = region.Y - pad; y < region.Y + region.Height + pad; y++)
            {
                float* firstChannel = to;
                foreach (ref readonly HostActivations source in sources.AsSpan())
                {
                    source.PackRow<TVector, TOps>(
                        region.N,
                        from,
                        y,
                        region.X - pad,
                        region.X + region.Width + pad,
                        firstChannel,
                        source.Channels,
                        sourceChannels);
                    firstChannel += source.Channels;
                }

                to += region.RowLength;
            }
        }
    }

    private nint* VoxelOffsets(in Region region, Worker worker)
    {
        nint* offsets = worker.Offsets.Require<nint>(region.Height * region.Width + HostTile<TVector, TOps>.Rows);
        nint* offset = offsets;
        for (int y = 0; y < region.Height; y++)
        {
            for (int x = 0; x < region.Width; x++)
                *offset++ = y * region.RowLength + (nint)x * sourceChannels;
        }

        // Beyond the end the last voxel again: computed, not stored.
        for (int i = 0; i < HostTile<TVector, TOps>.Rows; i++)
            offset[i] = offset[-1];
        return offsets;
    }

    // The part of a volume's plane that is worked on; lengths of its packed rows and planes, borders
    // included, in floats.
    private readonly record struct Region(int N, int Y, int X, int Height, int Width, nint RowLength, nint PlaneLength);

    private sealed class Worker : IDisposable
    {
        public HostScratch Source { get; } = new();

        public HostScratch Gradients { get; } = new();

        public HostScratch Offsets { get; } = new();

        public HostScratch Segments { get; } = new();

        public void Dispose()
        {
            Source.Dispose();
            Gradients.Dispose();
            Offsets.Dispose();
            Segments.Dispose();
        }
    }
}
