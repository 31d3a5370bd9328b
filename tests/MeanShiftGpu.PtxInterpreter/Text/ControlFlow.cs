namespace MeanShiftGpu.PtxInterpreter.Text;

/// <summary>Where the two ways of a branch meet again: its immediate post-dominator.</summary>
internal static class ControlFlow
{
    /// <summary>
    /// The numbers of the instructions that may follow one; the code's length stands for the end.
    /// </summary>
    public static IEnumerable<int> Successors(Instruction[] code, int at)
    {
        Instruction i = code[at];
        if (i.Flow == Flow.Branch)
            yield return i.Target;
        if (i.Flow == Flow.Return)
            yield return code.Length;
        if (i.Flow is Flow.Next or Flow.Barrier || i.Guard >= 0)
            yield return at + 1;
    }

    /// <summary>
    /// Sets every conditional branch's reconvergence; −1 where its ways meet at the end alone.
    /// </summary>
    /// <remarks>
    /// K. Cooper, T. Harvey, K. Kennedy, "A Simple, Fast Dominance Algorithm", on the reversed graph.
    /// </remarks>
    public static void FindReconvergence(Instruction[] code)
    {
        int end = code.Length;
        List<int>[] before = [.. Enumerable.Range(0, end + 1).Select(_ => new List<int>())];
        for (int at = 0; at < end; at++)
        {
            foreach (int next in Successors(code, at))
                before[next].Add(at);
        }

        // Postorder from the end, along the reversed edges; what never ends has no number and meets nowhere.
        int[] order = new int[end + 1];
        Array.Fill(order, -1);
        List<int> visited = [];
        Stack<(int At, int Next)> path = new([(end, 0)]);
        bool[] seen = new bool[end + 1];
        seen[end] = true;
        while (path.TryPop(out (int At, int Next) step))
        {
            if (step.Next == before[step.At].Count)
            {
                order[step.At] = visited.Count;
                visited.Add(step.At);
                continue;
            }

            path.Push((step.At, step.Next + 1));
            int previous = before[step.At][step.Next];
            if (!seen[previous])
            {
                seen[previous] = true;
                path.Push((previous, 0));
            }
        }

        int[] immediate = new int[end + 1];
        Array.Fill(immediate, -1);
        immediate[end] = end;
        for (bool changed = true; changed;)
        {
            changed = false;
            for (int k = visited.Count - 2; k >= 0; k--)
            {
                int at = visited[k];
                int found = -1;
                foreach (int next in Successors(code, at))
                {
                    if (order[next] >= 0 && immediate[next] >= 0)
                        found = found < 0 ? next : Common(found, next);
                }

                changed |= immediate[at] != found;
                immediate[at] = found;
            }
        }

        foreach ((int at, Instruction i) in code.Index())
            i.Reconvergence = i.Flow == Flow.Branch && i.Guard >= 0 && immediate[at] != end ? immediate[at] : -1;

        int Common(int a, int b)
        {
            while (a != b)
            {
                while (order[a] < order[b])
                    a = immediate[a];
                while (order[b] < order[a])
                    b = immediate[b];
            }

            return a;
        }
    }
}
