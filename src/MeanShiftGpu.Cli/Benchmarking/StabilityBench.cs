using System.Globalization;
using System.Text.Json;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Reproduction;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>How one training ended.</summary>
/// <param name="Data">The data set.</param>
/// <param name="Preset">The preset.</param>
/// <param name="Seed">The seed of network, patches and seeds.</param>
/// <param name="Version">The program's version with its commit.</param>
/// <param name="Failure">Why it ended without a model; null where it has one.</param>
/// <param name="Rollbacks">How often it went back to earlier parameters.</param>
/// <param name="F1At2">One-to-one F1 within 2 voxels on the test volumes; 0 without a model.</param>
/// <param name="F1At4">The same within 4 voxels.</param>
/// <param name="Contrast">The map's contrast in the last 20 steps.</param>
/// <param name="Stuck">The share of seeds that end far from every centre in the last 20 steps.</param>
internal sealed record StabilityRun(
    string Data, string Preset, int Seed, string Version, string? Failure, int Rollbacks, double F1At2, double F1At4,
        double Contrast, double Stuck)
{
    /// <summary>The settings of the training, in words.</summary>
    public string Settings { get; init; } = "";
}

/// <summary>
/// Counts how many of many short trainings end without a useful model. Each has a result file of its own: a
/// run that is there is not run again, so that the count can be stopped at any time and go on later.
/// </summary>
internal sealed class StabilityBench(GpuContext context, string folder, StabilityOptions options)
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true };

    // Volumes that training validates on and that picks are counted in; the seed decides what is simulated.
    private const int DataSeed = 2026;

    /// <summary>The data sets by name.</summary>
    public static IReadOnlyList<string> DataNames { get; } = ["sandclock", "tomogram-100", "tomogram-10", "shrec-like"];

    /// <summary>The presets that are run.</summary>
    public static IReadOnlyList<string> PresetNames { get; } = ["compact", "combined"];

    /// <summary>Trains what is missing.</summary>
    /// <param name="finished">Told each run, those that were there included.</param>
    /// <param name="cancellation">Stops between two steps.</param>
    /// <exception cref="InputException">A training that is there had other settings.</exception>
    public IReadOnlyList<StabilityRun> Run(Action<StabilityRun> finished, CancellationToken cancellation)
    {
        List<StabilityRun> runs = [];
        foreach (string data in options.Data)
        {
            Lazy<StabilityData> volumes = new(() => Simulate(data));
            foreach (string preset in options.Presets)
            {
                for (int seed = options.FirstSeed; seed < options.FirstSeed + options.Runs; seed++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    string path = Path.Combine(folder,
                        string.Create(CultureInfo.InvariantCulture, $"{data}-{preset}-{seed:000}.json"));
                    StabilityRun run = Read(path)
                        ?? Train(volumes.Value, data, preset, seed, cancellation) with { Settings = options.Settings };
                    if (run.Settings != options.Settings)
                    {
                        throw new InputException($"{path}: was trained with other settings "
                            + $"({(run.Settings.Length > 0 ? run.Settings : "not noted")}) than these ({options.Settings}). "
                            + "Give another folder by --out.");
                    }

                    AtomicFile.Write(path, stream => JsonSerializer.Serialize(stream, run, Json));
                    runs.Add(run);
                    finished(run);
                }
            }
        }

        return runs;
    }

    /// <summary>
    /// The runs as a table in Markdown: F1 as the mean over the runs with a model and its standard error.
    /// Builds and settings stand above it.
    /// </summary>
    public static IEnumerable<string> Table(IReadOnlyList<StabilityRun> runs)
    {
        foreach ((string version, string settings) in runs.Select(r => (r.Version, r.Settings)).Distinct())
            yield return $"Version {version}; {settings}.";
        yield return "";
        yield return "| data | preset | runs | without a model | went back | F1 within 2 voxels | F1 within 4 voxels |";
        yield return "|---|---|---|---|---|---|---|";
        foreach (IGrouping<(string Data, string Preset), StabilityRun> group in runs.GroupBy(r => (r.Data, r.Preset)))
        {
            StabilityRun[] alive = [.. group.Where(r => r.Failure is null)];
            yield return $"| {group.Key.Data} | {group.Key.Preset} | {group.Count()} | "
                + $"{group.Count(r => r.Failure is not null)} | {group.Count(r => r.Rollbacks > 0)} "
                + $"| {MeanAndError(alive, r => r.F1At2)} | {MeanAndError(alive, r => r.F1At4)} |";
        }
    }

    private static string MeanAndError(StabilityRun[] runs, Func<StabilityRun, double> of)
    {
        if (runs.Length < 2)
            return runs.Length == 0 ? "–" : FormattableString.Invariant($"{of(runs[0]):0.000}");
        double mean = runs.Average(of);
        double error = Math.Sqrt(runs.Sum(r => Math.Pow(of(r) - mean, 2)) / (runs.Length - 1) / runs.Length);
        return FormattableString.Invariant($"{mean:0.000} ± {error:0.000}");
    }

    private static StabilityRun? Read(string path)
    {
        if (!File.Exists(path))
            return null;
        try
        {
            return JsonSerializer.Deserialize<StabilityRun>(File.ReadAllBytes(path));
        }
        catch (JsonException e)
        {
            throw new InputException($"{path}: is no result of this count. Use another folder.", e);
        }
    }

    private StabilityRun Train(StabilityData data, string name, string preset, int seed, CancellationToken cancellation)
    {
        TrainingOptions training = TrainingOptions.Presets[preset] with
        {
            Steps = options.Steps,
            Patch = new Extent(36, 36, 36),
            ValidationInterval = Math.Max(1, options.Steps / 4),
            Seed = seed,
            LabelRadiusVoxels = data.LabelRadiusVoxels,
            CenterWeight = options.CenterWeight ?? TrainingOptions.Presets[preset].CenterWeight,
        };
        if (options.Hard)
            training = training with { OutputBias = 0, LearningRate = 2e-3, Beta2 = 0.999 };
        if (options.ScheduleSteps is { } schedule)
            training = training with { Steps = schedule };
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [16, 16, 16] }, seed, training.OutputBias);
        using ValidationPicking picking = new(network, training, data.Training.Validation);
        using Trainer trainer = new(network, data.For(seed), training) { PickOnValidation = picking.Measure };
        string? failure = null;
        try
        {
            while (trainer.Position < options.Steps)
            {
                cancellation.ThrowIfCancellationRequested();
                trainer.Step();
                if (trainer.Position % training.ValidationInterval == 0)
                    trainer.Validate(cancellation);
            }

            trainer.RestoreBest();
            using ValidationPicking onTraining = new(network, training, data.Training.Training);
            trainer.RefuseUseless(() => onTraining.Measure(cancellation));
        }
        catch (TrainingFailedException e)
        {
            failure = e.Message;
        }

        EvaluationResult? result = failure is null ? Evaluate(network, training, data, cancellation) : null;
        TrainingHealth? last = trainer.History.Health.Count == 0 ? null : trainer.History.Health[^1];
        return new StabilityRun(
            name, preset, seed, Provenance.OwnVersion, failure, trainer.History.Rollbacks.Count, result?.At(2).OneToOneF1 ?? 0,
                result?.At(4).OneToOneF1 ?? 0,
            last?.Contrast ?? 0, last?.StuckSeeds ?? 0);
    }

    private static EvaluationResult Evaluate(UNet3d<float> network, TrainingOptions training, StabilityData data,
        CancellationToken cancellation)
    {
        using TomogramPicker picker = new(network, training.MeanShift, PickOptions.For(training.MeanShift));
        PickRequest request = new() { Normalize = false };
        IEnumerable<EvaluationVolume> volumes =
            from volume in data.Test
            let picks = picker.Pick(volume.Image, request, cancellation).Picks
            select new EvaluationVolume([.. picks.Select(p => p.Position)], volume.Centers);
        return Evaluator.Evaluate([.. volumes], [2, 4]);
    }

    private StabilityData Simulate(string name)
    {
        if (name == "sandclock")
        {
            List<TrainingVolume> Volumes(int seed, int count) => [.. Enumerable.Range(0, count).Select(i => Sandclocks(seed, i))];
            return new StabilityData(new TrainingData(Volumes(DataSeed, 100), Volumes(DataSeed + 1, 10)),
                Volumes(DataSeed + 2, 25), 0);
        }

        TomogramOptions tomogram = name == "shrec-like"
            ? PaperScale.Quick.Shrec with
            {
                Shapes = ProteinDensities.Shapes(
                    ProteinDensities.Shrec, PaperScale.Quick.Shrec.VoxelSizeAngstrom, Path.Combine(folder, "densities")),
            }
            : new TomogramOptions
            {
                Seed = DataSeed,
                Shapes = [.. ParticleShape.BuiltIn.Keys.Select(s => ParticleShape.Create(s, 10))],
            };
        TrainingVolume[] volumes = [.. Enumerable.Range(0, 4).Select(i => Tomogram(tomogram, i))];
        int centers = name switch
        {
            "tomogram-100" => 100,
            "tomogram-10" => 10,
            "shrec-like" => 0,
            _ => throw new ArgumentException($"'{name}' is no data set; expected {string.Join(", ", DataNames)}.", nameof(name)),
        };
        return new StabilityData(new TrainingData(volumes[..2], [volumes[2]]), [volumes[3]], centers);
    }

    private static TrainingVolume Sandclocks(int seed, int index)
    {
        SandclockVolume volume = Sandclock.Create(SandclockOptions.Demo with { Seed = seed }, index);
        float[] image = [.. volume.Image];
        TrainingVolume.Normalize(image);
        return new TrainingVolume($"sandclock {index}", new Extent(volume.Depth, volume.Height, volume.Width), image,
            volume.Mask, volume.Centers);
    }

    private TrainingVolume Tomogram(TomogramOptions tomogram, int index)
    {
        using SimulatedTomogram simulated = TomogramSimulator.Create(tomogram, index, context.Threads.Count);
        float[] image = Read(simulated.Reconstruction);
        TrainingVolume.Normalize(image);
        float[] mask = [.. Read(simulated.Occupancy).Select(v => v > 0 ? 1f : 0f)];
        return new TrainingVolume(
            $"tomogram {index}", tomogram.Extent, image, mask,
                [.. simulated.Particles.Select(p => new Position(p.Z, p.Y, p.X))]);
    }

    private static float[] Read(Volume volume)
    {
        float[] values = new float[volume.Size.Voxels];
        volume.Read(new Box((0, 0, 0), volume.Size), values);
        return values;
    }

    // Of each training volume so many centres, others with every seed; where not all are annotated, what is
    // far from these is not labelled.
    private sealed record StabilityData(TrainingData Training, IReadOnlyList<TrainingVolume> Test, int CentersPerVolume)
    {
        public double LabelRadiusVoxels => CentersPerVolume > 0 ? 8 : 0;

        public TrainingData For(int seed) => CentersPerVolume == 0
            ? Training
            : Training with
            {
                Training = [.. Training.Training.Select((v, i) =>
                {
                    Position[] centers = [.. v.Centers];
                    new Random(1000 * seed + i).Shuffle(centers);
                    return v with { Mask = null, Centers = centers[..Math.Min(CentersPerVolume, centers.Length)] };
                })],
            };
    }
}

