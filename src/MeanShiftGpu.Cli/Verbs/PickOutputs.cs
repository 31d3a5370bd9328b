using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>What belongs to a volume that is picked.</summary>
internal sealed record PickFiles(string Volume, string Name, string Table, string? Map);

/// <summary>A volume that has been picked.</summary>
internal sealed record PickedVolume(PickFiles Files, MrcHeader Header, VolumePicks Picks);

/// <summary>
/// The tables and score maps that 'pick' writes: their names, what may not be replaced, and what is there
/// already.
/// </summary>
internal sealed class PickOutputs
{
    /// <summary>A table, or a folder that gets a table for each volume.</summary>
    public required string Target { get; init; }

    /// <summary>The format of the tables; null for that of the name's ending.</summary>
    public CoordinateFormat? GivenFormat { get; init; }

    /// <summary>A file for the score map, or a folder; null for none.</summary>
    public string? ScoreMap { get; init; }

    /// <summary>The mask of all volumes, or of each; null for none.</summary>
    public MaskFiles? Masks { get; init; }

    /// <summary>The name of the one volume's tomogram; null for that of the file.</summary>
    public string? TomogramName { get; init; }

    /// <summary>What the command reads and writes.</summary>
    public required FileUses Files { get; init; }

    /// <summary>How the tables were made.</summary>
    public required PickRecords Records { get; init; }

    /// <summary>All volumes.</summary>
    public required IReadOnlyList<string> Volumes { get; init; }

    /// <summary>Whether what is there is picked again.</summary>
    public bool Overwrite { get; init; }

    /// <summary>Voxel size, binning and centre of the tables.</summary>
    public required CoordinateContext Context { get; init; }

    /// <summary>Whether one table holds all volumes.</summary>
    public bool Single => CoordinateFormats.Endings.Contains(Path.GetExtension(Target).ToLowerInvariant());

    /// <summary>The format of the tables.</summary>
    public CoordinateFormat Format => GivenFormat ?? (Single ? CoordinateFormats.ForWriting(Target) : CoordinateFormats.Default);

    /// <summary>
    /// Finds everything that can be wrong with the outputs before the first tile is computed, and makes the
    /// folders.
    /// </summary>
    /// <param name="paths">All volumes, those of other processes included.</param>
    public void Prepare(string[] paths)
    {
        if (paths.GroupBy(TomogramNames.Of).FirstOrDefault(g => g.Count() > 1) is { } twice)
            throw new InputException($"pick: {string.Join(" and ", twice)} have the same name, so their picks could not be "
                + "told apart. Pick them one by one.");
        int count = paths.Length;
        if (TomogramName is not null && count > 1)
            throw new InputException($"--tomogram-name: names one tomogram, and there are {count} volumes. Leave it out; "
                + "tables take the files' names.");
        if (Single)
        {
            OutputFolder.CheckFile(Target);
            CoordinateFormats.RefuseOtherEnding(Target, Format);
            if (count > 1 && !CoordinateFormats.HoldsSeveralTomograms(Format))
                throw new InputException($"{Target}: this format has no column for the volume's name, so it holds one volume, "
                    + $"not {count}. Write a .star or .csv file, or give a folder.");
        }
        else
        {
            if (Path.GetExtension(Target).Length is > 1 and <= 5 && !Directory.Exists(Target))
                throw new InputException($"{Target}: '{Path.GetExtension(Target)}' is no table of coordinates; expected "
                    + $"{string.Join(", ", CoordinateFormats.Endings)}, or a folder.");
            OutputFolder.Prepare(Target);
        }

        if (ScoreMap is { } map)
        {
            if (count == 1 && !Directory.Exists(map))
            {
                OutputFolder.CheckFile(map);
            }
            else
            {
                OutputFolder.Prepare(map);
            }
        }

        // A folder may be that of the volumes, and a link to it too.
        PickFiles[] files = [.. paths.Select(path => FilesOf(path, count))];
        if (!Single)
            OutputFolder.RefuseOutside(Target, files.SelectMany(f => CoordinateTables.FilesOf(f.Table)));
        if (ScoreMap is { } maps && Directory.Exists(maps))
            OutputFolder.RefuseOutside(maps, files.Select(f => f.Map!));
        Files.Read([.. Records.Common, .. paths]);
        Files.Write("--out", files.Select(f => f.Table).Distinct());
        Files.Write("--score-map", files.Select(f => f.Map).OfType<string>());
        foreach (IGrouping<string, PickFiles> table in files.GroupBy(f => f.Table).Where(t => Overwrite || !File.Exists(t.Key)))
            CoordinateTables.CheckNames(table.Key, table.Select(f => f.Name));
        // Where the table is there too, the volume has been picked, and nothing is written.
        if (Single && !Overwrite && !File.Exists(Target) && File.Exists(ScoreMap))
            throw new InputException($"{ScoreMap}: is there already, and would be replaced by the score map. Choose another "
                + "name with --score-map, or replace it with --overwrite.");
    }

