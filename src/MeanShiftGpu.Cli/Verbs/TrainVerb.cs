using System.CommandLine;
using System.Diagnostics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Trains a network.</summary>
internal sealed class TrainVerb(Session session) : Verb(session)
{
    private readonly TrainingInputs inputs = new(session);
    private readonly Option<string?> output = Parse.Text(
        "--out", "DIR",
        $"Folder for {TrainingFiles.ModelName} (the best by validation), {TrainingFiles.CheckpointName}, {TrainingFiles.HistoryName} and the {DatasetManifest.UsualName} that was made of VOLUMES "
            + $"and --picks, with which --data trains again. Default: {DefaultFolder}.");
    private readonly Option<double[]?> diameter = Parse.RealList(
        "--particle-diameter", "Diameter of the particle in Å; one for all classes, or one for each. Gives bandwidth, seed radius, mask radius, center margin and patch, which their own options change.");
    private readonly Option<TrainingOptions?> preset = TrainingSettings.PresetOption();
    private readonly Option<bool> resume = new("--resume") { Description = $"Go on from the checkpoint in --out, with its settings; the result is that of a run without interruption." };
    private readonly Option<bool> overwrite = new("--overwrite") { Description = "Replace the run that is in --out." };
    private readonly Option<int[]?> widths = Parse.IntegerList("--widths", "N,N,…", "Channels at each resolution of the network, finest first. Default: 32,48,64, the published network.", 1, 1024);
    private readonly Option<int> checkpointEvery = Parse.Integer("--checkpoint-every", "Steps between checkpoints.", 100, 1, int.MaxValue);
    private readonly Option<int> volumeMemory = Parse.Integer(
        "--volume-memory", "Memory for volumes and masks in MiB. What does not fit stays in its files, from which patches are read; the result is the same.", 2048, 0, int.MaxValue);
    private readonly IReadOnlyList<TrainingSetting> settings = TrainingSettings.Create();

    private const string DefaultFolder = "run";

    public override string Name => "train";

    public override string Summary => "Trains a network from tomograms with annotated centres.";

    protected override string Description => "Trains a network from tomograms with annotated centres. Ctrl-C writes a checkpoint; --resume goes on from it.";

    public override string Example => "meanshift-gpu train tomograms/ --picks picks.star --particle-diameter 250";

    public override IReadOnlyList<OptionGroup> Groups =>
    [
        new(OptionGroup.Data, [.. inputs.Symbols, output, preset, resume, overwrite, .. Of(OptionGroup.Data)]),
        new(OptionGroup.Particle, [diameter, .. Of(OptionGroup.Particle)]),
        new(OptionGroup.Loss, Of(OptionGroup.Loss)),
        new(OptionGroup.Optimiser, Of(OptionGroup.Optimiser)),
        new(OptionGroup.Device, [volumeMemory, .. DeviceSymbols]),
        new(OptionGroup.Advanced, [widths, .. Of(OptionGroup.Advanced), checkpointEvery]),
    ];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => inputs.OptionFor(options, fact);

