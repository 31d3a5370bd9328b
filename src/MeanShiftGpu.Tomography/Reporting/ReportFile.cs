using System.Text;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Reporting;

/// <summary>Writes whole files or none: under a temporary name in the same folder, then renamed.</summary>
internal static class ReportFile
{
    public static void WriteText(string path, string text) =>
        Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));

    public static void Write(string path, Action<Stream> write) => AtomicFile.Write(path, write);
}
