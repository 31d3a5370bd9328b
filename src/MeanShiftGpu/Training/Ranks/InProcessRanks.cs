using System.Numerics;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace MeanShiftGpu.Training.Ranks;

/// <summary>
/// Ranks that are threads of one process: one for each GPU, or a single one that shares with nobody.
/// </summary>
public sealed class InProcessRanks : IRanks
{
    private readonly Meeting meeting;

    private InProcessRanks(Meeting meeting, int rank)
    {
        this.meeting = meeting;
        Rank = rank;
    }

    /// <summary>A rank that shares with nobody.</summary>
    public static IRanks Alone { get; } = new InProcessRanks(new Meeting(1), 0);

    /// <inheritdoc/>
    public int Rank { get; }

    /// <inheritdoc/>
    public int Count => meeting.Given.Length;

    /// <summary>
    /// Does work on threads that share it, and waits for all. Where one fails the others end at their next
    /// exchange, and the first failure is thrown here.
    /// </summary>
    /// <param name="count">How many ranks.</param>
    /// <param name="work">What each does; it gets its rank.</param>
    public static void Run(int count, Action<IRanks> work)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentNullException.ThrowIfNull(work);
        using Meeting meeting = new(count);
        ExceptionDispatchInfo? first = null;
        Thread[] threads = [.. Enumerable.Range(0, count).Select(rank => new Thread(() =>
        {
            // Whatever it is, it is thrown again by the caller's thread.
#pragma warning disable CA1031
            try
            {
                work(new InProcessRanks(meeting, rank));
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref first, ExceptionDispatchInfo.Capture(e), null);
                meeting.Failed.Cancel();
            }
#pragma warning restore CA1031
        }))];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        first?.Throw();
    }

    /// <inheritdoc/>
    public void SumInOrder<T>(ReadOnlySpan<T> parts, int allParts, Span<T> total)
        where T : unmanaged, INumber<T>
    {
        if (parts.Length != (long)RankShare.Of(allParts, Rank, Count).Count * total.Length)
            throw new ArgumentException($"SumInOrder: rank {Rank} of {Count} gives {parts.Length} numbers, expected "
                + $"{RankShare.Of(allParts, Rank, Count).Count} of {allParts} arrays of {total.Length}.", nameof(parts));
        if (Count == 1)
        {
            OrderedSum.Of(parts, total, isFirst: true);
            return;
        }

        meeting.Given[Rank] = MemoryMarshal.AsBytes(parts).ToArray();
        meeting.Wait();
        bool isFirst = true;
        foreach (byte[] given in meeting.Given)
        {
            OrderedSum.Of(MemoryMarshal.Cast<byte, T>(given), total, isFirst);
            isFirst &= given.Length == 0;
        }

        meeting.Wait();
    }

    /// <inheritdoc/>
    public void Broadcast(Span<byte> data, int from)
    {
        if (Count == 1)
            return;
        if (from == Rank)
            meeting.Given[Rank] = data.ToArray();
        meeting.Wait();
        meeting.Given[from].CopyTo(data);
        meeting.Wait();
    }

    /// <inheritdoc/>
    public void Barrier() => meeting.Wait();

    private sealed class Meeting(int count) : IDisposable
    {
        private readonly Barrier barrier = new(count);

        public byte[][] Given { get; } = [.. Enumerable.Range(0, count).Select(_ => (byte[])[])];

        public CancellationTokenSource Failed { get; } = new();

        public void Wait() => barrier.SignalAndWait(Failed.Token);

        public void Dispose()
        {
            barrier.Dispose();
            Failed.Dispose();
        }
    }
}

/// <summary>Sums of arrays in the order in which they are given.</summary>
internal static class OrderedSum
{
    /// <summary>Adds arrays to a total one after the other.</summary>
    /// <param name="parts">[k, n].</param>
    /// <param name="total">[n].</param>
    /// <param name="isFirst">Whether the total begins with the first of them.</param>
    public static void Of<T>(ReadOnlySpan<T> parts, Span<T> total, bool isFirst)
        where T : unmanaged, INumber<T>
    {
        for (; parts.Length > 0; parts = parts[total.Length..], isFirst = false)
        {
            ReadOnlySpan<T> part = parts[..total.Length];
            if (isFirst)
            {
                part.CopyTo(total);
                continue;
            }

            int done = 0;
            int width = Vector<T>.Count;
            for (; done <= total.Length - width; done += width)
                (new Vector<T>(total[done..]) + new Vector<T>(part[done..])).CopyTo(total[done..]);
            for (; done < total.Length; done++)
                total[done] += part[done];
        }
    }
}
