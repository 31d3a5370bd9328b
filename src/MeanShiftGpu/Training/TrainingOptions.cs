using System.Text.Json.Serialization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;

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

    /// <summary>
    /// All 8 mirror images along the axes: the missing wedge stays where it is, particles are seen in both
    /// hands.
    /// </summary>
    Flips,

    /// <summary>
    /// Mirror images and exchanged axes, all 48: for data without a missing wedge, and where so few particles
    /// are annotated that further views of them matter more than the wedge's direction. Patches must be
    /// cubes.
    /// </summary>
    FlipsAndSwaps,

    /// <summary>
    /// No turn, or a half turn about z, y or x: these keep the missing wedge and the particles' handedness.
    /// Of a tilt series about y what is measured are the frequencies with |kz| ≤ tan(60°)·|kx|; of the 48
    /// rotations and mirror images of a cube, those that take this set to itself are the 8 that change signs
    /// only (exchanging z and x would need a wedge of 90°, exchanging y with another axis moves the tilt
    /// axis), and 4 of them are rotations.
    /// </summary>
    HalfTurns,
}

/// <summary>A class of particles that has a score map of its own.</summary>
/// <param name="Name">What the table of coordinates calls it: a name, or the number of a class.</param>
public sealed record ClassOptions(string Name)
{
    /// <summary>Its bandwidth in voxels; null for that of the mean shift.</summary>
    public double? BandwidthVoxels { get; init; }

    /// <summary>
    /// The radius around its centres that its seeds are drawn from; null for that of the mean shift.
    /// </summary>
    public double? SeedRadiusVoxels { get; init; }

    /// <summary>Radius of its balls where there is no mask; null for that of all.</summary>
    public double? MaskRadiusVoxels { get; init; }
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

    /// <summary>
    /// Weight of the soft likelihood at the annotated centres
    /// (<see cref="Ops.MeanShift.CenterLikelihoodOp"/>), which the mean-shift loss brings along: the mean
    /// shift compares scores with each other, so that nothing else keeps a whole map from fading away. It
    /// pulls centres up whose score is far below 0.05 and hardly moves others. 0 leaves it out, as published.
    /// </summary>
    public double CenterWeight { get; init; } = 0.2;

    /// <summary>Weight of the Dice loss in the sum; 0 leaves it out, and no masks are needed.</summary>
    public double DiceWeight { get; init; }

    /// <summary>Weight of the binary cross-entropy in the sum; 0 leaves it out.</summary>
    public double CrossEntropyWeight { get; init; }

    /// <summary>
    /// Classes with a score map each, in the order of the network's outputs; particles of other classes are
    /// left out. Empty: all particles are one class.
    /// </summary>
    public IReadOnlyList<ClassOptions> Classes { get; init; } = [];

    /// <summary>
    /// Where only some particles are annotated: voxels farther than this from every annotated centre do not
    /// count in Dice and cross-entropy. 0: everything that is no particle is background.
    /// </summary>
    public double LabelRadiusVoxels { get; init; }

    /// <summary>
    /// Whether known background makes a difference: some loss has labels, and they are sparse.
    /// </summary>
    internal bool UsesBackground => NeedsMasks && LabelRadiusVoxels > 0;

    /// <summary>Use only so many centres of each training volume, chosen at random; 0 for all.</summary>
    public int CentersPerVolume { get; init; }

    /// <summary>Radius in voxels of the balls that stand for a missing mask.</summary>
    public double MaskRadiusVoxels { get; init; } = 4;

    /// <summary>Optimiser steps in all.</summary>
    public int Steps { get; init; } = 1000;

    /// <summary>Number of patches in a step.</summary>
    public int BatchSize { get; init; } = 1;

    /// <summary>Edges (z, y, x) of the patches, in voxels; multiples of the network's divisor.</summary>
    public Extent Patch { get; init; } = new(56, 56, 56);

