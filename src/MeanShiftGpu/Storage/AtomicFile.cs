using System.Collections.Concurrent;

namespace MeanShiftGpu.Storage;

/// <summary>Writes files that are either complete or not there.</summary>
public static class AtomicFile
{
    /// <summary>
    /// Writes to a temporary name in the same folder, flushes to the disk, and renames. Whatever fails, the
    /// temporary file is deleted and an earlier file of that name stays as it was. What an earlier process
    /// left behind when it was killed is deleted too.
    /// </summary>
    /// <param name="path">The file to create or replace.</param>
    /// <param name="write">Writes the content; the stream is seekable and closed afterwards.</param>
    /// <exception cref="InputException">The folder is missing or read-only, the disk is full, or the name
    /// belongs to a folder.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        ArgumentNullException.ThrowIfNull(write);
        using PendingFile pending = PendingFile.Create(path);
        PendingFile.Guard(path, () =>
        {
            using InvariantText invariant = InvariantText.Begin();
            write(pending.Stream);
        });
        pending.Commit();
    }

    /// <summary>
    /// Where a file is to be written: links are followed, so that a link stays one and its file is replaced.
    /// A pipe or a device is written to as it stands, never replaced.
    /// </summary>
    /// <exception cref="InputException">The name is no file name, its folder does not exist, or a folder, a
    /// disk or a socket has the name.</exception>
    internal static FilePlace PlaceOf(string path)
    {
        if (string.IsNullOrWhiteSpace(path))
            throw new InputException("No name was given for an output file.");
        FilePlace place = FilePlace.Of(path);
        if (place.IsStream)
            return place;
        if (place.Kind == FileKind.Folder || Path.EndsInDirectorySeparator(path))
            throw new InputException($"{path}: cannot be written: a folder has this name. Give a file name.");
        if (place.Kind == FileKind.Other)
            throw new InputException($"{path}: cannot be written: this is a disk or a socket. Give a file name.");
        string folder = Path.GetDirectoryName(place.Path)!;
        return Directory.Exists(folder)
            ? place
            : throw new InputException($"{path}: cannot be written: the folder {folder} does not exist. Create it first.");
    }

    /// <summary>The folder in which a file's content lies until it is complete.</summary>
    /// <exception cref="InputException">See <see cref="PlaceOf"/>.</exception>
    internal static string FolderOf(string path)
        => PlaceOf(path) is { IsStream: false } place ? Path.GetDirectoryName(place.Path)! : Path.GetTempPath();
}

/// <summary>
/// A file that gets its name when it is complete; until then it has a temporary one in the same folder. What
/// a pipe or a device gets lies in a temporary file until then.
/// </summary>
internal sealed class PendingFile : IDisposable
{
    // Longer names would leave no room for what a temporary name adds.
    private const int MostNameLength = 48;

    // What was there of killed processes when this one first wrote into a folder: to look each time takes
    // long where there are thousands of files.
    private static readonly ConcurrentDictionary<string, ILookup<string, string>> LeftOvers = new(StringComparer.Ordinal);

    private const string Suffix = ".tmp";

    private readonly string path;
    private readonly FilePlace place;
    private readonly string? temporary;
    private bool done;

    private PendingFile(string path, FilePlace place, string? temporary, FileStream stream)
    {
        this.path = path;
        this.place = place;
        this.temporary = temporary;
        Stream = stream;
    }

    /// <summary>The content; seekable.</summary>
    public FileStream Stream { get; }

    /// <summary>Begins a file.</summary>
    /// <exception cref="InputException">The folder is missing or read-only, the name belongs to a folder, or
    /// is that of an input of the command that runs.</exception>
    public static PendingFile Create(string path)
    {
        FileUses.Current?.RefuseInput(path);
        FilePlace place = AtomicFile.PlaceOf(path);
        if (place.IsStream)
            return new PendingFile(path, place, null, ScratchFile.Create(Path.GetTempPath()));
        string folder = Path.GetDirectoryName(place.Path)!;
        string name = Path.GetFileName(place.Path);
        if (name.Length > MostNameLength)
            name = name[..(char.IsHighSurrogate(name[MostNameLength - 1]) ? MostNameLength - 1 : MostNameLength)];
        string temporary = Path.Combine(folder, $".{name}.{Guid.NewGuid():N}{Suffix}");
        PendingFile? pending = null;
        Guard(path, () =>
        {
            DeleteLeftOvers(folder, name);
            FileStream stream = new(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16);
            pending = new PendingFile(path, place, temporary, stream);
        });
        return pending!;
    }

    /// <summary>Flushes to the disk and renames, or hands the content on.</summary>
    /// <exception cref="InputException">The disk is full, the folder has become read-only, or nobody reads a
    /// pipe.</exception>
    public void Commit() => Guard(path, () =>
    {
        if (temporary is null)
        {
            using Stream target = place.OpenForWriting();
            Stream.Position = 0;
            Stream.CopyTo(target);
            target.Flush();
            Stream.Dispose();
        }
        else
        {
            Stream.Flush(flushToDisk: true);
            Stream.Dispose();
            File.Move(temporary, place.Path, overwrite: true);
        }

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

        if (temporary is not null)
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
            string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? path;
            throw new InputException(
                $"{path}: cannot be written: {InputFile.OneLine(e.Message)} Check the free space and the rights of {folder}.", e);
        }
    }

    // A process that was killed leaves its temporary file. One that still writes holds a lock, so that the
    // file cannot be opened.
    private static void DeleteLeftOvers(string folder, string name)
    {
        foreach (string left in LeftOvers.GetOrAdd(folder, FindLeftOvers)[name])
        {
            try
            {
                using (new FileStream(left, FileMode.Open, FileAccess.ReadWrite, FileShare.None))
                {
                    File.Delete(left);
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It is gone, somebody is writing it, or it is not ours to delete: it does no harm.
            }
        }
    }

    // By the name of the file that they were to become: .NAME.GUID.tmp.
    private static ILookup<string, string> FindLeftOvers(string folder)
        => Directory.EnumerateFiles(folder, $".*{Suffix}")
            .Select(file => (File: file, Name: Path.GetFileName(file)[1..^Suffix.Length]))
            .Where(f => f.Name.LastIndexOf('.') is > 0 and int dot && Guid.TryParseExact(f.Name[(dot + 1)..], "N", out _))
            .ToLookup(f => f.Name[..f.Name.LastIndexOf('.')], f => f.File, StringComparer.Ordinal);

    private static void DeleteQuietly(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The failure that led here is the one to report; a folder that became read-only keeps the
            // temporary file.
        }
    }
}
