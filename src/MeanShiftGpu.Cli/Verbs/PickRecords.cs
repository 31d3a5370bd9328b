using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>
/// The records beside the tables and score maps of 'pick' that say what they were made from, and how.
/// </summary>
internal sealed class PickRecords
{
    /// <summary>
    /// The files that every table is computed from: the model, mask and tomograms.star where there are any.
    /// </summary>
    public required IReadOnlyList<string> Common { get; init; }

    /// <summary>
    /// The mask of a volume, where each has its own; null where it is common to all, or there is none.
    /// </summary>
    public Func<string, string>? MaskOf { get; init; }

    /// <summary>The command line.</summary>
    public required string Command { get; init; }

    /// <summary>The options that decide about the picks, as text.</summary>
    public required string Settings { get; init; }

    /// <summary>Hashes of the files that were read.</summary>
    public required InputRecords Hashes { get; init; }

    /// <summary>The device.</summary>
    public string Device { get; set; } = "";

    /// <summary>The files that a table is computed from.</summary>
    /// <param name="volumes">Its volumes.</param>
    public string[] Inputs(IEnumerable<string> volumes)
        => [.. Common, .. volumes, .. MaskOf is null ? [] : volumes.Select(MaskOf)];

    /// <summary>
    /// How a table that is there was made otherwise than by this command; null where it was made alike.
    /// </summary>
    /// <param name="table">The table.</param>
    /// <param name="volumes">The volumes that it is to hold.</param>
    public string? DifferenceOf(string table, IEnumerable<string> volumes)
        => Provenance.Read(table) is { } made
            ? made.DifferenceFrom(Settings, Inputs(volumes))
            : $"by an unknown program or version (there is no {Path.GetFileName(table)}{Provenance.Ending} that says how)";

    /// <summary>
    /// Writes the records of a table and its maps. They come before it, so that a table that is there has
    /// one; an earlier table goes first, as the record is not its own.
    /// </summary>
    public void Write(IReadOnlyList<PickedVolume> volumes)
    {
        string table = volumes[0].Files.Table;
        OutputFolder.Prepare(PickOutputs.FolderOf(table));
        if (!FilePlace.Of(table).IsStream)
            File.Delete(table);
        Made(volumes).Write(table);
        foreach (PickedVolume volume in volumes)
        {
            if (volume.Files.Map is { } map)
                Made([volume]).Write(map);
        }
    }

    private Provenance Made(IEnumerable<PickedVolume> volumes) => new()
    {
        Command = Command,
        Settings = Settings,
        Device = Device,
        Inputs = [.. Inputs(volumes.Select(v => v.Files.Volume)).Select(Hashes.Of)],
    };
}
