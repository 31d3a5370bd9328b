using System.CommandLine;
using System.Globalization;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Training;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Checks before a training whether the centres belong to their tomograms.</summary>
internal sealed class CheckVerb(Session session) : Verb(session)
{
    private readonly TrainingInputs inputs = new(session);
    private readonly Option<double?> diameter = Parse.Real("--particle-diameter",
        "Diameter of the particle in Å. Default: 10 voxels.", 1e-3);
    private readonly Option<string?> report = Parse.Text("--report", "FILE",
        "Write a page (HTML) with the centres on slices and the mean of the subvolumes at the centres.");

    public override string Name => "check";

    public override string Summary => "Checks whether centres belong to their tomograms.";

    protected override string Description =>
        "Loads tomograms and picks as 'train' does, and compares the grey values at the centres with those at random places, "
        + "as the table is read and with axes exchanged, "
        + "mirrored, scaled and moved. Names what is wrong, with exit code 1.";

    public override string Example
        => "meanshift-gpu check tomograms/ --picks picks.star --particle-diameter 250 --report check.html";

    protected override bool UsesDevice => false;

    protected override IEnumerable<Symbol> Symbols => [.. inputs.Symbols, diameter, report];

    protected override string? OptionFor(ParseResult options, MissingFact fact) => inputs.OptionFor(options, fact);

    protected override IEnumerable<Symbol> Reads => [.. inputs.Files];

    protected override IEnumerable<Symbol> Writes => [report];

    protected override ExitCode Run(ParseResult options)
    {
        const double usualVoxels = 10;
        TrainingSource source = inputs.Find(options, AnnotationChoice.All, earlier: null);
        double voxels = options.GetValue(diameter) is { } angstrom ? ParticleSize.FromAngstrom(angstrom,
            source.VoxelSizeAngstrom()).DiameterVoxels : usualVoxels;
        // Of each volume all centres, however a training would split them.
        DatasetVolume[] entries = [.. source.Entries];
        string[] read = [.. ((string?[])[source.ManifestPath]).Concat(entries.SelectMany(e => (string?[])[e.Volume,
            e.Coordinates, e.TomogramsStar])).OfType<string>().Distinct()];
        string? page = options.GetValue(report);
        Files.Read(read);
        if (page is not null)
            OutputFolder.CheckFile(page);
        TrainingVolume[] volumes = [.. entries.Select(entry =>
        {
            Cancellation.ThrowIfCancellationRequested();
            return DatasetLoader.LoadVolume(entry, AnnotationChoice.All with { Masks = false, Outside = true });
        })];
        InputCheck found = new(Session, entries, volumes, voxels, options.GetValue(diameter) is not null);
        foreach ((TrainingVolume volume, CenterCheck check) in found.Found)
            Say(volume, check);
        foreach (string problem in found.Problems)
            Session.Warn(problem);
        if (page is not null)
        {
            found.WritePage(page, Made(options, read));
            Session.Line($"report: {page}");
        }

        WriteJson(options, new
        {
            DiameterVoxels = voxels,
            Volumes = found.Found.Select(c => new
            {
                c.Volume.Name,
                Centers = c.Volume.Centers.Count,
                c.Check
            })
        }, read);
        return found.Problems.Count > 0 ? ExitCode.CheckFailed : ExitCode.Done;
    }

    private void Say(TrainingVolume volume, CenterCheck check)
    {
        string name = Path.GetFileName(volume.Name);
        string distances = check.ShortestDistance is { } shortest
            ? string.Create(CultureInfo.InvariantCulture, $"; nearest neighbours {shortest:0.#} voxels apart at least, "
                + $"{check.MedianDistance:0.#} in the middle") : "";
        Session.Line($"{name}: {Diagnosis.CentresIn(volume)}{distances}");
        Session.Line(string.Create(CultureInfo.InvariantCulture, $"{name}: grey values at the centres differ from other places "
            + $"by {check.Given.Contrast:0.0} standard errors{Tone(check.Given.Contrast)}"));
        if (volume.Centers.Count < CenterCheck.FewestCenters)
            Session.Line($"{name}: too few centres to say whether they belong to it");
        if (volume.Outlier is { } outlier)
            Session.Warn($"{name}: {Diagnosis.OfOutlier(outlier)}");
        if (Diagnosis.OfCentresTwice(volume) is { } twice)
            Session.Warn($"{name}: {twice}");
        if (!volume.VoxelSize.IsCube)
            Session.Warn($"{name}: {Diagnosis.OfVoxels(volume.VoxelSize)}");
    }

    // Nothing for a contrast that is printed as 0.
    private static string Tone(double contrast)
        => Math.Abs(contrast) < 0.05 ? "" : contrast < 0 ? " (darker)" : " (brighter)";
}
