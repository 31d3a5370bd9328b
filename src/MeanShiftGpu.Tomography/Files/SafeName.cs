using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace MeanShiftGpu.Tomography.Files;

/// <summary>
/// The one place where a name from a table, a model or a person becomes a file's. It is one name in the
/// folder that was given, whatever it holds: no way out of the folder, no control character, none of the
/// names that Windows keeps for devices, not too long.
/// </summary>
internal static class SafeName
{
    private const int MostBytes = 120;

    // '\\' and ':' are allowed on Linux, but not on the disks that Windows and macOS share with it.
    private const string Refused = "/\\:*?\"<>|";

    private static readonly string[] Devices =
        ["CON", "PRN", "AUX", "NUL", .. "123456789".Select(n => $"COM{n}"), .. "123456789".Select(n => $"LPT{n}")];

    /// <summary>
    /// A name as one part of a path. Most stay as they are. In others '_' stands for what is not allowed, and
    /// a number made from the whole name follows, so that different names stay different.
    /// </summary>
    public static string Of(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        StringBuilder safe = new(name.Length);
        foreach (Rune rune in name.EnumerateRunes())
        {
            UnicodeCategory kind = Rune.GetUnicodeCategory(rune);
            bool unseen = kind is UnicodeCategory.Control or UnicodeCategory.Format
                or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;
            bool refused = rune.IsBmp && Refused.Contains((char)rune.Value, StringComparison.Ordinal);
            safe.Append(unseen || refused || rune == Rune.ReplacementChar ? "_" : rune.ToString());
        }

        string clean = safe.ToString();
        // Windows drops them, so that two names would be one file's.
        if (OperatingSystem.IsWindows())
            clean = clean.TrimEnd(' ', '.');
        // A leading dot hides a file, and '.' and '..' are folders.
        if (clean.Length == 0 || clean[0] == '.')
            clean = "_" + clean[Math.Min(1, clean.Length)..];
        if (Devices.Contains(clean.Split('.')[0].TrimEnd(), StringComparer.OrdinalIgnoreCase))
            clean = "_" + clean;
        if (clean == name && Encoding.UTF8.GetByteCount(clean) <= MostBytes)
            return name;
        string number = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(name)))[..8];
        StringBuilder cut = new();
        int bytes = number.Length + 1;
        foreach (Rune rune in clean.EnumerateRunes())
        {
            if ((bytes += rune.Utf8SequenceLength) > MostBytes)
                break;
            cut.Append(rune.ToString());
        }

        return $"{cut}-{number}";
    }
}
