using MeanShiftGpu.IO;

namespace MeanShiftGpu.Picking;

/// <summary>How good picks are at one threshold.</summary>
/// <param name="Threshold">The threshold, as a fraction of each map's maximum.</param>
/// <param name="Picks">Picks in all volumes.</param>
/// <param name="Precision">Of one-to-one pairs within the hit radius.</param>
/// <param name="Recall">Of one-to-one pairs within the hit radius.</param>
/// <param name="F1">Of one-to-one pairs within the hit radius.</param>
public sealed record ThresholdScore(float Threshold, int Picks, double Precision, double Recall, double F1);

/// <summary>Finds the threshold that picks best in volumes whose centres are known.</summary>
/// <param name="picker">Clusters the maps.</param>
/// <param name="options">How, except for the threshold.</param>
public sealed class ThresholdSweep(TomogramPicker picker, PickOptions options)
{
    private readonly List<EvaluationVolume>[] volumes = [.. Thresholds.Select(_ => new List<EvaluationVolume>())];

    /// <summary>The fractions of the maximum that are tried.</summary>
    public static IReadOnlyList<float> Thresholds { get; } = [.. Enumerable.Range(1, 18).Select(i => i / 20f)];

    /// <summary>Picks from one map at every threshold.</summary>
    /// <param name="scores">The map.</param>
    /// <param name="maximum">Its largest score.</param>
    /// <param name="truth">The centres of its particles.</param>
    /// <param name="cancellation">Stops between two windows.</param>
    public void Add(IVoxelSource scores, float maximum, IReadOnlyList<Position> truth, CancellationToken cancellation = default)
    {
        for (int i = 0; i < volumes.Length; i++)
        {
            PickOptions at = options with { ThresholdKind = ThresholdKind.FractionOfMaximum, Threshold = Thresholds[i] };
            volumes[i].Add(new EvaluationVolume([.. picker.Cluster(scores, maximum, options: at, cancellation: cancellation).Picks.Select(p => p.Position)], truth));
        }
    }

    /// <summary>The scores at every threshold, pooled over the volumes.</summary>
    /// <param name="radiusVoxels">A pick within this distance of a centre is a hit.</param>
    public IReadOnlyList<ThresholdScore> Scores(double radiusVoxels) =>
    [
        .. volumes.Select((at, i) =>
        {
            EvaluationResult result = Evaluation.Evaluate(at, [radiusVoxels]);
            int matches = result.Radii[0].OneToOneMatches;
            return new ThresholdScore(
                Thresholds[i], result.Predictions, matches / (double)Math.Max(1, result.Predictions), matches / (double)Math.Max(1, result.Truth), result.Radii[0].OneToOneF1);
        }),
    ];

    /// <summary>The score with the best F1; of several equal ones that in their middle, which is furthest from both edges.</summary>
    public static ThresholdScore Best(IReadOnlyList<ThresholdScore> scores)
    {
        ArgumentNullException.ThrowIfNull(scores);
        double best = scores.Max(s => s.F1);
        ThresholdScore[] equal = [.. scores.Where(s => s.F1 == best)];
        return equal[equal.Length / 2];
    }
}
