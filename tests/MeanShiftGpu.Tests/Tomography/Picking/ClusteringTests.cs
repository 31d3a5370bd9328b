using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Picking;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Picking;

public class ClusteringTests
{
    private static readonly PickOptions MergeSix = new() { MergeDistanceVoxels = 6, MinimumSupportFraction = 0 };

    [Test]
    public void Cluster_NoPoints_NoPicks() => Assert.That(Clustering.Cluster([], [], MergeSix), Is.Empty);

    [Test]
    public void Cluster_HandExample_GivesExactCentresScoresAndSpread()
    {
        // Three points of weights 1, 2, 1 on a line around (10, 20, 30), and a lone one 20 voxels away.
        float[] positions = [10, 20, 29, 10, 20, 30, 10, 20, 31, 10, 40, 30];
        float[] scores = [0.25f, 0.5f, 0.25f, 0.75f];
        IReadOnlyList<Pick> picks = Clustering.Cluster(positions, scores, MergeSix);
        Assert.That(picks, Has.Count.EqualTo(2));
        Assert.That(picks[0], Is.EqualTo(new Pick(10, 40, 30, 0.75f, 0.75f, 1, 0)));
        // Mean score 1/3; squared distances 1, 0, 1 with weights 1/4, 1/2, 1/4: spread √(1/2).
        Assert.That(picks[1], Is.EqualTo(new Pick(10, 20, 30, 1f / 3, 1, 3, (float)Math.Sqrt(0.5))));
    }

    [Test]
    public void Cluster_Distance_IsInclusive()
    {
        float[] scores = [2, 1];
        Assert.That(Clustering.Cluster([0, 0, 0, 6, 0, 0], scores, MergeSix), Has.Count.EqualTo(1));
        Assert.That(Clustering.Cluster([0, 0, 0, 6.001f, 0, 0], scores, MergeSix), Has.Count.EqualTo(2));
    }

    [Test]
    public void Cluster_PointsFarFromTheStrongest_AddSupportButDoNotPull()
    {
        float[] scores = [2, 1];
        Pick far = Clustering.Cluster([0, 0, 0, 6, 0, 0], scores, MergeSix)[0];
        Assert.That((far.Z, far.Support, far.Voxels), Is.EqualTo((0f, 3f, 2)));
        // A quarter of the merge distance is near: there the centre is the weighted mean.
        Assert.That(Clustering.Cluster([0, 0, 0, 1.5f, 0, 0], scores, MergeSix)[0].Z, Is.EqualTo(0.5f));
    }

    [Test]
    public void Cluster_Chain_DoesNotRunTogether()
    {
        // Points 5 apart in a row, the strongest in the middle: neighbours join it, the ends stay their own.
        float[] positions = [0, 0, 0, 0, 0, 5, 0, 0, 10, 0, 0, 15, 0, 0, 20];
        float[] scores = [1, 1, 3, 1, 1];
        IReadOnlyList<Pick> picks = Clustering.Cluster(positions, scores, MergeSix);
        Assert.That(picks.Select(p => (p.X, p.Voxels)), Is.EqualTo(new[] { (10f, 3), (0f, 1), (20f, 1) }));
    }

    [Test]
    public void Cluster_CentresThatMoveTogether_AreMergedToo()
    {
        // The strongest (weight 4, at 0) is averaged with the near one at 1.4 and does not reach the one at
        // 6.5; its centre moves to 0.7, which does.
        float[] positions = [0, 0, 0, 0, 0, 1.4f, 0, 0, 6.5f];
        float[] scores = [4, 4, 1];
        IReadOnlyList<Pick> picks = Clustering.Cluster(positions, scores, MergeSix);
        Assert.That(picks, Has.Count.EqualTo(1));
        Assert.That(picks[0].Voxels, Is.EqualTo(3));
        Assert.That(picks[0].X, Is.EqualTo(0.7f).Within(1e-6f));
    }

    [Test]
    public void Cluster_WeakClusters_AreDropped()
    {
        float[] positions = [0, 0, 0, 20, 0, 0, 40, 0, 0, 40, 0, 0];
        float[] scores = [1, 0.19f, 0.125f, 0.125f];
        PickOptions fifth = MergeSix with { MinimumSupportFraction = 0.2f };
        Assert.That(Clustering.Cluster(positions, scores, fifth).Select(p => p.Z), Is.EqualTo(new[] { 0f, 40f }));
        Assert.That(
            Clustering.Cluster(positions, scores, MergeSix with { MinimumVoxels = 2 }).Select(p => p.Z),
            Is.EqualTo(new[] { 40f }));
    }

