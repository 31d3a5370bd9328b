using System.CommandLine;
using System.Text;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Writes the PTX of every GPU kernel.</summary>
internal sealed class KernelsVerb(Session session) : Verb(session)
{
    private readonly Option<string?> folder = Parse.Text("--ptx", "DIR", "Folder for one .ptx file for each kernel; created where it does not exist.", required: true);
    private readonly Option<string?> architecture = Parse.Text("--arch", "NAME", $"NVIDIA architecture: {string.Join(", ", PtxCompiler.Architectures)}. Default: sm_90.");

    public override string Name => "kernels";

    public override string Summary => "Writes the PTX of every GPU kernel.";

    public override bool IsForDevelopers => true;

    protected override string Description => "Writes the PTX of every GPU kernel, for reading or for ptxas. No GPU and no CUDA installation is needed.";

    public override string Example => "meanshift-gpu kernels --ptx ptx --arch sm_90";

    protected override bool UsesDevice => false;

    protected override IEnumerable<Symbol> Symbols => [folder, architecture];

    protected override ExitCode Run(ParseResult options)
    {
        string directory = options.GetValue(folder)!;
        string wanted = options.GetValue(architecture) ?? "sm_90";
        if (!PtxCompiler.Architectures.Contains(wanted))
            throw new InputException($"--arch: '{wanted}' is not known.{ParseProblem.Nearest(wanted, PtxCompiler.Architectures)} Expected {string.Join(", ", PtxCompiler.Architectures)}.");
        OutputFolder.Prepare(directory);
        OutputFolder.RefuseReplacing([.. KernelCatalog.All.Select(kernel => Path.Combine(directory, $"{kernel.Name}.ptx")), .. JsonFile(options)], []);

        PtxCompiler compiler = new(wanted);
        List<object> written = [];
        Session.Progress("compiling", report =>
        {
            foreach (KernelEntry kernel in KernelCatalog.All)
            {
                Cancellation.ThrowIfCancellationRequested();
                byte[] ptx = Encoding.UTF8.GetBytes(compiler.Compile(kernel));
                string path = Path.Combine(directory, $"{kernel.Name}.ptx");
                AtomicFile.Write(path, stream => stream.Write(ptx));
                written.Add(new { Kernel = kernel.Name, File = path, Bytes = ptx.Length });
                report((double)written.Count / KernelCatalog.All.Count, kernel.Name);
            }
        });
        Made(options, []).Write(Path.Combine(directory, "kernels"));
        Session.Line($"{written.Count} kernels for {wanted}: {directory}");
        WriteJson(options, written);
        return ExitCode.Done;
    }
}
