using System.Globalization;
using System.Text;
using CsvHelper;
using CsvHelper.Configuration;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// Coordinates in plain columns separated by commas, semicolons, tabs or blanks. With a heading, columns are
/// found by name; without one they are x y z, or class x y z. The delimiter is the one that the first line
/// has.
/// </summary>
internal static class DelimitedTable
{
    private const string Deviation = "score_deviation";
    private const string Expected = "a table of coordinates, x, y, z";

    public static TableFormat Csv { get; } = Row(CoordinateFormat.Csv, ",", heading: true, ".csv");

    public static TableFormat Tsv { get; } = Row(CoordinateFormat.Tsv, "\t", heading: true, ".tsv");

    public static TableFormat Coords { get; } = Row(CoordinateFormat.Coords, " ", heading: false, ".coords", ".txt")
        with
    { HoldsSeveralTomograms = false, HoldsScores = false, HoldsAngles = false };

    /// <summary>
    /// Commas and napari's heading; the row of the table of formats is <see cref="NapariPoints.Format"/>.
    /// </summary>
    public static TableFormat Napari { get; } = Row(CoordinateFormat.Napari, ",", heading: true, ".csv");

    private static readonly string[] KnownColumns = ["x", "y", "z", "score", "class", "tomogram", "rot", "tilt", "psi", "name",
        Deviation];

    private static string ExpectedColumns => $"x, y, z and, if wanted, {string.Join(", ", KnownColumns.Skip(3))}";

    private static TableFormat Row(CoordinateFormat format, string delimiter, bool heading, params string[] endings)
        => new(format, endings)
        {
            HoldsBlanks = heading,
            Read = (path, context) => new(format, Read(path, heading, context)),
            Write = (path, particles, options)
                => Write(path, particles, delimiter, heading, format == CoordinateFormat.Napari, options),
        };

    private static List<Particle> Read(string path, bool heading, CoordinateContext context)
    {
        List<Particle> particles = [];
        bool any = false;
        bool headed = true;
        string? delimiter = null;
        string[]? columns = null;
        (int Number, string[] Words)? comment = null;
        foreach ((int number, string text) in InputFile.ReadLines(path, Expected))
        {
            any = true;
            string line = text.Trim(' ');
            if (string.IsNullOrWhiteSpace(line) || line[0] == '#')
            {
                if (columns is null && AxesIn(line) is { } words)
                    comment = (number, words);
                continue;
            }

            delimiter ??= DelimiterOf(path, number, line);
            string[] fields = Split(path, number, line, delimiter);
            if (columns is null)
            {
                bool isHeading = !fields.Any(IsNumber);
                // numpy.savetxt writes the heading as a comment, known by its words or by their number.
                bool above = !isHeading && comment is { } c && (c.Words.All(IsColumn) || c.Words.Length == fields.Length);
                columns = above ? ColumnsFrom(path, comment!.Value.Number, comment.Value.Words)
                    : ColumnsFrom(path, number, fields);
                headed = isHeading || above;
                if (isHeading)
                    continue;
            }

            if (fields.Length != columns.Length)
                throw new InputException($"{path}: line {number}: {Counted.Of(fields.Length, "value")}; expected "
                    + $"{columns.Length} ({string.Join(", ", columns)}).");
            particles.Add(ToParticle(path, number, columns, fields, context));
        }

        if (!headed && columns!.Length == 4)
            RefuseOtherOrder(path, particles);
        return columns is null && !(any && !heading) ? throw new InputException($"{path}: is empty. Expected {Expected}.")
            : particles;
    }

    /// <summary>The words of a comment that names x, y and z; null of any other.</summary>
    private static string[]? AxesIn(string line)
    {
        if (!line.StartsWith('#'))
            return null;
        string[] words = line[(line.LastIndexOf(':') + 1)..].TrimStart('#').ToLowerInvariant()
            .Split([' ', '\t', ',', ';', '"'], StringSplitOptions.RemoveEmptyEntries);
        return KnownColumns.Take(3).All(words.Contains) ? words : null;
    }

    private static bool IsColumn(string word) => KnownColumns.Contains(word) || ScoreColumns.Has(word);

    /// <summary>
    /// Refuses four columns without a heading that are rather x y z and a score, or x y z and a class, than
    /// class x y z.
    /// </summary>
    private static void RefuseOtherOrder(string path, List<Particle> particles)
    {
        const int manyClasses = 20;
        static bool IsWhole(double v) => Math.Abs(v - Math.Round(v)) < 1e-9;
        double[] last = [.. particles.Select(p => p.Pixels.ToPixel(p.Z))];
        int different = particles.Select(p => p.Class).Distinct().Count();
        // Classes are few; and where x and y are whole numbers, z alone has no fractions.
        bool manyFirst = different > 1 && ((2 * different > particles.Count && particles.Max(p => p.Class) > manyClasses)
            || (last.Any(v => !IsWhole(v))
                && particles.All(p => IsWhole(p.Pixels.ToPixel(p.X)) && IsWhole(p.Pixels.ToPixel(p.Y)))));
        bool scores = last.All(v => v is >= 0 and <= 1) && last.Any(v => v != Math.Floor(v));
        bool classes = last.All(v => v >= 0 && v == Math.Floor(v))
            && different > last.Distinct().Count();
        if (manyFirst && !scores && !classes)
            throw new InputException($"{path}: has four columns without a heading, which are read as class, x, y, z; but the "
                + $"first has {different} values in {Counted.Of(particles.Count, "row")}, as places have rather than classes. "
                + "Write a heading with the columns' names in the first line, for example x y z score or class x y z.");
        if (scores || classes)
            throw new InputException($"{path}: has four columns without a heading, which are read as class, x, y, z; but the "
                + $"last one looks like a {(scores ? "score" : "class")}. Write a heading with the columns' names in the first "
                + $"line, for example x y z {(scores ? "score" : "class")}.");
    }

