using System.Numerics;

namespace MeanShiftGpu.Training.Ranks;

/// <summary>
/// The trainers that share the patches of each step, one of which this is: threads of a process, or processes
/// under MPI. All of them call the same methods in the same order, and each call ends when all have called.
/// </summary>
public interface IRanks
{
    /// <summary>Which this is, from 0. Rank 0 writes the files and speaks.</summary>
    int Rank { get; }

    /// <summary>How many there are.</summary>
    int Count { get; }

    /// <summary>
    /// The sum of arrays that lie on different ranks, added one after the other, ((first + second) + third) +
    /// …, so that every rank gets the same bits, and the same as with any other number of ranks.
    /// </summary>
    /// <param name="parts">[k, n]: this rank's arrays; which of all they are, <see cref="RankShare.Of"/>
    /// says.</param>
    /// <param name="allParts">How many arrays there are on all ranks.</param>
    /// <param name="total">[n]: overwritten.</param>
    void SumInOrder<T>(ReadOnlySpan<T> parts, int allParts, Span<T> total)
        where T : unmanaged, INumber<T>;

    /// <summary>Copies the bytes of one rank to all; the others' are overwritten.</summary>
    /// <param name="data">As long on every rank.</param>
    /// <param name="from">The rank that has them.</param>
    void Broadcast(Span<byte> data, int from);

    /// <summary>Ends when all ranks have come here.</summary>
    void Barrier();
}

/// <summary>What a rank has of a list: consecutive items, as many as another rank or one more.</summary>
/// <param name="First">The first item.</param>
/// <param name="Count">How many.</param>
public readonly record struct RankShare(int First, int Count)
{
    /// <summary>The share of a rank.</summary>
    /// <param name="all">Length of the list.</param>
    /// <param name="rank">Which rank.</param>
    /// <param name="count">Of how many.</param>
    public static RankShare Of(int all, int rank, int count)
    {
        int first = (int)((long)all * rank / count);
        return new RankShare(first, (int)((long)all * (rank + 1) / count) - first);
    }

    /// <summary>Whether an item belongs to it.</summary>
    public bool Contains(int item) => item >= First && item < First + Count;
}
