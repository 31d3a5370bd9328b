using System.CommandLine;
using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Simulation;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>The options of 'simulate', and what the library is asked for with them.</summary>
internal sealed class SimulateSettings
{
    private const string TomogramPreset = "tomogram";

    private static readonly string[] Formats = ["star", "csv", "tsv", "txt", "coords"];
    private static readonly TomogramOptions Defaults = new();

    private readonly Option<string?> output = Parse.Text("--out", "DIR", "Folder for volumes, coordinates, masks and "
        + "manifest.json; created where it does not exist.", required: true);
    private readonly Option<bool> overwrite = new("--overwrite") { Description = "Replace the data set that is in --out." };
    private readonly Option<string?> preset = Parse.Text(
        "--preset", "paper|demo|tomogram",
        "Sandclock volumes of the paper (56³, 13 to 17 particles) or of the demo (36³, 4 to 6), or tomograms with a missing "
        + "wedge (64×200×200), written in the layout of SHREC 2021. Default: paper.");
    private readonly Option<int?> training = Parse.Integer(
        "--train", "Volumes for training. Default: 100 (tomogram: 2).", 0, 100_000);
    private readonly Option<int?> validation = Parse.Integer("--validation", "Volumes for choosing the best model. Default: 10 "
        + "(tomogram: 0).", 0, 100_000);
    private readonly Option<int?> test = Parse.Integer(
        "--test", "Volumes for the final figures. Default: 25 (tomogram: 2).", 0, 100_000);
    private readonly Option<Extent?> size = Parse.Size("--size", "Size of a volume in voxels. Default: the preset's.");
    private readonly Option<int[]?> particles = Parse.IntegerList(
        "--particles", "MIN,MAX", "Fewest and most particles of a volume. Default: the preset's (tomogram: "
        + $"{TomogramOptions.ParticlesPerMillionVoxels:0} for a million voxels).", 0, 1_000_000);
    private readonly Option<double?> voxelSize = Parse.Real("--voxel-size", "Edge of a voxel in Å; 0 for unknown (not for "
        + "tomograms). Default: 10.", 0, 1e6);
    private readonly Option<int> seed = Parse.Integer(
        "--seed", "The same seed gives the same data set.", 1, int.MinValue, int.MaxValue);

    private readonly Option<double?> distance = Parse.Real("--min-distance", "Sandclock: centres are farther apart than this, "
        + "in voxels. Default: 9.", 0);
    private readonly Option<double?> noise = Parse.Real("--noise", "Sandclock: standard deviation of the noise; a particle "
        + "stands out by 1. Default: 0.7.", 0);
    private readonly Option<string?> format = Parse.Text("--format", "star|csv|tsv|txt|coords", "Sandclock: format of the "
        + "coordinates. Default: star.");
    private readonly Option<bool> noMasks = new("--no-masks") { Description = "Sandclock: write no masks." };

