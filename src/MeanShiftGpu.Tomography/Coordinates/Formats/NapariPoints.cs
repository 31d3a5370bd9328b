using System.Globalization;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// napari's points: a table with the columns index, axis-0, axis-1 and axis-2, which are z, y and x in
/// voxels, and properties (score, class, name). It is read and written as <see cref="DelimitedTable"/> with
/// its axes called so.
/// </summary>
internal static class NapariPoints
{
    public const string Index = "index";

    /// <summary>napari's columns and ours.</summary>
    public static readonly IReadOnlyList<(string Theirs, string Ours)> Axes = [("axis-0", "z"), ("axis-1", "y"), ("axis-2", "x")];

    public static TableFormat Format { get; } = DelimitedTable.Napari with
    {
        HoldsSeveralTomograms = false,
        HoldsAngles = false,
        IsUsual = false,
        Recognise = static path => IsOurs(path) ? CoordinateFormat.Napari : null,
        Mark = $"the heading {Index},{string.Join(',', Axes.Select(a => a.Theirs))} (napari)",
    };

    /// <summary>The columns with ours for its axes.</summary>
    /// <exception cref="InputException">The points have not three axes.</exception>
    public static string[] OurColumns(string path, int line, string[] columns)
    {
        if (Axes.Any(a => columns.Count(c => c == a.Theirs) != 1) || columns.Contains("axis-3"))
            throw new InputException($"{path}: line {line}: columns {InputFile.Quote(string.Join(',', columns))}; expected "
                + $"points of three axes, {Index},{string.Join(',', Axes.Select(a => a.Theirs))}.");
        return [.. columns.Select(c => Axes.FirstOrDefault(a => a.Theirs == c).Ours ?? c)];
    }

    // By the heading alone; a file of another kind is left to whoever reads it.
    private static bool IsOurs(string path)
        => InputFile.ReadLines(path, "a table of coordinates").Select(l => l.Text.Trim())
            .FirstOrDefault(l => l.Length > 0 && l[0] != '#') is { } heading
            && heading.Split(',').Select(c => c.Trim(' ', '"').ToLower(CultureInfo.InvariantCulture)).Contains(Axes[0].Theirs);
}
