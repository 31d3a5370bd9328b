namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>What the launchers of tensor-core kernels share.</summary>
internal static class TensorCoreLaunch
{
    /// <summary>Words of a voxel's rounded operands, 32 bytes whatever they are.</summary>
    public const int VoxelWords = 8;

    /// <summary>
    /// The relative cost of making so many channels in blocks: fetching voxels costs about as much as 16
    /// channels, so 112 are better two times 64 than seven times 16.
    /// </summary>
    public static int Cost(int channels, int columns) => Blocks(channels, columns) * (columns + 16);

    /// <summary>Blocks of a size that hold a count.</summary>
    public static int Blocks(int count, int size) => (count + size - 1) / size;

    /// <summary>
    /// How many groups share a count of chunks or tiles, where so many are wanted, and how many each takes.
    /// </summary>
    public static (int Splits, int PerSplit) Share(int count, int wanted)
    {
        int perSplit = Blocks(count, Math.Clamp(wanted, 1, count));
        return (Blocks(count, perSplit), perSplit);
    }

    /// <summary>1 where every voxel can be fetched or stored by 16 bytes.</summary>
    public static int Aligned(ArrayView<uint> view, int pitch)
        => pitch % 4 == 0 && view.LoadEffectiveAddressAsPtr() % 16 == 0 ? 1 : 0;

    /// <summary>A tensor as words: float32 as such, BF16 two to a word.</summary>
    /// <exception cref="ArgumentException">BF16 that do not begin at a multiple of 16 bytes.</exception>
    public static ArrayView<uint> Words<TElement>(ArrayView<TElement> view)
        where TElement : unmanaged
        => Interop.SizeOf<TElement>() == sizeof(uint) || view.LoadEffectiveAddressAsPtr() % 16 == 0
            ? view.Cast<uint>()
            : throw new ArgumentException("A BF16 tensor must begin at a multiple of 16 bytes; slices of channels begin at "
                + $"multiples of {Bf16.ChannelMultiple}.", nameof(view));

    /// <summary>A launch with dynamic shared memory.</summary>
    public static KernelConfig Config((int X, int Y, int Z) groups, int threads, int sharedBytes)
        => new(new Index3D(groups.X, groups.Y, groups.Z), new Index3D(threads, 1, 1), SharedMemoryConfig.RequestDynamic<Words>(
            sharedBytes / 16));
}
