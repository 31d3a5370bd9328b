using System.CommandLine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Training;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>The options of 'train' about the check of its input, and the check.</summary>
internal sealed class TrainCheck
{
    private readonly Option<bool> ignore = new("--no-check")
    {
        Description = "Train even if the centres do not seem to "
        + "belong to the volumes (see 'check')."
    };
    private readonly Option<string?> report = Parse.Text("--check-report", "FILE",
        "Write what was checked before the training as a page (HTML), as 'check --report' does.");

    /// <summary>The options.</summary>
    public IReadOnlyList<Symbol> Symbols => [ignore, report];

    /// <summary>The option that names a page.</summary>
    public Symbol Report => report;

    /// <summary>The page, if one is asked for.</summary>
    public IEnumerable<string> Page(ParseResult options) => options.GetValue(report) is { } page ? [page] : [];

    /// <summary>
    /// Whether what was loaded is wrong, which is said. With --no-check nothing is, but a scale that looks
    /// wrong is warned of.
    /// </summary>
    /// <param name="options">The command line.</param>
    /// <param name="session">Where it is said.</param>
    /// <param name="angstrom">The diameters that the user gave.</param>
    /// <param name="training">The settings.</param>
    /// <param name="manifest">What the data set is made of.</param>
    /// <param name="data">The same, loaded.</param>
    /// <param name="source">Where it comes from.</param>
    /// <param name="made">What a page is made from; null where nothing is written.</param>
    public bool IsWrong(
        ParseResult options, Session session, double[] angstrom, TrainingOptions training, DatasetManifest manifest,
        TrainingData data, TrainingSource source, Func<Provenance>? made)
    {
        bool ignored = options.GetValue(ignore);
        string? page = options.GetValue(report);
        DatasetVolume[] entries = [.. manifest.Of(DatasetSplit.Train), .. manifest.Of(DatasetSplit.Validation)];
        TrainingVolume[] volumes = [.. data.Volumes];
        // A wrong scale is seen without looking at grey values, so that it is said whatever else is ignored.
        if (ignored)
        {
            foreach (TrainingVolume volume in WholeVolumes.Of(entries, volumes))
            {
                if (Diagnosis.OfCentres(volume) is { } corner)
                    session.Warn($"{Path.GetFileName(volume.Name)}: {corner}");
            }
        }

        if (ignored && page is null)
            return false;
        double voxels = angstrom.Length > 0 ? angstrom.Average() / source.VoxelSizeAngstrom()
            : Math.Clamp(
                Enumerable.Range(0, training.ClassCount).Average(c
                    => training.MeanShiftOf(c).BandwidthVoxels) / ParticleSize.BandwidthPerDiameter,
                ParticleSize.SmallestVoxels, ParticleSize.LargestVoxels);
        InputCheck check = new(session, entries, volumes, voxels, angstrom.Length == 1 && training.ClassCount == 1);
        if (page is not null && made is not null)
        {
            check.WritePage(page, made());
            session.Line($"report: {page}");
        }

        if (ignored || check.Problems.Count == 0)
            return false;
        string others = check.Problems.Count == 1 ? "" : $"{check.Problems.Count - 1} more; 'check' shows all. ";
        session.Error($"{check.Problems[0]} {others}--no-check trains all the same.");
        return true;
    }
}
