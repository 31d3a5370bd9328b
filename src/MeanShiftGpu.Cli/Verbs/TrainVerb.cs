using System.CommandLine;
using System.Diagnostics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Trains a network.</summary>
internal sealed class TrainVerb(Session session) : Verb(session)
{
    private const string ModelName = "model.safetensors";
    private const string CheckpointName = "checkpoint.safetensors";
    private const string HistoryName = "history.json";

    private readonly Option<string?> data = Parse.Text("--data", "FILE", "The data set's manifest (JSON): volumes, coordinates, split; masks are optional.", required: true);
    private readonly Option<string?> output = Parse.Text("--out", "DIR", $"Folder for {ModelName} (the best by validation), {CheckpointName} and {HistoryName}.", required: true);
    private readonly Option<TrainingOptions?> preset = PresetOption();
    private readonly Option<bool> resume = new("--resume") { Description = $"Go on from the checkpoint in --out, with its settings; the result is that of a run without interruption." };
    private readonly Option<bool> overwrite = new("--overwrite") { Description = "Replace the run that is in --out." };
    private readonly Option<int[]?> widths = Parse.IntegerList("--widths", "N,N,…", "Channels at each resolution of the network, finest first. Default: 32,48,64, the published network.", 1, 1024);
    private readonly Option<int?> steps = Parse.Integer("--steps", $"Optimiser steps. {Default(o => o.Steps)}", 1);
    private readonly Option<int?> batch = Parse.Integer("--batch", $"Patches of a step. {Default(o => o.BatchSize)}", 1, 4096);
    private readonly Option<Extent?> patch = Parse.Size("--patch", $"Size of a patch in voxels, edges multiples of 2 for each pooling. {Default(o => o.Patch)}");
    private readonly Option<double?> rate = Parse.Real("--lr", $"Highest learning rate. {Default(o => o.LearningRate)}", 0);
    private readonly Option<LearningRateSchedule?> schedule = Parse.Choice<LearningRateSchedule>("--schedule", $"Course of the learning rate. {Default(o => Parse.Word(o.Schedule))}");
    private readonly Option<int?> warmUp = Parse.Integer("--warm-up", $"Steps over which the rate rises. {Default(o => o.WarmUpSteps)}", 0);
    private readonly Option<double?> clip = Parse.Real("--clip", $"Longest gradient, 0 for any. {Default(o => o.ClipNorm)}", 0);
    private readonly Option<double?> decay = Parse.Real("--weight-decay", $"Decoupled weight decay (AdamW). {Default(o => o.WeightDecay)}", 0);
    private readonly Option<double?> beta2 = Parse.Real("--beta2", $"Adam's decay of second moments, below 1. {Default(o => o.Beta2)}", 0, 0.999999);
    private readonly Option<double?> outputBias = Parse.Real("--output-bias", $"Added to the head's bias at the start. {Default(o => o.OutputBias)}");
    private readonly Option<double?> meanShiftWeight = Parse.Real("--mean-shift", $"Weight of the mean-shift loss. {Default(o => o.MeanShiftWeight)}", 0);
    private readonly Option<double?> diceWeight = Parse.Real("--dice", $"Weight of the Dice loss. {Default(o => o.DiceWeight)}", 0);
    private readonly Option<double?> crossEntropyWeight = Parse.Real("--cross-entropy", $"Weight of the binary cross-entropy. {Default(o => o.CrossEntropyWeight)}", 0);
    private readonly Option<string[]> classes = Parse.Texts(
        "--classes", "NAME", "Classes of particles, by their names or numbers in the tables, that get a score map each; others are left out. Default: all particles are one class.");
    private readonly Option<int?> centers = Parse.Integer("--centers", "Use only so many centres of each training volume, chosen at random. Default: all.", 1);
    private readonly Option<double?> labelRadius = Parse.Real(
        "--label-radius", "For incomplete annotations: voxels farther than this from every annotated centre do not count in Dice and cross-entropy; 0 where all particles are annotated. Default: 0.", 0);
    private readonly Option<double[]?> maskRadius = Parse.RealList("--mask-radius", $"Radius in voxels of the balls that stand for a missing mask; one, or one for each class. {Default(o => o.MaskRadiusVoxels)}");
    private readonly Option<Weighting?> weighting = Parse.Choice<Weighting>("--weighting", $"How a voxel counts by its distance. {Default(o => Parse.Word(o.MeanShift.Weighting))}");
    private readonly Option<CenterDistance?> distance = Parse.Choice<CenterDistance>("--distance", $"How the loss measures distances. {Default(o => Parse.Word(o.MeanShift.Distance))}");
    private readonly Option<double[]?> bandwidth = Parse.RealList("--bandwidth", $"Radius of the mean shift's ball in voxels; one, or one for each class. {Default(o => o.MeanShift.BandwidthVoxels)}");
    private readonly Option<int?> iterations = Parse.Integer("--iterations", $"Mean-shift iterations. {Default(o => o.MeanShift.Iterations)}", 1);
    private readonly Option<double?> scoreFloor = Parse.Real("--score-floor", $"Added to every score. {Default(o => o.MeanShift.ScoreFloor)}", 0);
    private readonly Option<int?> seeds = Parse.Integer("--seeds", $"Seeds of a patch. {Default(o => o.MeanShift.SeedCount)}", 1);
    private readonly Option<double[]?> seedRadius = Parse.RealList("--seed-radius", $"Seeds start within this many voxels of a centre; one, or one for each class. {Default(o => o.MeanShift.SeedRadiusVoxels)}");
    private readonly Option<double?> seedMargin = Parse.Real("--seed-margin", $"Seeds start this many voxels inside the patch. {Default(o => o.MeanShift.SeedMarginVoxels)}", 0);
    private readonly Option<double?> centerMargin = Parse.Real("--center-margin", $"Centres nearer to a face of the patch are left out of the loss. {Default(o => o.CenterMarginVoxels)}", 0);
    private readonly Option<Augmentation?> augmentation = Parse.Choice<Augmentation>("--augmentation", $"Random rotations and mirror images of patches; half-turns and flips keep a missing wedge where it is, half-turns also the particles' handedness. {Default(o => Parse.Word(o.Augmentation))}");
    private readonly Option<double?> contrast = Parse.Real("--contrast", $"Random contrast and brightness of patches: 0.2 means factors of 0.8 to 1.2. {Default(o => o.ContrastJitter)}", 0, 0.99);
    private readonly Option<double?> noise = Parse.Real("--noise", $"Random noise of patches, up to this fraction of the volume's standard deviation. {Default(o => o.NoiseJitter)}", 0, 100);
    private readonly Option<int?> validateEvery = Parse.Integer("--validate-every", $"Steps between validations. {Default(o => o.ValidationInterval)}", 1);
    private readonly Option<int> checkpointEvery = Parse.Integer("--checkpoint-every", "Steps between checkpoints.", 100, 1, int.MaxValue);
    private readonly Option<int> volumeMemory = Parse.Integer(
        "--volume-memory", "Memory for volumes and masks in MiB. What does not fit stays in its files, from which patches are read; the result is the same.", 2048, 0, int.MaxValue);
    private readonly Option<int?> seed = Parse.Integer("--seed", $"The same seed gives the same bits, whatever the number of threads. {Default(o => o.Seed)}");

