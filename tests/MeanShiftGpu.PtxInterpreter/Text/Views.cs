namespace MeanShiftGpu.PtxInterpreter.Text;

/// <summary>
/// From which parameter's view the address of each access of global memory was computed, so that an access
/// behind a view is found even if it meets another tensor's memory. ILGPU passes a view as an address and a
/// number of elements, and computes an element's address by mad.lo.u64 index, bytes of an element, base.
/// </summary>
internal static class Views
{
    private const int None = -1;

    /// <summary>Sets <see cref="Instruction.View"/> where it is known.</summary>
    public static void Find(Kernel kernel)
    {
        Instruction[] code = kernel.Code;
        Dictionary<int, int>?[] before = new Dictionary<int, int>?[code.Length + 1];
        before[0] = [];
        Stack<int> work = new([0]);
        while (work.TryPop(out int at))
        {
            if (at == code.Length)
                continue;
            Dictionary<int, int> known = before[at]!;
            (int target, int parameter) = Result(kernel, code[at], known);
            if (target >= 0)
            {
                known = new(known);
                if (parameter == None)
                    known.Remove(target);
                else
                    known[target] = parameter;
            }

            foreach (int next in ControlFlow.Successors(code, at))
            {
                if (Merge(ref before[next], known))
                    work.Push(next);
            }
        }

        foreach ((int at, Instruction i) in code.Index())
        {
            int operand = i.Form.Name.StartsWith("ld.global",
                StringComparison.Ordinal) ? i.Form.Count : i.Form.Name.StartsWith("cp.async.c",
                    StringComparison.Ordinal) && i.Form.Size > 0 ? 1 : 0;
            if (!i.Form.Operands.Contains('g') || before[at] is not { } known || !known.TryGetValue(i.Operands[operand],
                out int parameter))
                continue;
            i.View = parameter;
        }
    }

    // Which register of 64 bits an instruction writes (None for none), and the parameter into whose view that
    // points.
    private static (int Target, int Parameter) Result(Kernel kernel, Instruction i, Dictionary<int, int> known)
    {
        int Of(int operand) => known.GetValueOrDefault(operand, None);
        switch (i.Form.Name)
        {
            case "ld.param.b64":
                return (
                    i.D, kernel.Parameters.ToList().FindIndex(
                        parameter => parameter.Offset == i.Number && parameter.ElementBytes > 0));
            case "cvta.to.global.u64" or "mov.b64":
                return (i.D, Of(i.A));
            case "mad.lo.u64":
                return (i.D, Of(i.C));
            case "add.s64" or "add.u64":
                return (i.D, Of(i.B) == None ? Of(i.A) : Of(i.A) == None ? Of(i.B) : None);
            default:
                // Whatever else writes a register of 64 bits makes no address of a view.
                return (i.Form.Operands.StartsWith('l') ? i.D : None, None);
        }
    }

    // Only what holds on every way is kept. True if that changed something.
    private static bool Merge(ref Dictionary<int, int>? into, Dictionary<int, int> from)
    {
        if (into is null)
        {
            into = from;
            return true;
        }

        Dictionary<int, int> both = into.Where(pair => from.TryGetValue(pair.Key,
            out int other) && other == pair.Value).ToDictionary();
        if (both.Count == into.Count)
            return false;
        into = both;
        return true;
    }
}
