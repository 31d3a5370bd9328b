using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>How good picks are at one setting.</summary>
/// <param name="Threshold">The threshold, as a fraction of each map's maximum.</param>
/// <param name="MinimumSupport">The least support of a pick, as a fraction of the best one's in its
/// volume.</param>
/// <param name="BasinFraction">How places of one particle are joined; see
/// <see cref="PickOptions.BasinFraction"/>.</param>
/// <param name="Picks">Picks in all volumes.</param>
/// <param name="Precision">Of one-to-one pairs within the hit radius.</param>
/// <param name="Recall">Of one-to-one pairs within the hit radius.</param>
/// <param name="F1">Of one-to-one pairs within the hit radius.</param>
public sealed record ThresholdScore(
    float Threshold, float MinimumSupport, float BasinFraction, int Picks, double Precision, double Recall, double F1)
{
    /// <summary>
    /// The square of the recall over the number of picks; 0 without picks. It grows with precision times
    /// recall, as F1 does, but no pick has to be known as wrong: W. S. Lee and B. Liu, Learning with positive
    /// and unlabeled examples using weighted logistic regression, ICML 2003, section 4.
    /// </summary>
    public double RecallSquaredPerPick => Picks == 0 ? 0 : Recall * Recall / Picks;
}

/// <summary>
/// Finds the settings that pick best in volumes whose centres are known: the threshold, the minimum support
/// and whether basins are joined. Particles of different sizes differ in support, so that a minimum that
/// drops noise beside large ones drops small ones too; and points come to rest at several places of a large
/// one.
/// </summary>
/// <param name="picker">Clusters the maps.</param>
/// <param name="options">How, except for what is tried.</param>
/// <param name="supports">The minimum supports that are tried.</param>
/// <param name="basins">The basin fractions that are tried; 0 alone for other methods than the mean
/// shift.</param>
public sealed class ThresholdSweep(
    TomogramPicker picker, PickOptions options, IReadOnlyList<float> supports, IReadOnlyList<float> basins)
{
    private readonly (int Basin, float Threshold, float Support, List<EvaluationVolume> Volumes)[] settings =
    [
        .. from basin in Enumerable.Range(0, basins.Count)
           from threshold in Thresholds
           from support in supports
           select (basin, threshold, support, new List<EvaluationVolume>()),
    ];

    /// <summary>The fractions of the maximum that are tried.</summary>
    public static IReadOnlyList<float> Thresholds { get; } = [.. Enumerable.Range(1, 18).Select(i => i / 20f)];

    /// <summary>The minimum supports that are worth trying.</summary>
    public static IReadOnlyList<float> Supports { get; } = [0, 0.02f, 0.05f, 0.1f, 0.2f, 0.3f];

    /// <summary>
    /// The basin fractions that are worth trying: 0.5 to 0.7 give the same picks but for one in a hundred.
    /// </summary>
    public static IReadOnlyList<float> BasinFractions { get; } = [0, 0.6f];

    /// <summary>
    /// Predicts the map of a data set's volume, of the picker's first class, and picks from it with every
    /// setting.
    /// </summary>
    /// <param name="entry">The volume and its centres.</param>
    /// <param name="progress">Told how far the network is; null for no callback.</param>
    /// <param name="cancellation">Stops after a tile, or between two windows.</param>
    /// <returns>How many centres of the class there are.</returns>
    public int Add(DatasetVolume entry, Action<PredictionProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(entry);
        using MrcReader volume = MrcReader.Open(entry.Volume, cancellation);
        Particle[] centers = [.. entry.ReadParticles(volume.Header.Shape, volume.VoxelSize).Where(picker.Classes[0].IsOne)];
        CoordinateTables.CheckInside(entry.Coordinates, centers, volume.Header.Shape);
        PickRequest request = new() { Name = entry.Volume, Normalize = entry.Normalize, Progress = progress };
        using PredictedScores scores = picker.PredictScores(volume, request, cancellation);
        Extent shape = volume.Header.Shape;
        bool Counts(Position p) => entry.Region?.Holds(p.Z, p.Y, p.X, shape) ?? true;
        Add(scores.Maps[0], scores.Summary.Maxima[0], [.. centers.Select(p => new Position(p.Z, p.Y, p.X))], Counts,
            cancellation);
        return centers.Length;
    }

    /// <summary>Picks from one map with every setting.</summary>
    /// <param name="scores">The map.</param>
    /// <param name="maximum">Its largest score.</param>
    /// <param name="truth">The centres of its particles.</param>
    /// <param name="cancellation">Stops between two windows.</param>
    public void Add(IVoxelSource scores, float maximum, IReadOnlyList<Position> truth, CancellationToken cancellation = default)
        => Add(scores, maximum, truth, static _ => true, cancellation);

    private void Add(
        IVoxelSource scores,
        float maximum,
        IReadOnlyList<Position> truth, Func<Position, bool> counts,
        CancellationToken cancellation)
    {
        foreach (var at in settings.GroupBy(s => s.Threshold))
        {
            // Clustered once; weak picks are dropped afterwards, and what is then too near to a stronger one.
            PickOptions all = options with
            {
                ThresholdKind = ThresholdKind.FractionOfMaximum,
                Threshold = at.Key,
                MinimumSupportFraction = 0,
                MinimumDistanceVoxels = 0,
            };
            IReadOnlyList<IReadOnlyList<Pick>> found = picker.ClusterWithBasins(scores, maximum, all, basins, cancellation);
            foreach ((int basin, _, float support, List<EvaluationVolume> volumes) in at)
            {
                IReadOnlyList<Pick> picks = found[basin];
                float largest = picks.Count == 0 ? 0 : picks.Max(p => p.Support);
                Pick[] strong = [.. picks.Where(p => p.Support >= support * largest)];
                IEnumerable<Position> apart = Clustering.Apart(strong, options.MinimumDistanceVoxels).Select(p => p.Position);
                volumes.Add(new EvaluationVolume([.. apart.Where(counts)], truth));
            }
        }
    }

    /// <summary>
    /// The scores with every setting, pooled over the volumes: basin by basin, of each threshold by
    /// threshold, and of each by support.
    /// </summary>
    /// <param name="radiusVoxels">A pick within this distance of a centre is a hit.</param>
    public IReadOnlyList<ThresholdScore> Scores(double radiusVoxels) =>
    [
        .. settings.Select(s =>
        {
            EvaluationResult result = Evaluator.Evaluate(s.Volumes, [radiusVoxels]);
            RadiusScore score = result.Radii[0];
            return new ThresholdScore(
                s.Threshold,
                s.Support,
                basins[s.Basin],
                result.Predictions,
                score.OneToOnePrecision,
                score.OneToOneRecall,
                score.OneToOneF1);
        }),
    ];

    /// <summary>
    /// The score with the best F1, or where only some of the particles are annotated, with the best
    /// <see cref="ThresholdScore.RecallSquaredPerPick"/>. Of several equal ones that which joins least, and
    /// of those the one in their middle, which is furthest from both edges.
    /// </summary>
    /// <param name="scores">The scores.</param>
    /// <param name="annotationIsSparse">
    /// Whether particles are there that no centre marks. A right pick of one of them counts as wrong, so that
    /// the best F1 is that of too few picks.
    /// </param>
    public static ThresholdScore Best(IEnumerable<ThresholdScore> scores, bool annotationIsSparse = false)
    {
        ThresholdScore[] all = [.. scores];
        double Merit(ThresholdScore s) => annotationIsSparse ? s.RecallSquaredPerPick : s.F1;
        double best = all.Max(Merit);
        ThresholdScore[] equal = [.. all.Where(s => Merit(s) == best)];
        ThresholdScore[] least = [.. equal.Where(s => s.BasinFraction == equal.Min(e => e.BasinFraction))];
        return least[least.Length / 2];
    }
}
