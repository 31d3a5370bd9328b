using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>What the picking threshold is measured in.</summary>
public enum ThresholdKind
{
    /// <summary>
    /// A fraction of the score map's maximum. The mean-shift loss hardly fixes the scale of a map, so this is
    /// the safe choice.
    /// </summary>
    FractionOfMaximum,

    /// <summary>
    /// A score. Good for maps with a fixed scale (trained with Dice), and where a volume may hold no particle
    /// at all.
    /// </summary>
    Absolute,
}

/// <summary>How a score map becomes picks.</summary>
public enum PickMethod
{
    /// <summary>
    /// Every voxel above the threshold is shifted to its mode; what arrives at the same place is one
    /// particle.
    /// </summary>
    MeanShift,

    /// <summary>
    /// Voxels above the threshold that no neighbour exceeds, the highest first, no two within the merge
    /// distance; placed between voxels by parabolas.
    /// </summary>
    LocalMaxima,

    /// <summary>
    /// Voxels above the threshold that touch each other (26 neighbours) are one particle; its centre is their
    /// score-weighted mean.
    /// </summary>
    Components,
}

/// <summary>
/// How particles are picked from a score map. The defaults follow from experiments with every loss of this
/// library.
/// </summary>
public sealed record PickOptions
{
    /// <summary>How the score map becomes picks.</summary>
    public PickMethod Method { get; init; } = PickMethod.MeanShift;

    /// <summary>What <see cref="Threshold"/> is measured in.</summary>
    public ThresholdKind ThresholdKind { get; init; } = ThresholdKind.FractionOfMaximum;

    /// <summary>The mean shift starts from every voxel whose score is above this.</summary>
    public float Threshold { get; init; } = Diagnosis.ThresholdFraction;

    /// <summary>
    /// The score that a fraction refers to: the largest one of volumes that the model knows (see
    /// <see cref="MeanShiftGpu.Training.ClassLooks"/>), so that a volume without particles gives no picks.
    /// Null for the map's own maximum.
    /// </summary>
    public float? ScoreScale { get; init; }

    /// <summary>
    /// Bandwidth b of the mean shift: the radius of the ball that a point is moved by. Use the one of the
    /// training.
    /// </summary>
    public float BandwidthVoxels { get; init; } = 4;

    /// <summary>Most mean-shift iterations of a point.</summary>
    public int MaximumIterations { get; init; } = 60;

    /// <summary>A point that moves by less than this has converged.</summary>
    public float ConvergenceVoxels { get; init; } = 0.01f;

    /// <summary>
    /// Converged points within this of a stronger cluster belong to it, and no two picks are nearer to each
    /// other. Null means 1.5 b; just below the shortest distance between particles is best.
    /// </summary>
    public float? MergeDistanceVoxels { get; init; }

    /// <summary>How many bandwidths apart two places of one particle may be.</summary>
    internal const double BasinReach = 3;

    /// <summary>
    /// Places between which the score map stays above this fraction of the lower of their peaks are one
    /// particle, up to three bandwidths apart; 0 leaves it to the merge distance alone, as the paper does.
    /// For particles larger than the bandwidth, in which points come to rest at several places.
    /// </summary>
    public float BasinFraction { get; init; }

    /// <summary>
    /// Of two picks nearer than this the one with the lower score is dropped at the end; 0 drops none.
    /// </summary>
    public float MinimumDistanceVoxels { get; init; }

    /// <summary>
    /// Clusters whose support is below this fraction of the largest one's are dropped. Particles of half the
    /// mass, seen half as well, can have a tenth of the largest support; what is no particle mostly has less.
    /// Where all particles are alike, 0.2 leaves out a little more noise.
    /// </summary>
    public float MinimumSupportFraction { get; init; } = 0.05f;

    /// <summary>Clusters of fewer voxels are dropped.</summary>
    public int MinimumVoxels { get; init; } = 1;

    /// <summary>The defaults, with the bandwidth of a training.</summary>
    public static PickOptions For(MeanShiftOptions training)
    {
        ArgumentNullException.ThrowIfNull(training);
        return new PickOptions { BandwidthVoxels = (float)training.BandwidthVoxels };
    }

    /// <summary>The merge distance that is used: <see cref="MergeDistanceVoxels"/>, or 1.5 b.</summary>
    public float EffectiveMergeDistanceVoxels => MergeDistanceVoxels ?? 1.5f * BandwidthVoxels;

    /// <summary>The score above which voxels count, in a map with the given maximum.</summary>
    public float ThresholdFor(float maximum) => ThresholdKind switch
    {
        ThresholdKind.Absolute => Threshold,
        ThresholdKind.FractionOfMaximum => Threshold * Math.Max(0, ScoreScale ?? maximum),
        _ => throw UnknownValue.Of(ThresholdKind),
    };

    /// <summary>Refuses options that make no sense.</summary>
    /// <exception cref="InputException">An option is out of range; the line says which.</exception>
    public void Validate()
    {
        if (ThresholdKind == ThresholdKind.FractionOfMaximum)
            Require(Threshold is >= 0 and < 1, $"threshold {Threshold}; expected a fraction of the maximum, 0 to less than 1");
        else
            Require(Threshold >= 0 && float.IsFinite(Threshold), $"threshold {Threshold}; expected a score of 0 or more");
        Require(ScoreScale is null or > 0, $"score scale {ScoreScale}; expected more than 0");
        Require(BandwidthVoxels > 0 && BandwidthVoxels <= MeanShiftOptions.MaximumBandwidthVoxels,
            $"bandwidth {BandwidthVoxels}; expected more than 0 and at most {MeanShiftOptions.MaximumBandwidthVoxels} voxels");
        Require(MaximumIterations >= 1, $"{MaximumIterations} iterations at most; expected 1 or more");
        Require(ConvergenceVoxels >= 0 && float.IsFinite(ConvergenceVoxels), $"convergence {ConvergenceVoxels}; expected 0 "
            + "voxels or more");
        Require(EffectiveMergeDistanceVoxels > 0 && float.IsFinite(EffectiveMergeDistanceVoxels),
            $"merge distance {EffectiveMergeDistanceVoxels}; expected more than 0 voxels");
        Require(BasinFraction is >= 0 and <= 1, $"basin fraction {BasinFraction}; expected a fraction, 0 to 1");
        Require(MinimumDistanceVoxels >= 0 && float.IsFinite(MinimumDistanceVoxels), "minimum distance "
            + $"{MinimumDistanceVoxels}; expected 0 voxels or more");
        Require(Enum.IsDefined(Method), $"method {Method}; expected {string.Join(", ", Enum.GetNames<PickMethod>())}");
        Require(
            MinimumSupportFraction is >= 0 and <= 1, $"minimum support {MinimumSupportFraction}; expected a fraction, 0 to 1");
        Require(MinimumVoxels >= 1, $"at least {MinimumVoxels} voxels; expected 1 or more");
    }

    private static void Require(bool condition, string problem)
    {
        if (!condition)
            throw new InputException($"picking: {problem}.");
    }
}
