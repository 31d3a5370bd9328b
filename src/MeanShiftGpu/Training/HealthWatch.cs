using MeanShiftGpu.Geometry;
using MeanShiftGpu.Training.Ranks;

namespace MeanShiftGpu.Training;

/// <summary>
/// Looks at the score maps of a training's patches, those of other ranks too, and judges every window of
/// steps.
/// </summary>
/// <param name="options">The settings.</param>
/// <param name="ranks">With whom the patches are shared.</param>
internal sealed class HealthWatch(TrainingOptions options, IRanks ranks)
{
    // For each patch of a step and each class the sums of MapHealth.
    private readonly double[] seen = new double[options.BatchSize * options.ClassCount * MapHealth.Sums];

    /// <summary>What was seen since the last window ended.</summary>
    public List<TrainingHealth> Measures { get; } = [];

    /// <summary>The windows that were judged.</summary>
    public List<TrainingHealth> Windows { get; } = [];

    /// <summary>Forgets what was seen in the step before.</summary>
    public void Begin() => Array.Clear(seen);

    /// <summary>Looks at the maps that a slot has brought to the host.</summary>
    public void Look(StepSlot slot, int firstPatch)
    {
        Begin();
        float[] scores = new float[(long)slot.Patches.Size * slot.Patches.Voxels];
        for (int c = 0; c < options.ClassCount; c++)
        {
            (long, long) counted = (0, 0);
            if (options.MeanShiftWeight > 0)
            {
                slot.ReadEnds(c, out ReadOnlySpan<float> positions, out ReadOnlySpan<int> nearest);
                counted = CountStuck(positions, nearest, slot.Patches.Centers(c), c);
            }

            for (int i = 0; i < scores.Length; i++)
                scores[i] = slot.Scores[i * options.ClassCount + c];
            Look(slot.Patches, scores, c, firstPatch, counted);
        }
    }

    /// <summary>Looks at the maps of a class.</summary>
    /// <param name="patches">The patches.</param>
    /// <param name="scores">[N, D, H, W].</param>
    /// <param name="classIndex">The class.</param>
    /// <param name="firstPatch">The first of the step's patches that are here.</param>
    /// <param name="counted">Of <see cref="CountStuck"/>.</param>
    public void Look(PatchBatch patches, float[] scores, int classIndex, int firstPatch, (long Stuck, long Seeds) counted)
    {
        IReadOnlyList<IReadOnlyList<Position>> centers = patches.Centers(classIndex);
        // Without a mean shift nothing asks for a peak at the centre, which of a hollow particle is
        // background.
        double radius = options.MeanShiftWeight > 0 ? 0 : options.MeanShiftOf(classIndex).BandwidthVoxels;
        for (int item = 0; item < patches.Size; item++)
        {
            // The seeds are counted once, with the first patch.
            MapHealth.Measure(patches.Of(scores, item), options.Patch, centers[item], radius, item == 0 ? counted.Stuck : 0,
                item == 0 ? counted.Seeds : 0, SeenOf(firstPatch + item, classIndex));
        }
    }

    /// <summary>Takes down what was seen in a step, of the classes that have centres in it.</summary>
    public void Measure()
    {
        ranks.Complete<double>(seen);
        double[] sums = new double[MapHealth.Sums];
        for (int c = 0; c < options.ClassCount; c++)
        {
            Array.Clear(sums);
            for (int patch = 0; patch < options.BatchSize; patch++)
            {
                Span<double> one = SeenOf(patch, c);
                for (int i = 0; i < sums.Length; i++)
                    sums[i] += one[i];
            }

            if (MapHealth.Of(c, sums) is { } measure)
                Measures.Add(measure);
        }
    }

    /// <summary>Judges the window that ends now.</summary>
    /// <param name="step">Steps taken.</param>
    /// <param name="since">After how many of them the run last went back; 0 for never.</param>
    /// <returns>Whether the maps are healthy, those of no class ill; and why the run must go back, null where
    /// it need not.</returns>
    public (bool IsHealthy, string? Reason) Judge(int step, int since)
    {
        foreach (IGrouping<int, TrainingHealth> ofClass in Measures.GroupBy(m => m.Class).OrderBy(g => g.Key).ToArray())
        {
            TrainingHealth mean = TrainingHealth.Mean(step, ofClass.Key, [.. ofClass]);
            bool wasHealthy = Windows.Exists(h => h.Class == ofClass.Key && h.Verdict == HealthVerdict.Healthy);
            Windows.Add(mean with { Verdict = TrainingDiagnosis.Judge(mean, wasHealthy) });
        }

        Measures.Clear();
        TrainingHealth[] now = [.. Windows.Where(h => h.Step == step)];
        bool isHealthy = now.Any(h => h.Verdict == HealthVerdict.Healthy) && now.All(h => h.Verdict != HealthVerdict.Ill);
        foreach (TrainingHealth ill in now.Where(h => h.Verdict == HealthVerdict.Ill))
        {
            TrainingHealth[] latest = [.. Windows.Where(h => h.Class == ill.Class && h.Step > since)
                .TakeLast(TrainingDiagnosis.Patience)];
            if (latest.Length < TrainingDiagnosis.Patience || latest.Any(h => h.Verdict != HealthVerdict.Ill))
                continue;
            string of = options.Classes.Count == 0 ? "" : $" of class '{options.Classes[ill.Class].Name}'";
            return (isHealthy, $"{TrainingDiagnosis.Describe(ill, of)} at step {step}");
        }

        return (isHealthy, null);
    }

    /// <summary>Counts the seeds of a class that end further than the bandwidth from every centre of their
    /// item, and all.</summary>
    public (long Stuck, long Seeds) CountStuck(
        ReadOnlySpan<float> positions, ReadOnlySpan<int> nearest, IReadOnlyList<IReadOnlyList<Position>> centers, int classIndex)
    {
        double bandwidth = options.MeanShiftOf(classIndex).BandwidthVoxels;
        Position[] all = [.. centers.SelectMany(item => item)];
        (long stuck, long seeds) = (0, 0);
        for (int i = 0; i < nearest.Length && all.Length > 0; i++)
        {
            // Seeds of an item without centres have none to go to.
            if (nearest[i] < 0)
                continue;
            seeds++;
            Position end = new(positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]);
            if (end.DistanceTo(all[nearest[i]]) > bandwidth)
                stuck++;
        }

        return (stuck, seeds);
    }

    private Span<double> SeenOf(int patch, int classIndex)
        => seen.AsSpan((patch * options.ClassCount + classIndex) * MapHealth.Sums, MapHealth.Sums);
}
