using System.Reflection;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using MeanShiftGpu.Benchmarks;
using MeanShiftGpu.Storage;

// A row's name is a sentence, which the tables would cut after 20 letters. The program of a benchmark is
// built with this repository's libraries, which takes longer than the two minutes that are allowed for it on
// a machine with other work.
IConfig config = DefaultConfig.Instance
    .WithSummaryStyle(SummaryStyle.Default.WithMaxParameterColumnWidth(100))
    .WithBuildTimeout(TimeSpan.FromMinutes(15))
    .AddDiagnoser(MemoryDiagnoser.Default)
    .AddColumn(new BaselineColumn());
Summary[] summaries;
try
{
    summaries = [.. BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, config)];
}
// The rows are listed by reflection, so that a device that is not there comes wrapped.
catch (TargetInvocationException e) when (e.GetBaseException() is InputException cause)
{
    Console.Error.WriteLine($"benchmarks: {cause.Message}");
    return 2;
}

// Whatever the reason was, it is told above; asking for help or a list is no reason to run anything.
string[] asking = ["--help", "--version", "--info", "--list"];
bool onlyAsked = args.Any(word => asking.Contains(word.Split('=')[0], StringComparer.OrdinalIgnoreCase));
if (!onlyAsked && summaries.All(summary => summary.BenchmarksCases.IsEmpty))
{
    bool filters = args.Any(word => word.StartsWith("--filter", StringComparison.OrdinalIgnoreCase)
        || word.StartsWith("-f", StringComparison.OrdinalIgnoreCase));
    Console.Error.WriteLine("benchmarks: nothing was run; see above." + (filters
        ? " For --filter: a row's name is OPERATION SIZE VARIANT PASS, such as 'conv3d 56³ 32→32 HostSimd Forward'; put * "
            + "before and after the part that you give."
        : ""));
    return 2;
}

// A benchmark that failed is otherwise a row of question marks, and no more.
return summaries.Any(summary => summary.BenchmarksCases.Any(row => summary[row]?.Success != true)) ? 1 : 0;
