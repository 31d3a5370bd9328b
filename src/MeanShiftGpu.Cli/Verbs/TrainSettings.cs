using System.CommandLine;
using System.Globalization;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Training;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>The options of 'train' that decide about network and training, and what they come to.</summary>
internal sealed class TrainSettings
{
    // What a network has learnt it need not learn again.
    private const int FractionWithInit = 4;

    // With fewer centres a class a smaller network learns as much in a fifth of the time, and other
    // directions of the missing wedge do less harm than too few views of the particles
    // (benchmarks/results/quality.md, a user's project).
    private const int FewCenters = 50;

    private static readonly int[] WidthsForFew = [16, 24, 32];

    private readonly IReadOnlyList<TrainingSetting> settings = TrainingSettings.Create();

    /// <summary>The particles' diameter in Å.</summary>
    public Option<double[]?> Diameter { get; } = Parse.RealList(
        "--particle-diameter", "Diameter of the particle in Å; one for all classes, or one for each. Gives bandwidth, seed "
        + "radius, mask radius, centre margin and patch, which their own options change.");

    /// <summary>The settings to begin with.</summary>
    public Option<TrainingOptions?> Preset { get; } = TrainingSettings.PresetOption();

    /// <summary>The network's channels.</summary>
    public Option<int[]?> Widths { get; } = Parse.IntegerList("--widths", "N,N,…", "Channels at each resolution of the "
        + "network, finest first. Default: 32,48,64, the published network; for VOLUMES with few centres 16,24,32.", 1, 1024);

    /// <summary>The model to begin with.</summary>
    public Option<string?> Init { get; } = Parse.Text("--init", "FILE",
        "Begin with the weights of this model (safetensors) and the settings of its training, with a fresh optimiser and a "
        + "quarter of the steps; the options here change them. Classes may be others.");

    /// <summary>The options of a group of the help, of those that set one value.</summary>
    public IEnumerable<Symbol> OfGroup(string group) => settings.Where(s => s.Group == group).Select(s => s.Option);

    /// <summary>The network and the settings, without what follows from the particle's diameter.</summary>
    /// <param name="options">The command line.</param>
    /// <param name="checkpoint">The file to go on from.</param>
    /// <param name="resuming">Whether to go on.</param>
    /// <exception cref="InputException">They do not fit together, or there is nothing to go on
    /// from.</exception>
    public (UNet3dOptions Structure, TrainingOptions Settings) Of(ParseResult options, string checkpoint, bool resuming)
    {
        UNet3dOptions structure = new();
        TrainingOptions? begun = options.GetValue(Preset);
        if (!resuming && options.GetValue(Init) is { } parent)
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

        if (options.GetValue(Widths) is { Length: > 0 } given)
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
    /// Network and settings with what follows from the particle's diameter and the number of centres, where
    /// the diameter is given; options that say otherwise count.
    /// </summary>
    public (UNet3dOptions Structure, TrainingOptions Settings) Sized(
        ParseResult options, UNet3dOptions structure, TrainingOptions training, TrainingSource source, bool resuming,
        Session session)
    {
        if (options.GetValue(Diameter) is not { Length: > 0 } angstrom)
        {
            if (source.Matched is not null && !resuming)
                session.Line(string.Create(
                    CultureInfo.InvariantCulture,
                    $"no {Diameter.Name} was given: the bandwidth is {training.MeanShift.BandwidthVoxels:0.##} voxels, as for "
                        + $"particles of {training.MeanShift.BandwidthVoxels / ParticleSize.BandwidthPerDiameter:0.#} voxels"));
            return (structure, training);
        }

        double voxel = source.VoxelSizeAngstrom();
        ParticleSize[] sizes = [.. angstrom.Select(d => ParticleSize.FromAngstrom(d, voxel))];
        training = ParticleSize.Apply(training, sizes, source.Largest, structure.Divisor);
        training = settings.Aggregate(training, (sofar, setting) => setting.Apply(options, sofar));
        // A preset that is named, a model to begin with and a checkpoint are taken as they are.
        if (source.Matched is { } files && !resuming && options.GetValue(Init) is null && options.GetValue(Preset) is null
            && files.Annotated.Sum(a => a.Centers.Count) is var centers && centers < FewCenters * training.ClassCount)
            (structure, training) = ForFew(options, structure, training, centers, session);
        TrainReport.Sizes(session, training, angstrom, voxel);
        return (structure, training);
    }

    private (UNet3dOptions Structure, TrainingOptions Settings) ForFew(
        ParseResult options, UNet3dOptions structure, TrainingOptions training, int centers, Session session)
    {
        List<string> changes = [];
        if (options.GetValue(Widths) is not { Length: > 0 })
        {
            structure = structure with { Widths = WidthsForFew };
            changes.Add($"the network is a smaller one ({Widths.Name} {string.Join(',', WidthsForFew)})");
        }

        // Patches of thin volumes are no cubes, nor need be those that are asked for; their axes stay.
        bool isCube = training.Patch.Depth == training.Patch.Height && training.Patch.Height == training.Patch.Width;
        Option augmentation = settings.First(s => s.Option.Name == "--augmentation").Option;
        if (isCube && options.GetResult(augmentation) is not { Implicit: false })
        {
            training = training with { Augmentation = Augmentation.FlipsAndSwaps };
            changes.Add($"patches are also turned so that axes are exchanged ({augmentation.Name} flips-and-swaps)");
        }

        if (changes.Count > 0)
            session.Line(
                $"{Counted.Of(centers, "centre")} {(centers == 1 ? "is" : "are")} few: {string.Join(", and ", changes)}");
        return (structure, training);
    }
}
