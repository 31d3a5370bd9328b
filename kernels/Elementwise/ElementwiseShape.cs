namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>
/// Extents of an addition or masking of channels-last tensors, of which either may be a slice of the channels
/// of a wider one.
/// </summary>
/// <param name="Voxels">N·D·H·W.</param>
/// <param name="Channels">C, the channels that are worked on.</param>
/// <param name="SourcePitch">Elements from one voxel of the source to the next; at least C.</param>
/// <param name="TargetPitch">Elements from one voxel of the target to the next; at least C.</param>
internal readonly record struct ElementwiseShape(long Voxels, int Channels, int SourcePitch, int TargetPitch);
