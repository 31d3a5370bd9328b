using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>
/// A folder with a table for each tomogram: NAME.star and so on, and what else a format's row says of its
/// files' names and places.
/// </summary>
public static class CoordinateFolder
{
    // Formats with folders of their own come first: what lies in them may be called like anything.
    private static readonly TableFormat[] ByPlace = [.. CoordinateFormats.Table.OrderBy(t => t.DeeperIn is null)];

    /// <summary>
    /// Writes a table for each tomogram that the particles name, and for each object where the format holds
    /// one. The folder is created.
    /// </summary>
    /// <returns>The tables.</returns>
    /// <exception cref="InputException">A particle has no tomogram's name, two tomograms share a file name,
    /// or a table cannot be written.</exception>
    public static IReadOnlyList<string> Write(string folder, IReadOnlyList<Particle> particles, CoordinateWriteOptions options)
        => Write(folder, particles, options, FileUses.Current);

    /// <summary>The same; nothing that was read is replaced.</summary>
    internal static IReadOnlyList<string> Write(
        string folder, IReadOnlyList<Particle> particles, CoordinateWriteOptions options, FileUses? uses)
    {
        ArgumentNullException.ThrowIfNull(folder);
        ArgumentNullException.ThrowIfNull(particles);
        ArgumentNullException.ThrowIfNull(options);
        CoordinateFormat format = options.Format ?? CoordinateFormats.Default;
        // All names are known to be good before the first table is written.
        StringComparer sameFile = OperatingSystem.IsLinux() ? StringComparer.Ordinal : StringComparer.OrdinalIgnoreCase;
        Dictionary<string, Particle[]> planned = new(sameFile);
        foreach (IGrouping<string?, Particle> tomogram in particles.GroupBy(p => p.Tomogram ?? options.TomogramName))
        {
            string name = tomogram.Key ?? throw new InputException($"{folder}: particles without a tomogram's name cannot be "
                + "sorted into files. Give a file to write to, or their tomogram's name.")
            { Missing = MissingFact.TomogramName };
            IEnumerable<IGrouping<string, Particle>> tables = tomogram.GroupBy(
                p => CoordinateFormats.Of(format).HoldsSeveralObjects ? "" : ParticleNames.NameOf(p));
            foreach (IGrouping<string, Particle> table in tables)
            {
                string path = Path.Combine(folder, FileName(format, name, table.Key.Length > 0 ? table.Key : "particle"));
                if (!planned.TryAdd(path, [.. table.Select(p => p with { Tomogram = name })]))
                    throw new InputException($"{path}: two tomograms would be written to this file. Rename one of them.");
            }
        }

        OutputFolder.RefuseOutside(folder, planned.Keys.SelectMany(CoordinateTables.FilesOf));
        foreach (string made in planned.Keys.Select(path => Path.GetDirectoryName(path)!).Distinct())
            OutputFolder.Prepare(made);
        foreach (string table in planned.Keys)
            uses?.RefuseInputs(table);
        foreach ((string path, Particle[] table) in planned)
            CoordinateTables.Write(path, table, options with { Format = format });
        return [.. planned.Keys];
    }

    /// <summary>
    /// Reads all tables of a folder; particles whose table does not name a tomogram get that of the file or
    /// its folder.
    /// </summary>
    /// <exception cref="InputException">There is no table, one cannot be read, or the tomogram asked for is
    /// not there.</exception>
    public static IReadOnlyList<CoordinateTable> Read(string folder, CoordinateContext context)
    {
        ArgumentNullException.ThrowIfNull(folder);
        ArgumentNullException.ThrowIfNull(context);
        string[] files = Files(folder);
        if (files.Length == 0)
            throw NoTable(folder);
        // A table that names no tomogram gets its file's name, and only then is it known which one is asked
        // for.
        CoordinateContext all = context with { Tomogram = null };
        CoordinateTable[] tables = [.. files.Select(f => Named(CoordinateTables.ReadTable(f, all), TomogramOf(f)))];
        return context.Tomogram is { } wanted ? OfTomogram(folder, tables, wanted) : tables;
    }

    private static CoordinateTable Named(CoordinateTable table, string tomogram)
        => table with { Particles = [.. table.Particles.Select(p => p.Tomogram is null ? p with { Tomogram = tomogram } : p)] };

    private static CoordinateTable[] OfTomogram(string folder, CoordinateTable[] tables, string wanted)
    {
        string[] names = [.. tables.SelectMany(t => t.Particles).Select(p => p.Tomogram!).Distinct()];
        Func<string, bool> isWanted = TomogramName.Among(names, wanted, folder);
        CoordinateTable[] kept =
        [
            .. tables
                .Select(t => t with { Particles = [.. t.Particles.Where(p => isWanted(p.Tomogram!))] })
                .Where(t => t.Particles.Count > 0),
        ];
        return kept.Length > 0 || names.Length == 0 ? kept : throw CoordinateTables.NoSuchTomogram(folder, wanted, names);
    }

