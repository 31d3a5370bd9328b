using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>
/// Knows what fits together: a volume's grey values and scores with those that a model was trained on,
/// centres with their volume. Every threshold stands here with its reason. It says what was seen and the
/// likely cause; whoever asks decides whether to go on.
/// </summary>
public static class Diagnosis
{
    /// <summary>
    /// Scores are measured against this fraction of the model's scale: the default threshold of picking.
    /// </summary>
    public const float ThresholdFraction = 0.3f;

    // The best score of a volume with particles varies by a fifth or so between volumes; that of noise is a
    // tenth of it.
    private const double WeakFraction = 0.5;

    // Crowding differs between tomograms, rarely beyond a few times; ten times as many voxels are none of
    // particles.
    private const double CrowdedFactor = 10;

    // Models that do not say what their volumes looked like: particles never fill a fifth of a tomogram.
    private const double CrowdedShare = 0.2;

    // Of the volumes that a model knows: maps that work are bright at up to a fifth of their voxels, in small
    // crowded patches; those of a training that ended before it learnt anything at most of them.
    private const double MostKnownShare = 0.4;

    // Binning by two changes the correlation of neighbours by a quarter or more; volumes of one data set
    // differ by some hundredths.
    private const double CorrelationDifference = 0.1;

    // Centres of particles spread over most of a volume; those of a table read at half its size fill an
    // eighth of it.
    private const double CornerFraction = 0.6;
    private const int CornerCentres = 8;

    // Balls around 50 centres average noise to a hundredth of a standard deviation; particles stand out by a
    // fifth and more.
    private const double ClearContrast = 0.2;

    private const int MostSlices = 16;
    private const int MostEdge = 160;
    private const int MostVolumes = 3;

    /// <summary>
    /// Looks at the volumes that a model was validated on, or else trained on: at most three of them, at most
    /// 160 voxels along an edge.
    /// </summary>
    /// <param name="network">The trained network.</param>
    /// <param name="training">How it was trained.</param>
    /// <param name="data">The volumes, normalised.</param>
    /// <param name="progress">Told (volumes done, volumes); null for no callback.</param>
    /// <param name="cancellation">Stops between two volumes.</param>
    public static VolumeLooks Measure(
        UNet3d<float> network, TrainingOptions training, TrainingData data, Action<int, int>? progress = null,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(training);
        ArgumentNullException.ThrowIfNull(data);
        TrainingVolume[] volumes =
            [.. (data.Validation.Count > 0 ? data.Validation : data.Training).Where(v => v.Centers.Count > 0).Take(MostVolumes)];
        int outputs = network.Options.Outputs;
        List<float[]> maps = [];
        List<float>[] maxima = [.. Enumerable.Range(0, outputs).Select(_ => new List<float>())];
        using TomogramPicker picker = new(network, training.MeanShift, PickOptions.For(training.MeanShift));
        for (int i = 0; i < volumes.Length; i++)
        {
            progress?.Invoke(i, volumes.Length);
            cancellation.ThrowIfCancellationRequested();
            Box part = PartWithCentres(volumes[i]);
            float[] image = new float[part.Size.Voxels];
            volumes[i].Image.Read(part, image);
            float[][] scores = picker.PredictAll(image, part.Size, cancellation);
            maps.AddRange(scores);
            for (int k = 0; k < outputs; k++)
                maxima[k].Add(scores[k].Max());
        }

        progress?.Invoke(volumes.Length, volumes.Length);
        double[] correlations = [.. volumes.Select(v => NeighbourCorrelation(v.Image))];
        double mean = correlations.DefaultIfEmpty(0).Average();
        return new VolumeLooks
        {
            Volumes = volumes.Length,
            NeighbourCorrelation = mean,
            NeighbourCorrelationSpread = correlations.Select(c => Math.Abs(c - mean)).DefaultIfEmpty(0).Max(),
            Classes = volumes.Length == 0 ? [] :
            [
                .. Enumerable.Range(0, outputs).Select(k =>
                {
                    double scale = Median(maxima[k]);
                    double share = Enumerable.Range(0, volumes.Length).Average(
                        i => ShareAbove(maps[(i * outputs) + k], ThresholdFraction * scale));
                    double contrast = volumes.Average(v => Contrast(v, k, training.MeanShiftOf(k).BandwidthVoxels / 2));
                    return new ClassLooks(scale, share, contrast);
                }),
            ],
        };
    }

