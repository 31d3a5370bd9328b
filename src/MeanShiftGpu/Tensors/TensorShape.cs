namespace MeanShiftGpu.Tensors;

/// <summary>Extents of an activation [N, D, H, W, C].</summary>
/// <param name="Batch">N, the volumes of a batch.</param>
/// <param name="Depth">D, voxels along z.</param>
/// <param name="Height">H, voxels along y.</param>
/// <param name="Width">W, voxels along x.</param>
/// <param name="Channels">C, fastest in memory.</param>
public readonly record struct TensorShape(int Batch, int Depth, int Height, int Width, int Channels)
{
    /// <summary>A single number.</summary>
    public static readonly TensorShape Scalar = new(1, 1, 1, 1, 1);

    /// <summary>N·D·H·W.</summary>
    public long Voxels => (long)Batch * Depth * Height * Width;

    /// <summary>N·D·H·W·C.</summary>
    public long Length => Voxels * Channels;

    /// <inheritdoc/>
    public override string ToString() => $"[{Batch}, {Depth}, {Height}, {Width}, {Channels}]";
}
