namespace MeanShiftGpu.Storage;

/// <summary>
/// Files for what does not fit into memory. They go with the process, even where that is killed.
/// </summary>
internal static class ScratchFile
{
    /// <summary>
    /// Creates a file without a name in a folder; where the system needs a name, it is deleted as it is
    /// closed.
    /// </summary>
    /// <exception cref="InputException">The folder cannot be written to.</exception>
    public static FileStream Create(string folder)
    {
        string path = Path.Combine(folder, $".meanshift-gpu-{Guid.NewGuid():N}.tmp");
        try
        {
            FileStream stream = new(
                path,
                FileMode.CreateNew,
                FileAccess.ReadWrite,
                FileShare.Read | FileShare.Delete,
                1 << 16,
                FileOptions.DeleteOnClose);
            // An open file lives on without its name; Windows keeps the name until the file is closed.
            if (!OperatingSystem.IsWindows())
                File.Delete(path);
            return stream;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new InputException($"{folder}: a temporary file cannot be created here: {InputFile.OneLine(e.Message)} Set "
                + "TMPDIR to a folder with room.", e);
        }
    }

    /// <summary>Refuses what a disk has no room for before it is filled.</summary>
    /// <param name="subject">The file whose content is to be written, for the message.</param>
    /// <param name="folder">Where it is to be written.</param>
    /// <param name="bytes">How much it takes.</param>
    /// <exception cref="InputException">There is too little room.</exception>
    public static void RefuseWithoutRoom(string subject, string folder, Int128 bytes)
    {
        long free;
        try
        {
            free = new DriveInfo(Path.GetFullPath(folder)).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            // A disk that does not say how much room it has shows it as it is written.
            return;
        }

        if (bytes > free)
        {
            throw new InputException(
                $"{subject}: takes {bytes >> 20} MiB in {folder}, which has {free >> 20} MiB free. Free some space there, or "
                + "choose "
                + "another folder (TMPDIR for temporary files).");
        }
    }

    /// <summary>Runs a write, turning a full disk into one line.</summary>
    public static void Guard(string subject, string scratch, Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{subject}: its temporary file in {Path.GetDirectoryName(scratch)} cannot be written: "
                + $"{InputFile.OneLine(e.Message)} Free some space there, or set TMPDIR to a folder with room.", e);
        }
    }
}
