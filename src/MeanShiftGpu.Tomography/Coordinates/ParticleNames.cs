using System.Globalization;
using System.Text;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates.Formats;

namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>
/// Names and numbers of classes and tomograms, for formats that have the one but not the other.
/// </summary>
internal static class ParticleNames
{
    /// <summary>What particles are called of which nothing is known.</summary>
    public const string Unknown = "particle";

    private const string ClassPrefix = "class_";

    /// <summary>What a particle is called in formats with names: its name, or its class.</summary>
    public static string NameOf(Particle particle)
        => particle.Name ?? (particle.Class is { } number
            ? string.Create(CultureInfo.InvariantCulture, $"{ClassPrefix}{number}") : Unknown);

    /// <summary>The class that such a name says; null where it says none.</summary>
    public static int? ClassOf(string name)
        => name.StartsWith(ClassPrefix, StringComparison.Ordinal)
            && int.TryParse(name.AsSpan(ClassPrefix.Length), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture,
                out int number) ? number : null;

    /// <summary>
    /// Class numbers for formats that have no names: the particles' own; names have in their alphabetical
    /// order the numbers from 1 that no particle has; null where neither is known.
    /// </summary>
    public static Func<Particle, int?> ClassNumbers(IReadOnlyList<Particle> particles)
    {
        string[] names =
            [.. particles.Where(p => p.Class is null && p.Name is not null).Select(p => p.Name!).Distinct().Order(
                StringComparer.Ordinal)];
        HashSet<int> taken = [.. particles.Select(p => p.Class).OfType<int>()];
        int[] free =
            [.. Enumerable.Range(1, names.Length + taken.Count).Where(number => !taken.Contains(number)).Take(names.Length)];
        return p => p.Class ?? (p.Name is null ? null : free[Array.BinarySearch(names, p.Name, StringComparer.Ordinal)]);
    }
}

/// <summary>
/// Numbers of tomograms for formats that have no names: the names themselves where all are numbers, or else
/// their order. Names go to a text file beside the table (picks.tomograms.doc beside picks.tbl), a number and
/// a name on each line, as Dynamo maps them; a reader takes them from there.
/// </summary>
internal sealed class TomogramNumbers
{
    private static readonly string[] Endings =
        [.. new[] { DynamoTable.Format, EmMotl.Format, DeepFinderXml.Format }.SelectMany(f => f.Endings)];

    private const string Expected = "numbers and names of tomograms";

    private readonly Dictionary<string, int> numbers = new(StringComparer.Ordinal);

    /// <summary>
    /// Numbers the tomograms of particles; those without one are in <paramref name="otherwise"/>, or else in
    /// tomogram 1.
    /// </summary>
    public TomogramNumbers(IReadOnlyList<Particle> particles, string? otherwise)
    {
        Otherwise = otherwise;
        string[] names = [.. particles.Select(p => p.Tomogram ?? otherwise).OfType<string>().Distinct()];
        bool numbered = names.All(
            n => int.TryParse(n, NumberStyles.None, CultureInfo.InvariantCulture, out int i)
                && i.ToString(CultureInfo.InvariantCulture) == n);
        HasNames = !numbered;
        for (int i = 0; i < names.Length; i++)
            numbers[names[i]] = numbered ? int.Parse(names[i], CultureInfo.InvariantCulture) : i + 1;
    }

    private string? Otherwise { get; }

    private bool HasNames { get; }

    /// <summary>The number of a particle's tomogram.</summary>
    public int Of(Particle particle) => (particle.Tomogram ?? Otherwise) is { } name ? numbers[name] : 1;

    private string Text
        => string.Concat(numbers.Select(n => string.Create(CultureInfo.InvariantCulture, $"{n.Value} {n.Key}\n")));

    /// <summary>Whether names may be written beside a table, by its ending.</summary>
    public static bool MayHaveNames(string table) => Endings.Contains(Path.GetExtension(table).ToLowerInvariant());

    /// <summary>
    /// Refuses to change names that are those of another table too: its numbers would mean other tomograms.
    /// </summary>
    /// <exception cref="InputException">They would change.</exception>
    public void RefuseChange(string table)
    {
        if (HasNames && numbers.Keys.FirstOrDefault(n => n.Any(char.IsControl) || n.Trim().Length == 0) is { } broken)
            throw new InputException($"{NamesFile(table)}: cannot be written: tomogram {InputFile.Quote(broken)} has no name "
                + "that fits a line. Rename it.");
        // A table without particles has no numbers, so any names will do.
        if (numbers.Count == 0 || FilePlace.Of(table).IsStream || OtherTable(table) is not { } other)
            return;
        string path = NamesFile(table);
        string? now = File.Exists(path) ? File.ReadAllText(path) : null;
        if (now != (HasNames ? Text : null))
            throw new InputException($"{path}: holds the names of the tomograms of {other}, and {table} needs others there; "
                + "expected the same names for both. Choose another name for the table, or another folder.");
    }

    private static string? OtherTable(string table)
        => Endings.Select(e => Path.ChangeExtension(table, e)).FirstOrDefault(o => File.Exists(o)
            && !FilePlace.Of(o).Keys.Intersect(FilePlace.Of(table).Keys).Any());

    /// <summary>Writes the names beside a table, if there are any.</summary>
    public void WriteNames(string table)
    {
        if (FilePlace.Of(table).IsStream)
        {
            if (HasNames)
                throw new InputException($"{table}: tomograms' names belong into a file beside a table of this format. Give a "
                    + "file's name.");
            return;
        }

        RefuseChange(table);
        string path = NamesFile(table);
        if (HasNames)
            AtomicFile.Write(
                path, stream => stream.Write(Encoding.UTF8.GetBytes(Text)));
        else if (File.Exists(path) && (numbers.Count > 0 || OtherTable(table) is null))
            // The names of an earlier table would be taken for this one's.
            File.Delete(path);
    }

    /// <summary>The names beside a table; empty where there are none.</summary>
    public static IReadOnlyDictionary<int, string> ReadNames(string table)
    {
        Dictionary<int, string> names = [];
        string path = NamesFile(table);
        if (!File.Exists(path))
            return names;
        foreach ((int line, string text) in InputFile.ReadLines(path, Expected))
        {
            string[] fields = text.Trim().Split(
                (char[]?)null, 2, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
            if (fields.Length == 0)
                continue;
            if (fields.Length != 2 || !int.TryParse(fields[0], NumberStyles.None, CultureInfo.InvariantCulture, out int number)
                || !names.TryAdd(number, fields[1]))
                throw new InputException($"{path}: line {line}: {InputFile.Quote(text)}; expected {Expected}, each number once.");
        }

        return names;
    }

    /// <summary>The file of names beside a table.</summary>
    public static string NamesFile(string table) => Path.ChangeExtension(table, ".tomograms.doc");
}
