using System.CommandLine;
using System.Globalization;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli;

/// <summary>A setting of the training: an option, and what it changes.</summary>
/// <param name="Group">Where it stands in the help.</param>
/// <param name="Option">The option: its name, its help with the presets' defaults, and its range.</param>
/// <param name="Apply">The settings with what the command line says; themselves where it says
/// nothing.</param>
internal sealed record TrainingSetting(string Group, Option Option, Func<ParseResult, TrainingOptions, TrainingOptions> Apply);

/// <summary>
/// The settings of the training, one declaration each: group, option, help, range, getter (for the default in
/// the help) and setter. The command line, the help and the settings of a run all walk this table; a
/// checkpoint compares what they give.
/// </summary>
internal static class TrainingSettings
{
    private const string Data = OptionGroup.Data;
    private const string Particle = OptionGroup.Particle;
    private const string Loss = OptionGroup.Loss;
    private const string Optimiser = OptionGroup.Optimiser;
    private const string Advanced = OptionGroup.Advanced;

    // Validation scores scatter by some hundredths from one to the next; five without a new best are past the
    // rise.
    private const string Auto = "auto";
    private const int AutoPatience = 5;
    private const int MostAutoSteps = 20_000;

    /// <summary>The table; each command has its own.</summary>
    public static IReadOnlyList<TrainingSetting> Create() =>
    [
        Steps(),
        Integer(Optimiser, "--batch", "Number of patches in a step.", 1, 4096, o => o.BatchSize, (o, v) => o with
        {
            BatchSize = v,
        }),
        Of(Data, Parse.Size("--patch", "Size of a patch in voxels, each edge divisible by 2 once for each pooling. "
            + $"{Default(o => o.Patch)}"), (o, v) => o with
        {
            Patch = v,
        }),
        Real(Optimiser, "--lr", "Highest learning rate.", 0, double.PositiveInfinity, o => o.LearningRate, (o, v) => o with
        {
            LearningRate = v,
        }),
        Choice(Optimiser, "--schedule", "Course of the learning rate.", o => o.Schedule, (o, v) => o with { Schedule = v }),
        Integer(Optimiser, "--warm-up", "Steps over which the rate rises.", 0, int.MaxValue, o => o.WarmUpSteps, (o, v) => o with
        {
            WarmUpSteps = v,
        }),
        Real(Optimiser, "--clip", "A longer gradient is shortened to this length; 0: never.", 0, double.PositiveInfinity,
            o => o.ClipNorm, (o, v) => o with
            {
                ClipNorm = v,
            }),
        Real(Optimiser, "--weight-decay", "Decoupled weight decay (AdamW).", 0, double.PositiveInfinity, o => o.WeightDecay,
            (o, v) => o with
        {
            WeightDecay = v,
        }),
        Real(Optimiser, "--beta2", "Adam's decay of second moments, below 1.", 0, 0.999999, o => o.Beta2, (o, v) => o with
        {
            Beta2 = v,
        }),
        Real(Optimiser, "--output-bias", "Added to the head's bias at the start.", double.NegativeInfinity,
            double.PositiveInfinity, o => o.OutputBias, (o, v) => o with
        {
            OutputBias = v,
        }),
        Real(Loss, "--mean-shift", "Weight of the mean-shift loss.", 0, double.PositiveInfinity, o => o.MeanShiftWeight,
            (o, v) => o with
        {
            MeanShiftWeight = v,
        }),
        Real(
            Loss, "--center-weight",
                "Weight of a term that lifts scores at annotated centres when they fall far below 0.05, so that the "
                    + "score map does not fade; part of the mean-shift loss.",
            0, double.PositiveInfinity, o => o.CenterWeight, (o, v) => o with { CenterWeight = v }),
        Real(Loss, "--dice", "Weight of the Dice loss.", 0, double.PositiveInfinity, o => o.DiceWeight, (o, v) => o with
        {
            DiceWeight = v,
        }),
        Real(Loss, "--cross-entropy", "Weight of the binary cross-entropy.", 0, double.PositiveInfinity,
            o => o.CrossEntropyWeight, (o, v) => o with
        {
            CrossEntropyWeight = v,
        }),
        Classes(),
        Of(Data, Parse.Integer(
            "--centers", "Use only so many centres of each training volume, chosen at random. Default: all.", 1), (o, v) => o with
        {
            CentersPerVolume = v,
        }),
        Real(
            Particle, "--label-radius", "For incomplete annotations: voxels farther than this from every annotated centre do "
                + "not count in Dice and cross-entropy; 0 where all particles are annotated.",
            0, double.PositiveInfinity, o => o.LabelRadiusVoxels, (o, v) => o with { LabelRadiusVoxels = v }),
        EachClass(
            "--mask-radius", "Radius in voxels of the balls that stand for a missing mask; one, or one for each class.",
            o => o.MaskRadiusVoxels, (o, v) => o with { MaskRadiusVoxels = v }, (c, v) => c with { MaskRadiusVoxels = v }),
        Choice(Loss, "--weighting", "How a voxel counts by its distance.", o => o.MeanShift.Weighting, (o, v) => o with
        {
            MeanShift = o.MeanShift with { Weighting = v },
        }),
        Choice(Loss, "--distance", "How the loss measures distances.", o => o.MeanShift.Distance, (o, v) => o with
        {
            MeanShift = o.MeanShift with { Distance = v },
        }),
        EachClass(
            "--bandwidth", "Radius of the mean shift's ball in voxels; one, or one for each class.",
            o => o.MeanShift.BandwidthVoxels,
            (o, v) => o with { MeanShift = o.MeanShift with { BandwidthVoxels = v } },
            (c, v) => c with { BandwidthVoxels = v }),
        Integer(Loss, "--iterations", "Mean-shift iterations.", 1, int.MaxValue, o => o.MeanShift.Iterations, (o, v) => o with
        {
            MeanShift = o.MeanShift with { Iterations = v },
        }),
        Real(Loss, "--score-floor", "Added to every score.", 0, double.PositiveInfinity, o => o.MeanShift.ScoreFloor,
            (o, v) => o with
        {
            MeanShift = o.MeanShift with { ScoreFloor = v },
        }),
        Integer(Loss, "--seeds", "Number of seeds in a patch.", 1, int.MaxValue, o => o.MeanShift.SeedCount, (o, v) => o with
        {
            MeanShift = o.MeanShift with { SeedCount = v },
        }),
        EachClass(
            "--seed-radius", "Seeds start within this many voxels of a centre; one, or one for each class.",
            o => o.MeanShift.SeedRadiusVoxels,
            (o, v) => o with { MeanShift = o.MeanShift with { SeedRadiusVoxels = v } },
            (c, v) => c with { SeedRadiusVoxels = v }),
        Real(Loss, "--seed-margin", "Seeds start this many voxels inside the patch.", 0, double.PositiveInfinity,
            o => o.MeanShift.SeedMarginVoxels, (o, v) => o with
        {
            MeanShift = o.MeanShift with { SeedMarginVoxels = v },
        }),
        Real(Loss, "--center-margin", "Centres nearer to a face of the patch are left out of the loss.", 0,
            double.PositiveInfinity, o => o.CenterMarginVoxels, (o, v) => o with
        {
            CenterMarginVoxels = v,
        }),
        Choice(
            Data, "--augmentation", "Random rotations and mirror images of patches; half-turns and flips keep a missing wedge "
                + "where it is, half-turns also the particles' handedness.",
            o => o.Augmentation, (o, v) => o with { Augmentation = v }),
        Real(Data, "--contrast", "Random contrast and brightness of patches: 0.2 means factors of 0.8 to 1.2.", 0, 0.99,
            o => o.ContrastJitter, (o, v) => o with
        {
            ContrastJitter = v,
        }),
        Real(Data, "--noise", "Random noise of patches, up to this fraction of the volume's standard deviation.", 0, 100,
            o => o.NoiseJitter, (o, v) => o with
        {
            NoiseJitter = v,
        }),
        Integer(
            Advanced, "--validate-every", "Steps between validations.", 1, int.MaxValue, o => o.ValidationInterval,
            (o, v) => o with
        {
            ValidationInterval = v,
        }),
        Integer(
            Advanced, "--seed", "The same seed gives the same bits, whatever the number of threads.", int.MinValue, int.MaxValue,
            o => o.Seed, (o, v) => o with
        {
            Seed = v,
        }),
    ];