    private static bool BreaksLine(string? name) => name?.AsSpan().ContainsAny('\n', '\r', '\0') == true;

    private static void Write(string path, IReadOnlyList<Particle> particles, string delimiter, bool heading, bool napari,
        CoordinateWriteOptions options)
    {
        bool scores = heading && particles.Any(p => p.Score is not null);
        bool classes = particles.Any(p => p.Class is not null);
        bool tomograms = heading && !napari && particles.Any(p => p.Tomogram is not null);
        bool angles = heading && !napari && particles.Any(p => p.Orientation is not null);
        bool names = heading && particles.Any(p => p.Name is not null);
        bool deviations = heading && particles.Any(p => p.ScoreDeviation is not null);
        IEnumerable<string?> texts = particles.SelectMany(p => new[] { p.Name, p.Tomogram ?? options.TomogramName });
        if (heading && texts.FirstOrDefault(BreaksLine) is { } broken)
        {
            throw new InputException($"{path}: cannot be written: the name {InputFile.Quote(broken)} has a line break, and a "
                + "table has a line for each particle. Rename it.");
        }

        static string Text(double? value) => value?.ToString("R", CultureInfo.InvariantCulture) ?? "";
        static string Angle(double? value) => value is { } known ? TableNumber.Text(known) : "";

        AtomicFile.Write(path, stream =>
        {
            using StreamWriter writer = new(stream, new UTF8Encoding(false), 1 << 16, leaveOpen: true);
            using CsvWriter csv = new(writer, new CsvConfiguration(CultureInfo.InvariantCulture)
            {
                Delimiter = delimiter,
                NewLine = "\n",
                WhiteSpaceChars = [],
            });
            void Line(IEnumerable<string> fields)
            {
                foreach (string field in fields)
                    csv.WriteField(field);
                csv.NextRecord();
            }

            if (!heading && particles.Count == 0)
                writer.Write(HeadlessTable.NoRows);
            if (heading)
                Line([.. napari ? [NapariPoints.Index, .. NapariPoints.Axes.Select(a => a.Theirs)] : (string[])["x", "y", "z"],
                    .. scores ? ["score"] : (string[])[], .. classes ? ["class"] : (string[])[], .. tomograms ? ["tomogram"]
                    : (string[])[], .. angles ? ["rot", "tilt", "psi"] : (string[])[], .. names ? ["name"] : (string[])[],
                    .. deviations ? [Deviation] : (string[])[]]);
            for (int i = 0; i < particles.Count; i++)
            {
                Particle p = particles[i];
                string number = p.Class?.ToString(CultureInfo.InvariantCulture) ?? (heading ? "" : "0");
                PixelGrid grid = options.GridOf(path, p);
                List<string> row =
                    [TableNumber.Text(grid.ToPixel(p.X)), TableNumber.Text(grid.ToPixel(p.Y)), TableNumber.Text(
                        grid.ToPixel(p.Z))];
                if (napari)
                    row = [i.ToString(CultureInfo.InvariantCulture), row[2], row[1], row[0]];
                if (classes && !heading)
                    row.Insert(0, number);
                if (scores)
                    row.Add(Text(p.Score));
                if (classes && heading)
                    row.Add(number);
                if (tomograms)
                    row.Add(p.Tomogram ?? "");
                if (angles)
                    row.AddRange([Angle(p.Orientation?.Rot), Angle(p.Orientation?.Tilt), Angle(p.Orientation?.Psi)]);
                if (names)
                    row.Add(p.Name ?? "");
                if (deviations)
                    row.Add(Text(p.ScoreDeviation));
                Line(row);
            }
        });
    }

