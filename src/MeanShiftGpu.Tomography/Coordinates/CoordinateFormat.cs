using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates.Formats;

namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>
/// Formats of tables of coordinates. Pixels are 0 at the first voxel's centre where nothing else is said; the
/// angles' conventions are at <see cref="ParticleAngles"/>.
/// </summary>
public enum CoordinateFormat
{
    /// <summary>RELION 3 (.star): pixels of the tomogram, rlnMicrographName.</summary>
    Relion3,

    /// <summary>Warp and WarpTools (.star): as RELION 3, with the tomogram named as its .tomostar.</summary>
    Warp,

    /// <summary>RELION 4 (.star): unbinned pixels, rlnTomoName, an optics table.</summary>
    Relion4,

    /// <summary>
    /// RELION 5 (.star): Å from the tomogram's centre (see <see cref="RelionCentre"/>), rlnTomoName.
    /// </summary>
    Relion5,

    /// <summary>Columns x, y, z and more with a heading, separated by commas (.csv).</summary>
    Csv,

    /// <summary>The same, separated by tabs (.tsv).</summary>
    Tsv,

    /// <summary>
    /// Columns x y z, or class x y z, without a heading, separated by blanks (.coords, .txt).
    /// </summary>
    Coords,

    /// <summary>DeepFinder's object list (.xml): pixels of the tomogram.</summary>
    DeepFinder,

    /// <summary>
    /// Dynamo's table (.tbl): pixels of the tomogram, the first voxel's centre is 1; shifts are added.
    /// </summary>
    Dynamo,

    /// <summary>
    /// A motive list of AV3, TOM and others (.em): 20 rows, pixels of the tomogram, the first voxel's centre
    /// is 1; shifts are added.
    /// </summary>
    Motl,

    /// <summary>
    /// EMAN2's info file (.json, boxes_3d): unbinned pixels from voxel size/2 (rounded down) of the tomogram;
    /// one tomogram in a file.
    /// </summary>
    Eman2,

    /// <summary>
    /// copick's picks (.json): Å from the first voxel's centre; one tomogram and object in a file.
    /// </summary>
    Copick,

    /// <summary>
    /// SHREC 2021's particle_locations.txt: pixels of the tomogram; one tomogram in a file.
    /// </summary>
    Shrec,

    /// <summary>ChimeraX's markers (.cmm): Å from the first voxel's centre; one tomogram in a file.</summary>
    ChimeraX,

    /// <summary>
    /// IMOD's model (.mod): pixels of the tomogram from the first voxel's corner along x and y, its centre
    /// along z; one tomogram in a file.
    /// </summary>
    Imod,

    /// <summary>
    /// napari's points (.csv with index, axis-0, axis-1, axis-2): pixels of the tomogram; one tomogram in a
    /// file.
    /// </summary>
    Napari,
}

/// <summary>The table of formats, and what is known of one without looking into a file.</summary>
public static class CoordinateFormats
{
    /// <summary>
    /// Every format. The order is that of messages; of several rows with one ending the first is the most
    /// common.
    /// </summary>
    internal static IReadOnlyList<TableFormat> Table { get; } =
    [
        RelionStar.Relion3, RelionStar.Warp, RelionStar.Relion4, RelionStar.Relion5,
        DelimitedTable.Csv, DelimitedTable.Tsv, DelimitedTable.Coords,
        DeepFinderXml.Format, DynamoTable.Format, EmMotl.Format, Eman2Json.Format, CopickJson.Format, ShrecLocations.Format,
        ChimeraXMarkers.Format, ImodModel.Format, NapariPoints.Format,
    ];

    private static readonly Dictionary<CoordinateFormat, TableFormat> ById = Table.ToDictionary(t => t.Id);

    /// <summary>The formats by the words that the command line uses.</summary>
    public static IReadOnlyDictionary<string, CoordinateFormat> Words { get; } = Table.ToDictionary(t => t.Word, t => t.Id);

    /// <summary>Endings of names that are tables of coordinates.</summary>
    public static IReadOnlyList<string> Endings { get; } = [.. Table.SelectMany(t => t.Endings).Distinct()];

    /// <summary>The format that is written where none is named: the first of the table.</summary>
    public static CoordinateFormat Default => Table[0].Id;

    /// <summary>A format's row.</summary>
    internal static TableFormat Of(CoordinateFormat format) => ById[format];

    /// <summary>A format's word.</summary>
    public static string Word(CoordinateFormat format) => Of(format).Word;

    /// <summary>Whether by its name a file may be a table of coordinates; an ending may not decide.</summary>
    internal static bool IsTable(string path) => Table.Any(t => t.HasEnding(path) && (t.IsUsual || t.IsNamed(path)));

    /// <summary>The usual ending of a format's files, with the dot.</summary>
    public static string Ending(CoordinateFormat format) => Of(format).Endings[0];

