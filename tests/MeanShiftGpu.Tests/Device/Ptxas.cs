using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace MeanShiftGpu.Tests.Device;

/// <summary>What a kernel uses on an architecture, as the assembler reports it.</summary>
public sealed record PtxasReport(int Registers, int StackBytes, int SpillStoreBytes, int SpillLoadBytes, int LocalBytes, int SharedBytes)
{
    /// <summary>True where the kernel keeps everything in registers.</summary>
    public bool StaysInRegisters => StackBytes + SpillStoreBytes + SpillLoadBytes + LocalBytes == 0;
}

/// <summary>NVIDIA's assembler ptxas, where a machine has it.</summary>
public static partial class Ptxas
{
    /// <summary>The environment variable that names the program.</summary>
    public const string Variable = "MEANSHIFTGPU_PTXAS";

    /// <summary>The program's path; null where there is none. A variable that names no file is a failure, not an absence.</summary>
    public static string? Find()
    {
        string? named = Environment.GetEnvironmentVariable(Variable);
        if (!string.IsNullOrWhiteSpace(named))
            return File.Exists(named) ? named : throw new FileNotFoundException($"{Variable} names {named}, where there is no file.");

        string name = OperatingSystem.IsWindows() ? "ptxas.exe" : "ptxas";
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        return folders.Concat(["/usr/local/cuda/bin", "/opt/ptxas"]).Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
    }

    /// <summary>Assembles one kernel.</summary>
    /// <exception cref="InvalidOperationException">ptxas refuses the text; the message is its own.</exception>
    public static PtxasReport Assemble(string program, string ptx, string architecture)
    {
        string folder = Directory.CreateTempSubdirectory("ptxas-").FullName;
        try
        {
            string source = Path.Combine(folder, "kernel.ptx");
            File.WriteAllText(source, ptx);
            ProcessStartInfo start = new(program, [$"-arch={architecture}", "-v", source, "-o", Path.Combine(folder, "kernel.cubin")])
            {
                RedirectStandardError = true,
                RedirectStandardOutput = true,
            };
            using Process process = Process.Start(start)!;
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            string log = process.StandardError.ReadToEnd() + output.Result;
            process.WaitForExit();
            return process.ExitCode == 0 ? Parse(log) : throw new InvalidOperationException($"ptxas refuses the kernel: {log.Trim()}");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Reads the text of "ptxas -v": the most of any function, for registers; the sum over functions of all else.</summary>
    public static PtxasReport Parse(string log)
        => new(
            Numbers(Registers(), log).Max(),
            Numbers(Stack(), log).Sum(),
            Numbers(SpillStores(), log).Sum(),
            Numbers(SpillLoads(), log).Sum(),
            Numbers(Local(), log).Sum(),
            Numbers(Shared(), log).Sum());

    private static IEnumerable<int> Numbers(Regex pattern, string log)
        => pattern.Matches(log).Select(match => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture));

    [GeneratedRegex(@"Used (\d+) registers")]
    private static partial Regex Registers();

    [GeneratedRegex(@"(\d+) bytes stack frame")]
    private static partial Regex Stack();

    [GeneratedRegex(@"(\d+) bytes spill stores")]
    private static partial Regex SpillStores();

    [GeneratedRegex(@"(\d+) bytes spill loads")]
    private static partial Regex SpillLoads();

    [GeneratedRegex(@"(\d+) bytes lmem")]
    private static partial Regex Local();

    [GeneratedRegex(@"(\d+) bytes smem")]
    private static partial Regex Shared();
}
