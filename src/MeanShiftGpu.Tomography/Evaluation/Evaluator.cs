using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>Predictions and truth of one volume.</summary>
/// <param name="Predictions">P.</param>
/// <param name="Truth">GT.</param>
/// <param name="UnmatchedDistanceVoxels">
/// The distance that a truth counts with where the volume has no prediction, and a prediction where it has no
/// truth; half of the volume's shortest edge is a fair one. Null where it is not known: such a volume leaves
/// the distance undefined.
/// </param>
public sealed record EvaluationVolume(
    IReadOnlyList<Position> Predictions, IReadOnlyList<Position> Truth, double? UnmatchedDistanceVoxels = null)
{
    /// <summary>The volume's size; null where it is not known.</summary>
    public Extent? Shape { get; init; }

    /// <summary>The class of each prediction; null where it is not known of any.</summary>
    public IReadOnlyList<string?>? PredictionClasses { get; init; }

    /// <summary>The score of each prediction; null where it is not known of any.</summary>
    public IReadOnlyList<double?>? PredictionScores { get; init; }

    /// <summary>The class of each truth; null where it is not known of any.</summary>
    public IReadOnlyList<string?>? TruthClasses { get; init; }
}

/// <summary>Counts and scores at one hit radius.</summary>
/// <param name="RadiusVoxels">The hit radius; a distance equal to it is a hit.</param>
/// <param name="HitPredictions">Predictions with a truth within the radius: the true positives of the
/// precision.</param>
/// <param name="FoundTruth">Truths with a prediction within the radius: the true positives of the
/// recall.</param>
/// <param name="Precision">HitPredictions / predictions; 0 without predictions.</param>
/// <param name="Recall">FoundTruth / truths; 0 without truths.</param>
/// <param name="F1">2 · Precision · Recall / (Precision + Recall); 0 where both are 0.</param>
/// <param name="OneToOneMatches">The most pairs of a prediction and a truth within the radius such that none
/// is used twice; of such sets the nearest pairs.</param>
/// <param name="OneToOneF1">2 · OneToOneMatches / (predictions + truths): unlike F1, this punishes
/// duplicates.</param>
public sealed record RadiusScore(
    double RadiusVoxels,
    int HitPredictions,
    int FoundTruth,
    double Precision,
    double Recall,
    double F1,
    int OneToOneMatches,
    double OneToOneF1)
{
    /// <summary>(1 + β²)·P·R / (β²·P + R) of Precision and Recall; 0 where both are 0.</summary>
    public double FBeta { get; init; }

    /// <summary>OneToOneMatches / predictions; 0 without predictions.</summary>
    public double OneToOnePrecision { get; init; }

    /// <summary>OneToOneMatches / truths; 0 without truths.</summary>
    public double OneToOneRecall { get; init; }

    /// <summary>(1 + β²)·matches / (predictions + β²·truths): F-β over one-to-one pairs.</summary>
    public double OneToOneFBeta { get; init; }

    /// <summary>
    /// How far picks lie from their truths, with sign, over the one-to-one pairs; null where there is no
    /// pair.
    /// </summary>
    public AxisBias? Bias { get; init; }
}

/// <summary>
/// Mean of prediction − truth over one-to-one pairs, in voxels, with the standard error of each mean (SD/√n;
/// NaN for one pair).
/// </summary>
/// <param name="Pairs">How many pairs.</param>
/// <param name="Z">Along z.</param>
/// <param name="Y">Along y.</param>
/// <param name="X">Along x.</param>
/// <param name="ErrorZ">Standard error of Z.</param>
/// <param name="ErrorY">Standard error of Y.</param>
/// <param name="ErrorX">Standard error of X.</param>
public sealed record AxisBias(int Pairs, double Z, double Y, double X, double ErrorZ, double ErrorY, double ErrorX);

