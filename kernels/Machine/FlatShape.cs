namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// A dense run of numbers whose arrangement does not matter: a map under a loss, the parameters of a network.
/// </summary>
/// <param name="Count">How many numbers.</param>
internal readonly record struct FlatShape(long Count);
