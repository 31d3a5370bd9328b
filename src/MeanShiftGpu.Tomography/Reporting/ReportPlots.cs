using System.Text;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;
using OxyPlot;
using OxyPlot.Annotations;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace MeanShiftGpu.Tomography.Reporting;

/// <summary>Draws charts and image panels, as SVG files of their own or as parts of a page.</summary>
public static class ReportPlots
{
    private const int ChartWidth = 560;
    private const int ChartHeight = 380;

    /// <summary>Writes a chart as an SVG file, on white.</summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void WriteSvg(string path, ReportChart chart)
    {
        string svg = ChartSvg(chart);
        int content = svg.IndexOf('>', StringComparison.Ordinal) + 1;
        ReportFile.WriteText(path, svg.Insert(content, "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"));
    }

    /// <summary>
    /// Writes a panel as an SVG file on white, with its images inside, their titles under them, and what
    /// the circles mean.</summary>
    /// <param name="path">The file.</param>
    /// <param name="panel">The images.</param>
    /// <param name="imageWidth">Width of an image, in SVG units (pixels on a screen).</param>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void WriteSvg(string path, ReportPanel panel, int imageWidth = 260)
        => ReportFile.WriteText(path, PanelSvg(panel, imageWidth));

    /// <summary>The chart as an SVG element.</summary>
    internal static string ChartSvg(ReportChart chart)
    {
        ArgumentNullException.ThrowIfNull(chart);
        using InvariantText invariant = InvariantText.Begin();
        using MemoryStream stream = new();
        SvgExporter exporter = new()
        {
            Width = ChartWidth,
            Height = ChartHeight,
            IsDocument = false,
            UseVerticalTextAlignmentWorkaround = true,
            TextMeasurer = new PixelTextMeasurer(ChartWidth, ChartHeight),
        };
        exporter.Export(Model(chart), stream);
        string svg = Encoding.UTF8.GetString(stream.ToArray());
        // A view box lets the chart scale with the page.
        int start = svg.IndexOf("<svg ", StringComparison.Ordinal);
        return svg[start..].Replace("<svg ", $"<svg viewBox=\"0 0 {ChartWidth} {ChartHeight}\" ", StringComparison.Ordinal);
    }

    /// <summary>One image with its circles as an SVG element that fills its place.</summary>
    internal static string ImageSvg(ReportImage image, string attributes)
    {
        using MemoryStream png = new();
        image.WritePng(png);
        StringBuilder svg = new();
        svg.Append($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {image.Width} {image.Height}\" {attributes}>");
        svg.Append($"<image width=\"{image.Width}\" height=\"{image.Height}\" style=\"image-rendering:pixelated\" "
            + $"href=\"data:image/png;base64,{Convert.ToBase64String(png.ToArray())}\"/>");
        float unit = Math.Min(image.Height, image.Width) / 100f;
        foreach (ReportMarker marker in image.Markers)
            svg.Append(MarkerSvg(marker.X + 0.5f, marker.Y + 0.5f, marker.Radius, unit, marker.Kind));
        return svg.Append("</svg>").ToString();
    }

    /// <summary>A circle; a dark or light rim keeps it visible on any grey.</summary>
    internal static string MarkerSvg(float x, float y, float radius, float unit, ReportMarkerKind kind)
        => kind == ReportMarkerKind.Truth
        ? $"<circle cx=\"{x:0.##}\" cy=\"{y:0.##}\" r=\"{radius:0.##}\" fill=\"none\" stroke=\"#000\" stroke-opacity=\"0.55\" "
            + $"stroke-width=\"{2.6f * unit:0.###}\"/>" +
          $"<circle cx=\"{x:0.##}\" cy=\"{y:0.##}\" r=\"{radius:0.##}\" fill=\"none\" "
          + $"stroke=\"{ReportPalette.Hex(ReportPalette.Truth)}\" stroke-width=\"{1.4f * unit:0.###}\"/>"
        : $"<circle cx=\"{x:0.##}\" cy=\"{y:0.##}\" r=\"{radius:0.##}\" fill=\"{ReportPalette.Hex(ReportPalette.Pick)}\" "
            + $"stroke=\"#fff\" stroke-width=\"{0.7f * unit:0.###}\"/>";

