using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Datasets;

/// <summary>A volume with the rows of a table that are its own.</summary>
/// <param name="Entry">Its files; for training until it is split.</param>
/// <param name="Shape">Its size.</param>
/// <param name="Centers">Its particles of the wanted classes, in voxels.</param>
public sealed record AnnotatedVolume(DatasetVolume Entry, Extent Shape, IReadOnlyList<Position> Centers);

/// <summary>What belongs together of volumes and tables of coordinates, found by the one rule of names (see
/// <see cref="TomogramName"/>).</summary>
public sealed record DatasetFiles
{
    /// <summary>RELION's table of tomograms, which is looked for beside the tables and the volumes.</summary>
    public const string TomogramsName = "tomograms.star";

    /// <summary>The volumes that have particles, in the order given.</summary>
    public required IReadOnlyList<AnnotatedVolume> Annotated { get; init; }

    /// <summary>The volumes that no table has particles of.</summary>
    public required IReadOnlyList<string> WithoutParticles { get; init; }

    /// <summary>The tomograms that tables name, and no volume is called like.</summary>
    public required IReadOnlyList<string> WithoutVolume { get; init; }

    /// <summary>The tables of tomograms that were found beside the others.</summary>
    public required IReadOnlyList<string> TomogramsStars { get; init; }

    /// <summary>
    /// Reads the tables and finds the volume of each row. A table that names no tomogram belongs to the
    /// volume that it is called like, or to the only one.
    /// </summary>
    /// <param name="volumes">MRC files.</param>
    /// <param name="tables">Tables of coordinates: files, folders and patterns.</param>
    /// <param name="told">What the files do not say: voxel size, binning, RELION 5's centre,
    /// tomograms.star.</param>
    /// <param name="choice">The classes that count.</param>
    /// <exception cref="InputException">
    /// No row belongs to a volume; a table's or a volume's name fits several; a volume has particles in two
    /// tables; a file cannot be read.
    /// </exception>
    public static DatasetFiles Match(IReadOnlyList<string> volumes, IReadOnlyList<string> tables, CoordinateContext told,
        AnnotationChoice choice)
        => Match(volumes, tables, told, choice, IsTable);

    /// <summary>
    /// The same files, with tables of places that are no particles for the volumes that have them.
    /// </summary>
    /// <param name="tables">Such tables: files, folders and patterns; of the latter those that are called
    /// NAME_removed.</param>
    /// <param name="told">What the files do not say.</param>
    /// <exception cref="InputException">See <see cref="Match(IReadOnlyList{string}, IReadOnlyList{string},
    /// CoordinateContext, AnnotationChoice)"/>.</exception>
    public DatasetFiles WithBackground(IReadOnlyList<string> tables, CoordinateContext told)
    {
        Dictionary<string,
            string> backgrounds =
            Match([.. Annotated.Select(a => a.Entry.Volume)], tables, told, AnnotationChoice.All,
            CoordinateFolder.IsRemovedTable)
            .Annotated.ToDictionary(a => a.Entry.Volume, a => a.Entry.Coordinates);
        return this with
        {
            Annotated =
            [.. Annotated
            .Select(a => a with { Entry = a.Entry with { Background = backgrounds.GetValueOrDefault(a.Entry.Volume) } })]
        };
    }

    private static DatasetFiles Match(IReadOnlyList<string> volumes, IReadOnlyList<string> tables, CoordinateContext told,
        AnnotationChoice choice, Func<string, bool> isOne)
    {
        ArgumentNullException.ThrowIfNull(volumes);
        ArgumentNullException.ThrowIfNull(tables);
        ArgumentNullException.ThrowIfNull(told);
        ArgumentNullException.ThrowIfNull(choice);
        Source[] sources = [.. volumes.Select(v => new Source(v, MrcFile.ReadHeader(v)))];
        // A name that several volumes have is told apart by the spelling of their files.
        static string Short(Source source)
            => TomogramName.WithoutEndings(Path.GetFileName(source.Path)) is var file && file == ShrecDataset.ReconstructionName
                ? TomogramNames.Of(source.Path) : file;
        TomogramIndex<Source> index = new(sources.GroupBy(Short)
            .SelectMany(g => g.Select(s => (g.Count() == 1 ? g.Key : TomogramNames.Of(s.Path), s))));
        if (sources.GroupBy(s => TomogramNames.Of(s.Path))
            .FirstOrDefault(g => g.Select(Short).Distinct().Count() < g.Count()) is { } alike)
            throw new InputException($"{string.Join(" and ", alike.Take(2).Select(s => s.Path))}: have the same name, so rows "
                + "of a table could belong to both. Give one of them.");

        HashSet<string> orphans = [];
        List<string> stars = [];
        foreach (string table in Tables(tables, isOne))
        {
            // Another table's places would not change.
            bool asks = CoordinateFormats.UsesTomogramsStar(CoordinateFormats.Identify(table));
            string? tomogramsStar = told.TomogramsStar ?? (asks ? TomogramsBeside(volumes.Prepend(table)) : null);
            if (tomogramsStar is not null && told.TomogramsStar is null && !stars.Contains(tomogramsStar))
                stars.Add(tomogramsStar);
            Particle[] rows = RowsOf(table, sources[0]);
            string[] names = NamesIn(rows);
            if (names.Length == 0)
            {
                (OfTable(table, sources, index) ?? throw NoVolumeFor(table, rows, sources)).Take(table, null, tomogramsStar);
                continue;
            }

            foreach (string name in names)
            {
                if (index.Find(name, table) is { } source)
                    source.Take(table, name, tomogramsStar);
                else
                    orphans.Add(name);
            }
        }

        List<AnnotatedVolume> annotated = [];
        foreach (Source source in sources.Where(s => s.Table is not null))
        {
            DatasetVolume entry = source.Entry(told);
            Position[] centers =
            [
                .. entry.ReadParticles(source.Header.Shape, source.Header.VoxelSize).Where(p => DatasetLoader.ClassOf(p,
                    choice) >= 0)
                    .Select(p => new Position(p.Z, p.Y, p.X)),
            ];
            if (centers.Length > 0)
                annotated.Add(new AnnotatedVolume(entry, source.Header.Shape, centers));
        }

        if (annotated.Count == 0)
            throw NothingFits(tables, sources, orphans, choice);
        return new DatasetFiles
        {
            Annotated = annotated,
            WithoutParticles = [.. volumes.Except(annotated.Select(a => a.Entry.Volume))],
            WithoutVolume = [.. orphans.Order(StringComparer.Ordinal)],
            TomogramsStars = stars,
        };
    }

