using System.Text.RegularExpressions;

namespace MeanShiftGpu.Device.Sass;

/// <summary>One machine instruction as nvdisasm writes it.</summary>
/// <param name="Guard">The predicate it depends on, such as P0, !P3 or UP1; empty where it always
/// executes.</param>
/// <param name="Opcode">With its modifiers: IMAD.WIDE.U32.</param>
/// <param name="Operands">Targets first.</param>
internal sealed record SassInstruction(string Guard, string Opcode, string[] Operands)
{
    /// <summary>The opcode without modifiers.</summary>
    public string Name { get; } = Opcode.Split('.')[0];

    /// <summary>A matrix instruction of tensor cores.</summary>
    public bool IsMatrixMultiply => Name == "HMMA";

    /// <summary>
    /// An asynchronous copy of 4 bytes, with which kernels fetch tensors that are not aligned to 16 bytes.
    /// </summary>
    public bool IsSmallCopy => Name == "LDGSTS" && !Opcode.Contains(".128", StringComparison.Ordinal);
}

/// <summary>A kernel's instructions and where its branches lead.</summary>
internal sealed partial class SassListing
{
    private readonly Dictionary<string, int> labels = [];

    /// <summary>Reads what "nvdisasm -c" writes of a file with one kernel.</summary>
    /// <exception cref="InvalidOperationException">There is no instruction in it.</exception>
    public SassListing(string text)
    {
        List<SassInstruction> instructions = [];
        foreach (string line in text.Split('\n'))
        {
            if (Label().Match(line) is { Success: true } label)
                labels[label.Groups[1].Value] = instructions.Count;
            else if (Line().Match(line) is { Success: true } match)
                instructions.Add(
                    new(match.Groups[1].Value, match.Groups[2].Value,
                        [.. match.Groups[3].Value.Split(',').Select(operand => operand.Trim()).Where(operand => operand != "")]));
        }

        Instructions = instructions.Count > 0 ? instructions : throw new InvalidOperationException("nvdisasm wrote no "
            + "instruction.");
    }

    public IReadOnlyList<SassInstruction> Instructions { get; }

    /// <summary>Where a branch leads; null of any other instruction.</summary>
    public int? Target(int at)
    {
        SassInstruction instruction = Instructions[at];
        return instruction.Name switch
        {
            "BRA" => labels[Reference().Match(instruction.Operands[^1]).Groups[1].Value],
            "BRX" or "JMP" or "JMX" => throw new InvalidOperationException($"A {instruction.Name} leads where only the running "
            + "kernel knows, expected branches to labels."),
            _ => null,
        };
    }

    /// <summary>Whether the next instruction is never executed after this one.</summary>
    public bool Ends(int at)
    {
        SassInstruction instruction = Instructions[at];
        return instruction.Guard == "" && (
            instruction.Name is "EXIT" or "RET" || (instruction.Name == "BRA" && instruction.Operands.Length == 1));
    }

    [GeneratedRegex(@"^(\.L_x_\d+):")]
    private static partial Regex Label();

    // "        /*0250*/              @!P1 IMAD.IADD R9, R9, 0x1, -R10 ;"
    [GeneratedRegex(@"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@(!?U?P[0-9T]) )?\s*([A-Z][A-Z0-9_.]*)\s*(.*?)\s*;")]
    private static partial Regex Line();

    [GeneratedRegex(@"\((\.L_x_\d+)\)")]
    private static partial Regex Reference();
}
