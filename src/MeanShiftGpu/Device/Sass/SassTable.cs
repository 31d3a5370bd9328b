using System.Globalization;
using System.Text;

namespace MeanShiftGpu.Device.Sass;

/// <summary>What a kernel becomes in machine code.</summary>
/// <param name="Kernel">Its name.</param>
/// <param name="Loop">One turn of its main loop (<see cref="SassLoops.Main"/>); null where there is no
/// loop.</param>
/// <param name="Instructions">All of them.</param>
/// <param name="Registers">Of a thread.</param>
/// <param name="SharedBytes">Shared memory of a group, static and the most that its launcher asks
/// for.</param>
/// <param name="SpilledBytes">Stored in and loaded from local memory.</param>
/// <param name="Threads">The most threads of a group; 0 where ILGPU chooses.</param>
internal sealed record SassRow(
    string Kernel, SassCount? Loop, int Instructions, int Registers, int SharedBytes, int SpilledBytes, int Threads)
{
    /// <summary>Instructions for each matrix instruction of the main loop; null where it has none.</summary>
    public double? PerMatrixMultiply
        => Loop is { MatrixMultiplies: > 0 } loop ? (double)loop.Instructions / loop.MatrixMultiplies : null;

    /// <summary>
    /// Groups on a multiprocessor of compute capability 9.0; null where ILGPU chooses the group.
    /// </summary>
    public int? Groups => Threads > 0 ? Occupancy.GroupsPerMultiprocessor(Threads, Registers, SharedBytes) : null;
}

/// <summary>The table of all kernels' machine code, as Markdown.</summary>
internal static class SassTable
{
    private const string Separator = " | ";

    /// <summary>Assembles a kernel and counts.</summary>
    /// <param name="ptxas">The assembler.</param>
    /// <param name="nvdisasm">The disassembler.</param>
    /// <param name="kernel">The kernel.</param>
    /// <param name="ptx">Its text.</param>
    /// <param name="architecture">sm_90, for example.</param>
    public static (SassRow Row, string Sass) Count(
        string ptxas, string nvdisasm, KernelEntry kernel, string ptx, string architecture)
    {
        (PtxasReport report, string sass) = Ptxas.Disassemble(ptxas, nvdisasm, ptx, architecture);
        SassListing listing = new(sass);
        try
        {
            SassRow row = new(
                kernel.Name,
                new SassLoops(listing).Main(),
                listing.Instructions.Count,
                report.Registers,
                report.SharedBytes + kernel.DynamicSharedBytes,
                report.SpillStoreBytes + report.SpillLoadBytes,
                kernel.Specialization.MaxNumThreadsPerGroup ?? 0);
            return (row, sass);
        }
        catch (InvalidOperationException e)
        {
            throw new InvalidOperationException($"{kernel.Name}: {e.Message}", e);
        }
    }

    /// <summary>Writes the table, kernels with matrix instructions first.</summary>
    /// <param name="rows">The kernels.</param>
    /// <param name="architecture">What was assembled for.</param>
    /// <param name="assembler">The assembler's release.</param>
    /// <param name="version">The program's version with its commit.</param>
    public static string Write(IEnumerable<SassRow> rows, string architecture, string assembler, string version)
    {
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"# Machine code of the kernels, {architecture}").AppendLine();
        text.AppendLine(CultureInfo.InvariantCulture, $"ptxas {assembler}, version {version}.")
            .AppendLine("Written by `meanshift-gpu kernels --sass DIR`; what is counted stands below.").AppendLine();
        text.AppendLine(Explanation).AppendLine();
        text.AppendLine("| kernel | main loop | HMMA | for each HMMA | instructions | registers | shared memory | spilled | "
            + "threads | groups |");
        text.AppendLine("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        foreach (SassRow row in rows.OrderByDescending(row => row.PerMatrixMultiply.HasValue)
            .ThenBy(row => row.Kernel, StringComparer.Ordinal))
        {
            string[] cells =
            [
                row.Kernel,
                Cell(row.Loop?.Instructions),
                row.PerMatrixMultiply is null ? "" : Cell(row.Loop?.MatrixMultiplies),
                row.PerMatrixMultiply?.ToString("0.00", CultureInfo.InvariantCulture) ?? "",
                Cell(row.Instructions),
                Cell(row.Registers),
                Cell(row.SharedBytes),
                Cell(row.SpilledBytes),
                row.Threads > 0 ? Cell(row.Threads) : "",
                architecture == "sm_90" ? Cell(row.Groups) : "",
            ];
            text.AppendLine(CultureInfo.InvariantCulture, $"| {string.Join(Separator, cells)} |");
        }

        return text.ToString().ReplaceLineEndings("\n");
    }

    /// <summary>
    /// Reads what a table says of each kernel: the instructions and matrix instructions of its main loop,
    /// which are 0 where there is none, what it spills, and groups on a multiprocessor, 0 where ILGPU chooses
    /// them.
    /// </summary>
    public static (string Assembler,
        IReadOnlyDictionary<string, (SassCount Loop, int SpilledBytes, int Groups)> Kernels) Read(
        string text)
    {
        string[] lines = text.ReplaceLineEndings("\n").Split('\n');
        string assembler = lines.First(line => line.StartsWith("ptxas ", StringComparison.Ordinal)).Split(' ')[1].TrimEnd(',');
        IEnumerable<string[]> rows = lines.SkipWhile(line => !line.StartsWith("| ---", StringComparison.Ordinal)).Skip(1)
            .Where(line => line.StartsWith("| ", StringComparison.Ordinal))
            .Select(line => line.Split('|').Select(cell => cell.Trim()).Skip(1).ToArray());
        return (assembler, rows.ToDictionary(
            cells => cells[0], cells => (new SassCount(Number(cells[1]), Number(cells[2])), Number(cells[7]), Number(cells[9]))));
    }

    private static string Cell(double? value) => value?.ToString("0", CultureInfo.InvariantCulture) ?? "";

    private static int Number(string cell) => cell == "" ? 0 : int.Parse(cell, CultureInfo.InvariantCulture);

    private const string Explanation =
        """
        **Main loop.** What one warp executes in one turn of the outermost loop with matrix instructions (HMMA): a
        chunk of channels of a convolution, a tile of voxels of a weight's gradient. It is counted in the listing,
        nothing is run. If constants of the kernel decide a branch for the first thread of a group, the branch that is
        taken is counted, and a loop inside counts as often as it turns. Otherwise the longer branch is counted, so a
        ReLU's mask always counts. Copies of 4 bytes, for tensors that do not begin at multiples of 16 bytes, are not
        counted. If constants do not say how often an inner loop turns, the command stops with an error. For a kernel
        without HMMA it is the longest loop that holds no other loop.

        **Shared memory** is in bytes, static and the most that the launcher asks for. **Spilled** are bytes stored
        and loaded. **Groups** is how many have room on a multiprocessor of compute capability 9.0: the least of 64
        warps, 32 groups, 65536 registers (a warp gets them by 256) and 228 KiB of shared memory (a group takes 1 KiB
        more than it asks for, and all by 128 bytes). It is empty where ILGPU chooses the group at the launch.
        """;
}
