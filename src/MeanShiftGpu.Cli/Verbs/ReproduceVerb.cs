using System.CommandLine;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Reproduction;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>The experiment of the paper: its Table 1 and Figures 2 and 3, by one command.</summary>
internal sealed class ReproduceVerb(Session session) : Verb(session)
{
    /// <summary>Where its files go.</summary>
    public const string DefaultFolder = "reproduce-out";

    /// <summary>The option with which it only reports.</summary>
    public const string ReportName = "--report";

    private static readonly PaperDataset[] Datasets = Enum.GetValues<PaperDataset>();

    private readonly Option<string?> output = Parse.Text(
        "--out", "DIR", "Folder for data sets, models, results, report.html with its pictures, and table.md; what it already "
        + "holds is not computed again. Default: reproduce-out.");
    private readonly Option<string?> scale = Parse.Text(
        "--scale",
        string.Join('|', PaperScale.All.Keys),
        "quick: some minutes on two cores; standard: two to three hours there; paper: the published widths and length, for a "
            + "GPU. Default: quick.");
    private readonly Option<string[]> datasets = Parse.Texts(
        "--datasets", string.Join('|', Datasets.Select(PaperData.NameOf)), "Only these data sets. Default: all.");
    private readonly Option<int?> seeds = Parse.Integer("--seeds", "How many trainings each loss gets on each data set; their "
        + "seeds are 1, 2, … Default: the scale's.", 1, 1000);
    private readonly Option<string?> shrec = Parse.Text("--shrec2021", "DIR", "The folder of the SHREC 2021 data set, with "
        + "model_0 and so on, in place of the simulated one.");
    private readonly Option<string?> tomogram = Parse.Text("--empiar10045", "FILE", "The tomogram of EMPIAR-10045, binned by 8 "
        + "or not, in place of the simulated one; with --coordinates.");
    private readonly Option<string?> coordinates = Parse.Text("--coordinates", "FILE", "Its deposited centres (.coords), in "
        + "unbinned pixels.");
    private readonly Option<string?> shard = Shard.Option("Train every Nth from the Ith on of what is to be trained, in a "
        + "folder that several processes share. I counts from 1; in a Slurm array as the array does.");
    private readonly Option<bool> reportOnly = new(ReportName)
    {
        Description = "Train nothing: write the report of what is "
        + "there, and name what is missing, with exit code 1."
    };

    public override string Name => "reproduce";

    public override string Summary => "Repeats the paper's experiment.";

    protected override string Description =>
        "Repeats the paper's experiment: trains with Dice, mean shift and both on four data sets, from the same starts and "
        + "over several seeds, picks in unseen patches, " +
        "and writes the figures beside the published ones.";

    public override string Example => "meanshift-gpu reproduce --scale quick --out reproduce-out";

    public override IReadOnlyList<OptionGroup> Groups =>
    [
        new(OptionGroup.Data, output, datasets, shrec, tomogram, coordinates),
        new("Training", scale, seeds, reportOnly),
        new(OptionGroup.Device, [.. DeviceSymbols, shard]),
    ];

    protected override IEnumerable<Symbol> Reads => [shrec, tomogram, coordinates];

    protected override IEnumerable<Symbol> Writes => [output];

    protected override ExitCode Run(ParseResult options)
    {
        PaperScale size = PaperScale.Named(options.GetValue(scale) ?? PaperScale.Quick.Name);
        PaperFiles files =
            new()
            {
                Shrec = options.GetValue(shrec),
                Tomogram = options.GetValue(tomogram),
                Coordinates = options.GetValue(
                coordinates)
            };
        if (files.Tomogram is null != files.Coordinates is null)
            throw new InputException($"{tomogram.Name} and {coordinates.Name} belong together; give both or none.");
        IReadOnlyList<PaperRun> all = PaperExperiment.Runs(
            options.GetValue(datasets) is { Length: > 0 } named ? named.Select(Named).Distinct() : Datasets,
            Enum.GetValues<PaperLoss>(),
            options.GetValue(seeds) ?? size.Seeds);
        IReadOnlyList<PaperRun> mine = Shard.Of(options.GetValue(shard)) is { } part ? part.Of(all) : all;
        if (options.GetValue(reportOnly))
            mine = [];
        string folder = options.GetValue(output) ?? DefaultFolder;
        OutputFolder.Prepare(folder);
        Files.Write(output.Name, Path.Combine(folder, PaperReport.TableName), Path.Combine(folder, PaperReport.PageName));

        PaperExperiment experiment = new(folder, size, files);
        PaperRun[] left = [.. mine.Where(r => experiment.Done(r) is null)];
        if (left.Length < mine.Count)
            Session.Line($"{Counted.Of(mine.Count - left.Length, "training")} of {mine.Count} done before");
        using GpuContext context = OpenDevice(options);
        int done = 0;
        if (left.Length > 0)
        {
            Session.Progress("reproduce", tell =>
            {
                foreach (PaperRun run in left)
                {
                    experiment.Train(context, run, (told, share) => tell((done + share) / left.Length, $"{done + 1} of "
                        + $"{left.Length}, {told}"), Cancellation);
                    done++;
                }
            });
        }

        PaperResult[] results = [.. all.Select(experiment.Done).OfType<PaperResult>()];
        PaperReport.Write(context, folder, experiment, size, files, results, Cancellation);
        Print(results);
        if (results.Length < all.Count)
            Session.Line($"{all.Count - results.Length} of {Counted.Of(all.Count, "training")} are left for other processes");
        Session.Line($"tables: {Path.Combine(folder, PaperReport.TableName)}; open {Path.Combine(folder, PaperReport.PageName)}");
        WriteJson(options, results);
        if (!options.GetValue(reportOnly) || results.Length == all.Count)
            return ExitCode.Done;
        Session.Error($"{Counted.Of(all.Count - results.Length, "training")} of {all.Count} missing: "
            + $"{string.Join(", ", all.Where(r => experiment.Done(r) is null).Select(r => r.Name))}.");
        return ExitCode.CheckFailed;
    }

    private void Print(PaperResult[] results)
        => Session.Table(
            ["data set", "loss", "seed", "dist_pred", "dist_GT", "F1 at 4", "F1 at 2", "1:1 F1 at 2", "threshold", "seconds"],
            results.Select(r => (IReadOnlyList<string>)
            [
                PaperTable.Title(r.Dataset),
                PaperLosses.Words(r.Loss),
                $"{r.Seed}",
                Number(r.Evaluation?.DistPred),
                Number(r.Evaluation?.DistGt),
                Number(r.Evaluation?.At(4).F1),
                Number(r.Evaluation?.At(2).F1),
                Number(r.Evaluation?.At(2).OneToOneF1),
                Number(r.Threshold),
                $"{r.TrainingSeconds:0}",
            ]));

    private static PaperDataset Named(string name)
    {
        string[] names = [.. Datasets.Select(PaperData.NameOf)];
        int index = Array.IndexOf(names, name);
        return index >= 0 ? Datasets[index]
            : throw new InputException($"--datasets: '{name}' is not known.{ParseProblem.Nearest(name, names)} Expected "
                + $"{string.Join(", ", names)}.");
    }

    private static string Number(double? value) => value is { } number ? $"{number:0.00}" : "-";
}
