using System.Text.RegularExpressions;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;

namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>
/// The name of a tomogram, from a table or a volume's file. Two names are equal when they are the same
/// without folder, without known endings of files, and without what programs add when they reconstruct. A dot
/// alone makes no ending: TS_1.5 and TS_1.6 are two tomograms.
/// </summary>
public readonly partial struct TomogramName : IEquatable<TomogramName>
{
    private static readonly string[] Endings =
    [
        ".gz", ".bz2", ".tomostar", ".mrc", ".mrcs", ".rec", ".map", ".ccp4", ".st", ".ali", ".hdf", ".em", ".xml", ".json",
            ".star", ".csv", ".tsv", ".tbl", ".coords", ".txt", ".cmm", ".mod",
    ];

    private readonly string? bare;

    /// <summary>A name as a table or a file system gives it.</summary>
    public TomogramName(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        Text = text;
        string file = Path.GetFileName(text);
        string name = WithoutEndings(file);
        if (name == ShrecDataset.ReconstructionName && file != name
            && Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(text))) is { Length: > 0 } folder)
            name = folder;
        string plain = WithoutEndings(AddedPattern().Replace(name, ""));
        bare = plain.Length > 0 ? plain : name;
    }

    /// <summary>What was given.</summary>
    public string Text { get; }

    /// <summary>
    /// The name that is compared: TS_01.mrc.gz, Warp's TS_01_10.00Apx.mrc, RELION 5's rec_TS_01.mrc, IMOD's
    /// TS_01_rec.mrc and AreTomo's TS_01_Vol.mrc are TS_01.
    /// </summary>
    public string Bare => bare ?? "";

    /// <summary>
    /// Which of the names that a table has are those of a tomogram: those that are spelled exactly so, or
    /// else the one that is equal to it.
    /// </summary>
    /// <param name="names">The table's names.</param>
    /// <param name="wanted">The tomogram's name.</param>
    /// <param name="path">The table, for messages.</param>
    /// <exception cref="InputException">Several names are equal to it, and none is spelled so.</exception>
    public static Func<string, bool> Among(IEnumerable<string> names, string wanted, string path)
    {
        HashSet<string> all = [.. names];
        if (all.Contains(wanted))
            return name => name == wanted;
        string file = WithoutEndings(Path.GetFileName(wanted));
        if (all.Contains(file))
            return name => name == file;
        TomogramName one = new(wanted);
        string[] same = [.. all.Where(name => new TomogramName(name) == one)];
        return same.Length <= 1 ? name => Array.IndexOf(same, name) >= 0 : throw Ambiguous(path, wanted, same);
    }

    /// <summary>The refusal of a name that several are equal to, and none is spelled like.</summary>
    internal static InputException Ambiguous(string path, string wanted, IEnumerable<string> same)
        => new($"{path}: tomogram {InputFile.Quote(wanted)} may be {string.Join(" or ", same.Select(InputFile.Quote))}. Use the "
            + "exact name.");

    /// <summary>A name or a file's name without its folder and its known endings.</summary>
    internal static string WithoutEndings(string name)
    {
        while (Array
            .Find(Endings, e => name.Length > e.Length && name.EndsWith(e, StringComparison.OrdinalIgnoreCase)) is { } ending)
            name = name[..^ending.Length];
        return name;
    }

    /// <inheritdoc/>
    public bool Equals(TomogramName other) => Bare == other.Bare;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is TomogramName other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => Bare.GetHashCode(StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string ToString() => Text ?? "";

    /// <summary>Whether two names are of the same tomogram.</summary>
    public static bool operator ==(TomogramName left, TomogramName right) => left.Equals(right);

    /// <summary>Whether two names are of different tomograms.</summary>
    public static bool operator !=(TomogramName left, TomogramName right) => !left.Equals(right);

    [GeneratedRegex(@"^rec_|(_rec|_Vol|_bin\d+|_\d+\.\d+Apx)+$", RegexOptions.CultureInvariant)]
    private static partial Regex AddedPattern();
}

/// <summary>
/// Things by the name of their tomogram, found by the one rule: the exact spelling first, then the spelling
/// without a file's endings, then the one thing whose name is equal.
/// </summary>
internal sealed class TomogramIndex<T>
    where T : class
{
    private readonly Dictionary<string, T> exact = [];
    private readonly ILookup<TomogramName, string> equal;

    /// <summary>An index; of several things with one name the last counts.</summary>
    public TomogramIndex(IEnumerable<(string Name, T Thing)> things)
    {
        foreach ((string name, T thing) in things)
            exact[name] = thing;
        equal = exact.Keys.ToLookup(name => new TomogramName(name));
    }

    /// <summary>The thing of a tomogram; null where there is none.</summary>
    /// <param name="tomogram">The name.</param>
    /// <param name="path">The file that has the name, for messages.</param>
    /// <exception cref="InputException">Several names are equal to it, and none is spelled so.</exception>
    public T? Find(string tomogram, string path)
    {
        if (exact.TryGetValue(tomogram, out T? thing) || exact.TryGetValue(TomogramName.WithoutEndings(tomogram), out thing))
            return thing;
        string[] same = [.. equal[new TomogramName(tomogram)]];
        return same.Length switch
        {
            0 => null,
            1 => exact[same[0]],
            _ => throw TomogramName.Ambiguous(path, tomogram, same),
        };
    }
}

/// <summary>Files by the name of their tomogram, of which each may have one.</summary>
internal sealed class TomogramFiles(IEnumerable<(string Name, string File)> files)
{
    private readonly TomogramIndex<string[]> index =
        new(files.GroupBy(f => f.Name, f => f.File).Select(g => (g.Key, g.ToArray())));

    /// <summary>The file of a tomogram; null where there is none.</summary>
    /// <param name="tomogram">The name.</param>
    /// <param name="path">The file that has the name, for messages.</param>
    /// <exception cref="InputException">There are several.</exception>
    public string? Find(string tomogram, string path) => Only(tomogram, index.Find(tomogram, path) ?? []);

    /// <summary>The one file; null where there is none.</summary>
    /// <exception cref="InputException">There are several.</exception>
    public static string? Only(string tomogram, string[] files)
        => files.Length <= 1 ? files.FirstOrDefault()
            : throw new InputException($"{files[0]}: {files[1]} fits tomogram {InputFile.Quote(tomogram)} as well; expected one "
                + "file of a tomogram. Move the other into another folder.");
}

/// <summary>The name by which tables know a tomogram (see <see cref="TomogramName"/>).</summary>
public static class TomogramNames
{
    /// <summary>
    /// A name without folder, known endings and additions. A reconstruction.mrc, as SHREC calls all of them,
    /// has its folder's name.
    /// </summary>
    public static string Of(string path) => new TomogramName(path).Bare;

    /// <summary>Whether two names, from files or tables, are of the same tomogram.</summary>
    public static bool AreSame(string one, string other) => one == other || new TomogramName(one) == new TomogramName(other);
}
