using System.Globalization;

namespace MeanShiftGpu.Training;

/// <summary>
/// Knows whether a training gets anywhere: every threshold stands here with its reason. Figures are of 36³
/// patches with the demo's network.
/// </summary>
internal static class TrainingDiagnosis
{
    /// <summary>
    /// Maps are looked at every so many steps: on a GPU reading one costs a tenth of a step.
    /// </summary>
    public const int MeasureInterval = 4;

    /// <summary>
    /// They are judged over so many steps: single patches vary by a third in contrast, five of them by a
    /// tenth.
    /// </summary>
    public const int Window = 20;

    /// <summary>Windows in a row that must be ill: a recovering map needs some 40 steps.</summary>
    public const int Patience = 3;

    /// <summary>A run that failed at an eighth of its rate has another cause.</summary>
    public const int MostRollbacks = 3;

    /// <summary>From one going back to the next.</summary>
    public const double RateFactor = 0.5;

    // Contrast of maps that work is 0.23 to 0.93, of dead and of frozen ones 0.00; a fresh network is near 0,
    // too.
    private const double LeastContrast = 0.05;

    // 4·s·(1 − s) is below this for scores below 0.013 and above 0.987: fresh maps (0.12 or 0.5) are far from
    // it, dead and frozen ones are at 0.
    private const double LeastPassing = 0.05;

    // A map is above 0.5 at up to 0.19 of its voxels where it works, at 0.5 and more where it is frozen.
    private const double MostAbove = 0.4;

    // Shorter runs teach nobody: by then Adam has moved no weight by more than the sum of the rates.
    private const int LeastSteps = 100;
    private const double LeastRateSum = 0.04;

    // Picks that know nothing of the particles agree with centres, within 4 voxels, by an F1 of up to 0.2 in
    // small crowded volumes and of 0.01 in tomograms; that with the centres' mirror images varies by half of
    // it. Models that work have 0.4 and more.
    private const double TimesChance = 2;
    private const double AboveChance = 0.05;

    /// <summary>Judges a window of a class.</summary>
    /// <param name="health">The window.</param>
    /// <param name="wasHealthy">Whether the class has stood out before.</param>
    public static HealthVerdict Judge(TrainingHealth health, bool wasHealthy)
    {
        if (health.Contrast >= LeastContrast)
            return HealthVerdict.Healthy;
        return wasHealthy || health.Passing < LeastPassing ? HealthVerdict.Ill : HealthVerdict.Undecided;
    }

    /// <summary>What is wrong with an ill window, for people.</summary>
    /// <param name="health">The window.</param>
    /// <param name="ofClass">" of class 'x'", or nothing.</param>
    public static string Describe(TrainingHealth health, string ofClass)
    {
        string scores = string.Create(CultureInfo.InvariantCulture, $"mean difference {health.Contrast:0.000;−0.000;0.000}, "
            + $"{100 * health.ShareAbove:0} % of the map above 0.5");
        string what = health.Passing >= LeastPassing
            ? "no longer stand out from the rest of the map"
            : health.ShareAbove > MostAbove ? "do not stand out from a map that is stuck at its largest value"
                : "do not stand out from a map that is 0 everywhere";
        return $"the scores at the centres{ofClass} {what} ({scores})";
    }

    /// <summary>Whether a run was long enough to judge its model.</summary>
    public static bool CanJudge(IReadOnlyList<TrainingStep> steps) => steps.Count >= LeastSteps
        && steps.Sum(s => s.LearningRate) >= LeastRateSum;

    /// <summary>Whether picks agree with centres no better than chance has it.</summary>
    public static bool IsChance(PickingScore score)
        => score.F1Near < TimesChance * score.NearByChance + AboveChance && score.F1Far < TimesChance * score.FarByChance
            + AboveChance;

    /// <summary>What is wrong with a model whose picks are chance, for people.</summary>
    /// <param name="validation">On the validation volumes; null without such.</param>
    /// <param name="training">On the training volumes.</param>
    public static string DescribeChance(PickingScore? validation, PickingScore training)
    {
        static string F1(PickingScore score)
            => FormattableString.Invariant($"F1 {score.F1Far:0.00} within the bandwidth, {score.FarByChance:0.00} by chance");
        if (validation is null || IsChance(training))
        {
            return $"picks in the training volumes agree with their centres no better than chance ({F1(training)}), "
                + "so nothing was learnt. "
                + "See whether the centres belong to these volumes: the right table, binning and voxel size.";
        }

        return $"picks in the validation volumes agree with their centres no better than chance ({F1(validation)}), "
            + "although those in the training volumes do "
            + $"({F1(training)}). See whether particles are dark, or bright, in all volumes, and whether voxel size "
                + "and filters are the same.";
    }

    /// <summary>
    /// What to try, by what is unusual about a run's settings; nothing where they are usual.
    /// </summary>
    public static string WhatToTry(TrainingOptions options)
    {
        List<string> advice = [];
        if (options.MeanShiftWeight > 0 && options.MeanShift.BandwidthVoxels < options.MeanShift.SeedRadiusVoxels / 4)
            advice.Add(string.Create(CultureInfo.InvariantCulture, $"a bandwidth near the particles' radius in voxels (it is "
                + $"{options.MeanShift.BandwidthVoxels}, and seeds start within {options.MeanShift.SeedRadiusVoxels})"));
        if (options.MeanShiftWeight > 0 && options.MeanShift.ScoreFloor > 1)
            advice.Add(string.Create(CultureInfo.InvariantCulture, $"a score floor well below 1, the largest score (it is "
                + $"{options.MeanShift.ScoreFloor}), as 0.05"));
        if (options.LearningRate > 5e-3)
            advice.Add(FormattableString.Invariant($"a lower learning rate (it is {options.LearningRate}), as 0.001"));
        if (options.MeanShiftWeight > 0 && options.CenterWeight == 0)
            advice.Add("the preset compact or combined, which hold the scores at the centres");
        if (options.OutputBias is < -4 or > 2)
            advice.Add("an output bias of -2");
        if (options.ClipNorm == 0)
            advice.Add("gradient clipping");
        return advice.Count == 0 ? "" : $" Try {string.Join(", or ", advice)}.";
    }
}
