namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>The annotated centres of a batch on the device.</summary>
/// <param name="Positions">[M, 3], (z, y, x) in voxels, packed over the batch.</param>
/// <param name="Offsets">[N + 1]: item n owns rows Offsets[n] to Offsets[n + 1] − 1 of the positions.</param>
internal readonly record struct CenterViews<T>(ArrayView<T> Positions, ArrayView<int> Offsets)
    where T : unmanaged;

/// <summary>
/// Which point and which centre of an item are nearest to each other; of equally near ones the first counts.
/// </summary>
/// <param name="Centers">[N, S]: for each point the row of its nearest centre; −1 in items without
/// centres.</param>
/// <param name="Points">[M]: for each centre its nearest point, 0 to S − 1 within the centre's item.</param>
internal readonly record struct NearestPairs(ArrayView<int> Centers, ArrayView<int> Points);