    /// <summary>The settings to begin from.</summary>
    public static Option<TrainingOptions?> PresetOption()
    {
        Option<TrainingOptions?> option = new("--preset")
        {
            HelpName = string.Join('|', TrainingOptions.Presets.Keys),
            Description = "Settings to begin from; other options change them one by one. Default: compact.",
            Arity = ArgumentArity.ExactlyOne,
        };
        option.CustomParser = result =>
        {
            string name = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            if (TrainingOptions.Presets.TryGetValue(name, out TrainingOptions? found))
                return found;
            result.AddError($"--preset: '{name}' is not known.{ParseProblem.Nearest(name, TrainingOptions.Presets.Keys)} "
                + $"Expected {string.Join(", ", TrainingOptions.Presets.Keys)}");
            return null;
        };
        return option;
    }

    private static TrainingSetting Integer(
        string group,
        string name,
        string help,
        int minimum,
        int maximum,
        Func<TrainingOptions, int> get, Func<TrainingOptions, int, TrainingOptions> set)
        => Of(group, Parse.Integer(name, $"{help} {Default(get)}", minimum, maximum), set);

    private static TrainingSetting Real(
        string group,
        string name,
        string help,
        double minimum,
        double maximum,
        Func<TrainingOptions, double> get, Func<TrainingOptions, double, TrainingOptions> set)
        => Of(group, Parse.Real(name, $"{help} {Default(get)}", minimum, maximum), set);

