namespace MeanShiftGpu.Device.Sass;

/// <summary>What a warp executes: instructions, and matrix instructions among them.</summary>
internal readonly record struct SassCount(int Instructions, int MatrixMultiplies);

/// <summary>
/// Counts what a warp executes in one turn of a loop. If constants of the kernel decide a branch for the
/// first thread of a group, the branch that is taken is counted, and loops inside count as often as they
/// turn; otherwise the longer branch. Copies of 4 bytes, for tensors that are not aligned to 16, are not
/// counted.
/// </summary>
internal sealed class SassLoops
{
    // Shorter than any branch without a copy of 4 bytes.
    private const int Never = -1_000_000;
    private const int MostInstructions = 1_000_000;

    private readonly SassListing listing;
    private readonly List<Block> blocks = [];
    private readonly List<Loop> loops = [];

    /// <summary>Finds the loops of a kernel.</summary>
    public SassLoops(SassListing listing)
    {
        this.listing = listing;
        FindBlocks();
        FindLoops();
        foreach (Loop loop in loops.OrderBy(loop => loop.Body.Count))
            Longest(loop, loop.Head);
    }

    /// <summary>
    /// One turn of the main loop: of the outermost loop with a matrix instruction; where there is none, of
    /// the longest loop without another inside. Null where there is no loop.
    /// </summary>
    /// <exception cref="InvalidOperationException">How often a loop inside turns does not follow from
    /// constants.</exception>
    public SassCount? Main()
    {
        Loop? withMatrices = loops.Where(loop => loop.Body.Any(HasMatrixMultiply)).MaxBy(loop => loop.Body.Count);
        if (withMatrices is not null)
            return Walk(withMatrices);
        int longest = loops.Where(loop => loop.Inner.Count == 0).Select(loop => loop.Longest[loop.Head]).DefaultIfEmpty().Max();
        return longest > 0 ? new(longest, 0) : null;
    }

    private SassCount Walk(Loop main)
    {
        SassConstants state = new();
        for (int at = 0; at < main.Head.Begin; at++)
            state.Execute(listing.Instructions[at]);
        int instructions = 0;
        int matrixMultiplies = 0;
        Block block = main.Head;
        do
        {
            for (int at = block.Begin; at < block.End; at++)
            {
                state.Execute(listing.Instructions[at]);
                matrixMultiplies += listing.Instructions[at].IsMatrixMultiply ? 1 : 0;
            }

            instructions += block.End - block.Begin;
            if (instructions > MostInstructions)
                throw new InvalidOperationException($"The loop at instruction {main.Head.Begin} does not end.");
            block = Next(main, block, state);
        }
        while (block != main.Head);
        return new(instructions, matrixMultiplies);
    }

    private Block Next(Loop main, Block block, SassConstants state)
    {
        List<Block> ways = [.. block.Next.Where(main.Body.Contains).Distinct()];
        if (ways.Count < 2)
            return ways[0];
        if (state.Taken(listing.Instructions[block.End - 1]) is { } taken)
            return block.Next[taken ? 0 : 1];
        Loop inner = loops.Where(loop => loop.Body.Contains(block)).MinBy(loop => loop.Body.Count)!;
        if (inner != main && ways.Exists(way => way == inner.Head || !inner.Body.Contains(way)))
            throw new InvalidOperationException($"How often the loop at instruction {inner.Head.Begin} turns does not follow "
                + "from the kernel's constants.");
        return ways.MaxBy(way => way == inner.Head ? 0 : inner.Longest[way])!;
    }

    // The longest way from a block of a loop back to its head or out of it; of loops inside, one turn.
    private int Longest(Loop loop, Block block)
    {
        if (loop.Longest.TryGetValue(block, out int known))
            return known;
        Loop? inner = loop.Inner.Find(inner => inner.Body.Contains(block));
        IEnumerable<Block> exits = inner is null ? block.Next : inner.Body.SelectMany(b => b.Next).Where(
            b => !inner.Body.Contains(b));
        int own = inner is null ? Straight(block) : inner.Longest[inner.Head];
        int rest = exits.Distinct().Where(next => next != loop.Head && loop.Body.Contains(next)).Select(
            next => Longest(loop, next))
            .Concat(exits.Any(next => next == loop.Head || !loop.Body.Contains(next)) ? [0] : []).DefaultIfEmpty().Max();
        return loop.Longest[block] = own + rest;
    }

