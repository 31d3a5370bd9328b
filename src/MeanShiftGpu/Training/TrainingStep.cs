namespace MeanShiftGpu.Training;

/// <summary>What one step did. A loss that is not part of the sum is 0.</summary>
/// <param name="Step">Its number, from 1.</param>
/// <param name="Loss">The weighted sum that was minimised.</param>
/// <param name="MeanShift">The mean-shift loss, in voxels (Euclidean) or voxels² (squared).</param>
/// <param name="Dice">The Dice loss.</param>
/// <param name="CrossEntropy">The binary cross-entropy.</param>
/// <param name="GradientNorm">Length of the gradient before clipping.</param>
/// <param name="LearningRate">The rate of this step.</param>
/// <param name="Centers">The soft likelihood at the annotated centres.</param>
public sealed record TrainingStep(
    int Step,
    double Loss,
    double MeanShift,
    double Dice,
    double CrossEntropy,
    double GradientNorm,
    double LearningRate,
    double Centers = 0);

/// <summary>How picks on the validation volumes agree with the annotated centres, pairs one to one.</summary>
/// <param name="F1Near">F1 within half the bandwidth (at least a voxel): are centres found where they
/// are?</param>
/// <param name="F1Far">F1 within the bandwidth: are particles found?</param>
public sealed record PickingScore(double F1Near, double F1Far)
{
    /// <summary>
    /// F1 of the same picks within half the bandwidth of the centres' mirror images, which nothing is at:
    /// what chance gives.
    /// </summary>
    public double NearByChance { get; init; }

    /// <summary>The same within the bandwidth.</summary>
    public double FarByChance { get; init; }

    /// <summary>
    /// The share of the centres that have a pick of their own within the bandwidth; null in runs of earlier
    /// versions.
    /// </summary>
    public double? Recall { get; init; }

    /// <summary>How many annotated centres were compared with; 0 in runs of earlier versions.</summary>
    public int Centers { get; init; }

    /// <summary>
    /// Whether there are so few centres that models are not compared by this. Whoever annotates a handful
    /// leaves most particles out, and each of those that a better model finds would count as wrong.
    /// </summary>
    internal bool HasFewCenters => Centers is > 0 and < 10;

    /// <summary>What models are compared by, unless there are few centres: the mean of both.</summary>
    public double Mean => (F1Near + F1Far) / 2;
}

/// <summary>How the network does on the validation volumes.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Loss">The mean-shift loss where it is used, otherwise the weighted sum. Seeds that no network
/// can move set a floor to it.</param>
/// <param name="StuckSeeds">Share of the seeds that end further than the bandwidth from every centre; they
/// set the loss's floor.</param>
/// <param name="MapMaximum">The largest score on any validation patch.</param>
/// <param name="IsBest">Whether it is the best so far: the highest picking score, of equal ones the lowest
/// loss; without picking, and with fewer than ten centres, the lowest loss.</param>
/// <param name="Picking">How picks agree with the centres; null where nobody picks.</param>
public sealed record ValidationResult(int Step, double Loss, double StuckSeeds, double MapMaximum, bool IsBest,
    PickingScore? Picking = null)
{
    /// <summary>Whether this is better than another.</summary>
    internal bool IsBetterThan(ValidationResult? other)
    {
        if (other is null)
            return true;
        if (Picking is null or { HasFewCenters: true })
            return Loss < other.Loss;
        (double mine, double others) = (Picking.Mean, other.Picking?.Mean ?? 0);
        return mine > others || (mine == others && Loss < other.Loss);
    }
}

/// <summary>Where a run stands.</summary>
/// <param name="Latest">The latest step.</param>
/// <param name="Position">Steps of the schedule that are done: fewer than steps were taken if the run went
/// back.</param>
/// <param name="Steps">Steps of the schedule in all.</param>
/// <param name="StepsPerSecond">Rate since the run began or was resumed.</param>
/// <param name="Remaining">Time left at that rate.</param>
/// <param name="Validation">The validation after this step, or null.</param>
/// <param name="Rollback">Where the run went back to after this step; null where it did not.</param>
public sealed record TrainingProgress(
    TrainingStep Latest, int Position, int Steps, double StepsPerSecond, TimeSpan Remaining, ValidationResult? Validation,
        Rollback? Rollback = null);

/// <summary>The course of a run.</summary>
/// <param name="Steps">Every step.</param>
/// <param name="Validations">Every validation.</param>
/// <param name="Health">The score maps over the run, every 20 steps.</param>
/// <param name="Rollbacks">Where the run went back to earlier parameters.</param>
public sealed record TrainingHistory(
    IReadOnlyList<TrainingStep> Steps,
    IReadOnlyList<ValidationResult> Validations,
    IReadOnlyList<TrainingHealth> Health,
    IReadOnlyList<Rollback> Rollbacks);
