using System.Collections.Concurrent;

namespace MeanShiftGpu.Kernels.Machine.TensorCore;

/// <summary>
/// Where the lanes of a simulated warp show each other their operands. Two boards alternate, so that one
/// barrier suffices for a trade: who writes the first board again has passed the second trade's barrier,
/// which everybody reaches only after reading the first board.
/// </summary>
internal sealed class WarpExchange
{
    private const int Lanes = 32;
    private const int MostWords = 6;
    private static readonly ConcurrentDictionary<int, uint[][]> Boards = new();
    private static int lastKey;

    // ILGPU's simulated GPU keeps a thread for each lane of each warp, so a thread never changes its warp.
    [ThreadStatic]
    private static WarpExchange? current;

    private readonly uint[][] boards;
    private int turn;

    private WarpExchange(uint[][] boards)
    {
        this.boards = boards;
        Lane = Warp.LaneIdx;
    }

    /// <summary>The calling thread's lane.</summary>
    public int Lane { get; }

    /// <summary>A word that a lane showed in the last trade.</summary>
    public uint this[int lane, int word] => boards[turn][lane * MostWords + word];

    /// <summary>Shows six words to the warp; returns when every lane has.</summary>
    public static WarpExchange Trade(uint word0, uint word1, uint word2, uint word3, uint word4, uint word5)
    {
        WarpExchange exchange = current ??= Meet();
        exchange.turn ^= 1;
        Span<uint> own = exchange.boards[exchange.turn].AsSpan(exchange.Lane * MostWords, MostWords);
        (own[0], own[1], own[2], own[3], own[4], own[5]) = (word0, word1, word2, word3, word4, word5);
        Warp.Barrier();
        return exchange;
    }

    /// <summary>Shows the four words at an address to the warp; returns when every lane has.</summary>
    public static WarpExchange TradeRow(ref uint row)
    {
        Words words = AsyncCopies.WordsAt(ref row);
        return Trade(words.X, words.Y, words.Z, words.W, 0, 0);
    }

    // The first lane founds the boards and tells the others their key.
    private static WarpExchange Meet()
    {
        int key = 0;
        if (Warp.LaneIdx == 0)
        {
            key = Interlocked.Increment(ref lastKey);
            Boards[key] = [new uint[Lanes * MostWords], new uint[Lanes * MostWords]];
        }

        key = Warp.Shuffle(key, 0);
        WarpExchange exchange = new(Boards[key]);
        Warp.Barrier();
        Boards.TryRemove(key, out _);
        return exchange;
    }
}
