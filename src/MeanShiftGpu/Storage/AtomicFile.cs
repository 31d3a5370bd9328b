namespace MeanShiftGpu.Storage;

/// <summary>Writes files that are either complete or not there.</summary>
public static class AtomicFile
{
    /// <summary>
    /// Writes to a temporary name in the same folder, flushes to the disk, and renames. Whatever fails, the temporary file is deleted and
    /// an earlier file of that name stays as it was. What an earlier process left behind when it was killed is deleted too.
    /// </summary>
    /// <param name="path">The file to create or replace.</param>
    /// <param name="write">Writes the content; the stream is seekable and closed afterwards.</param>
    /// <exception cref="InputException">The folder is missing or read-only, the disk is full, or the name belongs to a folder.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        ArgumentNullException.ThrowIfNull(write);
        using PendingFile pending = PendingFile.Create(path);
        PendingFile.Guard(path, () => write(pending.Stream));
        pending.Commit();
    }

    /// <summary>The folder of a file to be written, which must exist.</summary>
    /// <exception cref="InputException">The name is no file name, its folder does not exist, or a folder has the name.</exception>
    internal static string FolderOf(string path)
    {
        if (string.IsNullOrWhiteSpace(path))
            throw new InputException("No name was given for an output file.");
        string folder;
        try
        {
            folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? throw new InputException($"{path}: cannot be written: this is a folder. Give a file name.");
        }
        catch (ArgumentException e)
        {
            throw new InputException($"{path.Replace('\0', '?')}: cannot be written: this is no file name.", e);
        }

        if (!Directory.Exists(folder))
            throw new InputException($"{path}: cannot be written: the folder {folder} does not exist. Create it first.");
        if (Directory.Exists(path))
            throw new InputException($"{path}: cannot be written: a folder has this name. Give a file name.");
        return folder;
    }
}

/// <summary>A file that gets its name when it is complete; until then it has a temporary one in the same folder.</summary>
internal sealed class PendingFile : IDisposable
{
    private readonly string path;
    private readonly string temporary;
    private bool done;

    private PendingFile(string path, string temporary, FileStream stream)
    {
        this.path = path;
        this.temporary = temporary;
        Stream = stream;
    }

    /// <summary>The content; seekable.</summary>
    public FileStream Stream { get; }

    /// <summary>Begins a file.</summary>
    /// <exception cref="InputException">The folder is missing or read-only, or the name belongs to a folder.</exception>
    public static PendingFile Create(string path)
    {
        string folder = AtomicFile.FolderOf(path);
        string name = Path.GetFileName(path);
        string temporary = Path.Combine(folder, $".{name}.{Guid.NewGuid():N}.tmp");
        PendingFile? pending = null;
        Guard(path, () =>
        {
            DeleteLeftOver(folder, name);
            pending = new PendingFile(path, temporary, new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16));
        });
        return pending!;
    }

    /// <summary>Flushes to the disk and renames.</summary>
    /// <exception cref="InputException">The disk is full, or the folder has become read-only.</exception>
    public void Commit() => Guard(path, () =>
    {
        Stream.Flush(flushToDisk: true);
        Stream.Dispose();
        File.Move(temporary, path, overwrite: true);
        done = true;
    });

    /// <summary>Deletes what was not committed.</summary>
    public void Dispose()
    {
        if (done)
            return;
        done = true;
        try
        {
            Stream.Dispose();
        }
        catch (IOException)
        {
            // A full disk refuses the last buffered bytes of a file that is given up anyway.
        }

        DeleteQuietly(temporary);
    }

    /// <summary>Runs a write, turning the failures of files and disks into one line.</summary>
    public static void Guard(string path, Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new InputException($"{path}: cannot be written: {InputFile.OneLine(e.Message)} Check the free space and the rights of {Path.GetDirectoryName(Path.GetFullPath(path))}.", e);
        }
    }

    // A process that was killed leaves its temporary file. One that still writes holds a lock, so that the file cannot be opened.
    private static void DeleteLeftOver(string folder, string name)
    {
        string prefix = $".{name}.";
        const string suffix = ".tmp";
        foreach (string left in Directory.EnumerateFiles(folder, $".*{suffix}"))
        {
            string candidate = Path.GetFileName(left);
            if (!candidate.StartsWith(prefix, StringComparison.Ordinal) || !Guid.TryParseExact(candidate[prefix.Length..^suffix.Length], "N", out _))
                continue;
            try
            {
                using (new FileStream(left, FileMode.Open, FileAccess.ReadWrite, FileShare.None))
                {
                    File.Delete(left);
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Somebody is writing it, or it is not ours to delete: it does no harm.
            }
        }
    }

    private static void DeleteQuietly(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The failure that led here is the one to report; a folder that became read-only keeps the temporary file.
        }
    }
}