    /// <summary>Highest learning rate.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>Course of the learning rate.</summary>
    public LearningRateSchedule Schedule { get; init; } = LearningRateSchedule.Cosine;

    /// <summary>Steps over which the rate rises linearly from 0.</summary>
    public int WarmUpSteps { get; init; } = 30;

    /// <summary>Longest gradient; longer ones are scaled to it. 0 leaves them as they are.</summary>
    public double ClipNorm { get; init; } = 1;

    /// <summary>Decoupled weight decay (AdamW); 0 is Adam.</summary>
    public double WeightDecay { get; init; }

    /// <summary>
    /// Adam's β₂: how long second moments are remembered. The mean shift's gradients change their length by
    /// orders of magnitude as a map takes shape; with the customary 0.999 the moments lag behind, steps come
    /// out too long, and now and then the map is pushed to zeros that no gradient leads back from.
    /// </summary>
    public double Beta2 { get; init; } = 0.99;

    /// <summary>
    /// Added to the bias of the network's head before training: an almost empty map is nearer to what is
    /// sought than one of 0.5 everywhere.
    /// </summary>
    public double OutputBias { get; init; } = -2;

    /// <summary>Random changes to the patches.</summary>
    public Augmentation Augmentation { get; init; } = Augmentation.Flips;

    /// <summary>
    /// How much contrast and brightness of a patch change at random: 0.2 means factors of 0.8 to 1.2 and
    /// shifts of ±0.2 SD.
    /// </summary>
    public double ContrastJitter { get; init; }

    /// <summary>
    /// Most noise that is added to a patch, as a fraction of the volume's SD; each patch gets between none
    /// and this.
    /// </summary>
    public double NoiseJitter { get; init; }

    /// <summary>Centres nearer than this to a patch's face are left out of the loss.</summary>
    public double CenterMarginVoxels { get; init; } = 4;

    /// <summary>Steps between validations.</summary>
    public int ValidationInterval { get; init; } = 100;

    /// <summary>
    /// Stop when the validation has not become better for so many validations; 0: never. <see cref="Steps"/>
    /// is then the most.
    /// </summary>
    public int PatienceValidations { get; init; }

    /// <summary>Decides the network's start, the patches and the seeds.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>
    /// The settings of the paper: linear weighting taken literally, squared distance, Adam at 1e-5.
    /// </summary>
    public static TrainingOptions Paper { get; } = new()
    {
        Preset = "paper",
        MeanShift = MeanShiftOptions.Paper,
        CenterWeight = 0,
        LearningRate = 1e-5,
        Schedule = LearningRateSchedule.Constant,
        WarmUpSteps = 0,
        ClipNorm = 0,
        Beta2 = 0.999,
        OutputBias = 0,
        Augmentation = Augmentation.None,
    };

    /// <summary>
    /// The settings of the authors' program: flat weighting, Euclidean distance, Adam at 1e-5.
    /// </summary>
    public static TrainingOptions PublishedCode { get; } =
        Paper with { Preset = "published-code", MeanShift = MeanShiftOptions.PublishedCode };

    /// <summary>
    /// The default: Epanechnikov weighting and the mean-shift loss alone, which needs no masks and gives
    /// compact maps.
    /// </summary>
    public static TrainingOptions Compact { get; } = new();

    /// <summary>
    /// Flat weighting, squared distance and half a Dice loss: a calibrated map, where there are masks.
    /// </summary>
    public static TrainingOptions Combined { get; } = new()
    {
        Preset = "combined",
        MeanShift = MeanShiftOptions.Combined,
        DiceWeight = 0.5,
        Beta2 = 0.999,
    };

    /// <summary>The presets by the names that the command line uses.</summary>
    public static IReadOnlyDictionary<string, TrainingOptions> Presets { get; } = new Dictionary<string, TrainingOptions>
    {
        [Compact.Preset] = Compact,
        [Combined.Preset] = Combined,
        [Paper.Preset] = Paper,
        [PublishedCode.Preset] = PublishedCode,
    };

