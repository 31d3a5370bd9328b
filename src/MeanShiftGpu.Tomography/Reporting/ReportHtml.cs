using System.Net;
using System.Text;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Reporting;

/// <summary>
/// Makes one HTML page of a report: no network, images and charts inside, readable on light and dark screens
/// and on paper. The page has no script but that of its <see cref="ReportDocument.Insert"/>, and is also
/// well-formed XML.
/// </summary>
public static class ReportHtml
{
    private const string Style = """
        :root { color-scheme: light dark; --paper: #ffffff; --ink: #22262b; --soft: #5a626b; --grid: #dee1e5; --axis: #8b929a;
                --grey: #767c83; --red: #d55e00; --blue: #0072b2; --green: #009e73; }
        @media (prefers-color-scheme: dark) {
          :root { --paper: #16191d; --ink: #e6e9ec; --soft: #a3abb4; --grid: #30363d; --axis: #6b737c;
                  --grey: #9aa1a9; --red: #ff8533; --blue: #4fb0ea; --green: #2fc79a; } }
        * { box-sizing: border-box; }
        body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 74rem; background: var(--paper); color: var(--ink);
               font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
        h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .8rem; letter-spacing: -.01em; }
        h2 { font-size: 1.2rem; margin: 2.6rem 0 .7rem; }
        p, h1, h2, figcaption { overflow-wrap: anywhere; }
        p { margin: .5rem 0; max-width: 48rem; }
        figure { margin: 0 0 1.6rem; break-inside: avoid; }
        figcaption, .note { color: var(--soft); font-size: .9rem; max-width: 52rem; margin-top: .5rem; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
        th, td { padding: .42rem 1.1rem .42rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
        th:first-child, td:first-child { text-align: left; padding-right: 2.2rem; }
        thead th { border-bottom: 2px solid var(--axis); font-weight: 600; font-size: .9rem; }
        tr.reference td { color: var(--soft); }
        td .sd { color: var(--soft); font-weight: 400; font-size: .9em; }
        .key { display: inline-block; width: .75em; height: .75em; border-radius: 50%; margin-right: .55em; }
        .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(27rem, 100%), 1fr)); gap: 1.6rem 2rem; }
        .charts h2 { margin: 0 0 .4rem; }
        .charts svg { display: block; width: 100%; height: auto; }
        .images { display: grid; gap: .8rem; }
        .images figure { margin: 0; }
        .images svg { display: block; width: 100%; height: auto; background: #000; border-radius: 3px; }
        .images figcaption { margin: .35rem 0 0; text-align: center; color: var(--ink); }
        .legend { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; font-size: .9rem; margin: 0 0 .6rem; }
        .legend svg {
          width: 1.25rem; height: 1.25rem; vertical-align: -.3rem; margin-right: .4rem; background: #777; border-radius: 3px;
        }
        dl {
          display: grid; grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); gap: 0 2rem; margin: 0;
          font-size: .92rem;
        }
        dl div {
          display: flex; justify-content: space-between; gap: 1rem; padding: .3rem 0; border-bottom: 1px solid var(--grid);
        }
        dt { color: var(--soft); } dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
        @media (max-width: 40rem) { .images { grid-template-columns: repeat(2, 1fr) !important; } }
        @media print {
          :root { color-scheme: light; --paper: #ffffff; --ink: #000000; --soft: #444444; --grid: #dddddd; --axis: #888888;
                  --grey: #767c83; --red: #d55e00; --blue: #0072b2; --green: #009e73; }
          body { padding: 0; max-width: none; font-size: 11pt; }
          .charts { grid-template-columns: 1fr 1fr; gap: 1rem; }
          svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; } h2 { break-after: avoid; } }
        """;

    /// <summary>Writes the page.</summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void Write(string path, ReportDocument document) => ReportFile.WriteText(path, Build(document));

