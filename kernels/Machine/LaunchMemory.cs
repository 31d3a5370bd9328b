namespace MeanShiftGpu.Kernels.Machine;

/// <summary>Device memory that the launchers of a layer take beside their operands in a training step, in
/// bytes.</summary>
/// <param name="Parts">Parts of a weight's gradient, which <see cref="LaterSums{T}"/> holds for several
/// layers.</param>
/// <param name="Weights">Weights in the order that kernels read.</param>
/// <param name="Scratch">What a launch needs for itself; launches after each other share it.</param>
internal readonly record struct LaunchMemory(long Parts, long Weights, long Scratch);