    /// <summary>How many score maps there are.</summary>
    [JsonIgnore]
    public int ClassCount => Math.Max(1, Classes.Count);

    /// <summary>Whether the soft likelihood at centres is part of the sum.</summary>
    [JsonIgnore]
    public bool HoldsCenters => MeanShiftWeight > 0 && CenterWeight > 0;

    /// <summary>Whether a loss compares maps with masks.</summary>
    [JsonIgnore]
    public bool NeedsMasks => DiceWeight + CrossEntropyWeight > 0;

    /// <summary>The mean shift of a class.</summary>
    public MeanShiftOptions MeanShiftOf(int classIndex) => Classes.Count == 0 ? MeanShift : MeanShift with
    {
        BandwidthVoxels = Classes[classIndex].BandwidthVoxels ?? MeanShift.BandwidthVoxels,
        SeedRadiusVoxels = Classes[classIndex].SeedRadiusVoxels ?? MeanShift.SeedRadiusVoxels,
    };

    /// <summary>The radius in voxels of a class's balls.</summary>
    public double MaskRadiusOf(int classIndex)
        => (Classes.Count == 0 ? null : Classes[classIndex].MaskRadiusVoxels) ?? MaskRadiusVoxels;

    /// <summary>The learning rate of a step, counted from 0.</summary>
    public double RateAt(int step)
    {
        if (step < WarmUpSteps)
            return LearningRate * (step + 1) / WarmUpSteps;
        return Schedule switch
        {
            LearningRateSchedule.Constant => LearningRate,
            LearningRateSchedule.Cosine
                => LearningRate * 0.5 * (1 + Math.Cos(Math.PI * (step - WarmUpSteps) / Math.Max(1, Steps - WarmUpSteps))),
            _ => throw UnknownValue.Of(Schedule),
        };
    }

    /// <summary>Checks the values, alone and against the network.</summary>
    /// <exception cref="InputException">A value is out of range, or does not fit the network.</exception>
    public void ValidateFor(UNet3dOptions network)
    {
        ArgumentNullException.ThrowIfNull(network);
        Validate();
        network.Validate();
        if (Math.Min(Patch.Depth, Math.Min(Patch.Height, Patch.Width)) < 1 || Patch != Patch.RoundUpTo(network.Divisor))
            throw new InputException($"training: a patch of {Patch} voxels does not fit this network; expected edges that are "
                + $"multiples of {network.Divisor}.");
        if (network.Outputs != ClassCount || network.InputChannels != 1)
            throw new InputException($"training: the network has {network.InputChannels} inputs and {network.Outputs} outputs; "
                + $"expected 1 and {ClassCount}, one output for each class of particles.");
    }

