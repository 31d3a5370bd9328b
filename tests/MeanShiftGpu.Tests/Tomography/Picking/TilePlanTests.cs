using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Picking;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Picking;

/// <summary>Every voxel lies in one core, and every core has what its scores depend on around it.</summary>
public class TilePlanTests
{
    [TestCase(34, 4, 4)]
    [TestCase(53, 4, 16)]
    [TestCase(24, 2, 8)]
    [TestCase(8, 1, 4)]
    [TestCase(4, 1, 1)]
    public void Create_AnyVolume_CutsCoresWithTheirHalos(int halo, int divisor, int alignment)
    {
        Random random = new(1);
        int cut = 0;
        for (int i = 0; i < 100; i++)
        {
            int most = 2 * halo + 32 * alignment;
            Extent volume = new Extent(random.Next(1, most), random.Next(1, most), random.Next(1, most)).RoundUpTo(divisor);
            Extent smallest = TilePlan.Smallest(volume, halo, divisor, alignment);
            long mostVoxels = (long)(smallest.Voxels * (1 + 3 * random.NextDouble()));
            (Extent Tile, Extent Core) largest = default;
            IReadOnlyList<Tile> tiles = TilePlan.Create(volume, halo, divisor, alignment, (tile, core) =>
            {
                if (tile.Voxels > mostVoxels)
                    return false;
                largest = (tile, core);
                return true;
            });
            cut += tiles.Count > 1 ? 1 : 0;
            Assert.That(tiles.Sum(t => t.CoreSize.Voxels), Is.EqualTo(volume.Voxels));
            CheckAxis(
                volume.Depth,
                largest.Tile.Depth,
                largest.Core.Depth,
                [.. tiles.Select(t => (t.Origin.Z, t.Size.Depth, t.CoreOrigin.Z, t.CoreSize.Depth))]);
            CheckAxis(
                volume.Height,
                largest.Tile.Height,
                largest.Core.Height,
                [.. tiles.Select(t => (t.Origin.Y, t.Size.Height, t.CoreOrigin.Y, t.CoreSize.Height))]);
            CheckAxis(
                volume.Width,
                largest.Tile.Width,
                largest.Core.Width,
                [.. tiles.Select(t => (t.Origin.X, t.Size.Width, t.CoreOrigin.X, t.CoreSize.Width))]);
        }

        Assert.That(cut, Is.GreaterThan(30));

        void CheckAxis(int extent, int longest, int longestCore, (int Origin, int Size, int Core, int CoreSize)[] pieces)
        {
            int next = 0;
            foreach ((int origin, int size, int core, int coreSize) in pieces.Distinct().OrderBy(p => p.Core))
            {
                Assert.That(core, Is.EqualTo(next), "cores touch");
                next = core + coreSize;
                Assert.That(origin, Is.LessThanOrEqualTo(Math.Max(0, core - halo)), "near halo");
                Assert.That(origin + size, Is.InRange(Math.Min(extent, next + halo), extent), "far halo");
                Assert.That((origin % alignment, core % divisor), Is.EqualTo((0, 0)));
                Assert.That((origin + size) % alignment == 0 || origin + size == extent);
                Assert.That((size <= longest, coreSize <= longestCore), Is.EqualTo((true, true)), "what was asked to fit");
            }

            Assert.That(next, Is.EqualTo(extent));
        }
    }

    [Test]
    public void Create_ManyTiles_WastesTheLeast()
    {
        // A row of 512 voxels in tiles of at most 220 with halos of 36: the first and the last have one halo
        // only.
        IReadOnlyList<Tile> tiles = TilePlan.Create(new Extent(4, 4, 512), 36, 4, 4, (tile, _) => tile.Width <= 220);
        Assert.That(tiles.Select(t => (t.Origin.X, t.Size.Width)), Is.EqualTo(((int, int)[])[(0, 220), (148, 220), (296, 216)]));
        Assert.That(TilePlan.Create(new Extent(4, 4, 512), 36, 4, 4, (tile, _) => tile.Width < 76), Is.Empty);
    }
}
