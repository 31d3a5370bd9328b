using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;

namespace MeanShiftGpu.Benchmarks;

/// <summary>
/// A row's mean by that of the plainest variant of the same case and pass, in the same job. BenchmarkDotNet's
/// own ratio knows methods and jobs only, and here a variant is a parameter.
/// </summary>
internal sealed class BaselineColumn : IColumn
{
    private const string Unknown = "?";

    public string Id => nameof(BaselineColumn);

    public string ColumnName => "By plainest";

    public string Legend => "Mean by the mean of the plainest variant that is timed of the same case and pass";

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Baseline;

    public int PriorityInCategory => 0;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public bool IsAvailable(Summary summary) => true;

    public bool IsDefault(Summary summary, BenchmarkDotNet.Running.BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkDotNet.Running.BenchmarkCase benchmarkCase)
    {
        BenchmarkRow row = RowOf(benchmarkCase);
        BenchmarkDotNet.Running.BenchmarkCase? baseline = summary.BenchmarksCases.FirstOrDefault(
            other => RowOf(other) is { IsBaseline: true } candidate && candidate.Work == row.Work
                && other.Job.ResolvedId == benchmarkCase.Job.ResolvedId);
        double? own = Mean(benchmarkCase);
        double? plainest = baseline is null ? null : Mean(baseline);
        return (own / plainest)?.ToString("0.00", CultureInfo.InvariantCulture) ?? Unknown;

        double? Mean(BenchmarkDotNet.Running.BenchmarkCase of) => summary[of]?.ResultStatistics?.Mean;
    }

    public string GetValue(Summary summary, BenchmarkDotNet.Running.BenchmarkCase benchmarkCase, SummaryStyle style)
        => GetValue(summary, benchmarkCase);

    private static BenchmarkRow RowOf(BenchmarkDotNet.Running.BenchmarkCase of)
        => (BenchmarkRow)of.Parameters[nameof(OperationBenchmarks.Row)];
}