    // Files that belong to a project of RELION but have no particles of their own; a set names the other two.
    private static bool IsTable(string path) => CoordinateFolder.IsTable(path)
        && Path.GetFileName(path) is not (TomogramsName or "optimisation_set.star");

    private static IEnumerable<string> Tables(IEnumerable<string> given, Func<string, bool> isOne)
        => given.SelectMany(t => Directory.Exists(t)
            ? CoordinateFolder.Files(t, isOne).Where(isOne) is var files && files.Any() ? files
                : throw CoordinateFolder.NoTable(t)
            : VolumeFiles.FilesOf(t, "table of coordinates", string.Join(", ", CoordinateFormats.Endings), isOne, "") ?? [t])
                .Distinct();

    /// <summary>
    /// The first tomograms.star that lies beside one of some files; null where there is none.
    /// </summary>
    public static string? TomogramsBeside(IEnumerable<string> files)
        => files.Select(f => Path.GetDirectoryName(Path.GetFullPath(f))!).Distinct()
            .Select(folder => Path.Combine(folder, TomogramsName)).FirstOrDefault(File.Exists);

    // For names alone: any volume's size and one pixel in a voxel do for places that nobody keeps.
    private static Particle[] RowsOf(string table, Source any)
        => [.. CoordinateTables.Read(table, new CoordinateContext
        {
            Binning = 1,
            Shape = any.Header.Shape,
            VoxelSizeAngstrom = any.Header.VoxelSize.CubeAngstrom is > 0 and var size ? size : 1
        })];

    // Numbers are no names.
    private static string[] NamesIn(Particle[] rows)
    {
        string[] names = [.. rows.Select(p => p.Tomogram).OfType<string>().Distinct()];
        return names is [var only] && only.All(char.IsAsciiDigit) ? [] : names;
    }

    private static Source? OfTable(string table, Source[] sources, TomogramIndex<Source> index)
        => sources is [var only] ? only : index.Find(CoordinateFolder.TomogramOf(table), table);

    private static InputException NoVolumeFor(string table, Particle[] rows, Source[] sources)
        => rows.Length == 0 ? new($"{table}: holds no particle, and so no tomogram's name. Give a table with particles.")
            : new($"{table}: does not say which tomogram its particles are of, and is called like none of "
            + $"{Some(sources.Select(s => TomogramNames.Of(s.Path)))}. Rename it like its volume, or give that volume alone.");

    private static InputException NothingFits(IReadOnlyList<string> tables, Source[] sources, HashSet<string> orphans,
        AnnotationChoice choice)
    {
        string given = tables.Count == 1 ? tables[0] : $"{Counted.Of(tables.Count, "table")} from {tables[0]} on";
        if (orphans.Count > 0 && Array.TrueForAll(sources, s => s.Table is null))
            return new($"{given}: names {Some(orphans)}, and no volume is called so; they are "
                + $"{Some(sources.Select(s => TomogramNames.Of(s.Path)))}. The names must agree, or a manifest (--data) must "
                + "say which belong together.");
        return choice.Classes.Count > 0
            ? new($"{given}: has no particle of {Some(choice.Classes)} in any of the volumes. Check the names of the classes.")
            : new($"{given}: has no particle in any of the volumes: a heading without rows, or rows of other tomograms. Give "
                + "a table with particles.");
    }

    private static string Some(IEnumerable<string> names)
    {
        const int most = 5;
        string[] all = [.. names];
        return string.Join(", ", all.Take(most).Select(InputFile.Quote)) + (all.Length > most ? ", …" : "");
    }

    // A volume while its table is looked for.
    private sealed class Source(string path, MrcHeader header)
    {
        private string? name;
        private string? star;

        public string Path => path;

        public MrcHeader Header => header;

        public string? Table { get; private set; }

        public void Take(string table, string? tomogram, string? tomogramsStar)
        {
            if (Table == table)
                throw new InputException($"{table}: names tomograms {InputFile.Quote(name ?? "")} and "
                    + $"{InputFile.Quote(tomogram ?? "")}, which are both {path}. Spell one tomogram alike in all rows.");
            if (Table is not null)
                throw new InputException($"{path}: has particles in {Table} and in {table}; a training takes one table of a "
                    + "volume. Join the two tables.");
            (Table, name, star) = (table, tomogram, tomogramsStar);
        }

        public DatasetVolume Entry(CoordinateContext told) => new()
        {
            Volume = path,
            Coordinates = Table!,
            Tomogram = name,
            TomogramsStar = star,
            Relion5Centre = told.Centre,
            VoxelSizeAngstrom = told.VoxelSizeAngstrom,
            Binning = told.Binning,
            Split = DatasetSplit.Train,
        };
    }
}