    /// <summary>Builds the page.</summary>
    public static string Build(ReportDocument document)
    {
        ArgumentNullException.ThrowIfNull(document);
        using InvariantText invariant = InvariantText.Begin();
        StringBuilder page = new();
        page.Append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" "
            + "content=\"width=device-width, initial-scale=1\"/>\n");
        if (document.RefreshSeconds is { } seconds)
            page.Append($"<meta http-equiv=\"refresh\" content=\"{seconds}\"/>\n");
        page.Append($"<title>{Encode(document.Title)}</title>\n<style>\n{Style}\n{document.Insert?.Style}</style>\n</head>\n");
        page.Append($"<body>\n<h1>{Encode(document.Title)}</h1>\n");
        foreach (string paragraph in document.Lead)
            page.Append($"<p>{Encode(paragraph)}</p>\n");
        if (document.Insert is { } insert)
            page.Append($"{insert.Markup}\n<noscript><p>The pictures need JavaScript, which this program does not run; open "
                + $"the page in a browser.</p></noscript>\n");
        foreach (ReportTable table in document.Tables)
            AppendTable(page, table);
        for (int i = 0; i < document.Panels.Count; i++)
            AppendPanel(page, document.Panels[i], withLegend: i == 0);
        if (document.Charts.Count > 0)
            AppendCharts(page, document.Charts);
        if (document.Facts.Count > 0)
            AppendFacts(page, document.Facts);
        if (document.Insert is { } acting)
            page.Append($"<script type=\"module\">//<![CDATA[\n{acting.Script}\n//]]></script>\n");
        return page.Append("</body>\n</html>\n").ToString();
    }

    /// <summary>Text as HTML and XML take it; no XML may hold control characters.</summary>
    internal static string Encode(string text) => WebUtility.HtmlEncode(Shown.Text(text));

    private static void AppendTable(StringBuilder page, ReportTable table)
    {
        page.Append($"<h2>{Encode(table.Title)}</h2>\n<figure>\n<div class=\"scroll\"><table>\n<thead><tr><th></th>");
        foreach (ReportColumn column in table.Columns)
            page.Append($"<th scope=\"col\">{Encode(column.Name)}</th>");
        page.Append("</tr></thead>\n<tbody>\n");
        double?[] best = [.. table.Columns.Select((column, c) => Best(table, column, c))];
        bool IsBest(ReportRow row, int c) => !row.IsReference && best[c] is not null && row.Cells[c].Mean == best[c];
        foreach (ReportRow row in table.Rows)
        {
            string cssClass = row.IsReference ? " class=\"reference\"" : "";
            page.Append($"<tr{cssClass}><td><span class=\"key\" "
                + $"style=\"background:{ReportPalette.Variable(row.Color)}\"></span>{Encode(row.Name)}</td>");
            for (int c = 0; c < table.Columns.Count; c++)
                page.Append($"<td>{Cell(row.Cells[c], table.Columns[c].Decimals, IsBest(row, c))}</td>");
            page.Append("</tr>\n");
        }

        page.Append($"</tbody>\n</table></div>\n<figcaption>{Encode(table.Caption)}");
        foreach (ReportColumn column in table.Columns.Where(c => c.Explanation.Length > 0))
            page.Append($"<br/><strong>{Encode(column.Name)}</strong>: {Encode(column.Explanation)}");
        page.Append("</figcaption>\n</figure>\n");
    }

    private static double? Best(ReportTable table, ReportColumn column, int index)
    {
        double?[] own = [.. table.Rows.Where(r => !r.IsReference).Select(r => r.Cells[index].Mean)];
        // Nothing is the best of one.
        return own.Length < 2 || column.Best == ReportBest.None ? null : column.Best == ReportBest.Smallest ? own.Min()
            : own.Max();
    }

    private static string Cell(ReportCell cell, int decimals, bool best)
    {
        if (cell.Mean is not { } mean)
            return "–";
        string format = $"F{decimals}";
        string text = best ? $"<strong>{mean.ToString(format)}</strong>" : mean.ToString(format);
        return cell.Deviation is { } deviation ? $"{text} <span class=\"sd\">± {deviation.ToString(format)}</span>" : text;
    }

    private static void AppendPanel(StringBuilder page, ReportPanel panel, bool withLegend)
    {
        page.Append($"<h2>{Encode(panel.Title)}</h2>\n<figure>\n");
        ReportMarkerKind[] kinds = [.. panel.Images.SelectMany(i => i.Markers).Select(m => m.Kind).Distinct().Order()];
        if (withLegend && kinds.Length > 0)
        {
            page.Append("<div class=\"legend\">");
            foreach (ReportMarkerKind kind in kinds)
            {
                string mark = ReportPlots.MarkerSvg(10, 10, kind == ReportMarkerKind.Truth ? 6 : 4, 1.2f, kind);
                page.Append("<span><svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 20 20\" "
                    + $"aria-hidden=\"true\">{mark}</svg>{(kind == ReportMarkerKind.Truth ? "true centre" : "pick")}</span>");
            }

            page.Append("</div>\n");
        }

        int columns = panel.Columns > 0 ? panel.Columns : Math.Max(1, panel.Images.Count);
        page.Append($"<div class=\"images\" style=\"grid-template-columns:repeat({columns},1fr)\">\n");
        foreach (ReportImage image in panel.Images)
        {
            string label = Encode($"{panel.Title}: {image.Title}");
            page.Append(
                $"<figure>{ReportPlots.ImageSvg(image, $"role=\"img\" aria-label=\"{label}\"")}"
                + $"<figcaption>{Encode(image.Title)}</figcaption></figure>\n");
        }

        page.Append($"</div>\n<figcaption>{Encode(panel.Caption)}</figcaption>\n</figure>\n");
    }

    private static void AppendCharts(StringBuilder page, IReadOnlyList<ReportChart> charts)
    {
        page.Append("<div class=\"charts\" style=\"margin-top:2.6rem\">\n");
        for (int i = 0; i < charts.Count; i++)
            page.Append(
                $"<figure><h2>{Encode(charts[i].Title)}</h2>{ThemedSvg(charts[i], i)}"
                + $"<figcaption>{Encode(charts[i].Caption)}</figcaption></figure>\n");

        page.Append("</div>\n");
    }

    private static string ThemedSvg(ReportChart chart, int number)
    {
        // Names within a page are unique: charts number their clip paths from 1, each for itself.
        string svg = ReportPlots.ChartSvg(chart)
            .Replace("id=\"clipPath", $"id=\"chart{number}-clip", StringComparison.Ordinal)
            .Replace("url(#clipPath", $"url(#chart{number}-clip", StringComparison.Ordinal);
        foreach (((byte R, byte G, byte B) color, string variable) in ReportPalette.Variables)
        {
            string rgb = $"rgb({color.R},{color.G},{color.B})";
            // A variable is allowed in a style, not in an attribute.
            svg = svg.Replace($"fill=\"{rgb}\"", $"style=\"fill:{variable}\"", StringComparison.Ordinal).Replace(
                rgb, variable, StringComparison.Ordinal);
        }

        return svg;
    }

    private static void AppendFacts(StringBuilder page, IReadOnlyList<ReportFact> facts)
    {
        page.Append("<h2>How this was made</h2>\n<dl>\n");
        foreach (ReportFact fact in facts)
            page.Append($"<div><dt>{Encode(fact.Label)}</dt><dd>{Encode(fact.Value)}</dd></div>\n");
        page.Append("</dl>\n");
    }
}
