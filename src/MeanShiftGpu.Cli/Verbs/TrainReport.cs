using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Training;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>
/// Says of a training in lines and in JSON what it learns from, how it goes and what came of it.
/// </summary>
internal static class TrainReport
{
    /// <summary>Says which lengths follow from the particles' diameters.</summary>
    /// <param name="session">Where it is said.</param>
    /// <param name="training">The settings with these lengths.</param>
    /// <param name="diameters">The diameters in Å.</param>
    /// <param name="voxel">The voxel size in Å.</param>
    public static void Sizes(Session session, TrainingOptions training, double[] diameters, double voxel)
    {
        string Each(Func<int, double> of) => Short(Enumerable.Range(0, training.ClassCount).Select(of));
        session.Line(FormattableString.Invariant(
            $"particles of {string.Join(", ", diameters)} Å are {Short(diameters.Select(d => d / voxel))} voxels of ")
            + $"{voxel:0.###} Å: bandwidth {Each(c => training.MeanShiftOf(c).BandwidthVoxels)}, "
            + $"seed radius {Each(c => training.MeanShiftOf(c).SeedRadiusVoxels)}, mask radius {Each(training.MaskRadiusOf)}, "
            + $"centre margin {Short([training.CenterMarginVoxels])}, patch {training.Patch}; picks merge within "
            + $"{Each(c => PickOptions.For(training.MeanShiftOf(c)).EffectiveMergeDistanceVoxels)} (all in voxels)");
    }

    /// <summary>Says what takes how much device memory.</summary>
    public static void Plan(Session session, GpuContext context, TrainingOptions training, TrainingMemory memory)
    {
        session.Line($"memory of steps with patches of {training.Patch} in batches of {training.BatchSize}, in MiB:");
        foreach ((string what, long bytes) in ((string, long)[])
        [
            ("parameters, gradients, moments, copies", memory.Parameters),
            ("activations and their gradients, losses", memory.Activations),
            ("patches and centres", memory.Patches),
            ("weights in the kernels' order", memory.Weights),
            ("parts of the weights' gradients", memory.Parts),
            ("scratch of single launches", memory.Scratch),
            ("in all", memory.Total),
        ])
            session.Line(FormattableString.Invariant($"  {what,-40} {bytes / 1048576.0,9:0.0}"));
        session.Line($"the device has {context.MemoryLimitBytes >> 20}; validation and picking come after steps, "
            + "with memory of their own");
    }

    /// <summary>Says what is learnt from, and what may be wrong with it.</summary>
    public static void Describe(Session session, TrainingData data, TrainingRun run)
    {
        TrainingOptions training = run.Options;
        if (session.Ranked.Mpi is { } mpi)
            session.Line($"ranks: {mpi.Count} on {Counted.Of(mpi.Machines, "machine")}, {mpi.Description}");
        int count = data.Training.Sum(v => v.Centers.Count);
        session.Line($"data: {Counted.Of(data.Training.Count, "training volume")} with {Counted.Of(count, "centre")}"
            + $"{Classes(data, training)}, {data.Validation.Count} for validation; patches of {training.Patch}, "
            + $"batches of {training.BatchSize}, {Counted.Of(training.Steps, "step")}");
        int inFiles = data.Volumes.Count(v => v.Image is not Volume || v.Mask is not (null or Volume));
        if (inFiles > 0)
            session.Line($"{inFiles} of {Counted.Of(data.Volumes.Count(), "volume")} beyond --volume-memory: patches are read "
                + "from the files");
        foreach (TrainingVolume volume in data.Volumes)
            session.Line($"{Path.GetFileName(volume.Name)}: {Diagnosis.CentresIn(volume)}");
        if (training.CentersPerVolume > 0 && training.NeedsMasks && training.LabelRadiusVoxels == 0)
            session.Warn("only some centres are used, and Dice takes all else for background; --label-radius makes it ignore "
                + "what is not annotated.");
        foreach (string remark in TrainingRemarks.Of(data, training))
            session.Warn(remark);
        foreach (string name in run.Trainer.WithoutValidationPatch)
            session.Warn($"{name}: is left out of the validation: no patch of it has a centre far enough inside "
                + "(--center-margin).");
    }

