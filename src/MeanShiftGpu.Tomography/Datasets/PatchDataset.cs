using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Datasets;

/// <summary>How a volume is cut into patches.</summary>
public sealed record PatchDatasetOptions
{
    /// <summary>
    /// Edges of the patches in voxels; also the steps of the grid, which starts at the first voxel and leaves
    /// incomplete patches out.
    /// </summary>
    public Extent Patch { get; init; } = new(56, 56, 56);

    /// <summary>Patches with fewer centres are left out.</summary>
    public int MinimumCenters { get; init; } = 1;

    /// <summary>
    /// Patches with fewer centres more than <see cref="MarginVoxels"/> inside are left out.
    /// </summary>
    public int MinimumCentersInside { get; init; }

    /// <summary>How far inside its patch a centre counts as inside.</summary>
    public double MarginVoxels { get; init; } = 4;

    /// <summary>Radius of the balls that are the mask where there is none.</summary>
    public double MaskRadiusVoxels { get; init; } = 4;

    /// <summary>
    /// Keep one centre of each patch, drawn at random, and its ball; patches without one more than
    /// <see cref="MarginVoxels"/> inside are left out. A training patch's is drawn among those, a validation
    /// patch's among all, as test patches have all. For training and validation only.
    /// </summary>
    public bool OneCenter { get; init; }

    /// <summary>Seed of the random choice.</summary>
    public int Seed { get; init; } = 1;
}

/// <summary>
/// Cuts a volume into patches on a grid, in scan order (x fastest, then y, then z), as the mean-shift loss
/// paper's data sets are: the image normalised over the whole volume, the centres in voxels of the patch, the
/// mask from a label volume or as balls.
/// </summary>
public static class PatchDataset
{
    /// <summary>Chooses the patches of a volume.</summary>
    /// <returns>The patches' first voxels, in scan order.</returns>
    public static IReadOnlyList<(int Z, int Y, int X)> Choose(
        Extent shape, IReadOnlyList<Particle> particles, PatchDatasetOptions options)
    {
        ArgumentNullException.ThrowIfNull(particles);
        ArgumentNullException.ThrowIfNull(options);
        Extent patch = options.Patch;
        List<(int, int, int)> origins = [];
        for (int z = 0; z + patch.Depth <= shape.Depth; z += patch.Depth)
        {
            for (int y = 0; y + patch.Height <= shape.Height; y += patch.Height)
            {
                for (int x = 0; x + patch.Width <= shape.Width; x += patch.Width)
                {
                    (int Z, int Y, int X) origin = (z, y, x);
                    if (particles.Count(p => IsIn(p, origin, patch, 0)) >= options.MinimumCenters
                        && particles.Count(p => IsIn(p, origin, patch, options.MarginVoxels)) >= options.MinimumCentersInside)
                    {
                        origins.Add(origin);
                    }
                }
            }
        }

        return origins;
    }