    /// <summary>
    /// The names of the columns: from the heading, or by their number where the first line holds numbers.
    /// </summary>
    private static string[] ColumnsFrom(string path, int number, string[] fields)
    {
        if (fields.Any(IsNumber))
        {
            return fields.Length switch
            {
                3 => ["x", "y", "z"],
                4 => ["class", "x", "y", "z"],
                _ => throw new InputException($"{path}: line {number}: {Counted.Of(fields.Length, "column")} without a "
                    + "heading; expected 3 (x, y, z) or 4 (class, x, y, z). Add a heading with the columns' names."),
            };
        }

        string[] columns = [.. fields.Select(f => f.Trim().ToLowerInvariant())];
        bool napari = columns.Contains(NapariPoints.Axes[0].Theirs);
        if (napari)
            columns = NapariPoints.OurColumns(path, number, columns);
        // Another program's name for the scores, where there is one.
        if (columns.Where(ScoreColumns.Has).ToArray() is [var scores])
            columns[Array.IndexOf(columns, scores)] = "score";
        // napari's other columns are properties of its own.
        string? unknown = napari ? null : columns.FirstOrDefault(c => !KnownColumns.Contains(c));
        if (unknown?.Length == 0)
            throw new InputException($"{path}: line {number}: column {Array.IndexOf(columns, "") + 1} has no name. Name it or "
                + $"leave it out (pandas writes its index so, unless to_csv has index=False); expected {ExpectedColumns}.");
        if (unknown is not null)
            throw new InputException($"{path}: line {number}: unknown column {InputFile.Quote(unknown)}; "
                + $"expected {ExpectedColumns}.");
        if (columns.FirstOrDefault(c => columns.Count(other => other == c) > 1) is { } twice)
            throw new InputException($"{path}: line {number}: column {InputFile.Quote(twice)} stands twice in the heading; "
                + "expected each once. Rename or delete one.");
        string? missing = KnownColumns.Take(3).FirstOrDefault(c => !columns.Contains(c));
        return missing is null ? columns : throw new InputException(
            $"{path}: line {number}: no column {missing}; expected x, y, z.");
    }

    private static Particle ToParticle(string path, int number, string[] columns, string[] fields, CoordinateContext context)
    {
        string Field(string column) => Array.IndexOf(columns, column) is >= 0 and int i ? fields[i].Trim() : "";
        double Required(string column)
            => Optional(column) ?? throw new InputException($"{path}: line {number}: {column} is empty; expected a number.");
        double? Optional(string column)
        {
            string text = Field(column);
            if (text.Length == 0)
                return null;
            return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(
                value)
                ? value
                : throw new InputException($"{path}: line {number}: {column} is {InputFile.Quote(text)}; expected a "
                    + $"number{(HasDecimalComma(text) ? " with a decimal point, not a comma" : "")}.");
        }

        double? label = Optional("class");
        if (label is { } c && (c != Math.Floor(c) || Math.Abs(c) > int.MaxValue))
            throw new InputException($"{path}: line {number}: class is {InputFile.Quote(Field("class"))}; expected a whole "
                + "number (four columns without a heading are class, x, y, z).");
        string tomogram = Field("tomogram");
        double? rot = Optional("rot"), tilt = Optional("tilt"), psi = Optional("psi");
        string name = Field("name");
        PixelGrid grid = context.Of(path, tomogram.Length == 0 ? null : tomogram).Grid(0);
        double Voxel(string column) => grid.ToVoxel(Required(column));
        return new Particle(Voxel("z"), Voxel("y"), Voxel("x"))
        {
            Pixels = grid,
            Score = Optional("score"),
            ScoreDeviation = Optional(Deviation),
            Class = (int?)label,
            Name = name.Length == 0 ? null : name,
            Tomogram = tomogram.Length == 0 ? null : tomogram,
            Angles = rot is null && tilt is null && psi is null ? null : new ParticleAngles(rot ?? 0, tilt ?? 0, psi ?? 0),
        };
    }

    private static bool IsNumber(string field)
        => double.TryParse(field.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out _);

    /// <summary>The delimiter of a line; " " stands for any number of blanks.</summary>
    private static string DelimiterOf(string path, int number, string line)
        => line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries) is { Length: > 1 } words && Array.TrueForAll(
            words, HasDecimalComma)
            ? throw new InputException($"{path}: line {number}: {InputFile.Quote(line)} has decimal commas; expected numbers "
                + "with decimal points.")
            : line.Contains(',', StringComparison.Ordinal) ? ","
            : line.Contains(';', StringComparison.Ordinal) ? ";"
            : line.Contains('\t', StringComparison.Ordinal) ? "\t" : " ";

    private static bool HasDecimalComma(string text)
        => text.Count(c => c == ',') == 1 && char.IsAsciiDigit(text[^1]) && IsNumber(text.Replace(',', '.'));

    private static string[] Split(string path, int number, string line, string delimiter)
    {
        if (delimiter == " ")
            return line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        if (!line.Contains('"', StringComparison.Ordinal))
            return line.Split(delimiter);
        // Quoted fields are the library's business; a field does not run over several lines in such tables.
        using CsvParser parser = new(new StringReader(line), new CsvConfiguration(CultureInfo.InvariantCulture)
        {
            Delimiter = delimiter,
            BadDataFound = null,
            MaxFieldSize = 0,
        });
        try
        {
            return parser.Read() ? parser.Record ?? [] : [];
        }
        catch (CsvHelperException e)
        {
            throw new InputException($"{path}: line {number}: cannot be split at {InputFile.Quote(delimiter)}: "
                + $"{InputFile.OneLine(e.Message.Split('\n')[0])}", e);
        }
    }
}
