using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Coordinates.Formats;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Datasets;

/// <summary>The files of one tomogram in SHREC 2021's layout.</summary>
/// <param name="Folder">model_N.</param>
public sealed record ShrecModel(string Folder)
{
    /// <summary>The tomogram.</summary>
    public string Reconstruction => Path.Combine(Folder, $"{ShrecDataset.ReconstructionName}.mrc");

    /// <summary>The density that was projected.</summary>
    public string GrandModel => Path.Combine(Folder, "grandmodel.mrc");

    /// <summary>The class of the object in every voxel; 0 outside.</summary>
    public string ClassMask => Path.Combine(Folder, "class_mask.mrc");

    /// <summary>The row of the object in every voxel, from 1; 0 outside.</summary>
    public string OccupancyMask => Path.Combine(Folder, "occupancy_mask.mrc");

    /// <summary>The objects' names, positions and angles.</summary>
    public string Locations => Path.Combine(Folder, ShrecLocations.FileName);
}

/// <summary>
/// SHREC 2021's layout: model_0 to model_9, each a folder with reconstruction.mrc, grandmodel.mrc,
/// class_mask.mrc, occupancy_mask.mrc and particle_locations.txt.
/// </summary>
public static class ShrecDataset
{
    internal const string ReconstructionName = "reconstruction";

    private const string Prefix = "model_";

    /// <summary>
    /// The split of the mean-shift loss paper: models 0 to 5 for training, 6 and 7 for validation, 8, 9 and
    /// above for testing.
    /// </summary>
    public static DatasetSplit PaperSplit(int model)
        => model <= 5 ? DatasetSplit.Train : model <= 7 ? DatasetSplit.Validation : DatasetSplit.Test;

    /// <summary>A model's files, whether they are there or not.</summary>
    public static ShrecModel Model(string folder, int number)
    {
        ArgumentNullException.ThrowIfNull(folder);
        return new(Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{number}")));
    }

    /// <summary>
    /// A data set of the models in a folder, all kinds of particles as one class: centres from
    /// particle_locations.txt without vesicles and fiducials; masks are the voxels whose occupancy is above
    /// the number of vesicle and fiducial rows, which stand first.
    /// </summary>
    /// <param name="folder">The folder that holds model_0 and so on.</param>
    /// <param name="split">What each model is used for; null for <see cref="PaperSplit"/>.</param>
    /// <exception cref="InputException">
    /// The folder or a file of a model is not there, sizes differ, a particle lies outside its tomogram, or
    /// vesicles and fiducials do not stand first.
    /// </exception>
    public static DatasetManifest Import(string folder, Func<int, DatasetSplit>? split = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        split ??= PaperSplit;
        if (!Directory.Exists(folder))
            throw new InputException($"{folder}: no such folder; expected one with {Prefix}0, {Prefix}1 and so on.");
        int[] numbers =
        [
            .. Directory.EnumerateDirectories(folder, $"{Prefix}*")
                .Select(
                    d => int
                        .TryParse(
                            Path.GetFileName(d)[Prefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out int n) ? n
                                : -1)
                .Where(n => n >= 0)
                .Order(),
        ];
        return numbers.Length > 0
            ? new DatasetManifest { Volumes = [.. numbers.Select(n => ImportModel(Model(folder, n), split(n)))] }
            : throw new InputException($"{folder}: has no folder {Prefix}0, {Prefix}1 and so on; expected SHREC 2021's layout.");
    }

    /// <summary>
    /// Cuts the models of <see cref="Import"/> into patches on a grid, as the paper does: those with at least
    /// two centres, of which two lie more than 4 voxels inside.
    /// </summary>
    /// <param name="models">The models.</param>
    /// <param name="folder">An existing folder for the patches and manifest.json.</param>
    /// <param name="patch">The patches' edges.</param>
    /// <param name="progress">Told (models done, models); null for no callback.</param>
    /// <param name="cancellation">Stops between two models; no manifest is written then.</param>
    /// <exception cref="InputException">A file cannot be read or written, or no patch has two
    /// centres.</exception>
    public static DatasetManifest WritePatches(
        DatasetManifest models,
        string folder,
        Extent patch,
        Action<int, int>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(models);
        PatchDatasetOptions options = new() { Patch = patch, MinimumCenters = 2, MinimumCentersInside = 2, MarginVoxels = 4 };
        List<DatasetVolume> entries = [];
        for (int i = 0; i < models.Volumes.Count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            DatasetVolume model = models.Volumes[i];
            using Volume volume = MrcFile.Read(model.Volume);
            using Volume occupancy = MrcFile.Read(model.Mask!);
            List<Particle> particles = ShrecLocations.ReadParticles(model.Coordinates, new CoordinateContext());
            IReadOnlyList<(int, int, int)> origins = PatchDataset.Choose(volume.Size, particles, options);
            entries.AddRange(PatchDataset.Write(
                folder,
                TomogramNames.Of(model.Volume),
                volume,
                particles,
                (z, y, x) => occupancy[z, y, x] > model.MaskAbove,
                origins,
                _ => model.Split,
                options));
            progress?.Invoke(i + 1, models.Volumes.Count);
        }

        if (entries.Count == 0)
            throw new InputException($"{folder}: no patch of {patch} voxels has two centres; choose larger patches.");
        DatasetManifest manifest = new() { Volumes = entries };
        manifest.Write(Path.Combine(folder, DatasetManifest.UsualName));
        return manifest;
    }

    private static DatasetVolume ImportModel(ShrecModel model, DatasetSplit split)
    {
        Extent shape = MrcFile.ReadHeader(model.Reconstruction).Shape;
        Extent mask = MrcFile.ReadHeader(model.OccupancyMask).Shape;
        if (mask != shape)
            throw new InputException($"{model.OccupancyMask}: has {mask} voxels, {model.Reconstruction} {shape}; expected the "
                + "same size.");
        CoordinateTables.CheckInside(
            model.Locations, ShrecLocations.ReadParticles(model.Locations, new CoordinateContext()), shape);
        return new DatasetVolume
        {
            Volume = Path.GetFullPath(model.Reconstruction),
            Coordinates = Path.GetFullPath(model.Locations),
            Mask = Path.GetFullPath(model.OccupancyMask),
            MaskAbove = ObjectsBeforeParticles(model.Locations),
            Split = split,
        };
    }

    private static int ObjectsBeforeParticles(string path)
    {
        IReadOnlyList<ShrecObject> objects = ShrecLocations.Read(path);
        int others = objects.Count(o => !o.IsParticle);
        int late = objects.Take(others).TakeWhile(o => !o.IsParticle).Count();
        return late == others
            ? others
            : throw new InputException($"{path}: row {late + 1} is a particle ({objects[late].Name}), but vesicles or "
                + "fiducials follow; expected those first, so that the occupancy mask tells them from particles.");
    }
}
