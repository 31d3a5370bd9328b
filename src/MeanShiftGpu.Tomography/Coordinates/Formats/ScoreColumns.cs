using System.Globalization;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>The columns in which pickers and template matchings say how sure they are.</summary>
internal static class ScoreColumns
{
    // Without the prefix of a program and in small letters; the first that a table has counts.
    private static readonly string[] Names =
    [
        "score", "autopickfigureofmerit", "figureofmerit", "lccmax", "lccfcmax", "ccc", "cc", "confidence", "probability",
        "particlefigureofmerit",
    ];

    private static readonly string[] Prefixes = ["rln", "wrp", "_"];

    /// <summary>Whether a column has such a name.</summary>
    public static bool Has(string column) => Array.IndexOf(Names, Plain(column)) >= 0;

    /// <summary>
    /// The column of a table that has the scores, of those that hold numbers; null where there is none.
    /// </summary>
    /// <param name="columns">The columns' names.</param>
    /// <param name="values">The values of a column by its place.</param>
    public static string? Among(IReadOnlyList<string> columns, Func<int, IEnumerable<string>> values)
        => Enumerable.Range(0, columns.Count)
            .Where(i => Has(columns[i]))
            .OrderBy(i => Array.IndexOf(Names, Plain(columns[i])))
            .Where(i => values(i).All(IsNumber))
            .Select(i => columns[i])
            .FirstOrDefault();

    private static bool IsNumber(string text)
        => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number);

    private static string Plain(string column)
    {
        string plain = column.Trim().ToLowerInvariant();
        foreach (string prefix in Prefixes)
            plain = plain.StartsWith(prefix, StringComparison.Ordinal) ? plain[prefix.Length..] : plain;
        return plain;
    }
}