/// <summary>How good picks are, pooled over volumes.</summary>
/// <param name="Predictions">Number of predictions in all volumes.</param>
/// <param name="Truth">Number of truths in all volumes.</param>
/// <param name="Volumes">Number of volumes.</param>
/// <param name="VolumesWithoutPredictions">Volumes with truths and no prediction.</param>
/// <param name="DistPred">Equation 3, in voxels; null where it is undefined.</param>
/// <param name="DistGt">Equation 4, in voxels; null where it is undefined.</param>
/// <param name="Radii">Equations 5 and 6 at each hit radius, in the order asked for.</param>
public sealed record EvaluationResult(
    int Predictions,
    int Truth,
    int Volumes,
    int VolumesWithoutPredictions,
    double? DistPred,
    double? DistGt,
    IReadOnlyList<RadiusScore> Radii)
{
    /// <summary>The scores at one of the radii that were asked for.</summary>
    public RadiusScore At(double radiusVoxels) =>
        Radii.FirstOrDefault(r => r.RadiusVoxels == radiusVoxels)
        ?? throw new ArgumentException($"Evaluation: no scores at radius {radiusVoxels}; there are "
            + $"{string.Join(", ", Radii.Select(r => r.RadiusVoxels))}.", nameof(radiusVoxels));
}

/// <summary>How good the picks of a class are.</summary>
/// <param name="Class">Its name.</param>
/// <param name="Result">
/// Its truths against its own predictions; or, where predictions have no class, against all of them: then
/// there are distances from truths and recalls alone, and all else is 0 or null.
/// </param>
public sealed record ClassResult(string Class, EvaluationResult Result);

/// <summary>
/// Compares picks with the truth as the mean-shift loss paper does (its equations 3 to 6):
/// <list type="bullet">
/// <item>dist_pred: mean over predictions of the distance to the nearest truth; dist_GT: mean over truths of
/// the distance to the nearest prediction.</item>
/// <item>A prediction with a truth within the hit radius is a true positive of the precision, any other a
/// false positive; a truth with a prediction within the radius is a true positive of the recall, any other a
/// false negative. The two counts of true positives differ where one hits several; that is the paper's "and
/// vice versa". Duplicates near a truth are therefore not punished.</item>
/// </list>
/// Beside it stand precision, recall, F1 and F-β over one-to-one pairs, which punish duplicates, and the
/// pairs' signed bias along each axis. Everything is pooled: sums over the points of all volumes, distances
/// only within a volume.
/// </summary>
public static class Evaluator
{
    /// <summary>
    /// The β of F-β where none is asked for, that of the CZII challenge of 2024: recall counts as more
    /// important (β² in the formula).
    /// </summary>
    public const double DefaultBeta = 4;

    /// <summary>
    /// Evaluates picks; time grows with the number of points, and with the square of the groups that a radius
    /// connects.
    /// </summary>
    /// <param name="volumes">Predictions and truth of each volume.</param>
    /// <param name="radiiVoxels">Hit radii.</param>
    /// <param name="beta">β of F-β; above 1 recall counts more than precision.</param>
    /// <exception cref="InputException">There is no volume, or a coordinate is not a finite
    /// number.</exception>
    public static EvaluationResult Evaluate(
        IReadOnlyList<EvaluationVolume> volumes, IReadOnlyList<double> radiiVoxels, double beta = DefaultBeta)
    {
        if (!(beta > 0 && double.IsFinite(beta)))
            throw new InputException($"evaluation: beta {beta}; expected a number above 0.");
        ArgumentNullException.ThrowIfNull(volumes);
        ArgumentNullException.ThrowIfNull(radiiVoxels);
        if (volumes.Count == 0)
            throw new InputException("evaluation: no volumes; expected at least one with its truth.");
        CheckRadii(radiiVoxels);
        List<double> fromPredictions = [];
        List<double> fromTruth = [];
        double unmatchedPredictions = 0;
        double unmatchedTruth = 0;
        int predictions = 0;
        int truth = 0;
        int withoutPredictions = 0;
        BiasSums[] pairs = [.. radiiVoxels.Select(_ => new BiasSums())];
        for (int v = 0; v < volumes.Count; v++)
        {
            EvaluationVolume volume = volumes[v];
            Check(volume.Predictions, v, "prediction");
            Check(volume.Truth, v, "truth");
            predictions += volume.Predictions.Count;
            truth += volume.Truth.Count;
            double unmatched = volume.UnmatchedDistanceVoxels ?? double.NaN;
            if (volume.Truth.Count == 0)
                unmatchedPredictions += volume.Predictions.Count == 0 ? 0 : volume.Predictions.Count * unmatched;
            else if (volume.Predictions.Count == 0)
                unmatchedTruth += volume.Truth.Count * unmatched;
            if (volume.Truth.Count > 0 && volume.Predictions.Count == 0)
                withoutPredictions++;
            if (volume.Truth.Count == 0 || volume.Predictions.Count == 0)
                continue;

            fromPredictions.AddRange(volume.Predictions.Select(new NearestPoints(volume.Truth).DistanceTo));
            fromTruth.AddRange(volume.Truth.Select(new NearestPoints(volume.Predictions).DistanceTo));
            for (int r = 0; r < pairs.Length; r++)
            {
                foreach ((int p, int g) in OneToOneMatching.Match(volume.Predictions, volume.Truth, radiiVoxels[r]))
                    pairs[r].Add(volume.Predictions[p], volume.Truth[g]);
            }
        }

        RadiusScore[] scores = new RadiusScore[radiiVoxels.Count];
        for (int r = 0; r < scores.Length; r++)
        {
            double radius = radiiVoxels[r];
            int hits = fromPredictions.Count(d => d <= radius);
            int found = fromTruth.Count(d => d <= radius);
            double precision = Ratio(hits, predictions);
            double recall = Ratio(found, truth);
            int matches = pairs[r].Count;
            double square = beta * beta;
            scores[r] = new RadiusScore(
                radius,
                hits,
                found,
                precision,
                recall,
                Ratio(2 * precision * recall, precision + recall),
                matches,
                Ratio(2.0 * matches, predictions + truth))
            {
                FBeta = Ratio((1 + square) * precision * recall, (square * precision) + recall),
                OneToOnePrecision = Ratio(matches, predictions),
                OneToOneRecall = Ratio(matches, truth),
                OneToOneFBeta = Ratio((1 + square) * matches, predictions + (square * truth)),
                Bias = pairs[r].ToBias(),
            };
        }

        return new EvaluationResult(
            predictions,
            truth,
            volumes.Count,
            withoutPredictions,
            Defined((fromPredictions.Sum() + unmatchedPredictions) / predictions),
            Defined((fromTruth.Sum() + unmatchedTruth) / truth),
            scores);
    }