    protected override ExitCode Run(ParseResult options)
    {
        string folder = options.GetValue(output) ?? DefaultFolder;
        string checkpoint = Path.Combine(folder, TrainingFiles.CheckpointName);
        string ownManifest = Path.Combine(folder, DatasetManifest.UsualName);
        bool resuming = options.GetValue(resume);
        (UNet3dOptions structure, TrainingOptions training) = Settings(options, checkpoint, resuming);
        // What is wrong with the settings is said before a volume is read; those that follow from a diameter need the volumes.
        if (options.GetValue(diameter) is not { Length: > 0 })
            training.ValidateFor(structure);
        TrainingSource source = inputs.Find(options, AnnotationChoice.Of(training), resuming && File.Exists(ownManifest) ? ownManifest : null);
        training = Sized(options, training, structure, source);
        training.ValidateFor(structure);
        (DatasetManifest manifest, string? split) = source.Split(training);
        if (split is not null)
            Session.Line($"split {split}");
        OutputFolder.Prepare(folder);
        string[] read =
        [
            .. ((string?[])[source.ManifestPath]).Concat(manifest.Volumes.SelectMany(v => (string?[])[v.Volume, v.Coordinates, v.Mask, v.TomogramsStar])).OfType<string>().Distinct(),
        ];
        string[] written = [.. TrainingFiles.NamesIn(folder), .. source.Matched is null ? (string[])[] : [ownManifest], .. JsonFile(options)];
        OutputFolder.RefuseReplacing(written, read);
        using FolderLock folderLock = FolderLock.Take(folder);
        if (!resuming && !options.GetValue(overwrite))
        {
            TrainingFiles.RefuseEarlierRun(folder);
            if (source.Matched is not null)
                RefuseReplacing(folder, overwrite: false, DatasetManifest.UsualName);
        }

        using GpuContext context = OpenDevice(options);
        using TrainingData volumes = Load(manifest, training, (long)options.GetValue(volumeMemory) << 20);
        using UNet3d<float> network = new(context, structure, training.Seed, training.OutputBias);
        using ValidationPicking picking = new(network, training, volumes.Validation);
        using Trainer trainer = new(network, volumes, training)
        {
            PickOnValidation = picking.HasVolumes ? picking.Measure : null,
        };
        if (training.PatienceValidations > 0 && !picking.HasVolumes)
            throw new InputException("--steps auto: there is no validation volume with centres, by which the end "
                + "could be seen. Add one to the data set, or give a number of steps.");
        Describe(volumes, training);
        if (volumes.Training.All(v => v.IsConstant))
        {
            TrainingFiles.DeleteModel(folder);
            throw new TrainingFailedException("every voxel of every training volume has the same value, so there is "
                + "nothing to learn. Were the right volumes given?");
        }

        foreach (string name in trainer.WithoutValidationPatch)
            Session.Warn($"{name}: is left out of the validation: no patch of it has a centre far enough inside (--center-margin).");
        if (resuming)
        {
            trainer.Resume(checkpoint);
            Session.Line($"resumed after step {trainer.Position} of {training.Steps}");
        }

        Stopwatch clock = Stopwatch.StartNew();
        int begun = trainer.StepsDone;
        Provenance made = Made(options, read);
        if (source.Matched is not null)
        {
            made.Write(ownManifest);
            manifest.Write(ownManifest);
        }

        TrainingFiles files = new(folder, trainer, network, training, volumes, made);
        try
        {
            Train(trainer, files, options.GetValue(checkpointEvery));
        }
        catch (OperationCanceledException)
        {
            files.WriteCheckpoint();
            Session.Line($"stopped after step {trainer.Position} of {training.Steps}; go on with --resume");
            throw;
        }
        catch (TrainingFailedException)
        {
            files.WriteCheckpoint();
            TrainingFiles.DeleteModel(folder);
            throw;
        }

        files.WriteCheckpoint();
        trainer.RestoreBest();
        try
        {
            trainer.RefuseUseless(() => PickOnTraining(network, training, volumes));
        }
        catch (TrainingFailedException)
        {
            TrainingFiles.DeleteModel(folder);
            throw;
        }

        VolumeLooks? looks = null;
        Session.Progress("looking at the volumes", report => looks = Diagnosis.Measure(network, training, volumes, (done, total) => report((double)done / total, $"{done} of {Counted.Of(total, "volume")}"), Cancellation));
        files.WriteModel(looks);
        Report(options, context, files, trainer, begun, clock.Elapsed.TotalSeconds, read);
        return ExitCode.Done;
    }

    private PickingScore PickOnTraining(UNet3d<float> network, TrainingOptions training, TrainingData volumes)
    {
        using ValidationPicking picking = new(network, training, [.. volumes.Training.Where(v => !v.IsConstant)]);
        return picking.HasVolumes ? picking.Measure(Cancellation) : new PickingScore(0, 0);
    }

    private TrainingData Load(DatasetManifest manifest, TrainingOptions training, long memoryBytes)
    {
        TrainingData? data = null;
        Session.Progress("reading", report => data = DatasetLoader.Load(
            manifest, AnnotationChoice.Of(training), memoryBytes, (done, total) => report((double)done / total, $"{done} of {Counted.Of(total, "volume")}"), Cancellation));
        return data!;
    }

