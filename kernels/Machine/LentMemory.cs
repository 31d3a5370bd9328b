namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// A caller's device memory, from which the launches of one pass take what they need between their own
/// kernels. Launchers find it by the stream.
/// </summary>
internal sealed class LentMemory
{
    // What is taken begins at a line of the cache.
    private const int Alignment = 128;

    private static readonly ConditionalWeakTable<AcceleratorStream, LentMemory> Lent = [];

    private ArrayView<byte> memory;
    private long taken;

    /// <summary>What is lent to the launches on a stream; null for nothing.</summary>
    public static LentMemory? Of(AcceleratorStream stream)
        => Lent.TryGetValue(stream, out LentMemory? lent) && lent.memory.Length > 0 ? lent : null;

    /// <summary>The bytes of a piece, up to where the next begins.</summary>
    public static long Whole(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    /// <summary>Lends memory until the result is disposed.</summary>
    /// <param name="stream">The stream of the launches.</param>
    /// <param name="memory">Overwritten.</param>
    public static Loan Lend(AcceleratorStream stream, ArrayView<byte> memory)
    {
        LentMemory lent = Lent.GetValue(stream, static _ => new LentMemory());
        lent.memory = memory;
        lent.taken = 0;
        return new Loan(lent);
    }

    /// <summary>A piece that nobody else gets during this loan, its contents undefined.</summary>
    public ArrayView<T> Take<T>(long length)
        where T : unmanaged
    {
        long bytes = length * Interop.SizeOf<T>();
        if (taken + bytes > memory.Length)
            throw new InvalidOperationException(
                $"The workspace has {memory.Length} bytes, and the launches need {taken + bytes}: LaunchMemory counts too few.");
        ArrayView<T> piece = memory.SubView(taken, bytes).Cast<T>();
        taken += Whole(bytes);
        return piece;
    }

    /// <summary>The time for which memory is lent.</summary>
    public readonly struct Loan(LentMemory lent) : IDisposable
    {
        /// <summary>Ends it. Kernels that are queued still use the memory.</summary>
        public void Dispose()
        {
            if (lent is not null)
                lent.memory = default;
        }
    }
}