    /// <summary>Checks the values.</summary>
    /// <exception cref="InputException">A value is out of range.</exception>
    public void Validate()
    {
        if (Preset is null || MeanShift is null || Classes is null || Classes.Any(c => string.IsNullOrWhiteSpace(c?.Name)))
        {
            throw new InputException(
                "training: a setting is null, or a class has no name; expected a preset, a mean shift and the classes' names.");
        }

        if (!Enum.IsDefined(Schedule) || !Enum.IsDefined(Augmentation))
        {
            throw new InputException(
                $"training: there is no schedule {Schedule} or no augmentation {Augmentation}; expected "
                + $"{string.Join(", ", Enum.GetNames<LearningRateSchedule>())}, and "
                + $"{string.Join(", ", Enum.GetNames<Augmentation>())}.");
        }

        (string Name, double Value)[] lengths =
        [
            ("label radius", LabelRadiusVoxels), ("mask radius", MaskRadiusVoxels), ("centre margin", CenterMarginVoxels),
            .. Classes.Select(c => ($"mask radius of class '{c.Name}'", c.MaskRadiusVoxels ?? 0)),
        ];
        (string Name, double Value)[] others =
        [
            ("weight of mean shift", MeanShiftWeight), ("weight of the centres", CenterWeight), ("weight of Dice", DiceWeight),
            ("weight of cross-entropy", CrossEntropyWeight), ("learning rate", LearningRate), ("clip", ClipNorm),
            ("weight decay", WeightDecay), ("output bias", OutputBias),
        ];
        foreach ((string name, double value) in lengths.Where(l => !(l.Value >= 0 && double.IsFinite(l.Value))))
            throw new InputException($"training: the {name} is {value}; expected a finite number, 0 or more.");
        foreach ((string name, double value) in others.Where(o => !double.IsFinite(o.Value)))
            throw new InputException($"training: the {name} is {value}; expected a finite number.");

        if (MeanShiftWeight < 0 || CenterWeight < 0 || DiceWeight < 0 || CrossEntropyWeight < 0 || MeanShiftWeight + DiceWeight
            + CrossEntropyWeight <= 0)
            throw new InputException($"training: loss weights {MeanShiftWeight} (mean shift), {CenterWeight} "
                + $"(centres), {DiceWeight} (Dice) and {CrossEntropyWeight} (cross-entropy); expected none below 0, "
                + "and at least one of mean shift, Dice and cross-entropy above 0.");
        if (Steps < 1 || BatchSize < 1 || ValidationInterval < 1 || PatienceValidations < 0)
            throw new InputException($"training: {Steps} steps, batches of {BatchSize}, validation every "
                + $"{ValidationInterval}, a patience of {PatienceValidations}; expected at least 1 (patience: 0).");
        if ((double)BatchSize * Patch.Depth * Patch.Height * Patch.Width > Array.MaxLength)
            throw new InputException($"training: batches of {BatchSize} patches of {Patch} voxels; expected at most "
                + $"{Array.MaxLength} voxels in all.");
        if (!(LearningRate > 0) || WeightDecay < 0 || ClipNorm < 0 || WarmUpSteps < 0)
            throw new InputException($"training: learning rate {LearningRate}, weight decay {WeightDecay}, clip {ClipNorm}, "
                + $"warm-up {WarmUpSteps}; expected a positive rate and nothing below 0.");
        if (Beta2 is not (>= 0 and < 1))
            throw new InputException($"training: a beta2 of {Beta2}; expected 0 or more and less than 1.");
        if (LabelRadiusVoxels < 0 || CentersPerVolume < 0 || ContrastJitter is not (>= 0 and < 1) || NoiseJitter is not (
            >= 0 and <= 100))
            throw new InputException($"training: label radius {LabelRadiusVoxels}, {CentersPerVolume} centres of a volume, "
                + $"contrast {ContrastJitter}, noise {NoiseJitter}; expected nothing below 0, a contrast below 1 and noise up "
                + "to 100.");
        if (Classes.GroupBy(c => c.Name, StringComparer.OrdinalIgnoreCase).FirstOrDefault(g => g.Count() > 1) is { } twice)
            throw new InputException($"training: class '{twice.Key}' is named twice.");
        // Ranges are checked where the settings of a class are made.
        for (int c = 0; c < ClassCount; c++)
            MeanShiftOf(c);
        if (MeanShiftWeight > 0 && 2 * CenterMarginVoxels > Math.Min(Patch.Depth, Math.Min(Patch.Height, Patch.Width)) - 1)
            throw new InputException($"training: no centre can lie {CenterMarginVoxels} voxels inside a patch of {Patch}, so "
                + "the mean-shift loss would never see one. Are the voxel size and the particle's diameter right? Else use "
                + "larger patches or a smaller centre margin.");
        if (Augmentation == Augmentation.FlipsAndSwaps && (Patch.Depth != Patch.Height || Patch.Height != Patch.Width))
            throw new InputException($"training: axes can be exchanged in cubes only, the patch is {Patch}. Use a cube or "
                + "augmentation 'flips'.");
    }
}