    /// <summary>What can be said of grey values.</summary>
    /// <param name="volume">The volume.</param>
    /// <param name="statistics">Its statistics.</param>
    /// <param name="looks">What the model's volumes looked like; null where it does not say.</param>
    internal static IEnumerable<PickWarning> OfGreyValues(IVoxelSource volume, VoxelStatistics statistics, VolumeLooks? looks)
    {
        if (statistics.Deviation == 0)
        {
            yield return new PickWarning(
                PickWarningKind.Constant,
                "every voxel has the same value, so there is nothing to pick.",
                "Was the right volume given?");
            yield break;
        }

        if (statistics.Outlier is { } outlier)
            yield return new PickWarning(
                PickWarningKind.Spike, OfOutlier(outlier), "Replace such voxels, for instance by the mean.");

        if (looks is not { Volumes: > 0 })
        {
            yield return new PickWarning(
                PickWarningKind.NoLooks, "the model does not say what its volumes looked like, so that picks of an empty or "
                    + "foreign volume cannot be told from others.",
                "Train to the end with this version, or look at the picks.");
            yield break;
        }

        double correlation = NeighbourCorrelation(volume);
        if (Math.Abs(correlation - looks.NeighbourCorrelation) > CorrelationDifference + looks.NeighbourCorrelationSpread)
        {
            yield return new PickWarning(
                PickWarningKind.OtherGreyValues,
                string.Create(CultureInfo.InvariantCulture, $"neighbouring voxels correlate by {correlation:0.00}, in the "
                    + $"volumes that the model knows by {looks.NeighbourCorrelation:0.00}."),
                "Is the voxel size another one, or was it filtered or denoised in another way? Expect worse picks.");
        }
    }

    /// <summary>What a voxel does that alone makes much of the variance.</summary>
    public static string OfOutlier(float outlier)
        => string.Create(CultureInfo.InvariantCulture, $"a voxel of {outlier:g4} lies so far from the mean that it alone makes "
            + $"the standard deviation, and all others look alike.");

    /// <summary>What to say of a volume whose voxels differ along the axes.</summary>
    public static string OfVoxels(VoxelSize size)
        => $"has voxels of {size}; bandwidth, balls and the network take them for cubes. Resample the volume, unless the header "
            + "is wrong.";

    /// <summary>
    /// Whether a map is far below the model's scale, as those of volumes without particles are.
    /// </summary>
    internal static bool IsWeak(float maximum, ClassLooks looks) => maximum < WeakFraction * looks.ScoreScale;

    /// <summary>Why so many voxels above the threshold cannot be particles; null where they can.</summary>
    /// <param name="above">Voxels above the threshold.</param>
    /// <param name="voxels">All voxels.</param>
    /// <param name="looks">What the class looked like; null where the model does not say.</param>
    internal static string? CrowdedBecause(long above, long voxels, ClassLooks? looks)
    {
        double share = (double)above / voxels;
        double most = looks is null ? CrowdedShare
            : Math.Clamp(CrowdedFactor * looks.ShareAbove, 1e-3, MostKnownShare);
        if (share <= most)
            return null;
        string known = looks is null ? "" : string.Create(CultureInfo.InvariantCulture, $", in the volumes that the model "
            + $"knows {100 * looks.ShareAbove:0.##} %");
        return FormattableString.Invariant($"{above} voxels, {100 * share:0.#} % of the volume, are above the threshold{known}");
    }

    /// <summary>
    /// Why a model finds particles everywhere: its map is bright at most voxels of the volumes that it knows;
    /// null where it is not.
    /// </summary>
    /// <param name="looks">What its volumes look like to it; null where it does not say.</param>
    /// <param name="names">The names of its classes; empty where there is one without a name.</param>
    public static string? OfModel(VolumeLooks? looks, IReadOnlyList<string> names)
    {
        ArgumentNullException.ThrowIfNull(names);
        if (looks is not { Volumes: > 0 })
            return null;
        for (int i = 0; i < looks.Classes.Count; i++)
        {
            if (BrightBecause(looks.Classes[i]) is { } reason)
                return $"{(i < names.Count ? $"class '{names[i]}': " : "")}{reason} {TrainLonger}";
        }

        return null;
    }

