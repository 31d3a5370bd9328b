using System.Diagnostics;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace MeanShiftGpu.Peers;

/// <summary>What the command line asks for.</summary>
internal sealed class Settings
{
    /// <summary>Edges of the volumes; empty for each case's own.</summary>
    public int[] Edges { get; set; } = [];

    public int Threads { get; set; } = Environment.ProcessorCount;

    /// <summary>Each case is timed for at least this long, and at least three times.</summary>
    public double Seconds { get; set; } = 5;

    /// <summary>Beginnings of the names of those that take part beside this library; empty for all.</summary>
    public string[] Only { get; set; } = [];

    /// <summary>oneDNN's library; empty for the one that is installed.</summary>
    public string OneDnn { get; set; } = "";
}

/// <summary>One way to do a case.</summary>
/// <param name="Name">Whose.</param>
/// <param name="Run">Does it.</param>
/// <param name="Output">What came out of the last run, in PyTorch's order; null where that is not
/// compared.</param>
internal sealed record Entry(string Name, Action Run, Func<float[]>? Output);

/// <summary>A row of the table.</summary>
internal sealed record Row(
    string Case, string Size, string Name, double MedianMs, double Ratio, double LowestRatio, double HighestRatio,
    double? Error, double Gflops, int Turns);

/// <summary>Compares the outputs of several ways to do a case with the first one's, then times them in
/// turns.</summary>
internal sealed class Contest(Settings settings, TextWriter output)
{
    /// <summary>‖theirs − ours‖ / ‖ours‖ in float32: what other orders of summation make, tenfold.</summary>
    public const double Tolerance = 1e-4;

    // The threads of another library may still look out for work; then they leave the processor.
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private readonly List<Row> rows = [];

    /// <summary>How many outputs differ by more than the tolerance.</summary>
    public int Differing { get; private set; }

    /// <summary>Runs a case and writes its table; nothing where nobody takes part beside this
    /// library.</summary>
    /// <param name="name">The case.</param>
    /// <param name="size">Its size.</param>
    /// <param name="operations">Of the direct algorithm; 0 where they are not counted.</param>
    /// <param name="entries">This library's first.</param>
    /// <param name="tolerance">How much an output may differ.</param>
    public void Run(string name, string size, double operations, IReadOnlyList<Entry> entries, double tolerance = Tolerance)
    {
        if (entries.Count < 2)
            return;
        double?[] errors = new double?[entries.Count];
        entries[0].Run();
        float[]? expected = entries[0].Output?.Invoke();
        for (int i = 1; i < entries.Count; i++)
        {
            entries[i].Run();
            if (expected is null || entries[i].Output is not { } outcome)
                continue;
            errors[i] = Difference(outcome(), expected);
            if (!(errors[i] <= tolerance))
                Differing++;
        }

        List<double>[] times = [.. entries.Select(_ => new List<double>())];
        Stopwatch total = Stopwatch.StartNew();
        for (int turn = 0; turn < 3 || total.Elapsed.TotalSeconds < settings.Seconds; turn++)
        {
            for (int i = 0; i < entries.Count; i++)
            {
                // Whoever begins changes from turn to turn.
                int at = (i + turn) % entries.Count;
                Thread.Sleep(Pause);
                long begin = Stopwatch.GetTimestamp();
                entries[at].Run();
                times[at].Add(Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
            }
        }

        output.WriteLine($"### {name}, {size}");
        output.WriteLine();
        output.WriteLine("| | ms, median | by ours, median of turns | lowest to highest | GFLOP/s | output differs by |");
        output.WriteLine("|---|---|---|---|---|---|");
        for (int i = 0; i < entries.Count; i++)
        {
            double[] ratios = [.. times[i].Zip(times[0], (theirs, ours) => theirs / ours)];
            double median = Median(times[i]);
            Row row = new(
                name, size, entries[i].Name, median, Median(ratios), ratios.Min(), ratios.Max(), errors[i],
                operations / median / 1e6, ratios.Length);
            rows.Add(row);
            string differs = row.Error is { } error ? $"{error:0.0e+0}{(error <= tolerance ? "" : ", more than allowed")}" : "";
            output.WriteLine(
                $"| {row.Name} | {row.MedianMs:0.00} | {row.Ratio:0.00} | {row.LowestRatio:0.00} to {row.HighestRatio:0.00} "
                + $"| {(operations > 0 ? $"{row.Gflops:0}" : "")} | {differs} |");
        }

        output.WriteLine();
        output.WriteLine($"{times[0].Count} turns.");
        output.WriteLine();
    }

    /// <summary>Reads the rows of an earlier run.</summary>
    public static IReadOnlyList<Row> Read(string path)
        => JsonSerializer.Deserialize<List<Row>>(File.ReadAllText(path), Json)!;

    /// <summary>Draws all rows.</summary>
    public void Draw(string path) => Chart.Write(path, rows);

    /// <summary>Writes all rows as JSON.</summary>
    public void Write(string path) => File.WriteAllText(path, JsonSerializer.Serialize(rows, Json));

    private static double Difference(float[] theirs, float[] ours)
    {
        if (theirs.Length != ours.Length)
            return double.PositiveInfinity;
        double squares = 0;
        double differences = 0;
        for (int i = 0; i < ours.Length; i++)
        {
            squares += (double)ours[i] * ours[i];
            differences += Math.Pow((double)theirs[i] - ours[i], 2);
        }

        return Math.Sqrt(differences / squares);
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
