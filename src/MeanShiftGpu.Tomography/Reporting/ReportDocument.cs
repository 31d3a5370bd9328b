using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Reporting;

/// <summary>
/// Colours of rows and curves: those of Okabe and Ito, which people with any colour vision can tell apart.
/// The paper shows Dice in red, mean shift in blue, both in green.
/// </summary>
public enum ReportColor
{
    /// <summary>No series: references and the like.</summary>
    Grey,

    /// <summary>Vermilion.</summary>
    Red,

    /// <summary>Blue.</summary>
    Blue,

    /// <summary>Bluish green.</summary>
    Green,
}

/// <summary>Which value of a table's column is the best, and so printed bold.</summary>
public enum ReportBest
{
    /// <summary>None is marked.</summary>
    None,

    /// <summary>The smallest.</summary>
    Smallest,

    /// <summary>The largest.</summary>
    Largest,
}

/// <summary>Everything that a report shows: plain data, in the order of the page.</summary>
public sealed record ReportDocument
{
    /// <summary>Heading and page title.</summary>
    public required string Title { get; init; }

    /// <summary>
    /// After how many seconds a browser reads the page again, as it grows; null for one that is finished.
    /// </summary>
    public int? RefreshSeconds { get; init; }

    /// <summary>Paragraphs under the heading: what was done and what came out.</summary>
    public IReadOnlyList<string> Lead { get; init; } = [];

    /// <summary>
    /// Something to look at under the lead that a table, a panel or a chart is not; null for nothing.
    /// </summary>
    internal ReportInsert? Insert { get; init; }

    /// <summary>Result tables.</summary>
    public IReadOnlyList<ReportTable> Tables { get; init; } = [];

    /// <summary>Slices with markers.</summary>
    public IReadOnlyList<ReportPanel> Panels { get; init; } = [];

    /// <summary>Charts, two to a row where there is room.</summary>
    public IReadOnlyList<ReportChart> Charts { get; init; } = [];

    /// <summary>How it was made: settings, versions, times.</summary>
    public IReadOnlyList<ReportFact> Facts { get; init; } = [];
}

/// <summary>A setting or number of the run.</summary>
/// <param name="Label">What it is.</param>
/// <param name="Value">Its value, with the unit.</param>
public sealed record ReportFact(string Label, string Value);

/// <summary>A column of numbers.</summary>
/// <param name="Name">Heading.</param>
/// <param name="Decimals">Digits after the point.</param>
/// <param name="Best">Which value is printed bold.</param>
/// <param name="Explanation">One line under the table; empty for none.</param>
public sealed record ReportColumn(string Name, int Decimals, ReportBest Best, string Explanation = "");

/// <summary>A number of a table.</summary>
/// <param name="Mean">The value; null is shown as a dash.</param>
/// <param name="Deviation">SD over runs; null where there is none.</param>
public readonly record struct ReportCell(double? Mean, double? Deviation = null)
{
    /// <summary>
    /// Mean and SD (n − 1) over runs. A run without the value leaves the cell empty: a mean over the others
    /// would flatter.
    /// </summary>
    public static ReportCell FromRuns(IReadOnlyList<double?> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (values.Count == 0 || values.Any(v => v is null))
            return new ReportCell(null);
        double mean = values.Average() ?? 0;
        return values.Count == 1
            ? new ReportCell(mean)
            : new ReportCell(mean, Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / (values.Count - 1) ?? 0));
    }
}

/// <summary>One training run's numbers.</summary>
/// <param name="Setting">What runs have in common that stand in one row, as "Dice".</param>
/// <param name="Color">Of the setting.</param>
/// <param name="Values">One for each column; null where the run has none.</param>
public sealed record ReportRun(string Setting, ReportColor Color, IReadOnlyList<double?> Values);

/// <summary>A row of a table.</summary>
/// <param name="Name">What the row is.</param>
/// <param name="Color">Of the mark before the name.</param>
/// <param name="Cells">One for each column.</param>
/// <param name="IsReference">A number from elsewhere, as the paper's: set apart, and never the best.</param>
public sealed record ReportRow(string Name, ReportColor Color, IReadOnlyList<ReportCell> Cells, bool IsReference = false);

