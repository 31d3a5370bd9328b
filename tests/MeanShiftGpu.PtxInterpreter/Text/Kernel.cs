namespace MeanShiftGpu.PtxInterpreter.Text;

/// <summary>
/// A parameter: its place and length in the parameters' memory, and, of a view whose comment says so, the
/// bytes of an element; else 0.</summary>
internal readonly record struct Parameter(string Name, int Offset, int Bytes, int ElementBytes);

/// <summary>A parsed entry point.</summary>
internal sealed class Kernel
{
    public required string Name { get; init; }

    public required IReadOnlyList<Parameter> Parameters { get; init; }

    public required Instruction[] Code { get; init; }

    /// <summary>The bound on the threads of a group; 0 for none.</summary>
    public required int MaxThreads { get; init; }

    /// <summary>
    /// Bytes of shared memory that the text declares, and where memory that the launch adds begins; −1 where
    /// it declares none of that.</summary>
    public required int StaticSharedBytes { get; init; }

    public required int DynamicSharedAt { get; init; }

    /// <summary>
    /// Bytes of all planes of a warp, of which registers come first, then constants, then special registers.
    /// </summary>
    public required int PlaneBytes { get; init; }

    public required int RegisterBytes { get; init; }

    public required int Predicates { get; init; }

    /// <summary>Constants: the place of their plane, their value, and whether it has 64 bits.</summary>
    public required IReadOnlyList<(int Place, ulong Value, bool IsWide)> Constants { get; init; }

    /// <summary>Special registers that the text reads, and the place of their plane.</summary>
    public required IReadOnlyDictionary<string, int> Special { get; init; }

    public int ParameterBytes => Parameters.Count == 0 ? 0 : Parameters[^1].Offset + Parameters[^1].Bytes;

    /// <summary>The forms of the text, with how often it stands there.</summary>
    public IEnumerable<(string Form, int Count)> Forms
        => Code.CountBy(instruction => instruction.Form.Name).Select(pair => (pair.Key, pair.Value));
}
