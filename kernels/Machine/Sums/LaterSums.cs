using System.Runtime.InteropServices;

namespace MeanShiftGpu.Kernels.Machine.Sums;

/// <summary>The parts of many gradients, which <see cref="PartSums{T}"/> adds in one launch at the step's
/// end, or earlier where they need too much memory.</summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class LaterSums<T>(Accelerator accelerator) : StepScope.IShared
    where T : unmanaged, INumber<T>
{
    /// <summary>The most bytes of parts that are held. A step of the published network at 56³ has 152 MB of
    /// them on an H200 (two launches), a third of that on a card with 46 multiprocessors.</summary>
    public const long MostBytes = 96 << 20;

    // Each begins at a multiple of so many elements.
    private const int Alignment = 64;

    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<LaterSum>> add =
        accelerator.Load<Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<LaterSum>>>(
            AddAllKernel, new KernelSpecialization(PartSums<T>.Threads, null));

    private readonly List<LaterSum> sums = [];

    // What was last added by the first launch of a step, the second and so on: the same in every step.
    private readonly List<(LaterSum[] Sums, MemoryBuffer1D<LaterSum, Stride1D.Dense> Table)> tables = [];
    private MemoryBuffer1D<T, Stride1D.Dense>? memory;
    private MemoryBuffer? target;
    private long used;
    private long wanted;
    private int launches;
    private int groups;

    /// <inheritdoc/>
    public void Begin(AcceleratorStream stream)
    {
        long length = Math.Min(wanted, MostBytes / Unsafe.SizeOf<T>());
        // A step that was given up, such as one that could not be captured, leaves nothing to this one.
        sums.Clear();
        (used, wanted, launches, groups) = (0, 0, 0, 0);
        if (memory is not null && memory.Length < length)
            Grow(stream, length);
    }

    /// <inheritdoc/>
    public void End(AcceleratorStream stream) => Flush(stream);

    /// <summary>Memory for parts; contents undefined, valid until they are added.</summary>
    public ArrayView<T> Take(AcceleratorStream stream, long length)
    {
        long padded = (length + Alignment - 1) / Alignment * Alignment;
        wanted += padded;
        if (memory is null || used + padded > memory.Length)
        {
            Flush(stream);
            if (memory is null || padded > memory.Length)
                Grow(stream, padded);
        }

        ArrayView<T> view = memory!.View.BaseView.SubView(used, length);
        used += padded;
        return view;
    }

    /// <summary>As
    /// <see cref="PartSums{T}.Add(AcceleratorStream, ArrayView{T}, ArrayView{T}, ArrayView{T}, int)"/>,
    /// later.</summary>
    /// <returns>False where that cannot be: the parts are not of <see cref="Take"/>, or other targets lie in
    /// another buffer.</returns>
    public bool Add(AcceleratorStream stream, ArrayView<T> parts, ArrayView<T> first, ArrayView<T> second, int count)
    {
        MemoryBuffer into = ViewPlace.BufferOf(first);
        int index = checked((int)ViewPlace.IndexOf(first));
        if (memory is null || ViewPlace.BufferOf(parts) != ViewPlace.BufferOf(memory.View.BaseView)
            || ViewPlace.BufferOf(second) != into)
            return false;
        if (sums.Count > 0 && (target != into || sums.Exists(s => s.First == index)))
            Flush(stream, keepsMemory: true);
        target = into;
        int length = checked((int)(first.Length + second.Length));
        sums.Add(new LaterSum
        {
            Parts = checked((int)ViewPlace.IndexOf(parts)),
            First = index,
            Second = checked((int)ViewPlace.IndexOf(second)),
            FirstLength = checked((int)first.Length),
            Length = length,
            Count = count,
            FirstGroup = groups,
        });
        groups = checked(groups + PartSums<T>.Groups(length));
        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        memory?.Dispose();
        foreach ((_, MemoryBuffer1D<LaterSum, Stride1D.Dense> table) in tables)
            table.Dispose();
    }

    private void Grow(AcceleratorStream stream, long length)
    {
        // Kernels queued earlier may still use the old memory.
        stream.Synchronize();
        DeviceAddresses.Change(accelerator);
        memory?.Dispose();
        memory = null;
        memory = accelerator.Allocate1D<T>(length);
    }

    private void Flush(AcceleratorStream stream, bool keepsMemory = false)
    {
        if (sums.Count > 0)
        {
            add(stream, new KernelConfig(groups, PartSums<T>.Threads), memory!.View.BaseView, ViewPlace.Whole<T>(target!),
                Table(stream));
            sums.Clear();
            groups = 0;
            launches++;
        }

        if (!keepsMemory)
            used = 0;
    }

    private ArrayView<LaterSum> Table(AcceleratorStream stream)
    {
        if (launches < tables.Count && tables[launches].Sums.AsSpan().SequenceEqual(CollectionsMarshal.AsSpan(sums)))
            return tables[launches].Table.View.BaseView;
        LaterSum[] rows = [.. sums];
        MemoryBuffer1D<LaterSum, Stride1D.Dense> table = accelerator.Allocate1D<LaterSum>(rows.Length);
        table.View.BaseView.CopyFromCPU(stream, rows);
        if (launches < tables.Count)
        {
            // Kernels queued earlier may still read the old one.
            stream.Synchronize();
            DeviceAddresses.Change(accelerator);
            tables[launches].Table.Dispose();
            tables[launches] = (rows, table);
        }
        else
        {
            tables.Add((rows, table));
        }

        return table.View.BaseView;
    }

    // PartSums.AddKernel for every sum: a group finds the one that it belongs to, then 16 results of it.
    [Kernel(MaxGroupSize = PartSums<T>.Threads)]
    internal static void AddAllKernel(
        ArrayView<T> parts, // of each sum [Count, Length] from Parts on
        ArrayView<T> targets, // FirstLength from First on, the others from Second on; accumulated
        ArrayView<LaterSum> sums) // [n], by FirstGroup
    {
        int low = 0;
        int high = (int)sums.Length;
        while (high - low > 1)
        {
            int middle = (low + high) / 2;
            if (sums[middle].FirstGroup <= Grid.IdxX)
                low = middle;
            else
                high = middle;
        }

        LaterSum sum = sums[low];
        long index = PartSums<T>.IndexOf(Grid.IdxX - sum.FirstGroup);
        T total = PartSums<T>.Sum(parts.SubView(sum.Parts, (long)sum.Count * sum.Length), sum.Length, index, sum.Count);
        if (Group.IdxX >= PartSums<T>.Columns || index >= sum.Length)
            return;
        long at = index + (index < sum.FirstLength ? sum.First : sum.Second - sum.FirstLength);
        targets[at] += total;
    }
}

/// <summary>One sum of many: where its parts and targets lie in their buffers.</summary>
internal struct LaterSum : IEquatable<LaterSum>
{
    public int Parts;
    public int First;
    public int Second;
    public int FirstLength;
    public int Length;
    public int Count;

    /// <summary>The first of its groups of threads.</summary>
    public int FirstGroup;

    public readonly bool Equals(LaterSum other)
        => (Parts, First, Second, FirstLength, Length, Count, FirstGroup)
            == (other.Parts, other.First, other.Second, other.FirstLength, other.Length, other.Count, other.FirstGroup);

    public override readonly bool Equals(object? obj) => obj is LaterSum other && Equals(other);

    public override readonly int GetHashCode() => HashCode.Combine(Parts, First, Second, FirstLength, Length, Count, FirstGroup);
}
