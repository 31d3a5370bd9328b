using MeanShiftGpu.Picking;
using NUnit.Framework;

namespace MeanShiftGpu.Tests;

public class EvaluationTests
{
    [Test]
    public void Evaluate_HandExample_GivesThePapersNumbers()
    {
        // On a line: truths at 0, 10 and 30; predictions at 1, 3, 14 and 50.
        // Nearest truth of the predictions: 1, 3, 4, 20. Nearest prediction of the truths: 1, 4, 16.
        EvaluationResult result = Evaluation.Evaluate([new(Line(1, 3, 14, 50), Line(0, 10, 30))], [4, 2, 0.5]);
        Assert.That(result.DistPred, Is.EqualTo(28.0 / 4));
        Assert.That(result.DistGt, Is.EqualTo(21.0 / 3));
        Assert.That((result.Predictions, result.Truth, result.Volumes, result.VolumesWithoutPredictions), Is.EqualTo((4, 3, 1, 0)));

        // Radius 4: hits 1, 3 and 14 of 4 (14 is at exactly 4); found 0 and 10 of 3; F1 = 2·(3/4)·(2/3)/(3/4 + 2/3) = 12/17.
        // One to one: 1–0 and 14–10; F1 = 4/7.
        RadiusScore four = result.At(4);
        Assert.That((four.HitPredictions, four.FoundTruth, four.OneToOneMatches), Is.EqualTo((3, 2, 2)));
        Assert.That(four.Precision, Is.EqualTo(0.75));
        Assert.That(four.Recall, Is.EqualTo(2.0 / 3));
        Assert.That(four.F1, Is.EqualTo(12.0 / 17).Within(1e-15));
        Assert.That(four.OneToOneF1, Is.EqualTo(4.0 / 7));

        // Radius 2: hit 1 of 4, found 1 of 3, F1 = 2·(1/12)/(7/12) = 2/7.
        Assert.That(result.At(2).F1, Is.EqualTo(2.0 / 7).Within(1e-15));
        Assert.That(result.At(0.5), Is.EqualTo(new RadiusScore(0.5, 0, 0, 0, 0, 0, 0, 0)));
        Assert.Throws<ArgumentException>(() => result.At(3));
    }

    [Test]
    public void Evaluate_Distance_IsEuclideanInThreeAxes()
    {
        EvaluationResult result = Evaluation.Evaluate([new([new(1, 2, 3)], [new(3, 5, 9)])], [7, 6.999]);
        // √(4 + 9 + 36) = 7.
        Assert.That(result.DistPred, Is.EqualTo(7));
        Assert.That(result.At(7).F1, Is.EqualTo(1));
        Assert.That(result.At(6.999).F1, Is.Zero);
    }

    [Test]
    public void Evaluate_SeveralVolumes_ArePooledAndDoNotMix()
    {
        // The first volume's prediction at 0 must not find the second one's truth at 0.
        EvaluationVolume[] volumes = [new(Line(0), Line(6)), new(Line(5, 7, 9), Line(0, 8))];
        EvaluationResult result = Evaluation.Evaluate(volumes, [3]);
        // Predictions: 6; 3, 1, 1. Truths: 6; 5, 1.
        Assert.That(result.DistPred, Is.EqualTo(11.0 / 4));
        Assert.That(result.DistGt, Is.EqualTo(12.0 / 3));
        Assert.That((result.At(3).Precision, result.At(3).Recall), Is.EqualTo((3.0 / 4, 1.0 / 3)));
        Assert.That(result.At(3).OneToOneMatches, Is.EqualTo(1));
    }

