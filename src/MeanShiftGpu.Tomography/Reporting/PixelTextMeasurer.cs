using OxyPlot;

namespace MeanShiftGpu.Tomography.Reporting;

/// <summary>
/// Measures text of the charts' font in pixels; the library's own measure, from the metrics of PDF fonts, is
/// in points. The program that compares with other libraries compiles this file too.
/// </summary>
internal sealed class PixelTextMeasurer(double width, double height) : PdfRenderContext(width, height, OxyColors.Undefined)
{
    // Where Helvetica is not installed, a wider font may stand for it.
    private const double PixelsPerPoint = 1.15 * 96 / 72;

    /// <inheritdoc/>
    public override OxySize MeasureText(string text, string fontFamily, double fontSize, double fontWeight)
    {
        OxySize points = base.MeasureText(text, fontFamily, fontSize, fontWeight);
        return new OxySize(points.Width * PixelsPerPoint, points.Height * PixelsPerPoint);
    }
}
