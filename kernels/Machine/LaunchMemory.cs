namespace MeanShiftGpu.Kernels.Machine;

/// <summary>Device memory that the launchers of a layer take beside their operands, in bytes: in a
/// training step, and at most in a pass by itself.</summary>
/// <param name="Parts">Parts of a weight's gradient, which <see cref="LaterSums{T}"/> holds for several
/// layers.</param>
/// <param name="Weights">Weights in the order that kernels read.</param>
/// <param name="Scratch">What a launch needs for itself; launches after each other share it.</param>
internal readonly record struct LaunchMemory(long Parts, long Weights, long Scratch)
{
    /// <summary>Bytes that a caller must lend for every pass of the layer.</summary>
    public long LentBytes => LentMemory.Whole(Parts) + LentMemory.Whole(Weights) + LentMemory.Whole(Scratch);
}
