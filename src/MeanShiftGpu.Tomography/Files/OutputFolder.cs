using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Files;

/// <summary>Prepares a folder for results before any work is spent on them.</summary>
public static class OutputFolder
{
    /// <summary>
    /// Creates a folder with its parents where it does not exist, and makes sure that files can be written
    /// there.
    /// </summary>
    /// <exception cref="InputException">The folder cannot be created or written to, or a file has its
    /// name.</exception>
    public static void Prepare(string folder)
    {
        if (string.IsNullOrWhiteSpace(folder))
            throw new InputException("No name was given for an output folder.");
        FilePlace place = FilePlace.Of(folder);
        if (place.IsStream)
            throw new InputException($"{folder}: is a device or a pipe, which cannot hold these results; expected a file or a "
                + "folder. Choose the name of a file or a folder.");
        // .NET says of a link that leads nowhere that it is a file.
        if (place.Kind == FileKind.Missing && File.Exists(folder))
            throw new InputException($"{folder}: is a link that leads nowhere or in a circle; expected a file or a folder. "
                + "Delete it, or choose another name.");
        if (File.Exists(folder))
            throw new InputException($"{folder}: is a file; expected a folder for the results.");
        try
        {
            Directory.CreateDirectory(folder);
            string probe = Path.Combine(folder, $".{Guid.NewGuid():N}.tmp");
            try
            {
                File.WriteAllBytes(probe, [0]);
            }
            finally
            {
                // A full disk takes the name and refuses the byte.
                File.Delete(probe);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new InputException($"{folder.Replace('\0', '?')}: cannot be written to: {InputFile.OneLine(e.Message)} "
                + "Choose another folder, or check its rights and the free space.", e);
        }
    }

    /// <summary>
    /// Makes sure, before any work is spent on it, that a file can be written in its folder, which must
    /// exist.
    /// </summary>
    /// <exception cref="InputException">The folder is missing or cannot be written to.</exception>
    public static void CheckFile(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        FilePlace place = AtomicFile.PlaceOf(path);
        if (!place.IsStream)
            Prepare(Path.GetDirectoryName(place.Path)!);
    }

    /// <summary>
    /// Makes sure that files whose names come from data lie in their folder. A link that a person gives is
    /// followed; one that a name happens to meet is not.
    /// </summary>
    /// <exception cref="InputException">A link leads out of the folder.</exception>
    internal static void RefuseOutside(string folder, IEnumerable<string> written)
    {
        string inside = Path.TrimEndingDirectorySeparator(FilePlace.Of(folder).Path) + Path.DirectorySeparatorChar;
        foreach (string path in written)
        {
            if (FilePlace.Of(path) is { } place && !place.Path.StartsWith(inside, StringComparison.Ordinal))
            {
                throw new InputException(
                    $"{path}: is a link that leads out of {folder}, to {place.Path}. Delete it, or choose another folder.");
            }
        }
    }
}
