using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Tensors;

/// <summary>What a channels-last operand covers of its buffer.</summary>
/// <param name="View">From the first voxel's first channel on.</param>
/// <param name="Voxels">Voxels that are read or written.</param>
/// <param name="Channels">Elements of each.</param>
/// <param name="Pitch">Elements from one voxel to the next.</param>
/// <param name="Name">The operand, for messages.</param>
internal readonly record struct VoxelView<T>(ArrayView<T> View, long Voxels, int Channels, int Pitch, string Name)
    where T : unmanaged
{
    /// <summary>So many elements side by side.</summary>
    public static VoxelView<T> Dense(ArrayView<T> view, long length, string name) => new(view, length, 1, 1, name);

    /// <summary>Whether an element belongs to both.</summary>
    public bool Overlaps(in VoxelView<T> other)
    {
        // The launcher refuses a pitch below 1.
        if (View.Length == 0 || other.View.Length == 0 || Pitch < 1 || other.Pitch < 1
            || !ReferenceEquals(Buffer(View), Buffer(other.View)))
            return false;
        long distance = (IndexInBytes(other.View) - IndexInBytes(View)) / Interop.SizeOf<T>();
        if (distance >= Reach || -distance >= other.Reach)
            return false;
        // Slices of the channels of one tensor: from the first channel of this one on, the other begins at
        // channel first of each voxel.
        if (Pitch != other.Pitch)
            return true;
        long first = (distance % Pitch + Pitch) % Pitch;
        return first < Channels || first + other.Channels > Pitch;
    }

    // Elements from the first one that it covers to the last.
    private long Reach => (Voxels - 1) * Pitch + Channels;

    // ILGPU's views tell these through their interfaces alone.
    private static MemoryBuffer Buffer<TView>(TView view)
        where TView : struct, IArrayView
        => view.Buffer;

    private static long IndexInBytes<TView>(TView view)
        where TView : struct, IContiguousArrayView
        => view.IndexInBytes;
}
