using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Tomography.Datasets;

/// <summary>Annotated volumes as a data set, a part of which is kept for validation.</summary>
/// <param name="Manifest">The data set.</param>
/// <param name="Said">How it was split, in one line for people.</param>
public sealed record DatasetSplitting(DatasetManifest Manifest, string Said)
{
    /// <summary>The share of the centres that is kept for validation: the customary fifth.</summary>
    public const double ValidationShare = 0.2;

    // With fewer each one is needed for training, and a score over one or two says nothing.
    private const int FewestCenters = 6;
    private const int FewestForValidation = 2;

    /// <summary>
    /// Splits by tomogram where there are several: of every five one, those whose numbers of centres come
    /// nearest to a fifth of all. One tomogram is cut across the longer of y and x, so that about a fifth of
    /// its centres lies behind the cut and as few as possible on it. No voxel is in both parts.
    /// </summary>
    /// <param name="volumes">The volumes with centres; at least one.</param>
    /// <param name="radiusVoxels">The particles' radius: centres nearer than this to the cut belong to
    /// neither part.</param>
    public static DatasetSplitting Of(IReadOnlyList<AnnotatedVolume> volumes, double radiusVoxels)
    {
        ArgumentNullException.ThrowIfNull(volumes);
        return volumes.Count == 1 ? ByRegion(volumes[0], radiusVoxels) : ByTomogram(volumes);
    }

    private static DatasetSplitting ByTomogram(IReadOnlyList<AnnotatedVolume> volumes)
    {
        int wanted = Math.Max(1, (int)Math.Round(ValidationShare * volumes.Count));
        double missing = ValidationShare * volumes.Sum(v => v.Centers.Count);
        HashSet<int> chosen = [];
        while (chosen.Count < wanted)
        {
            double each = missing / (wanted - chosen.Count);
            int next = Enumerable.Range(0, volumes.Count).Where(i => !chosen.Contains(i))
                .MinBy(i => Math.Abs(volumes[i].Centers.Count - each));
            chosen.Add(next);
            missing -= volumes[next].Centers.Count;
        }

        DatasetVolume[] entries =
        [
            .. volumes.Select((v, i) => v.Entry with
            {
                Split = chosen.Contains(i) ? DatasetSplit.Validation : DatasetSplit.Train,
            }),
        ];
        int kept = chosen.Sum(i => volumes[i].Centers.Count);
        string names = string.Join(", ", chosen.Order().Select(i => TomogramNames.Of(volumes[i].Entry.Volume)));
        return new DatasetSplitting(
            new DatasetManifest { Volumes = entries },
            $"by tomogram: {Counted.Of(chosen.Count, "tomogram")} with {Counted.Of(kept, "centre")} for validation ({names}), "
                + $"{Counted.Of(volumes.Count - chosen.Count, "tomogram")} with "
                + $"{Counted.Of(volumes.Sum(v => v.Centers.Count) - kept, "centre")} for training");
    }

    private static DatasetSplitting ByRegion(AnnotatedVolume volume, double radius)
    {
        bool alongX = volume.Shape.Width > volume.Shape.Height;
        int length = alongX ? volume.Shape.Width : volume.Shape.Height;
        double[] along = [.. volume.Centers.Select(c => alongX ? c.X : c.Y)];
        // A particle must fit into either part.
        int first = (int)Math.Ceiling((2 * radius) + 1), last = length - first;
        int Before(int cut) => along.Count(c => c < cut - 0.5 - radius);
        int Behind(int cut) => along.Count(c => c >= cut - 0.5 + radius);
        int[] cuts = last < first || along.Length < FewestCenters ? []
            : [.. Enumerable.Range(first, last - first + 1).Where(c => Behind(c) >= FewestForValidation
                && Before(c) > Behind(c))];
        if (cuts.Length == 0)
        {
            return new DatasetSplitting(
                new DatasetManifest { Volumes = [volume.Entry] },
                $"one tomogram with {Counted.Of(along.Length, "centre")}, too few or too near to each other to keep some for "
                + "validation; all are for training");
        }

        // What is cut through is lost for both; among equal cuts the middle one is furthest from the
        // particles.
        double Cost(int cut)
            => Math.Abs(Behind(cut) - (ValidationShare * along.Length)) + (along.Length - Before(cut) - Behind(cut));
        double least = cuts.Min(Cost);
        int[] best = [.. cuts.Where(c => Cost(c) == least)];
        int cut = best[best.Length / 2];
        (Extent whole, int rest) = (volume.Shape, length - cut);
        Box Part(int start, int size) => alongX
            ? new Box((0, 0, start), whole with { Width = size })
            : new Box((0, start, 0), whole with { Height = size });
        DatasetVolume[] entries =
        [
            volume.Entry with { Region = new DatasetRegion(Part(0, cut), radius) },
            volume.Entry with { Region = new DatasetRegion(Part(cut, rest), radius), Split = DatasetSplit.Validation },
        ];
        int neither = along.Length - Before(cut) - Behind(cut);
        return new DatasetSplitting(
            new DatasetManifest { Volumes = entries },
            $"by region, as one tomogram has centres: {Counted.Of(Before(cut), "centre")} at {(alongX ? 'x' : 'y')} below "
            + $"{cut} for training, {Behind(cut)} above for "
                + $"validation, {neither} too near to the cut for either");
    }
}