    /// <summary>
    /// Why a class is found everywhere, as its map is bright at most voxels of the volumes that the model
    /// knows; null where it is not.
    /// </summary>
    internal static string? BrightBecause(ClassLooks? looks) => looks?.ShareAbove > MostKnownShare
        ? FormattableString.Invariant($"{100 * looks.ShareAbove:0} % of the voxels of the volumes that the model knows are ")
            + "above the threshold, so it finds particles everywhere."
        : null;

    /// <summary>What helps then.</summary>
    internal const string TrainLonger = "Its training ended before it had learnt anything: train it longer.";

    /// <summary>What to say of centres that stand twice; null where none does.</summary>
    public static string? OfCentresTwice(TrainingVolume volume)
    {
        ArgumentNullException.ThrowIfNull(volume);
        int again = volume.Centers.Count - volume.Centers.Select((p, i) => (p, volume.ClassOf(i))).Distinct().Count();
        return again == 0 ? null
            : $"{again} of {Counted.Of(volume.Centers.Count, "centre")} at the very place of another, as rows that stand twice. "
                + "Each counts; remove all but one.";
    }

    /// <summary>
    /// What can be said of annotated centres: those that fill only a corner of their volume were read at the
    /// wrong scale.
    /// </summary>
    public static string? OfCentres(TrainingVolume volume)
    {
        ArgumentNullException.ThrowIfNull(volume);
        if (volume.Centers.Count < CornerCentres)
            return null;
        (Extent size, Position far) = (
            volume.Size, new Position(volume.Centers.Max(c => c.Z), volume.Centers.Max(c => c.Y), volume.Centers.Max(c => c.X)));
        return far.Y < CornerFraction * size.Height && far.X < CornerFraction * size.Width
            ? string.Create(CultureInfo.InvariantCulture, $"all {volume.Centers.Count} centres lie below y {far.Y:0} and x "
                + $"{far.X:0}, in a corner of the volume of {size}. Were they read with the right binning and voxel size?")
            : null;
    }

    /// <summary>
    /// What can be said of the grey values at the centres: particles are as dark, or bright, in validation
    /// volumes as in those that are trained on.
    /// </summary>
    /// <param name="data">The volumes, normalised.</param>
    /// <param name="training">Bandwidths and classes.</param>
    public static string? OfContrasts(TrainingData data, TrainingOptions training)
    {
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(training);
        for (int c = 0; c < training.ClassCount; c++)
        {
            double Mean(IReadOnlyList<TrainingVolume> volumes) => volumes.Where(v => v.Centers.Count > 0).Take(MostVolumes)
                .Select(v => Contrast(v, c, training.MeanShiftOf(c).BandwidthVoxels / 2)).DefaultIfEmpty(0).Average();
            (double trained, double validated) = (Mean(data.Training), Mean(data.Validation));
            if (trained * validated < 0 && Math.Min(Math.Abs(trained), Math.Abs(validated)) > ClearContrast)
            {
                return string.Create(CultureInfo.InvariantCulture, $"particles are {(trained < 0 ? "dark" : "bright")} in the "
                    + $"training volumes and {(validated < 0 ? "dark" : "bright")} in the validation volumes ({trained:0.00} "
                    + $"and {validated:0.00} standard deviations from the mean at the centres). Invert the contrast of one of "
                    + $"them.");
            }
        }

        return null;
    }

    /// <summary>
    /// Where the centres of a volume lie, for people: how many, and the range along each axis.
    /// </summary>
    public static string CentresIn(TrainingVolume volume)
    {
        ArgumentNullException.ThrowIfNull(volume);
        string Range(char axis, Func<Position, double> of)
            => string.Create(CultureInfo.InvariantCulture, $"{axis} {volume.Centers.Min(of):0} to {volume.Centers.Max(of):0}");
        string size = volume.VoxelSize.CubeAngstrom > 0 ? $"voxels of {volume.VoxelSize}" : "voxels of unknown size";
        return $"{volume.Size} {size}, {Counted.Of(volume.Centers.Count, "centre")}" + (
            volume.Centers.Count == 0 ? "" : $", {Range('z', c => c.Z)}, {Range('y', c => c.Y)}, {Range('x', c => c.X)}");
    }