    /// <summary>The format of a folder's first table.</summary>
    /// <exception cref="InputException">There is none, or it cannot be read.</exception>
    public static CoordinateFormat FormatOf(string folder)
        => CoordinateFormats.Identify(Files(folder).FirstOrDefault() ?? throw NoTable(folder));

    /// <summary>The table of a tomogram in a folder; null when there is none.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="tomogram">The tomogram's name (see <see cref="TomogramName"/>).</param>
    /// <exception cref="InputException">Several tables' names are equal to it, and none is spelled
    /// so.</exception>
    public static string? Find(string folder, string tomogram)
    {
        ArgumentNullException.ThrowIfNull(folder);
        ArgumentNullException.ThrowIfNull(tomogram);
        return Finder(folder)(tomogram);
    }

    /// <summary>
    /// Finds the tables of tomograms in a folder, which is looked through once for all of them.
    /// </summary>
    internal static Func<string, string?> Finder(string folder)
    {
        TomogramFiles? index = null;
        return tomogram => TomogramFiles.Only(
            tomogram,
            [.. CoordinateFormats.Endings.Select(e => Path.Combine(folder, NameOf(tomogram) + e)).Where(File.Exists)])
            ?? (index ??= new TomogramFiles(Files(folder).Select(f => (TomogramOf(f), f)))).Find(tomogram, folder);
    }

    /// <summary>The name of a tomogram's table in its folder.</summary>
    /// <param name="format">The table's format.</param>
    /// <param name="tomogram">The tomogram's name.</param>
    /// <param name="particle">What the particles are, where the format says it in the file's name.</param>
    public static string FileName(CoordinateFormat format, string tomogram, string particle = "particle")
    {
        string name = NameOf(tomogram);
        return CoordinateFormats.Of(format).FileName?.Invoke(name, SafeName.Of(particle))
            ?? name + CoordinateFormats.Ending(format);
    }

    /// <summary>
    /// A tomogram's name as that of a file or a folder: without the folder that it may come with, and nothing
    /// that leads elsewhere.
    /// </summary>
    internal static string NameOf(string tomogram) => SafeName.Of(Path.GetFileName(tomogram));

    /// <summary>The names of particles that are part of files' names.</summary>
    internal static IEnumerable<string> NamesInFiles(CoordinateFormat format, IEnumerable<Particle> particles)
    {
        bool named = !CoordinateFormats.Of(format).HoldsSeveralObjects;
        IEnumerable<string?> names = particles.SelectMany(p => new[] { Path.GetFileName(p.Tomogram), named ? p.Name : null });
        return names.OfType<string>().Distinct();
    }

    internal static InputException NoTable(string folder)
    {
        const string tomogram = "TS_01";
        string[] names = [.. CoordinateFormats.Table.Select(t => t.FileName?.Invoke(tomogram, "particle")).OfType<string>()];
        return new($"{folder}: has no table of coordinates; expected files like {tomogram}{CoordinateFormats.Endings[0]}, "
            + $"{string.Join(", ", names.SkipLast(1))} or {names[^1]}.");
    }

    /// <summary>The tables of a folder.</summary>
    internal static string[] Files(string folder) => Files(folder, IsTable);

    /// <summary>The tables of a folder, those beside others that are one by their names.</summary>
    internal static string[] Files(string folder, Func<string, bool> isOne)
    {
        try
        {
            // Rejected picks of a format with folders of its own lie beside the others there.
            IEnumerable<string> tables = Directory.EnumerateFiles(folder).Where(isOne)
                .Concat(CoordinateFormats.Table.SelectMany(t => t.DeeperIn?.Invoke(folder) ?? []).Where(f => !IsRemoved(f)));
            return [.. tables.Order(StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new InputException($"{folder}: cannot be read: {InputFile.OneLine(e.Message)}", e);
        }
    }

    /// <summary>
    /// What the name of a table ends in whose particles a person has rejected: NAME_removed.star.
    /// </summary>
    internal const string RemovedEnding = "_removed";

    /// <summary>
    /// Whether a file is by its name a table of coordinates of particles, not of rejected ones.
    /// </summary>
    internal static bool IsTable(string file) => !IsRemoved(file) && CoordinateFormats.IsTable(file);

    /// <summary>Whether a file is by its name a table of rejected picks.</summary>
    internal static bool IsRemovedTable(string file)
        => IsRemoved(file) && CoordinateFormats.Endings.Contains(Path.GetExtension(file).ToLowerInvariant());

    private static bool IsRemoved(string file)
        => Path.GetFileNameWithoutExtension(file).EndsWith(RemovedEnding, StringComparison.Ordinal);

    /// <summary>The tomogram that a table is called like, where it names none.</summary>
    internal static string TomogramOf(string file)
        => ByPlace.Select(t => t.TomogramOf(file)).FirstOrDefault(name => name is not null)
            ?? (IsRemoved(file) ? Path.GetFileNameWithoutExtension(file)[..^RemovedEnding.Length]
                : Path.GetFileName(file)[..^Path.GetExtension(file).Length]);
}