    /// <summary>
    /// Evaluates each class of truth by itself, in the order in which they first come; time grows with the
    /// number of points, however many classes there are.
    /// </summary>
    /// <param name="volumes">Predictions and truth of each volume, with the classes of the truths.</param>
    /// <param name="radiiVoxels">Hit radii.</param>
    /// <param name="ownPicks">Whether only predictions of the same class count; false takes them all,
    /// whatever their class.</param>
    /// <param name="beta">β of F-β.</param>
    /// <returns>Empty where no truth has a class.</returns>
    /// <exception cref="InputException">See <see cref="Evaluate"/>.</exception>
    public static IReadOnlyList<ClassResult> EvaluateClasses(
        IReadOnlyList<EvaluationVolume> volumes, IReadOnlyList<double> radiiVoxels, bool ownPicks, double beta = DefaultBeta)
    {
        ArgumentNullException.ThrowIfNull(volumes);
        ArgumentNullException.ThrowIfNull(radiiVoxels);
        CheckRadii(radiiVoxels);
        List<string> order = [];
        Dictionary<string, SortedDictionary<int, ClassPart>> parts = new(StringComparer.OrdinalIgnoreCase);
        for (int v = 0; v < volumes.Count; v++)
        {
            for (int i = 0; i < (volumes[v].TruthClasses?.Count ?? 0); i++)
            {
                if (volumes[v].TruthClasses![i] is not { } name)
                    continue;
                if (parts.TryAdd(name, []))
                    order.Add(name);
                PartOf(parts[name], v).Truth.Add(i);
            }
        }

        if (!ownPicks)
            return RecallsOf(volumes, radiiVoxels, order, parts);
        for (int v = 0; v < volumes.Count; v++)
        {
            for (int i = 0; i < (volumes[v].PredictionClasses?.Count ?? 0); i++)
            {
                if (volumes[v].PredictionClasses![i] is { } name && parts.TryGetValue(
                    name, out SortedDictionary<int, ClassPart>? part))
                    PartOf(part, v).Predictions.Add(i);
            }
        }

        // A volume that has nothing of a class adds nothing to it but itself.
        EvaluationVolume Only(int v, ClassPart part)
            => new([.. part.Predictions.Select(i => volumes[v].Predictions[i])], [.. part.Truth.Select(i => volumes[v].Truth[i])],
                volumes[v].UnmatchedDistanceVoxels);
        return [.. order.Select(
            name => new ClassResult(name, Evaluate([.. parts[name].Select(p => Only(p.Key, p.Value))], radiiVoxels, beta) with
        {
            Volumes = volumes.Count,
        }))];
    }

