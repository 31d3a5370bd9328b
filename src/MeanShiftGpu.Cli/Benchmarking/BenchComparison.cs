using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>The timings of two runs side by side, and whether they differ by more than noise.</summary>
internal static class BenchComparison
{
    // Two sittings of one build on a machine with nothing else to do differ by less.
    private const double LeastChange = 0.05;
    private const int FewestRepeats = 3;

    /// <summary>The rule, in words.</summary>
    public const string Rule = "More than noise: the middle halves of the repeats (lower to upper quartile) do not "
        + "overlap, and the medians differ by 5 % or more. What was timed fewer than three times is not judged.";

    /// <summary>A Markdown table of the cases that both runs have, with the rule and what they lack below
    /// it.</summary>
    /// <param name="path">The name of the earlier run's file, for the error.</param>
    /// <param name="before">The earlier run.</param>
    /// <param name="after">This run.</param>
    /// <exception cref="InputException">They have no case in common.</exception>
    public static IReadOnlyList<string> Table(
        string path, IReadOnlyList<BenchResult> before, IReadOnlyList<BenchResult> after)
    {
        Dictionary<BenchKey, BenchResult> earlier = [];
        foreach (BenchResult result in before)
            earlier.TryAdd(BenchKey.Of(result), result);
        BenchResult[] common = [.. after.Where(result => earlier.ContainsKey(BenchKey.Of(result)))];
        if (common.Length == 0)
            throw new InputException($"{path}: has none of the {Counted.Of(after.Count, "case")} that were timed now.");
        List<string> lines = [];
        if (before[0].Run is { } then && after[0].Run is { } now)
        {
            lines.Add($"Before: {then.Build()}. After: {now.Build()}.");
            lines.Add(then.Machine() == now.Machine()
                ? now.Machine()
                : $"Machines differ. Before: {then.Machine()}. After: {now.Machine()}.");
            lines.Add("");
        }

        lines.Add("| what | size | variant | before, ms | after, ms | after / before | more than noise |");
        lines.Add("|---|---|---|---|---|---|---|");
        foreach (BenchResult result in common)
        {
            BenchResult old = earlier[BenchKey.Of(result)];
            lines.Add($"| {result.Name} | {result.Size} | {result.Variant} {result.Precision} "
                + $"| {old.MedianMs:0.000} | {result.MedianMs:0.000} "
                + $"| {result.MedianMs / old.MedianMs:0.00} | {Verdict(old, result)} |");
        }

        lines.Add("");
        lines.Add(Rule);
        int onlyBefore = earlier.Keys.Except(after.Select(BenchKey.Of)).Count();
        int onlyAfter = after.Count - common.Length;
        if (onlyBefore + onlyAfter > 0)
        {
            lines.Add($"Not compared: {Counted.Of(onlyBefore, "case")} of before alone, "
                + $"{Counted.Of(onlyAfter, "case")} of now alone.");
        }

        return lines;
    }

    /// <summary>Whether two timings differ by more than noise: faster, slower or no.</summary>
    public static string Verdict(BenchResult before, BenchResult after)
    {
        if (Math.Min(before.Repeats, after.Repeats) < FewestRepeats)
            return "not judged";
        double ratio = after.MedianMs / before.MedianMs;
        return after.UpperQuartileMs < before.LowerQuartileMs && ratio <= 1 - LeastChange ? "faster"
            : after.LowerQuartileMs > before.UpperQuartileMs && ratio >= 1 + LeastChange ? "slower"
            : "no";
    }
}

/// <summary>What makes two timings those of one case.</summary>
internal readonly record struct BenchKey(string Name, string Size, string Variant, string Precision)
{
    /// <summary>The case of a timing.</summary>
    public static BenchKey Of(BenchResult result) => new(result.Name, result.Size, result.Variant, result.Precision);
}
