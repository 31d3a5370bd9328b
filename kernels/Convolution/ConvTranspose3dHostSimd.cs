using System.Runtime.Intrinsics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The transposed convolution on the processor's vectors and cores, for buffers of the CPU accelerator. float32. Results do not
/// depend on the number of threads. Launchers return when the work is done.
/// </summary>
public sealed class ConvTranspose3dHostSimd : IConvTranspose3d<float, float>
{
    private readonly IConvTranspose3d<float, float> kernels;

    /// <summary>Uses the widest vectors of this processor.</summary>
    /// <param name="threads">The threads to share the work among; they may be shared with other host variants.</param>
    public ConvTranspose3dHostSimd(HostThreads threads)
        : this(threads, HostVector.PreferredBits)
    {
    }

    internal ConvTranspose3dHostSimd(HostThreads threads, int vectorBits)
    {
        ArgumentNullException.ThrowIfNull(threads);
        kernels = vectorBits switch
        {
            512 => new ConvTranspose3dHostKernels<Vector512<float>, HostVector512>(threads),
            256 => new ConvTranspose3dHostKernels<Vector256<float>, HostVector256>(threads),
            _ => new ConvTranspose3dHostKernels<Vector128<float>, HostVector128>(threads),
        };
    }

    /// <inheritdoc/>
    public void Forward(AcceleratorStream stream, ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output, ConvTranspose3dShape shape)
        => kernels.Forward(stream, input, weight, bias, output, shape);

    /// <inheritdoc/>
    public void BackwardInput(AcceleratorStream stream, ArrayView<float> gradOutput, ArrayView<float> weight, ArrayView<float> gradInput, ConvTranspose3dShape shape)
        => kernels.BackwardInput(stream, gradOutput, weight, gradInput, shape);

    /// <inheritdoc/>
    public void BackwardWeight(AcceleratorStream stream, ArrayView<float> input, ArrayView<float> gradOutput, ArrayView<float> gradWeight, ArrayView<float> gradBias, ConvTranspose3dShape shape)
        => kernels.BackwardWeight(stream, input, gradOutput, gradWeight, gradBias, shape);

    /// <inheritdoc/>
    public void Dispose() => kernels.Dispose();
}

