namespace MeanShiftGpu.Kernels.Machine.Sums;

/// <summary>
/// Sums over many items in a fixed order, without atomics, for the direct kernels. A kernel of the operation
/// writes partial sums [Partials, sums], where partial p covers the items p, p + Partials, p + 2·Partials, …;
/// <see cref="Fold"/> reduces them to [Groups, sums]; a last kernel of the operation adds the groups with
/// <see cref="Total"/>. Over a large tensor a thread adds some thousands of numbers in a row, so latency
/// limits it on a large GPU.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class ThreadSums<T, TReal>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private const int Groups = 64;
    private const int MostPartials = 2048;
    private const int LeastItemsPerPartial = 32;

    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, int, int> fold;

    public ThreadSums(Accelerator accelerator)
        => accelerator.Load(FoldKernel, out fold);

    /// <summary>
    /// The number of partial sums over some items; a function of their number alone. Kernels call it too
    /// (Math.Clamp would not compile there).
    /// </summary>
    public static int Partials(long items)
        => (int)Math.Max(1, Math.Min((items + LeastItemsPerPartial - 1) / LeastItemsPerPartial, MostPartials));

    /// <summary>
    /// Elements of workspace for a number of sums over the same items: the partials, then the groups.
    /// </summary>
    public static long WorkspaceLength(long items, int sums) => (long)(Partials(items) + Groups) * sums;

    /// <summary>
    /// Reduces the partial sums at the start of the workspace; returns the groups, [Groups, sums], that
    /// follow them.
    /// </summary>
    public ArrayView<T> Fold(AcceleratorStream stream, ArrayView<T> workspace, long items, int sums)
    {
        int partials = Partials(items);
        ArrayView<T> groups = workspace.SubView((long)partials * sums, (long)Groups * sums);
        fold(stream, LaunchExtent.Of((long)Groups * sums), workspace, groups, partials, sums);
        return groups;
    }

    /// <summary>One sum, from the groups, in their order.</summary>
    public static T Total(ArrayView<T> groups, int sums, int sum)
    {
        T total = T.Zero;
        for (int group = 0; group < Groups; group++)
            total += groups[(long)group * sums + sum];
        return total;
    }

    // groups[g,s] = sum of partials[p,s] over p = g, g + Groups, ….
    // One thread per (group, sum); groups overwritten, summed in the order of p.
    [Kernel]
    internal static void FoldKernel(
        Index1D index,
        ArrayView<T> workspace, // [partials, sums]
        ArrayView<T> groups, // [Groups, sums]
        int partials,
        int sums)
    {
        int sum = index.X % sums;
        T total = T.Zero;
        for (int p = index.X / sums; p < partials; p += Groups)
            total += workspace[(long)p * sums + sum];
        groups[index] = total;
    }
}
