namespace MeanShiftGpu.Picking;

/// <summary>Predictions and truth of one volume.</summary>
/// <param name="Predictions">P.</param>
/// <param name="Truth">GT.</param>
/// <param name="UnmatchedDistanceVoxels">
/// The distance that a truth counts with where the volume has no prediction, and a prediction where it has no truth; half of
/// the volume's shortest edge is a fair one. Null where it is not known: such a volume leaves the distance undefined.
/// </param>
public sealed record EvaluationVolume(IReadOnlyList<Position> Predictions, IReadOnlyList<Position> Truth, double? UnmatchedDistanceVoxels = null);

/// <summary>Counts and scores at one hit radius.</summary>
/// <param name="RadiusVoxels">The hit radius; a distance equal to it is a hit.</param>
/// <param name="HitPredictions">Predictions with a truth within the radius: the true positives of the precision.</param>
/// <param name="FoundTruth">Truths with a prediction within the radius: the true positives of the recall.</param>
/// <param name="Precision">HitPredictions / predictions; 0 without predictions.</param>
/// <param name="Recall">FoundTruth / truths; 0 without truths.</param>
/// <param name="F1">2 · Precision · Recall / (Precision + Recall); 0 where both are 0.</param>
/// <param name="OneToOneMatches">The most pairs of a prediction and a truth within the radius such that none is used twice.</param>
/// <param name="OneToOneF1">2 · OneToOneMatches / (predictions + truths): unlike F1, this punishes duplicates.</param>
public sealed record RadiusScore(
    double RadiusVoxels,
    int HitPredictions,
    int FoundTruth,
    double Precision,
    double Recall,
    double F1,
    int OneToOneMatches,
    double OneToOneF1);

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
        ?? throw new ArgumentException($"Evaluation: no scores at radius {radiusVoxels}; there are {string.Join(", ", Radii.Select(r => r.RadiusVoxels))}.", nameof(radiusVoxels));
}

/// <summary>
/// Compares picks with the truth as the mean-shift loss paper does (its equations 3 to 6):
/// <list type="bullet">
/// <item>dist_pred: mean over predictions of the distance to the nearest truth; dist_GT: mean over truths of the distance to the nearest prediction.</item>
/// <item>A prediction with a truth within the hit radius is a true positive of the precision, any other a false positive;
/// a truth with a prediction within the radius is a true positive of the recall, any other a false negative. The two counts of true
/// positives differ where one hits several; that is the paper's "and vice versa". Duplicates near a truth are therefore not punished.</item>
/// </list>
/// Beside it stands an F1 over one-to-one pairs, which punishes duplicates. Everything is pooled: sums over the points of all
/// volumes, distances only within a volume.
/// </summary>
public static class Evaluation
{
    /// <summary>Evaluates picks; time grows as predictions times truths of a volume.</summary>
    /// <param name="volumes">Predictions and truth of each volume.</param>
    /// <param name="radiiVoxels">Hit radii.</param>
    /// <exception cref="InputException">There is no volume, or a coordinate is not a finite number.</exception>
    public static EvaluationResult Evaluate(IReadOnlyList<EvaluationVolume> volumes, IReadOnlyList<double> radiiVoxels)
    {
        ArgumentNullException.ThrowIfNull(volumes);
        ArgumentNullException.ThrowIfNull(radiiVoxels);
        if (volumes.Count == 0)
            throw new InputException("evaluation: no volumes; expected at least one with its truth.");
        foreach (double radius in radiiVoxels)
        {
            if (!(radius >= 0 && double.IsFinite(radius)))
                throw new InputException($"evaluation: hit radius {radius}; expected 0 voxels or more.");
        }

        List<double> fromPredictions = [];
        List<double> fromTruth = [];
        double unmatchedPredictions = 0;
        double unmatchedTruth = 0;
        int predictions = 0;
        int truth = 0;
        int withoutPredictions = 0;
        int[] pairs = new int[radiiVoxels.Count];
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

            fromPredictions.AddRange(volume.Predictions.Select(p => NearestDistance(p, volume.Truth)));
            fromTruth.AddRange(volume.Truth.Select(g => NearestDistance(g, volume.Predictions)));
            for (int r = 0; r < pairs.Length; r++)
                pairs[r] += LargestMatching(volume.Predictions, volume.Truth, radiiVoxels[r]);
        }

        RadiusScore[] scores = new RadiusScore[radiiVoxels.Count];
        for (int r = 0; r < scores.Length; r++)
        {
            double radius = radiiVoxels[r];
            int hits = fromPredictions.Count(d => d <= radius);
            int found = fromTruth.Count(d => d <= radius);
            double precision = Ratio(hits, predictions);
            double recall = Ratio(found, truth);
            scores[r] = new RadiusScore(
                radius, hits, found, precision, recall, Ratio(2 * precision * recall, precision + recall), pairs[r], Ratio(2.0 * pairs[r], predictions + truth));
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

    private static void Check(IReadOnlyList<Position> positions, int volume, string what)
    {
        for (int i = 0; i < positions.Count; i++)
        {
            if (!(float.IsFinite(positions[i].Z) && float.IsFinite(positions[i].Y) && float.IsFinite(positions[i].X)))
                throw new InputException($"evaluation: {what} {i} of volume {volume} is at {positions[i]}; expected finite coordinates.");
        }
    }

    private static double NearestDistance(Position from, IReadOnlyList<Position> to)
    {
        double nearest = double.PositiveInfinity;
        foreach (Position other in to)
            nearest = Math.Min(nearest, from.SquaredDistanceTo(other));
        return Math.Sqrt(nearest);
    }

    private static double Ratio(double part, double whole) => whole == 0 ? 0 : part / whole;

    private static double? Defined(double value) => double.IsNaN(value) ? null : value;

    /// <summary>The size of a largest matching, by augmenting paths found breadth first (Berge, 1957); its size does not depend on any order.</summary>
    private static int LargestMatching(IReadOnlyList<Position> predictions, IReadOnlyList<Position> truth, double radius)
    {
        int[][] near = [.. predictions.Select(p => Enumerable.Range(0, truth.Count).Where(g => p.DistanceTo(truth[g]) <= radius).ToArray())];
        int[] predictionOf = new int[truth.Count];
        Array.Fill(predictionOf, -1);
        int[] truthOf = new int[predictions.Count];
        Array.Fill(truthOf, -1);
        int[] reachedFrom = new int[truth.Count];
        int matches = 0;
        Queue<int> queue = [];
        for (int start = 0; start < predictions.Count; start++)
        {
            Array.Fill(reachedFrom, -1);
            queue.Clear();
            queue.Enqueue(start);
            int end = -1;
            while (end < 0 && queue.TryDequeue(out int prediction))
            {
                foreach (int g in near[prediction])
                {
                    if (reachedFrom[g] >= 0)
                        continue;
                    reachedFrom[g] = prediction;
                    if (predictionOf[g] < 0)
                    {
                        end = g;
                        break;
                    }

                    queue.Enqueue(predictionOf[g]);
                }
            }

            if (end < 0)
                continue;
            matches++;
            // Every prediction on the path takes the truth it reached, and leaves its old one to the prediction before it.
            while (end >= 0)
            {
                int prediction = reachedFrom[end];
                int left = truthOf[prediction];
                predictionOf[end] = prediction;
                truthOf[prediction] = end;
                end = left;
            }
        }

        return matches;
    }
}
