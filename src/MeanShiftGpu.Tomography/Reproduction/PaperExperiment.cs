using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Reproduction;

/// <summary>One training of the experiment.</summary>
/// <param name="Dataset">The data set.</param>
/// <param name="Loss">The loss.</param>
/// <param name="Seed">The seed.</param>
public readonly record struct PaperRun(PaperDataset Dataset, PaperLoss Loss, int Seed)
{
    /// <summary>What it is called in file names: data set, loss and seed.</summary>
    public string Name => $"{PaperData.NameOf(Dataset)}-{PaperLosses.JsonName(Loss)}-{Seed}";
}

/// <summary>
/// The experiment of the paper's Table 1: every data set is trained on with Dice, mean shift and both from
/// the same start, the best model of a training is that of the best validation, and picks of the test patches
/// are compared with the true centres by equations 3 to 6. One protocol of picking serves all losses:
/// threshold, minimum support and whether basins are joined are those with the best one-to-one F1 at 4 voxels
/// in the validation patches, found for each training by itself. Where those have one centre a patch, it is
/// the square of the recall over the number of picks that is best.
/// </summary>
public sealed class PaperExperiment
{
    // Changes where trainings of before are not those of now.
    private static int Protocol(PaperDataset dataset) => IsSparse(dataset) ? 2 : 1;

    // Changes where the same model is picked with in another way: it is picked with anew, and not trained
    // again.
    private static int PickingProtocol(PaperDataset dataset) => IsSparse(dataset) ? 3 : 2;

    // Enough to choose a threshold by; clustering a patch with eighteen thresholds takes as long as forty
    // training steps.
    private const int MostValidationPatches = 20;

