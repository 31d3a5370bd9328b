using System.Text;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Reporting;

/// <summary>Writes whole files or none: under a temporary name in the same folder, then renamed.</summary>
internal static class ReportFile
{
    public static void WriteText(string path, string text) =>
        Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));

    public static void Write(string path, Action<Stream> write)
    {
        string full = Path.GetFullPath(path);
        string temporary = $"{full}.{Environment.ProcessId}.tmp";
        try
        {
            using (FileStream stream = new(temporary, FileMode.Create, FileAccess.Write))
                write(stream);
            File.Move(temporary, full, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            TryDelete(temporary);
            throw new InputException($"{path}: cannot be written ({e.Message.ReplaceLineEndings(" ")}); choose a folder that exists, is writable and has space.", e);
        }
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The write has failed already, and that is what the caller is told.
        }
    }
}