    private static string PanelSvg(ReportPanel panel, int imageWidth)
    {
        ArgumentNullException.ThrowIfNull(panel);
        ArgumentOutOfRangeException.ThrowIfLessThan(imageWidth, 1);
        using InvariantText invariant = InvariantText.Begin();
        const int Gap = 10;
        const int TextHeight = 26;
        const int Font = 15;
        int count = panel.Images.Count;
        int imageHeight =
            (int)panel.Images.Select(i => Math.Ceiling((double)imageWidth * i.Height / i.Width)).DefaultIfEmpty(0).Max();
        int width = Math.Max(1, count * (imageWidth + Gap) - Gap);
        bool isMarked = panel.Images.Any(i => i.Markers.Count > 0);
        int height = imageHeight + (isMarked ? 2 : 1) * TextHeight;
        StringBuilder svg = new();
        svg.Append($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" "
            + $"width=\"{width}\" height=\"{height}\">");
        svg.Append($"<title>{ReportHtml.Encode(panel.Title)}</title><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>");
        for (int i = 0; i < count; i++)
        {
            ReportImage image = panel.Images[i];
            int x = i * (imageWidth + Gap);
            svg.Append(ImageSvg(image, $"x=\"{x}\" y=\"0\" width=\"{imageWidth}\" "
                + $"height=\"{imageWidth * (double)image.Height / image.Width:0.#}\""));
            Write(image.Title, x + imageWidth / 2, imageHeight + 19, "middle");
        }

        if (isMarked)
        {
            int line = imageHeight + TextHeight + 14;
            svg.Append(MarkerSvg(10, line, 7, 1.4f, ReportMarkerKind.Truth));
            Write("true centre", 26, line + 5, "start");
            svg.Append(MarkerSvg(146, line, 5, 1.4f, ReportMarkerKind.Pick));
            Write("pick", 160, line + 5, "start");
        }

        void Write(string text, int x, int y, string anchor) => svg.Append(
            $"<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" font-family=\"Helvetica, Arial, sans-serif\" "
            + $"font-size=\"{Font}\" fill=\"#22262b\">{ReportHtml.Encode(text)}</text>");

        return svg.Append("</svg>\n").ToString();
    }

