using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// Channels-last activations [N, D, H, W, C] in host memory, read row by row into packed, zero-padded
/// scratch, optionally through a gate: 0 where the gate's value is not above 0 (the derivative of ReLU, the
/// gate being its output). Memory may hold a few planes of the D only, plane z at z mod ring.
/// </summary>
internal readonly unsafe struct HostActivations(
    float* values, float* gate, int depth, int ring, int height, int width, int channels, int pitch)
{
    /// <summary>A convolution's input.</summary>
    public static HostActivations[] OfInputs(ReadOnlySpan<PlaneInput<float>> inputs, Conv3dShape shape)
    {
        HostActivations[] sources = new HostActivations[inputs.Length];
        for (int i = 0; i < sources.Length; i++)
            sources[i] = new(
                inputs[i].View.Pointer(),
                null,
                shape.Depth,
                inputs[i].Ring,
                shape.Height,
                shape.Width,
                inputs[i].Channels,
                inputs[i].Pitch);
        return sources;
    }

    /// <summary>
    /// The gradient that arrives at a convolution's output, through the mask of ReLU if that was applied.
    /// </summary>
    public static HostActivations OfGradient(ArrayView<float> gradOutput, ArrayView<float> output, Conv3dShape shape)
        => new(
            gradOutput.Pointer(),
            shape.Activation == Activation.Relu ? output.Pointer() : null,
            shape.Depth,
            shape.Depth,
            shape.Height,
            shape.Width,
            shape.OutputChannels,
            shape.OutputPitch);

    /// <summary>Channels of a voxel.</summary>
    public int Channels { get; } = channels;

    /// <summary>Elements from one voxel to the next.</summary>
    public int Pitch { get; } = pitch;

    /// <summary>Whether values pass a gate.</summary>
    public bool IsGated => gate != null;

    /// <summary>
    /// The addresses of a row's first voxel and of its gate; false where the row is outside the volume.
    /// </summary>
    public bool TryRow(int n, int z, int y, ref float* row, ref float* rowGate)
    {
        if (z < 0 || z >= depth || y < 0 || y >= height)
            return false;
        long offset = (((long)n * ring + z % ring) * height + y) * width * Pitch;
        row = values + offset;
        rowGate = gate + offset;
        return true;
    }

    /// <summary>
    /// Packs the voxels xBegin ≤ x &lt; xEnd of one row as [x][packedChannels], zero outside the volume and
    /// in the channels that are not there; from one x to the next are packedPitch floats.
    /// </summary>
    public void PackRow<TVector, TOps>(
        int n, int z, int y, int xBegin, int xEnd, float* target, int packedChannels, int packedPitch)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
    {
        int first = Math.Max(xBegin, 0);
        int last = Math.Min(xEnd, width);
        if (z < 0 || z >= depth || y < 0 || y >= height || first >= last)
        {
            Clear(target, xEnd - xBegin, packedChannels, packedPitch);
            return;
        }

        Clear(target, first - xBegin, packedChannels, packedPitch);
        target += (long)(first - xBegin) * packedPitch;
        long source = ((((long)n * ring + z % ring) * height + y) * width + first) * Pitch;
        if (Pitch == Channels && packedPitch == Channels)
        {
            int count = (last - first) * Channels;
            PackRun<TVector, TOps>(source, target, count);
            target += count;
        }
        else
        {
            for (int x = first; x < last; x++)
            {
                PackRun<TVector, TOps>(source, target, Channels);
                for (int c = Channels; c < packedChannels; c++)
                    target[c] = 0;
                target += packedPitch;
                source += Pitch;
            }
        }

        Clear(target, xEnd - last, packedChannels, packedPitch);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void PackRun<TVector, TOps>(long source, float* target, int count)
        where TVector : unmanaged
        where TOps : struct, IHostVector<TVector>
    {
        float* from = values + source;
        int i = 0;
        if (gate == null)
        {
            for (; i <= count - TOps.Width; i += TOps.Width)
                TOps.Store(TOps.Load(from + i), target + i);
            for (; i < count; i++)
                target[i] = from[i];
            return;
        }

        float* open = gate + source;
        for (; i <= count - TOps.Width; i += TOps.Width)
            TOps.Store(TOps.WherePositive(TOps.Load(open + i), TOps.Load(from + i)), target + i);
        for (; i < count; i++)
            target[i] = open[i] > 0 ? from[i] : 0;
    }

    private static void Clear(float* target, int voxels, int channels, int pitch)
    {
        if (pitch == channels)
        {
            new Span<float>(target, checked(voxels * channels)).Clear();
            return;
        }

        for (int voxel = 0; voxel < voxels; voxel++, target += pitch)
            new Span<float>(target, channels).Clear();
    }
}