    public override string Name => "train";

    protected override string Description => "Trains a network from tomograms with annotated centres. Ctrl-C writes a checkpoint; --resume goes on from it.";

    public override string Example => "meanshift-gpu train --data data/manifest.json --out run --preset combined --steps 500 --patch 36 --widths 16,16,16";

    protected override IEnumerable<Symbol> Symbols =>
    [
        data, output, preset, resume, overwrite, widths, steps, batch, patch, rate, schedule, warmUp, clip, decay, beta2, outputBias, meanShiftWeight, diceWeight,
        crossEntropyWeight, classes, centers, labelRadius, maskRadius, weighting, distance, bandwidth, iterations, scoreFloor, seeds, seedRadius, seedMargin, centerMargin, augmentation,
        contrast, noise, validateEvery, checkpointEvery, volumeMemory, seed,
    ];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => fact == MissingFact.VoxelSize ? VoxelSizeInManifest : null;

    protected override ExitCode Run(ParseResult options)
    {
        string folder = options.GetValue(output)!;
        string checkpoint = Path.Combine(folder, CheckpointName);
        bool resuming = options.GetValue(resume);
        (UNet3dOptions structure, TrainingOptions settings) = Settings(options, checkpoint, resuming);
        settings.ValidateFor(structure);
        DatasetManifest manifest = DatasetManifest.Read(options.GetValue(data)!);
        OutputFolder.Prepare(folder);
        if (!resuming && !options.GetValue(overwrite))
            RefuseEarlierRun(folder, checkpoint);

        using GpuContext context = OpenDevice(options);
        using TrainingData volumes = Load(manifest, settings, (long)options.GetValue(volumeMemory) << 20);
        using UNet3d<float> network = new(context, structure, settings.Seed, settings.OutputBias);
        using Trainer trainer = new(network, volumes, settings);
        Describe(volumes, settings);
        if (resuming)
        {
            trainer.Resume(checkpoint);
            Session.Line($"resumed after step {trainer.StepsDone} of {settings.Steps}");
        }

        Stopwatch clock = Stopwatch.StartNew();
        int begun = trainer.StepsDone;
        RunFiles files = new(folder, trainer, network, settings, volumes);
        try
        {
            Train(trainer, files, options.GetValue(checkpointEvery));
        }
        catch (OperationCanceledException)
        {
            files.WriteCheckpoint();
            Session.Line($"stopped after step {trainer.StepsDone} of {settings.Steps}; go on with --resume");
            throw;
        }

        files.WriteCheckpoint();
        trainer.RestoreBest();
        files.WriteModel();
        Report(options, context, files, trainer, begun, clock.Elapsed.TotalSeconds);
        return ExitCode.Done;
    }

