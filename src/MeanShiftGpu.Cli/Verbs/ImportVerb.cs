using System.CommandLine;
using MeanShiftGpu.IO;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Makes a data set of a public benchmark's files.</summary>
internal sealed class ImportVerb(Session session) : Verb(session)
{
    private readonly Argument<string> folder = new("FOLDER") { Description = "The unpacked data: for SHREC 2021 the folder that holds model_0, model_1 and so on." };
    private readonly Option<string?> output = Parse.Text("--out", "FILE", "The manifest (.json) that 'train' reads.", required: true);

    public override string Name => "import";

    protected override string Description =>
        "Makes a data set of SHREC 2021's files with the paper's split: models 0 to 5 for training, 6 and 7 for validation, the others for testing; " +
        "all proteins are one class, vesicles and fiducials none. The files stay where they are.";

    public override string Example => "meanshift-gpu import shrec2021 --out manifest.json";

    protected override bool UsesDevice => false;

    protected override IEnumerable<Symbol> Symbols => [folder, output];

    protected override ExitCode Run(ParseResult options)
    {
        string target = options.GetValue(output)!;
        OutputFolder.CheckFile(target);
        DatasetManifest manifest = ShrecDataset.Import(options.GetRequiredValue(folder));
        manifest.Write(target);
        string Count(DatasetSplit split) => $"{manifest.Of(split).Count()} for {(split == DatasetSplit.Train ? "training" : split == DatasetSplit.Test ? "testing" : "validation")}";
        Session.Line($"{target}: {manifest.Volumes.Count} tomograms, {Count(DatasetSplit.Train)}, {Count(DatasetSplit.Validation)}, {Count(DatasetSplit.Test)}");
        WriteJson(options, new { Manifest = target, Volumes = manifest.Volumes.Select(v => new { v.Volume, v.Coordinates, v.Mask, v.MaskAbove, v.Split }) });
        return ExitCode.Done;
    }
}
