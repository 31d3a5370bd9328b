using System.Globalization;

namespace MeanShiftGpu.Tomography.Files;

/// <summary>Coordinates and angles as tables show them.</summary>
internal static class TableNumber
{
    /// <summary>
    /// A number to nine decimals: conversions of units and angles leave rounding behind that nobody wants to
    /// read, and no pick is so precise.
    /// </summary>
    public static double Rounded(double value) => Math.Round(value, 9) + 0.0;

    /// <summary>The same as text.</summary>
    public static string Text(double value) => Rounded(value).ToString("R", CultureInfo.InvariantCulture);
}
