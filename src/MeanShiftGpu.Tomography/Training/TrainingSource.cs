using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Training;

/// <summary>What was found to learn from.</summary>
/// <param name="Given">A manifest that was given; null where volumes and tables were.</param>
/// <param name="ManifestPath">Its file.</param>
/// <param name="Matched">Volumes and tables that belong together; null where a manifest was given.</param>
public sealed record TrainingSource(DatasetManifest? Given, string? ManifestPath, DatasetFiles? Matched)
{
    /// <summary>What was told about the tables, for further ones.</summary>
    public CoordinateContext Told { get; init; } = new();

    /// <summary>The volumes for training and validation.</summary>
    public IEnumerable<DatasetVolume> Entries
        => Given?.Volumes.Where(v => v.Split != DatasetSplit.Test) ?? Matched!.Annotated.Select(a => a.Entry);

    /// <summary>The files that the training reads.</summary>
    public IReadOnlyList<string> Files =>
    [
        .. ((string?[])[ManifestPath])
            .Concat((Given?.Volumes ?? Entries)
                .SelectMany(v => (string?[])[v.Volume, v.Coordinates, v.Background, v.Mask, v.TomogramsStar]))
            .OfType<string>().Distinct(),
    ];

    /// <summary>The same with tables of places that are no particles.</summary>
    /// <param name="tables">The tables: files, folders and patterns; none leaves everything as it is.</param>
    /// <param name="training">The settings, by which they must make a difference.</param>
    /// <exception cref="InputException">They make none, or do not fit the volumes.</exception>
    public TrainingSource WithBackground(IReadOnlyList<string> tables, TrainingOptions training)
    {
        ArgumentNullException.ThrowIfNull(tables);
        ArgumentNullException.ThrowIfNull(training);
        if (tables.Count > 0 && Matched is null)
            throw new InputException(
                "--background and --data exclude each other; a manifest says it by volume (\"background\"). Leave one out.");
        TrainingSource source = tables.Count == 0 ? this : this with { Matched = Matched!.WithBackground(tables, Told) };
        if (training.UsesBackground || !source.Entries.Any(e => e.Background is not null))
            return source;
        throw new InputException(
            "training: known background makes no difference with these settings: the mean-shift loss knows centres alone, "
                + "and without "
            + "--label-radius Dice and cross-entropy take everything for background that is not annotated. Give --dice or "
                + "--cross-entropy, "
            + "and --label-radius; or leave the background out.");
    }

    /// <summary>The largest extents of the volumes or their parts.</summary>
    public Extent Largest
    {
        get
        {
            Extent[] sizes = [.. Entries.Select(e => e.Region?.Box.Size ?? MrcFile.ReadHeader(e.Volume).Shape)];
            return new Extent(sizes.Max(s => s.Depth), sizes.Max(s => s.Height), sizes.Max(s => s.Width));
        }
    }

    /// <summary>
    /// The mean voxel size of the volumes in Å; that they agree is looked at when they are read.
    /// </summary>
    /// <exception cref="InputException">One has none.</exception>
    public double VoxelSizeAngstrom() => Entries.Average(e =>
    {
        if (e.VoxelSizeAngstrom > 0)
            return e.VoxelSizeAngstrom;
        VoxelSize header = MrcFile.ReadHeader(e.Volume).VoxelSize;
        return header.CubeAngstrom > 0 ? header.CubeAngstrom
            : throw new InputException(header.ProblemOf(e.Volume)
                ?? $"{e.Volume}: its header does not say the voxel size, and --particle-diameter is in Å; give the voxel size.")
            {
                Missing = MissingFact.VoxelSize,
            };
    });

    /// <summary>The data set, and how it was split where it was; null where the manifest says it.</summary>
    /// <param name="training">The settings: particles reach as far as their balls and as centres stay from
    /// the faces of patches.</param>
    public (DatasetManifest Manifest, string? Said) Split(TrainingOptions training)
    {
        if (Given is { } manifest)
            return (manifest, null);
        double largest = Enumerable.Range(0, training.ClassCount).Max(training.MaskRadiusOf);
        double radius = Math.Max(training.CenterMarginVoxels, largest);
        DatasetSplitting split = DatasetSplitting.Of(Matched!.Annotated, radius);
        return (split.Manifest, split.Said);
    }
}
