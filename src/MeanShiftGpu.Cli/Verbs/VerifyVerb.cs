using System.CommandLine;
using MeanShiftGpu.Checks;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Recomputes reference files.</summary>
internal sealed class VerifyVerb(Session session) : Verb(session)
{
    private readonly Argument<string> folder = new("DIR")
    {
        Description = "Folder with reference files (*.safetensors), named "
        + "by what they hold: conv3d_k3, mean_shift_flat_squared …"
    };

    public override string Name => "verify";

    public override string Summary => "Recomputes reference results with every variant.";

    public override bool IsForDevelopers => true;

    protected override string Description =>
        "Recomputes reference results, for instance those of libtorch, with every variant that the device supports, in float64 "
        + "and float32.";

    public override string Example => "meanshift-gpu verify golden --json verify.json";

    protected override IEnumerable<Symbol> Symbols => [folder];

    protected override IEnumerable<Symbol> Reads => [folder];

    protected override IEnumerable<Symbol> Writes => [];

    protected override ExitCode Run(ParseResult options)
    {
        string references = options.GetRequiredValue(folder);
        string[] inputs = Directory.Exists(references) ? Directory.GetFiles(references) : [];
        Files.Read(inputs);
        using GpuContext context = OpenDevice(options);
        IReadOnlyList<ReferenceCheckResult> results = ReferenceCheck.Run(context, references, result =>
        {
            Session.Check(result.Passed, result.ToString());
            Cancellation.ThrowIfCancellationRequested();
        });

        int failed = results.Count(r => !r.Passed);
        Session.Line(failed == 0
            ? $"{Counted.Of(results.Count, "array")} checked, all agree with the reference"
            : $"{failed} of {Counted.Of(results.Count, "array")} not in agreement with the reference");
        WriteJson(options, results, inputs);
        return failed == 0 ? ExitCode.Done : ExitCode.CheckFailed;
    }
}
