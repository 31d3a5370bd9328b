using MeanShiftGpu.PtxInterpreter.Machine;

namespace MeanShiftGpu.PtxInterpreter.Text;

/// <summary>A form of an instruction: its name with every modifier, and what its operands are.</summary>
/// <param name="name">As it stands in the text.</param>
/// <param name="operands">
/// One letter for each operand: r, l, h a register or constant of 32, 64 or 16 bits; p a predicate, c a
/// predicate or 0 or 1; 2 or 4 before a letter a vector of that many; g an address in global memory, s one in
/// shared memory; m a place in the parameters; b a label; n a literal number.
/// </param>
/// <param name="flow">What it does to the flow of a warp.</param>
internal sealed unsafe class Form(string name, string operands, Flow flow = Flow.Next)
{
    public string Name { get; } = name;

    public string Operands { get; } = operands;

    public Flow Flow { get; } = flow;

    public delegate*<Warp, Instruction, void> Run { get; init; }

    /// <summary>Bytes of an element of an access, and how many there are.</summary>
    public int Size { get; init; }

    public int Count { get; init; } = 1;

    /// <summary>Whether its constants are floating-point numbers, written as their bits.</summary>
    public bool IsFloat { get; } = name.EndsWith(".f32", StringComparison.Ordinal) || name.EndsWith(".f64",
        StringComparison.Ordinal);
}
