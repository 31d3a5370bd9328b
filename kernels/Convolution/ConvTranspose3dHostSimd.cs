using System.Runtime.Intrinsics;
using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The transposed convolution on the processor's vectors and cores, for buffers of the CPU accelerator.
/// float32. Results do not depend on the number of threads.
/// </summary>
internal static class ConvTranspose3dHostSimd
{
    /// <summary>Uses the widest vectors of this processor.</summary>
    /// <param name="threads">The threads to share the work among; they may be shared with other host
    /// variants.</param>
    public static IConvTranspose3d<float, float> Create(HostThreads threads) => Create(threads, HostVector.PreferredBits);

    internal static IConvTranspose3d<float, float> Create(HostThreads threads, int vectorBits) => vectorBits switch
    {
        512 => new ConvTranspose3dHostSimd<Vector512<float>, HostVector512>(threads),
        256 => new ConvTranspose3dHostSimd<Vector256<float>, HostVector256>(threads),
        128 => new ConvTranspose3dHostSimd<Vector128<float>, HostVector128>(threads),
        _ => throw HostVector.Unknown(vectorBits),
    };
}

/// <summary>
/// The three passes for one width of vectors. All are products of matrices with one row per input voxel,
/// whose activations are read in place; nothing overlaps, so there are no borders.
/// </summary>
internal sealed unsafe class ConvTranspose3dHostSimd<TVector, TOps>(HostThreads threads) : IConvTranspose3d<float, float>
    where TVector : unmanaged
    where TOps : struct, IHostVector<TVector>
{
    private const int Taps = 8;

    // Input voxels of one chunk of work: whole tiles, whose activations stay in the second-level cache for
    // all columns.
    private const int ChunkVoxels = 16 * 6;

    // A weight gradient's voxels are summed in at most this many parts, each with its own copy of the
    // weights, which are added in order.
    private const int MostParts = 16;

    // Voxels per step of a weight gradient: their activations stay in the first-level cache.
    private const int StepVoxels = 64;

    private readonly HostScratch weights = new(); // packed, or a gradient's parts
    private readonly HostScratch columnBias = new();
    private readonly HostScratch gradients = new();
    private readonly HostScratch rows = new();

    void IConvTranspose3d<float, float>.LaunchForward(
        AcceleratorStream stream, ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, ArrayView<float> output,
        ConvTranspose3dShape shape)
        => Multiply(input.Pointer(), weight.Pointer(), bias.Pointer(), output.Pointer(), shape, gathers: false);

    void IConvTranspose3d<float, float>.LaunchBackwardInput(
        AcceleratorStream stream, ArrayView<float> gradOutput, ArrayView<float> weight, ArrayView<float> gradInput,
        ConvTranspose3dShape shape)
        => Multiply(gradInput.Pointer(), weight.Pointer(), null, gradOutput.Pointer(), shape, gathers: true);

    void IConvTranspose3d<float, float>.LaunchBackwardWeight(
        AcceleratorStream stream, ArrayView<float> input, ArrayView<float> gradOutput, ArrayView<float> gradWeight,
        ArrayView<float> gradBias, ConvTranspose3dShape shape)
    {
        int columns = HostMatrix<TVector, TOps>.Columns(shape.OutputChannels);
        long steps = (shape.InputVoxels + StepVoxels - 1) / StepVoxels;
        long partVoxels = (steps + MostParts - 1) / MostParts * StepVoxels;
        int partCount = (int)((shape.InputVoxels + partVoxels - 1) / partVoxels);

        // A part's sums: [taps, Cin, columns] of the weights, then [columns] of the bias.
        long partLength = ((long)Taps * shape.InputChannels + 1) * columns;
        float* parts = weights.Require<float>(partCount * partLength);
        float* packed = gradients.Require<float>((long)threads.Count * StepVoxels * columns);
        nint* offsets = rows.Require<nint>(shape.InputChannels + HostTile<TVector, TOps>.Rows);
        for (int i = 0; i < shape.InputChannels + HostTile<TVector, TOps>.Rows; i++)
            offsets[i] = Math.Min(i, shape.InputChannels - 1);

        float* x = input.Pointer();
        float* g = gradOutput.Pointer();
        float* gw = gradWeight.Pointer();
        float* gb = gradBias.Pointer();
        threads.For(partCount, (part, worker) =>
        {
            float* sums = parts + part * partLength;
            new Span<float>(sums, checked((int)partLength)).Clear();
            long end = Math.Min((part + 1) * partVoxels, shape.InputVoxels);
            for (long first = part * partVoxels; first < end; first += StepVoxels)
            {
                int voxels = (int)Math.Min(StepVoxels, end - first);
                AddStep(x, g, first, voxels, packed + (long)worker * StepVoxels * columns, offsets, sums, shape);
            }
        });
        threads.For(Taps + 1, (tap, _) =>
        {
            long first = (long)tap * shape.InputChannels;
            int count = tap < Taps ? shape.InputChannels : 1;
            float* target = tap < Taps ? gw + first * shape.OutputChannels : gb;
            HostMatrix<TVector, TOps>.AddParts(
                parts + first * columns, partLength, partCount, count, shape.OutputChannels, target);
        });
    }

    public void Dispose()
    {
        weights.Dispose();
        columnBias.Dispose();
        gradients.Dispose();
        rows.Dispose();
    }

    private void Multiply(float* small, float* weight, float* bias, float* large, ConvTranspose3dShape shape, bool gathers)
    {
        (int sources, int targets) =
            gathers ? (shape.OutputChannels, shape.InputChannels) : (shape.InputChannels, shape.OutputChannels);
        float* packed = weights.Require<float>((long)Taps * sources * HostMatrix<TVector, TOps>.Columns(targets));
        HostMatrix<TVector, TOps>.PackBias(bias, columnBias, targets);
        float* packedBias = columnBias.Require<float>(0);
        threads.For(Taps, (tap, _) => HostMatrix<TVector, TOps>.PackWeights(
            weight + (long)tap * sources * targets, packed, tap, Taps, sources, targets, transposed: gathers));
        threads.For(
            checked((int)((shape.InputVoxels + ChunkVoxels - 1) / ChunkVoxels)),
            (chunk, _) => MultiplyChunk(
                (long)chunk * ChunkVoxels, small, packed, packedBias, large, sources, targets, shape, gathers));
    }

    // Forward: each corner of the cubes is a product of its own, [voxels, Cin] times [Cin, Cout]. Backward to
    // the input, gathers: one product, [voxels, corner and Cout] times [corner and Cout, Cin]; a segment is
    // one corner's channels.
    private static void MultiplyChunk(
        long first, float* small, float* packed, float* bias, float* large, int sources, int targets, ConvTranspose3dShape shape,
        bool gathers)
    {
        int voxels = (int)Math.Min(ChunkVoxels, shape.InputVoxels - first);
        int columns = HostMatrix<TVector, TOps>.Columns(targets);
        int products = gathers ? 1 : Taps;
        long* cubes = stackalloc long[ChunkVoxels];
        nint* offsets = stackalloc nint[ChunkVoxels];
        for (int v = 0; v < ChunkVoxels; v++)
        {
            // Beyond the end the last voxel again: computed, not stored.
            long voxel = first + Math.Min(v, voxels - 1);
            cubes[v] = shape.OutputVoxel(voxel, 0);
            offsets[v] = (nint)(gathers ? cubes[v] * shape.OutputPitch : voxel * shape.InputPitch);
        }

        nint* segments = stackalloc nint[Taps];
        for (int tap = 0; tap < Taps; tap++)
            segments[tap] = gathers ? (nint)(shape.OutputVoxel(0, tap) * shape.OutputPitch) : 0;

        float* tile = stackalloc float[HostTile<TVector, TOps>.Rows * 2 * TOps.Width];
        for (int column = 0; column < columns; column += 2 * TOps.Width)
        {
            int group = HostMatrix<TVector, TOps>.Group(column, columns);
            int present = Math.Min(group, targets - column);
            for (int tap = 0; tap < products; tap++)
            {
                float* tapWeights = packed + (long)sources * (column * Taps + tap * group);
                long corner = shape.OutputVoxel(0, tap);
                for (int v = 0; v < voxels; v += HostTile<TVector, TOps>.Rows)
                {
                    HostTile<TVector, TOps>.Overwrite(
                        group / TOps.Width, gathers ? large : small, offsets + v, segments, Taps / products, sources, 1,
                        tapWeights, group, tile, group);
                    for (int j = 0; j < Math.Min(HostTile<TVector, TOps>.Rows, voxels - v); j++)
                    {
                        float* target = gathers
                            ? small + (first + v + j) * shape.InputPitch
                            : large + (cubes[v + j] + corner) * shape.OutputPitch;
                        HostMatrix<TVector, TOps>.StoreRow(
                            tile + j * group, bias + column, target + column, present, relu: false);
                    }
                }
            }
        }
    }

    // A few of a part's input voxels: for each corner [Cin, voxels] times [voxels, Cout], packed as
    // [voxel][columns], zero beyond the last channel.
    private static void AddStep(
        float* input, float* gradOutput, long first, int voxels, float* packed, nint* offsets, float* sums,
        ConvTranspose3dShape shape)
    {
        int columns = HostMatrix<TVector, TOps>.Columns(shape.OutputChannels);
        nint segment = 0;
        for (int tap = 0; tap < Taps; tap++)
        {
            for (int v = 0; v < voxels; v++)
            {
                Span<float> row = new(packed + (long)v * columns, columns);
                float* source = gradOutput + shape.OutputVoxel(first + v, tap) * shape.OutputPitch;
                new Span<float>(source, shape.OutputChannels).CopyTo(row);
                row[shape.OutputChannels..].Clear();
            }

            HostMatrix<TVector, TOps>.AddRows(packed, voxels, columns, sums + (long)Taps * shape.InputChannels * columns);
            HostMatrix<TVector, TOps>.AddProduct(
                shape.InputChannels, columns, input + first * shape.InputPitch, offsets, &segment, 1, voxels, shape.InputPitch,
                packed, sums + (long)tap * shape.InputChannels * columns);
        }
    }
}