/// <summary>A table of results.</summary>
/// <param name="Title">Heading.</param>
/// <param name="Columns">Columns of numbers.</param>
/// <param name="Rows">Rows, each with a cell for every column.</param>
/// <param name="Caption">What it says, and over what means and SDs were taken.</param>
public sealed record ReportTable(string Title, IReadOnlyList<ReportColumn> Columns, IReadOnlyList<ReportRow> Rows, string Caption)
{
    /// <summary>
    /// A table of mean ± SD with a row for each setting, in the order in which settings first appear.
    /// </summary>
    /// <param name="title">Heading.</param>
    /// <param name="columns">Columns of numbers.</param>
    /// <param name="runs">Runs; those of a setting make one row.</param>
    /// <param name="references">Rows from elsewhere, put last.</param>
    /// <param name="caption">What it says; how many runs a row stands for is added.</param>
    public static ReportTable FromRuns(
        string title,
        IReadOnlyList<ReportColumn> columns, IReadOnlyList<ReportRun> runs, IReadOnlyList<ReportRow> references,
        string caption)
    {
        ArgumentNullException.ThrowIfNull(columns);
        ArgumentNullException.ThrowIfNull(runs);
        List<ReportRow> rows = [];
        List<int> counts = [];
        foreach (IGrouping<string, ReportRun> setting in runs.GroupBy(r => r.Setting))
        {
            ReportRun[] members = [.. setting];
            counts.Add(members.Length);
            rows.Add(new ReportRow(
                setting.Key,
                members[0].Color,
                [.. columns.Select((_, c) => ReportCell.FromRuns([.. members.Select(m => m.Values[c])]))]));
        }

        string over = counts.Count == 0 || counts.Max() == 1
            ? "One training run for each row."
            : counts.Min() == counts.Max()
                ? $"Mean ± SD over {counts[0]} training runs."
                : "Mean ± SD over "
                    + $"{string.Join(", ", rows.Zip(counts, (r, n) => $"{Counted.Of(n, "training run")} ({r.Name})"))}.";
        return new ReportTable(title, columns, [.. rows, .. references], $"{caption} {over}".Trim());
    }
}

/// <summary>A curve of a chart.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="Color">Colour, which also chooses the marker.</param>
/// <param name="Points">Ordered by x; points that are not finite leave a gap.</param>
/// <param name="Deviations">One SD for each point, drawn as a band; null for none.</param>
/// <param name="Dashed">A second curve of the same colour, as validation beside training.</param>
public sealed record ReportCurve(
    string Name,
    ReportColor Color,
    IReadOnlyList<(double X, double Y)> Points,
    IReadOnlyList<double>? Deviations = null,
    bool Dashed = false);

/// <summary>A chart of curves.</summary>
public sealed record ReportChart
{
    /// <summary>Heading.</summary>
    public required string Title { get; init; }

    /// <summary>Title of the x axis, with its unit.</summary>
    public required string XTitle { get; init; }

    /// <summary>Title of the y axis, with its unit.</summary>
    public required string YTitle { get; init; }

    /// <summary>The curves.</summary>
    public required IReadOnlyList<ReportCurve> Curves { get; init; }

    /// <summary>Lowest y shown; null fits the data.</summary>
    public double? YMinimum { get; init; }

    /// <summary>Highest y shown; null fits the data.</summary>
    public double? YMaximum { get; init; }

    /// <summary>A logarithmic y axis, for values above 0.</summary>
    public bool LogarithmicY { get; init; }

    /// <summary>Vertical guide lines: where, and what it says.</summary>
    public IReadOnlyList<(double X, string Label)> Guides { get; init; } = [];

    /// <summary>What it shows.</summary>
    public string Caption { get; init; } = "";
}

/// <summary>Images side by side.</summary>
/// <param name="Title">Heading.</param>
/// <param name="Images">From left to right.</param>
/// <param name="Caption">What they show.</param>
public sealed record ReportPanel(string Title, IReadOnlyList<ReportImage> Images, string Caption)
{
    /// <summary>Images in a row of a page; 0 puts all into one.</summary>
    public int Columns { get; init; }
}
