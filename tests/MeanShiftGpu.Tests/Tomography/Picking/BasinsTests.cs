using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Picking;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Picking;

/// <summary>Places of one large particle are joined, those of neighbours are not.</summary>
public class BasinsTests
{
    private static readonly Extent Size = new(24, 24, 48);

    [Test]
    public void Merge_PlacesOfOnePlateau_AreOneAtTheirWeightedCentre()
    {
        using Volume map = Map(x => x is >= 6 and <= 30 ? 0.9f : 0);
        List<PointGroup> merged = Merge(map, 0.6, 12, [At(10, 30), At(20, 10)]);
        Assert.That(merged, Has.Count.EqualTo(1));
        Assert.That((merged[0].X, merged[0].Support, merged[0].Voxels), Is.EqualTo((12.5, 40.0, 20)));
    }

    // Between the places the map falls to 0.4 of 0.9, so to 0.44 of the lower peak.
    [TestCase(0.6, 2)]
    [TestCase(0.4, 1)]
    public void Merge_AcrossAValley_DependsOnItsDepth(double fraction, int expected)
    {
        using Volume map = Map(x => x == 15 ? 0.4f : x is >= 6 and <= 30 ? 0.9f : 0);
        Assert.That(Merge(map, fraction, 12, [At(10, 30), At(20, 10)]), Has.Count.EqualTo(expected));
    }

    [Test]
    public void Merge_PlacesOutOfReach_StayApart()
    {
        using Volume map = Map(_ => 0.9f);
        Assert.That(Merge(map, 0.6, 12, [At(10, 30), At(22.5, 10)]), Has.Count.EqualTo(2));
    }

    // A chain of touching particles must not become one: what is joined is near the strongest place itself.
    [Test]
    public void Merge_AChain_IsNotJoinedFromLinkToLink()
    {
        using Volume map = Map(_ => 0.9f);
        List<PointGroup> merged = Merge(map, 0.6, 12, [At(5, 10), At(15, 30), At(25, 10), At(35, 9), At(45, 8)]);
        Assert.That(merged.Select(g => g.Voxels), Is.EqualTo((int[])[30, 20]));
    }

    private static PointGroup At(double x, double support) => new(support, 12, 12, x, 0, 0, 10);

    private static List<PointGroup> Merge(Volume map, double fraction, double reach, List<PointGroup> groups)
        => new Basins(map, fraction, reach).Merge(groups, CancellationToken.None);

    private static Volume Map(Func<int, float> along)
    {
        Volume map = new(Size, default);
        for (int z = 0; z < Size.Depth; z++)
        {
            for (int y = 0; y < Size.Height; y++)
            {
                Span<float> row = map.Row(z, y);
                for (int x = 0; x < row.Length; x++)
                    row[x] = along(x);
            }
        }

        return map;
    }
}