    [Test]
    public void Cluster_AnyOrderOfPoints_SameBits()
    {
        (float[] positions, float[] scores) = RandomClusters(points: 5000, centers: 40, sigma: 2, seed: 1);
        IReadOnlyList<Pick> expected = Clustering.Cluster(positions, scores, MergeSix);
        int[] order = [.. Enumerable.Range(0, scores.Length)];
        for (int seed = 0; seed < 3; seed++)
        {
            new Random(seed).Shuffle(order);
            float[] shuffledPositions = [.. order.SelectMany(i => positions[(3 * i)..(3 * i + 3)])];
            float[] shuffledScores = [.. order.Select(i => scores[i])];
            Assert.That(Clustering.Cluster(shuffledPositions, shuffledScores, MergeSix), Is.EqualTo(expected));
        }
    }

    [Test]
    public void Cluster_RandomPoints_KeepsEveryPointAndTheDistance()
    {
        (float[] positions, float[] scores) = RandomClusters(points: 20000, centers: 300, sigma: 3, seed: 2);
        IReadOnlyList<Pick> picks = Clustering.Cluster(positions, scores, MergeSix);
        Assert.That(picks.Sum(p => p.Voxels), Is.EqualTo(20000));
        // 20 000 float supports summed: relative difference seen 9e-10.
        Assert.That(picks.Sum(p => (double)p.Support), Is.EqualTo(scores.Sum(s => (double)s)).Within(1e-6).Percent);
        for (int i = 0; i < picks.Count; i++)
        {
            for (int j = 0; j < i; j++)
                Assert.That(picks[i].Position.DistanceTo(picks[j].Position), Is.GreaterThan(6 - 1e-5));
        }

        Assert.That(picks.Zip(picks.Skip(1), (a, b) => a.Score >= b.Score), Has.None.False);
    }

    [Test]
    public void Cluster_TightClusters_FindsEachCentre()
    {
        const int Edge = 5;
        (float[] positions, float[] scores) = Grid(points: 50000, edge: Edge, spacing: 12, sigma: 0.3);
        IReadOnlyList<Pick> picks = Clustering.Cluster(positions, scores, new PickOptions());
        Assert.That(picks, Has.Count.EqualTo(Edge * Edge * Edge));
        foreach (Pick pick in picks)
        {
            Position nearest = new(Nearest(pick.Z), Nearest(pick.Y), Nearest(pick.X));
            // 400 points of SD 0.3 for a centre: standard error 0.016 an axis; worst of 125 seen 0.049, and
            // spreads of 0.494 to 0.542.
            Assert.That(pick.Position.DistanceTo(nearest), Is.LessThan(0.1));
            Assert.That(pick.Spread, Is.EqualTo(0.3 * Math.Sqrt(3)).Within(0.06));
        }

        static double Nearest(double value) => Math.Round(value / 12) * 12;
    }

    [TestCase(1, TestName = "Cluster_MillionPointsInOnePlace_Ends")]
    [TestCase(1000, TestName = "Cluster_MillionPointsInManyPlaces_Ends")]
    [TestCase(1000000, TestName = "Cluster_MillionPointsEverywhere_Ends")]
    public void Cluster_MillionPoints(int centers)
    {
        // A quadratic step would take hours here; no assertion on the time, which other work on the machine
        // would break.
        (float[] positions, float[] scores) = RandomClusters(1000000, centers, sigma: 0.5, seed: 3, extent: 400);
        System.Diagnostics.Stopwatch watch = System.Diagnostics.Stopwatch.StartNew();
        IReadOnlyList<Pick> picks = Clustering.Cluster(positions, scores, MergeSix);
        TestContext.Out.WriteLine($"{picks.Count} picks in {watch.Elapsed.TotalSeconds:F2} s");
        Assert.That(picks.Sum(p => p.Voxels), Is.EqualTo(1000000));
    }