    private void Train(Trainer trainer, TrainingFiles files, int checkpointInterval)
        => Session.Progress("training", report => trainer.Run(
            progress =>
            {
                TrainingStep step = progress.Latest;
                if (progress.Rollback is { } rollback)
                    Session.Warn($"{rollback.Reason}. Going back to step {rollback.Position} with "
                        + $"{rollback.RateFactor:0.###} of the learning rate and other patches.");
                if (progress.Validation is { } validation)
                {
                    if (validation.IsBest)
                        files.WriteModel();
                    string picks = validation.Picking is { } score
                        ? $"picks F1 {score.F1Near:0.00} within half the bandwidth, {score.F1Far:0.00} within it; " : "";
                    Session.Line($"step {progress.Position}: {picks}validation loss "
                        + $"{validation.Loss:0.0000}{(validation.IsBest ? " (best)" : "")}, stuck seeds "
                        + $"{validation.StuckSeeds:0.0 %}, map maximum {validation.MapMaximum:0.000}");
                }

                if (step.Step % checkpointInterval == 0)
                    files.WriteCheckpoint();
                report((double)progress.Position / progress.Steps,
                    $"step {progress.Position} of {progress.Steps}, loss {step.Loss:0.0000}, "
                        + $"{progress.StepsPerSecond:0.0} steps/s, {Duration(progress.Remaining)} left");
            },
            Cancellation));

    private (UNet3dOptions Structure, TrainingOptions Settings) Settings(ParseResult options, string checkpoint, bool resuming)
    {
        UNet3dOptions structure = new();
        TrainingOptions? begun = options.GetValue(preset);
        if (resuming)
        {
            if (!File.Exists(checkpoint))
                throw new InputException($"{checkpoint}: there is no checkpoint to go on from. Start the run without --resume.");
            // The first command line may be repeated with --resume, or left out; settings that differ are refused by the trainer.
            (structure, TrainingOptions before) = Trainer.ReadSettings(checkpoint);
            begun ??= before;
        }

        if (options.GetValue(widths) is { Length: > 0 } given)
        {
            if (resuming && !given.SequenceEqual(structure.Widths))
                throw new InputException($"{checkpoint}: the checkpoint's network has widths {string.Join(',', structure.Widths)}, --widths says {string.Join(',', given)}. Leave --widths out.");
            structure = structure with { Widths = given };
        }

        TrainingOptions training = settings.Aggregate(begun ?? TrainingOptions.Compact, (sofar, setting) => setting.Apply(options, sofar));
        return (structure with { Outputs = training.ClassCount }, training);
    }

