using System.CommandLine;
using System.Globalization;
using MeanShiftGpu.IO;
using MeanShiftGpu.Simulation;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Writes a simulated data set.</summary>
internal sealed class SimulateVerb(Session session) : Verb(session)
{
    private static readonly string[] Formats = ["star", "csv", "tsv", "txt", "coords"];

    private readonly Option<string?> output = Parse.Text("--out", "DIR", "Folder for volumes, coordinates, masks and manifest.json; created where it does not exist.", required: true);
    private readonly Option<string?> preset = Parse.Text("--preset", "paper|demo", "Volumes of the paper (56³, 13 to 17 particles) or of the demo (36³, 4 to 6). Default: paper.");
    private readonly Option<int> training = Parse.Integer("--train", "Volumes for training.", 100, 0, 100_000);
    private readonly Option<int> validation = Parse.Integer("--validation", "Volumes for choosing the best model.", 10, 0, 100_000);
    private readonly Option<int> test = Parse.Integer("--test", "Volumes for the final figures.", 25, 0, 100_000);
    private readonly Option<Extent?> size = Parse.Size("--size", "Size of a volume in voxels. Default: the preset's.");
    private readonly Option<int[]?> particles = Parse.IntegerList("--particles", "MIN,MAX", "Fewest and most particles of a volume. Default: the preset's.", 0, 1_000_000);
    private readonly Option<double?> distance = Parse.Real("--min-distance", "Centres are farther apart than this, in voxels. Default: 9.", 0);
    private readonly Option<double?> noise = Parse.Real("--noise", "Standard deviation of the noise; a particle stands out by 1. Default: 0.7.", 0);
    private readonly Option<double?> voxelSize = Parse.Real("--voxel-size", "Edge of a voxel in Å, as the headers say it; 0 for unknown. Default: 10.", 0);
    private readonly Option<string?> format = Parse.Text("--format", "star|csv|tsv|txt|coords", "Format of the coordinates. Default: star.");
    private readonly Option<bool> noMasks = new("--no-masks") { Description = "Write no masks." };
    private readonly Option<int> seed = Parse.Integer("--seed", "The same seed gives the same data set.", 1, int.MinValue, int.MaxValue);

    public override string Name => "simulate";

    protected override string Description => "Simulates sandclock volumes (particles of two touching balls in noise) as a data set that 'train' reads.";

    public override string Example => "meanshift-gpu simulate --out data --preset demo --train 100 --validation 10 --test 25";

    protected override bool UsesDevice => false;

    protected override IEnumerable<Symbol> Symbols =>
        [output, preset, training, validation, test, size, particles, distance, noise, voxelSize, format, noMasks, seed];

    protected override ExitCode Run(ParseResult options)
    {
        string folder = options.GetValue(output)!;
        SandclockDatasetOptions dataset = Settings(options);
        dataset.Sandclock.Validate();
        OutputFolder.Prepare(folder);

        IReadOnlyList<SimulatedVolume> volumes = [];
        Session.Progress("simulating", report =>
            volumes = SandclockDataset.Write(folder, dataset, (done, total) => report((double)done / total, $"{done} of {total} volumes"), Cancellation));

        string manifest = Path.Combine(folder, SandclockDataset.ManifestName);
        Session.Line($"{volumes.Count} volumes of {dataset.Sandclock.Depth}×{dataset.Sandclock.Height}×{dataset.Sandclock.Width} voxels with {volumes.Sum(v => v.Particles)} particles: {manifest}");
        WriteJson(options, new
        {
            Manifest = manifest,
            dataset.Sandclock.Seed,
            Volumes = volumes.Select(v => new { v.Entry.Volume, v.Entry.Coordinates, v.Entry.Mask, v.Entry.Split, v.Particles }),
        });
        return ExitCode.Done;
    }

    private SandclockDatasetOptions Settings(ParseResult options)
    {
        SandclockOptions sandclock = (options.GetValue(preset) ?? "paper") switch
        {
            "paper" => SandclockOptions.Paper,
            "demo" => SandclockOptions.Demo,
            string other => throw new InputException($"--preset: '{other}' is not known; expected paper or demo."),
        };
        if (options.GetValue(size) is { } extent)
            sandclock = sandclock with { Depth = extent.Depth, Height = extent.Height, Width = extent.Width };
        if (options.GetValue(particles) is { Length: > 0 } range)
        {
            if (range.Length != 2)
                throw new InputException($"--particles: {range.Length} numbers; expected the fewest and the most, for instance 4,6.");
            sandclock = sandclock with { MinimumParticles = range[0], MaximumParticles = range[1] };
        }

        string coordinates = options.GetValue(format)?.ToLower(CultureInfo.InvariantCulture) ?? "star";
        if (!Formats.Contains(coordinates))
            throw new InputException($"--format: '{coordinates}' is not known; expected {string.Join(", ", Formats)}.");
        return new SandclockDatasetOptions
        {
            Sandclock = sandclock with
            {
                MinimumDistanceVoxels = (float)(options.GetValue(distance) ?? sandclock.MinimumDistanceVoxels),
                NoiseDeviation = (float)(options.GetValue(noise) ?? sandclock.NoiseDeviation),
                Seed = options.GetValue(seed),
            },
            TrainingVolumes = options.GetValue(training),
            ValidationVolumes = options.GetValue(validation),
            TestVolumes = options.GetValue(test),
            VoxelSizeAngstrom = options.GetValue(voxelSize) ?? 10,
            CoordinateFormat = coordinates,
            Masks = !options.GetValue(noMasks),
        };
    }
}
