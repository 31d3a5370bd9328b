namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// Extents of a transposed 3D convolution with kernel 2³ and stride 2: every input voxel becomes a cube of 2³
/// output voxels, which do not overlap. Activations are channels-last; a pitch is the number of elements from
/// one voxel to the next, so that a tensor may be a slice of the channels of a wider one (pitch ≥ channels).
/// </summary>
/// <param name="Batch">N.</param>
/// <param name="Depth">D, input voxels along z; the output has twice as many.</param>
/// <param name="Height">H, input voxels along y; the output has twice as many.</param>
/// <param name="Width">W, input voxels along x; the output has twice as many.</param>
/// <param name="InputChannels">Cin.</param>
/// <param name="OutputChannels">Cout.</param>
/// <param name="InputPitch">Elements from one input voxel to the next; also of gradInput.</param>
/// <param name="OutputPitch">Elements from one output voxel to the next; also of gradOutput.</param>
public readonly record struct ConvTranspose3dShape(
    int Batch,
    int Depth,
    int Height,
    int Width,
    int InputChannels,
    int OutputChannels,
    int InputPitch,
    int OutputPitch)
{
    /// <summary>Whole tensors, whose voxels follow each other without a gap.</summary>
    /// <param name="batch">N.</param>
    /// <param name="extent">(D, H, W) of the input in voxels; the output has twice as many along each
    /// axis.</param>
    /// <param name="inputChannels">Cin.</param>
    /// <param name="outputChannels">Cout.</param>
    public static ConvTranspose3dShape Dense(
        int batch, (int Depth, int Height, int Width) extent, int inputChannels, int outputChannels)
        => new(batch, extent.Depth, extent.Height, extent.Width, inputChannels, outputChannels, inputChannels, outputChannels);

    /// <summary>N·D·H·W, the voxels of the input.</summary>
    public long InputVoxels => (long)Batch * Depth * Height * Width;

    /// <summary>8·N·D·H·W, the voxels of the output.</summary>
    public long OutputVoxels => 8 * InputVoxels;

    /// <summary>Number of weights: 8·Cin·Cout.</summary>
    public long WeightLength => 8L * InputChannels * OutputChannels;

    /// <summary>Multiplications and additions of one pass.</summary>
    public double Operations => 2.0 * InputVoxels * WeightLength;

    /// <summary>Throws where an extent makes no sense; otherwise the number of input voxels.</summary>
    internal long Check(in Launch launch)
    {
        launch.Least(InputChannels, 1, "input channels");
        launch.Least(OutputChannels, 1, "output channels");
        launch.Product("weights", 8, InputChannels, OutputChannels);
        return launch.Product("output voxels", 8, Batch, Depth, Height, Width) / 8;
    }

    /// <summary>
    /// The output voxel 2v + corner of an input voxel v. Items need no care: n·2D + 2z doubles like z.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal long OutputVoxel(long voxel, int corner)
    {
        long row = voxel / Width;
        long x = voxel - row * Width;
        long slice = row / Height;
        long y = row - slice * Height;
        return ((2 * slice + corner / 4) * (2L * Height) + 2 * y + corner / 2 % 2) * (2L * Width) + 2 * x + corner % 2;
    }
}
