using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>What is to be picked, and who is told about it. Everything has a default.</summary>
public sealed record PickRequest
{
    /// <summary>The volume's name, for messages.</summary>
    public string Name { get; init; } = "volume";

    /// <summary>The voxel size in Å, 0 for unknown; null for that of the volume.</summary>
    /// <exception cref="InputException">It is negative or not finite.</exception>
    public double? VoxelSizeAngstrom
    {
        get;
        init => field = value is null || (value >= 0 && double.IsFinite(value.Value))
            ? value
            : throw new InputException($"pick: a voxel size of {value} Å; expected 0 (unknown) or more.");
    }

    /// <summary>
    /// Whether the volume is shifted and scaled to mean 0 and standard deviation 1; false where that has been
    /// done. A volume that is then far from normalised is refused.
    /// </summary>
    public bool Normalize { get; init; } = true;

    /// <summary>Only where this is above 0 is computed and picked; null for everywhere.</summary>
    public IVoxelSource? Mask { get; init; }

    /// <summary>The mask's name, for messages.</summary>
    public string MaskName { get; init; } = "mask";

    /// <summary>
    /// Volumes of the volume's size that get the scores, one for each class; null where they are not wanted
    /// in memory.
    /// </summary>
    public IReadOnlyList<Volume>? Scores { get; init; }

    /// <summary>An MRC file that gets the scores of the one class that is picked; null for none.</summary>
    public string? ScoreMapFile { get; init; }

    /// <summary>Where that file's map lies, which is where the volume does.</summary>
    public MrcPlace ScoreMapPlace { get; init; }

    /// <summary>
    /// The folder for scores that nobody wants and that do not fit the memory; null for the system's.
    /// </summary>
    public string? ScratchFolder { get; init; }

    /// <summary>
    /// Whether picks of several classes at one place are all kept; otherwise the one with the highest score
    /// is.
    /// </summary>
    public bool OverlappingClasses { get; init; }

    /// <summary>Told the plan before the network runs; null for no callback.</summary>
    public Action<PickPlan>? Planned { get; init; }

    /// <summary>Told how far the network is, after each step or tile; null for no callback.</summary>
    public Action<PredictionProgress>? Progress { get; init; }

    /// <summary>Told each warning when it is found; null for no callback. The result has them all,
    /// too.</summary>
    public Action<PickWarning>? Warned { get; init; }
}

/// <summary>What may be wrong with a volume or its picks.</summary>
public enum PickWarningKind
{
    /// <summary>The voxels are no cubes, as far as the volume says.</summary>
    NoCubes,

    /// <summary>The model was trained at another voxel size.</summary>
    OtherVoxelSize,

    /// <summary>An edge of the volume is shorter than the bandwidth.</summary>
    NoRoom,

    /// <summary>Every voxel has the same value.</summary>
    Constant,

    /// <summary>Nothing was picked of a class.</summary>
    NoPick,

    /// <summary>A voxel alone makes much of the standard deviation.</summary>
    Spike,

    /// <summary>The model does not say what its volumes looked like.</summary>
    NoLooks,

    /// <summary>Neighbouring voxels correlate otherwise than in the model's volumes.</summary>
    OtherGreyValues,

    /// <summary>The scores are far below those of the model's volumes.</summary>
    WeakScores,

    /// <summary>So many voxels are above the threshold that they cannot be particles.</summary>
    Crowded,
}

/// <summary>Something that may be wrong, but does not stop the work.</summary>
/// <param name="Kind">What it is, for programs.</param>
/// <param name="Fact">What was seen, for people.</param>
/// <param name="Remedy">What to check or to do about it.</param>
/// <param name="Class">The class that it is about; null where it is the volume.</param>
public sealed record PickWarning(PickWarningKind Kind, string Fact, string Remedy, PickedClass? Class = null);

/// <summary>What was picked of one class.</summary>
/// <param name="Class">The class.</param>
/// <param name="Picks">The highest score first, each with the number and name of the class.</param>
/// <param name="StartVoxels">How many voxels were above the threshold.</param>
/// <param name="MaximumScore">The largest score.</param>
/// <param name="ClusteringSeconds">Time of the clustering.</param>
public sealed record ClassPicks(
    PickedClass Class, IReadOnlyList<Pick> Picks, long StartVoxels, float MaximumScore, double ClusteringSeconds);

/// <summary>What was picked in a volume.</summary>
public sealed record PickResult
{
    /// <summary>What was picked, class by class.</summary>
    public required IReadOnlyList<ClassPicks> Classes { get; init; }

    /// <summary>All picks, class by class, of each the highest score first.</summary>
    public IReadOnlyList<Pick> Picks => [.. Classes.SelectMany(c => c.Picks)];

    /// <summary>What may be wrong.</summary>
    public required IReadOnlyList<PickWarning> Warnings { get; init; }

    /// <summary>The voxel size in Å; 0 where unknown, or where voxels are no cubes.</summary>
    public required double VoxelSizeAngstrom { get; init; }

    /// <summary>The tiles and the memory.</summary>
    public required PickPlan Plan { get; init; }

    /// <summary>What the network took.</summary>
    public required PredictionSummary Prediction { get; init; }

    /// <summary>Time in all.</summary>
    public required double Seconds { get; init; }
}
