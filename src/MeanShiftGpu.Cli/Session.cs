using System.Diagnostics;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Volumes;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace MeanShiftGpu.Cli;

/// <summary>
/// What a verb says to the person at the terminal, or to the file that its output goes to: no colours, frames
/// and control characters there. Everything that is said goes through here or <see cref="CommandLine"/>, and
/// nothing from a file steers the terminal.
/// </summary>
internal sealed class Session
{
    private readonly TextWriter output;
    private readonly TextWriter error;
    private readonly IAnsiConsole? console;

    // Warnings that wait for the end of a progress bar, which they would tear.
    private List<string>? held;

    /// <summary>Opens the output.</summary>
    public Session(TextWriter output, TextWriter error, bool terminal, CancellationToken cancellation)
    {
        this.output = output;
        this.error = error;
        Cancellation = cancellation;
        if (!terminal)
            return;
        bool colours = string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
        console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(output),
            Ansi = AnsiSupport.Yes,
            Interactive = InteractionSupport.Yes,
            ColorSystem = colours ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
        });
    }

    /// <summary>The other ranks of a training, where there are some.</summary>
    public RankedRun Ranked { get; init; } = new(null);

    /// <summary>Ctrl-C.</summary>
    public CancellationToken Cancellation { get; }

    /// <summary>Writes a line of results.</summary>
    public void Line(string text)
    {
        text = Shown.Text(text);
        if (console is null)
            output.WriteLine(text);
        else
            console.WriteLine(text);
    }

    /// <summary>Writes the result of a check; a failure stands out on a terminal.</summary>
    public void Check(bool passed, string text)
    {
        text = Shown.Text(text);
        if (console is null)
            output.WriteLine(text);
        else
            console.Write(new Text(text + "\n", passed ? Style.Plain : new Style(Color.Red)));
    }

    /// <summary>Writes something that may be wrong with the input but does not stop the work.</summary>
    public void Warn(string text)
    {
        if (held is null)
            error.WriteLine($"warning: {Shown.Text(text)}");
        else
            held.Add(text);
    }

    /// <summary>Writes what failed of a work whose other parts were done.</summary>
    public void Error(string text) => error.WriteLine($"error: {Shown.Text(text)}");

    /// <summary>Reads a volume's header and says what was odd about it.</summary>
    public MrcHeader ReadHeader(string path)
    {
        MrcHeader header = MrcFile.ReadHeader(path);
        foreach (string note in header.Notes)
            Warn($"{path}: {note}.");
        return header;
    }

    /// <summary>Writes a table; the first column is text, the others are aligned to the right.</summary>
    public void Table(IReadOnlyList<string> headings, IEnumerable<IReadOnlyList<string>> rows)
    {
        headings = [.. headings.Select(Shown.Text)];
        rows = rows.Select(row => (IReadOnlyList<string>)[.. row.Select(Shown.Text)]);
        if (console is null)
        {
            PlainTable([headings, .. rows]);
            return;
        }

        Table table = new() { Border = TableBorder.Rounded };
        for (int i = 0; i < headings.Count; i++)
            table.AddColumn(new TableColumn(new Text(headings[i])) { Alignment = i == 0 ? Justify.Left : Justify.Right });
        foreach (IReadOnlyList<string> row in rows)
            table.AddRow([.. row.Select(cell => (IRenderable)new Text(cell))]);
        console.Write(table);
    }

    /// <summary>
    /// Runs a piece of work with a progress bar on a terminal, and a line every few seconds otherwise.
    /// </summary>
    /// <param name="title">What is done.</param>
    /// <param name="work">Calls its argument with the fraction done and a few words.</param>
    public void Progress(string title, Action<Action<double, string>> work)
    {
        title = Shown.Text(title);
        if (console is null)
        {
            PlainProgress(title, work);
            return;
        }

        held = [];
        try
        {
            console.Progress()
                .AutoClear(true)
                .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn())
                .Start(progress =>
                {
                    ProgressTask task = progress.AddTask(Markup.Escape(title), maxValue: 1);
                    work((fraction, words) =>
                    {
                        task.Value = fraction;
                        task.Description = Markup.Escape($"{title}  {Shown.Text(words)}");
                    });
                });
        }
        finally
        {
            List<string> waiting = held;
            held = null;
            waiting.ForEach(Warn);
        }
    }

    // The first, the last, and one every few seconds in between: a log stays readable.
    private void PlainProgress(string title, Action<Action<double, string>> work)
    {
        Stopwatch sinceLine = new();
        work((fraction, words) =>
        {
            if (sinceLine.IsRunning && fraction < 1 && sinceLine.Elapsed < TimeSpan.FromSeconds(5))
                return;
            output.WriteLine($"{title}: {fraction * 100:0} % {Shown.Text(words)}".TrimEnd());
            sinceLine.Restart();
        });
    }

    private void PlainTable(IReadOnlyList<IReadOnlyList<string>> rows)
    {
        int[] widths = [.. Enumerable.Range(0, rows[0].Count).Select(column => rows.Max(row => row[column].Length))];
        foreach (IReadOnlyList<string> row in rows)
        {
            IEnumerable<string> cells = row.Select(
                (cell, column) => column == 0 ? cell.PadRight(widths[column]) : cell.PadLeft(widths[column]));
            output.WriteLine(string.Join("  ", cells).TrimEnd());
        }
    }
}
