using MeanShiftGpu.Kernels;

namespace MeanShiftGpu.Training;

/// <summary>
/// Chooses the patches of each step. What it chooses is a function of the seed, the step and the item alone, so that a run
/// that was interrupted goes on with the same patches.
/// </summary>
public sealed class PatchSampler
{
    private readonly TrainingOptions options;
    private readonly IReadOnlyList<TrainingVolume> volumes;
    private int[] order = [];
    private long orderEpoch = -1;

    /// <summary>Prepares sampling.</summary>
    /// <exception cref="InputException">No volume has a centre that can count where one is needed.</exception>
    public PatchSampler(IReadOnlyList<TrainingVolume> volumes, TrainingOptions options)
    {
        if (volumes.Count == 0)
            throw new InputException("training: the data set has no training volume.");
        if (options.MeanShiftWeight > 0 && volumes.All(v => v.Centers.Count == 0))
            throw new InputException($"training: none of the {volumes.Count} training volumes has a centre; the mean-shift loss needs some. Check the coordinate files of the manifest.");
        this.options = options;
        if (options.MeanShiftWeight > 0 && !volumes.Any(v => v.Centers.Any(c => CanCount(v, c))))
            throw new InputException($"training: none of the centres can lie {options.CenterMarginVoxels} voxels inside a patch of {options.Patch}, so the mean-shift loss would never see one. Use larger patches or a smaller center margin.");
        // A volume without centres teaches the mean-shift loss nothing; Dice can use it.
        this.volumes = options.DiceWeight + options.CrossEntropyWeight > 0 ? volumes : [.. volumes.Where(v => v.Centers.Count > 0)];
    }

    /// <summary>Fills a batch for a step.</summary>
    public void Fill(PatchBatch batch, int step)
    {
        for (int item = 0; item < options.BatchSize; item++)
        {
            long index = (long)step * options.BatchSize + item;
            TrainingVolume volume = volumes[Order(index / volumes.Count)[index % volumes.Count]];
            PhiloxBlock where = Draw(index, 0);
            PhiloxBlock how = Draw(index, 1);
            bool flips = options.Augmentation != Augmentation.None;
            PatchOrientation orientation = flips
                ? new((how.X & 1) != 0, (how.X & 2) != 0, (how.X & 4) != 0, options.Augmentation == Augmentation.FlipsAndSwaps ? (int)(how.Y % 6) : 0)
                : PatchOrientation.Identity;
            batch.Fill(item, volume, Origin(volume, where), orientation, options.CenterMarginVoxels, options.MaskRadiusVoxels);
        }
    }

    // A patch is placed so that a random centre lies somewhere inside it, clear of the margin, as far as the volume allows.
    private (int Z, int Y, int X) Origin(TrainingVolume volume, PhiloxBlock random)
    {
        Position? center = volume.Centers.Count == 0 ? null : volume.Centers[(int)(random.W % (uint)volume.Centers.Count)];
        return (
            Along(volume.Depth, options.Patch.Depth, center?.Z, random.X),
            Along(volume.Height, options.Patch.Height, center?.Y, random.Y),
            Along(volume.Width, options.Patch.Width, center?.X, random.Z));
    }

    private int Along(int extent, int patch, float? center, uint random)
    {
        if (extent <= patch)
            return 0;
        if (center is null)
            return (int)(random % (uint)(extent - patch + 1));
        int margin = (int)Math.Min(Math.Ceiling(options.CenterMarginVoxels), (patch - 1) / 2);
        int room = patch - 2 * margin;
        int origin = (int)MathF.Round(center.Value) - margin - (int)(random % (uint)room);
        return Math.Clamp(origin, 0, extent - patch);
    }

    // Whether some place of the patch has the centre clear of the margin.
    private bool CanCount(TrainingVolume volume, Position center)
    {
        return Fits(volume.Depth, options.Patch.Depth, center.Z) && Fits(volume.Height, options.Patch.Height, center.Y) && Fits(volume.Width, options.Patch.Width, center.X);

        bool Fits(int extent, int patch, float at)
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
        if (epoch == orderEpoch)
            return order;
        order = [.. Enumerable.Range(0, volumes.Count)];
        for (int i = order.Length - 1; i > 0; i--)
        {
            int j = (int)(Philox.Block((uint)epoch, (uint)(epoch >> 32), (uint)i, 0x6f726465, (ulong)options.Seed).X % (uint)(i + 1));
            (order[i], order[j]) = (order[j], order[i]);
        }

        orderEpoch = epoch;
        return order;
    }
}
