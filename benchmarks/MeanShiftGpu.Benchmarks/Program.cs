using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

// A row's name is a sentence, which the tables would cut after 20 letters.
IConfig config = DefaultConfig.Instance.WithSummaryStyle(SummaryStyle.Default.WithMaxParameterColumnWidth(100));
BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, config);
