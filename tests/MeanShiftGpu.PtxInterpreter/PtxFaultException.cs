namespace MeanShiftGpu.PtxInterpreter;

/// <summary>What a kernel did wrong, most of which a GPU would not report.</summary>
public enum FaultKind
{
    /// <summary>A text that this interpreter does not know, or whose operands are wrong.</summary>
    Text,

    /// <summary>More threads, groups, registers or shared memory than a launch may have.</summary>
    Launch,

    /// <summary>
    /// An address outside every allocation, outside the view that it was computed from, or outside shared
    /// memory.
    /// </summary>
    Bounds,

    /// <summary>An address that is no multiple of what is accessed.</summary>
    Alignment,

    /// <summary>A read of memory that nobody wrote.</summary>
    Unwritten,

    /// <summary>
    /// Two threads access a word of shared memory, one of them writing, without a barrier between.
    /// </summary>
    Race,

    /// <summary>A barrier that not all threads of the group reach.</summary>
    Barrier,

    /// <summary>
    /// A branch marked uniform, or an instruction for whole warps, at which the warp's threads part.
    /// </summary>
    Divergence,

    /// <summary>
    /// A word that an asynchronous copy is still to write was accessed, or a thread ended before its copies
    /// arrived.
    /// </summary>
    Copy,
}

/// <summary>A fault of a kernel, or of its text.</summary>
public sealed class PtxFaultException(FaultKind kind, string message) : Exception(message)
{
    /// <summary>What kind of fault.</summary>
    public FaultKind Kind { get; } = kind;
}
