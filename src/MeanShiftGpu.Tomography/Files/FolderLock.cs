using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Files;

/// <summary>
/// Keeps a folder for one process that writes results there for long: two at a time would replace each
/// other's files. It goes with the process, even where that is killed.
/// </summary>
internal sealed class FolderLock : IDisposable
{
    private const string Name = ".meanshift-gpu.lock";

    private readonly FileStream file;

    private FolderLock(FileStream file) => this.file = file;

    /// <summary>Takes a folder, which exists, once nobody else has it.</summary>
    public static FolderLock Wait(string folder, CancellationToken cancellation)
    {
        for (; ; )
        {
            try
            {
                return Take(folder);
            }
            catch (InputException)
            {
                if (cancellation.WaitHandle.WaitOne(TimeSpan.FromSeconds(1)))
                    throw new OperationCanceledException(cancellation);
            }
        }
    }

    /// <summary>Takes a folder, which exists.</summary>
    /// <exception cref="InputException">Another process has it.</exception>
    public static FolderLock Take(string folder)
    {
        string path = Path.Combine(folder, Name);
        try
        {
            // Another process may delete its file between these two lines: the lock is then on a file without
            // a name, and is taken again.
            for (; ; )
            {
                FileStream file = new(
                    path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
                if (File.Exists(path))
                    return new FolderLock(file);
                file.Dispose();
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException(
                $"{folder}: another process is writing its results here ({path} is locked). Wait for it, or choose another "
                + "folder.", e);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();
}
