using System.CommandLine;
using MeanShiftGpu.Checks;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Compares gradients with finite differences.</summary>
internal sealed class GradCheckVerb(Session session) : Verb(session)
{
    private readonly Argument<string[]> names = new("NAME")
    {
        Description = "Only these cases: a whole name, or a part of one, which takes all cases that contain it (conv3d, "
            + "Epanechnikov, unet …); an unknown name lists all cases. Default: all.",
        Arity = ArgumentArity.ZeroOrMore,
    };

    private readonly Option<int> seed = Parse.Integer(
        "--seed", "Chooses the elements and directions that are probed; the data of a case are always the same.", 1, 0,
        int.MaxValue);

    public override string Name => "gradcheck";

    public override string Summary => "Compares every backward pass with central differences.";

    public override bool IsForDevelopers => true;

    protected override bool TakesVariant => false;

    protected override string Description =>
        "Compares every backward pass with central differences, in float64 and float32, for every variant that the device "
        + "supports: each operation, " +
        "weighting and distance, and the whole network with its losses.";

    public override string Example => "meanshift-gpu gradcheck mean-shift --json gradcheck.json";

    protected override IEnumerable<Symbol> Symbols => [names, seed];

    protected override IEnumerable<Symbol> Reads => [];

    protected override IEnumerable<Symbol> Writes => [];

    protected override ExitCode Run(ParseResult options)
    {
        // Every variant is checked, each by itself; the environment's choice may stand for other commands.
        if (DeviceOptions(options).Variant is not null)
            throw new InputException("gradcheck: it checks every variant, so that --variant has no effect. Leave it out.");
        using GpuContext context = OpenDevice(options);
        GradCheckReport report = GradCheckSuite.Run(
            context,
            options.GetValue(names),
            result => Session.Check(result.Passed, result.ToString()),
            options.GetValue(seed),
            Cancellation);

        int failed = report.Results.Count(r => !r.Passed);
        Session.Line(failed == 0
            ? $"{Counted.Of(report.Results.Count, "gradient")} checked, all agree with finite differences"
            : $"{failed} of {Counted.Of(report.Results.Count, "gradient")} not in agreement with finite differences");
        WriteJson(options, report.Results);
        return report.Passed ? ExitCode.Done : ExitCode.CheckFailed;
    }
}
