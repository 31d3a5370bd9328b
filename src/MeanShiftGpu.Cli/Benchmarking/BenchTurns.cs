using System.CommandLine;
using System.Diagnostics;
using System.Reflection;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>A case of two builds that were timed in turns.</summary>
/// <param name="Name">What was timed.</param>
/// <param name="Size">Its size.</param>
/// <param name="Variant">The kernel variant.</param>
/// <param name="Precision">As of <see cref="BenchResult"/>.</param>
/// <param name="MedianMs">Median of this build's medians, in milliseconds.</param>
/// <param name="AgainstMs">Median of the other build's medians, in milliseconds.</param>
/// <param name="Ratios">This build's time by the other's, turn by turn.</param>
/// <param name="Run">This build, in its first turn.</param>
/// <param name="AgainstRun">The other build, in its first turn; null where its version does not say
/// it.</param>
public sealed record TurnResult(
    string Name, string Size, string Variant, string Precision, double MedianMs, double AgainstMs, IReadOnlyList<double> Ratios,
    BenchRun? Run, BenchRun? AgainstRun)
{
    /// <summary>The median of the ratios.</summary>
    public double Ratio => BenchClock.Quantile([.. Ratios.Order()], 0.5);

    /// <summary>Whether one build was the faster in every turn: faster or slower, of this build; else
    /// no.</summary>
    public string MoreThanNoise => Ratios.All(r => r < 1) ? "faster" : Ratios.All(r => r > 1) ? "slower" : "no";
}

/// <summary>
/// Times two builds in turns, each in a process of its own, so that what else the machine does meets both.
/// Who begins changes from turn to turn.
/// </summary>
internal static class BenchTurns
{
    /// <summary>The rule, in words.</summary>
    public static string Rule(int turns)
        => "More than noise: one build was the faster in every turn. Of cases without a difference "
        + $"one in {1L << (turns - 1)} looks so by chance in {turns} turns.";

    /// <summary>Runs both builds in turns.</summary>
    /// <param name="turns">How often each runs.</param>
    /// <param name="ours">Times this build.</param>
    /// <param name="theirs">Times the other.</param>
    /// <exception cref="InputException">They have no case in common.</exception>
    public static IReadOnlyList<TurnResult> Run(
        int turns, Func<IReadOnlyList<BenchResult>> ours, Func<IReadOnlyList<BenchResult>> theirs)
    {
        List<IReadOnlyList<BenchResult>> own = [];
        List<IReadOnlyList<BenchResult>> other = [];
        for (int turn = 0; turn < turns; turn++)
        {
            if (turn % 2 == 0)
                own.Add(ours());
            other.Add(theirs());
            if (turn % 2 == 1)
                own.Add(ours());
        }

        List<TurnResult> results = [];
        foreach (BenchResult first in own[0].DistinctBy(BenchKey.Of))
        {
            BenchResult[] mine = Of(own, first);
            BenchResult[] against = Of(other, first);
            if (mine.Length == turns && against.Length == turns)
            {
                results.Add(new TurnResult(
                    first.Name, first.Size, first.Variant, first.Precision, Median(mine), Median(against),
                    [.. mine.Zip(against, (m, a) => m.MedianMs / a.MedianMs)], first.Run, against[0].Run));
            }
        }

        return results.Count > 0 ? results : throw new InputException("--against: the two builds have no case in common.");

        static BenchResult[] Of(List<IReadOnlyList<BenchResult>> turns, BenchResult wanted)
            => [.. turns.Select(t => t.FirstOrDefault(r => BenchKey.Of(r) == BenchKey.Of(wanted))).OfType<BenchResult>()];

        static double Median(BenchResult[] results) => BenchClock.Quantile([.. results.Select(r => r.MedianMs).Order()], 0.5);
    }

