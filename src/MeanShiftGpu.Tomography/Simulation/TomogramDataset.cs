using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates.Formats;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>One simulated tomogram on disk.</summary>
/// <param name="Entry">Its files and split.</param>
/// <param name="Particles">How many particles it has, of each kind.</param>
/// <param name="DefocusMicrometers">Its underfocus in µm.</param>
/// <param name="SignalVariance">Variance of the images before noise.</param>
/// <param name="NoiseDeviation">SD of the noise in the images.</param>
public sealed record WrittenTomogram(
    DatasetVolume Entry,
    IReadOnlyDictionary<string, int> Particles,
    double DefocusMicrometers,
    double SignalVariance,
    double NoiseDeviation);

/// <summary>
/// Writes simulated tomograms in SHREC 2021's layout (<see cref="ShrecDataset"/>) and a manifest that
/// training reads. Class n is the n-th shape.
/// </summary>
public static class TomogramDataset
{
    private const int LargestInt8 = sbyte.MaxValue;
    private const int LargestInt16 = short.MaxValue;

    /// <summary>
    /// Writes tomograms, then, when all of them are there, the manifest. Tomogram n goes to model_n.
    /// </summary>
    /// <param name="folder">An existing folder; files of the same names are replaced.</param>
    /// <param name="options">What to simulate.</param>
    /// <param name="splits">What each tomogram is used for; their number is that of the tomograms.</param>
    /// <param name="progress">Told (tomograms written, tomograms to write); null for no callback.</param>
    /// <param name="cancellation">Stops between two tomograms; the folder then has no manifest.</param>
    /// <exception cref="InputException">An option is out of range, particles do not fit, or a file cannot be
    /// written.</exception>
    public static IReadOnlyList<WrittenTomogram> Write(
        string folder,
        TomogramOptions options,
        IReadOnlyList<DatasetSplit> splits, Action<int, int>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(folder);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(splits);
        options.Validate();
        string manifest = Path.Combine(folder, DatasetManifest.UsualName);
        // An older manifest must not vouch for a mixture of old and new tomograms.
        File.Delete(manifest);
        List<WrittenTomogram> written = [];
        foreach (DatasetSplit split in splits)
        {
            cancellation.ThrowIfCancellationRequested();
            using SimulatedTomogram tomogram = TomogramSimulator.Create(options, written.Count);
            written.Add(Write(ShrecDataset.Model(folder, written.Count), tomogram, split));
            progress?.Invoke(written.Count, splits.Count);
        }

        new DatasetManifest { Volumes = [.. written.Select(w => w.Entry)] }.Write(manifest);
        return written;
    }

    private static WrittenTomogram Write(ShrecModel model, SimulatedTomogram tomogram, DatasetSplit split)
    {
        OutputFolder.Prepare(model.Folder);
        IReadOnlyList<SimulatedParticle> particles = tomogram.Particles;
        MrcFile.Write(model.Reconstruction, tomogram.Reconstruction, new MrcWriteOptions { Mode = MrcMode.Float32 });
        MrcFile.Write(model.GrandModel, tomogram.Model, new MrcWriteOptions { Mode = MrcMode.Float32 });
        MrcFile.Write(model.OccupancyMask, tomogram.Occupancy, new MrcWriteOptions { Mode = LabelMode(particles.Count) });
        // The occupancy is on disk; its voxels become their particles' classes.
        for (int z = 0; z < tomogram.Occupancy.Depth; z++)
        {
            foreach (ref float voxel in tomogram.Occupancy.Slice(z))
                voxel = voxel > 0 ? particles[(int)voxel - 1].Class : 0;
        }

        MrcFile.Write(model.ClassMask, tomogram.Occupancy, new MrcWriteOptions
        {
            Mode = LabelMode(particles.Count == 0 ? 0 : particles.Max(p => p.Class)),
        });
        ShrecLocations.Write(model.Locations, [.. particles.Select(p => new ShrecObject(p.Shape, p.Z, p.Y, p.X)
        {
            Angles = p.Angles,
        })]);
        DatasetVolume entry = new()
        {
            Volume = Path.GetFullPath(model.Reconstruction),
            Coordinates = Path.GetFullPath(model.Locations),
            Mask = Path.GetFullPath(model.OccupancyMask),
            Split = split,
        };
        Dictionary<string, int> counts = particles.GroupBy(p => p.Shape).ToDictionary(g => g.Key, g => g.Count());
        return new WrittenTomogram(entry, counts, tomogram.DefocusMicrometers, tomogram.SignalVariance, tomogram.NoiseDeviation);
    }

    // Floats count exactly up to 2²⁴, more particles than any tomogram has.
    private static MrcMode LabelMode(int largest)
        => largest <= LargestInt8 ? MrcMode.Int8 : largest <= LargestInt16 ? MrcMode.Int16 : MrcMode.Float32;
}
