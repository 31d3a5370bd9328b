using System.Diagnostics;
using System.Globalization;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Interpreter;

/// <summary>What one run of the command-line tool did on the fake driver.</summary>
/// <param name="Code">Its exit code.</param>
/// <param name="Output">Standard output and error.</param>
/// <param name="Log">What the driver noted: the kind of a call and what belongs to it.</param>
public sealed record FakeRun(int Code, string Output, IReadOnlyList<string[]> Log)
{
    /// <summary>
    /// The calls of a kind: allocate, copy, fill, load, launch, synchronize, mutate or fault.
    /// </summary>
    public IEnumerable<string[]> Calls(string kind) => Log.Where(line => line[0] == kind);
}

/// <summary>
/// The driver library, published once from the interpreter's project, and processes that find it as libcuda.
/// It needs Linux, the SDK and gcc; without them tests are skipped with the reason, with CI=true they fail.
/// </summary>
public static class FakeDriver
{
    /// <summary>
    /// The environment variable that names a folder with a library that was published before.
    /// </summary>
    public const string Variable = "MEANSHIFTGPU_INTERPRETER";

    private static readonly Lazy<(string? Folder, string Problem)> Published = new(Publish);

    /// <summary>
    /// Runs the command-line tool in a process of its own, with variables of the driver (CAPABILITY=9.0).
    /// </summary>
    public static FakeRun Run(string[] arguments, params string[] variables) => Start("meanshift-gpu.dll", arguments, variables);

    /// <summary>Runs those of this program's tests that a filter names, with CUDA required.</summary>
    public static FakeRun RunTests(string filter, params string[] variables)
        => Start("MeanShiftGpu.Tests.dll", ["--filter", filter, "--output", "Detailed", "--no-progress"], variables);

    private static FakeRun Start(string program, string[] arguments, string[] variables)
    {
        if (Published.Value is not { Folder: { } folder })
        {
            if (Environment.GetEnvironmentVariable("CI") == "true")
                Assert.Fail(Published.Value.Problem);
            Assert.Ignore(Published.Value.Problem);
            throw new InvalidOperationException(Published.Value.Problem);
        }

        using TemporaryFolder work = new();
        string log = work["log.txt"];
        ProcessStartInfo start = new(Host, [Path.Combine(AppContext.BaseDirectory, program), .. arguments]);
        start.Environment["LD_LIBRARY_PATH"] = folder;
        start.Environment["MEANSHIFTGPU_REQUIRE_DEVICE"] = "cuda";
        start.Environment["MEANSHIFTGPU_INTERPRETER_LOG"] = log;
        foreach (string variable in variables)
            start.Environment[$"MEANSHIFTGPU_INTERPRETER_{variable.Split('=')[0]}"] =
                variable[(variable.IndexOf('=', StringComparison.Ordinal) + 1)..];
        (int code, string output) = Finish(start);
        return new FakeRun(code, output, File.Exists(log) ? [.. File.ReadLines(log).Select(line => line.Split('\t'))] : []);
    }

    /// <summary>Runs the tool, which must succeed.</summary>
    public static FakeRun Succeeds(string[] arguments, params string[] variables)
    {
        FakeRun run = Run(arguments, variables);
        Assert.That(run.Code, Is.Zero, $"{string.Join(' ', arguments)}\n{run.Output}");
        return run;
    }

    private static string Host
        => Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } path ? path : "dotnet";

    private static (string? Folder, string Problem) Publish()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named)
            return File.Exists(Path.Combine(named, "libcuda.so.1")) ? (named,
                "") : throw new FileNotFoundException($"{Variable} names {named}, where there is no libcuda.so.1.");
        if (!OperatingSystem.IsLinux())
            return (null, "The fake driver is a shared library for Linux.");
        string? root = AppContext.BaseDirectory;
        while (root is not null && !File.Exists(Path.Combine(root, "MeanShiftGpu.sln")))
            root = Path.GetDirectoryName(root);
        if (root is null)
            return (null, $"The fake driver is published from the repository, which is not here; {Variable} may name a folder "
                + "with it.");
        if (!Finds("gcc") || !Finds("dotnet"))
            return (null, "The fake driver is published with the .NET SDK and gcc, which are not both here.");
        string folder = Path.Combine(root, "artifacts", "interpreter");
        ProcessStartInfo start = new(Host, ["publish", Path.Combine(root, "tests", "MeanShiftGpu.PtxInterpreter"), "-c",
            "Release", "--no-restore", "-r",
            string.Create(CultureInfo.InvariantCulture,
                $"linux-{System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}"),
                    "-o", folder]);
        (int code, string output) = Finish(start);
        if (code != 0)
            throw new InvalidOperationException($"The fake driver cannot be published: {output}");
        // ILGPU asks for "cuda", the project for "libcuda.so.1"; links, so that both get the same library.
        foreach (string name in (string[])["libcuda.so.1", "libcuda.so"])
        {
            string link = Path.Combine(folder, name);
            File.Delete(link);
            File.CreateSymbolicLink(link, "MeanShiftGpu.PtxInterpreter.so");
        }

        return (folder, "");
    }

    private static bool Finds(string program)
        => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(
            ':').Any(folder => File.Exists(Path.Combine(folder, program)));

    private static (int Code, string Output) Finish(ProcessStartInfo start)
    {
        start.RedirectStandardOutput = start.RedirectStandardError = true;
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + error.Result);
    }
}