    private static TrainingSetting Choice<T>(
        string group, string name, string help, Func<TrainingOptions, T> get, Func<TrainingOptions, T, TrainingOptions> set)
        where T : struct, Enum
        => Of(group, Parse.Choice<T>(name, $"{help} {Default(o => Parse.Word(get(o)))}"), set);

    private static TrainingSetting Of<T>(string group, Option<T?> option, Func<TrainingOptions, T, TrainingOptions> set)
        where T : struct
        => new(group, option, (parsed, settings) => parsed.GetValue(option) is { } value ? set(settings, value) : settings);

    // A number of steps, or until the validation no longer becomes better.
    private static TrainingSetting Steps()
    {
        Option<int?> option = new("--steps")
        {
            HelpName = "N|auto",
            Description = $"Optimiser steps; auto: until picks on the validation volumes have not become better for "
                + $"{AutoPatience} validations, at most {MostAutoSteps} steps. {Default(o => o.Steps)}",
            Arity = ArgumentArity.ExactlyOne,
        };
        option.CustomParser = result =>
        {
            string text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            if (text == Auto)
                return 0;
            if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int steps) && steps >= 1)
                return steps;
            result.AddError($"--steps: '{text}' is not a whole number from 1 up, nor '{Auto}'");
            return null;
        };
        return Of(Optimiser, option, (o, v) => v == 0
            ? o with { Steps = MostAutoSteps, PatienceValidations = AutoPatience }
            : o with { Steps = v, PatienceValidations = 0 });
    }

    private static TrainingSetting Classes()
    {
        Option<string[]> option = Parse.Texts(
            "--classes", "NAME", "Classes of particles, by their names or numbers in the tables, that get a score map each; "
            + "others are left out. Default: all particles are one class.");
        return new(Particle, option, (parsed, settings) => parsed.GetValue(option) is { Length: > 0 } names
            // Lengths of a class that follow from its size stay with it.
            ? settings with
            {
                Classes =
                [.. names.Select(n => settings.Classes.FirstOrDefault(c => c.Name == n) ?? new ClassOptions(n))]
            }
            : settings);
    }

    // A list has one number for all classes, or one for each; the classes stand before it in the table.
    private static TrainingSetting EachClass(
        string name, string help,
        Func<TrainingOptions, double> get, Func<TrainingOptions, double, TrainingOptions> set, Func<ClassOptions, double,
            ClassOptions> setOfClass)
    {
        Option<double[]?> option = Parse.RealList(name, $"{help} {Default(get)}");
        return new(Particle, option, (parsed, settings) =>
        {
            if (parsed.GetValue(option) is not { Length: > 0 } values)
                return settings;
            if (values.Length != 1 && values.Length != settings.Classes.Count)
                throw new InputException($"{name}: {Counted.Of(values.Length, "number")} for "
                    + $"{Counted.Of(settings.ClassCount, "class", "classes")}; expected one for all, or one for each of "
                    + "--classes.");
            return set(
                settings, values[0]) with
            {
                Classes =
                    [.. settings.Classes.Select((c, i) => setOfClass(c, values.Length == 1 ? values[0] : values[i]))]
            };
        });
    }

    // "Default: 0.001 (paper: 1E-05, published-code: 1E-05)."
    private static string Default<T>(Func<TrainingOptions, T> value)
    {
        T own = value(TrainingOptions.Compact);
        string[] others =
            [.. TrainingOptions.Presets.Where(p => !Equals(value(p.Value), own)).Select(p => $"{p.Key}: {value(p.Value)}")];
        return $"Default: {own}{(others.Length == 0 ? "" : $" ({string.Join(", ", others)})")}.";
    }
}