    /// <summary>Writes patches: NAME_0000.mrc, NAME_0000.csv and NAME_0000_mask.mrc.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="name">What the patches' names begin with.</param>
    /// <param name="volume">The tomogram; it stays as it is.</param>
    /// <param name="particles">All centres, in voxels of the volume.</param>
    /// <param name="isInside">Whether a voxel (z, y, x) of the volume belongs to a particle; null for balls
    /// around the centres.</param>
    /// <param name="origins">The patches' first voxels.</param>
    /// <param name="split">What each patch is used for.</param>
    /// <param name="options">Settings.</param>
    /// <exception cref="InputException">A file cannot be written.</exception>
    public static IReadOnlyList<DatasetVolume> Write(
        string folder,
        string name,
        Volume volume,
        IReadOnlyList<Particle> particles,
        Func<int, int, int, bool>? isInside,
        IReadOnlyList<(int Z, int Y, int X)> origins,
        Func<int, DatasetSplit> split,
        PatchDatasetOptions options)
    {
        ArgumentNullException.ThrowIfNull(volume);
        ArgumentNullException.ThrowIfNull(particles);
        ArgumentNullException.ThrowIfNull(origins);
        ArgumentNullException.ThrowIfNull(split);
        ArgumentNullException.ThrowIfNull(options);
        (double mean, double scale) = Normalisation(volume);
        Random random = new(options.Seed);
        List<DatasetVolume> entries = [];
        for (int i = 0; i < origins.Count; i++)
        {
            (int Z, int Y, int X) origin = origins[i];
            DatasetSplit use = split(i);
            Particle[] all = [.. particles.Where(p => IsIn(p, origin, options.Patch, 0))];
            Particle[] inside = [.. all.Where(p => IsIn(p, origin, options.Patch, options.MarginVoxels))];
            // Settings are chosen on validation patches for test patches, whose particles at the rim count.
            Particle[] candidates = use == DatasetSplit.Validation ? all : inside;
            // Drawn for every patch, so that a patch's choice does not depend on the others' use.
            int drawn = candidates.Length == 0 ? 0 : random.Next(candidates.Length);
            bool one = options.OneCenter && use != DatasetSplit.Test;
            if (one && inside.Length == 0)
                continue;
            IReadOnlyList<Particle> kept = one ? [candidates[drawn]] : all;
            string stem = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{name}_{i:0000}"));
            DatasetVolume entry = new()
            {
                Volume = $"{stem}.mrc",
                Coordinates = $"{stem}.csv",
                Mask = $"{stem}_mask.mrc",
                Normalize = false,
                Split = use,
            };
            using Volume image = new(options.Patch.Depth, options.Patch.Height, options.Patch.Width, volume.VoxelSize);
            using Volume mask = new(image.Size, volume.VoxelSize);
            IReadOnlyList<Particle> balls = one ? kept : particles;
            for (int z = 0; z < image.Depth; z++)
            {
                for (int y = 0; y < image.Height; y++)
                {
                    Span<float> values = image.Row(z, y);
                    ReadOnlySpan<float> source = volume.Row(origin.Z + z, origin.Y + y).Slice(origin.X, image.Width);
                    for (int x = 0; x < values.Length; x++)
                        values[x] = (float)((source[x] - mean) * scale);
                    if (isInside is null || one)
                        continue;
                    Span<float> labels = mask.Row(z, y);
                    for (int x = 0; x < labels.Length; x++)
                        labels[x] = isInside(origin.Z + z, origin.Y + y, origin.X + x) ? 1 : 0;
                }
            }

            if (isInside is null || one)
                DrawBalls(mask, origin, balls, options.MaskRadiusVoxels);
            MrcFile.Write(entry.Volume, image);
            MrcFile.Write(entry.Mask, mask, new MrcWriteOptions { Mode = MrcMode.Int8 });
            CoordinateTables.Write(
                entry.Coordinates, [.. kept.Select(p => new Particle(p.Z - origin.Z, p.Y - origin.Y, p.X - origin.X)
            {
                Name = p.Name,
            })]);
            entries.Add(entry);
        }

        return entries;
    }

    // A centre belongs to the voxel that it lies in, so to one patch; the margin counts from the centres of
    // the outermost voxels.
    private static bool IsIn(Particle p, (int Z, int Y, int X) origin, Extent patch, double margin)
    {
        bool Along(double position, int start, int length) => margin > 0
            ? position - start > margin && start + length - 1 - position > margin
            : position >= start - 0.5 && position < start + length - 0.5;
        return Along(p.Z, origin.Z, patch.Depth) && Along(p.Y, origin.Y, patch.Height) && Along(p.X, origin.X, patch.Width);
    }

    private static void DrawBalls(Volume mask, (int Z, int Y, int X) origin, IReadOnlyList<Particle> particles, double radius)
    {
        foreach (Particle p in particles)
        {
            (double z, double y, double x) = (p.Z - origin.Z, p.Y - origin.Y, p.X - origin.X);
            for (int k = Math.Max(0, (int)Math.Ceiling(z - radius)); k <= Math.Min(mask.Depth - 1, Math.Floor(z + radius)); k++)
            {
                for (int j =
                    Math.Max(0, (int)Math.Ceiling(y - radius)); j <= Math.Min(mask.Height - 1, Math.Floor(y + radius)); j++)
                {
                    for (int i =
                        Math.Max(0, (int)Math.Ceiling(x - radius)); i <= Math.Min(mask.Width - 1, Math.Floor(x + radius)); i++)
                    {
                        if (((k - z) * (k - z)) + ((j - y) * (j - y)) + ((i - x) * (i - x)) <= radius * radius)
                            mask[k, j, i] = 1;
                    }
                }
            }
        }
    }

    private static (double Mean, double Scale) Normalisation(Volume volume)
    {
        double sum = 0, squares = 0;
        for (int z = 0; z < volume.Depth; z++)
        {
            foreach (float value in volume.Slice(z))
                sum += value;
        }

        double mean = sum / volume.Length;
        for (int z = 0; z < volume.Depth; z++)
        {
            foreach (float value in volume.Slice(z))
                squares += (value - mean) * (value - mean);
        }

        double deviation = Math.Sqrt(squares / volume.Length);
        return (mean, deviation > 0 ? 1 / deviation : 0);
    }
}
