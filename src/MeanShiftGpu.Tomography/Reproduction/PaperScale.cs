using MeanShiftGpu.Geometry;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Reproduction;

/// <summary>
/// How large the experiment of the paper's Table 1 is made: the network, its training and the data sets.
/// Evaluation is the same at every scale: patches of 56³ voxels, each by itself.
/// </summary>
public sealed record PaperScale
{
    /// <summary>Some minutes on two cores: a small network, one seed, about a fifth of the data.</summary>
    public static PaperScale Quick { get; } = new()
    {
        Name = "quick",
        Widths = [16, 16, 16],
        Patch = new Extent(36, 36, 36),
        Steps = 200,
        Seeds = 1,
        SandclockVolumes = (20, 4, 6),
        ShrecModels = (2, 1, 1),
        Shrec = ShrecLike with { Depth = 112, Height = 168, Width = 168 },
        RiboPatches = (3, 4),
    };

    /// <summary>Two to three hours on two cores: five seeds, a network of half the published width.</summary>
    public static PaperScale Standard { get; } = new()
    {
        Name = "standard",
        Widths = [16, 24, 32],
        Patch = new Extent(40, 40, 40),
        Steps = 700,
        Seeds = 5,
        SandclockVolumes = (100, 10, 25),
        ShrecModels = (6, 2, 2),
        Shrec = ShrecLike with { Depth = 112, Height = 224, Width = 224 },
        RiboPatches = (8, 9),
    };

    /// <summary>
    /// The published widths, rate and length, and tomograms of SHREC 2021's size: for a GPU.
    /// </summary>
    public static PaperScale Paper { get; } = new()
    {
        Name = "paper",
        Widths = [32, 48, 64],
        Patch = new Extent(56, 56, 56),
        // 1000 epochs of the 100 Sandclock volumes; the other data sets train for as many steps.
        Steps = 100_000,
        Seeds = 5,
        SandclockVolumes = (100, 10, 25),
        ShrecModels = (6, 2, 2),
        Shrec = ShrecLike with { Depth = 168, Height = 504, Width = 504 },
        RiboPatches = (8, 9),
        AsPublished = true,
    };

    /// <summary>The scales by name.</summary>
    public static IReadOnlyDictionary<string, PaperScale> All { get; } =
        new[] { Quick, Standard, Paper }.ToDictionary(s => s.Name);

    // What the SHREC 2021 data set is built on (10 Å voxels, tilts of ±60°, the published proteins) and what
    // is this project's own choice (tilt step, defocus, noise, crowding). They were set before any comparison
    // of losses and are not tuned.
    private static TomogramOptions ShrecLike => new()
    {
        VoxelSizeAngstrom = 10,
        TiltStepDegrees = 2,
        SignalToNoise = 0.1,
        GapVoxels = 1,
        Seed = 2021,
    };

    // About 1500 in a tomogram of SHREC's size.
    private const double ShrecParticlesPerMillionVoxels = 30;

    /// <summary>The name that the command line knows.</summary>
    public required string Name { get; init; }

    /// <summary>Channels of the network at each resolution.</summary>
    public required IReadOnlyList<int> Widths { get; init; }

    /// <summary>What a training step sees: a part of a patch of 56³ voxels, or all of it.</summary>
    public required Extent Patch { get; init; }

    /// <summary>Steps of a training.</summary>
    public required int Steps { get; init; }

    /// <summary>How many trainings each loss gets on each data set, with seeds from 1 on.</summary>
    public required int Seeds { get; init; }

    /// <summary>Sandclock volumes for training, validation and testing.</summary>
    public required (int Train, int Validation, int Test) SandclockVolumes { get; init; }

    /// <summary>SHREC-like tomograms for training, validation and testing.</summary>
    public required (int Train, int Validation, int Test) ShrecModels { get; init; }

    /// <summary>The SHREC-like tomograms, without their kinds of particles.</summary>
    public required TomogramOptions Shrec
    {
        get;
        init
        {
            int particles = (int)(value.Extent.Voxels * 1e-6 * ShrecParticlesPerMillionVoxels);
            field = value with { MinimumParticles = particles, MaximumParticles = particles };
        }
    }

    /// <summary>Patches of the ribosomes' tomogram along y and x.</summary>
    public required (int Y, int X) RiboPatches { get; init; }

    /// <summary>
    /// The paper's own settings of training: weighting, rate, no augmentation, the plain sum of both losses.
    /// </summary>
    public bool AsPublished { get; init; }

    /// <summary>The settings of a training: the same for every loss but for the losses' weights.</summary>
    public TrainingOptions Training(PaperDataset dataset, PaperLoss loss, int seed)
    {
        TrainingOptions common = (AsPublished ? TrainingOptions.Paper : TrainingOptions.Combined) with
        {
            Steps = Steps,
            Seed = seed,
            Patch = Patch,
            ValidationInterval = Math.Max(1, Steps / 10),
            // Tomograms have a missing wedge along z and y; sandclocks look alike from everywhere.
            Augmentation = AsPublished ? Augmentation.None
                : dataset == PaperDataset.Sandclock ? Augmentation.FlipsAndSwaps : Augmentation.Flips,
        };
        return PaperLosses.Weigh(common, loss, AsPublished ? 1 : TrainingOptions.Combined.DiceWeight);
    }

    /// <summary>The clustering of every loss's score maps.</summary>
    public MeanShiftOptions PickingMeanShift => AsPublished ? MeanShiftOptions.Paper : MeanShiftOptions.Combined;

    /// <summary>A scale by its name.</summary>
    /// <exception cref="InputException">There is none of that name.</exception>
    public static PaperScale Named(string name)
        => All.TryGetValue(name, out PaperScale? scale) ? scale
            : throw new InputException($"--scale: '{name}' is not known; expected {string.Join(", ", All.Keys)}.");
}
