using System.Text;
using System.Text.Json;
using MeanShiftGpu.Cli;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Cli;

/// <summary>One run of the command-line tool within the test process.</summary>
/// <param name="Code">Its exit code.</param>
/// <param name="Output">Standard output.</param>
/// <param name="Error">Standard error.</param>
public sealed record ToolRun(int Code, string Output, string Error)
{
    /// <summary>Runs the tool.</summary>
    public static ToolRun Of(params string[] args) => Start(args, interruptAt: null);

    /// <summary>Runs the tool and presses Ctrl-C when its output contains a text.</summary>
    public static ToolRun Interrupted(string interruptAt, params string[] args) => Start(args, interruptAt);

    /// <summary>Runs the tool, which must succeed.</summary>
    public static ToolRun Succeeds(params string[] args)
    {
        ToolRun run = Of(args);
        Assert.That(run.Code, Is.Zero, $"{string.Join(' ', args)}\n{run.Output}\n{run.Error}");
        return run;
    }

    /// <summary>
    /// Runs the tool, which must refuse its input in one line that contains the given words.
    /// </summary>
    public static void Refuses(string[] words, params string[] args)
    {
        ToolRun run = Of(args);
        string error = run.Error.TrimEnd('\n');
        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Code, Is.EqualTo(2), $"{string.Join(' ', args)}\n{run.Output}\n{run.Error}");
            Assert.That(error, Does.StartWith("error: "));
            Assert.That(error, Does.Not.Contain("\n"), "the error is one line");
            Assert.That(error, Does.Not.Contain("   at "), "no stack trace");
            foreach (string word in words)
                Assert.That(error, Does.Contain(word));
        }
    }

    /// <summary>A file of JSON.</summary>
    public static JsonElement Json(string path)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
        return document.RootElement.Clone();
    }

    private static ToolRun Start(string[] args, string? interruptAt)
    {
        using CancellationTokenSource interrupted = new();
        using StringWriter output = interruptAt is null ? new StringWriter() : new InterruptingWriter(interruptAt, interrupted);
        using StringWriter error = new();
        output.NewLine = "\n";
        error.NewLine = "\n";
        int code = CommandLine.Run(args, output, error, terminal: false, cancellation: interrupted.Token);
        return new ToolRun(code, output.ToString(), error.ToString());
    }

    private sealed class InterruptingWriter(string text, CancellationTokenSource interrupted) : StringWriter
    {
        private readonly StringBuilder line = new();

        public override void Write(char value)
        {
            base.Write(value);
            Look(value.ToString());
        }

        public override void Write(string? value)
        {
            base.Write(value);
            Look(value ?? "");
        }

        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            Look(value + "\n");
        }

        private void Look(string added)
        {
            line.Append(added);
            if (line.ToString().Contains(text, StringComparison.Ordinal))
                interrupted.Cancel();
        }
    }
}
