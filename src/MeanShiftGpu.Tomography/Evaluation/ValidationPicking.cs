using System.Text.Json;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Training;
using MeanShiftGpu.Training.Ranks;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>
/// Picks on volumes with centres while a network is trained, so that the model that is kept is the one that
/// picks best. It sees at most a quarter of the voxels that the steps between two validations see, in parts
/// of the volumes around the middle of their centres: a pass without gradients is a third of a step's work,
/// so that picking takes about a twelfth of the training's time.
/// </summary>
public sealed class ValidationPicking : IDisposable
{
    // Of the voxels that training sees between two validations.
    private const double ShareOfTraining = 0.25;

    // Below the distance of neighbouring voxels annotations are not meant.
    private const double LeastRadiusVoxels = 1;

    private readonly TrainingOptions training;
    private readonly List<Part> parts;
    private readonly TomogramPicker[] pickers;
    private readonly IRanks ranks;
    private readonly ValidationSlice[] slices;

    /// <summary>Chooses the parts of the volumes.</summary>
    /// <param name="network">The network that is trained; not disposed.</param>
    /// <param name="training">How.</param>
    /// <param name="volumes">The volumes, normalised: those of the validation, or, to see whether anything
    /// was learnt, of the training.</param>
    /// <param name="ranks">With whom the volumes are shared; each has the same network and volumes. Null:
    /// with nobody.</param>
    public ValidationPicking(
        UNet3d<float> network, TrainingOptions training, IReadOnlyList<TrainingVolume> volumes, IRanks? ranks = null)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(training);
        ArgumentNullException.ThrowIfNull(volumes);
        this.training = training;
        this.ranks = ranks ?? InProcessRanks.Alone;
        double budget = Math.Max(1, ShareOfTraining * training.ValidationInterval * training.BatchSize) * training.Patch.Voxels;
        TrainingVolume[] used = [.. volumes.Where(v => v.Centers.Count > 0)
            .Take((int)Math.Max(1, budget / training.Patch.Voxels))];
        parts = [.. used.Select(v => Part.Of(v, budget / used.Length, network.Options.Divisor))];
        pickers =
        [
            .. Enumerable.Range(0, training.ClassCount)
                .Select(c => new TomogramPicker(network, training.MeanShiftOf(c), PickOptions.For(training.MeanShiftOf(c)))),
        ];
        slices = [.. ChooseSlices()];
    }

    /// <summary>Whether there is anything to pick.</summary>
    public bool HasVolumes => parts.Count > 0;

    /// <summary>
    /// Up to three slices of the volumes that this rank picks in, the same all the time, with the score map
    /// and the picks of the latest <see cref="Measure"/>.
    /// </summary>
    internal IReadOnlyList<ValidationSlice> Slices => slices;

    /// <summary>
    /// Picks with the network as it is, with the defaults of picking, and compares picks with centres; the
    /// mean of the classes that have centres.
    /// </summary>
    /// <param name="cancellation">Stops between two volumes, all ranks where one is told to.</param>
    /// <exception cref="InvalidOperationException">There is no volume with centres.</exception>
    public PickingScore Measure(CancellationToken cancellation = default)
    {
        if (!HasVolumes)
            throw new InvalidOperationException("ValidationPicking: there is no validation volume with centres; ask "
                + "HasVolumes first.");
        // [parts, classes]: where the picks are.
        Position[][] positions = PickShared(cancellation);
        List<EvaluationVolume>[] found = [.. pickers.Select(_ => new List<EvaluationVolume>())];
        for (int i = 0; i < parts.Count; i++)
        {
            for (int c = 0; c < pickers.Length; c++)
                found[c].Add(new EvaluationVolume(positions[i * pickers.Length + c], parts[i].CentersOf(c, training)));
        }

        PickingScore[] scores =
        [
            .. Enumerable.Range(0, pickers.Length).Where(c => found[c].Exists(v => v.Truth.Count > 0)).Select(c =>
            {
                double far = Math.Max(LeastRadiusVoxels, training.MeanShiftOf(c).BandwidthVoxels);
                double near = Math.Max(LeastRadiusVoxels, far / 2);
                double[] radii = near == far ? [near] : [near, far];
                EvaluationResult result = Evaluator.Evaluate(found[c], radii);
                EvaluationResult[] mirrored = [.. Enumerable.Range(1, 7)
                    .Select(axes => Evaluator.Evaluate([.. found[c].Select((v, i) => v
                    with { Truth = Mirrored(v.Truth, parts[i].Box.Size, axes) })], radii))];
                return new PickingScore(result.At(near).OneToOneF1, result.At(far).OneToOneF1)
                {
                    NearByChance = mirrored.Average(m => m.At(near).OneToOneF1),
                    FarByChance = mirrored.Average(m => m.At(far).OneToOneF1),
                    Recall = result.At(far).OneToOneRecall,
                };
            }),
        ];
        return scores.Length == 0 ? new PickingScore(0, 0)
            : new PickingScore(scores.Average(s => s.F1Near), scores.Average(s => s.F1Far))
            {
                NearByChance = scores.Average(s => s.NearByChance),
                FarByChance = scores.Average(s => s.FarByChance),
                Recall = scores.Average(s => s.Recall),
                Centers = found.Sum(f => f.Sum(v => v.Truth.Count)),
            };
    }

    // Every rank picks in its share of the parts, and gets what the others found.
    private Position[][] PickShared(CancellationToken cancellation)
    {
        RankShare mine = RankShare.Of(parts.Count, ranks.Rank, ranks.Count);
        List<Position[]> here = [];
        bool stopped = false;
        try
        {
            for (int i = mine.First; i < mine.First + mine.Count; i++)
                here.AddRange(PickIn(i, cancellation));
        }
        catch (OperationCanceledException) when (ranks.Count > 1)
        {
            stopped = true;
        }

        if (ranks.Any(stopped))
            throw new OperationCanceledException(cancellation);
        return ranks.Count == 1 ? [.. here]
            : [.. ranks.Gather(JsonSerializer.SerializeToUtf8Bytes(here.Select(p => p.SelectMany(q => (double[])[q.Z, q.Y,
                q.X]))))
                .SelectMany(json => JsonSerializer.Deserialize<double[][]>(json)!)
                .Select(all => all.Chunk(3).Select(q => new Position(q[0], q[1], q[2])).ToArray())];
    }

    private Position[][] PickIn(int index, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        Part part = parts[index];
        float[][] maps = pickers[0].PredictAll(part.Image(), part.Box.Size, cancellation);
        // A map that is not a number, or the same everywhere, has no picks.
        Position[][] picks = [.. maps.Select((map, c) => map.All(float.IsFinite) && map.Max() > map.Min()
            ? (Position[])[.. pickers[c].Cluster(map, part.Box.Size, cancellation).Select(p => p.Position)] : [])];
        for (int i = 0; i < slices.Length; i++)
        {
            if (slices[i].Part == index)
                slices[i] = slices[i].With(maps, part.Box.Size, [.. picks.SelectMany(p => p)]);
        }

        return picks;
    }

    // Of each part as many slices as its turn comes, each through the centre with the most others near, of
    // those in its share of the depth; not where they would show the same centres.
    private IEnumerable<ValidationSlice> ChooseSlices()
    {
        RankShare mine = RankShare.Of(parts.Count, ranks.Rank, ranks.Count);
        for (int i = 0; i < Math.Min(mine.Count, ValidationSlice.Most); i++)
        {
            Part part = parts[mine.First + i];
            int count = (ValidationSlice.Most - i + mine.Count - 1) / mine.Count;
            Position[] centers = [.. Enumerable.Range(0, training.ClassCount).SelectMany(c => part.CentersOf(c, training))
                .OrderBy(p => p.Z)];
            List<int> depths = [];
            for (int k = 0; k < count; k++)
            {
                Position[] share = centers[(centers.Length * k / count)..(centers.Length * (k + 1) / count)];
                if (share.Length == 0)
                    continue;
                int z = (int)Math.Round(share.MaxBy(p => centers.Count(q => ValidationSlice.IsNear(q.Z, p.Z))).Z);
                if (!depths.Exists(other => ValidationSlice.IsNear(other, z)))
                    depths.Add(z);
            }

            foreach (int z in depths)
                yield return ValidationSlice.Of(mine.First + i, part.Volume, part.Box, z, centers);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (TomogramPicker picker in pickers)
            picker.Dispose();
    }

    // Mirrored along some axes, by bits: z, y, x. They lie as deep inside the volume and as far from each
    // other as the centres.
    private static Position[] Mirrored(IReadOnlyList<Position> centers, Extent size, int axes) =>
    [
        .. centers.Select(p => new Position(
            (axes & 1) == 0 ? p.Z : size.Depth - 1 - p.Z, (axes & 2) == 0 ? p.Y : size.Height - 1 - p.Y, (axes & 4) == 0 ? p.X
                : size.Width - 1 - p.X)),
    ];

    private sealed record Part(TrainingVolume Volume, Box Box)
    {
        // The longest edge gives way first, so that a part of a flat volume is as thick as that.
        public static Part Of(TrainingVolume volume, double voxels, int divisor)
        {
            Extent size = volume.Size;
            while (size.Voxels > voxels && Math.Max(size.Depth, Math.Max(size.Height, size.Width)) > 4 * divisor)
            {
                size = size.Width >= Math.Max(size.Depth, size.Height) ? size with { Width = size.Width - 1 }
                    : size.Height >= size.Depth ? size with { Height = size.Height - 1 } : size with { Depth = size.Depth - 1 };
            }

            return new Part(volume, Diagnosis.AroundCentres(volume, size));
        }

        public float[] Image()
        {
            float[] image = new float[Box.Size.Voxels];
            Volume.Image.Read(Box, image);
            return image;
        }

        public Position[] CentersOf(int classIndex, TrainingOptions training)
        {
            Extent size = Box.Size;
            return
            [
                .. Enumerable.Range(0, Volume.Centers.Count)
                    .Where(i => training.Classes.Count == 0 || Volume.ClassOf(i) == classIndex)
                    .Select(i => Volume.Centers[i])
                    .Select(p => new Position(p.Z - Box.Origin.Z, p.Y - Box.Origin.Y, p.X - Box.Origin.X))
                    .Where(p => p.Z >= 0 && p.Y >= 0 && p.X >= 0 && p.Z <= size.Depth - 1 && p.Y <= size.Height - 1
                        && p.X <= size.Width - 1),
            ];
        }
    }
}
