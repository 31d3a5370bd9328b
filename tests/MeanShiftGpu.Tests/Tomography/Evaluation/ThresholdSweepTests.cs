using MeanShiftGpu.Tomography.Evaluation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Evaluation;

/// <summary>Which of several settings is the best.</summary>
[TestFixture]
public class ThresholdSweepTests
{
    // 100 particles, of which 10 are marked; a strict setting finds 20 of them, a loose one 90, and one that
    // is too loose takes 800 picks of noise along.
    private static readonly ThresholdScore Strict = Score(0.8f, picks: 20, hits: 3);
    private static readonly ThresholdScore Loose = Score(0.4f, picks: 90, hits: 9);
    private static readonly ThresholdScore Noisy = Score(0.1f, picks: 900, hits: 10);

    [Test]
    public void Best_AllAreMarked_HasTheBestF1()
        => Assert.That(ThresholdSweep.Best([Noisy, Loose, Strict]), Is.EqualTo(Strict));

    [Test]
    public void Best_SomeAreMarked_FindsMostOfThemWithFewPicks()
        => Assert.That(ThresholdSweep.Best([Noisy, Loose, Strict], annotationIsSparse: true), Is.EqualTo(Loose));

    [Test]
    public void RecallSquaredPerPick_NoPick_IsZero()
        => Assert.That(Score(0.9f, picks: 0, hits: 0).RecallSquaredPerPick, Is.Zero);

    [Test]
    public void Best_EqualScores_JoinsLeastAndLiesInTheirMiddle()
    {
        ThresholdScore[] equal = [.. new[] { 0.2f, 0.3f, 0.4f }.Select(t => Score(t, picks: 50, hits: 5))];
        ThresholdScore joined = equal[1] with { BasinFraction = 0.6f };

        Assert.Multiple(() =>
        {
            Assert.That(ThresholdSweep.Best([.. equal, joined]), Is.EqualTo(equal[1]));
            Assert.That(ThresholdSweep.Best([.. equal, joined], annotationIsSparse: true), Is.EqualTo(equal[1]));
        });
    }

    private static ThresholdScore Score(float threshold, int picks, int hits)
    {
        double precision = picks == 0 ? 0 : (double)hits / picks;
        double recall = hits / 10.0;
        return new(threshold, 0.05f, 0, picks, precision, recall, hits == 0 ? 0 : 2 * precision * recall / (precision + recall));
    }
}
