using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>Timings of several machines in one table: a row for each case and variant, a column for each
/// machine.</summary>
internal static class BenchTable
{
    /// <summary>The table in Markdown, and below it what the machines are.</summary>
    /// <param name="machines">Each machine's name and timings.</param>
    public static IReadOnlyList<string> Of(IReadOnlyList<(string Name, IReadOnlyList<BenchResult> Results)> machines)
    {
        List<string> lines =
        [
            "Milliseconds: the median of the repeats. In brackets, where they are counted, GFLOP/s of the direct algorithm.",
            "",
            $"| what | size | variant | {string.Join(" | ", machines.Select(m => m.Name))} |",
            $"|---|---|---|{string.Concat(machines.Select(_ => "---|"))}",
        ];
        Dictionary<BenchKey, BenchResult>[] columns =
        [
            .. machines.Select(m => m.Results.DistinctBy(BenchKey.Of).ToDictionary(BenchKey.Of)),
        ];
        foreach (BenchKey row in machines.SelectMany(m => m.Results).Select(BenchKey.Of).Distinct())
        {
            IEnumerable<string> cells = columns.Select(c => c.TryGetValue(row, out BenchResult? result)
                ? $"{result.MedianMs:0.000}{(result.Gflops > 0 ? $" ({result.Gflops:0})" : "")}"
                : "");
            lines.Add($"| {row.Name} | {row.Size} | {row.Variant} {row.Precision} | {string.Join(" | ", cells)} |");
        }

        lines.Add("");
        lines.Add("| machine | what it is | build |");
        lines.Add("|---|---|---|");
        foreach ((string name, IReadOnlyList<BenchResult> results) in machines)
        {
            foreach (BenchRun? run in results.Select(r => r.Run).DistinctBy(r => (r?.Machine(), r?.Commit)))
                lines.Add($"| {name} | {run?.Machine() ?? "not said"} | {run?.Build() ?? "not said"} |");
        }

        return lines;
    }

    /// <summary>Reads a file for each machine, which is named as the file is.</summary>
    /// <exception cref="InputException">There is none, two have one name, or one cannot be read.</exception>
    public static IReadOnlyList<(string Name, IReadOnlyList<BenchResult> Results)> Read(IReadOnlyList<string> paths)
    {
        if (paths.Count == 0)
            throw new InputException("bench table: no file was given. Give the JSON of each machine's bench.");
        List<(string Name, IReadOnlyList<BenchResult> Results)> machines = [];
        foreach (string path in paths)
        {
            string name = Path.GetFileNameWithoutExtension(path);
            if (machines.Any(m => m.Name == name))
                throw new InputException(
                    $"{path}: another file has this name too, by which machines are told apart. Rename one.");
            machines.Add((name, BenchFile.Read(path, withSpread: false)));
        }

        return machines;
    }
}
