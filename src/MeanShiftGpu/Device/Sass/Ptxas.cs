using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Device.Sass;

/// <summary>What a kernel uses on an architecture, as the assembler reports it.</summary>
internal sealed record PtxasReport(
    int Registers, int StackBytes, int SpillStoreBytes, int SpillLoadBytes, int LocalBytes, int SharedBytes)
{
    /// <summary>True where the kernel keeps everything in registers.</summary>
    public bool StaysInRegisters => StackBytes + SpillStoreBytes + SpillLoadBytes + LocalBytes == 0;
}

/// <summary>NVIDIA's assembler ptxas and its disassembler nvdisasm, where a machine has them.</summary>
internal static partial class Ptxas
{
    /// <summary>
    /// The environment variable that names the assembler; the disassembler is looked for beside it first.
    /// </summary>
    public const string Variable = "MEANSHIFTGPU_PTXAS";

    /// <summary>Where the programs are looked for, for messages.</summary>
    public const string Places = $"{Variable}, PATH, /usr/local/cuda/bin and /opt/ptxas";

    /// <summary>The assembler's path; null where there is none.</summary>
    /// <exception cref="InputException">The variable names no file, which is a mistake and not an
    /// absence.</exception>
    public static string? Find()
    {
        string? named = Environment.GetEnvironmentVariable(Variable);
        if (!string.IsNullOrWhiteSpace(named))
        {
            return File.Exists(named) ? named
                : throw new InputException($"{Variable} names {named}, where there is no file. Set it to the path of ptxas, or "
                    + "unset it.");
        }

        return Find("ptxas", []);
    }

    /// <summary>
    /// The disassembler's path, beside the assembler or where else programs are; null where there is none.
    /// </summary>
    /// <param name="assembler">The assembler's path.</param>
    public static string? FindDisassembler(string assembler)
        => Find("nvdisasm", [Path.GetDirectoryName(Path.GetFullPath(assembler))!]);

    /// <summary>The assembler's release, such as 12.4.131.</summary>
    public static string Version(string program)
        => Release().Match(Run(program, ["--version"])) is { Success: true } match
            ? match.Groups[1].Value
            : throw new InvalidOperationException($"{program} --version names no release.");

    /// <summary>Assembles one kernel.</summary>
    /// <exception cref="InvalidOperationException">ptxas refuses the text; the message is its
    /// own.</exception>
    public static PtxasReport Assemble(string program, string ptx, string architecture)
        => Assemble(program, ptx, architecture, static _ => "").Report;

    /// <summary>Assembles one kernel and disassembles what came of it.</summary>
    /// <param name="program">ptxas.</param>
    /// <param name="disassembler">nvdisasm.</param>
    /// <param name="ptx">The kernel's text.</param>
    /// <param name="architecture">sm_90, for example.</param>
    /// <exception cref="InvalidOperationException">One of them refuses; the message is its own.</exception>
    public static (PtxasReport Report, string Sass) Disassemble(
        string program, string disassembler, string ptx, string architecture)
        => Assemble(program, ptx, architecture, cubin => Run(disassembler, ["-c", cubin]));

    /// <summary>
    /// Reads the text of "ptxas -v": the most of any function, for registers; the sum over functions of all
    /// else.
    /// </summary>
    public static PtxasReport Parse(string log)
        => new(
            Numbers(Registers(), log).Max(),
            Numbers(Stack(), log).Sum(),
            Numbers(SpillStores(), log).Sum(),
            Numbers(SpillLoads(), log).Sum(),
            Numbers(Local(), log).Sum(),
            Numbers(Shared(), log).Sum());

    private static (PtxasReport Report, string Sass) Assemble(
        string program, string ptx, string architecture, Func<string, string> disassemble)
    {
        string folder = Directory.CreateTempSubdirectory("ptxas-").FullName;
        try
        {
            string source = Path.Combine(folder, "kernel.ptx");
            string cubin = Path.Combine(folder, "kernel.cubin");
            File.WriteAllText(source, ptx);
            PtxasReport report = Parse(Run(program, [$"-arch={architecture}", "-v", source, "-o", cubin]));
            return (report, disassemble(cubin));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Run(string program, string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string log = process.StandardError.ReadToEnd() + output.Result;
        process.WaitForExit();
        return process.ExitCode == 0
            ? log
            : throw new InvalidOperationException($"{Path.GetFileName(program)} refuses the kernel: {log.Trim()}");
    }

    private static string? Find(string name, string[] first)
    {
        string file = OperatingSystem.IsWindows() ? $"{name}.exe" : name;
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(
            Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        return first.Concat(folders).Concat(["/usr/local/cuda/bin", "/opt/ptxas"]).Select(folder => Path.Combine(folder, file))
            .FirstOrDefault(File.Exists);
    }

    private static IEnumerable<int> Numbers(Regex pattern, string log)
        => pattern.Matches(log).Select(match => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture));

    [GeneratedRegex(@"V(\d+\.\d+\.\d+)")]
    private static partial Regex Release();

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
