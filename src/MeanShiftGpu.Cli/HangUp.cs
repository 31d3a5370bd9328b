using System.Globalization;

namespace MeanShiftGpu.Cli;

/// <summary>The signal of a lost terminal (SIGHUP).</summary>
internal static class HangUp
{
    private const string Status = "/proc/self/status";
    private const string Ignored = "SigIgn:";

    /// <summary>
    /// Whether the program was started to outlive its terminal, as nohup does. Where the system does not say,
    /// it was not.
    /// </summary>
    public static bool IsIgnored
    {
        get
        {
            if (!OperatingSystem.IsLinux() || !File.Exists(Status))
                return false;
            // A bit for each signal, the lowest for SIGHUP.
            string? line = File.ReadLines(Status).FirstOrDefault(l => l.StartsWith(Ignored, StringComparison.Ordinal));
            string bits = line?[Ignored.Length..].Trim() ?? "";
            return ulong.TryParse(bits, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong signals)
                && (signals & 1) != 0;
        }
    }
}
