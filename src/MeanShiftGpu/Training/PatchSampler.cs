using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Training;

/// <summary>
/// Chooses the patches of each step. What it chooses is a function of the seed, the step and the item alone,
/// so that a run that was interrupted goes on with the same patches.
/// </summary>
public sealed class PatchSampler
{
    // One patch in so many shows known background; the others show it where it lies near a centre.
    private const int PatchesOfBackground = 4;

    private readonly TrainingOptions options;
    private readonly IReadOnlyList<TrainingVolume> volumes;
    private readonly Dictionary<TrainingVolume, int[][]> centersOf = new(ReferenceEqualityComparer.Instance);
    // The next step's patches are chosen while this one's are counted.
    private readonly Lock gate = new();
    private int[] order = [];
    private long orderEpoch = -1;

    /// <summary>Prepares sampling.</summary>
    /// <exception cref="InputException">No volume has a centre that can count where one is
    /// needed.</exception>
    public PatchSampler(IReadOnlyList<TrainingVolume> volumes, TrainingOptions options)
    {
        if (volumes.Count == 0)
            throw new InputException("training: the data set has no training volume.");
        if (options.MeanShiftWeight > 0 && volumes.All(v => v.Centers.Count == 0))
            throw new InputException($"training: no centre in {Counted.Of(volumes.Count, "training volume")}; the mean-shift "
                + "loss needs some. Check the coordinate files of the manifest.");
        this.options = options;
        if (options.MeanShiftWeight > 0 && !volumes.Any(v => v.Centers.Any(c => CanCount(v, c))))
            throw new InputException($"training: none of the centres can lie {options.CenterMarginVoxels} voxels inside a "
                + $"patch of {options.Patch}, so the mean-shift loss would never see one. Are the voxel size and the particle's "
                + "diameter right? Else use larger patches or a smaller centre margin.");
        // A volume without centres teaches the mean-shift loss nothing; Dice can use it.
        this.volumes = options.NeedsMasks ? volumes : [.. volumes.Where(v => v.Centers.Count > 0)];
        foreach (TrainingVolume volume in this.volumes)
        {
            centersOf[volume] =
                [.. Enumerable.Range(0, options.ClassCount).Select(
                    c => Enumerable.Range(0, volume.Centers.Count).Where(i => volume.ClassOf(i) == c).ToArray())];
        }
    }

    /// <summary>Fills a batch for a step.</summary>
    /// <param name="batch">All patches of the step, or some that follow each other.</param>
    /// <param name="step">The step, from 0.</param>
    /// <param name="firstItem">Which of the step's patches is the batch's first.</param>
    public void Fill(PatchBatch batch, int step, int firstItem = 0)
    {
        ArgumentNullException.ThrowIfNull(batch);
        for (int item = 0; item < batch.Size; item++)
        {
            long index = (long)step * options.BatchSize + firstItem + item;
            (TrainingVolume volume, (int, int, int) origin, PatchOrientation axes) = Place(index);
            batch.Fill(item, volume, origin, axes);
            IntensityAugmentation.Apply(batch.Of(batch.Images, item), options, stream => Draw(index, stream));
        }
    }

    /// <summary>
    /// In how many patches of a step each class has centres that count; no voxel is read for it.
    /// </summary>
    /// <param name="step">The step, from 0.</param>
    internal int[] PatchesWithCenters(int step)
    {
        int[] patches = new int[options.ClassCount];
        for (int item = 0; item < options.BatchSize; item++)
        {
            (TrainingVolume volume, (int, int, int) origin, PatchOrientation axes) = Place((long)step * options.BatchSize + item);
            foreach (int classIndex in PatchBatch.CentersOf(volume, origin, axes, options).Where(c => c.Counts).Select(c
                => c.Class).Distinct())
                patches[classIndex]++;
        }

        return patches;
    }

    /// <summary>For each class the most centres that so many patches can have together, wherever they
    /// lie.</summary>
    /// <param name="patches">How many patches.</param>
    internal int[] MostCenters(int patches)
    {
        (int depth, int height, int width) = options.Patch;
        int[] most = new int[options.ClassCount];
        foreach (TrainingVolume volume in volumes)
        {
            // A patch meets two cells of its own size along each axis.
            Dictionary<(int Class, int Z, int Y, int X), int> cells = [];
            for (int i = 0; i < volume.Centers.Count; i++)
            {
                Position at = volume.Centers[i];
                (int, int, int, int) cell = (volume.ClassOf(i), (int)Math.Floor(at.Z / depth), (int)Math.Floor(at.Y / height),
                    (int)Math.Floor(at.X / width));
                cells[cell] = cells.GetValueOrDefault(cell) + 1;
            }

            foreach ((int Class, int Z, int Y, int X) cell in cells.Keys)
            {
                // The cell is one of eight that a patch meets; which of them, is any.
                for (int corner = 0; corner < 8; corner++)
                {
                    int sum = 0;
                    for (int k = 0; k < 8; k++)
                    {
                        sum += cells.GetValueOrDefault((cell.Class, cell.Z - (corner >> 2) + (k >> 2),
                            cell.Y - (corner >> 1 & 1) + (k >> 1 & 1), cell.X - (corner & 1) + (k & 1)));
                    }

                    most[cell.Class] = Math.Max(most[cell.Class], sum);
                }
            }
        }

        return [.. most.Select(count => patches * count)];
    }

