using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>
/// Settings of the mean-shift loss. The defaults are those of <see cref="Compact"/>; bandwidth, iterations
/// and seed sampling are the paper's in every preset.
/// </summary>
public sealed record MeanShiftOptions
{
    /// <summary>
    /// The paper's Algorithm 1 and equations 1–2 taken literally: linear weighting, no floor, squared
    /// distance.
    /// </summary>
    public static MeanShiftOptions Paper { get; } =
        new() { Weighting = Weighting.Linear, ScoreFloor = 0, Distance = CenterDistance.Squared };

    /// <summary>
    /// What the authors' published program computes: flat weighting, floor 0.05, plain distance.
    /// </summary>
    public static MeanShiftOptions PublishedCode { get; } =
        new() { Weighting = Weighting.Flat, Distance = CenterDistance.Euclidean };

    /// <summary>
    /// Epanechnikov weighting and plain distance: right gradients and compact maps. For training without a
    /// Dice loss.
    /// </summary>
    public static MeanShiftOptions Compact { get; } = new();

    /// <summary>
    /// Flat weighting and squared distance: the cheapest gradient. For training together with half a Dice
    /// loss.
    /// </summary>
    public static MeanShiftOptions Combined { get; } = new() { Weighting = Weighting.Flat, Distance = CenterDistance.Squared };

    /// <summary>The smallest bandwidth in voxels.</summary>
    public const double MinimumBandwidthVoxels = 1e-3;

    /// <summary>The largest bandwidth in voxels.</summary>
    public const double MaximumBandwidthVoxels = SeedSampling.MaxRadiusVoxels;

    /// <summary>b: voxels nearer than this to a point count in its mean.</summary>
    public double BandwidthVoxels
    {
        get;
        init => field = InRange(value, MinimumBandwidthVoxels, MaximumBandwidthVoxels, "bandwidth");
    }

    = 4;

    /// <summary>T, shifts of every seed.</summary>
    public int Iterations
    {
        get;
        init => field = InRange(value, 1, 10_000, "iterations");
    }

    = 10;

    /// <summary>s₀, added to every score.</summary>
    public double ScoreFloor
    {
        get;
        init => field = InRange(value, 0, double.MaxValue, "score floor");
    }

    = 0.05;

    /// <summary>How a voxel counts by its distance.</summary>
    public Weighting Weighting
    {
        get;
        init => field = Known(value, "weighting");
    }

    = Weighting.Epanechnikov;

    /// <summary>How the loss measures a seed's distance from a centre.</summary>
    public CenterDistance Distance
    {
        get;
        init => field = Known(value, "distance");
    }

    = CenterDistance.Euclidean;

    /// <summary>S, seeds of each volume.</summary>
    public int SeedCount
    {
        get;
        init => field = InRange(value, 1, 1 << 20, "seed count");
    }

    = 256;

    /// <summary>Seeds are drawn uniformly in a ball of this radius around the centres in turn.</summary>
    public double SeedRadiusVoxels
    {
        get;
        init => field = InRange(value, 0, SeedSampling.MaxRadiusVoxels, "seed radius");
    }

    = 7.5;

    /// <summary>Seeds keep this distance from the outermost voxels.</summary>
    public double SeedMarginVoxels
    {
        get;
        init => field = InRange(value, 0, SeedSampling.MaxRadiusVoxels, "seed margin");
    }

    = 2;

    /// <summary>The part of the settings that the kernels take.</summary>
    public MeanShiftParameters Parameters => new(BandwidthVoxels, ScoreFloor, Weighting);

    /// <summary>The seed sampling of a training step.</summary>
    /// <param name="seed">The random key of the run.</param>
    /// <param name="step">The step, so that each draws others.</param>
    public SeedSampling Sampling(ulong seed, uint step) => new(seed, step, SeedRadiusVoxels, SeedMarginVoxels);

    /// <summary>The extents of a batch under these settings.</summary>
    /// <exception cref="InputException">Seeds times iterations are more than 2³¹ − 1.</exception>
    public MeanShiftShape Shape(int batch, int depth, int height, int width, int scorePitch = 1)
        => (long)SeedCount * Iterations <= int.MaxValue
            ? new(batch, depth, height, width, SeedCount, Iterations, scorePitch)
            : throw new InputException($"mean shift: {SeedCount} seeds and {Iterations} iterations are too many together. "
                + $"Expected a product of at most {int.MaxValue}.");

    private static TEnum Known<TEnum>(TEnum value, string name)
        where TEnum : struct, Enum
        => Enum.IsDefined(value) ? value : throw new InputException($"mean shift: there is no {name} {value}. Expected "
            + $"{string.Join(", ", Enum.GetNames<TEnum>())}.");

    private static TNumber InRange<TNumber>(TNumber value, TNumber minimum, TNumber maximum, string name)
        where TNumber : System.Numerics.INumber<TNumber>
        => value >= minimum && value <= maximum
            ? value
            : throw new InputException($"mean shift: {name} {value} is out of range. Expected "
                + $"{minimum}{(maximum is double.MaxValue ? " or more" : $" to {maximum}")}.");
}
