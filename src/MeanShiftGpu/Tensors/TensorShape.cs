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

    /// <summary>
    /// The same, refused where an extent is negative or the product is more than any memory holds.
    /// </summary>
    internal long CheckedLength
    {
        get
        {
            if (Batch < 0 || Depth < 0 || Height < 0 || Width < 0 || Channels < 1)
                throw new ArgumentException(
                    $"The shape of a tensor is {this}. Expected extents of 0 or more, and 1 channel or more.");
            // Doubles do not overflow.
            if ((double)Batch * Depth * Height * Width * Channels > 1e15)
                throw new ArgumentException($"The shape of a tensor is {this}. Expected no more elements than memory holds.");
            return Length;
        }
    }

    /// <inheritdoc/>
    public override string ToString() => $"[{Batch}, {Depth}, {Height}, {Width}, {Channels}]";
}
