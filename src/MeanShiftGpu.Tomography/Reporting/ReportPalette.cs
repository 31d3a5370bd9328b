using MeanShiftGpu.Kernels.Machine;

namespace MeanShiftGpu.Tomography.Reporting;

/// <summary>
/// The colours of a report, as bytes and as style-sheet values, and the style-sheet variables that stand for
/// them on a page.
/// </summary>
internal static class ReportPalette
{
    public static readonly (byte R, byte G, byte B) Truth = (255, 214, 10);
    public static readonly (byte R, byte G, byte B) Pick = (230, 30, 40);

    // Charts are drawn in these, and on a page replaced by the variables, which follow the reader's light or
    // dark theme.
    public static readonly (byte R, byte G, byte B) Ink = (34, 38, 43);
    public static readonly (byte R, byte G, byte B) Grid = (222, 225, 229);
    public static readonly (byte R, byte G, byte B) Axis = (139, 146, 154);

    public static (byte R, byte G, byte B) Of(ReportColor color) => color switch
    {
        ReportColor.Red => (213, 94, 0),
        ReportColor.Blue => (0, 114, 178),
        ReportColor.Green => (0, 158, 115),
        ReportColor.Grey => (118, 124, 131),
        _ => throw UnknownValue.Of(color),
    };

    public static string Variable(ReportColor color) => $"var(--{color.ToString().ToLowerInvariant()})";

    public static string Hex((byte R, byte G, byte B) c) => $"#{c.R:x2}{c.G:x2}{c.B:x2}";

    public static IEnumerable<((byte R, byte G, byte B) Color, string Variable)> Variables =>
    [
        (Ink, "var(--ink)"),
        (Grid, "var(--grid)"),
        (Axis, "var(--axis)"),
        .. Enum.GetValues<ReportColor>().Select(c => (Of(c), Variable(c))),
    ];
}
