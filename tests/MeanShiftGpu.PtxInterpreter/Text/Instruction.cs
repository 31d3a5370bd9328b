using MeanShiftGpu.PtxInterpreter.Machine;

namespace MeanShiftGpu.PtxInterpreter.Text;

/// <summary>What an instruction does to the flow of a warp.</summary>
internal enum Flow
{
    Next,
    Branch,
    Return,
    Barrier,
}

/// <summary>A parsed instruction.</summary>
/// <remarks>
/// An operand is the place of a register's plane of 32 lanes in the warp's memory, in bytes; constants and
/// special registers have planes too. A predicate's operand is its number.
/// </remarks>
internal sealed unsafe class Instruction
{
    public required string Text { get; init; }

    public required int Line { get; init; }

    public required Form Form { get; init; }

    /// <summary>The operands in the order of the text, those of vectors one after the other.</summary>
    public required int[] Operands { get; init; }

    /// <summary>The first four operands again.</summary>
    public int D, A, B, C;

    /// <summary>The implementation.</summary>
    public delegate*<Warp, Instruction, void> Run;

    public Flow Flow;

    /// <summary>The predicate of a branch or return; −1 for none.</summary>
    public int Guard = -1;

    public bool GuardNegated;

    /// <summary>Where a branch leads, and where its two ways meet again (−1: nowhere).</summary>
    public int Target = -1;

    public int Reconvergence = -1;

    /// <summary>The bytes added to an address, or a literal number.</summary>
    public int Number;

    public bool HasWideSharedAddress;

    /// <summary>
    /// The parameter whose view a global address was computed from; −1 where that is not known.
    /// </summary>
    public int View = -1;

    public override string ToString() => $"line {Line}: {Text}";
}
