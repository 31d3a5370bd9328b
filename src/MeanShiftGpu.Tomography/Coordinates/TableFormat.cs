namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>Where a table of a format says the size of its pixels.</summary>
internal enum PixelSizes
{
    /// <summary>Nowhere.</summary>
    None,

    /// <summary>Once, for all of its rows.</summary>
    OneInTable,

    /// <summary>In each row, or in the group of each.</summary>
    EachRow,
}

/// <summary>
/// One format of tables: a row of <see cref="CoordinateFormats.Table"/>. A new format is a member of
/// <see cref="CoordinateFormat"/>, a file in Formats/ and a row.
/// </summary>
/// <param name="Id">The format.</param>
/// <param name="Endings">Endings of its files' names, with the dot; the first is the one that is
/// written.</param>
internal sealed record TableFormat(CoordinateFormat Id, params string[] Endings)
{
    /// <summary>The word that the command line uses.</summary>
    public string Word { get; } = Id.ToString().ToLowerInvariant();

    /// <summary>Whether its pixels are those of the tilt series, not those of a binned tomogram.</summary>
    public bool CountsUnbinnedPixels { get; init; }

    /// <summary>Whether a table says for each particle which tomogram it belongs to.</summary>
    public bool HoldsSeveralTomograms { get; init; } = true;

    /// <summary>Whether a table holds particles of several kinds.</summary>
    public bool HoldsSeveralObjects { get; init; } = true;

    /// <summary>Whether a table has scores.</summary>
    public bool HoldsScores { get; init; } = true;

    /// <summary>
    /// Whether every row has a place for a score, which is 0 in a table without scores: one of zeros alone
    /// has none.
    /// </summary>
    public bool NeedsScores { get; init; }

    /// <summary>
    /// Whether a row may lack a score or class that others of its table have; another format has numbers
    /// there.
    /// </summary>
    public bool HoldsBlanks { get; init; }

    /// <summary>Whether a table has angles.</summary>
    public bool HoldsAngles { get; init; } = true;

    /// <summary>Where a table says the size of its pixels.</summary>
    public PixelSizes PixelSizes { get; init; }

    /// <summary>Whether sizes and pixels of its tomograms may stand in RELION's tomograms.star.</summary>
    public bool UsesTomogramsStar { get; init; }

    /// <summary>Whether the numbers of its rows are the values of an occupancy mask.</summary>
    public bool NumbersOccupancy { get; init; }

    /// <summary>
    /// Whether it is a STAR table: unknown columns and other tables are kept from one of them to another.
    /// </summary>
    public bool IsStar { get; init; }

    /// <summary>
    /// Whether a name with its ending is written in this format unless another one is named; at most one row
    /// of an ending has it.
    /// </summary>
    public bool IsUsual { get; init; } = true;

    /// <summary>Whether a file's name alone says that it is of this format.</summary>
    public Func<string, bool> IsNamed { get; init; } = static _ => false;

    /// <summary>
    /// Whether a file with its ending is of this format, or of one of the same family, by its content; null
    /// where it is not. Formats without it are those that the ending stands for.
    /// </summary>
    public Func<string, CoordinateFormat?>? Recognise { get; init; }

    /// <summary>What shows by which a file is recognised, for messages about one that is not.</summary>
    public string? Mark { get; init; }

    /// <summary>
    /// Where a tomogram's table lies in a folder of tables: from the tomogram's name and what the particles
    /// are.
    /// </summary>
    public Func<string, string, string>? FileName { get; init; }

    /// <summary>
    /// The tables of this format that lie deeper in a folder of tables than those that have its endings.
    /// </summary>
    public Func<string, IEnumerable<string>>? DeeperIn { get; init; }

    /// <summary>
    /// The tomogram that a file is called like by the rules of this format; null where they say nothing of
    /// such a file, whose name without its ending is then the tomogram's.
    /// </summary>
    public Func<string, string?> TomogramOf { get; init; } = static _ => null;

    /// <summary>Reads a file.</summary>
    public required Func<string, CoordinateContext, CoordinateTable> Read { get; init; }

    /// <summary>Writes a file.</summary>
    public required Action<string, IReadOnlyList<Particle>, CoordinateWriteOptions> Write { get; init; }

    /// <summary>
    /// Why a file cannot be written without the voxel size; null where it can, with these options.
    /// </summary>
    public Func<CoordinateWriteOptions, string?> VoxelSizeReason { get; init; } = static _ => null;

    /// <summary>
    /// Why a file cannot be written without the volume's size; null where it can, with these options.
    /// </summary>
    public Func<CoordinateWriteOptions, string?> ShapeReason { get; init; } = static _ => null;

    /// <summary>Whether a name has one of its endings.</summary>
    public bool HasEnding(string path) => Array.Exists(Endings, e => path.EndsWith(e, StringComparison.OrdinalIgnoreCase));
}
