using System.CommandLine;
using System.Diagnostics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Training;
using MeanShiftGpu.Training;
using MeanShiftGpu.Training.Ranks;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Trains a network.</summary>
internal sealed class TrainVerb(Session session) : Verb(session)
{
    private readonly TrainingInputs inputs = new(session);
    private readonly Option<string?> output = Parse.Text(
        "--out", "DIR",
        $"Folder for {TrainingFiles.ModelName} (the best by validation), {TrainingFiles.CheckpointName}, "
            + $"{TrainingFiles.HistoryName}, the page {TrainingFiles.PageName} that grows while it trains, and the "
            + $"{DatasetManifest.UsualName} that was made of VOLUMES and --picks, with which --data trains again. "
            + $"Default: {DefaultFolder}.");
    private readonly Option<string[]> background = Parse.Texts("--background", "TABLE",
        $"Tables of places that are no particles, as 'view' leaves them beside its table (NAME_removed.star): files, folders "
            + $"and patterns. They "
            + "count as background where --label-radius leaves out what is far from every centre.");
    private readonly Option<bool> resume = new("--resume")
    {
        Description = $"Go on from the checkpoint in --out, with its "
        + $"settings; the result is that of a run without interruption. --steps N goes on longer than was planned; the "
        + $"learning rate is then that of a run of N steps."
    };
    private readonly Option<bool> overwrite = new("--overwrite") { Description = "Replace the run that is in --out." };
    private readonly Option<int> checkpointEvery = Parse.Integer(
        "--checkpoint-every", "Steps between checkpoints.", 100, 1, int.MaxValue);
    private readonly Option<int> volumeMemory = Parse.Integer(
        "--volume-memory", "Memory for volumes and masks in MiB. What does not fit stays in its files, from which patches are "
        + "read; the result is the same.", 2048, 0, int.MaxValue);
    private readonly Option<bool> plan = new("--plan")
    {
        Description = "Say how much device memory the steps take, and for what, and end there."
    };
    private readonly TrainSettings settings = new();
    private readonly TrainCheck check = new();

    private const string DefaultFolder = "run";

    public override string Name => "train";

    public override string Summary => "Trains a network from tomograms with annotated centres.";

    protected override string Description => "Trains a network from tomograms with annotated centres. Ctrl-C writes a "
        + "checkpoint; --resume goes on from it.";

    public override string Example => "meanshift-gpu train tomograms/ --picks picks.star --particle-diameter 250";

    public override IReadOnlyList<OptionGroup> Groups =>
    [
        new(OptionGroup.Data,
        [
            .. inputs.Symbols, background, output, .. check.Symbols, settings.Preset, settings.Init, resume, overwrite,
            .. settings.OfGroup(OptionGroup.Data),
        ]),
        new(OptionGroup.Particle, [settings.Diameter, .. settings.OfGroup(OptionGroup.Particle)]),
        new(OptionGroup.Loss, settings.OfGroup(OptionGroup.Loss)),
        new(OptionGroup.Optimiser, settings.OfGroup(OptionGroup.Optimiser)),
        new(OptionGroup.Device, [volumeMemory, plan, .. DeviceSymbols]),
        new(OptionGroup.Advanced, [settings.Widths, .. settings.OfGroup(OptionGroup.Advanced), checkpointEvery]),
    ];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => inputs.OptionFor(options, fact);

    protected override IEnumerable<Symbol> Reads => [.. inputs.Files, background, settings.Init];

    protected override IEnumerable<Symbol> Writes => [output, check.Report];

