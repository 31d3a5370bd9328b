using System.CommandLine;
using System.Text;
using MeanShiftGpu.Device;
using MeanShiftGpu.Device.Sass;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Writes what every GPU kernel compiles to.</summary>
internal sealed class KernelsVerb(Session session) : Verb(session)
{
    private const string TableName = "sass.md";

    private readonly Option<string?> ptxFolder = Parse.Text("--ptx", "DIR", "Folder for one .ptx file for each kernel; created "
        + "where it does not exist.");
    private readonly Option<string?> sassFolder = Parse.Text("--sass", "DIR",
        $"Folder for one .sass file for each kernel, the machine code that ptxas makes of the PTX, and {TableName}, a table of "
        + "what it counts; created where it does not exist.");

    private readonly Option<string?> architecture = Parse.Text("--arch", "NAME", "NVIDIA architecture: "
        + $"{string.Join(", ", PtxCompiler.Architectures)}. Default: sm_90.");

    private readonly Option<string?> only = Parse.Text("--only", "TEXT", "Only the kernels whose names contain this.");

    public override string Name => "kernels";

    public override string Summary => "Writes the PTX and the machine code of the GPU kernels.";

    public override bool IsForDevelopers => true;

    protected override string Description
        => "Writes the PTX of every GPU kernel, or its machine code with a table of instructions, registers and memory. No GPU "
            + "is needed; machine code needs NVIDIA's ptxas and nvdisasm.";

    public override string Example => "meanshift-gpu kernels --ptx ptx --arch sm_90";

    protected override bool UsesDevice => false;

    protected override IEnumerable<Symbol> Symbols => [ptxFolder, sassFolder, architecture, only];

    protected override IEnumerable<Symbol> Reads => [];

    protected override IEnumerable<Symbol> Writes => [ptxFolder, sassFolder];

    protected override ExitCode Run(ParseResult options)
    {
        string? ptxTo = options.GetValue(ptxFolder);
        string? sassTo = options.GetValue(sassFolder);
        if (ptxTo is null && sassTo is null)
            throw new InputException("Nothing is to be written: give --ptx DIR, --sass DIR or both.");
        string wanted = options.GetValue(architecture) ?? "sm_90";
        if (!PtxCompiler.Architectures.Contains(wanted))
            throw new InputException($"--arch: '{wanted}' is not "
                + $"known.{ParseProblem.Nearest(wanted, PtxCompiler.Architectures)} Expected "
                + $"{string.Join(", ", PtxCompiler.Architectures)}.");
        string part = options.GetValue(only) ?? "";
        List<KernelEntry> kernels =
            [.. KernelCatalog.All.Where(kernel => kernel.Name.Contains(part, StringComparison.OrdinalIgnoreCase))];
        if (kernels.Count == 0)
            throw new InputException($"--only: no kernel's name contains '{part}'. Leave --only out to see all.");
        (string Ptxas, string Nvdisasm)? tools = sassTo is null ? null : FindTools();
        if (ptxTo is not null)
            Files.Write(ptxFolder.Name, Prepared(ptxTo, kernels, "ptx"));
        if (sassTo is not null)
            Files.Write(sassFolder.Name, [.. Prepared(sassTo, kernels, "sass"), Path.Combine(sassTo, TableName)]);

        PtxCompiler compiler = new(wanted);
        List<object> written = [];
        List<SassRow> rows = [];
        Session.Progress("compiling", report =>
        {
            foreach (KernelEntry kernel in kernels)
            {
                Cancellation.ThrowIfCancellationRequested();
                string ptx = compiler.Compile(kernel);
                string? file = ptxTo is null ? null : Write(ptxTo, $"{kernel.Name}.ptx", ptx);
                SassRow? row = null;
                if (tools is { } found)
                {
                    (row, string sass) = SassTable.Count(found.Ptxas, found.Nvdisasm, kernel, ptx, wanted);
                    rows.Add(row);
                    Write(sassTo!, $"{kernel.Name}.sass", sass);
                }

                written.Add(new { Kernel = kernel.Name, File = file, Bytes = Encoding.UTF8.GetByteCount(ptx), Sass = row });
                report((double)written.Count / kernels.Count, kernel.Name);
            }
        });
        if (ptxTo is not null)
            Made(options, []).Write(Path.Combine(ptxTo, "kernels"));
        if (tools is { } counted)
        {
            Write(sassTo!, TableName, SassTable.Write(rows, wanted, Ptxas.Version(counted.Ptxas), Provenance.OwnVersion));
            Made(options, []).Write(Path.Combine(sassTo!, TableName));
        }

        Session.Line($"{Counted.Of(written.Count, "kernel")} for {wanted}: "
            + $"{string.Join(" and ", new[] { ptxTo, sassTo }.OfType<string>().Distinct())}");
        WriteJson(options, written);
        return ExitCode.Done;
    }

    private static (string Ptxas, string Nvdisasm) FindTools()
        => Ptxas.Find() is { } ptxas && Ptxas.FindDisassembler(ptxas) is { } nvdisasm
            ? (ptxas, nvdisasm)
            : throw new InputException($"--sass needs ptxas and nvdisasm, which are not there (looked at {Ptxas.Places}): "
                + $"install NVIDIA's CUDA toolkit or, on Debian and Ubuntu, run .ci/get-ptxas DIR and set {Ptxas.Variable} to "
                + "DIR/ptxas.");

    private static IEnumerable<string> Prepared(string folder, List<KernelEntry> kernels, string ending)
    {
        OutputFolder.Prepare(folder);
        return kernels.Select(kernel => Path.Combine(folder, $"{kernel.Name}.{ending}"));
    }

    private static string Write(string folder, string name, string text)
    {
        string path = Path.Combine(folder, name);
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        AtomicFile.Write(path, stream => stream.Write(bytes));
        return path;
    }
}
