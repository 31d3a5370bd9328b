using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Evaluation;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Evaluation;

public class EvaluationTests
{
    [Test]
    public void Evaluate_HandExample_GivesThePapersNumbers()
    {
        // On a line: truths at 0, 10 and 30; predictions at 1, 3, 14 and 50.
        // Nearest truth of the predictions: 1, 3, 4, 20. Nearest prediction of the truths: 1, 4, 16.
        EvaluationResult result = Evaluator.Evaluate([new(Line(1, 3, 14, 50), Line(0, 10, 30))], [4, 2, 0.5]);
        Assert.That(result.DistPred, Is.EqualTo(28.0 / 4));
        Assert.That(result.DistGt, Is.EqualTo(21.0 / 3));
        Assert.That(
            (result.Predictions, result.Truth, result.Volumes, result.VolumesWithoutPredictions), Is.EqualTo((4, 3, 1, 0)));

        // Radius 4: hits 1, 3 and 14 of 4 (14 is at exactly 4); found 0 and 10 of 3; F1 = 2·(3/4)·(2/3)/(3/4
        // + 2/3) = 12/17. One to one: 1–0 and 14–10; F1 = 4/7.
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
        EvaluationResult result = Evaluator.Evaluate([new([new(1, 2, 3)], [new(3, 5, 9)])], [7, 6.999]);
        // √(4 + 9 + 36) = 7.
        Assert.That(result.DistPred, Is.EqualTo(7));
        Assert.That(result.At(7).F1, Is.EqualTo(1));
        Assert.That(result.At(6.999).F1, Is.Zero);
    }

    // The extents of the points along z, y, x: a cloud, a slab, a plane, a line, and all in one place.
    [TestCase(50, 60, 70)]
    [TestCase(1, 90, 90)]
    [TestCase(0, 40, 40)]
    [TestCase(0, 0, 300)]
    [TestCase(0, 0, 0)]
    public void NearestPoints_OfRandomPoints_AreTheNearestOfAll(int depth, int height, int width)
    {
        Random random = new(8);
        foreach (int count in (int[])[1, 2, 10, 500])
        {
            Position[] points =
                [.. Enumerable.Range(0, count).Select(
                    _ => new Position(random.NextSingle() * depth, random.NextSingle() * height, random.NextSingle() * width))];
            NearestPoints nearest = new(points);
            for (int i = 0; i < 200; i++)
            {
                // Also from far outside.
                Position from = new(
                    random.NextSingle() * 400 - 150, random.NextSingle() * 200 - 50, random.NextSingle() * 200 - 50);
                Assert.That(nearest.DistanceTo(from), Is.EqualTo(points.Min(p => p.DistanceTo(from))));
            }

            Assert.That(points.Max(nearest.DistanceTo), Is.Zero);
        }
    }

    [Test]
    public void Evaluate_SeveralVolumes_ArePooledAndDoNotMix()
    {
        // The first volume's prediction at 0 must not find the second one's truth at 0.
        EvaluationVolume[] volumes = [new(Line(0), Line(6)), new(Line(5, 7, 9), Line(0, 8))];
        EvaluationResult result = Evaluator.Evaluate(volumes, [3]);
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
        EvaluationResult result = Evaluator.Evaluate(volumes, [4]);
        Assert.That(result.DistGt, Is.EqualTo((1 + 18 + 18) / 3.0));
        Assert.That(result.DistPred, Is.EqualTo((1 + 20) / 2.0));
        Assert.That(result.VolumesWithoutPredictions, Is.EqualTo(1));
        Assert.That((result.At(4).Precision, result.At(4).Recall), Is.EqualTo((1.0 / 2, 1.0 / 3)));
        Assert.That(result.At(4).OneToOneF1, Is.EqualTo(2.0 / 5));
    }

    [Test]
    public void Evaluate_UnmatchedDistanceUnknown_LeavesTheDistanceUndefined()
    {
        EvaluationResult result = Evaluator.Evaluate([new(Line(1), Line(0)), new([], Line(3))], [4]);
        Assert.That(result.DistGt, Is.Null);
        Assert.That(result.DistPred, Is.EqualTo(1));
    }