/// <summary>What is counted.</summary>
internal sealed record StabilityOptions
{
    /// <summary>Data sets, by name.</summary>
    public IReadOnlyList<string> Data { get; init; } = StabilityBench.DataNames;

    /// <summary>Presets, by name.</summary>
    public IReadOnlyList<string> Presets { get; init; } = StabilityBench.PresetNames;

    /// <summary>Trainings of each.</summary>
    public int Runs { get; init; } = 8;

    /// <summary>The first seed.</summary>
    public int FirstSeed { get; init; } = 1;

    /// <summary>Steps of each.</summary>
    public int Steps { get; init; } = 200;

    /// <summary>
    /// Steps that the learning rate's course is laid out for; null for <see cref="Steps"/>.
    /// </summary>
    public int? ScheduleSteps { get; init; }

    /// <summary>Whether no output bias, a rate of 0.002 and a beta2 of 0.999 make it hard.</summary>
    public bool Hard { get; init; }

    /// <summary>Weight of the term at the centres; null for the preset's.</summary>
    public double? CenterWeight { get; init; }

    /// <summary>In words, what makes one training of a name and seed differ from another.</summary>
    public string Settings => string.Create(CultureInfo.InvariantCulture,
        $"steps {Steps} of {ScheduleSteps ?? Steps}{(Hard ? ", hard" : "")}, center weight "
            + $"{CenterWeight?.ToString(CultureInfo.InvariantCulture) ?? "of the preset"}");
}
