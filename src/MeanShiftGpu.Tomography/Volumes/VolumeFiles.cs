using System.IO.Enumeration;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;

namespace MeanShiftGpu.Tomography.Volumes;

/// <summary>Volumes as a person names them: files, folders and patterns.</summary>
/// <param name="Paths">The files, in the order in which they were named; those of a folder or a pattern by
/// name.</param>
/// <param name="LeftOut">Files of a folder or a pattern that are by their names no tomograms but masks or
/// score maps of such.</param>
public sealed record VolumeFiles(IReadOnlyList<string> Paths, IReadOnlyList<string> LeftOut)
{
    /// <summary>What volumes' names end in, in words.</summary>
    public const string EndingsText = ".mrc, .rec or .map, also .gz and .bz2";

    private static readonly string[] Endings = [".mrc", ".rec", ".map"];
    private static readonly string[] Packed = [".gz", ".bz2"];

    // What this program itself, and the SHREC data set, have beside tomograms.
    private static readonly string[] NoTomograms = ["_mask", "_scores", "grandmodel"];

    /// <summary>Finds the volumes.</summary>
    /// <param name="given">
    /// A file; a folder, of which all volumes are taken and each subfolder's reconstruction.mrc (SHREC's
    /// layout); a pattern with * and ? in any part of its path.
    /// </param>
    /// <exception cref="InputException">A folder or a pattern has no volume. A file that is not there is
    /// found out when it is read.</exception>
    public static VolumeFiles Find(IEnumerable<string> given)
    {
        ArgumentNullException.ThrowIfNull(given);
        List<string> paths = [];
        List<string> leftOut = [];
        foreach (string name in given)
        {
            if (FilesOf(name, "volume", EndingsText, IsVolume, ShrecDataset.ReconstructionName + ".mrc") is not { } files)
            {
                paths.Add(name);
                continue;
            }

            leftOut.AddRange(files.Where(IsNoTomogram).Except(leftOut));
            paths.AddRange(files.Where(f => !IsNoTomogram(f)).Except(paths));
        }

        return new VolumeFiles(paths, leftOut);
    }

    /// <summary>All volumes of a folder, masks among them, by name; null where it is no folder.</summary>
    /// <exception cref="InputException">It has none, or cannot be read.</exception>
    internal static IReadOnlyList<string>? InFolder(string given)
        => Directory.Exists(given) ? FilesOf(given, "volume", EndingsText, IsVolume, ShrecDataset.ReconstructionName + ".mrc")
            : null;

    /// <summary>The files that a folder or a pattern stands for, by name; null where it is neither.</summary>
    /// <param name="given">What a person gave.</param>
    /// <param name="kind">What is looked for, for messages.</param>
    /// <param name="expected">How such files are named, for messages.</param>
    /// <param name="isOne">Whether a file is one by its name.</param>
    /// <param name="inSubfolders">A file of this name is taken from each subfolder.</param>
    /// <exception cref="InputException">There is no such file.</exception>
    internal static IReadOnlyList<string>? FilesOf(string given, string kind, string expected, Func<string, bool> isOne,
        string inSubfolders)
    {
        try
        {
            if (Directory.Exists(given))
            {
                IEnumerable<string> below = Directory.EnumerateDirectories(given).Select(d => Path.Combine(d,
                    inSubfolders)).Where(File.Exists);
                string[] found = [.. Directory.EnumerateFiles(given).Where(isOne).Concat(below).Order(StringComparer.Ordinal)];
                return found.Length > 0 ? found
                    : throw new InputException($"{given}: this folder has no {kind}; expected files named {expected}.");
            }

            if (File.Exists(given) || !HasWildcard(given))
                return null;
            string[] matching = [.. Matching(given).Where(isOne).Order(StringComparer.Ordinal)];
            return matching.Length > 0 ? matching
                : throw new InputException($"{given}: no {kind} matches this pattern; expected files named {expected}.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{given}: cannot be read: {InputFile.OneLine(e.Message)}", e);
        }
    }

    private static bool IsVolume(string path)
    {
        string name = Path.GetFileName(path);
        if (Array.Find(Packed, e => name.EndsWith(e, StringComparison.OrdinalIgnoreCase)) is { } packed)
            name = name[..^packed.Length];
        return !name.StartsWith('.') && Array.Exists(Endings, e => name.EndsWith(e, StringComparison.OrdinalIgnoreCase));
    }

    private static bool IsNoTomogram(string path)
    {
        string name = Path.GetFileName(path).Split('.')[0];
        return Array.Exists(NoTomograms, e => name.EndsWith(e, StringComparison.OrdinalIgnoreCase));
    }

    private static bool HasWildcard(string path) => path.AsSpan().ContainsAny('*', '?');

    // Part by part of the path; a part without a wildcard is taken as it is.
    private static IEnumerable<string> Matching(string pattern)
    {
        string[] parts = pattern.Split('/', Path.DirectorySeparatorChar);
        IEnumerable<string> places = [parts[0].Length == 0 ? "/" : ""];
        for (int i = 0; i < parts.Length; i++)
        {
            string part = parts[i];
            if (part.Length == 0)
                continue;
            bool last = i == parts.Length - 1;
            places = [.. places.SelectMany(place => HasWildcard(part) ? Entries(place, part, last) : [Path.Combine(place,
                part)])];
        }

        return places.Where(File.Exists);
    }

    private static IEnumerable<string> Entries(string place, string part, bool files)
    {
        string folder = place.Length == 0 ? "." : place;
        if (!Directory.Exists(folder))
            return [];
        IEnumerable<string> entries = files ? Directory.EnumerateFiles(folder) : Directory.EnumerateDirectories(folder);
        return entries.Select(e => Path.GetFileName(e)).Where(n => FileSystemName.MatchesSimpleExpression(part, n,
            ignoreCase: false))
            .Select(n => Path.Combine(place, n));
    }
}