    [Test]
    public void Evaluate_Nothing_ScoresZero()
    {
        EvaluationResult result = Evaluator.Evaluate([new([], [], 18)], [4]);
        Assert.That((result.DistPred, result.DistGt, result.At(4).F1), Is.EqualTo((null as double?, null as double?, 0.0)));
    }

    [Test]
    public void Evaluate_Duplicates_OnlyOneToOneNoticesThem()
    {
        EvaluationResult result = Evaluator.Evaluate([new(Line(0, 1, 2, 3), Line(0))], [4]);
        Assert.That(result.At(4).F1, Is.EqualTo(1));
        Assert.That(result.At(4).OneToOneF1, Is.EqualTo(2.0 / 5));
    }

    [Test]
    public void Evaluate_OneToOne_IsOptimalWhereGreedyIsNot()
    {
        // 3 is nearest to 3.5, but 6 can take only that one; so 3 must take 0.5, and 0 must take −2.
        EvaluationResult result = Evaluator.Evaluate([new(Line(3, 6, 0), Line(3.5f, 0.5f, -2))], [2.6]);
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
            Assert.That(Evaluator.Evaluate([new(predictions, truth)], [radius]).At(radius).OneToOneMatches, Is.EqualTo(expected));

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
    public void Evaluate_OneToOne_OfTheMostPairsTakesTheNearest()
    {
        Random random = new(6);
        for (int trial = 0; trial < 200; trial++)
        {
            Position[] predictions = RandomPositions(random, random.Next(1, 6));
            Position[] truth = RandomPositions(random, random.Next(1, 6));
            double radius = 1 + 5 * random.NextDouble();
            (int pairs, double cost) = Best(0, new bool[truth.Length]);
            List<(int Prediction, int Truth)> found = OneToOneMatching.Match(predictions, truth, radius);
            Assert.That(found, Has.Count.EqualTo(pairs));
            Assert.That(
                found.Sum(f => predictions[f.Prediction].SquaredDistanceTo(truth[f.Truth])), Is.EqualTo(cost).Within(1e-9));

            (int Pairs, double Cost) Best(int p, bool[] used)
            {
                if (p == predictions.Length)
                    return (0, 0);
                (int Pairs, double Cost) best = Best(p + 1, used);
                for (int g = 0; g < truth.Length; g++)
                {
                    if (used[g] || predictions[p].DistanceTo(truth[g]) > radius)
                        continue;
                    used[g] = true;
                    (int rest, double more) = Best(p + 1, used);
                    used[g] = false;
                    (int Pairs, double Cost) with = (rest + 1, more + predictions[p].SquaredDistanceTo(truth[g]));
                    if (with.Pairs > best.Pairs || (with.Pairs == best.Pairs && with.Cost < best.Cost))
                        best = with;
                }

                return best;
            }
        }
    }

    [Test]
    public void Evaluate_PicksShiftedAlike_HaveTheShiftAsBias()
    {
        // Differences along x of 0.25, 0.5 and 0.75: mean 0.5, SD 0.25, standard error 0.25/√3.
        EvaluationVolume volume = new(
            [new(0, 1, 0.25f), new(10, 11, 10.5f), new(20, 21, 20.75f), new(50, 50, 50)],
            [new(0, 0, 0), new(10, 10, 10), new(20, 20, 20), new(80, 80, 80)]);
        AxisBias bias = Evaluator.Evaluate([volume], [2]).At(2).Bias!;
        Assert.That((bias.Pairs, bias.Z, bias.Y, bias.ErrorZ, bias.ErrorY), Is.EqualTo((3, 0.0, 1.0, 0.0, 0.0)));
        Assert.That(bias.X, Is.EqualTo(0.5).Within(1e-12));
        Assert.That(bias.ErrorX, Is.EqualTo(0.25 / Math.Sqrt(3)).Within(1e-12));
        Assert.That(Evaluator.Evaluate([volume], [0.5]).At(0.5).Bias, Is.Null);
    }

    [Test]
    public void Evaluate_FBeta_WeighsRecall()
    {
        // Four picks, three truths, two pairs: P = 1/2, R = 2/3; F2 = 5·P·R/(4·P + R) = 5/8 = 5·2/(4 + 4·3).
        RadiusScore score = Evaluator.Evaluate([new(Line(0, 10, 50, 60), Line(0, 10, 30))], [1], beta: 2).At(1);
        Assert.That(score.FBeta, Is.EqualTo(5.0 / 8).Within(1e-12));
        Assert.That(score.OneToOneFBeta, Is.EqualTo(5.0 / 8).Within(1e-12));
        Assert.That((score.OneToOnePrecision, score.OneToOneRecall), Is.EqualTo((0.5, 2.0 / 3)));
    }

    [Test]
    public void Occupancy_PicksOfEveryKind_AreCountedAsShrecDoes()
    {
        using Volume mask = new(4, 4, 8);
        mask[1, 1, 1] = 2;
        mask[1, 1, 2] = 2;
        mask[2, 2, 5] = 3;
        mask[0, 0, 7] = 1;
        OccupancyEvaluation evaluation = new();
        Particle[] particles = [new(1, 1, 1) { Id = 2 }, new(2, 2, 5) { Id = 3 }];
        // In order: 1 voxel from particle 2's centre, again particle 2, the vesicle 1, background, outside.
        evaluation.Add([new(1.4f, 1, 2), new(1, 1, 1), new(0, 0, 7.4f), new(3, 3, 3), new(0, 0, -0.6f)], particles, mask);
        OccupancyScore score = evaluation.Score;
        Assert.That(
            (score.Results, score.Truth, score.Found, score.FoundAgain, score.OtherObjects, score.Background,
                score.OutsideVolume), Is.EqualTo((5, 2, 1, 1, 1, 1, 1)));
        Assert.That((score.Precision, score.Recall), Is.EqualTo((0.2, 0.5)));
        Assert.That(score.F1, Is.EqualTo(2.0 / 7).Within(1e-12));
        Assert.That(score.MeanDistanceVoxels, Is.EqualTo(Math.Sqrt(1.16)).Within(1e-6));
        Assert.Throws<InputException>(() => evaluation.Add([], [new(0, 0, 0)], mask));
    }

    [Test]
    public void EvaluateClasses_WithAndWithoutOwnPicks_CountsWhatBelongsToTheClass()
    {
        // Two rings, of which one is picked as a ring and one as a rod, and a rod that nobody picked; a pick
        // of neither.
        EvaluationVolume first =
            new(Line(0, 20), Line(0, 20)) { PredictionClasses = ["ring", "Rod"], TruthClasses = ["Ring", "ring"] };
        EvaluationVolume second = new(Line(90), Line(50)) { PredictionClasses = [null], TruthClasses = ["rod"] };
        IReadOnlyList<ClassResult> any = Evaluator.EvaluateClasses([first, second], [1], ownPicks: false);
        IReadOnlyList<ClassResult> own = Evaluator.EvaluateClasses([first, second], [1], ownPicks: true);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(any.Select(c => c.Class), Is.EqualTo(new[] { "Ring", "rod" }), "in the order of the truth, whatever "
                + "the case");
            Assert.That(any.Select(c => (c.Result.Truth, c.Result.At(1).FoundTruth)), Is.EqualTo(new[] { (2, 2), (1, 0) }));
            Assert.That(
                own.Select(c => (c.Result.Truth, c.Result.Predictions, c.Result.At(1).OneToOneMatches)),
                Is.EqualTo(new[] { (2, 1, 1), (1, 1, 0) }));
            Assert.That(Evaluator.EvaluateClasses([new(Line(0), Line(0))], [1], ownPicks: false), Is.Empty);
        }
    }

    [Test]
    public void Evaluate_BadInput_IsRefused()
    {
        Assert.Throws<InputException>(() => Evaluator.Evaluate([], [4]));
        Assert.Throws<InputException>(() => Evaluator.Evaluate([new(Line(float.NaN), Line(0))], [4]));
        Assert.Throws<InputException>(() => Evaluator.Evaluate([new(Line(0), Line(float.PositiveInfinity))], [4]));
        Assert.Throws<InputException>(() => Evaluator.Evaluate([new(Line(0), Line(0))], [-1]));
    }

    private static Position[] Line(params float[] x) => [.. x.Select(v => new Position(0, 0, v))];

    private static Position[] RandomPositions(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => new Position(random.Next(6), random.Next(6), random.Next(6)))];
}
