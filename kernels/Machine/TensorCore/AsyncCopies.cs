namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// A simulated thread's asynchronous copies. They are held back until the thread waits for them, and their
/// targets hold NaN meanwhile: a kernel that reads too early, or copies over what others still read, gives
/// wrong results here too. Targets and sources are device memory, which the simulation never moves.
/// </summary>
internal static unsafe class AsyncCopies
{
    // NaN as a float32, and twice NaN as BF16.
    private const uint NotArrived = 0x7FC07FC0;

    [ThreadStatic]
    private static Queue<List<Copy>>? stages;

    [ThreadStatic]
    private static List<Copy>? open;

    /// <summary>The four words at an address, which must be a multiple of 16 bytes as on a GPU.</summary>
    public static ref Words WordsAt(ref uint first)
    {
        void* address = Unsafe.AsPointer(ref first);
        if ((nint)address % sizeof(Words) != 0)
            throw new InvalidOperationException($"A 16-byte access at an address that is {(nint)address % sizeof(Words)} bytes "
                + "past a multiple of 16.");
        return ref Unsafe.AsRef<Words>(address);
    }

    public static void Begin(ref uint target, ref uint source, int length, int bytes)
    {
        Copy copy = new((nint)Unsafe.AsPointer(ref target), (nint)Unsafe.AsPointer(ref source), length, bytes);
        if (copy.Target % length != 0 || copy.Source % length != 0)
            throw new InvalidOperationException($"An asynchronous copy of {length} bytes between addresses "
                + $"{copy.Source % length} and {copy.Target % length} bytes past a multiple of {length}.");
        if (bytes < 0 || bytes > length)
            throw new InvalidOperationException($"An asynchronous copy of {length} bytes that reads {bytes}.");
        new Span<uint>((void*)copy.Target, length / sizeof(uint)).Fill(NotArrived);
        (open ??= []).Add(copy);
    }

    public static void Commit()
    {
        (stages ??= []).Enqueue(open ?? []);
        open = null;
    }

    public static void Wait(int pending)
    {
        while (stages is { } waiting && waiting.Count > pending)
        {
            foreach (Copy copy in waiting.Dequeue())
            {
                Span<byte> target = new((void*)copy.Target, copy.Length);
                target.Clear();
                new Span<byte>((void*)copy.Source, copy.Bytes).CopyTo(target);
            }
        }
    }

    private readonly record struct Copy(nint Target, nint Source, int Length, int Bytes);
}
