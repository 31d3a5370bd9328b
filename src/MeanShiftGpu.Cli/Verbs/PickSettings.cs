using System.CommandLine;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Picking;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>
/// The options of 'pick' that decide about the picks, and what the library is asked for with them.
/// </summary>
internal sealed class PickSettings
{
    private readonly Option<double?> bandwidth = Parse.Real(
        "--bandwidth", "Radius of the mean shift's ball in voxels. Default: that of the model's training.",
        MeanShiftOptions.MinimumBandwidthVoxels, MeanShiftOptions.MaximumBandwidthVoxels);
    private readonly Option<double?> mergeDistance = Parse.Real(
        "--merge-distance",
        "Points that come to rest within this distance of a stronger cluster belong to it, in voxels. Default: 1.5 times the "
            + "bandwidth; just below the shortest distance of particles is best.",
        1e-3);
    private readonly Option<double?> mergeBasins = Parse.Real(
        "--merge-basins",
        "Places up to three bandwidths apart are one particle where the score map between them stays above this fraction of the "
            + "lower of their peaks; 0: never. Default: 0.",
        0, 1);
    private readonly Option<double?> minimumDistance = Parse.Real(
        "--min-distance", "Of two picks nearer than this the one with the lower score is dropped, in voxels. Default: 0.", 0);
    private readonly Option<double?> minimumSupport = Parse.Real(
        "--min-support",
        "Picks whose summed score is below this fraction of the best one's are dropped: lower where particles differ much in "
            + "size, higher where all are alike. Default: 0.05.",
        0, 1);
    private readonly Option<int> minimumVoxels = Parse.Integer(
        "--min-voxels", "Picks of fewer voxels are dropped.", 1, 1, int.MaxValue);
    private readonly Option<bool> overlapping = new("--overlapping-classes")
    {
        Description = "Keep picks of several classes at one place. Default: the class with the highest score has the place, the "
            + "JSON names the runner-up.",
    };
    private readonly Option<PickMethod?> method = Parse.Choice<PickMethod>(
        "--method",
        "mean-shift: every voxel above the threshold moves to its mode. local-maxima: voxels that no neighbour exceeds. "
            + "components: connected voxels. Default: mean-shift.");
    private readonly Option<int> iterations = Parse.Integer(
        "--max-iterations", "Most mean-shift iterations.", 60, 1, 100_000);

    /// <summary>The one class that is picked.</summary>
    public Option<string?> OnlyClass { get; } = Parse.Text(
        "--class", "NAME",
        "Pick this class only, of a model that was trained with --classes. Default: all, each with its number and name in the "
            + "table.");

    /// <summary>The threshold as a fraction.</summary>
    public Option<double?> Threshold { get; } = Parse.Real(
        "--threshold",
        "A voxel counts if its score is above this fraction of the model's score scale. If the model's file has none, the "
            + "map's maximum is taken. Default: 0.3; --suggest finds a better one.",
        0, 0.999999);

    /// <summary>The threshold as a score.</summary>
    public Option<double?> Absolute { get; } = Parse.Real(
        "--threshold-absolute", "The threshold itself, as a score from 0 to 1. Use it for models trained with Dice, and for "
            + "volumes that may hold no particle.", 0);

    /// <summary>Those about the particles, in the order of the help.</summary>
    public IEnumerable<Option> OfParticles
        => [OnlyClass, bandwidth, mergeDistance, mergeBasins, minimumDistance, minimumSupport, minimumVoxels, overlapping];

    /// <summary>Those for few.</summary>
    public IEnumerable<Option> Advanced => [method, iterations];

    /// <summary>Whether picks of several classes may lie at one place.</summary>
    public bool Overlapping(ParseResult options) => options.GetValue(overlapping);

    /// <summary>Whether the minimum support was given.</summary>
    public bool SaysSupport(ParseResult options) => options.GetValue(minimumSupport) is not null;

    /// <summary>Whether the joining of basins was given.</summary>
    public bool SaysBasins(ParseResult options) => options.GetValue(mergeBasins) is not null;

    /// <summary>How a class is picked.</summary>
    /// <param name="options">The command line.</param>
    /// <param name="meanShift">The mean shift that the class was trained with.</param>
    /// <exception cref="InputException">Two thresholds were given.</exception>
    public PickOptions Of(ParseResult options, MeanShiftOptions meanShift)
    {
        if (options.GetValue(Threshold) is not null && options.GetValue(Absolute) is not null)
            throw new InputException("pick: --threshold and --threshold-absolute exclude each other; give one.");
        PickOptions defaults = new();
        return defaults with
        {
            Method = options.GetValue(method) ?? defaults.Method,
            ThresholdKind = options.GetValue(Absolute) is null ? ThresholdKind.FractionOfMaximum : ThresholdKind.Absolute,
            Threshold = (float)(options.GetValue(Absolute) ?? options.GetValue(Threshold) ?? defaults.Threshold),
            BandwidthVoxels = (float)(options.GetValue(bandwidth) ?? meanShift.BandwidthVoxels),
            MergeDistanceVoxels = (float?)options.GetValue(mergeDistance),
            BasinFraction = (float)(options.GetValue(mergeBasins) ?? 0),
            MinimumDistanceVoxels = (float)(options.GetValue(minimumDistance) ?? defaults.MinimumDistanceVoxels),
            MinimumSupportFraction = (float)(options.GetValue(minimumSupport) ?? defaults.MinimumSupportFraction),
            MinimumVoxels = options.GetValue(minimumVoxels),
            MaximumIterations = options.GetValue(iterations),
        };
    }

    /// <summary>
    /// The options that decide about a table, as they were given. What names files, where it runs and what is
    /// reported does not.
    /// </summary>
    /// <param name="options">The command line.</param>
    /// <param name="ofTables">Those that decide how the picks are written.</param>
    public string TextOf(ParseResult options, params Option[] ofTables)
    {
        // The order is that of the records that are there already.
        Option[] all =
        [
            OnlyClass, method, Threshold, Absolute, bandwidth, mergeDistance, mergeBasins, minimumDistance, minimumSupport,
            minimumVoxels, overlapping, iterations, .. ofTables,
        ];
        return string.Join(' ', all.Select(options.GetResult).Where(r => r is { Implicit: false })
            .Select(r => $"{r!.Option.Name} {string.Join(' ', r.Tokens.Select(t => t.Value))}".TrimEnd()));
    }
}
