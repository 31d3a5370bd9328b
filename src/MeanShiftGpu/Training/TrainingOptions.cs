using MeanShiftGpu.Ops;

namespace MeanShiftGpu.Training;

/// <summary>How the learning rate runs after the warm-up.</summary>
public enum LearningRateSchedule
{
    /// <summary>The same throughout, as published.</summary>
    Constant,

    /// <summary>Falls to 0 along half a cosine.</summary>
    Cosine,
}

/// <summary>What training patches are turned into, at random, without changing what they show.</summary>
public enum Augmentation
{
    /// <summary>Nothing, as published.</summary>
    None,

    /// <summary>Mirror images along each axis: the missing wedge stays where it is.</summary>
    Flips,

    /// <summary>Mirror images and exchanged axes: for data without a missing wedge. Patches must be cubes.</summary>
    FlipsAndSwaps,
}

/// <summary>Everything that decides a training run, apart from the data and the network.</summary>
public sealed record TrainingOptions
{
    /// <summary>The preset that the settings began from, for people; the other settings decide.</summary>
    public string Preset { get; init; } = "compact";

    /// <summary>The mean-shift loss.</summary>
    public MeanShiftOptions MeanShift { get; init; } = MeanShiftOptions.Compact;

    /// <summary>Weight of the mean-shift loss in the sum; 0 leaves it out.</summary>
    public double MeanShiftWeight { get; init; } = 1;

    /// <summary>Weight of the Dice loss in the sum; 0 leaves it out, and no masks are needed.</summary>
    public double DiceWeight { get; init; }

    /// <summary>Weight of the binary cross-entropy in the sum; 0 leaves it out.</summary>
    public double CrossEntropyWeight { get; init; }

    /// <summary>Radius in voxels of the balls that stand for a missing mask.</summary>
    public double MaskRadiusVoxels { get; init; } = 4;

    /// <summary>Optimiser steps in all.</summary>
    public int Steps { get; init; } = 1000;

    /// <summary>Patches of a step.</summary>
    public int BatchSize { get; init; } = 1;

    /// <summary>Edges (z, y, x) of the patches, in voxels; multiples of the network's divisor.</summary>
    public Extent Patch { get; init; } = new(56, 56, 56);

    /// <summary>Highest learning rate.</summary>
    public double LearningRate { get; init; } = 2e-3;

    /// <summary>Course of the learning rate.</summary>
    public LearningRateSchedule Schedule { get; init; } = LearningRateSchedule.Cosine;

    /// <summary>Steps over which the rate rises linearly from 0.</summary>
    public int WarmUpSteps { get; init; } = 30;

    /// <summary>Longest gradient; longer ones are scaled to it. 0 leaves them as they are.</summary>
    public double ClipNorm { get; init; } = 1;

    /// <summary>Decoupled weight decay (AdamW); 0 is Adam.</summary>
    public double WeightDecay { get; init; }

    /// <summary>Added to the bias of the network's head before training.</summary>
    public double OutputBias { get; init; }

    /// <summary>Random changes to the patches.</summary>
    public Augmentation Augmentation { get; init; } = Augmentation.FlipsAndSwaps;

    /// <summary>Centres nearer than this to a patch's face are left out of the loss.</summary>
    public double CenterMarginVoxels { get; init; } = 4;

    /// <summary>Steps between validations.</summary>
    public int ValidationInterval { get; init; } = 100;

    /// <summary>Decides the network's start, the patches and the seeds.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>The settings of the paper: linear weighting taken literally, squared distance, Adam at 1e-5.</summary>
    public static TrainingOptions Paper { get; } = new()
    {
        Preset = "paper",
        MeanShift = MeanShiftOptions.Paper,
        LearningRate = 1e-5,
        Schedule = LearningRateSchedule.Constant,
        WarmUpSteps = 0,
        ClipNorm = 0,
        Augmentation = Augmentation.None,
    };

    /// <summary>The settings of the authors' program: flat weighting, Euclidean distance, Adam at 1e-5.</summary>
    public static TrainingOptions PublishedCode { get; } = Paper with { Preset = "published-code", MeanShift = MeanShiftOptions.PublishedCode };

    /// <summary>The default: Epanechnikov weighting and the mean-shift loss alone, which needs no masks and gives compact maps.</summary>
    public static TrainingOptions Compact { get; } = new();

    /// <summary>Flat weighting, squared distance and half a Dice loss: a calibrated map, where there are masks.</summary>
    public static TrainingOptions Combined { get; } = new()
    {
        Preset = "combined",
        MeanShift = MeanShiftOptions.Combined,
        DiceWeight = 0.5,
        LearningRate = 1e-3,
        OutputBias = -2,
    };

    /// <summary>The presets by the names that the command line uses.</summary>
    public static IReadOnlyDictionary<string, TrainingOptions> Presets { get; } = new Dictionary<string, TrainingOptions>
    {
        [Compact.Preset] = Compact,
        [Combined.Preset] = Combined,
        [Paper.Preset] = Paper,
        [PublishedCode.Preset] = PublishedCode,
    };

    /// <summary>The learning rate of a step, counted from 0.</summary>
    public double RateAt(int step)
    {
        if (step < WarmUpSteps)
            return LearningRate * (step + 1) / WarmUpSteps;
        return Schedule == LearningRateSchedule.Constant
            ? LearningRate
            : LearningRate * 0.5 * (1 + Math.Cos(Math.PI * (step - WarmUpSteps) / Math.Max(1, Steps - WarmUpSteps)));
    }

    /// <summary>Checks the values.</summary>
    /// <exception cref="InputException">A value is out of range.</exception>
    public void Validate()
    {
        if (MeanShiftWeight < 0 || DiceWeight < 0 || CrossEntropyWeight < 0 || MeanShiftWeight + DiceWeight + CrossEntropyWeight <= 0)
            throw new InputException($"training: loss weights {MeanShiftWeight} (mean shift), {DiceWeight} (Dice) and {CrossEntropyWeight} (cross-entropy); expected none below 0 and one above.");
        if (Steps < 1 || BatchSize < 1 || ValidationInterval < 1)
            throw new InputException($"training: {Steps} steps, batches of {BatchSize}, validation every {ValidationInterval}; each must be at least 1.");
        if ((double)BatchSize * Patch.Depth * Patch.Height * Patch.Width > Array.MaxLength)
            throw new InputException($"training: batches of {BatchSize} patches of {Patch} voxels; expected at most {Array.MaxLength} voxels in all.");
        if (!(LearningRate > 0) || WeightDecay < 0 || ClipNorm < 0 || WarmUpSteps < 0)
            throw new InputException($"training: learning rate {LearningRate}, weight decay {WeightDecay}, clip {ClipNorm}, warm-up {WarmUpSteps}; expected a positive rate and nothing below 0.");
        if (Augmentation == Augmentation.FlipsAndSwaps && (Patch.Depth != Patch.Height || Patch.Height != Patch.Width))
            throw new InputException($"training: axes can be exchanged in cubes only, the patch is {Patch}. Use a cube or augmentation 'flips'.");
    }
}
