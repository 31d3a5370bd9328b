namespace MeanShiftGpu.Kernels.Pooling;

/// <summary>
/// Extents of a 3D maximum over windows of 2 × 2 × 2 voxels, stride 2. Activations are channels-last; a pitch
/// is the number of elements from one voxel to the next (pitch ≥ channels).
/// </summary>
/// <param name="Batch">N.</param>
/// <param name="Depth">D of the input, voxels along z; even.</param>
/// <param name="Height">H of the input, voxels along y; even.</param>
/// <param name="Width">W of the input, voxels along x; even.</param>
/// <param name="Channels">C.</param>
/// <param name="InputPitch">Elements from one input voxel to the next; also of gradInput.</param>
/// <param name="OutputPitch">Elements from one output voxel to the next; also of gradOutput.</param>
/// <param name="Accumulate">
/// 0: the backward pass overwrites gradInput. 1: it adds to gradInput, for a tensor that a skip connection
/// also reads.
/// </param>
public readonly record struct MaxPool3dShape(
    int Batch,
    int Depth,
    int Height,
    int Width,
    int Channels,
    int InputPitch,
    int OutputPitch,
    int Accumulate = 0)
{
    /// <summary>Whole tensors, whose voxels follow each other without a gap.</summary>
    /// <param name="batch">N.</param>
    /// <param name="extent">(D, H, W) of the input in voxels, all even.</param>
    /// <param name="channels">C.</param>
    public static MaxPool3dShape Dense(int batch, (int Depth, int Height, int Width) extent, int channels)
        => new(batch, extent.Depth, extent.Height, extent.Width, channels, channels, channels);

    /// <summary>Voxels of the output: N·(D/2)·(H/2)·(W/2).</summary>
    public long OutputVoxels => (long)Batch * (Depth / 2) * (Height / 2) * (Width / 2);

    /// <summary>Voxels of the input: N·D·H·W.</summary>
    public long InputVoxels => OutputVoxels * 8;

    /// <summary>Throws where an extent makes no sense; otherwise the number of input voxels.</summary>
    internal long Check(in Launch launch)
    {
        if (Depth % 2 != 0 || Height % 2 != 0 || Width % 2 != 0)
            throw launch.Refusal("shape", $"has {Depth}×{Height}×{Width} voxels, expected even extents, which windows of 2³ "
                + "divide.");
        return launch.Product("voxels", Batch, Depth, Height, Width);
    }
}