    /// <summary>A Markdown table of the ratios, with the rule below it.</summary>
    public static IReadOnlyList<string> Table(IReadOnlyList<TurnResult> results)
    {
        List<string> lines = [];
        if (results[0] is { Run: { } run, AgainstRun: var against })
        {
            lines.Add($"This: {run.Build()}. Other: {against?.Build() ?? "of a version that does not say its commit"}.");
            lines.Add(run.Machine());
            lines.Add("");
        }

        lines.Add("| what | size | variant | this, ms | other, ms | this / other | in turns | more than noise |");
        lines.Add("|---|---|---|---|---|---|---|---|");
        lines.AddRange(results.Select(r => $"| {r.Name} | {r.Size} | {r.Variant} {r.Precision} "
            + $"| {r.MedianMs:0.000} | {r.AgainstMs:0.000} "
            + $"| {r.Ratio:0.00} | {r.Ratios.Min():0.00} to {r.Ratios.Max():0.00} | {r.MoreThanNoise} |"));
        lines.Add("");
        lines.Add(Rule(results[0].Ratios.Count));
        return lines;
    }
}

/// <summary>A build of this tool in a folder, which is run as a process of its own.</summary>
internal sealed class ToolBuild
{
    private const string Tool = "meanshift-gpu";

    private readonly string folder;
    private readonly string program;
    private readonly string[] before;

    private ToolBuild(string folder, string program, params string[] before)
        => (this.folder, this.program, this.before) = (folder, program, before);

    /// <summary>Warns if the library was built without optimisation.</summary>
    public static void WarnIfDebug(Action<string> warn)
    {
        if (typeof(GpuContext).Assembly.GetCustomAttribute<DebuggableAttribute>() is { IsJITOptimizerDisabled: true })
            warn("this is a Debug build, several times slower than a Release build. Build with -c Release to time it.");
    }

    /// <summary>The build that runs now.</summary>
    public static ToolBuild Own() => In(AppContext.BaseDirectory);

    /// <summary>What follows the verb on a command line, without some options and their values.</summary>
    public static string[] Arguments(ParseResult options, params string[] without)
    {
        string[] words = [.. options.Tokens.Skip(1).Select(t => t.Value)];
        return [.. words.Where((word, i) => !without.Contains(word) && (i == 0 || !without.Contains(words[i - 1])))];
    }

    /// <summary>The build in a folder.</summary>
    /// <exception cref="InputException">There is none.</exception>
    public static ToolBuild In(string folder)
    {
        string program = Path.Combine(folder, OperatingSystem.IsWindows() ? $"{Tool}.exe" : Tool);
        string library = Path.Combine(folder, $"{Tool}.dll");
        if (File.Exists(program))
            return new ToolBuild(folder, Path.GetFullPath(program));
        if (!File.Exists(library))
        {
            throw new InputException($"{folder}: there is no {Tool} in it. Give the folder of another build, "
                + "such as artifacts/bin/MeanShiftGpu.Cli/release of a clone.");
        }

        string host = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } path ? path : "dotnet";
        return new ToolBuild(folder, host, Path.GetFullPath(library));
    }

    /// <summary>Runs "bench …" and reads the timings.</summary>
    /// <exception cref="InputException">It failed.</exception>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public IReadOnlyList<BenchResult> Bench(IReadOnlyList<string> arguments, CancellationToken cancellation)
    {
        string json = Path.Combine(Path.GetTempPath(), $"{Tool}-bench-{Guid.NewGuid():N}.json");
        try
        {
            ProcessStartInfo start = new(program, [.. before, "bench", .. arguments, "--json", json])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            using Process process = Process.Start(start)!;
            using CancellationTokenRegistration stop = cancellation.Register(() => process.Kill(entireProcessTree: true));
            Task<string> output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
            string error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            _ = output.Result;
            cancellation.ThrowIfCancellationRequested();
            return process.ExitCode == 0
                ? BenchFile.Read(json, withSpread: false)
                : throw new InputException(
                    $"{folder}: its bench ended with exit code {process.ExitCode}: {InputFile.OneLine(error)}");
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new InputException($"{program}: cannot be started: {InputFile.OneLine(e.Message)}", e);
        }
        finally
        {
            File.Delete(json);
            File.Delete(json + Provenance.Ending);
        }
    }
}