    private (TrainingVolume Volume, (int Z, int Y, int X) Origin, PatchOrientation Axes) Place(long index)
    {
        TrainingVolume volume = volumes[Order(index / volumes.Count)[index % volumes.Count]];
        PhiloxBlock where = Draw(index, 0);
        PhiloxBlock how = Draw(index, 1);
        // Classes in turn at random, so that a rare one is seen as often as the others.
        int wanted = (int)(how.Z % (uint)options.ClassCount);
        bool background = options.UsesBackground && volume.Background.Count > 0 && how.W % PatchesOfBackground == 0;
        (int Z, int Y, int X) origin = background
            ? Around(volume, volume.Background[(int)(where.W % (uint)volume.Background.Count)], where)
            : Origin(volume, wanted, where);
        return (volume, origin, Orientation(options.Augmentation, how));
    }

    /// <summary>How a patch is turned.</summary>
    internal static PatchOrientation Orientation(Augmentation augmentation, PhiloxBlock random)
    {
        (bool z, bool y, bool x) = ((random.X & 1) != 0, (random.X & 2) != 0, (random.X & 4) != 0);
        return augmentation switch
        {
            Augmentation.None => PatchOrientation.Identity,
            // Two mirror images make a half turn.
            Augmentation.HalfTurns => new(z, y, z ^ y, 0),
            Augmentation.Flips => new(z, y, x, 0),
            Augmentation.FlipsAndSwaps => new(z, y, x, (int)(random.Y % 6)),
            _ => throw UnknownValue.Of(augmentation),
        };
    }

    // A patch is placed so that a random centre of a class lies somewhere inside it, clear of the margin, as
    // far as the volume allows.
    private (int Z, int Y, int X) Origin(TrainingVolume volume, int classIndex, PhiloxBlock random)
    {
        int[] candidates = centersOf[volume][classIndex];
        Position? center = volume.Centers.Count == 0
            ? null
            : volume.Centers[candidates.Length == 0 ? (int)(random.W % (uint)volume.Centers.Count)
                : candidates[(int)(random.W % (uint)candidates.Length)]];
        return Around(volume, center, random);
    }

    private (int Z, int Y, int X) Around(TrainingVolume volume, Position? center, PhiloxBlock random)
        => (
            Along(volume.Size.Depth, options.Patch.Depth, center?.Z, random.X),
            Along(volume.Size.Height, options.Patch.Height, center?.Y, random.Y),
            Along(volume.Size.Width, options.Patch.Width, center?.X, random.Z));

    private int Along(int extent, int patch, double? center, uint random)
    {
        if (extent <= patch)
            return 0;
        if (center is null)
            return (int)(random % (uint)(extent - patch + 1));
        // The places that CanCount counts, as if the volume had no end.
        double margin = Math.Min(options.CenterMarginVoxels, (patch - 1) / 2);
        int first = (int)Math.Ceiling(center.Value - (patch - 1 - margin));
        int last = (int)Math.Floor(center.Value - margin);
        int origin = last - (int)(random % (uint)Math.Max(1, last - first + 1));
        return Math.Clamp(origin, 0, extent - patch);
    }

    // Whether some place of the patch has the centre clear of the margin.
    private bool CanCount(TrainingVolume volume, Position center)
    {
        return Fits(volume.Size.Depth, options.Patch.Depth, center.Z) && Fits(volume.Size.Height, options.Patch.Height, center.Y)
            && Fits(volume.Size.Width, options.Patch.Width, center.X);

        bool Fits(int extent, int patch, double at)
        {
            double first = Math.Max(0, Math.Ceiling(at - (patch - 1 - options.CenterMarginVoxels)));
            double last = Math.Min(Math.Max(0, extent - patch), Math.Floor(at - options.CenterMarginVoxels));
            return first <= last;
        }
    }

    private PhiloxBlock Draw(long index, uint stream)
        => Philox.Block((uint)index, (uint)(index >> 32), stream, 0x70617463, (ulong)options.Seed);

    // Every volume once per epoch, in an order of its own (Fisher–Yates).
    private int[] Order(long epoch)
    {
        lock (gate)
        {
            if (epoch == orderEpoch)
                return order;
            int[] drawn = [.. Enumerable.Range(0, volumes.Count)];
            for (int i = drawn.Length - 1; i > 0; i--)
            {
                int j = (int)(Philox.Block((uint)epoch, (uint)(epoch >> 32), (uint)i, 0x6f726465, (ulong)options.Seed).X % (
                    uint)(i + 1));
                (drawn[i], drawn[j]) = (drawn[j], drawn[i]);
            }

            (order, orderEpoch) = (drawn, epoch);
            return order;
        }
    }
}
