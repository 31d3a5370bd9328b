using System.CommandLine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Datasets;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Picking;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>'pick --suggest': finds the threshold and the minimum support that suit a model.</summary>
internal sealed class PickSuggest
{
    /// <summary>The data set's manifest.</summary>
    public Option<string?> Manifest { get; } = Parse.Text("--suggest", "FILE", "Instead of picking: try thresholds and minimum "
        + "supports on the validation volumes of this data set's manifest and print the best.");

    /// <summary>The hit radius.</summary>
    public Option<double?> Radius { get; } = Parse.Real("--radius", "Hit radius of --suggest in voxels. Default: half the "
        + "bandwidth.", 1e-3);

    /// <summary>Whether some particles of the volumes are not marked.</summary>
    public Option<bool> Sparse { get; } = new("--sparse")
    {
        Description = "The validation volumes of --suggest hold particles that no centre marks. The best settings are then "
            + "those with the largest square of the recall over the number of picks; F1 would prefer too few picks.",
    };

    /// <summary>Refuses its other options where it is not asked for.</summary>
    /// <exception cref="InputException">One of them was given.</exception>
    public void RefuseAlone(ParseResult options)
    {
        if (options.GetValue(Radius) is not null)
            throw new InputException("pick: --radius is the hit radius of --suggest; leave it out, or see --merge-distance and "
                + "--min-distance.");
        if (options.GetValue(Sparse))
            throw new InputException("pick: --sparse is for --suggest, which picks on volumes with centres; leave it out.");
    }

    /// <summary>Refuses what has no meaning beside it.</summary>
    /// <exception cref="InputException">Something has none.</exception>
    public static void RefuseOthers(
        ParseResult options, PickModels models, PickSettings settings, Option output, params Option[] unused)
    {
        if (models.VolumesOf(options).Length > 0 || options.GetResult(output) is { Implicit: false })
            throw new InputException("pick: --suggest picks in the data set's validation volumes and writes no table; leave "
                + "the volumes and --out out.");
        if (options.GetValue(settings.Absolute) is not null)
            throw new InputException("pick: --suggest tries parts of the score scale that the model knows; leave "
                + "--threshold-absolute out.");
        if (unused.FirstOrDefault(o => options.GetResult(o) is { Implicit: false }) is { } idle)
            throw new InputException($"pick: --suggest has no use for {idle.Name}; leave it out.");
    }

    /// <summary>The validation volumes of a data set.</summary>
    /// <exception cref="InputException">There are none.</exception>
    public static IReadOnlyList<DatasetVolume> ValidationOf(string manifestPath)
    {
        DatasetVolume[] entries = [.. DatasetManifest.Read(manifestPath).Of(DatasetSplit.Validation)];
        return entries.Length > 0 ? entries : throw new InputException(
            $"{manifestPath}: no volume has \"split\": \"validation\"; --suggest needs at least one.");
    }

    /// <summary>Tries thresholds and supports, and prints the best.</summary>
    /// <returns>The same for a program.</returns>
    public object Run(
        ParseResult options, Session session, TomogramPicker picker, PickSettings settings, IReadOnlyList<DatasetVolume> entries,
        string model)
    {
        if (picker.Classes.Count > 1)
            throw new InputException("pick: --suggest finds the threshold of one class; choose one of "
                + $"{string.Join(", ", picker.Classes.Select(c => c.Label))} with --class.");
        PickOptions picking = picker.Classes[0].Options;
        double hit = options.GetValue(Radius) ?? picking.BandwidthVoxels / 2;
        IReadOnlyList<float> supports = settings.SaysSupport(options)
            ? [picking.MinimumSupportFraction]
            : ThresholdSweep.Supports;
        bool given = settings.SaysBasins(options) || picking.Method != PickMethod.MeanShift;
        ThresholdSweep sweep = new(picker, picking, supports, given ? [picking.BasinFraction] : ThresholdSweep.BasinFractions);
        return PickReport.Suggest(session, sweep, entries, hit, options.GetValue(Sparse), model);
    }
}