    [Test]
    public void Cluster_BadInput_IsRefused()
    {
        Assert.Throws<ArgumentException>(() => Clustering.Cluster([1, 2], [1], MergeSix));
        InputException nan = Assert.Throws<InputException>(() => Clustering.Cluster([1, float.NaN, 2], [1], MergeSix))!;
        Assert.That(nan.Message, Does.Contain("point 0"));
        Assert.Throws<InputException>(() => Clustering.Cluster([1, 1, 2], [0], MergeSix));
        Assert.Throws<InputException>(() => Clustering.Cluster([1, 1, 2], [float.PositiveInfinity], MergeSix));
        PickOptions[] bad =
        [
            new() { Threshold = 1 },
            new() { Threshold = -0.1f, ThresholdKind = ThresholdKind.Absolute },
            new() { Threshold = float.NaN },
            new() { BandwidthVoxels = 0 },
            new() { MergeDistanceVoxels = 0 },
            new() { MinimumSupportFraction = 1.1f },
            new() { MinimumVoxels = 0 },
            new() { MaximumIterations = 0 },
            new() { ConvergenceVoxels = -1 },
        ];
        foreach (PickOptions options in bad)
            Assert.Throws<InputException>(() => Clustering.Cluster([], [], options), options.ToString());
    }

    [Test]
    public void Above_Fraction_RefersToTheMaximum()
    {
        float[] map = new float[2 * 3 * 4];
        map[23] = 2;
        map[5] = 0.61f;
        map[6] = 0.6f;
        StartVoxels starts = StartVoxels.Above(map, 2, 3, 4, new PickOptions { Threshold = 0.3f });
        // 0.3 · 2 itself is not above the threshold. Voxel 5 of [2, 3, 4] is (0, 1, 1), voxel 23 the last
        // one.
        Assert.That(starts.Positions, Is.EqualTo(new float[] { 0, 1, 1, 1, 2, 3 }));
        Assert.That(starts.Scores, Is.EqualTo(new[] { 0.61f, 2 }));
        StartVoxels absolute = StartVoxels.Above(map, 2, 3, 4, new PickOptions
        {
            Threshold = 1,
            ThresholdKind = ThresholdKind.Absolute,
        });
        Assert.That(absolute.Count, Is.EqualTo(1));
    }

    [Test]
    public void Above_EmptyMap_HasNoStarts() =>
        Assert.That(StartVoxels.Above(new float[8], 2, 2, 2, new PickOptions { Threshold = 0 }).Count, Is.Zero);

    [Test]
    public void Above_NaN_IsRefusedWithItsPlace()
    {
        float[] map = new float[24];
        map[17] = float.NaN;
        InputException e = Assert.Throws<InputException>(() => StartVoxels.Above(map, 2, 3, 4, new PickOptions()))!;
        Assert.That(e.Message, Does.Contain("(1, 1, 1)"));
        Assert.Throws<ArgumentException>(() => StartVoxels.Above(map, 2, 3, 3, new PickOptions()));
    }

    private static (float[] Positions, float[] Scores) RandomClusters(
        int points, int centers, double sigma, int seed, double extent = 100)
    {
        Random random = new(seed);
        double[] places = [.. Enumerable.Range(0, 3 * centers).Select(_ => random.NextDouble() * extent)];
        float[] positions = new float[3 * points];
        float[] scores = new float[points];
        for (int i = 0; i < points; i++)
        {
            int center = random.Next(centers);
            for (int axis = 0; axis < 3; axis++)
                positions[3 * i + axis] = (float)(places[3 * center + axis] + sigma * Normal(random));
            scores[i] = (float)(0.3 + 0.7 * random.NextDouble());
        }

        return (positions, scores);
    }

    private static (float[] Positions, float[] Scores) Grid(int points, int edge, double spacing, double sigma)
    {
        Random random = new(4);
        float[] positions = new float[3 * points];
        float[] scores = new float[points];
        for (int i = 0; i < points; i++)
        {
            int cell = i % (edge * edge * edge);
            positions[3 * i] = (float)(spacing * (cell / edge / edge) + sigma * Normal(random));
            positions[3 * i + 1] = (float)(spacing * (cell / edge % edge) + sigma * Normal(random));
            positions[3 * i + 2] = (float)(spacing * (cell % edge) + sigma * Normal(random));
            scores[i] = 0.5f;
        }

        return (positions, scores);
    }

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