    /// <summary>Says what a step brought: a validation, a way back, and how far the run is.</summary>
    public static void Say(
        Session session, TrainingRun run, TrainingProgress progress, Action<double, string> report, bool details)
    {
        TrainingStep step = progress.Latest;
        if (progress.Rollback is { } rollback)
            session.Warn($"{rollback.Reason}. Going back to step {rollback.Position} with "
                + $"{rollback.RateFactor:0.###} of the learning rate and other patches.");
        if (progress.Validation is { } validation)
        {
            string best = validation.IsBest ? "best model so far; " : "";
            string found = run.Describe(validation) ?? $"validation loss {validation.Loss:0.0000}";
            session.Line($"step {progress.Position}: {best}{found}");
            string picks = validation.Picking is { } score
                ? $"picks F1 {score.F1Near:0.00} within half the bandwidth, {score.F1Far:0.00} within it; " : "";
            if (details)
                session.Line($"    {picks}validation loss {validation.Loss:0.0000}, stuck seeds "
                    + $"{validation.StuckSeeds:0.0 %}, map maximum {validation.MapMaximum:0.000}");
        }

        // The first steps compile kernels, and say nothing of the others.
        string left = progress.Position < 10 ? "" : $", {Duration(progress.Remaining)} left";
        report((double)progress.Position / progress.Steps,
            $"step {progress.Position} of {progress.Steps}, loss {step.Loss:0.0000}, "
                + $"{progress.StepsPerSecond:0.0} steps/s{left}");
    }

    /// <summary>Says what came of a run, and returns what the JSON says.</summary>
    /// <param name="session">Where it is said.</param>
    /// <param name="context">The device.</param>
    /// <param name="run">The run, finished.</param>
    /// <param name="begun">Steps that had been taken before this command.</param>
    /// <param name="seconds">How long this command trained.</param>
    public static object Result(Session session, GpuContext context, TrainingRun run, int begun, double seconds)
    {
        Trainer trainer = run.Trainer;
        TrainingHistory history = trainer.History;
        ValidationResult? best = trainer.Best;
        double? stepsPerSecond = trainer.StepsDone > begun ? (trainer.StepsDone - begun) / Math.Max(seconds, 1e-9) : null;
        string rate = stepsPerSecond is { } known ? $"{known:0.00} per second" : "none of them now";
        string picks = best?.Picking is { } score
            ? $"F1 {score.Mean:0.00} (mean of that within half and that within the whole bandwidth), " : "";
        string validation = best is null ? ""
            : $"; best validation at step {best.Step}: {picks}loss {best.Loss:0.0000}; this model is kept";
        session.Line($"{Counted.Of(trainer.StepsDone, "step")}, {rate}{validation}");
        if (session.Ranked.Mpi is not null)
            session.Line($"adding gradients took {trainer.SumTime.TotalSeconds / Math.Max(seconds, 1e-9):0.0 %} of the time, "
                + "waiting for other ranks included");
        session.Line($"model: {run.Files.Model}");
        return new
        {
            run.Files.Model,
            run.Files.Checkpoint,
            run.Files.History,
            run.Files.Page,
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
            run.Options,
        };
    }

    private static string Classes(TrainingData data, TrainingOptions training)
    {
        if (training.Classes.Count == 0)
            return "";
        int Of(int index) => data.Training.Sum(v => Enumerable.Range(0, v.Centers.Count).Count(i => v.ClassOf(i) == index));
        string each = string.Join(", ", training.Classes.Select((kind, index) => $"{kind.Name}: {Of(index)}"));
        return $" of {Counted.Of(training.Classes.Count, "class", "classes")} ({each})";
    }

    private static string Short(IEnumerable<double> lengths)
        => string.Join(", ", lengths.Select(length => FormattableString.Invariant($"{length:0.#}")));

    private static string Duration(TimeSpan time)
        => time.TotalHours >= 1
            ? $"{(int)time.TotalHours}:{time.Minutes:00}:{time.Seconds:00}" : $"{time.Minutes}:{time.Seconds:00}";
}