    /// <summary>The correlation of voxels with their neighbours along y and x, over some slices.</summary>
    internal static double NeighbourCorrelation(IVoxelSource volume)
    {
        Extent size = volume.Size;
        if (size.Height < 2 || size.Width < 2)
            return 0;
        int slices = Math.Min(size.Depth, MostSlices);
        float[] slice = new float[(long)size.Height * size.Width];
        (double sum, double squares, double products, long count, long pairs) = (0, 0, 0, 0, 0);
        for (int i = 0; i < slices; i++)
        {
            int z = (int)((i + 0.5) * size.Depth / slices);
            volume.Read(new Box((z, 0, 0), new Extent(1, size.Height, size.Width)), slice);
            // Relative to the slice's mean, as thickness and illumination vary slowly.
            double mean = slice.Average(v => (double)v);
            for (int y = 0; y < size.Height; y++)
            {
                for (int x = 0; x < size.Width; x++)
                {
                    double value = slice[(y * size.Width) + x] - mean;
                    (sum, squares, count) = (sum + value, squares + (value * value), count + 1);
                    if (x + 1 < size.Width)
                        (products, pairs) = (products + (value * (slice[(y * size.Width) + x + 1] - mean)), pairs + 1);
                    if (y + 1 < size.Height)
                        (products, pairs) = (products + (value * (slice[((y + 1) * size.Width) + x] - mean)), pairs + 1);
                }
            }
        }

        double variance = squares / count;
        return variance > 0 ? products / pairs / variance : 0;
    }

    private static double ShareAbove(float[] scores, double threshold)
        => (double)scores.Count(s => s > threshold) / scores.Length;

    private static double Median(List<float> values)
    {
        float[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + (double)sorted[sorted.Length / 2]) / 2;
    }

    // The whole one where that is small.
    private static Box PartWithCentres(TrainingVolume volume)
    {
        Extent size = volume.Size;
        return AroundCentres(volume,
            new Extent(Math.Min(size.Depth, MostEdge), Math.Min(size.Height, MostEdge), Math.Min(size.Width, MostEdge)));
    }

    /// <summary>A part of a volume around the middle of its centres.</summary>
    internal static Box AroundCentres(TrainingVolume volume, Extent part)
    {
        int Along(int size, int length, Func<Position, double> of)
        {
            double middle = volume.Centers.Select(of).Order().ElementAt(volume.Centers.Count / 2);
            return (int)Math.Clamp(middle - (length / 2.0), 0, size - length);
        }

        Extent whole = volume.Size;
        return new Box(
            (Along(whole.Depth, part.Depth, c => c.Z), Along(whole.Height, part.Height, c => c.Y),
                Along(whole.Width, part.Width, c => c.X)), part);
    }

    /// <summary>The mean grey value in balls around a volume's centres of a class.</summary>
    private static double Contrast(TrainingVolume volume, int output, double radius)
    {
        double sum = 0;
        long count = 0;
        int reach = (int)Math.Ceiling(radius);
        float[] values = new float[(long)((2 * reach) + 1) * ((2 * reach) + 1) * ((2 * reach) + 1)];
        for (int i = 0; i < volume.Centers.Count; i++)
        {
            if (volume.CenterClasses is not null && volume.ClassOf(i) != output)
                continue;
            (int z, int y, int x) = (
                (int)Math.Round(volume.Centers[i].Z), (int)Math.Round(volume.Centers[i].Y), (int)Math.Round(volume.Centers[i].X));
            Box box = new((z - reach, y - reach, x - reach), new Extent((2 * reach) + 1, (2 * reach) + 1, (2 * reach) + 1));
            if (!box.IsInside(volume.Size))
                continue;
            volume.Image.Read(box, values);
            int at = 0;
            for (int dz = -reach; dz <= reach; dz++)
            {
                for (int dy = -reach; dy <= reach; dy++)
                {
                    for (int dx = -reach; dx <= reach; dx++, at++)
                    {
                        if ((dz * dz) + (dy * dy) + (dx * dx) <= radius * radius)
                            (sum, count) = (sum + values[at], count + 1);
                    }
                }
            }
        }

        return count == 0 ? 0 : sum / count;
    }
}
