using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Training.Ranks;

/// <summary>What can be asked of all ranks with the three operations that they have.</summary>
public static class RankExtensions
{
    /// <summary>Whether something is so on any rank; all get the same answer.</summary>
    public static bool Any(this IRanks ranks, bool here)
    {
        ArgumentNullException.ThrowIfNull(ranks);
        if (ranks.Count == 1)
            return here;
        Span<int> all = stackalloc int[1];
        ranks.SumInOrder<int>([here ? 1 : 0], ranks.Count, all);
        return all[0] > 0;
    }

    /// <summary>
    /// Fills in what other ranks know of a list: each has the values of its items, and zeros for the rest.
    /// </summary>
    /// <param name="ranks">The ranks.</param>
    /// <param name="values">[n], the same length on every rank.</param>
    public static void Complete<T>(this IRanks ranks, Span<T> values)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(ranks);
        if (ranks.Count > 1 && values.Length > 0)
            ranks.SumInOrder<T>(values.ToArray(), ranks.Count, values);
    }

    /// <summary>What each rank gives, in the order of ranks.</summary>
    /// <param name="ranks">The ranks.</param>
    /// <param name="mine">Of any length.</param>
    public static byte[][] Gather(this IRanks ranks, byte[] mine)
    {
        ArgumentNullException.ThrowIfNull(ranks);
        ArgumentNullException.ThrowIfNull(mine);
        byte[][] all = new byte[ranks.Count][];
        for (int rank = 0; rank < all.Length; rank++)
        {
            byte[] length = new byte[sizeof(int)];
            BinaryPrimitives.WriteInt32LittleEndian(length, mine.Length);
            ranks.Broadcast(length, rank);
            all[rank] = rank == ranks.Rank ? [.. mine] : new byte[BinaryPrimitives.ReadInt32LittleEndian(length)];
            if (all[rank].Length > 0)
                ranks.Broadcast(all[rank], rank);
        }

        return all;
    }

    /// <summary>Refuses ranks that would not train the same: every rank gets the same refusal.</summary>
    /// <param name="ranks">The ranks.</param>
    /// <param name="facts">What must be the same on all, by name, in the same order everywhere.</param>
    /// <exception cref="InputException">Something differs.</exception>
    public static void RefuseDifferent(this IRanks ranks, IReadOnlyList<(string Name, string Value)> facts)
    {
        ArgumentNullException.ThrowIfNull(ranks);
        ArgumentNullException.ThrowIfNull(facts);
        string[][] all = [.. ranks.Gather(Encoding.UTF8.GetBytes(string.Join('\0', facts.Select(f => f.Value))))
            .Select(g => Encoding.UTF8.GetString(g).Split('\0'))];
        for (int rank = 1; rank < all.Length; rank++)
        {
            for (int i = 0; i < facts.Count; i++)
            {
                // Versions of the program may compare other things, and more or fewer of them.
                string there = i < all[rank].Length ? all[rank][i] : "";
                string first = i < all[0].Length ? all[0][i] : "";
                if (there != first)
                {
                    throw new InputException($"ranks: the {facts[i].Name} of rank {rank} is {Shortened(there)}, that of rank "
                        + $"0 is {Shortened(first)}. Start all ranks with the same program, command line and files.");
                }
            }
        }
    }

    private static string Shortened(string text) => text.Length <= 200 ? $"'{text}'" : $"'{text[..200]}…'";
}