    private static PlotModel Model(ReportChart chart)
    {
        OxyColor ink = ToOxy(ReportPalette.Ink);
        OxyColor grid = ToOxy(ReportPalette.Grid);
        OxyColor axisColor = ToOxy(ReportPalette.Axis);
        PlotModel model = new()
        {
            DefaultFont = "Helvetica",
            DefaultFontSize = 14,
            Background = OxyColors.Undefined,
            TextColor = ink,
            PlotAreaBorderThickness = new OxyThickness(1, 0, 0, 1),
            PlotAreaBorderColor = axisColor,
            Padding = new OxyThickness(4, 8, 12, 4),
        };
        model.Axes.Add(Style(new LinearAxis
        {
            Position = AxisPosition.Bottom,
            Title = Shown.Text(chart.XTitle),
            MinimumPadding = 0.02,
            MaximumPadding = 0.02,
        }));
        Axis y = chart.LogarithmicY ? new LogarithmicAxis() : new LinearAxis { MinimumPadding = 0.05, MaximumPadding = 0.05 };
        y.Position = AxisPosition.Left;
        y.Title = Shown.Text(chart.YTitle);
        y.Minimum = chart.YMinimum ?? double.NaN;
        y.Maximum = chart.YMaximum ?? double.NaN;
        model.Axes.Add(Style(y));
        // Above the plot, where it cannot hide a curve.
        model.Legends.Add(new Legend
        {
            LegendPlacement = LegendPlacement.Outside,
            LegendPosition = LegendPosition.TopLeft,
            LegendOrientation = LegendOrientation.Horizontal,
            LegendTextColor = ink,
            LegendFontSize = 14,
            LegendLineSpacing = 4,
            LegendColumnSpacing = 18,
            LegendSymbolLength = 30,
            LegendMargin = 4,
        });
        foreach ((double x, string label) in chart.Guides)
        {
            model.Annotations.Add(new LineAnnotation
            {
                Type = LineAnnotationType.Vertical,
                X = x,
                Color = axisColor,
                StrokeThickness = 1.4,
                LineStyle = LineStyle.Dash,
                Text = "\u2002" + Shown.Text(label),
                TextColor = ink,
                TextLinePosition = 0.1,
                TextHorizontalAlignment = HorizontalAlignment.Left,
                TextOrientation = AnnotationTextOrientation.Horizontal,
                FontSize = 12,
            });
        }

        foreach (ReportCurve curve in chart.Curves)
        {
            if (curve.Deviations is not null)
                model.Series.Add(Band(curve, chart.LogarithmicY));
        }

        foreach (ReportCurve curve in chart.Curves)
            model.Series.Add(Line(curve));
        return model;

        Axis Style(Axis axis)
        {
            axis.TickStyle = TickStyle.Outside;
            axis.TicklineColor = axisColor;
            axis.AxislineColor = axisColor;
            axis.MajorGridlineStyle = LineStyle.Solid;
            axis.MajorGridlineColor = grid;
            axis.MinorTickSize = 0;
            axis.TextColor = ink;
            axis.TitleColor = ink;
            axis.AxisTitleDistance = 14;
            axis.IntervalLength = 50;
            return axis;
        }
    }

    private static LineSeries Line(ReportCurve curve)
    {
        OxyColor color = ToOxy(ReportPalette.Of(curve.Color));
        LineSeries line = new()
        {
            Title = Shown.Text(curve.Name),
            Color = color,
            StrokeThickness = curve.Dashed ? 1.6 : 2.2,
            LineStyle = curve.Dashed ? LineStyle.Dash : LineStyle.Solid,
            LineJoin = LineJoin.Round,
            // Shapes tell curves apart in print without colour; hundreds of points would only blacken the
            // line.
            MarkerType = curve.Points.Count > 40 || curve.Dashed ? MarkerType.None : curve.Color switch
            {
                ReportColor.Red => MarkerType.Circle,
                ReportColor.Blue => MarkerType.Square,
                ReportColor.Green => MarkerType.Triangle,
                ReportColor.Grey => MarkerType.Diamond,
                _ => throw UnknownValue.Of(curve.Color),
            },
            MarkerSize = 3.6,
            MarkerFill = color,
            MarkerStroke = OxyColors.Undefined,
        };
        line.Points.AddRange(curve.Points.Select(p => new DataPoint(p.X, double.IsFinite(p.Y) ? p.Y : double.NaN)));
        return line;
    }

    private static AreaSeries Band(ReportCurve curve, bool logarithmic)
    {
        AreaSeries band = new()
        {
            Color = OxyColors.Transparent,
            Color2 = OxyColors.Transparent,
            StrokeThickness = 0,
            Fill = OxyColor.FromAColor(50, ToOxy(ReportPalette.Of(curve.Color))),
            RenderInLegend = false,
        };
        for (int i = 0; i < curve.Points.Count; i++)
        {
            (double x, double y) = curve.Points[i];
            double deviation = curve.Deviations![i];
            // A logarithmic axis has no place for what lies at or below 0.
            double lower = logarithmic ? Math.Max(y - deviation, y / 10) : y - deviation;
            band.Points.Add(new DataPoint(x, y + deviation));
            band.Points2.Add(new DataPoint(x, lower));
        }

        return band;
    }

    private static OxyColor ToOxy((byte R, byte G, byte B) c) => OxyColor.FromRgb(c.R, c.G, c.B);
}