    private TrainingData Load(DatasetManifest manifest, TrainingOptions settings, long memoryBytes)
    {
        TrainingData? data = null;
        Session.Progress("reading", report => data = DatasetLoader.Load(
            manifest, AnnotationChoice.Of(settings), memoryBytes, (done, total) => report((double)done / total, $"{done} of {Counted.Of(total, "volume")}"), Cancellation));
        return data!;
    }

    private void Train(Trainer trainer, RunFiles files, int checkpointInterval)
        => Session.Progress("training", report => trainer.Run(
            progress =>
            {
                TrainingStep step = progress.Latest;
                if (progress.Validation is { } validation)
                {
                    if (validation.IsBest)
                        files.WriteModel();
                    Session.Line($"step {step.Step}: validation loss {validation.Loss:0.0000}{(validation.IsBest ? " (best)" : "")}, stuck seeds {validation.StuckSeeds:0.0 %}, map maximum {validation.MapMaximum:0.000}");
                }

                if (step.Step % checkpointInterval == 0)
                    files.WriteCheckpoint();
                report((double)step.Step / progress.Steps, $"step {step.Step} of {progress.Steps}, loss {step.Loss:0.0000}, {progress.StepsPerSecond:0.0} steps/s, {Duration(progress.Remaining)} left");
            },
            Cancellation));

    private (UNet3dOptions Structure, TrainingOptions Settings) Settings(ParseResult options, string checkpoint, bool resuming)
    {
        UNet3dOptions structure = new();
        TrainingOptions? settings = options.GetValue(preset);
        if (resuming)
        {
            if (!File.Exists(checkpoint))
                throw new InputException($"{checkpoint}: there is no checkpoint to go on from. Start the run without --resume.");
            // The first command line may be repeated with --resume, or left out; settings that differ are refused by the trainer.
            (structure, TrainingOptions before) = Trainer.ReadSettings(checkpoint);
            settings ??= before;
        }

        if (options.GetValue(widths) is { Length: > 0 } given)
        {
            if (resuming && !given.SequenceEqual(structure.Widths))
                throw new InputException($"{checkpoint}: the checkpoint's network has widths {string.Join(',', structure.Widths)}, --widths says {string.Join(',', given)}. Leave --widths out.");
            structure = structure with { Widths = given };
        }

        TrainingOptions training = WithClasses(options, Override(options, settings ?? TrainingOptions.Compact));
        return (structure with { Outputs = training.ClassCount }, training);
    }

    // A list has one number for all classes, or one for each.
    private TrainingOptions WithClasses(ParseResult options, TrainingOptions basis)
    {
        if (options.GetValue(classes) is { Length: > 0 } names)
            basis = basis with { Classes = [.. names.Select(n => new ClassOptions(n))] };
        double? Of(Option<double[]?> option, int classIndex)
            => options.GetValue(option) is not { Length: > 0 } values ? null
                : values.Length == 1 ? values[0]
                : values.Length == basis.Classes.Count ? values[classIndex]
                : throw new InputException($"{option.Name}: {Counted.Of(values.Length, "number")} for {Counted.Of(basis.ClassCount, "class", "classes")}; expected one for all, or one for each of --classes.");
        return basis with
        {
            MaskRadiusVoxels = Of(maskRadius, 0) ?? basis.MaskRadiusVoxels,
            MeanShift = basis.MeanShift with
            {
                BandwidthVoxels = Of(bandwidth, 0) ?? basis.MeanShift.BandwidthVoxels,
                SeedRadiusVoxels = Of(seedRadius, 0) ?? basis.MeanShift.SeedRadiusVoxels,
            },
            Classes =
            [
                .. basis.Classes.Select((c, i) => c with
                {
                    BandwidthVoxels = Of(bandwidth, i) ?? c.BandwidthVoxels,
                    SeedRadiusVoxels = Of(seedRadius, i) ?? c.SeedRadiusVoxels,
                    MaskRadiusVoxels = Of(maskRadius, i) ?? c.MaskRadiusVoxels,
                }),
            ],
        };
    }

