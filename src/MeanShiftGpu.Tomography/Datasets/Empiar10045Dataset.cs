using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Datasets;

/// <summary>
/// The mean-shift loss paper's Ribo data set, of EMPIAR-10045's tomogram IS002_291013_006 and its ribosomes:
/// binned by 8 to about 17.4 Å, patches of 56³ voxels with at least one centre, in scan order the first 70 %
/// for training, up to 85 % for validation, the rest for testing; masks are balls of radius 4.
/// </summary>
/// <remarks>
/// The deposited coordinates count unbinned pixels. Pixel i of them lies at voxel (i + 0.5)/8 − 0.5 of the
/// binned tomogram; i/8, as is often written, would put every centre 0.44 voxels too far from the first one.
/// </remarks>
public static class Empiar10045Dataset
{
    /// <summary>The binning of the paper's tomogram.</summary>
    public const double PaperBinning = 8;

    /// <summary>Writes the data set: patches, centres, masks and manifest.json.</summary>
    /// <param name="tomogram">The tomogram (MRC).</param>
    /// <param name="coordinates">The deposited coordinates (.coords), in unbinned pixels.</param>
    /// <param name="folder">An existing folder.</param>
    /// <param name="averaging">Blocks of so many voxels along each edge are averaged first; 1 takes the
    /// tomogram as it is.</param>
    /// <param name="binning">How many unbinned pixels make a voxel of what is then the tomogram.</param>
    /// <param name="options">Patches, masks, and whether annotations are sparse.</param>
    /// <param name="cancellation">Stops the averaging.</param>
    /// <exception cref="InputException">A file cannot be read or written, centres lie outside the tomogram,
    /// or no patch has one.</exception>
    public static DatasetManifest Write(
        string tomogram,
        string coordinates,
        string folder,
        int averaging,
        double binning,
        PatchDatasetOptions options,
        CancellationToken cancellation = default)
    {
        using Volume volume = averaging == 1 ? MrcFile.Read(tomogram) : ReadBinned(tomogram, averaging, cancellation);
        IReadOnlyList<Particle> particles = CoordinateTables.Read(
            coordinates, new CoordinateContext { Binning = binning }.WithVolume(tomogram, volume.Size, volume.VoxelSize));
        CoordinateTables.CheckInside(coordinates, particles, volume.Size);
        IReadOnlyList<(int, int, int)> origins = PatchDataset.Choose(volume.Size, particles, options);
        if (origins.Count == 0)
            throw new InputException($"{tomogram}: no patch of {options.Patch} voxels in {volume.Size} has a centre; choose "
                + "smaller patches.");
        IReadOnlyList<DatasetVolume> entries = PatchDataset.Write(
            folder, "patch", volume, particles, isInside: null, origins, i => PaperSplit(i, origins.Count), options);
        DatasetManifest manifest = new() { Volumes = entries };
        manifest.Write(Path.Combine(folder, DatasetManifest.UsualName));
        return manifest;
    }

    private static Volume ReadBinned(string tomogram, int averaging, CancellationToken cancellation)
    {
        using MrcReader reader = MrcReader.Open(tomogram, cancellation);
        return VolumeBinning.Average(reader, averaging, cancellation);
    }

    /// <summary>
    /// The use of a patch: of 72, 50 are for training, 11 for validation and 11 for testing.
    /// </summary>
    public static DatasetSplit PaperSplit(int patch, int patches)
        => patch < (int)(0.7 * patches) ? DatasetSplit.Train : patch < (int)(0.85 * patches) ? DatasetSplit.Validation
            : DatasetSplit.Test;
}
