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
    private readonly Option<double[]?> diameter = Parse.RealList(
        "--particle-diameter", "Diameter of the particle in Å; one for all classes, or one for each. Gives bandwidth, seed "
        + "radius, mask radius, center margin and patch, which their own options change.");
    private readonly Option<TrainingOptions?> preset = TrainingSettings.PresetOption();
    private readonly Option<bool> resume = new("--resume")
    {
        Description = $"Go on from the checkpoint in --out, with its "
        + $"settings; the result is that of a run without interruption. --steps N goes on longer than was planned; the "
        + $"learning rate is then that of a run of N steps."
    };
    private readonly Option<bool> overwrite = new("--overwrite") { Description = "Replace the run that is in --out." };
    private readonly Option<int[]?> widths = Parse.IntegerList("--widths", "N,N,…", "Channels at each resolution of the "
        + "network, finest first. Default: 32,48,64, the published network.", 1, 1024);
    private readonly Option<int> checkpointEvery = Parse.Integer(
        "--checkpoint-every", "Steps between checkpoints.", 100, 1, int.MaxValue);
    private readonly Option<int> volumeMemory = Parse.Integer(
        "--volume-memory", "Memory for volumes and masks in MiB. What does not fit stays in its files, from which patches are "
        + "read; the result is the same.", 2048, 0, int.MaxValue);
    private readonly Option<string?> init = Parse.Text("--init", "FILE",
        "Begin with the weights of this model (safetensors) and the settings of its training, with a fresh optimiser and a "
        + "quarter of the steps; the options here change them. Classes may be others.");
    private readonly Option<bool> plan = new("--plan")
    {
        Description = "Say how much device memory the steps take, and for what, and end there."
    };
    private readonly Option<bool> noCheck = new("--no-check")
    {
        Description = "Train even if the centres do not seem to "
        + "belong to the volumes (see 'check')."
    };
    private readonly Option<string?> checkReport = Parse.Text("--check-report", "FILE",
        "Write what was checked before the training as a page (HTML), as 'check --report' does.");
    private readonly IReadOnlyList<TrainingSetting> settings = TrainingSettings.Create();

    private const string DefaultFolder = "run";

    // What a network has learnt it need not learn again.
    private const int FractionWithInit = 4;

    public override string Name => "train";

    public override string Summary => "Trains a network from tomograms with annotated centres.";

    protected override string Description => "Trains a network from tomograms with annotated centres. Ctrl-C writes a "
        + "checkpoint; --resume goes on from it.";

    public override string Example => "meanshift-gpu train tomograms/ --picks picks.star --particle-diameter 250";

    public override IReadOnlyList<OptionGroup> Groups =>
    [
        new(OptionGroup.Data,
        [
            .. inputs.Symbols, background, output, noCheck, checkReport, preset, init, resume, overwrite,
            .. Of(OptionGroup.Data),
        ]),
        new(OptionGroup.Particle, [diameter, .. Of(OptionGroup.Particle)]),
        new(OptionGroup.Loss, Of(OptionGroup.Loss)),
        new(OptionGroup.Optimiser, Of(OptionGroup.Optimiser)),
        new(OptionGroup.Device, [volumeMemory, plan, .. DeviceSymbols]),
        new(OptionGroup.Advanced, [widths, .. Of(OptionGroup.Advanced), checkpointEvery]),
    ];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => inputs.OptionFor(options, fact);

    protected override ExitCode Run(ParseResult options)
    {
        string folder = options.GetValue(output) ?? DefaultFolder;
        bool resuming = options.GetValue(resume);
        IRanks ranks = Session.Ranked.Join();
        TrainingFiles files = new(folder);
        string ownManifest = Path.Combine(folder, DatasetManifest.UsualName);
        (UNet3dOptions structure, TrainingOptions training) = Settings(options, files.Checkpoint, resuming);
        // What is wrong with the settings is said before a volume is read; those that follow from a diameter
        // need the volumes.
        if (options.GetValue(diameter) is not { Length: > 0 })
            training.ValidateFor(structure);
        TrainingSource source = inputs.Find(
            options, AnnotationChoice.Of(training), resuming && File.Exists(ownManifest) ? ownManifest : null);
        training = Sized(options, training, structure, source);
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
        OutputFolder.RefuseReplacing([.. files.All, .. manifests, .. Page(options), .. JsonFile(options)], Read(options, source));
        foreach (string page in Page(options))
            OutputFolder.CheckFile(page);
        using FolderLock? folderLock = ranks.Rank == 0 ? FolderLock.Take(folder) : null;
        if (ranks.Rank == 0 && !resuming && !options.GetValue(overwrite))
            RefuseEarlierRun(files, manifests);

        using GpuContext context = OpenDevice(options);
        using TrainingData data = Load(manifest, training, (long)options.GetValue(volumeMemory) << 20);
        if (!resuming && IsWrong(options, training, manifest, data, source, ranks.Rank == 0))
            return ExitCode.CheckFailed;
        using TrainingRun run = new(context, structure, training, data, folder, ranks, Session.Line);
        if (training.PatienceValidations > 0 && !run.PicksOnValidation)
            throw new InputException("--steps auto: there is no validation volume with centres, by which the end "
                + "could be seen. Add one to the data set, or give a number of steps.");
        TrainReport.Describe(Session, data, run);
        if (!resuming && options.GetValue(init) is { } parent)
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
            Session.Line($"stopped after step {run.Trainer.Position} of {training.Steps}; go on with --resume");
            throw;
        }

        Session.Progress("looking at the volumes", report => run.Finish(Volumes(report), Cancellation));
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
        => options.GetValue(init) is { } parent ? [.. source.Files, parent] : [.. source.Files];

    // The model that a run began with is its parent still when it goes on without naming it.
    private static IEnumerable<InputRecord> ParentOf(Provenance earlier, Provenance made) => earlier.Inputs.Where(i
        => i.File.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase) && made.Inputs.All(m => m.File != i.File));

    private IEnumerable<string> Page(ParseResult options) => options.GetValue(checkReport) is { } page ? [page] : [];

    /// <summary>
    /// Whether what was loaded is wrong, which is said; with --no-check only if the page is asked for.
    /// </summary>
    private bool IsWrong(ParseResult options, TrainingOptions training, DatasetManifest manifest, TrainingData data,
        TrainingSource source, bool writes)
    {
        bool ignored = options.GetValue(noCheck);
        string? page = options.GetValue(checkReport);
        if (ignored && page is null)
            return false;
        double[] angstrom = options.GetValue(diameter) ?? [];
        double voxels = angstrom.Length > 0 ? angstrom.Average() / source.VoxelSizeAngstrom()
            : Math.Clamp(
                Enumerable.Range(0, training.ClassCount).Average(c
                    => training.MeanShiftOf(c).BandwidthVoxels) / ParticleSize.BandwidthPerDiameter,
                ParticleSize.SmallestVoxels, ParticleSize.LargestVoxels);
        InputCheck check = new(
            Session, [.. manifest.Of(DatasetSplit.Train), .. manifest.Of(DatasetSplit.Validation)], [.. data.Volumes], voxels,
            angstrom.Length == 1 && training.ClassCount == 1);
        if (page is not null && writes)
        {
            check.WritePage(page, Made(options, source.Files));
            Session.Line($"report: {page}");
        }

        if (ignored || check.Problems.Count == 0)
            return false;
        string others = check.Problems.Count == 1 ? "" : $"{check.Problems.Count - 1} more; 'check' shows all. ";
        Session.Error($"{check.Problems[0]} {others}--no-check trains all the same.");
        return true;
    }

    private static Action<int, int> Volumes(Action<double, string> report)
        => (done, total) => report((double)done / total, $"{done} of {Counted.Of(total, "volume")}");

    private static void RefuseEarlierRun(TrainingFiles files, string[] manifests)
    {
        if (File.Exists(files.Checkpoint))
        {
            (int done, int all) = Trainer.ReadProgress(files.Checkpoint);
            throw new InputException(done < all
                ? $"{files.Checkpoint}: a run stopped here after step {done} of {all}. Go on with --resume, replace it with "
                    + "--overwrite, or choose another folder."
                : $"{files.Checkpoint}: a run of {Counted.Of(all, "step")} has ended here. Choose another folder, replace it "
                    + "with --overwrite, or go on longer with --resume and more --steps.");
        }

        RefuseReplacing("", overwrite: false, [files.Model, files.History, files.Page, .. manifests]);
    }

    private (UNet3dOptions Structure, TrainingOptions Settings) Settings(ParseResult options, string checkpoint, bool resuming)
    {
        UNet3dOptions structure = new();
        TrainingOptions? begun = options.GetValue(preset);
        if (!resuming && options.GetValue(init) is { } parent)
        {
            structure = UNet3d<float>.ReadStructure(parent) ?? structure;
            begun ??= ModelFile.ReadDescription(parent)?.Training is { } its
                ? its with
                {
                    Classes = [],
                    CentersPerVolume = 0,
                    PatienceValidations = 0,
                    Steps = TrainingOptions.Compact.Steps,
                    Seed = TrainingOptions.Compact.Seed
                } : null;
            begun ??= TrainingOptions.Compact;
            begun = begun with { Steps = Math.Max(1, begun.Steps / FractionWithInit) };
        }

        if (resuming)
        {
            if (!File.Exists(checkpoint))
                throw new InputException($"{checkpoint}: there is no checkpoint to go on from. Start the run without --resume.");
            // The first command line may be repeated with --resume, or left out; settings that differ are
            // refused by the trainer.
            (structure, TrainingOptions before) = Trainer.ReadSettings(checkpoint);
            begun ??= before;
        }

        if (options.GetValue(widths) is { Length: > 0 } given)
        {
            if (resuming && !given.SequenceEqual(structure.Widths))
                throw new InputException($"{checkpoint}: the checkpoint's network has widths "
                    + $"{string.Join(',', structure.Widths)}, --widths says {string.Join(',', given)}. Leave --widths out.");
            structure = structure with { Widths = given };
        }

        TrainingOptions training = settings.Aggregate(
            begun ?? TrainingOptions.Compact, (sofar, setting) => setting.Apply(options, sofar));
        return (structure with { Outputs = training.ClassCount }, training);
    }

    /// <summary>
    /// The settings with what follows from the particle's diameter, where it is given; options that say
    /// otherwise count.
    /// </summary>
    private TrainingOptions Sized(ParseResult options, TrainingOptions training, UNet3dOptions structure, TrainingSource source)
    {
        if (options.GetValue(diameter) is not { Length: > 0 } angstrom)
            return training;
        double voxel = source.VoxelSizeAngstrom();
        ParticleSize[] sizes = [.. angstrom.Select(d => ParticleSize.FromAngstrom(d, voxel))];
        training = ParticleSize.Apply(training, sizes, source.Largest, structure.Divisor);
        training = settings.Aggregate(training, (sofar, setting) => setting.Apply(options, sofar));
        TrainReport.Sizes(Session, training, angstrom, voxel);
        return training;
    }

    private IEnumerable<Symbol> Of(string group) => settings.Where(s => s.Group == group).Select(s => s.Option);
}
