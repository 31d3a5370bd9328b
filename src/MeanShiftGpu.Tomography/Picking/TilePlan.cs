using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>A part of a volume that the network sees at once.</summary>
/// <param name="Origin">First voxel of what the network sees.</param>
/// <param name="Size">Size of what the network sees.</param>
/// <param name="CoreOrigin">First voxel of the part whose scores are kept.</param>
/// <param name="CoreSize">Size of the part whose scores are kept.</param>
public readonly record struct Tile((int Z, int Y, int X) Origin, Extent Size, (int Z, int Y, int X) CoreOrigin, Extent CoreSize);

/// <summary>
/// Cuts a volume into tiles that overlap by the network's receptive field, so that every kept score is the
/// whole volume's. Where a tile ends with the volume it needs no overlap: the network's own zero padding is
/// the same there.
/// </summary>
public static class TilePlan
{
    /// <summary>Plans the tiles that fit and together have the fewest voxels, halos included.</summary>
    /// <param name="volume">The volume, its edges multiples of the divisor.</param>
    /// <param name="halo">Voxels of overlap on either side; rounded up so that all of these are multiples of
    /// what they must be.</param>
    /// <param name="divisor">Cores begin and end at multiples of this, and so does the volume.</param>
    /// <param name="alignment">Tiles begin, and end inside the volume, at multiples of this, which is a
    /// multiple of the divisor.</param>
    /// <param name="fits">Whether a largest tile of this size (first) with a core of this size (second)
    /// fits.</param>
    /// <returns>The tiles, x fastest; empty where not even the smallest fits.</returns>
    public static IReadOnlyList<Tile> Create(Extent volume, int halo, int divisor, int alignment, Func<Extent, Extent, bool> fits)
    {
        ArgumentNullException.ThrowIfNull(fits);
        ArgumentOutOfRangeException.ThrowIfLessThan(divisor, 1);
        if (alignment < divisor || HaloUnit(divisor, alignment) % divisor != 0)
            throw new ArgumentException($"tiles that begin at multiples of {alignment} have no cores that begin at multiples "
                + $"of {divisor}.", nameof(alignment));
        if (volume != volume.RoundUpTo(divisor))
            throw new ArgumentException(
                $"a volume of {volume} cannot be cut at multiples of {divisor}; round it up first.", nameof(volume));
        halo = RoundUp(halo, HaloUnit(divisor, alignment));
        Axis[][] axes =
            [Axis.Cuts(volume.Depth, halo, alignment), Axis.Cuts(volume.Height, halo, alignment), Axis.Cuts(
                volume.Width, halo, alignment)];

        // The voxels of all tiles are the product of the axes' sums, so every combination is soon compared.
        // Of equally good ones the first: the fewest pieces, along z before y before x.
        (Axis Z, Axis Y, Axis X)? best = null;
        double fewest = double.PositiveInfinity;
        foreach (Axis z in axes[0])
        {
            foreach (Axis y in axes[1])
            {
                foreach (Axis x in axes[2])
                {
                    double voxels = (double)z.Covered * y.Covered * x.Covered;
                    if (voxels >= fewest || !fits(
                        new Extent(z.Longest, y.Longest, x.Longest), new Extent(z.Core, y.Core, x.Core)))
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
    /// <param name="divisor">Cores begin and end at multiples of this.</param>
    /// <param name="alignment">Tiles begin and end at multiples of this.</param>
    public static Extent Smallest(Extent volume, int halo, int divisor, int alignment)
    {
        int edge = alignment + 2 * RoundUp(halo, HaloUnit(divisor, alignment));
        return new Extent(Math.Min(volume.Depth, edge), Math.Min(volume.Height, edge), Math.Min(volume.Width, edge));
    }

    // Two halos and some steps are a tile.
    private static int HaloUnit(int divisor, int alignment) => alignment % 2 == 0 ? Math.Max(divisor, alignment / 2) : alignment;

    private static int RoundUp(int value, int divisor) => (value + divisor - 1) / divisor * divisor;

    /// <summary>
    /// One axis cut into pieces: the longest core, the longest piece with its halo, the sum of all with
    /// theirs, and the pieces.
    /// </summary>
    private sealed record Axis(
        int Core, int Longest, long Covered, IReadOnlyList<(int Origin, int Size, int Core, int CoreSize)> Pieces)
    {
        /// <summary>Every sensible cut of an axis, the fewest pieces first.</summary>
        public static Axis[] Cuts(int extent, int halo, int alignment)
        {
            List<Axis> cuts = [Of([(0, extent, 0, extent)])];
            for (int pieces = 2, last = 0; last != alignment; pieces++)
            {
                // The first and the last piece lack a halo, so their cores are longer by one.
                int step = Math.Max(alignment, RoundUp((extent - 2 * halo + pieces - 1) / pieces, alignment));
                if (step != last && step + 2 * halo < extent)
                    cuts.Add(Cut(extent, halo, step));
                last = step;
            }

            return [.. cuts];
        }

        // Pieces that begin one step after the other, each with its halo before the core: the first core
        // alone begins with its piece.
        private static Axis Cut(int extent, int halo, int step)
        {
            List<(int Origin, int Size, int Core, int CoreSize)> pieces = [];
            for (int origin = 0, core = 0; core < extent; origin += step)
            {
                bool isLast = origin + step + 2 * halo >= extent;
                int coreEnd = isLast ? extent : origin + step + halo;
                pieces.Add((origin, Math.Min(extent, coreEnd + halo) - origin, core, coreEnd - core));
                core = coreEnd;
            }

            return Of(pieces);
        }

        private static Axis Of(List<(int Origin, int Size, int Core, int CoreSize)> pieces)
            => new(pieces.Max(p => p.CoreSize), pieces.Max(p => p.Size), pieces.Sum(p => (long)p.Size), pieces);
    }
}