    /// <summary>
    /// Whether a format's pixels are those of the tilt series, not those of a binned tomogram.
    /// </summary>
    public static bool CountsUnbinnedPixels(CoordinateFormat format) => Of(format).CountsUnbinnedPixels;

    /// <summary>Whether a table says for each particle which tomogram it belongs to.</summary>
    public static bool HoldsSeveralTomograms(CoordinateFormat format) => Of(format).HoldsSeveralTomograms;

    /// <summary>Whether a table has a column for scores.</summary>
    public static bool HoldsScores(CoordinateFormat format) => Of(format).HoldsScores;

    /// <summary>Whether a row may lack a score or class that others of its table have.</summary>
    public static bool HoldsBlanks(CoordinateFormat format) => Of(format).HoldsBlanks;

    /// <summary>Whether a table has columns for angles.</summary>
    public static bool HoldsAngles(CoordinateFormat format) => Of(format).HoldsAngles;

    /// <summary>
    /// Whether sizes and pixels of a table's tomograms may stand in RELION's tomograms.star.
    /// </summary>
    public static bool UsesTomogramsStar(CoordinateFormat format) => Of(format).UsesTomogramsStar;

    /// <summary>Whether the numbers of a table's rows are the values of an occupancy mask.</summary>
    public static bool NumbersOccupancy(CoordinateFormat format) => Of(format).NumbersOccupancy;

    /// <summary>Whether a format is a STAR table.</summary>
    public static bool IsStar(CoordinateFormat format) => Of(format).IsStar;

    /// <summary>
    /// Refuses a name whose ending is that of another format's files; .txt serves columns and SHREC's rows.
    /// </summary>
    /// <exception cref="InputException">It is.</exception>
    public static void RefuseOtherEnding(string path, CoordinateFormat format)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (!Of(format).HasEnding(path))
            throw new InputException($"{path}: a table of the format {Word(format)} ends in {Ending(format)}. Choose that "
                + "ending, or another format.")
            { Missing = MissingFact.Format };
    }

    /// <summary>
    /// The format that a name is written in: that of the table that is converted, if the ending allows it;
    /// else by the ending, RELION 3 for .star; a .json must be said to be EMAN2's or copick's.
    /// </summary>
    /// <param name="path">The name.</param>
    /// <param name="from">The format of the table that is converted; null where there is none.</param>
    /// <exception cref="InputException">The ending is not known, or does not decide.</exception>
    public static CoordinateFormat ForWriting(string path, CoordinateFormat? from = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        TableFormat[] rows = WithEnding(path);
        if (from is { } kept && Array.Exists(rows, t => t.Id == kept))
            return kept;

        TableFormat? row = Array.Find(rows, t => t.IsNamed(path)) ?? Array.Find(rows, t => t.IsUsual);
        string words = string.Join(" or ", rows.Select(t => t.Word));
        return row?.Id ?? throw new InputException($"{path}: its ending does not decide which table it is; name the format, "
            + $"{words}.")
        { Missing = MissingFact.Format };
    }

    /// <summary>
    /// The format of a file: by its ending, and by its content where that has several. STAR tables are told
    /// apart as they are read.
    /// </summary>
    /// <exception cref="InputException">The ending is not known, or the content is none of those that have
    /// it.</exception>
    internal static CoordinateFormat OfFile(string path)
    {
        // A name that leads nowhere is to be called that, whatever its ending.
        InputFile.Open(path).Dispose();
        TableFormat[] rows = WithEnding(path);
        foreach (TableFormat row in rows.Where(t => !t.IsStar))
        {
            if (row.Recognise?.Invoke(path) is { } found)
                return found;
        }

        string marks = string.Join(" nor ", rows.Select(t => t.Mark).OfType<string>());
        return Array.Find(rows, t => t.IsUsual)?.Id
            ?? throw new InputException($"{path}: has neither {marks}; expected one of them.");
    }

    /// <summary>The format of a file, that of a STAR table by its columns.</summary>
    /// <exception cref="InputException">The file cannot be read, or is none of the formats.</exception>
    public static CoordinateFormat Identify(string path)
    {
        CoordinateFormat format = OfFile(path);
        return Of(format) is { IsStar: true, Recognise: { } recognise } ? recognise(path) ?? format : format;
    }

    private static TableFormat[] WithEnding(string path)
    {
        string ending = Path.GetExtension(path).ToLowerInvariant();
        TableFormat[] rows = [.. Table.Where(t => t.Endings.Contains(ending))];
        return rows.Length > 0
            ? rows
            : throw new InputException($"{path}: {(ending.Length == 0 ? "a name without ending" : InputFile.Quote(ending))} is "
                + $"no supported table of coordinates; expected {string.Join(", ", Endings.SkipLast(1))} or {Endings[^1]}.");
    }
}
