namespace MeanShiftGpu.Geometry;

/// <summary>
/// A volume of float32 voxels, indexed (z, y, x) with x fastest, and its voxel size. The voxels lie in
/// managed memory, in blocks of whole slices of at most 1 GiB (one larger slice is a block of its own), so a
/// volume may have more than 2³¹ voxels; whatever is smaller than a block is contiguous. Spans stay valid as
/// long as anybody holds them. <see cref="Dispose"/> lets go of the memory early; without it the garbage
/// collector does.
/// </summary>
public sealed class Volume : IVoxelSource, IVoxelSink, IDisposable
{
    private const int BlockVoxels = 1 << 28;

    private readonly int slicesPerBlock;
    private float[]?[] blocks;

    /// <summary>Creates a volume of zeros.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A dimension is below 1, or a slice has more than 2³¹
    /// voxels.</exception>
    public Volume(Extent shape, VoxelSize voxelSize = default)
        : this(shape, voxelSize, allocate: true)
    {
    }

    /// <summary>Creates a volume of zeros.</summary>
    public Volume(int depth, int height, int width, VoxelSize voxelSize = default)
        : this(new Extent(depth, height, width), voxelSize, allocate: true)
    {
    }

    /// <summary>
    /// Creates a volume whose blocks are allocated when they are first touched, so that a reader of a
    /// compressed file takes no memory for voxels that a wrong header only promises. One thread must touch
    /// every block before others read.
    /// </summary>
    internal Volume(Extent shape, VoxelSize voxelSize, bool allocate)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(shape.Depth, 1, nameof(shape));
        ArgumentOutOfRangeException.ThrowIfLessThan(shape.Height, 1, nameof(shape));
        ArgumentOutOfRangeException.ThrowIfLessThan(shape.Width, 1, nameof(shape));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((long)shape.Height * shape.Width, Array.MaxLength, nameof(shape));
        Size = shape;
        VoxelSize = voxelSize;
        SliceLength = shape.Height * shape.Width;
        slicesPerBlock = Math.Min(shape.Depth, Math.Max(1, BlockVoxels / SliceLength));
        blocks = new float[]?[((shape.Depth - 1) / slicesPerBlock) + 1];
        for (int i = 0; allocate && i < blocks.Length; i++)
            Block(i);
    }

    private Volume(Extent size, float[] voxels)
        : this(size, default, allocate: false)
    {
        slicesPerBlock = Depth;
        blocks = [voxels];
    }

    /// <summary>A volume of voxels that lie in an array, which is not copied.</summary>
    /// <param name="voxels">[depth, height, width].</param>
    /// <param name="size">The extents.</param>
    /// <exception cref="ArgumentException">The array has not as many elements as the volume
    /// voxels.</exception>
    public static Volume Of(float[] voxels, Extent size)
    {
        ArgumentNullException.ThrowIfNull(voxels);
        return voxels.Length == size.Voxels
            ? new Volume(size, voxels)
            : throw new ArgumentException($"{voxels.Length} numbers are not a volume of {size}.", nameof(voxels));
    }

    /// <summary>The size in voxels.</summary>
    public Extent Size { get; }

    /// <summary>Voxels along z.</summary>
    public int Depth => Size.Depth;

    /// <summary>Voxels along y.</summary>
    public int Height => Size.Height;

    /// <summary>Voxels along x.</summary>
    public int Width => Size.Width;

    /// <summary>The number of voxels.</summary>
    public long Length => Size.Voxels;

    /// <summary>Voxels in a slice: Height · Width.</summary>
    public int SliceLength { get; }

    /// <summary>The edges of a voxel in Å; 0 where unknown.</summary>
    public VoxelSize VoxelSize { get; set; }

    /// <summary>The edge of a voxel in Å; 0 when unknown, or where voxels are no cubes.</summary>
    public double VoxelSizeAngstrom => VoxelSize.CubeAngstrom;

    /// <summary>One voxel.</summary>
    public ref float this[int z, int y, int x] => ref Row(z, y)[x];

    /// <summary>Slice z: [Height, Width].</summary>
    public Span<float> Slice(int z) => Slab(z, 1);

    /// <summary>Row y of slice z: [Width].</summary>
    public Span<float> Row(int z, int y)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(y);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(y, Height);
        return Slab(z, 1).Slice(y * Width, Width);
    }

    /// <summary>
    /// The slices that lie in one piece in memory from slice z on, at most <paramref name="count"/>: [slices,
    /// Height, Width]. Walk a volume with <c>for (z = 0; z &lt; Depth; z += slab.Length / SliceLength)</c>.
    /// </summary>
    public Span<float> Slab(int z, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(z);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(z, Depth);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        int first = z % slicesPerBlock;
        int slices = Math.Min(Math.Min(count, Depth - z), slicesPerBlock - first);
        return Block(z / slicesPerBlock).AsSpan(first * SliceLength, slices * SliceLength);
    }

    /// <summary>The whole volume in one piece: [Depth, Height, Width].</summary>
    /// <exception cref="InvalidOperationException">The volume is larger than a block; use
    /// <see cref="Slab"/>.</exception>
    public Span<float> AsSpan()
        => blocks.Length <= 1
            ? Slab(0, Depth)
            : throw new InvalidOperationException($"A volume of {Size} voxels lies in {blocks.Length} blocks; read it by Slab.");

    /// <inheritdoc/>
    public void Read(Box box, Span<float> destination)
    {
        BoxRows rows = new(box, Size, destination.Length);
        for (int i = 0; i < rows.Count; i++)
            RowOf(box, i).CopyTo(destination.Slice(i * box.Size.Width));
    }

    /// <inheritdoc/>
    public void Write(Box box, ReadOnlySpan<float> values)
    {
        BoxRows rows = new(box, Size, values.Length);
        for (int i = 0; i < rows.Count; i++)
            values.Slice(i * box.Size.Width, box.Size.Width).CopyTo(RowOf(box, i));
    }

    /// <summary>Lets go of the voxels; the volume cannot be read any more.</summary>
    public void Dispose() => blocks = [];

    private Span<float> RowOf(Box box, int row)
        => Row(box.Origin.Z + row / box.Size.Height, box.Origin.Y + row % box.Size.Height).Slice(box.Origin.X, box.Size.Width);

    private float[] Block(int index)
    {
        ObjectDisposedException.ThrowIf(blocks.Length == 0, this);
        if (blocks[index] is { } block)
            return block;
        int slices = Math.Min(slicesPerBlock, Depth - (index * slicesPerBlock));
        return blocks[index] = new float[slices * SliceLength];
    }
}
