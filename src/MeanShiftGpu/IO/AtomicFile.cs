namespace MeanShiftGpu.IO;

/// <summary>Writes files that are either complete or not there.</summary>
public static class AtomicFile
{
    /// <summary>
    /// Writes to a temporary name in the same folder, flushes to the disk, and renames. Whatever fails, the temporary file is deleted and
    /// an earlier file of that name stays as it was.
    /// </summary>
    /// <param name="path">The file to create or replace.</param>
    /// <param name="write">Writes the content; the stream is seekable and closed afterwards.</param>
    /// <exception cref="InputException">The folder is missing or read-only, the disk is full, or the name belongs to a folder.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        ArgumentNullException.ThrowIfNull(write);
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

        string temporary = Path.Combine(folder, $".{Path.GetFileName(path)}.{Guid.NewGuid():N}.tmp");
        bool done = false;
        try
        {
            using (FileStream stream = new(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
            done = true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new InputException($"{path}: cannot be written: {InputFile.OneLine(e.Message)} Check the free space and the rights of {folder}.", e);
        }
        finally
        {
            if (!done)
                DeleteQuietly(temporary);
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