    private readonly Option<string[]> shapes = Parse.Texts(
        "--shapes", "NAME", "Tomogram: kinds of particles that need no file: "
        + $"{string.Join("; ", ParticleShape.BuiltIn.Select(s => $"{s.Key} ({s.Value})"))}. Default: "
        + $"{string.Join(' ', ParticleShape.BuiltIn.Keys)}, or none where there is --density.");
    private readonly Option<string[]> densities = Parse.Texts("--density", "FILE", "Tomogram: kinds of particles as densities "
        + "(.mrc with its voxel size, brighter than 0); they are rescaled.");
    private readonly Option<double?> gap = Parse.Real("--gap", "Tomogram: particles are farther apart than this, in voxels. "
        + $"Default: {Defaults.GapVoxels}.", 0, 64);
    private readonly Option<double[]?> tilts = Parse.RealTriple(
        "--tilts", "FIRST,LAST,STEP", "Tomogram: tilts about y in degrees. Default: "
        + $"{Defaults.FirstTiltDegrees},{Defaults.LastTiltDegrees},{Defaults.TiltStepDegrees}.");
    private readonly Option<double?> ratio = Parse.Real("--snr", "Tomogram: variance of the projections over that of their "
        + $"noise. Default: {Defaults.SignalToNoise}.", 1e-6);
    private readonly Option<double[]?> defocus = Parse.RealList(
        "--defocus", "Tomogram: least and most underfocus in µm, or one for all. Default: "
        + $"{Defaults.Microscope.MinimumDefocusMicrometers},{Defaults.Microscope.MaximumDefocusMicrometers}.");
    private readonly Option<double?> voltage = Parse.Real("--voltage", "Tomogram: acceleration voltage in kV. Default: "
        + $"{Defaults.Microscope.VoltageKilovolts}.", 20, 1500);
    private readonly Option<double?> aberration = Parse.Real("--cs", "Tomogram: spherical aberration in mm. Default: "
        + $"{Defaults.Microscope.SphericalAberrationMillimeters}.", 0, 100);
    private readonly Option<double?> amplitude = Parse.Real("--amplitude-contrast", "Tomogram: fraction of amplitude contrast. "
        + $"Default: {Defaults.Microscope.AmplitudeContrast}.", 0, 1);
    private readonly Option<bool> keepPhases = new("--no-phase-flip")
    {
        Description = "Tomogram: do not correct phases by phase flipping."
    };
    private readonly Option<bool> bright = new("--bright")
    {
        Description = "Tomogram: particles are bright, as in an inverted "
        + "tomogram."
    };

    /// <summary>The options, as the help groups them.</summary>
    public IReadOnlyList<OptionGroup> Groups =>
    [
        new(OptionGroup.Data, output, overwrite, preset, training, validation, test, size, voxelSize, format, noMasks),
        new(OptionGroup.Particle, particles, distance, gap, shapes, densities, bright),
        new("Imaging", noise, tilts, ratio, defocus, voltage, aberration, amplitude, keepPhases),
        new(OptionGroup.Advanced, seed),
    ];

    /// <summary>The options that name files which are read.</summary>
    public IEnumerable<Symbol> Reads => [densities];

    /// <summary>The folder.</summary>
    public Option<string?> Output => output;

    /// <summary>The folder to write, and whether a data set that is there is replaced.</summary>
    public (string Folder, bool Overwrite) Place(ParseResult options) => (options.GetValue(output)!, options.GetValue(overwrite));

    /// <summary>How many tomograms of each split are asked for.</summary>
    public DatasetSplit[] Splits(ParseResult options)
    {
        DatasetSplit[] splits =
        [
            .. Enumerable.Repeat(DatasetSplit.Train, options.GetValue(training) ?? 2),
            .. Enumerable.Repeat(DatasetSplit.Validation, options.GetValue(validation) ?? 0),
            .. Enumerable.Repeat(DatasetSplit.Test, options.GetValue(test) ?? 2),
        ];
        return splits.Length > 0 ? splits : throw new InputException("simulate: no tomogram for training, validation or "
            + "testing; expected one at least.");
    }