    protected override ExitCode Run(ParseResult options)
    {
        string folder = options.GetValue(output) ?? DefaultFolder;
        bool resuming = options.GetValue(resume);
        IRanks ranks = Session.Ranked.Join();
        TrainingFiles files = new(folder);
        string ownManifest = Path.Combine(folder, DatasetManifest.UsualName);
        (UNet3dOptions structure, TrainingOptions training) = settings.Of(options, files.Checkpoint, resuming);
        // What is wrong with the settings is said before a volume is read; those that follow from a diameter
        // need the volumes.
        if (options.GetValue(settings.Diameter) is not { Length: > 0 })
            training.ValidateFor(structure);
        TrainingSource source = inputs.Find(
            options, AnnotationChoice.Of(training), resuming && File.Exists(ownManifest) ? ownManifest : null);
        (structure, training) = settings.Sized(options, structure, training, source, resuming, Session);
        training.ValidateFor(structure);
        source = source.WithBackground(options.GetValue(background) ?? [], training);
        (DatasetManifest manifest, string? split) = source.Split(training);
        if (split is not null)
            Session.Line($"split {split}");
        if (options.GetValue(plan))
            return Plan(options, manifest, structure, training, ranks);
        if (ranks.Rank == 0)
            OutputFolder.Prepare(folder);
        string[] manifests = source.Matched is null ? [] : [ownManifest];
        Files.Read(Read(options, source));
        Files.Write(output.Name, [.. files.All, .. manifests]);
        foreach (string path in check.Page(options))
            OutputFolder.CheckFile(path);
        using FolderLock? folderLock = ranks.Rank == 0 ? FolderLock.Take(folder) : null;
        if (ranks.Rank == 0 && !resuming && !options.GetValue(overwrite))
            EarlierRun.Refuse(files, manifests);

        using GpuContext context = OpenDevice(options);
        using TrainingData data = Load(manifest, training, (long)options.GetValue(volumeMemory) << 20);
        double[] diameters = options.GetValue(settings.Diameter) ?? [];
        Func<Provenance>? page = ranks.Rank == 0 ? () => Made(options, source.Files) : null;
        if (!resuming && check.IsWrong(options, Session, diameters, training, manifest, data, source, page))
            return ExitCode.CheckFailed;
        using TrainingRun run = new(context, structure, training, data, folder, ranks, Session.Line);
        if (training.PatienceValidations > 0 && !run.PicksOnValidation)
            throw new InputException("--steps auto: there is no validation volume with centres, by which the end "
                + "could be seen. Add one to the data set, or give a number of steps.");
        TrainReport.Describe(Session, data, run);
        if (!resuming && options.GetValue(settings.Init) is { } parent)
            Session.Line($"begins with the weights of "
                + $"{parent}{(run.BeginWith(parent) ? "" : ", without its last layer, as there are other classes")}");
        run.Begin(resuming);
        if (resuming)
            Session.Line($"resumed after step {run.Trainer.Position} of {training.Steps}");
        Stopwatch clock = Stopwatch.StartNew();
        int begun = run.Trainer.StepsDone;
        Provenance made = ranks.Rank == 0 ? Made(options, Read(options, source)) : new Provenance();
        if (ranks.Rank == 0 && resuming && Provenance.Read(files.Checkpoint) is { } earlier)
            made = made with { Inputs = [.. made.Inputs, .. ParentOf(earlier, made)] };
        foreach (string path in ranks.Rank == 0 ? manifests : [])
        {
            made.Write(path);
            manifest.Write(path);
        }

        Session.Line($"page: {files.Page}, which grows at each validation; open it in a browser");
        try
        {
            Session.Progress("training", report => run.Train(
                made, options.GetValue(checkpointEvery), step => TrainReport.Say(Session, run, step, report,
                    IsVerbose(options)), Cancellation));
        }
        catch (TrainingFailedException)
        {
            Session.Ranked.Leave();
            throw;
        }
        catch (OperationCanceledException)
        {
            Session.Ranked.Leave();
            Session.Line($"stopped after step {run.Trainer.Position} of {training.Steps}; go on with --resume --out {folder}");
            throw;
        }

        Session.Progress("looking at the volumes", report => run.Finish(Volumes(report), Cancellation));
        if (run.Remark is { } remark)
            Session.Warn($"{run.Files.Model}: {remark}");
        if (ranks.Rank == 0)
            WriteJson(options, TrainReport.Result(Session, context, run, begun, clock.Elapsed.TotalSeconds), source.Files);
        Session.Ranked.Leave();
        return ExitCode.Done;
    }

    private ExitCode Plan(ParseResult options, DatasetManifest manifest, UNet3dOptions structure, TrainingOptions training,
        IRanks ranks)
    {
        using GpuContext context = OpenDevice(options);
        using TrainingData data = Load(manifest, training, (long)options.GetValue(volumeMemory) << 20);
        TrainingMemory memory = TrainingMemory.Of(context, structure, training, data, ranks);
        TrainReport.Plan(Session, context, training, memory);
        WriteJson(options, memory);
        return ExitCode.Done;
    }

    private TrainingData Load(DatasetManifest manifest, TrainingOptions training, long memoryBytes)
    {
        TrainingData? data = null;
        Session.Progress("reading", report => data = DatasetLoader.Load(
            manifest, AnnotationChoice.Of(training), memoryBytes, Volumes(report), Cancellation));
        return data!;
    }

    // The files that the run is made from.
    private string[] Read(ParseResult options, TrainingSource source)
        => options.GetValue(settings.Init) is { } parent ? [.. source.Files, parent] : [.. source.Files];

    // The model that a run began with is its parent still when it goes on without naming it.
    private static IEnumerable<InputRecord> ParentOf(Provenance earlier, Provenance made) => earlier.Inputs.Where(i
        => i.File.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase) && made.Inputs.All(m => m.File != i.File));

    private static Action<int, int> Volumes(Action<double, string> report)
        => (done, total) => report((double)done / total, $"{done} of {Counted.Of(total, "volume")}");
}
