using System.Text;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Files;

/// <summary>One table of a STAR file.</summary>
public sealed class StarTable
{
    private readonly Dictionary<string, int> index = new(StringComparer.Ordinal);

    /// <summary>Creates an empty table.</summary>
    /// <param name="name">What follows <c>data_</c>; may be empty.</param>
    /// <param name="columns">Column names without the leading underscore.</param>
    /// <param name="isLoop">Whether it is a loop of rows; otherwise a list of names and values, which is a
    /// table of one row.</param>
    public StarTable(string name, IEnumerable<string> columns, bool isLoop = true)
    {
        ArgumentNullException.ThrowIfNull(columns);
        Name = name;
        IsLoop = isLoop;
        foreach (string column in columns)
            AddColumn(column);
    }

    /// <summary>The name, without <c>data_</c>.</summary>
    public string Name { get; }

    /// <summary>Whether it is a loop of rows.</summary>
    public bool IsLoop { get; internal set; }

    /// <summary>
    /// Comment lines in front of the table, without <c>#</c>; RELION marks its version there.
    /// </summary>
    public IList<string> Comments { get; } = [];

    /// <summary>Column names without the leading underscore.</summary>
    public IReadOnlyList<string> Columns => columnList;

    /// <summary>Rows of values, unquoted, in the order of the columns.</summary>
    public IList<string[]> Rows { get; } = [];

    /// <summary>The line of the file that each row came from; empty for a table made in memory.</summary>
    internal List<int> RowLines { get; } = [];

    /// <summary>What a table of pairs has read so far: its one row is made when all are known.</summary>
    internal List<string> PairValues { get; } = [];

    private readonly List<string> columnList = [];

    /// <summary>Whether the table has a column.</summary>
    public bool Has(string column) => index.ContainsKey(column);

    /// <summary>The place of a column; −1 when there is none.</summary>
    public int IndexOf(string column) => index.GetValueOrDefault(column, -1);

    internal bool AddColumn(string column)
    {
        if (!index.TryAdd(column, columnList.Count))
            return false;
        columnList.Add(column);
        return true;
    }
}

/// <summary>A STAR file: tables of text. Reading and writing keeps every table, column and value.</summary>
public sealed class StarFile
{
    private const string Expected = "a STAR table (data_, loop_, _columns)";

    /// <summary>The tables in the file's order.</summary>
    public IList<StarTable> Tables { get; } = [];

    /// <summary>The first table of a name; null when there is none.</summary>
    public StarTable? Table(string name) => Tables.FirstOrDefault(t => t.Name == name);

    /// <summary>Reads a file.</summary>
    /// <exception cref="InputException">The file is missing, empty, or no STAR file; a row has too few or too
    /// many values.</exception>
    public static StarFile Read(string path)
    {
        StarFile file = new();
        List<string> comments = [];
        StarTable? table = null;
        bool inLoopHeader = false;
        foreach ((int number, string text) in InputFile.ReadLines(path, Expected))
        {
            string line = WithoutRemark(text.Trim());
            if (line.Length == 0)
                continue;
            if (line[0] == '#')
            {
                comments.Add(line[1..].Trim());
                continue;
            }

            if (line.StartsWith("data_", StringComparison.Ordinal))
            {
                bool loop = line.EndsWith(" loop_", StringComparison.Ordinal) || line.EndsWith(
                    "\tloop_", StringComparison.Ordinal);
                table = new StarTable(loop ? line[5..^5].Trim() : line[5..], [], isLoop: loop);
                foreach (string comment in comments)
                    table.Comments.Add(comment);
                comments.Clear();
                file.Tables.Add(table);
                inLoopHeader = loop;
            }
            else if (table is null)
            {
                throw new InputException($"{path}: line {number}: {InputFile.Quote(line)} stands before the first data_ block; "
                    + $"expected {Expected}.");
            }
            else if (line == "loop_")
            {
                if (table.Columns.Count > 0)
                    throw new InputException($"{path}: line {number}: a second loop_ in table {InputFile.Quote(table.Name)}; "
                        + "expected one per data_ block.");
                table.IsLoop = true;
                inLoopHeader = true;
            }
            else if (line[0] == '_')
            {
                AddColumn(path, number, table, line, inLoopHeader);
            }
            else
            {
                inLoopHeader = false;
                AddRow(path, number, table, line);
            }
        }

        if (file.Tables.Count == 0)
            throw new InputException($"{path}: is empty. Expected {Expected}.");
        foreach (StarTable pairs in file.Tables.Where(t => t.PairValues.Count > 0))
            pairs.Rows.Add([.. pairs.PairValues]);
        return file;
    }

    /// <summary>
    /// A line that begins a block or a loop, without a comment behind it; other lines as they are.
    /// </summary>
    private static string WithoutRemark(string line)
    {
        if (!line.StartsWith("data_", StringComparison.Ordinal) && !line.StartsWith("loop_", StringComparison.Ordinal))
            return line;
        for (int i = 1; i < line.Length; i++)
        {
            if (line[i] == '#' && char.IsWhiteSpace(line[i - 1]))
                return line[..i].TrimEnd();
        }

        return line;
    }

