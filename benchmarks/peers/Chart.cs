using MeanShiftGpu.Tomography.Reporting;
using OxyPlot;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace MeanShiftGpu.Peers;

/// <summary>Draws how much longer each library takes than ours, case by case.</summary>
internal static class Chart
{
    private const int Width = 860;
    private const int RowHeight = 17;
    private const int Around = 110;

    // Of different brightness, so that they differ without colour too.
    private static readonly Dictionary<string, OxyColor> Colors = new()
    {
        [Contenders.OurPlanes] = OxyColor.FromRgb(0x00, 0x72, 0xb2),
        [Contenders.OnnxRuntime] = OxyColor.FromRgb(0xe6, 0x9f, 0x00),
        [Contenders.ChannelsLast] = OxyColor.FromRgb(0xd5, 0x5e, 0x00),
        [Contenders.Contiguous] = OxyColor.FromRgb(0xf0, 0xb0, 0x90),
        [Contenders.OneDnnName] = OxyColor.FromRgb(0x30, 0x60, 0x50),
    };

    /// <summary>Writes the chart as an SVG file on white.</summary>
    /// <param name="path">The file.</param>
    /// <param name="rows">All rows; those of this library itself, which are 1, and those of single layers are
    /// left out.</param>
    public static void Write(string path, IReadOnlyList<Row> rows)
    {
        Row[] theirs = [.. rows.Where(r => r.Name != Contenders.Ours && !r.Case.StartsWith("conv3d", StringComparison.Ordinal))];
        // The first case on top: this axis runs upwards.
        string[] cases = [.. theirs.Select(Words).Distinct().Reverse()];
        PlotModel model = new()
        {
            Title = "Time, in multiples of MeanShiftGpu's (less is faster)",
            TitleFontSize = 15,
            DefaultFont = "Helvetica",
            DefaultFontSize = 13,
            Background = OxyColors.White,
            PlotAreaBorderThickness = new OxyThickness(1, 0, 0, 1),
        };
        model.Axes.Add(new CategoryAxis
        {
            Position = AxisPosition.Left,
            Key = "cases",
            ItemsSource = cases,
            GapWidth = 0.3,
        });
        model.Axes.Add(new LinearAxis
        {
            Position = AxisPosition.Bottom,
            Key = "ratio",
            Minimum = 0,
            MaximumPadding = 0.1,
            MajorGridlineStyle = LineStyle.Solid,
            MajorGridlineColor = OxyColor.FromRgb(0xdd, 0xdd, 0xdd),
        });
        model.Legends.Add(new Legend
        {
            LegendPlacement = LegendPlacement.Outside,
            LegendPosition = LegendPosition.BottomCenter,
            LegendOrientation = LegendOrientation.Horizontal,
            LegendItemOrder = LegendItemOrder.Reverse,
        });
        foreach (string name in Contenders.Names.Where(n => theirs.Any(r => r.Name == n)).Reverse())
        {
            BarSeries bars = new()
            {
                Title = name,
                FillColor = Colors[name],
                LabelFormatString = "{0:0.0}",
                LabelPlacement = LabelPlacement.Outside,
                XAxisKey = "ratio",
                YAxisKey = "cases",
            };
            foreach (Row row in theirs.Where(r => r.Name == name))
                bars.Items.Add(new BarItem(row.Ratio, Array.IndexOf(cases, Words(row))));
            model.Series.Add(bars);
        }

        int height = Around + RowHeight * (theirs.Length + cases.Length);
        SvgExporter exporter = new() { Width = Width, Height = height, TextMeasurer = new PixelTextMeasurer(Width, height) };
        using FileStream file = File.Create(path);
        exporter.Export(model, file);
    }

    // "training step: Dice and Adam", "56×56×56, widths 32-48-64"
    private static string Words(Row row) => $"{row.Case.Split(':')[0]}, {row.Size.Split('×')[0]}³";
}
