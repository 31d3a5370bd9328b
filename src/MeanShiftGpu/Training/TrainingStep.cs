namespace MeanShiftGpu.Training;

/// <summary>What one step did. A loss that is not part of the sum is 0.</summary>
/// <param name="Step">Its number, from 1.</param>
/// <param name="Loss">The weighted sum that was minimised.</param>
/// <param name="MeanShift">The mean-shift loss, in voxels (Euclidean) or voxels² (squared).</param>
/// <param name="Dice">The Dice loss.</param>
/// <param name="CrossEntropy">The binary cross-entropy.</param>
/// <param name="GradientNorm">Length of the gradient before clipping.</param>
/// <param name="LearningRate">The rate of this step.</param>
public sealed record TrainingStep(
    int Step,
    double Loss,
    double MeanShift,
    double Dice,
    double CrossEntropy,
    double GradientNorm,
    double LearningRate);

/// <summary>How the network does on the validation volumes.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Loss">What the best model is chosen by: the mean-shift loss where it is used, otherwise the weighted sum.</param>
/// <param name="StuckSeeds">Share of the seeds that end further than the bandwidth from every centre; they set the loss's floor.</param>
/// <param name="MapMaximum">The largest score on any validation patch.</param>
/// <param name="IsBest">Whether it is the lowest loss so far.</param>
public sealed record ValidationResult(int Step, double Loss, double StuckSeeds, double MapMaximum, bool IsBest);

/// <summary>Where a run stands.</summary>
/// <param name="Latest">The latest step.</param>
/// <param name="Steps">Steps in all.</param>
/// <param name="StepsPerSecond">Rate since the run began or was resumed.</param>
/// <param name="Remaining">Time left at that rate.</param>
/// <param name="Validation">The validation after this step, or null.</param>
public sealed record TrainingProgress(TrainingStep Latest, int Steps, double StepsPerSecond, TimeSpan Remaining, ValidationResult? Validation);

/// <summary>The course of a run.</summary>
/// <param name="Steps">Every step.</param>
/// <param name="Validations">Every validation.</param>
public sealed record TrainingHistory(IReadOnlyList<TrainingStep> Steps, IReadOnlyList<ValidationResult> Validations);