    [Test]
    public void Evaluate_VolumeWithoutPredictions_CountsItsUnmatchedDistance()
    {
        EvaluationVolume[] volumes = [new(Line(1), Line(0), 18), new([], Line(3, 9), 18), new(Line(4), [], 20)];
        EvaluationResult result = Evaluation.Evaluate(volumes, [4]);
        Assert.That(result.DistGt, Is.EqualTo((1 + 18 + 18) / 3.0));
        Assert.That(result.DistPred, Is.EqualTo((1 + 20) / 2.0));
        Assert.That(result.VolumesWithoutPredictions, Is.EqualTo(1));
        Assert.That((result.At(4).Precision, result.At(4).Recall), Is.EqualTo((1.0 / 2, 1.0 / 3)));
        Assert.That(result.At(4).OneToOneF1, Is.EqualTo(2.0 / 5));
    }

    [Test]
    public void Evaluate_UnmatchedDistanceUnknown_LeavesTheDistanceUndefined()
    {
        EvaluationResult result = Evaluation.Evaluate([new(Line(1), Line(0)), new([], Line(3))], [4]);
        Assert.That(result.DistGt, Is.Null);
        Assert.That(result.DistPred, Is.EqualTo(1));
    }

    [Test]
    public void Evaluate_Nothing_ScoresZero()
    {
        EvaluationResult result = Evaluation.Evaluate([new([], [], 18)], [4]);
        Assert.That((result.DistPred, result.DistGt, result.At(4).F1), Is.EqualTo((null as double?, null as double?, 0.0)));
    }

    [Test]
    public void Evaluate_Duplicates_OnlyOneToOneNoticesThem()
    {
        EvaluationResult result = Evaluation.Evaluate([new(Line(0, 1, 2, 3), Line(0))], [4]);
        Assert.That(result.At(4).F1, Is.EqualTo(1));
        Assert.That(result.At(4).OneToOneF1, Is.EqualTo(2.0 / 5));
    }

    [Test]
    public void Evaluate_OneToOne_IsOptimalWhereGreedyIsNot()
    {
        // 3 is nearest to 3.5, but 6 can take only that one; so 3 must take 0.5, and 0 must take −2.
        EvaluationResult result = Evaluation.Evaluate([new(Line(3, 6, 0), Line(3.5f, 0.5f, -2))], [2.6]);
        Assert.That(result.At(2.6).OneToOneMatches, Is.EqualTo(3));
    }

    [Test]
    public void Evaluate_OneToOne_EqualsExhaustiveSearch()
    {
        Random random = new(5);
        for (int trial = 0; trial < 200; trial++)
        {
            Position[] predictions = RandomPositions(random, random.Next(0, 7));
            Position[] truth = RandomPositions(random, random.Next(1, 7));
            double radius = 1 + 5 * random.NextDouble();
            int expected = Exhaustive(0, new bool[truth.Length]);
            Assert.That(Evaluation.Evaluate([new(predictions, truth)], [radius]).At(radius).OneToOneMatches, Is.EqualTo(expected));

            int Exhaustive(int p, bool[] used)
            {
                if (p == predictions.Length)
                    return 0;
                int best = Exhaustive(p + 1, used);
                for (int g = 0; g < truth.Length; g++)
                {
                    if (used[g] || predictions[p].DistanceTo(truth[g]) > radius)
                        continue;
                    used[g] = true;
                    best = Math.Max(best, 1 + Exhaustive(p + 1, used));
                    used[g] = false;
                }

                return best;
            }
        }
    }

    [Test]
    public void Evaluate_BadInput_IsRefused()
    {
        Assert.Throws<InputException>(() => Evaluation.Evaluate([], [4]));
        Assert.Throws<InputException>(() => Evaluation.Evaluate([new(Line(float.NaN), Line(0))], [4]));
        Assert.Throws<InputException>(() => Evaluation.Evaluate([new(Line(0), Line(float.PositiveInfinity))], [4]));
        Assert.Throws<InputException>(() => Evaluation.Evaluate([new(Line(0), Line(0))], [-1]));
    }

    private static Position[] Line(params float[] x) => [.. x.Select(v => new Position(0, 0, v))];

    private static Position[] RandomPositions(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => new Position(random.Next(6), random.Next(6), random.Next(6)))];
}
