using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Evaluation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Evaluation;

/// <summary>Recall and duplicates of particles of different size.</summary>
public class KindScoreTests
{
    private static readonly Dictionary<string, double> Radii = new() { ["small"] = 2, ["large"] = 10 };

    [Test]
    public void Count_PicksAtDifferentDistances_AreJudgedByTheirParticlesSize()
    {
        (string, Position)[] truth =
            [("small", new Position(10, 10, 10)), ("large", new Position(10, 10, 40)), ("large", new Position(10, 40, 40))];
        Position[] picks =
        [
            new(10, 10, 11.5),  // further from the small one than half its radius
            new(10, 10, 44),    // finds a large one
            new(10, 10, 33),    // finds it again
            new(30, 10, 10),    // belongs to nothing
        ];
        IReadOnlyList<KindScore> scores = KindScore.Count([(picks, truth)], Radii);
        Assert.That(scores, Is.EqualTo([new KindScore("small", 2, 1, 0, 0), new KindScore("large", 10, 2, 1, 1)]));
        Assert.That(scores[1].Recall, Is.EqualTo(0.5));
    }

    // 4 voxels from the small one's centre and 6 from the large one's, the pick lies in the large one alone.
    [Test]
    public void Count_APickBetweenTwoSizes_BelongsToTheOneWhoseRadiusReaches()
    {
        (string, Position)[] truth = [("small", new Position(0, 0, 0)), ("large", new Position(0, 0, 10))];
        IReadOnlyList<KindScore> scores = KindScore.Count([([new Position(0, 0, 4), new Position(0, 0, 9)], truth)], Radii);
        Assert.That(scores.Select(s => (s.Found, s.Duplicates)), Is.EqualTo([(0, 0), (1, 1)]));
    }

    [Test]
    public void Count_AKindWithoutRadius_Throws()
        => Assert.That(
            () => KindScore.Count([([], [("other", new Position(0, 0, 0))])], Radii),
            Throws.ArgumentException.With.Message.Contains("'other' has no radius"));
}
