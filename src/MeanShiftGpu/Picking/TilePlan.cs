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
    /// <summary>Plans the tiles that fit and together have the fewest voxels, halos included.</summary>
    /// <param name="volume">The volume, its edges multiples of the divisor.</param>
    /// <param name="halo">Voxels of overlap on either side; rounded up to a multiple of the divisor.</param>
    /// <param name="divisor">Tiles begin at and measure multiples of this.</param>
    /// <param name="fits">Whether a largest tile of this size (first) with a core of this size (second) fits.</param>
    /// <returns>The tiles, x fastest; empty where not even the smallest fits.</returns>
    public static IReadOnlyList<Tile> Create(Extent volume, int halo, int divisor, Func<Extent, Extent, bool> fits)
    {
        ArgumentNullException.ThrowIfNull(fits);
        ArgumentOutOfRangeException.ThrowIfLessThan(divisor, 1);
        if (volume != volume.RoundUpTo(divisor))
            throw new ArgumentException($"a volume of {volume} cannot be cut at multiples of {divisor}; round it up first.", nameof(volume));
        halo = (halo + divisor - 1) / divisor * divisor;
        Axis[][] axes = [Axis.Cuts(volume.Depth, halo, divisor), Axis.Cuts(volume.Height, halo, divisor), Axis.Cuts(volume.Width, halo, divisor)];

        // The voxels of all tiles are the product of the axes' sums, so every combination is soon compared. Of equally good ones the first:
        // the fewest pieces, along z before y before x.
        (Axis Z, Axis Y, Axis X)? best = null;
        double fewest = double.PositiveInfinity;
        foreach (Axis z in axes[0])
        {
            foreach (Axis y in axes[1])
            {
                foreach (Axis x in axes[2])
                {
                    double voxels = (double)z.Covered * y.Covered * x.Covered;
                    if (voxels >= fewest || !fits(new Extent(z.Longest, y.Longest, x.Longest), new Extent(z.Core, y.Core, x.Core)))
                        continue;
                    fewest = voxels;
                    best = (z, y, x);
                }
            }
        }

        return best is not { } cut
            ? []
            :
            [
                .. from z in cut.Z.Pieces
                   from y in cut.Y.Pieces
                   from x in cut.X.Pieces
                   select new Tile(
                       (z.Origin, y.Origin, x.Origin),
                       new Extent(z.Size, y.Size, x.Size),
                       (z.Core, y.Core, x.Core),
                       new Extent(z.CoreSize, y.CoreSize, x.CoreSize)),
            ];
    }

    /// <summary>The smallest tile that a volume can be cut into, halo included.</summary>
    /// <param name="volume">The volume, its edges multiples of the divisor.</param>
    /// <param name="halo">Voxels of overlap on either side.</param>
    /// <param name="divisor">Tiles begin at and measure multiples of this.</param>
    public static Extent Smallest(Extent volume, int halo, int divisor)
    {
        int edge = ((halo + divisor - 1) / divisor * 2 + 1) * divisor;
        return new Extent(Math.Min(volume.Depth, edge), Math.Min(volume.Height, edge), Math.Min(volume.Width, edge));
    }

    /// <summary>One axis cut into pieces: the core's length, the longest piece with its halo, the sum of all with theirs, and the pieces.</summary>
    private sealed record Axis(int Core, int Longest, long Covered, IReadOnlyList<(int Origin, int Size, int Core, int CoreSize)> Pieces)
    {
        /// <summary>Every sensible cut of an axis, the fewest pieces first.</summary>
        public static Axis[] Cuts(int extent, int halo, int divisor)
        {
            List<Axis> cuts = [];
            for (int pieces = 1, last = 0; last != divisor; pieces++)
            {
                int core = ((extent + pieces - 1) / pieces + divisor - 1) / divisor * divisor;
                if (core != last)
                    cuts.Add(Of(extent, core, halo));
                last = core;
            }

            return [.. cuts];
        }

        private static Axis Of(int extent, int coreSize, int halo)
        {
            List<(int Origin, int Size, int Core, int CoreSize)> pieces = [];
            for (int core = 0; core < extent; core += coreSize)
            {
                int coreEnd = Math.Min(extent, core + coreSize);
                int origin = Math.Max(0, core - halo);
                int end = Math.Min(extent, coreEnd + halo);
                pieces.Add((origin, end - origin, core, coreEnd - core));
            }

            return new Axis(coreSize, pieces.Max(p => p.Size), pieces.Sum(p => (long)p.Size), pieces);
        }
    }
}