    private TrainingOptions Override(ParseResult options, TrainingOptions basis) => basis with
    {
        Steps = options.GetValue(steps) ?? basis.Steps,
        BatchSize = options.GetValue(batch) ?? basis.BatchSize,
        Patch = options.GetValue(patch) ?? basis.Patch,
        LearningRate = options.GetValue(rate) ?? basis.LearningRate,
        Schedule = options.GetValue(schedule) ?? basis.Schedule,
        WarmUpSteps = options.GetValue(warmUp) ?? basis.WarmUpSteps,
        ClipNorm = options.GetValue(clip) ?? basis.ClipNorm,
        WeightDecay = options.GetValue(decay) ?? basis.WeightDecay,
        Beta2 = options.GetValue(beta2) ?? basis.Beta2,
        OutputBias = options.GetValue(outputBias) ?? basis.OutputBias,
        MeanShiftWeight = options.GetValue(meanShiftWeight) ?? basis.MeanShiftWeight,
        DiceWeight = options.GetValue(diceWeight) ?? basis.DiceWeight,
        CrossEntropyWeight = options.GetValue(crossEntropyWeight) ?? basis.CrossEntropyWeight,
        CentersPerVolume = options.GetValue(centers) ?? basis.CentersPerVolume,
        LabelRadiusVoxels = options.GetValue(labelRadius) ?? basis.LabelRadiusVoxels,
        ContrastJitter = options.GetValue(contrast) ?? basis.ContrastJitter,
        NoiseJitter = options.GetValue(noise) ?? basis.NoiseJitter,
        CenterMarginVoxels = options.GetValue(centerMargin) ?? basis.CenterMarginVoxels,
        Augmentation = options.GetValue(augmentation) ?? basis.Augmentation,
        ValidationInterval = options.GetValue(validateEvery) ?? basis.ValidationInterval,
        Seed = options.GetValue(seed) ?? basis.Seed,
        MeanShift = basis.MeanShift with
        {
            Weighting = options.GetValue(weighting) ?? basis.MeanShift.Weighting,
            Distance = options.GetValue(distance) ?? basis.MeanShift.Distance,
            Iterations = options.GetValue(iterations) ?? basis.MeanShift.Iterations,
            ScoreFloor = options.GetValue(scoreFloor) ?? basis.MeanShift.ScoreFloor,
            SeedCount = options.GetValue(seeds) ?? basis.MeanShift.SeedCount,
            SeedMarginVoxels = options.GetValue(seedMargin) ?? basis.MeanShift.SeedMarginVoxels,
        },
    };

    private static void RefuseEarlierRun(string folder, string checkpoint)
    {
        if (File.Exists(checkpoint))
        {
            (int done, int all) = Trainer.ReadProgress(checkpoint);
            throw new InputException(done < all
                ? $"{checkpoint}: a run stopped here after step {done} of {all}. Go on with --resume, replace it with --overwrite, or choose another folder."
                : $"{checkpoint}: a run of {Counted.Of(all, "step")} has ended here. Choose another folder, or replace it with --overwrite.");
        }

        RefuseReplacing(folder, overwrite: false, ModelName, HistoryName);
    }

    private void Describe(TrainingData volumes, TrainingOptions settings)
    {
        int count = volumes.Training.Sum(v => v.Centers.Count);
        string kinds = settings.Classes.Count == 0 ? "" : $" of {Counted.Of(settings.Classes.Count, "class", "classes")} ({string.Join(", ", settings.Classes.Select((k, c) => $"{k.Name}: {volumes.Training.Sum(v => Enumerable.Range(0, v.Centers.Count).Count(i => v.ClassOf(i) == c))}"))})";
        Session.Line($"data: {Counted.Of(volumes.Training.Count, "training volume")} with {Counted.Of(count, "centre")}{kinds}, {volumes.Validation.Count} for validation; patches of {settings.Patch}, batches of {settings.BatchSize}, {Counted.Of(settings.Steps, "step")}");
        TrainingVolume[] inFiles = [.. volumes.Volumes.Where(v => v.Image is not Volume || v.Mask is not (null or Volume))];
        if (inFiles.Length > 0)
            Session.Line($"{inFiles.Length} of {Counted.Of(volumes.Volumes.Count(), "volume")} beyond --volume-memory: patches are read from the files");
        if (settings.CentersPerVolume > 0 && settings.NeedsMasks && settings.LabelRadiusVoxels == 0)
            Session.Warn("only some centres are used, and Dice takes all else for background; --label-radius makes it ignore what is not annotated.");
        if (volumes.Validation.Count == 0)
            Session.Warn("the data set has no validation volume, so the last model is kept, not the best.");
        foreach (TrainingVolume volume in volumes.Volumes.Where(v => v.Centers.Count == 0))
            Session.Warn($"{volume.Name}: no centres.");
        foreach (TrainingVolume volume in volumes.Volumes.Where(v => !v.VoxelSize.IsCube))
            Session.Warn($"{volume.Name}: {NoCubes(volume.VoxelSize)}");
        double[] sizes = [.. volumes.Volumes.Select(v => v.VoxelSize.CubeAngstrom).Where(s => s > 0)];
        if (sizes.Length > 0 && sizes.Max() > 1.05 * sizes.Min())
            Session.Warn($"voxel sizes from {sizes.Min():0.##} to {sizes.Max():0.##} Å in one data set; particles then differ in size. Rescale the volumes.");
    }