    /// <summary>The tomograms that are asked for.</summary>
    public TomogramOptions Tomograms(ParseResult options)
    {
        double voxel = options.GetValue(voxelSize) ?? Defaults.VoxelSizeAngstrom;
        if (voxel <= 0)
            throw new InputException("--voxel-size: a tomogram's must be above 0 Å.");
        string[] files = options.GetValue(densities) ?? [];
        string[] names =
            options.GetValue(shapes) is { Length: > 0 } given ? given : files.Length > 0 ? [] : [.. ParticleShape.BuiltIn.Keys];
        ParticleShape[] kinds =
            [.. names.Select(n => ParticleShape.Create(n, voxel)), .. files.Select(f => ParticleShape.FromDensity(f, voxel))];
        if (kinds.GroupBy(k => k.Name).FirstOrDefault(g => g.Count() > 1) is { } twice)
            throw new InputException($"simulate: two kinds of particles are called {twice.Key}; names tell them apart in the "
                + "tables.");
        (int fewest, int most)? range = ParticleRange(options);
        double[]? underfocus = options.GetValue(defocus) is { Length: > 0 } least ? least : null;
        if (underfocus is { Length: > 2 })
            throw new InputException($"--defocus: {Counted.Of(underfocus.Length, "number")}; expected the least and the most, "
                + "for instance 2,4.");
        double[]? angles = options.GetValue(tilts) is { Length: 3 } triple ? triple : null;
        MicroscopeOptions microscope = Defaults.Microscope;
        Extent extent = options.GetValue(size) ?? Defaults.Extent;
        return Defaults with
        {
            Depth = extent.Depth,
            Height = extent.Height,
            Width = extent.Width,
            VoxelSizeAngstrom = voxel,
            Shapes = kinds,
            MinimumParticles = range?.fewest,
            MaximumParticles = range?.most,
            GapVoxels = options.GetValue(gap) ?? Defaults.GapVoxels,
            FirstTiltDegrees = angles?[0] ?? Defaults.FirstTiltDegrees,
            LastTiltDegrees = angles?[1] ?? Defaults.LastTiltDegrees,
            TiltStepDegrees = angles?[2] ?? Defaults.TiltStepDegrees,
            SignalToNoise = options.GetValue(ratio) ?? Defaults.SignalToNoise,
            BrightParticles = options.GetValue(bright),
            Seed = options.GetValue(seed),
            Microscope = new MicroscopeOptions
            {
                VoltageKilovolts = options.GetValue(voltage) ?? microscope.VoltageKilovolts,
                SphericalAberrationMillimeters = options.GetValue(aberration) ?? microscope.SphericalAberrationMillimeters,
                AmplitudeContrast = options.GetValue(amplitude) ?? microscope.AmplitudeContrast,
                MinimumDefocusMicrometers = underfocus?[0] ?? microscope.MinimumDefocusMicrometers,
                MaximumDefocusMicrometers = underfocus?[^1] ?? microscope.MaximumDefocusMicrometers,
                FlipPhases = !options.GetValue(keepPhases),
            },
        };
    }

    private (int Fewest, int Most)? ParticleRange(ParseResult options)
        => options.GetValue(particles) switch
        {
            null or { Length: 0 } => null,
            [int fewest, int most] => (fewest, most),
            { } range => throw new InputException($"--particles: {Counted.Of(range.Length, "number")}; expected the fewest and "
                + "the most, for instance 4,6."),
        };

    /// <summary>Whether tomograms are asked for, not sandclock volumes.</summary>
    /// <exception cref="InputException">An option belongs to the other kind: it would change
    /// nothing.</exception>
    public bool AsksForTomograms(ParseResult options)
    {
        bool tomograms = options.GetValue(preset) == TomogramPreset;
        Option[] others = tomograms
            ? [distance, noise, format, noMasks]
            : [shapes, densities, gap, tilts, ratio, defocus, voltage, aberration, amplitude, keepPhases, bright];
        if (others.FirstOrDefault(o => options.GetResult(o) is { Implicit: false }) is { } other)
            throw new InputException($"{other.Name}: "
                + (tomograms
                        ? "is for sandclock volumes, not for tomograms."
                        : $"is for tomograms; add --preset {TomogramPreset}."));
        return tomograms;
    }

    /// <summary>The sandclock volumes that are asked for.</summary>
    public SandclockDatasetOptions Sandclocks(ParseResult options)
    {
        SandclockOptions sandclock = (options.GetValue(preset) ?? "paper") switch
        {
            "paper" => SandclockOptions.Paper,
            "demo" => SandclockOptions.Demo,
            string other => throw new InputException($"--preset: '{other}' is not known; expected paper, demo or tomogram."),
        };
        if (options.GetValue(size) is { } extent)
            sandclock = sandclock with { Depth = extent.Depth, Height = extent.Height, Width = extent.Width };
        if (ParticleRange(options) is (int fewest, int most))
            sandclock = sandclock with { MinimumParticles = fewest, MaximumParticles = most };

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
            TrainingVolumes = options.GetValue(training) ?? 100,
            ValidationVolumes = options.GetValue(validation) ?? 10,
            TestVolumes = options.GetValue(test) ?? 25,
            VoxelSizeAngstrom = options.GetValue(voxelSize) ?? 10,
            CoordinateFormat = coordinates,
            Masks = !options.GetValue(noMasks),
        };
    }
}
