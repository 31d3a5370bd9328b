using System.ComponentModel;
using System.Diagnostics;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Viewing;

/// <summary>Opens an address in the person's browser.</summary>
internal static class Browser
{
    /// <summary>Whether there is a screen to open a browser on.</summary>
    public static bool IsThere => OperatingSystem.IsWindows() || OperatingSystem.IsMacOS()
        || ((string?[])["DISPLAY", "WAYLAND_DISPLAY"]).Any(name => Environment.GetEnvironmentVariable(name!) is { Length: > 0 });

    /// <summary>
    /// Opens an address, by a file that only this person can read where other users see the arguments of a
    /// command: the address has the token in it.
    /// </summary>
    /// <param name="address">The address.</param>
    /// <returns>The file, to be deleted at the end; null where none was needed.</returns>
    /// <exception cref="InputException">There is no program that opens it.</exception>
    public static string? Open(string address)
    {
        string? file = OperatingSystem.IsWindows() ? null : WriteRedirect(address);
        try
        {
            ProcessStartInfo start = OperatingSystem.IsWindows()
                ? new ProcessStartInfo(address) { UseShellExecute = true }
                : new ProcessStartInfo(OperatingSystem.IsMacOS() ? "open"
                    : "xdg-open", [file!])
                { RedirectStandardOutput = true, RedirectStandardError = true };
            Process.Start(start)?.Dispose();
            return file;
        }
        catch (Exception e) when (e is Win32Exception or InvalidOperationException)
        {
            if (file is not null)
                File.Delete(file);
            throw new InputException($"no browser could be opened: {InputFile.OneLine(e.Message)}", e);
        }
    }

    private static string WriteRedirect(string address)
    {
        string file = Path.Combine(Path.GetTempPath(), $"meanshift-gpu-{Guid.NewGuid():N}.html");
        FileStreamOptions mine = new() { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            mine.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using StreamWriter writer = new(file, mine);
        writer.Write(
            $"<!DOCTYPE html><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0;url={address}\"><a "
            + $"href=\"{address}\">to the page</a>");
        return file;
    }
}