    private const double SelectionRadius = 4;

    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        Converters = { new JsonStringEnumConverter() },
    };

    // The scale's counts are tuples, whose values are fields.
    private static readonly JsonSerializerOptions SettingsJson = new(Json) { WriteIndented = false, IncludeFields = true };

    /// <summary>Hit radii in voxels at which F1 is measured.</summary>
    public static IReadOnlyList<double> Radii { get; } = [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8];

    private readonly string folder;
    private readonly PaperScale scale;
    private readonly PaperFiles files;

    /// <summary>Describes the experiment of a folder.</summary>
    /// <param name="folder">Where data, models and results lie; made where it is missing.</param>
    /// <param name="scale">How large.</param>
    /// <param name="files">Real files in place of simulated ones.</param>
    public PaperExperiment(string folder, PaperScale scale, PaperFiles files)
    {
        ArgumentNullException.ThrowIfNull(folder);
        ArgumentNullException.ThrowIfNull(scale);
        ArgumentNullException.ThrowIfNull(files);
        this.folder = folder;
        this.scale = scale;
        this.files = files;
    }

    /// <summary>
    /// The trainings of some data sets and losses: all of the first seed, then all of the second.
    /// </summary>
    public static IReadOnlyList<PaperRun> Runs(IEnumerable<PaperDataset> datasets, IEnumerable<PaperLoss> losses, int seeds)
        => [.. from seed in Enumerable.Range(1, seeds) from dataset in datasets from loss in losses select new PaperRun(
            dataset, loss, seed)];

    /// <summary>
    /// The result of a training that has been done with these settings and picked with as it is now; null
    /// where there is none.
    /// </summary>
    public PaperResult? Done(PaperRun run)
        => Trained(run) is { } result && result.PickingProtocol == PickingProtocol(run.Dataset) ? result : null;

    /// <summary>
    /// Trains, picks and evaluates, and writes the model and the result into the folder. A model that is
    /// there, from the same settings, is not trained again.
    /// </summary>
    /// <param name="context">The device.</param>
    /// <param name="run">Which training.</param>
    /// <param name="progress">Told what is being done and how far the training is, 0 to 1; null for
    /// nobody.</param>
    /// <param name="cancellation">Stops between two steps; nothing is written then.</param>
    public PaperResult Train(
        GpuContext context, PaperRun run, Action<string, double>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        DatasetManifest manifest = PaperData.Prepare(
            folder, scale, run.Dataset, files, told => progress?.Invoke(told, 0), cancellation);
        OutputFolder.Prepare(Path.Combine(folder, "runs"));
        PaperResult? result = Trained(run);
        if (result is null || (result.Failure is null && !File.Exists(ModelFile(run))))
            result = Keep(run, TrainNetwork(context, run, manifest, progress, cancellation));
        if (result.Failure is null)
        {
            progress?.Invoke($"{run.Name}: picking", 1);
            result = Evaluate(context, result, manifest, cancellation);
        }

        return Keep(run, result with { PickingProtocol = PickingProtocol(run.Dataset) });
    }

    /// <summary>The first test patch of a data set as the networks of some results see it.</summary>
    /// <param name="context">The device.</param>
    /// <param name="results">Results of the data set, whose models lie in the folder.</param>
    /// <param name="cancellation">Stops between two models.</param>
    internal IReadOnlyList<PaperPatch> Look(
        GpuContext context, IReadOnlyList<PaperResult> results, CancellationToken cancellation)
    {
        DatasetManifest manifest = PaperData.Prepare(folder, scale, results[0].Dataset, files, cancellation: cancellation);
        DatasetVolume entry = manifest.Of(DatasetSplit.Test).First();
        List<PaperPatch> patches = [];
        foreach (PaperResult result in results)
        {
            PaperRun run = result.Run;
            using UNet3d<float> network = UNet3d<float>.Load(context, ModelFile(run));
            using TomogramPicker picker = new(network, scale.PickingMeanShift, Chosen(result));
            patches.Add(Pick(picker, entry, cancellation));
        }

        return patches;
    }

    private PaperResult? Trained(PaperRun run)
    {
        string path = ResultFile(run);
        if (!File.Exists(path))
            return null;
        try
        {
            PaperResult? result = JsonSerializer.Deserialize<PaperResult>(File.ReadAllBytes(path), Json);
            return result?.Made.Settings == Settings(run) ? result : null;
        }
        catch (JsonException e)
        {
            throw new InputException($"{path}: is no result of this experiment ({e.Message}). Remove it to train again.", e);
        }
    }

    private PaperResult TrainNetwork(
        GpuContext context,
        PaperRun run,
        DatasetManifest manifest,
        Action<string, double>? progress,
        CancellationToken cancellation)
    {
        TrainingOptions training = scale.Training(run.Dataset, run.Loss, run.Seed);
        PaperResult result = new()
        {
            Dataset = run.Dataset,
            Loss = run.Loss,
            Seed = run.Seed,
            PickingProtocol = 0,
            Made = new Provenance { Settings = Settings(run), Device = context.Description },
        };
        using TrainingData data = DatasetLoader.Load(manifest, AnnotationChoice.Of(training), cancellation: cancellation);
        using UNet3d<float> network = new(
            context, new UNet3dOptions { Widths = [.. scale.Widths] }, run.Seed, training.OutputBias);
        using Trainer trainer = new(network, data, training);
        Stopwatch clock = Stopwatch.StartNew();
        try
        {
            trainer.Run(
                p => progress?.Invoke(
                    $"{run.Name}: step {p.Position} of {p.Steps}, loss {p.Latest.Loss:0.000}",
                    (double)p.Position / p.Steps),
                cancellation);
        }
        catch (TrainingFailedException e)
        {
            return result with { Failure = e.Message, TrainingSeconds = clock.Elapsed.TotalSeconds };
        }

        network.Save(ModelFile(run));
        return result with { TrainingSeconds = clock.Elapsed.TotalSeconds, BestStep = trainer.Best?.Step ?? trainer.StepsDone };
    }

    private PaperResult Evaluate(GpuContext context, PaperResult result, DatasetManifest manifest, CancellationToken cancellation)
    {
        PaperRun run = result.Run;
        using UNet3d<float> network = UNet3d<float>.Load(context, ModelFile(run));
        PickOptions options = Picking(run);
        ThresholdScore best = Choose(
            network, options, [.. manifest.Of(DatasetSplit.Validation)], IsSparse(run.Dataset), cancellation);
        result = result with
        {
            Threshold = best.Threshold,
            MinimumSupport = best.MinimumSupport,
            BasinFraction = best.BasinFraction,
            ValidationF1 = best.F1,
        };
        using TomogramPicker picker = new(network, scale.PickingMeanShift, Chosen(result));
        List<EvaluationVolume> volumes = [];
        List<(IReadOnlyList<Position>, IReadOnlyList<(string, Position)>)> kinds = [];
        Dictionary<string, double> radii = run.Dataset == PaperDataset.Shrec ? ProteinRadii() : [];
        foreach (DatasetVolume entry in manifest.Of(DatasetSplit.Test))
        {
            PaperPatch patch = Pick(picker, entry, cancellation);
            double half = Math.Min(patch.Size.Depth, Math.Min(patch.Size.Height, patch.Size.Width)) / 2.0;
            volumes.Add(new EvaluationVolume(patch.Picks, patch.Centers, half));
            kinds.Add((patch.Picks, [.. patch.Names.Zip(patch.Centers).Where(p => radii.ContainsKey(p.First))]));
        }

        return result with
        {
            Evaluation = Evaluator.Evaluate(volumes, Radii),
            Kinds = KindScore.Count(kinds, radii),
        };
    }

    // SHREC's own files write the proteins' names in either case.
    private Dictionary<string, double> ProteinRadii() => ProteinDensities
        .Shapes(
            ProteinDensities.Shrec,
            scale.Shrec.VoxelSizeAngstrom,
            Path.Combine(folder, "data", PaperData.NameOf(PaperDataset.Shrec), "densities"))
        .ToDictionary(s => s.Name, s => s.RadiusVoxels, StringComparer.OrdinalIgnoreCase);

    private static bool IsSparse(PaperDataset dataset) => dataset == PaperDataset.RiboSparse;

    private PickOptions Picking(PaperRun run) => PickOptions.For(scale.Training(run.Dataset, run.Loss, run.Seed).MeanShift);

    private PickOptions Chosen(PaperResult result) => Picking(result.Run) with
    {
        Threshold = result.Threshold,
        MinimumSupportFraction = result.MinimumSupport,
        BasinFraction = result.BasinFraction,
    };

    private ThresholdScore Choose(
        UNet3d<float> network, PickOptions options, DatasetVolume[] validation, bool sparse, CancellationToken cancellation)
    {
        using TomogramPicker picker = new(network, scale.PickingMeanShift, options);
        ThresholdSweep sweep = new(picker, options, ThresholdSweep.Supports, ThresholdSweep.BasinFractions);
        // Evenly over the set, so that each tomogram has its share.
        int step = Math.Max(1, validation.Length / MostValidationPatches);
        for (int i = 0; i < validation.Length; i += step)
            sweep.Add(validation[i], cancellation: cancellation);
        return ThresholdSweep.Best(sweep.Scores(SelectionRadius), sparse);
    }

    private static PaperPatch Pick(TomogramPicker picker, DatasetVolume entry, CancellationToken cancellation)
    {
        using Volume image = MrcFile.Read(entry.Volume);
        using Volume scores = new(image.Size, image.VoxelSize);
        PickRequest request = new() { Name = entry.Volume, Normalize = entry.Normalize, Scores = [scores] };
        PickResult result = picker.Pick(image, request, cancellation);
        IReadOnlyList<Particle> centers = entry.ReadParticles(image.Size, image.VoxelSize);
        return new PaperPatch(
            image.Size,
            image.AsSpan().ToArray(),
            scores.AsSpan().ToArray(),
            [.. centers.Select(c => new Position(c.Z, c.Y, c.X))],
            [.. centers.Select(c => c.Name ?? "")],
            [.. result.Picks.Select(p => p.Position)]);
    }

    private PaperResult Keep(PaperRun run, PaperResult result)
    {
        AtomicFile.Write(ResultFile(run), stream => JsonSerializer.Serialize(stream, result, Json));
        return result;
    }

    private string ResultFile(PaperRun run) => Path.Combine(folder, "runs", $"{run.Name}.json");

    private string ModelFile(PaperRun run) => Path.Combine(folder, "runs", $"{run.Name}.safetensors");

    // Equal settings have equal texts: a result is taken for another run's only where this differs.
    private string Settings(PaperRun run)
        => JsonSerializer.Serialize(
            new
            {
                Protocol = Protocol(run.Dataset),
                Scale = scale,
                Files = files.Has(run.Dataset) ? files : PaperFiles.None,
                Training = scale.Training(
                run.Dataset, run.Loss, run.Seed)
            },
            SettingsJson);
}

/// <summary>A patch with what a network made of it.</summary>
/// <param name="Size">Its size.</param>
/// <param name="Image">Its voxels.</param>
/// <param name="Scores">The score map.</param>
/// <param name="Centers">The true centres.</param>
/// <param name="Names">The kind of particle of each centre.</param>
/// <param name="Picks">The picks.</param>
internal sealed record PaperPatch(
    Extent Size,
    float[] Image,
    float[] Scores,
    IReadOnlyList<Position> Centers,
    IReadOnlyList<string> Names,
    IReadOnlyList<Position> Picks);
