namespace MeanShiftGpu.Picking;

/// <summary>A part of a volume that the network sees at once.</summary>
/// <param name="Origin">First voxel of what the network sees.</param>
/// <param name="Size">Size of what the network sees.</param>
/// <param name="CoreOrigin">First voxel of the part whose scores are kept.</param>
/// <param name="CoreSize">Size of the part whose scores are kept.</param>
public readonly record struct Tile((int Z, int Y, int X) Origin, Extent Size, (int Z, int Y, int X) CoreOrigin, Extent CoreSize);

/// <summary>
/// Cuts a volume into tiles that overlap by the network's receptive field, so that every kept score is the whole volume's.
/// Where a tile ends with the volume it needs no overlap: the network's own zero padding is the same there.
/// </summary>
public static class TilePlan
{
    /// <summary>Plans the fewest tiles whose size stays within a number of voxels.</summary>
    /// <param name="volume">The volume, its edges multiples of the divisor.</param>
    /// <param name="halo">Voxels of overlap on either side; rounded up to a multiple of the divisor.</param>
    /// <param name="divisor">Tiles begin at and measure multiples of this.</param>
    /// <param name="maximumVoxels">The largest tile, halo included.</param>
    /// <exception cref="InputException">Not even the smallest tile fits.</exception>
    public static IReadOnlyList<Tile> Create(Extent volume, int halo, int divisor, long maximumVoxels)
    {
        halo = (halo + divisor - 1) / divisor * divisor;
        int[] extents = [volume.Depth, volume.Height, volume.Width];
        int[] cores = [.. extents];
        // Halve the longest core until a tile fits: nearly cubic cores waste the least on halos.
        while (Voxels() > maximumVoxels)
        {
            int longest = Array.IndexOf(cores, cores.Max());
            if (cores[longest] <= divisor)
                throw new InputException($"picking: the memory limit allows tiles of {maximumVoxels} voxels, but the smallest tile with its halo of {halo} has {Voxels()}. Raise the limit.");
            int pieces = (extents[longest] + cores[longest] - 1) / cores[longest] + 1;
            // Rounding up to the divisor may give the same core again; it must become smaller.
            int even = ((extents[longest] + pieces - 1) / pieces + divisor - 1) / divisor * divisor;
            cores[longest] = Math.Min(even, cores[longest] - divisor);
        }

        return
        [
            .. from z in Along(0)
               from y in Along(1)
               from x in Along(2)
               select new Tile(
                   (z.Origin, y.Origin, x.Origin),
                   new Extent(z.Size, y.Size, x.Size),
                   (z.Core, y.Core, x.Core),
                   new Extent(z.CoreSize, y.CoreSize, x.CoreSize)),
        ];

        long Voxels() => Enumerable.Range(0, 3).Aggregate(1L, (product, axis) => product * Math.Min(extents[axis], cores[axis] + 2 * halo));

        IEnumerable<(int Origin, int Size, int Core, int CoreSize)> Along(int axis)
        {
            for (int core = 0; core < extents[axis]; core += cores[axis])
            {
                int coreEnd = Math.Min(extents[axis], core + cores[axis]);
                int origin = Math.Max(0, core - halo);
                int end = Math.Min(extents[axis], coreEnd + halo);
                yield return (origin, end - origin, core, coreEnd - core);
            }
        }
    }
}
