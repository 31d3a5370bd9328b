using System.Globalization;

namespace MeanShiftGpu.Device.Sass;

/// <summary>
/// What registers hold, as far as it follows from a kernel's own constants, for the first thread of a group.
/// It knows the few instructions that count loops; what any other writes is unknown.
/// </summary>
internal sealed class SassConstants
{
    private readonly Dictionary<string, int> registers = [];
    private readonly Dictionary<string, bool> predicates = [];

    /// <summary>The value of a predicate such as P0, !UP1 or PT; null where it is unknown.</summary>
    public bool? Predicate(string name)
    {
        if (name is "" or "PT" or "UPT")
            return true;
        if (name[0] == '!')
            return !Predicate(name[1..]);
        return predicates.TryGetValue(name, out bool value) ? value : null;
    }

    /// <summary>Whether a branch is taken; null where that is unknown.</summary>
    public bool? Taken(SassInstruction branch)
    {
        bool? taken = Predicate(branch.Guard);
        foreach (string condition in branch.Operands[..^1])
            taken = taken == false ? false : Predicate(condition) is { } value ? taken & value : null;
        return taken;
    }

    /// <summary>Executes an instruction.</summary>
    public void Execute(SassInstruction instruction)
    {
        if (Predicate(instruction.Guard) == false || instruction.Operands.Length == 0)
            return;
        if (instruction.Name == "R2P")
            predicates.Clear();
        bool certain = Predicate(instruction.Guard) == true;
        if (instruction.Name is "ISETP" or "UISETP")
        {
            bool? value = certain && !instruction.Opcode.EndsWith(".EX", StringComparison.Ordinal) ? Compare(instruction) : null;
            Set(instruction.Operands[0], value);
            if (instruction.Operands[1] is not ("PT" or "UPT"))
                predicates.Remove(instruction.Operands[1]);
            return;
        }

        int? result = certain ? Value(instruction) : null;
        foreach (string target in Targets(instruction))
        {
            registers.Remove(target);
            predicates.Remove(target);
        }

        if (result is { } known && IsRegister(instruction.Operands[0]))
            registers[instruction.Operands[0]] = known;
    }

    private void Set(string predicate, bool? value)
    {
        if (value is { } known)
            predicates[predicate] = known;
        else
            predicates.Remove(predicate);
    }

    private bool? Compare(SassInstruction instruction)
    {
        if (Operand(instruction.Operands[2]) is not { } a || Operand(instruction.Operands[3]) is not { } b)
            return null;
        string[] modifiers = instruction.Opcode.Split('.');
        long left = modifiers.Contains("U32") ? (uint)a : a;
        long right = modifiers.Contains("U32") ? (uint)b : b;
        bool? result = modifiers[1] switch
        {
            "EQ" => left == right,
            "NE" => left != right,
            "LT" => left < right,
            "LE" => left <= right,
            "GT" => left > right,
            "GE" => left >= right,
            _ => null,
        };
        if (result is not { } value || Predicate(instruction.Operands[4]) is not { } other)
            return null;
        return modifiers.Contains("AND") ? value && other : modifiers.Contains("OR") ? value || other : null;
    }

    private int? Value(SassInstruction instruction)
    {
        string[] operands = instruction.Operands;
        int? At(int index) => Operand(operands[index]);
        return (instruction.Opcode, operands.Length) switch
        {
            ("MOV" or "UMOV" or "R2UR", 2) => At(1),
            ("S2R" or "S2UR", 2) when operands[1] == "SR_TID.X" => 0,
            ("CS2R" or "CS2R.32", 2) when operands[1] == "SRZ" => 0,
            ("IADD3" or "UIADD3", 4) => At(1) + At(2) + At(3),
            ("VIADD", 3) => At(1) + At(2),
            ("SEL" or "USEL", 4) => Predicate(operands[3]) is { } chosen ? At(chosen ? 1 : 2) : null,
            // The least of a constant and of what is not known, such as the rows that a volume has left, is
            // the constant: loops turn as often as they can.
            ("IMNMX" or "VIMNMX" or "UIMNMX" or "UVIMNMX", 4) when operands[3] is "PT" or "UPT" => At(1) is { } a
                && At(2) is { } b ? Math.Min(a, b) : At(1) ?? At(2),
            ("LEA" or "ULEA", 4) => (At(1) << At(3)) + At(2),
            ("IMAD" or "IMAD.MOV" or "IMAD.MOV.U32" or "IMAD.IADD" or "IMAD.SHL" or "IMAD.SHL.U32" or "UIMAD", 4)
                => At(1) * At(2) + At(3),
            ("SHF.L.U32" or "USHF.L.U32", 4) when operands[3] is "RZ" or "URZ" => At(1) << At(2),
            ("SHF.R.S32.HI" or "USHF.R.S32.HI", 4) when operands[1] is "RZ" or "URZ" => At(3) >> At(2),
            ("SHF.R.U32.HI" or "USHF.R.U32.HI", 4) when operands[1] is "RZ" or "URZ" => At(3) >>> At(2),
            _ => null,
        };
    }

    private int? Operand(string text)
    {
        string name = text.Split('.')[0];
        if (name is "RZ" or "URZ")
            return 0;
        if (name.StartsWith('-') && !name.StartsWith("-0x", StringComparison.Ordinal))
            return -Operand(name[1..]);
        if (name.StartsWith("0x", StringComparison.Ordinal))
            return uint.TryParse(name[2..], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out uint value) ? (int)value
                : null;
        if (name.StartsWith("-0x", StringComparison.Ordinal))
            return -Operand(name[1..]);
        return registers.TryGetValue(name, out int known) ? known : null;
    }

    private static bool IsRegister(string text)
        => text.Length > 1 && (text[0] == 'R' || text.StartsWith("UR", StringComparison.Ordinal)) && char.IsAsciiDigit(text[^1]);

    // The first operand and what lies behind it of a wide one; predicates among the first three are results
    // too, as of a carry.
    private static IEnumerable<string> Targets(SassInstruction instruction)
    {
        foreach (
            string operand in instruction.Operands.Take(3).Where(operand => operand.TrimStart('U') is ['P', >= '0' and <= '9']))
            yield return operand;
        string first = instruction.Operands[0].Split('.')[0];
        if (!IsRegister(first))
            yield break;
        string kind = first[0] == 'U' ? "UR" : "R";
        int number = int.Parse(first[kind.Length..], CultureInfo.InvariantCulture);
        string[] modifiers = instruction.Opcode.Split('.');
        int width = instruction.IsMatrixMultiply || modifiers.Contains("128") || modifiers.Contains("4") ? 4
            : modifiers.Contains("64") || modifiers.Contains("WIDE")
            || modifiers[0] is "CS2R" or "DADD" or "DMUL" or "DFMA" or "D2D" ? 2 : 1;
        for (int i = 0; i < width; i++)
            yield return string.Create(CultureInfo.InvariantCulture, $"{kind}{number + i}");
    }
}
