using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Training;

/// <summary>Patches on the host, in buffers that are used again for every step.</summary>
public sealed class PatchBatch
{
    private readonly TrainingOptions options;
    private readonly List<Position>[][] centers;

    // What was last read: the part of a patch that lies in its volume.
    private readonly float[] window;

    /// <summary>Allocates the buffers.</summary>
    /// <param name="size">N, patches.</param>
    /// <param name="options">Extents of a patch, classes, and whether the loss needs masks.</param>
    public PatchBatch(int size, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        this.options = options;
        Voxels = checked((int)options.Patch.Voxels);
        window = new float[Voxels];
        Images = new float[(long)size * Voxels];
        Masks = options.NeedsMasks ? [.. Enumerable.Range(0, options.ClassCount).Select(_ => new float[(long)size * Voxels])]
            : null;
        Labelled = HasLabels(options) ? new float[(long)size * Voxels] : null;
        centers =
            [.. Enumerable.Range(0, options.ClassCount).Select(
                _ => Enumerable.Range(0, size).Select(_ => new List<Position>()).ToArray())];
        Size = size;
    }

    /// <summary>N, patches.</summary>
    public int Size { get; }

    /// <summary>Extents of a patch.</summary>
    public Extent Patch => options.Patch;

    /// <summary>Voxels of a patch.</summary>
    public int Voxels { get; }

    /// <summary>[N, D, H, W].</summary>
    public float[] Images { get; }

    /// <summary>
    /// For each class [N, D, H, W]: 1 inside particles, 0 outside and where nothing is labelled; null where
    /// no loss needs masks.
    /// </summary>
    public IReadOnlyList<float[]>? Masks { get; }

    /// <summary>
    /// [N, D, H, W], 1 where a voxel's label is known and 0 where it is not; null where all are known and
    /// there is one class.
    /// </summary>
    public float[]? Labelled { get; }

    /// <summary>How many classes there are.</summary>
    internal int Classes => centers.Length;

    /// <summary>The centres of a class in each patch that count, in voxels of the patch.</summary>
    public IReadOnlyList<IReadOnlyList<Position>> Centers(int classIndex) => centers[classIndex];

    /// <summary>
    /// Fills one patch from a volume; what lies outside the volume is 0, the mean of the image.
    /// </summary>
    /// <param name="item">Which patch.</param>
    /// <param name="volume">The volume.</param>
    /// <param name="origin">The patch's first voxel in the volume.</param>
    /// <param name="axes">How the patch is turned.</param>
    public void Fill(int item, TrainingVolume volume, (int Z, int Y, int X) origin, PatchOrientation axes)
    {
        ArgumentNullException.ThrowIfNull(volume);
        Box inside = Read(volume.Image, origin);
        Place(inside, origin, axes, Of(Images, item));

        // Centres outside the patch matter too: their balls reach into it.
        List<(Position Center, int Class)> all = [];
        foreach (List<Position>[] ofClass in centers)
            ofClass[item].Clear();
        foreach ((Position local, int classIndex, bool counts) in CentersOf(volume, origin, axes, options))
        {
            all.Add((local, classIndex));
            if (counts)
                centers[classIndex][item].Add(local);
        }

        if (Masks is not null)
            FillMasks(item, volume, origin, axes, all, [.. volume.Background.Select(b => (Local(b, origin, axes, Patch), 0))]);
    }

    /// <summary>Whether patches say which of their voxels are labelled.</summary>
    internal static bool HasLabels(TrainingOptions options)
        => options.NeedsMasks && (options.LabelRadiusVoxels > 0 || options.ClassCount > 1);

    /// <summary>One patch of a buffer: [D, H, W].</summary>
    internal Span<float> Of(float[] buffer, int item) => buffer.AsSpan(item * Voxels, Voxels);

    /// <summary>
    /// The centres of a volume in voxels of a patch, and whether they lie clear of its margin and so count.
    /// </summary>
    internal static IEnumerable<(Position Center, int Class, bool Counts)> CentersOf(
        TrainingVolume volume, (int Z, int Y, int X) origin, PatchOrientation axes, TrainingOptions options)
    {
        (Extent patch, double margin) = (options.Patch, options.CenterMarginVoxels);
        for (int i = 0; i < volume.Centers.Count; i++)
        {
            Position local = Local(volume.Centers[i], origin, axes, patch);
            bool counts = IsInside(local.Z, patch.Depth, margin) && IsInside(local.Y, patch.Height, margin)
                && IsInside(local.X, patch.Width, margin);
            yield return (local, volume.ClassOf(i), counts);
        }
    }

