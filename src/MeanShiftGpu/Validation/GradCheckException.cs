namespace MeanShiftGpu.Validation;

/// <summary>
/// A gradient check that did not pass. The message has a block for each input that failed, and a line for
/// each that passed.
/// </summary>
public sealed class GradCheckException : Exception
{
    /// <summary>Describes a report.</summary>
    /// <param name="report">What was found.</param>
    public GradCheckException(GradCheckReport report)
        : base(Describe(report))
        => Report = report;

    /// <summary>What was found.</summary>
    public GradCheckReport Report { get; }

    private static string Describe(GradCheckReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        if (report.Results.Count == 0)
            return "gradient check failed: nothing was checked";
        GradCheckResult[] failed = [.. report.Results.Where(r => !r.Passed)];
        List<string> lines = [$"gradient check failed: {failed.Length} of {report.Results.Count} inputs"];
        foreach (GradCheckResult result in failed)
        {
            lines.Add($"  {result.Op} / {result.Input} ({result.RealType}, {result.Variant}, {result.Device})");
            if (result.Reason.Length > 0)
                lines.Add($"    reason      {result.Reason}");
            lines.Add(
                $"    where       {(result.WorstIndex < 0 ? "all elements at once" : $"element {result.WorstIndex}")}, of "
                + $"{result.Probes} probes");
            lines.Add(FormattableString.Invariant($"    gradient    {result.Gradient:g9}"));
            lines.Add(FormattableString.Invariant($"    difference  {result.Difference:g9}"));
            lines.Add(
                FormattableString.Invariant($"    error       {result.MaxRelativeError:g3}, tolerance {result.Tolerance:g3}"));
        }

        lines.AddRange(report.Results.Where(r => r.Passed)
            .Select(
                r => FormattableString.Invariant(
                    $"  passed: {r.Op} / {r.Input} ({r.RealType}, {r.Variant}), error {r.MaxRelativeError:g3}")));
        return string.Join('\n', lines);
    }
}
