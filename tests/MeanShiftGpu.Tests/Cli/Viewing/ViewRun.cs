using System.Collections.Concurrent;
using MeanShiftGpu.Cli;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli.Viewing;

/// <summary>A run of 'view' within the test process, from its first line to Ctrl-C.</summary>
public sealed class ViewRun : IDisposable
{
    private const string AddressLine = "page: ";

    private readonly CancellationTokenSource interrupted = new();
    private readonly LineWriter output = new();
    private readonly StringWriter error = new();
    private readonly Task<int> run;

    /// <summary>Starts the tool, and waits for the page's address.</summary>
    public ViewRun(params string[] arguments)
    {
        run = Task.Factory.StartNew(
            () => CommandLine.Run(["view", .. arguments, "--no-browser"], output, error, terminal: false, cancellation: interrupted.Token),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        while (!run.IsCompleted || output.Lines.Count > 0)
        {
            if (output.Lines.TryTake(out string? line, 50) && line.StartsWith(AddressLine, StringComparison.Ordinal))
            {
                Address = new Uri(line[AddressLine.Length..]);
                return;
            }
        }

        Assert.Fail($"ended with {run.Result} before it served a page: {error}");
    }

    /// <summary>The page's address, with the token.</summary>
    public Uri Address { get; } = null!;

    /// <summary>Errors and warnings.</summary>
    public string Error => error.ToString();

    /// <summary>Presses Ctrl-C and returns the exit code.</summary>
    public int Stop()
    {
        interrupted.Cancel();
        return run.Result;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Stop();
        interrupted.Dispose();
        output.Dispose();
        error.Dispose();
    }

    private sealed class LineWriter : StringWriter
    {
        public BlockingCollection<string> Lines { get; } = [];

        public override void WriteLine(string? value) => Lines.Add(value ?? "");

        protected override void Dispose(bool disposing)
        {
            Lines.Dispose();
            base.Dispose(disposing);
        }
    }
}