    /// <summary>Writes a file.</summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public void Write(string path)
        => AtomicFile.Write(path, stream =>
        {
            using StreamWriter writer = new(stream, new UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
            foreach (StarTable table in Tables)
                WriteTable(path, writer, table);
        });

    private static void WriteTable(string path, StreamWriter writer, StarTable table)
    {
        writer.WriteLine();
        foreach (string comment in table.Comments)
            writer.WriteLine($"# {comment}");
        if (table.Comments.Count > 0)
            writer.WriteLine();
        writer.WriteLine($"data_{table.Name}");
        writer.WriteLine();
        if (!table.IsLoop)
        {
            for (int i = 0; i < table.Columns.Count; i++)
                writer.WriteLine($"_{table.Columns[i],-40} {Quoted(path, table.Rows[0][i])}");
            return;
        }

        writer.WriteLine("loop_");
        for (int i = 0; i < table.Columns.Count; i++)
            writer.WriteLine($"_{table.Columns[i]} #{i + 1}");
        foreach (string[] row in table.Rows)
            writer.WriteLine(string.Join(' ', row.Select(value => Quoted(path, value))));
        writer.WriteLine();
    }

    /// <summary>
    /// A value as it must stand in a file: quoted when it is empty, has blanks, or would be read as something
    /// else.
    /// </summary>
    private static string Quoted(string path, string value) => Word(value) ?? throw new InputException(
        $"{path}: cannot be written: a STAR table cannot hold {InputFile.Quote(value)}, which has a line break or both kinds of "
        + "quotes. Rename it.");

    /// <summary>Whether a table can hold a value.</summary>
    internal static bool Holds(string value) => Word(value) is not null;

    private static string? Word(string value)
    {
        bool plain = value.Length > 0
            && !value.Any(char.IsWhiteSpace)
            && value[0] is not ('#' or '_' or '"' or '\'' or ';' or '$')
            && value != "loop_"
            && !value.StartsWith("data_", StringComparison.Ordinal);
        if (plain)
            return value;
        foreach (char quote in "\"'")
        {
            string quoted = $"{quote}{value}{quote}";
            if (!value.AsSpan().ContainsAny('\n', '\r') && ClosingQuote(quoted, 0) == quoted.Length - 1)
                return quoted;
        }

        return null;
    }

    private static void AddColumn(string path, int number, StarTable table, string line, bool inLoopHeader)
    {
        List<string> tokens = Split(path, number, line);
        string column = tokens[0][1..];
        if (table.IsLoop && !inLoopHeader)
            throw new InputException($"{path}: line {number}: column {InputFile.Quote(column)} after the rows of table "
                + $"{InputFile.Quote(table.Name)}; expected another data_ block first.");
        if (!table.IsLoop && tokens.Count != 2)
            throw new InputException($"{path}: line {number}: {tokens.Count - 1} values for {InputFile.Quote(column)}; "
                + "expected one (or loop_ before the columns).");
        if (column.Length == 0 || !table.AddColumn(column))
            throw new InputException($"{path}: line {number}: column {InputFile.Quote(column)} stands twice in table "
                + $"{InputFile.Quote(table.Name)}, or has no name.");
        if (table.IsLoop)
            return;
        if (table.PairValues.Count == 0)
            table.RowLines.Add(number);
        table.PairValues.Add(tokens[1]);
    }

    private static void AddRow(string path, int number, StarTable table, string line)
    {
        if (!table.IsLoop || table.Columns.Count == 0)
            throw new InputException($"{path}: line {number}: {InputFile.Quote(line)} is no column, loop_ or data_; expected "
                + $"{Expected}.");
        List<string> tokens = Split(path, number, line);
        if (tokens.Count != table.Columns.Count)
            throw new InputException($"{path}: line {number}: {Counted.Of(tokens.Count, "value")}, but table "
                + $"{InputFile.Quote(table.Name)} has {Counted.Of(table.Columns.Count, "column")}; expected a value for each. "
                + "Add or remove values, and put a value with blanks into quotes.");
        table.Rows.Add([.. tokens]);
        table.RowLines.Add(number);
    }

    /// <summary>
    /// Splits a line at blanks. Quotes hold a value with blanks together and end before a blank; # starts a
    /// comment.
    /// </summary>
    private static List<string> Split(string path, int number, string line)
    {
        List<string> tokens = [];
        int i = 0;
        while (i < line.Length)
        {
            if (char.IsWhiteSpace(line[i]))
            {
                i++;
                continue;
            }

            if (line[i] == '#')
                break;
            int end;
            if (line[i] is '"' or '\'')
            {
                end = ClosingQuote(line, i);
                if (end < 0)
                    throw new InputException($"{path}: line {number}: a quote is not closed; expected the same quote "
                        + "before a blank or the end of the line. Close it.");
                tokens.Add(line[(i + 1)..end]);
                i = end + 1;
                continue;
            }

            end = i;
            while (end < line.Length && !char.IsWhiteSpace(line[end]))
                end++;
            tokens.Add(line[i..end]);
            i = end;
        }

        return tokens;
    }

    private static int ClosingQuote(string line, int open)
    {
        for (int i = open + 1; i < line.Length; i++)
        {
            if (line[i] == line[open] && (i + 1 == line.Length || char.IsWhiteSpace(line[i + 1])))
                return i;
        }

        return -1;
    }
}
