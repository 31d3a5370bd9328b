namespace MeanShiftGpu.Kernels.Machine.Sums;

/// <summary>
/// Sums over the threads of a group in a fixed order, with plain shared memory; and, over many items, in two
/// stages: groups write their sums, 256 of them at most, and one group adds those. No thread adds more than a
/// few dozen numbers in a row, where the two thousand threads of <see cref="ThreadSums{T, TReal}"/> leave a
/// big GPU waiting for memory.
/// </summary>
internal static class GroupSum
{
    /// <summary>Threads of a group.</summary>
    public const int Threads = 128;

    /// <summary>
    /// Bytes of shared memory of the hungriest kernel that sums so, the head's weight gradient in float64.
    /// </summary>
    public const int SharedBytes = Threads * 5 * sizeof(double);

    /// <summary>Intermediate sums of <see cref="Sum"/>.</summary>
    internal const int Partials = 16;

    /// <summary>Elements of shared memory that <see cref="Sum"/> takes, as groups of four.</summary>
    internal const int MemoryLength = Threads + Partials;

    /// <summary>Items that each thread takes at a time, so that several loads are under way.</summary>
    internal const int ItemsPerStep = 4;

    private const int MostGroups = 256;

    /// <summary>The groups of the first stage: a function of the number of items alone.</summary>
    internal static int Groups(long items)
        => (int)Math.Clamp((items + Threads * ItemsPerStep - 1) / (Threads * ItemsPerStep), 1, MostGroups);

    /// <summary>Elements of workspace for the groups' sums, four of each.</summary>
    internal static long WorkspaceLength(long items) => 4L * Groups(items);

    /// <summary>
    /// The threads' values added, the same in every thread: sixteen threads add eight neighbours' each, then
    /// every thread the sixteen sums, always in order. Two barriers, where a tree would take seven. Between
    /// two calls no barrier is needed.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Quad<T> Sum<T>(ArrayView<Quad<T>> memory, Quad<T> value)
        where T : unmanaged, INumber<T>
    {
        const int each = Threads / Partials;
        memory[Group.IdxX] = value;
        Group.Barrier();
        if (Group.IdxX < Partials)
        {
            Quad<T> partial = memory[Group.IdxX * each];
            for (int i = 1; i < each; i++)
                partial = Quad<T>.Add(partial, memory[Group.IdxX * each + i]);
            memory[Threads + Group.IdxX] = partial;
        }

        Group.Barrier();
        Quad<T> sum = memory[Threads];
        for (int i = 1; i < Partials; i++)
            sum = Quad<T>.Add(sum, memory[Threads + i]);
        return sum;
    }

    /// <summary>The second stage, by one group: the groups' sums added, the same in every thread.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Quad<T> Total<T>(ArrayView<Quad<T>> memory, ArrayView<T> workspace, int groups)
        where T : unmanaged, INumber<T>
    {
        ArrayView<Quad<T>> sums = workspace.Cast<Quad<T>>();
        Quad<T> sum = Quad<T>.Zero;
        for (int g = Group.IdxX; g < groups; g += Threads)
            sum = Quad<T>.Add(sum, sums[g]);
        return Sum(memory, sum);
    }
}