    /// <summary>The truths and predictions of a class in a volume, by their places in it.</summary>
    private sealed record ClassPart(List<int> Truth, List<int> Predictions);

    private static ClassPart PartOf(SortedDictionary<int, ClassPart> parts, int volume)
    {
        if (!parts.TryGetValue(volume, out ClassPart? part))
            parts[volume] = part = new ClassPart([], []);
        return part;
    }

    /// <summary>
    /// The truths of each class against all predictions: how far the nearest is, and which are found.
    /// </summary>
    private static IReadOnlyList<ClassResult> RecallsOf(
        IReadOnlyList<EvaluationVolume> volumes, IReadOnlyList<double> radiiVoxels, List<string> order, Dictionary<string,
            SortedDictionary<int, ClassPart>> parts)
    {
        int predictions = volumes.Sum(v => v.Predictions.Count);
        double[]?[] distances = new double[volumes.Count][];
        for (int v = 0; v < volumes.Count; v++)
        {
            Check(volumes[v].Predictions, v, "prediction");
            Check(volumes[v].Truth, v, "truth");
            if (volumes[v].Predictions.Count > 0)
                distances[v] = [.. volumes[v].Truth.Select(new NearestPoints(volumes[v].Predictions).DistanceTo)];
        }

        return [.. order.Select(name => new ClassResult(name, Recalls(parts[name])))];

        EvaluationResult Recalls(SortedDictionary<int, ClassPart> part)
        {
            int truth = part.Sum(p => p.Value.Truth.Count);
            double[] nearest =
                [.. part.Where(p => distances[p.Key] is not null).SelectMany(
                    p => p.Value.Truth.Select(i => distances[p.Key]![i]))];
            double unmatched = part.Where(p => distances[p.Key] is null).Sum(
                p => p.Value.Truth.Count * (volumes[p.Key].UnmatchedDistanceVoxels ?? double.NaN));
            RadiusScore Score(double radius)
            {
                int found = nearest.Count(d => d <= radius);
                return new RadiusScore(radius, 0, found, 0, Ratio(found, truth), 0, 0, 0);
            }

            return new EvaluationResult(
                predictions,
                truth,
                volumes.Count,
                part.Count(p => distances[p.Key] is null),
                null,
                Defined((nearest.Sum() + unmatched) / truth),
                [.. radiiVoxels.Select(Score)]);
        }
    }

    private static void CheckRadii(IReadOnlyList<double> radiiVoxels)
    {
        foreach (double radius in radiiVoxels)
        {
            if (!(radius >= 0 && double.IsFinite(radius)))
                throw new InputException($"evaluation: hit radius {radius}; expected 0 voxels or more.");
        }
    }

    private static void Check(IReadOnlyList<Position> positions, int volume, string what)
    {
        for (int i = 0; i < positions.Count; i++)
        {
            if (!(double.IsFinite(positions[i].Z) && double.IsFinite(positions[i].Y) && double.IsFinite(positions[i].X)))
                throw new InputException($"evaluation: {what} {i} of volume {volume} is at {positions[i]}; expected finite "
                    + "coordinates.");
        }
    }

    private static double Ratio(double part, double whole) => whole == 0 ? 0 : part / whole;

    private static double? Defined(double value) => double.IsNaN(value) ? null : value;

    /// <summary>Sums of differences along the axes, and of their squares.</summary>
    private sealed class BiasSums
    {
        private readonly double[] sums = new double[3];
        private readonly double[] squares = new double[3];

        public int Count { get; private set; }

        public void Add(Position prediction, Position truth)
        {
            Count++;
            double[] differences =
                [(double)prediction.Z - truth.Z, (double)prediction.Y - truth.Y, (double)prediction.X - truth.X];
            for (int axis = 0; axis < 3; axis++)
            {
                sums[axis] += differences[axis];
                squares[axis] += differences[axis] * differences[axis];
            }
        }

        public AxisBias? ToBias()
        {
            if (Count == 0)
                return null;
            double Mean(int axis) => sums[axis] / Count;
            double Error(int axis) => Count == 1 ? double.NaN : Math.Sqrt(
                Math.Max(0, (squares[axis] / Count) - (Mean(axis) * Mean(axis))) / (Count - 1));
            return new AxisBias(Count, Mean(0), Mean(1), Mean(2), Error(0), Error(1), Error(2));
        }
    }
}