    /// <summary>The settings with what follows from the particle's diameter, where it is given; options that say otherwise count.</summary>
    private TrainingOptions Sized(ParseResult options, TrainingOptions training, UNet3dOptions structure, TrainingSource source)
    {
        if (options.GetValue(diameter) is not { Length: > 0 } angstrom)
            return training;
        double voxel = source.VoxelSizeAngstrom();
        ParticleSize[] sizes = [.. angstrom.Select(d => ParticleSize.FromAngstrom(d, voxel))];
        training = ParticleSize.Apply(training, sizes, source.Largest, structure.Divisor);
        training = settings.Aggregate(training, (sofar, setting) => setting.Apply(options, sofar));
        string Each(Func<int, double> of) => string.Join(", ", Enumerable.Range(0, training.ClassCount).Select(c => FormattableString.Invariant($"{of(c):0.#}")));
        Session.Line(FormattableString.Invariant(
            $"particles of {string.Join(", ", angstrom)} Å are {string.Join(", ", sizes.Select(s => FormattableString.Invariant($"{s.DiameterVoxels:0.#}")))} voxels of {voxel:0.###} Å: bandwidth {Each(c => training.MeanShiftOf(c).BandwidthVoxels)}, seed radius {Each(c => training.MeanShiftOf(c).SeedRadiusVoxels)}, mask radius {Each(training.MaskRadiusOf)}, center margin {training.CenterMarginVoxels:0.#}, patch {training.Patch}; picks merge within {Each(c => PickOptions.For(training.MeanShiftOf(c)).EffectiveMergeDistanceVoxels)} (all in voxels)"));
        return training;
    }

    private IEnumerable<Symbol> Of(string group) => settings.Where(s => s.Group == group).Select(s => s.Option);

    private void Describe(TrainingData volumes, TrainingOptions training)
    {
        int count = volumes.Training.Sum(v => v.Centers.Count);
        string kinds = training.Classes.Count == 0 ? "" : $" of {Counted.Of(training.Classes.Count, "class", "classes")} ({string.Join(", ", training.Classes.Select((k, c) => $"{k.Name}: {volumes.Training.Sum(v => Enumerable.Range(0, v.Centers.Count).Count(i => v.ClassOf(i) == c))}"))})";
        Session.Line($"data: {Counted.Of(volumes.Training.Count, "training volume")} with {Counted.Of(count, "centre")}{kinds}, {volumes.Validation.Count} for validation; patches of {training.Patch}, batches of {training.BatchSize}, {Counted.Of(training.Steps, "step")}");
        TrainingVolume[] inFiles = [.. volumes.Volumes.Where(v => v.Image is not Volume || v.Mask is not (null or Volume))];
        if (inFiles.Length > 0)
            Session.Line($"{inFiles.Length} of {Counted.Of(volumes.Volumes.Count(), "volume")} beyond --volume-memory: patches are read from the files");
        if (training.CentersPerVolume > 0 && training.NeedsMasks && training.LabelRadiusVoxels == 0)
            Session.Warn("only some centres are used, and Dice takes all else for background; --label-radius makes it ignore what is not annotated.");
        if (volumes.Validation.Count == 0)
            Session.Warn("the data set has no validation volume, so the last model is kept, not the best.");
        foreach (TrainingVolume volume in volumes.Volumes)
        {
            Session.Line($"{Path.GetFileName(volume.Name)}: {Diagnosis.CentresIn(volume)}");
            if (Diagnosis.OfCentres(volume) is { } corner)
                Session.Warn($"{volume.Name}: {corner}");
            if (volume.IsConstant)
                Session.Warn($"{volume.Name}: every voxel has the same value, so there is nothing to learn from it. "
                    + "Was the right volume given?");
            if (volume.Outlier is { } outlier)
                Session.Warn($"{volume.Name}: {Diagnosis.OfOutlier(outlier)} Replace such voxels, for instance by the mean.");
        }

        if (Diagnosis.OfContrasts(volumes, training) is { } inverted)
            Session.Warn(inverted);
        foreach (string name in volumes.Validation.Select(v => v.Name).Intersect(volumes.Training.Select(v => v.Name)))
            Session.Warn($"{name}: is validated on and trained on, so the validation loss says nothing of other volumes.");
        foreach (TrainingVolume volume in volumes.Volumes.Where(v => v.Centers.Count == 0))
            Session.Warn($"{volume.Name}: no centres.");
        foreach (TrainingVolume volume in volumes.Volumes.Where(v => !v.VoxelSize.IsCube))
            Session.Warn($"{volume.Name}: {NoCubes(volume.VoxelSize)}");
        double[] sizes = [.. volumes.Volumes.Select(v => v.VoxelSize.CubeAngstrom).Where(s => s > 0)];
        if (sizes.Length > 0 && sizes.Max() > 1.05 * sizes.Min())
            Session.Warn($"voxel sizes from {sizes.Min():0.##} to {sizes.Max():0.##} Å in one data set; particles then differ in size. Rescale the volumes.");
    }

    private void Report(ParseResult options, GpuContext context, TrainingFiles files, Trainer trainer, int begun, double seconds, string[] inputs)
    {
        TrainingHistory history = trainer.History;
        ValidationResult? best = trainer.Best;
        double? stepsPerSecond = trainer.StepsDone > begun ? (trainer.StepsDone - begun) / Math.Max(seconds, 1e-9) : null;
        Session.Line($"{Counted.Of(trainer.StepsDone, "step")}, "
            + $"{(stepsPerSecond is { } rate ? $"{rate:0.00} per second" : "none of them now")}{(best is null ? "" : $"; best validation at step {best.Step}: {(best.Picking is { } score ? $"picks F1 {score.Mean:0.00}, " : "")}loss {best.Loss:0.0000}")}");
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
            BestPicking = best?.Picking,
            history.Rollbacks,
            StuckSeeds = best?.StuckSeeds,
            MapMaximum = best?.MapMaximum,
            Seconds = seconds,
            StepsPerSecond = stepsPerSecond,
            Options = files.Settings,
        }, inputs);
    }

    private static string Duration(TimeSpan time) => time.TotalHours >= 1 ? $"{(int)time.TotalHours}:{time.Minutes:00}:{time.Seconds:00}" : $"{time.Minutes}:{time.Seconds:00}";
}