    /// <summary>The files of a volume, one of so many.</summary>
    public PickFiles FilesOf(string path, int count)
    {
        string name = TomogramName ?? TomogramNames.Of(path);
        string? map = ScoreMap is null || (count == 1 && !Directory.Exists(ScoreMap))
            ? ScoreMap
            : Path.Combine(ScoreMap, $"{CoordinateFolder.NameOf(name)}_scores.mrc");
        return new PickFiles(path, name, Single ? Target : Path.Combine(Target, CoordinateFolder.FileName(Format, name)), map);
    }

    /// <summary>
    /// Whether a volume has been picked, from the same files with the same settings: tables and maps are
    /// complete or not there, and the table comes last.
    /// </summary>
    /// <exception cref="InputException">A table is there that was made otherwise.</exception>
    public bool IsDone(PickFiles files)
        => done.TryGetValue(files.Table, out bool known) ? known : done[files.Table] = WasMadeAlike(files);

    // Asked at every stage; an answer may need the hash of a volume.
    private readonly Dictionary<string, bool> done = [];

    private bool WasMadeAlike(PickFiles files)
    {
        if (Overwrite || !File.Exists(files.Table) || (files.Map is not null && !File.Exists(files.Map)))
            return false;
        string? difference = Records.DifferenceOf(files.Table, Single ? Volumes : [files.Volume]);
        return difference is null ? true
            : throw new InputException($"{files.Table}: is there already, made {difference}. Replace it with --overwrite, or "
                + "choose another name.");
    }

    /// <summary>
    /// Refuses a volume that does not fit mask or tables, before the volumes ahead of it are computed.
    /// </summary>
    /// <param name="files">The volume.</param>
    /// <param name="header">Its header.</param>
    public void Check(PickFiles files, MrcHeader header)
    {
        if (IsDone(files))
            return;
        if (MaskOf(files.Volume) is { } mask)
            MaskFiles.RefuseOtherGrid(mask, files.Volume, header.Shape, header.VoxelSize.CubeAngstrom);
        CoordinateTables.CheckOptions(files.Table, Writing(files, header));
    }

    /// <summary>Refuses volumes that do not go into one table, which has one pixel size here.</summary>
    public void CheckTogether(MrcHeader[] headers)
    {
        if (headers.Length < 2)
            return;
        double first = headers[0].VoxelSize.CubeAngstrom;
        if (Context.VoxelSizeAngstrom == 0 && headers.Any(h => Math.Abs(h.VoxelSize.CubeAngstrom - first) > 1e-3 * first))
        {
            throw new InputException($"{Target}: the volumes differ in voxel size, which one table cannot hold. Give a folder, "
                + "which gets a table for each volume.");
        }
    }

    /// <summary>The mask of a volume; null for none.</summary>
    /// <exception cref="InputException">The folder of masks has none.</exception>
    public string? MaskOf(string volume) => Masks?.Find(volume, volume);

    /// <summary>Writes the table of one volume into the folder.</summary>
    public void WriteTable(PickedVolume volume)
    {
        CoordinateWriteOptions writing = Writing(volume.Files, volume.Header);
        Records.Write([volume]);
        if (volume.Picks.Picks.Count > 0)
        {
            CoordinateFolder.Write(Target, [.. PickTable.ToParticles(volume.Picks)], writing);
            return;
        }

        // A volume without picks has been picked too: its table is empty.
        OutputFolder.Prepare(FolderOf(volume.Files.Table));
        PickTable.Write(volume.Files.Table, [volume.Picks], writing);
    }

    /// <summary>Writes one table of all volumes.</summary>
    public void WriteTable(IReadOnlyList<PickedVolume> volumes)
    {
        Records.Write(volumes);
        PickTable.Write(Target, [.. volumes.Select(v => v.Picks)], Writing(volumes));
    }

    /// <summary>The folder of a file.</summary>
    public static string FolderOf(string file) => Path.GetDirectoryName(Path.GetFullPath(file)) ?? "/";

    /// <summary>
    /// How one table of some volumes is written: places that count from a centre, from that of their own.
    /// </summary>
    public CoordinateWriteOptions Writing(IReadOnlyList<PickedVolume> volumes)
    {
        CoordinateWriteOptions first = Writing(volumes[0].Files, volumes[0].Header);
        return volumes.Count == 1 ? first : first with
        {
            Context = first.Context with
            {
                Volumes = [.. volumes.Select(v => new CoordinateVolume(v.Files.Name, v.Header.Shape, v.Header.VoxelSize))],
            },
        };
    }

    /// <summary>How the table of a volume is written.</summary>
    public CoordinateWriteOptions Writing(PickFiles files, MrcHeader header) => new()
    {
        Format = Format,
        TomogramName = files.Name,
        Context = Context.WithVolume(files.Volume, header.Shape, header.VoxelSize),
    };
}