    private int Straight(Block block) => Instructions(block).Any(i => i.IsSmallCopy) ? Never : block.End - block.Begin;

    private bool HasMatrixMultiply(Block block) => Instructions(block).Any(i => i.IsMatrixMultiply);

    private IEnumerable<SassInstruction> Instructions(Block block)
        => listing.Instructions.Skip(block.Begin).Take(block.End - block.Begin);

    private void FindBlocks()
    {
        int count = listing.Instructions.Count;
        SortedSet<int> heads = [0];
        for (int at = 0; at < count; at++)
        {
            if (listing.Target(at) is { } target)
            {
                heads.Add(target);
                heads.Add(at + 1);
            }
            else if (listing.Ends(at))
            {
                heads.Add(at + 1);
            }
        }

        heads.Remove(count);
        List<int> starts = [.. heads];
        for (int i = 0; i < starts.Count; i++)
            blocks.Add(new(starts[i], i + 1 < starts.Count ? starts[i + 1] : count));
        Dictionary<int, Block> at0 = blocks.ToDictionary(block => block.Begin);
        foreach (Block block in blocks)
        {
            if (listing.Target(block.End - 1) is { } target && at0.TryGetValue(target, out Block? branch))
                block.Next.Add(branch);
            if (!listing.Ends(block.End - 1) && at0.TryGetValue(block.End, out Block? following))
                block.Next.Add(following);
        }
    }

    // A branch back to a block that every path to the branch passes makes a loop: all from which the branch
    // is reached without passing that block.
    private void FindLoops()
    {
        Dictionary<Block, List<Block>> before = blocks.ToDictionary(block => block, _ => new List<Block>());
        foreach (Block block in blocks)
            block.Next.ForEach(next => before[next].Add(block));
        HashSet<Block> reachable = Reach(blocks[0], null, block => block.Next);
        foreach (IGrouping<Block, Block> back in reachable
            .SelectMany(tail => tail.Next.Select(head => (Head: head, Tail: tail)))
            .Where(edge => edge.Head.Begin <= edge.Tail.Begin && (
                edge.Head == blocks[0] || !Reach(blocks[0], edge.Head, block => block.Next).Contains(edge.Tail)))
            .GroupBy(edge => edge.Head, edge => edge.Tail))
        {
            HashSet<Block> body = [back.Key];
            foreach (Block tail in back)
                body.UnionWith(Reach(tail, back.Key, block => before[block]));
            body.IntersectWith(reachable);
            loops.Add(new(back.Key, body));
        }

        foreach (Loop loop in loops)
        {
            List<Loop> inside = [.. loops.Where(other => other != loop && loop.Body.Contains(other.Head))];
            loop.Inner.AddRange(
                inside.Where(inner => !inside.Exists(other => other != inner && other.Body.Contains(inner.Head))));
        }
    }

    // All blocks that are reached from one without passing another.
    private static HashSet<Block> Reach(Block from, Block? without, Func<Block, IEnumerable<Block>> next)
    {
        HashSet<Block> reached = [];
        Stack<Block> open = new([from]);
        while (open.TryPop(out Block? block))
        {
            if (block != without && reached.Add(block))
            {
                foreach (Block further in next(block))
                    open.Push(further);
            }
        }

        return reached;
    }

    private sealed class Block(int begin, int end)
    {
        public int Begin => begin;

        public int End => end;

        public List<Block> Next { get; } = [];
    }

    private sealed record Loop(Block Head, HashSet<Block> Body)
    {
        public List<Loop> Inner { get; } = [];

        public Dictionary<Block, int> Longest { get; } = [];
    }
}
