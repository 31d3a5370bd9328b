using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>A mask for all tomograms, or a folder with one for each, found by the rule of names.</summary>
public sealed class MaskFiles
{
    // What a mask's name has beyond that of its tomogram.
    private const string Added = "_mask";

    private readonly string given;
    private readonly TomogramFiles? index;

    private MaskFiles(string given, TomogramFiles? index) => (this.given, this.index) = (given, index);

    /// <summary>Whether it is a folder.</summary>
    public bool IsFolder => index is not null;

    /// <summary>What a person gave.</summary>
    /// <param name="given">A file or a folder; in a folder TS_01.mrc and TS_01_mask.mrc are the masks of
    /// TS_01.</param>
    /// <exception cref="InputException">The folder has no volume or cannot be read.</exception>
    public static MaskFiles Of(string given)
    {
        ArgumentNullException.ThrowIfNull(given);
        return new MaskFiles(given, VolumeFiles.InFolder(given) is { } files
            ? new TomogramFiles(files.Select(f => (NameOf(f), f))) : null);
    }

    /// <summary>The mask of a tomogram.</summary>
    /// <param name="tomogram">Its name, or its volume's file.</param>
    /// <param name="path">The file that has the name, for messages.</param>
    /// <exception cref="InputException">The folder has none, or several.</exception>
    public string Find(string tomogram, string path)
        => index is null ? given : index.Find(TomogramNames.Of(tomogram), path)
            ?? throw new InputException($"{given}: has no mask of tomogram {InputFile.Quote(TomogramNames.Of(tomogram))}; "
                + $"expected {TomogramNames.Of(tomogram)}.mrc or {TomogramNames.Of(tomogram)}{Added}.mrc. Add it; a mask of "
                + $"ones keeps everything.");

    /// <summary>Refuses a mask of another size or voxel size, whose voxels lie elsewhere.</summary>
    /// <param name="mask">Its file.</param>
    /// <param name="of">What it is the mask of, for the message.</param>
    /// <param name="shape">The volume's size; null where unknown.</param>
    /// <param name="voxelAngstrom">The volume's voxel size in Å; 0 where unknown.</param>
    /// <exception cref="InputException">It has.</exception>
    public static void RefuseOtherGrid(string mask, string of, Extent? shape, double voxelAngstrom)
    {
        MrcHeader header = MrcFile.ReadHeader(mask);
        if (shape is { } size && header.Shape != size)
            throw new InputException($"{mask}: the mask has {header.Shape} voxels, the volume of {of} has {size}; expected the "
                + "same size. Give a mask of that volume.");
        double masked = header.VoxelSize.CubeAngstrom;
        // Programs that do not know a mask's voxel size write 0, or 1 Å.
        if (voxelAngstrom > 0 && masked > 0 && masked != 1 && Math.Abs(masked - voxelAngstrom) > 0.01 * voxelAngstrom)
            throw new InputException(FormattableString.Invariant($"{mask}: the mask has voxels of {masked:0.###} Å, the volume ")
                + FormattableString.Invariant($"of {of} has {voxelAngstrom:0.###} Å; expected the same. Give a mask of that ")
                + "volume, or correct the voxel size.");
    }

    /// <summary>
    /// Refuses a volume that cannot be a mask, as it is far below 0, too, as a tomogram is. Masks that a
    /// program has resampled may be a little below 0.
    /// </summary>
    /// <param name="mask">Its name.</param>
    /// <param name="values">Its voxels'.</param>
    /// <exception cref="InputException">It cannot be one.</exception>
    public static void RefuseOtherValues(string mask, VoxelStatistics values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (values.Minimum < -0.1 * values.Maximum)
            throw new InputException(FormattableString.Invariant($"{mask}: has values from {values.Minimum:g3} to ")
                + FormattableString.Invariant($"{values.Maximum:g3}, and a mask is 0 outside and above 0 inside. Give a mask ")
                + "instead of a tomogram.");
    }

    private static string NameOf(string file)
    {
        string name = TomogramNames.Of(Path.GetFileName(file));
        return TomogramNames.Of(name.EndsWith(Added, StringComparison.OrdinalIgnoreCase) ? name[..^Added.Length] : name);
    }
}