    private static Position Local(Position place, (int Z, int Y, int X) origin, PatchOrientation axes, Extent patch)
        => axes.Apply(new Position(place.Z - origin.Z, place.Y - origin.Y, place.X - origin.X), patch);

    private static bool IsInside(double position, int extent, double margin)
        => position >= margin && position <= extent - 1 - margin;

    private void FillMasks(int item, TrainingVolume volume, (int Z, int Y, int X) origin, PatchOrientation axes,
        List<(Position Center, int Class)> all,
        IReadOnlyList<(Position Center, int Class)> background)
    {
        Box inside = volume.Mask is null ? default : Read(volume.Mask, origin);
        for (int c = 0; c < Masks!.Count; c++)
        {
            Span<float> mask = Of(Masks[c], item);
            int label = c + 1;
            if (volume.Mask is null)
            {
                DrawBalls(mask, all.Where(p => p.Class == label - 1), options.MaskRadiusOf(c));
                continue;
            }

            Place(inside, origin, axes, mask);
            foreach (ref float value in mask)
                value = value == label ? 1 : 0;
        }

        if (Labelled is null)
            return;
        Span<float> labelled = Of(Labelled, item);
        if (options.LabelRadiusVoxels == 0)
        {
            labelled.Fill(1);
            return;
        }

        // Known background is labelled as the surroundings of a centre are: what is no particle there counts
        // as such.
        DrawBalls(labelled, all.Concat(background), options.LabelRadiusVoxels);
        foreach (float[] masks in Masks)
        {
            Span<float> mask = Of(masks, item);
            for (int i = 0; i < mask.Length; i++)
                mask[i] *= labelled[i];
        }
    }

    // Reads what there is of a patch into the window.
    private Box Read(IVoxelSource source, (int Z, int Y, int X) origin)
    {
        Box inside = new Box(origin, Patch).ClippedTo(source.Size);
        source.Read(inside, window);
        return inside;
    }

    // Turns the patch in the window; outside the volume it is 0. A row of the volume is one of the patch,
    // too, forwards, backwards or across.
    private void Place(Box inside, (int Z, int Y, int X) origin, PatchOrientation axes, Span<float> target)
    {
        (int firstZ, int firstY, int firstX) = (
            inside.Origin.Z - origin.Z, inside.Origin.Y - origin.Y, inside.Origin.X - origin.X);
        (int depth, int height, int width) = inside.Size;
        if (inside.Size != Patch)
            target.Clear();
        if (width == 0)
            return;
        int step = At(0, 0, 1) - At(0, 0, 0);
        for (int z = 0; z < depth; z++)
        {
            for (int y = 0; y < height; y++)
            {
                ReadOnlySpan<float> row = window.AsSpan((z * height + y) * width, width);
                int at = At(firstZ + z, firstY + y, firstX);
                if (step == 1)
                {
                    row.CopyTo(target[at..]);
                    continue;
                }

                foreach (float value in row)
                {
                    target[at] = value;
                    at += step;
                }
            }
        }

        int At(int z, int y, int x)
        {
            (int tz, int ty, int tx) = axes.Apply(z, y, x, Patch);
            return (tz * Patch.Height + ty) * Patch.Width + tx;
        }
    }

    private void DrawBalls(Span<float> target, IEnumerable<(Position Center, int Class)> places, double radius)
    {
        (int depth, int height, int width) = Patch;
        target.Clear();
        foreach ((Position c, _) in places)
        {
            for (int z =
                Math.Max(0, (int)Math.Ceiling(c.Z - radius)); z <= Math.Min(depth - 1, (int)Math.Floor(c.Z + radius)); z++)
            {
                for (int y =
                    Math.Max(0, (int)Math.Ceiling(c.Y - radius)); y <= Math.Min(height - 1, (int)Math.Floor(c.Y + radius)); y++)
                {
                    for (int x = Math.Max(0, (int)Math.Ceiling(c.X - radius)); x <= Math
                        .Min(width - 1, (int)Math.Floor(c.X + radius)); x++)
                    {
                        if (c.SquaredDistanceTo(new Position(z, y, x)) <= radius * radius)
                            target[(z * height + y) * width + x] = 1;
                    }
                }
            }
        }
    }
}