/// <summary>
/// The three passes for one width of vectors. All are products of matrices with one row per input voxel, whose
/// activations are read in place; nothing overlaps, so there are no borders.
/// </summary>
internal sealed unsafe class ConvTranspose3dHostKernels<TVector, TOps> : IConvTranspose3d<float, float>
    where TVector : unmanaged
    where TOps : struct, IHostVector<TVector>
{
    private const int Taps = 8;

    // Input voxels of one chunk of work: whole tiles, whose activations stay in the second-level cache for all columns.
    private const int ChunkVoxels = 16 * 6;

    // A weight gradient's voxels are summed in at most this many parts, each with its own copy of the weights, which are
    // added in order.
    private const int MostParts = 16;

    // Voxels per step of a weight gradient: their activations stay in the first-level cache.
    private const int StepVoxels = 64;

    private readonly HostThreads threads;
    private readonly Worker[] workers;
    private readonly HostScratch packedWeights = new();
    private readonly HostScratch packedBias = new();
    private readonly HostScratch parts = new();
    private readonly Action<int, int> packWeights;
    private readonly Action<int, int> forwardChunk;
    private readonly Action<int, int> backwardInputChunk;
    private readonly Action<int, int> sumPart;
    private readonly Action<int, int> reduceParts;

    // The pass in progress; every chunk of work reads these.
    private ConvTranspose3dShape shape;
    private float* input;
    private float* output;
    private float* weight;
    private float* bias;
    private int sourceChannels;
    private int targetChannels;
    private bool transposed;
    private long partVoxels;
    private int partCount;

    public ConvTranspose3dHostKernels(HostThreads threads)
    {
        this.threads = threads;
        workers = [.. Enumerable.Range(0, threads.Count).Select(_ => new Worker())];
        packWeights = PackWeights;
        forwardChunk = ForwardChunk;
        backwardInputChunk = BackwardInputChunk;
        sumPart = SumPart;
        reduceParts = ReduceParts;
    }

    public void Forward(AcceleratorStream stream, ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output, ConvTranspose3dShape shape)
    {
        Begin(input, weight, bias, output, shape);
        Multiply(shape.InputChannels, shape.OutputChannels, isTransposed: false, forwardChunk);
    }

    public void BackwardInput(AcceleratorStream stream, ArrayView<float> gradOutput, ArrayView<float> weight, ArrayView<float> gradInput, ConvTranspose3dShape shape)
    {
        Begin(gradInput, weight, default, gradOutput, shape);
        Multiply(shape.OutputChannels, shape.InputChannels, isTransposed: true, backwardInputChunk);
    }

    public void BackwardWeight(AcceleratorStream stream, ArrayView<float> input, ArrayView<float> gradOutput, ArrayView<float> gradWeight, ArrayView<float> gradBias, ConvTranspose3dShape shape)
    {
        if (shape.InputVoxels == 0)
            return;
        Begin(input, gradWeight, gradBias, gradOutput, shape);
        targetChannels = shape.OutputChannels;
        long steps = (shape.InputVoxels + StepVoxels - 1) / StepVoxels;
        partVoxels = (steps + MostParts - 1) / MostParts * StepVoxels;
        partCount = (int)((shape.InputVoxels + partVoxels - 1) / partVoxels);
        parts.Require<float>(partCount * PartLength);
        threads.For(partCount, sumPart);
        threads.For(Taps + 1, reduceParts);
    }

    public void Dispose()
    {
        packedWeights.Dispose();
        packedBias.Dispose();
        parts.Dispose();
        foreach (Worker worker in workers)
            worker.Dispose();
    }

    private void Begin(ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output, ConvTranspose3dShape shape)
    {
        this.shape = shape;
        this.input = input.Pointer();
        this.weight = weight.Pointer();
        this.bias = bias.Pointer();
        this.output = output.Pointer();
    }

    private void Multiply(int source, int target, bool isTransposed, Action<int, int> chunk)
    {
        sourceChannels = source;
        targetChannels = target;
        transposed = isTransposed;
        int columns = HostMatrix<TVector, TOps>.Columns(target);
        packedWeights.Require<float>((long)Taps * source * columns);
        HostMatrix<TVector, TOps>.PackBias(bias, packedBias, target);
        threads.For(Taps, packWeights);
        threads.For(checked((int)((shape.InputVoxels + ChunkVoxels - 1) / ChunkVoxels)), chunk);
    }

    private void PackWeights(int tap, int workerIndex)
        => HostMatrix<TVector, TOps>.PackWeights(
            weight + (long)tap * shape.InputChannels * shape.OutputChannels,
            packedWeights.Require<float>(0),
            tap,
            Taps,
            sourceChannels,
            targetChannels,
            transposed);

    // Each corner of the cubes is a product of its own: [voxels, Cin] times [Cin, Cout].
    private void ForwardChunk(int index, int workerIndex)
    {
        long first = (long)index * ChunkVoxels;
        int voxels = (int)Math.Min(ChunkVoxels, shape.InputVoxels - first);
        int columns = HostMatrix<TVector, TOps>.Columns(targetChannels);
        float* packed = packedWeights.Require<float>(0);
        float* columnBias = packedBias.Require<float>(0);
        long* corners = stackalloc long[ChunkVoxels];
        nint* offsets = stackalloc nint[ChunkVoxels];
        for (int v = 0; v < ChunkVoxels; v++)
        {
            // Beyond the end the last voxel again: computed, not stored.
            long voxel = first + Math.Min(v, voxels - 1);
            offsets[v] = (nint)(voxel * shape.InputPitch);
            corners[v] = OutputVoxel(voxel);
        }

        nint segment = 0;
        float* tile = stackalloc float[HostTile<TVector, TOps>.Rows * 2 * TOps.Width];
        for (int column = 0; column < columns; column += 2 * TOps.Width)
        {
            int group = HostMatrix<TVector, TOps>.Group(column, columns);
            int present = Math.Min(group, targetChannels - column);
            for (int tap = 0; tap < Taps; tap++)
            {
                float* tapWeights = packed + (long)sourceChannels * (column * Taps + tap * group);
                long corner = OutputOffset(tap);
                for (int v = 0; v < voxels; v += HostTile<TVector, TOps>.Rows)
                {
                    HostTile<TVector, TOps>.Overwrite(group / TOps.Width, input, offsets + v, &segment, 1, sourceChannels, 1, tapWeights, group, tile, group);
                    for (int j = 0; j < Math.Min(HostTile<TVector, TOps>.Rows, voxels - v); j++)
                        HostMatrix<TVector, TOps>.StoreRow(tile + j * group, columnBias + column, output + (corners[v + j] + corner) * shape.OutputPitch + column, present, relu: false);
                }
            }
        }
    }

    // One product: [voxels, corner and Cout] times [corner and Cout, Cin]; a segment is one corner's channels.
    private void BackwardInputChunk(int index, int workerIndex)
    {
        long first = (long)index * ChunkVoxels;
        int voxels = (int)Math.Min(ChunkVoxels, shape.InputVoxels - first);
        int columns = HostMatrix<TVector, TOps>.Columns(targetChannels);
        float* packed = packedWeights.Require<float>(0);
        float* columnBias = packedBias.Require<float>(0);
        nint* offsets = stackalloc nint[ChunkVoxels];
        for (int v = 0; v < ChunkVoxels; v++)
            offsets[v] = (nint)(OutputVoxel(first + Math.Min(v, voxels - 1)) * shape.OutputPitch);
        nint* segments = stackalloc nint[Taps];
        for (int tap = 0; tap < Taps; tap++)
            segments[tap] = (nint)(OutputOffset(tap) * shape.OutputPitch);

        float* tile = stackalloc float[HostTile<TVector, TOps>.Rows * 2 * TOps.Width];
        for (int column = 0; column < columns; column += 2 * TOps.Width)
        {
            int group = HostMatrix<TVector, TOps>.Group(column, columns);
            int present = Math.Min(group, targetChannels - column);
            float* groupWeights = packed + (long)sourceChannels * column * Taps;
            for (int v = 0; v < voxels; v += HostTile<TVector, TOps>.Rows)
            {
                HostTile<TVector, TOps>.Overwrite(group / TOps.Width, output, offsets + v, segments, Taps, sourceChannels, 1, groupWeights, group, tile, group);
                for (int j = 0; j < Math.Min(HostTile<TVector, TOps>.Rows, voxels - v); j++)
                    HostMatrix<TVector, TOps>.StoreRow(tile + j * group, columnBias + column, input + (first + v + j) * shape.InputPitch + column, present, relu: false);
            }
        }
    }

    // One part of the input voxels, a few at a time: for each corner [Cin, voxels] times [voxels, Cout].
    private void SumPart(int part, int workerIndex)
    {
        int columns = HostMatrix<TVector, TOps>.Columns(targetChannels);
        float* sums = PartSums(part);
        new Span<float>(sums, checked((int)PartLength)).Clear();
        float* biasSums = sums + (long)Taps * shape.InputChannels * columns;
        float* packed = workers[workerIndex].Gradients.Require<float>(StepVoxels * columns);
        int paddedRows = shape.InputChannels + HostTile<TVector, TOps>.Rows;
        nint* offsets = workers[workerIndex].Offsets.Require<nint>(paddedRows);
        for (int i = 0; i < paddedRows; i++)
            offsets[i] = Math.Min(i, shape.InputChannels - 1);

        nint segment = 0;
        long end = Math.Min((part + 1) * partVoxels, shape.InputVoxels);
        for (long first = part * partVoxels; first < end; first += StepVoxels)
        {
            int voxels = (int)Math.Min(StepVoxels, end - first);
            for (int tap = 0; tap < Taps; tap++)
            {
                PackGradients(first, voxels, tap, packed, columns);
                HostMatrix<TVector, TOps>.AddRows(packed, voxels, columns, biasSums);
                HostMatrix<TVector, TOps>.AddProduct(
                    shape.InputChannels,
                    columns,
                    input + first * shape.InputPitch,
                    offsets,
                    &segment,
                    1,
                    voxels,
                    shape.InputPitch,
                    packed,
                    sums + (long)tap * shape.InputChannels * columns);
            }
        }
    }

    // One corner of the cubes of consecutive input voxels, as [voxel][columns], zero beyond the last channel.
    private void PackGradients(long first, int voxels, int tap, float* packed, int columns)
    {
        long corner = OutputOffset(tap);
        for (int v = 0; v < voxels; v++)
        {
            Span<float> row = new(packed + (long)v * columns, columns);
            new Span<float>(output + (OutputVoxel(first + v) + corner) * shape.OutputPitch, targetChannels).CopyTo(row);
            row[targetChannels..].Clear();
        }
    }

    private void ReduceParts(int tap, int workerIndex)
    {
        long first = (long)tap * shape.InputChannels;
        HostMatrix<TVector, TOps>.AddParts(
            PartSums(0) + first * HostMatrix<TVector, TOps>.Columns(targetChannels),
            PartLength,
            partCount,
            tap < Taps ? shape.InputChannels : 1,
            targetChannels,
            tap < Taps ? weight + first * targetChannels : bias);
    }

    // A part's sums: [taps, Cin, columns] of the weights, then [columns] of the bias.
    private long PartLength => ((long)Taps * shape.InputChannels + 1) * HostMatrix<TVector, TOps>.Columns(targetChannels);

    private float* PartSums(int part) => parts.Require<float>(0) + part * PartLength;

    // The output voxel at the first corner of an input voxel's cube; n·D + z doubles like z.
    private long OutputVoxel(long voxel)
    {
        long x = voxel % shape.Width;
        long y = voxel / shape.Width % shape.Height;
        long z = voxel / ((long)shape.Width * shape.Height);
        return (4 * z * shape.Height + 2 * y) * 2 * shape.Width + 2 * x;
    }

    private long OutputOffset(int tap) => ((long)(tap / 4) * 2 * shape.Height + tap / 2 % 2) * 2 * shape.Width + tap % 2;

    private sealed class Worker : IDisposable
    {
        public HostScratch Gradients { get; } = new();

        public HostScratch Offsets { get; } = new();

        public void Dispose()
        {
            Gradients.Dispose();
            Offsets.Dispose();
        }
    }
}
