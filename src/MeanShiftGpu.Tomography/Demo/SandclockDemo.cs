using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Reproduction;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Demo;

/// <summary>One training of the demo with what it gave on unseen volumes.</summary>
/// <param name="Loss">The loss.</param>
/// <param name="Seed">The seed of network, patches and mean-shift seeds.</param>
/// <param name="History">The course of the training.</param>
/// <param name="TrainingSeconds">Its time.</param>
/// <param name="Evaluation">Picks against truth on the test volumes.</param>
/// <param name="ScoreMaps">The score map of each test volume.</param>
/// <param name="Picks">The picks of each test volume.</param>
public sealed record DemoRun(
    PaperLoss Loss,
    int Seed,
    TrainingHistory History,
    double TrainingSeconds,
    EvaluationResult Evaluation,
    IReadOnlyList<float[]> ScoreMaps,
    IReadOnlyList<IReadOnlyList<Pick>> Picks);

/// <summary>Where the demo stands.</summary>
/// <param name="Loss">The training under way.</param>
/// <param name="Seed">Its seed.</param>
/// <param name="Training">Its progress.</param>
public sealed record DemoProgress(PaperLoss Loss, int Seed, TrainingProgress Training);

/// <summary>
/// The experiment of the paper on its toy data: simulate, train with Dice, mean shift and both from the same
/// start, pick, evaluate on unseen volumes, and write models, picks, numbers and a report.
/// </summary>
public static class SandclockDemo
{
    /// <summary>The figures' name in the folder.</summary>
    public const string MetricsName = "metrics.json";

    /// <summary>The report's name in the folder.</summary>
    public const string ReportName = "report.html";

    private static readonly JsonSerializerOptions JsonOptions = new() { WriteIndented = true };

    /// <summary>Runs the demo and writes its folder.</summary>
    /// <param name="context">The device.</param>
    /// <param name="options">Size and settings.</param>
    /// <param name="directory">Where to write; created if it is missing.</param>
    /// <param name="started">When the program started, so that the report's time is the user's.</param>
    /// <param name="progress">Told after every training step.</param>
    /// <param name="finished">Told each finished run.</param>
    /// <param name="cancellation">Stops between two steps.</param>
    public static IReadOnlyList<DemoRun> Run(
        GpuContext context,
        SandclockDemoOptions options,
        string directory,
        Stopwatch started,
        Action<DemoProgress>? progress = null,
        Action<DemoRun>? finished = null,
        CancellationToken cancellation = default)
    {
        OutputFolder.Prepare(directory);
        using FolderLock folderLock = FolderLock.Take(directory);
        IReadOnlyList<SandclockVolume> test = Simulate(options, options.DataSeed + 2, options.TestVolumes);
        TrainingData data = new(
            ToTraining(Simulate(options, options.DataSeed, options.TrainingVolumes)),
            ToTraining(Simulate(options, options.DataSeed + 1, options.ValidationVolumes)));

        List<DemoRun> runs = [];
        foreach (int seed in options.Seeds)
        {
            foreach (PaperLoss loss in Enum.GetValues<PaperLoss>())
            {
                DemoRun run = TrainAndTest(context, options, directory, data, test, loss, seed, progress, cancellation);
                runs.Add(run);
                finished?.Invoke(run);
            }
        }

        WriteMetrics(Path.Combine(directory, MetricsName), runs, started.Elapsed.TotalSeconds);
        SandclockReport.Write(directory, context, options, test, runs, started.Elapsed);
        return runs;
    }

    private static DemoRun TrainAndTest(
        GpuContext context,
        SandclockDemoOptions options,
        string directory,
        TrainingData data,
        IReadOnlyList<SandclockVolume> test,
        PaperLoss loss,
        int seed,
        Action<DemoProgress>? progress,
        CancellationToken cancellation)
    {
        Stopwatch clock = Stopwatch.StartNew();
        TrainingOptions training = options.TrainingFor(loss, seed);
        using UNet3d<float> network = new(context, options.Network, seed, training.OutputBias);
        using Trainer trainer = new(network, data, training);
        trainer.Run(p => progress?.Invoke(new DemoProgress(loss, seed, p)), cancellation);
        double seconds = clock.Elapsed.TotalSeconds;
        string name = $"{PaperLosses.JsonName(loss)}-{seed}";
        network.Save(Path.Combine(directory, $"{name}.safetensors"));

        List<float[]> maps = [];
        List<IReadOnlyList<Pick>> picks = [];
        using TomogramPicker picker = new(network, options.PickingMeanShift, options.Picking);
        foreach (SandclockVolume volume in test)
        {
            cancellation.ThrowIfCancellationRequested();
            Extent size = new(volume.Depth, volume.Height, volume.Width);
            float[] image = [.. volume.Image];
            TrainingVolume.Normalize(image);
            float[] scores = new float[size.Voxels];
            PickRequest request = new() { Normalize = false, Scores = [Volume.Of(scores, size)] };
            picks.Add(picker.Pick(Volume.Of(image, size), request, cancellation).Picks);
            maps.Add(scores);
        }

        CoordinateTables.Write(
            Path.Combine(directory, $"{name}.star"),
            [.. picks.SelectMany((list, i) => list.Select(p => new Particle(p.Z, p.Y, p.X)
            {
                Score = p.Score,
                Tomogram = string.Create(CultureInfo.InvariantCulture, $"sandclock_{i:000}.mrc"),
            }))],
            new CoordinateWriteOptions());

        double halfEdge = Math.Min(options.Simulation.Depth, Math.Min(options.Simulation.Height, options.Simulation.Width)) / 2.0;
        EvaluationResult evaluation = Evaluator.Evaluate(
            [.. test.Select((v, i) => new EvaluationVolume([.. picks[i].Select(p => p.Position)], v.Centers, halfEdge))],
            options.Radii);
        return new DemoRun(loss, seed, trainer.History, seconds, evaluation, maps, picks);
    }

    private static List<SandclockVolume> Simulate(SandclockDemoOptions options, int seed, int count)
    {
        SandclockOptions simulation = options.Simulation with { Seed = seed };
        return [.. Enumerable.Range(0, count).Select(i => Sandclock.Create(simulation, i))];
    }

    private static List<TrainingVolume> ToTraining(IReadOnlyList<SandclockVolume> volumes)
        =>
        [
            .. volumes.Select((v, i) =>
            {
                float[] image = [.. v.Image];
                TrainingVolume.Normalize(image);
                return new TrainingVolume($"sandclock {i}", new Extent(v.Depth, v.Height, v.Width), image, v.Mask, v.Centers);
            }),
        ];

    private static void WriteMetrics(string path, IReadOnlyList<DemoRun> runs, double seconds)
    {
        var metrics = new
        {
            seconds = Math.Round(seconds, 2),
            runs = runs.Select(r => new
            {
                loss = PaperLosses.JsonName(r.Loss),
                seed = r.Seed,
                distPred = r.Evaluation.DistPred,
                distGt = r.Evaluation.DistGt,
                f1 = r.Evaluation.Radii.ToDictionary(s => s.RadiusVoxels.ToString(CultureInfo.InvariantCulture), s => s.F1),
                oneToOneF1 = r.Evaluation.Radii.ToDictionary(
                    s => s.RadiusVoxels.ToString(CultureInfo.InvariantCulture), s => s.OneToOneF1),
                picks = r.Evaluation.Predictions,
                particles = r.Evaluation.Truth,
                trainingSeconds = Math.Round(r.TrainingSeconds, 2),
            }),
        };
        AtomicFile.Write(path, stream => JsonSerializer.Serialize(stream, metrics, JsonOptions));
    }
}
