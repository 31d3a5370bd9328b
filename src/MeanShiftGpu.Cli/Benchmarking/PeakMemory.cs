using System.Diagnostics;
using System.Globalization;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>
/// How much memory a piece of work needs, by the operating system's own count of resident pages.
/// </summary>
public static class PeakMemory
{
    private const string Status = "/proc/self/status";
    private const string ClearReferences = "/proc/self/clear_refs";

    /// <summary>
    /// Runs some work and returns the highest resident memory during it less that before it, in bytes. On
    /// Linux the system's high-water mark is reset first; elsewhere it is the process's highest so far, so
    /// work after larger work counts 0.
    /// </summary>
    public static long Measure(Action work)
    {
        ArgumentNullException.ThrowIfNull(work);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        if (OperatingSystem.IsLinux() && File.Exists(Status))
        {
            TryResetHighWaterMark();
            long before = ReadKiB("VmRSS:");
            work();
            return Math.Max(0, ReadKiB("VmHWM:") - before) * 1024;
        }

        using Process process = Process.GetCurrentProcess();
        long baseline = process.WorkingSet64;
        work();
        process.Refresh();
        return Math.Max(0, process.PeakWorkingSet64 - baseline);
    }

    private static void TryResetHighWaterMark()
    {
        try
        {
            File.WriteAllText(ClearReferences, "5");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Some containers forbid it; then the mark is the process's highest so far, which can only
            // overstate.
        }
    }

    private static long ReadKiB(string field)
    {
        string line = File.ReadLines(Status).First(l => l.StartsWith(field, StringComparison.Ordinal));
        return long.Parse(line[field.Length..].Replace("kB", "", StringComparison.Ordinal).Trim(), CultureInfo.InvariantCulture);
    }
}
