using System.Diagnostics;
using System.Text;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Support;

/// <summary>
/// A method of a fixture that another process runs, so that a fault, a hang or a memory that is used up does
/// not end the tests. The method is a test that begins with <see cref="Log"/>, which skips it in any other
/// process; it writes what it is at into a file.
/// </summary>
/// <param name="Code">The exit code; −1 where it hung.</param>
/// <param name="Last">What it was at in the end.</param>
/// <param name="Output">What it printed.</param>
public sealed record ChildRun(int Code, string Last, string Output)
{
    private const string LogVariable = "MEANSHIFTGPU_TEST_CHILD_LOG";

    /// <summary>Where the child of a test says what it is at; skips the test that calls it in any other
    /// process.</summary>
    public static ChildLog Log()
    {
        string? path = Environment.GetEnvironmentVariable(LogVariable);
        if (path is null)
            Assert.Ignore("Another test runs this in a process of its own.");
        return new ChildLog(path!);
    }

    /// <summary>Runs a method, which must come to its end.</summary>
    /// <param name="method">The method's name.</param>
    /// <param name="limit">How long it may take.</param>
    /// <param name="memoryBytes">How much memory its objects may take; 0 for as much as there is.</param>
    public static void Succeeds(string method, TimeSpan limit, long memoryBytes = 0)
    {
        ChildRun run = Of(method, limit, memoryBytes);
        Assert.That(run.Code, Is.Zero, $"ended in: {run.Last}\n{run.Output}");
        Assert.That(run.Last, Does.StartWith("done"));
    }

    private static ChildRun Of(string method, TimeSpan limit, long memoryBytes)
    {
        using TemporaryFolder folder = new();
        string path = folder["log"];
        string host = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } known ? known : "dotnet";
        ProcessStartInfo start = new(
            host, [Path.Combine(AppContext.BaseDirectory, "MeanShiftGpu.Tests.dll"), "--filter", $"FullyQualifiedName~{method}"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment[LogVariable] = path;
        // A fault writes no memory image, which takes longer than the test.
        start.Environment["DOTNET_DbgEnableMiniDump"] = "0";
        if (memoryBytes > 0)
            start.Environment["DOTNET_GCHeapHardLimit"] = $"0x{memoryBytes:x}";
        try
        {
            using Process child = Process.Start(start)!;
            Task<string> output = child.StandardOutput.ReadToEndAsync();
            Task<string> error = child.StandardError.ReadToEndAsync();
            bool ended = child.WaitForExit(limit);
            if (!ended)
                child.Kill(entireProcessTree: true);
            child.WaitForExit();
            string last = File.Exists(path) ? File.ReadAllText(path).Trim('\0', ' ', '\n') : "nothing";
            TestContext.Out.WriteLine(last);
            string all = output.Result + error.Result;
            return new ChildRun(
                ended ? child.ExitCode : -1,
                last,
                (ended ? "" : $"hung: stopped after {limit}\n") + all[..Math.Min(all.Length, 8000)]);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Ignore("no dotnet on this machine to start another process with");
            throw;
        }
    }
}

/// <summary>
/// The last thing a process was at; it reaches the system with each call, so that a fault does not lose it.
/// </summary>
public sealed class ChildLog(string path) : IDisposable
{
    private readonly FileStream file = new(path, FileMode.Create, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);

    /// <summary>Says what the process is at.</summary>
    public void Write(string line)
    {
        file.Position = 0;
        file.Write(Encoding.UTF8.GetBytes(line.PadRight(200)));
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();
}