    private void Report(ParseResult options, GpuContext context, RunFiles files, Trainer trainer, int begun, double seconds)
    {
        TrainingHistory history = trainer.History;
        ValidationResult? best = history.Validations.LastOrDefault(v => v.IsBest);
        double? stepsPerSecond = trainer.StepsDone > begun ? (trainer.StepsDone - begun) / Math.Max(seconds, 1e-9) : null;
        Session.Line($"{Counted.Of(trainer.StepsDone, "step")}, {(stepsPerSecond is { } rate ? $"{rate:0.00} per second" : "none of them now")}{(best is null ? "" : $"; best validation loss {best.Loss:0.0000} at step {best.Step}")}");
        Session.Line($"model: {files.Model}");
        WriteJson(options, new
        {
            files.Model,
            files.Checkpoint,
            files.History,
            Device = context.Description,
            Steps = trainer.StepsDone,
            Loss = history.Steps.Count == 0 ? (double?)null : history.Steps[^1].Loss,
            BestStep = best?.Step,
            BestValidationLoss = best?.Loss,
            StuckSeeds = best?.StuckSeeds,
            MapMaximum = best?.MapMaximum,
            Seconds = seconds,
            StepsPerSecond = stepsPerSecond,
            Options = files.Settings,
        });
    }

    private static Option<TrainingOptions?> PresetOption()
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
            result.AddError($"--preset: '{name}' is not known.{ParseProblem.Nearest(name, TrainingOptions.Presets.Keys)} Expected {string.Join(", ", TrainingOptions.Presets.Keys)}");
            return null;
        };
        return option;
    }

    // "Default: 0.001 (paper: 1E-05, published-code: 1E-05)."
    private static string Default<T>(Func<TrainingOptions, T> value)
    {
        T own = value(TrainingOptions.Compact);
        string[] others = [.. TrainingOptions.Presets.Where(p => !Equals(value(p.Value), own)).Select(p => $"{p.Key}: {value(p.Value)}")];
        return $"Default: {own}{(others.Length == 0 ? "" : $" ({string.Join(", ", others)})")}.";
    }

    private static string Duration(TimeSpan time) => time.TotalHours >= 1 ? $"{(int)time.TotalHours}:{time.Minutes:00}:{time.Seconds:00}" : $"{time.Minutes}:{time.Seconds:00}";

    /// <summary>The files of a run. None of them holds a time, so that equal runs give equal files.</summary>
    private sealed class RunFiles(
        string folder, Trainer trainer, UNet3d<float> network, TrainingOptions settings, TrainingData data)
    {
        public string Model { get; } = Path.Combine(folder, ModelName);

        public string Checkpoint { get; } = Path.Combine(folder, CheckpointName);

        public string History { get; } = Path.Combine(folder, HistoryName);

        public TrainingOptions Settings { get; } = settings;

        public void WriteModel()
        {
            TrainingHistory history = trainer.History;
            ValidationResult? best = history.Validations.LastOrDefault(v => v.IsBest);
            double[] voxels = [.. data.Training.Select(v => v.VoxelSize.CubeAngstrom).Where(s => s > 0)];
            ModelFile.Save(Model, network, new ModelDescription
            {
                Training = Settings,
                VoxelSizeAngstrom = voxels.Length == 0 ? 0 : voxels.Average(),
                Steps = best?.Step ?? trainer.StepsDone,
                ValidationLoss = best?.Loss,
            });
        }

        public void WriteCheckpoint()
        {
            trainer.SaveCheckpoint(Checkpoint);
            JsonOutput.Write(History, new { Options = Settings, trainer.History.Steps, trainer.History.Validations });
        }
    }
}
