using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>What a simulated data set on disk consists of.</summary>
public sealed record SandclockDatasetOptions
{
    /// <summary>The volumes.</summary>
    public SandclockOptions Sandclock { get; init; } = SandclockOptions.Paper;

    /// <summary>Volumes for training.</summary>
    public int TrainingVolumes { get; init; } = 100;

    /// <summary>Volumes for choosing the best model.</summary>
    public int ValidationVolumes { get; init; } = 10;

    /// <summary>Volumes for the final figures.</summary>
    public int TestVolumes { get; init; } = 25;

    /// <summary>The edge of a voxel in Å, as the headers say it.</summary>
    public double VoxelSizeAngstrom { get; init; } = 10;

    /// <summary>
    /// The ending, without dot, that decides the format of the coordinates: star, csv, tsv, txt or coords.
    /// </summary>
    public string CoordinateFormat { get; init; } = "star";

    /// <summary>Whether the particles' masks are written too (Dice trains with them).</summary>
    public bool Masks { get; init; } = true;
}

/// <summary>One simulated volume on disk.</summary>
/// <param name="Entry">Its files and split.</param>
/// <param name="Particles">How many particles it has.</param>
public sealed record SimulatedVolume(DatasetVolume Entry, int Particles);

/// <summary>Writes simulated volumes as a data set that training reads.</summary>
public static class SandclockDataset
{
    /// <summary>
    /// Writes volumes (MRC, float32), coordinates, masks (MRC, bytes) and, when all of them are there, the
    /// manifest. Volume n of the data set is <see cref="Sandclock.Create"/> with index n, counted through
    /// training, validation and test.
    /// </summary>
    /// <param name="folder">An existing folder; files of the same names are replaced.</param>
    /// <param name="options">What to write.</param>
    /// <param name="progress">Told (volumes written, volumes to write); null for no callback.</param>
    /// <param name="cancellation">Stops between two volumes; the folder then has no manifest.</param>
    /// <exception cref="InputException">An option is out of range, or a file cannot be written.</exception>
    public static IReadOnlyList<SimulatedVolume> Write(
        string folder,
        SandclockDatasetOptions options,
        Action<int, int>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(folder);
        ArgumentNullException.ThrowIfNull(options);
        (string Name, DatasetSplit Split, int Count)[] splits =
        [
            ("train", DatasetSplit.Train, options.TrainingVolumes),
            ("validation", DatasetSplit.Validation, options.ValidationVolumes),
            ("test", DatasetSplit.Test, options.TestVolumes),
        ];
        int total = splits.Sum(s => s.Count);
        if (splits.Any(s => s.Count is < 0 or > 100_000) || total < 1)
            throw new InputException($"simulation: {string.Join(", ", splits.Select(s => $"{s.Count} {s.Name}"))} volumes; "
                + "expected 0 to 100000 of each and one at least.");
        if (!(options.VoxelSizeAngstrom >= 0 && double.IsFinite(options.VoxelSizeAngstrom)))
            throw new InputException($"simulation: a voxel size of {options.VoxelSizeAngstrom} Å; expected 0 (unknown) or more.");

        string manifest = Path.Combine(folder, DatasetManifest.UsualName);
        // An older manifest must not vouch for a mixture of old and new volumes.
        File.Delete(manifest);
        List<SimulatedVolume> written = [];
        foreach ((string name, DatasetSplit split, int count) in splits)
        {
            for (int i = 0; i < count; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                written.Add(WriteVolume(folder, $"{name}_{i:000}", split, written.Count, options));
                progress?.Invoke(written.Count, total);
            }
        }

        new DatasetManifest { Volumes = [.. written.Select(w => w.Entry)] }.Write(manifest);
        return written;
    }

    private static SimulatedVolume WriteVolume(
        string folder, string name, DatasetSplit split, int index, SandclockDatasetOptions options)
    {
        SandclockVolume simulated = Sandclock.Create(options.Sandclock, index);
        VoxelSize voxel = new(options.VoxelSizeAngstrom);
        DatasetVolume entry = new()
        {
            Volume = Path.Combine(folder, $"{name}.mrc"),
            Coordinates = Path.Combine(folder, $"{name}.{options.CoordinateFormat}"),
            Mask = options.Masks ? Path.Combine(folder, $"{name}_mask.mrc") : null,
            Split = split,
        };
        Write(entry.Volume, simulated, simulated.Image, voxel, MrcMode.Float32);
        if (entry.Mask is not null)
            Write(entry.Mask, simulated, simulated.Mask, voxel, MrcMode.Int8);
        CoordinateTables.Write(
            entry.Coordinates,
            [.. simulated.Centers.Select(c => new Particle(c.Z, c.Y, c.X))],
            new CoordinateWriteOptions
            {
                TomogramName = name,
                Context = new CoordinateContext { VoxelSizeAngstrom = options.VoxelSizeAngstrom },
            });
        return new SimulatedVolume(entry, simulated.Centers.Count);
    }

    private static void Write(string path, SandclockVolume simulated, float[] values, VoxelSize voxel, MrcMode mode)
    {
        using Volume volume = new(simulated.Depth, simulated.Height, simulated.Width, voxel);
        for (int z = 0; z < volume.Depth; z++)
            values.AsSpan(z * volume.SliceLength, volume.SliceLength).CopyTo(volume.Slice(z));
        MrcFile.Write(path, volume, new MrcWriteOptions { Mode = mode });
    }
}
