using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>One simulated volume with its truth.</summary>
/// <param name="Depth">D, voxels along z.</param>
/// <param name="Height">H, voxels along y.</param>
/// <param name="Width">W, voxels along x.</param>
/// <param name="Image">Mask plus noise, [D, H, W].</param>
/// <param name="Mask">1 inside a particle, 0 outside, [D, H, W].</param>
/// <param name="Centers">Centres of the particles, on voxels.</param>
public sealed record SandclockVolume(
    int Depth, int Height, int Width, float[] Image, float[] Mask, IReadOnlyList<Position> Centers);

/// <summary>
/// Simulates volumes of the Sandclock data set of the mean-shift loss paper (see
/// <see cref="SandclockOptions"/>).
/// </summary>
public static class Sandclock
{
    // Centres are drawn one after the other and rejected where they are too near. In a volume that has room,
    // a few tries do; an unlucky beginning can leave no room for the last one, therefore the whole draw is
    // repeated.
    private const int TriesPerCenter = 2000;
    private const int TriesPerVolume = 20;

    /// <summary>
    /// Simulates one volume. The same options (with their seed) and index give the same volume, alone or in
    /// any order; the noise uses the platform's logarithm, sine and cosine, and so may differ in a last bit
    /// between platforms.
    /// </summary>
    /// <param name="options">Extents, particles, noise and the seed of the data set.</param>
    /// <param name="index">The volume's number in the data set, 0 or more.</param>
    /// <exception cref="InputException">An option is out of range, or so many particles do not
    /// fit.</exception>
    public static SandclockVolume Create(SandclockOptions options, int index)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        options.Validate();

        SplitMix64 shape = new(options.Seed, index, stream: 0);
        List<(int Z, int Y, int X)> centers = DrawCenters(options, shape);
        (int Z, int Y, int X)[] lobes = LobeVectors(options);
        float[] mask = new float[options.Depth * options.Height * options.Width];
        foreach ((int z, int y, int x) in centers)
        {
            (int vz, int vy, int vx) = lobes[shape.NextInt(lobes.Length)];
            FillBall(mask, options, z + vz, y + vy, x + vx, options.FirstRadiusVoxels);
            FillBall(mask, options, z - vz, y - vy, x - vx, options.SecondRadiusVoxels);
        }

        // A stream of its own: another noise SD changes the noise and nothing else.
        SplitMix64 noise = new(options.Seed, index, stream: 1);
        float[] image = new float[mask.Length];
        for (int i = 0; i < image.Length; i++)
            image[i] = (float)(mask[i] + options.NoiseDeviation * noise.NextNormal());

        Position[] positions = [.. centers.Select(c => new Position(c.Z, c.Y, c.X))];
        return new SandclockVolume(options.Depth, options.Height, options.Width, image, mask, positions);
    }

    /// <summary>The integer vectors v with |‖v‖ − LobeDistance| &lt; LobeTolerance, in scan order.</summary>
    internal static (int Z, int Y, int X)[] LobeVectors(SandclockOptions options)
    {
        int reach = (int)Math.Ceiling(options.LobeDistanceVoxels + options.LobeToleranceVoxels);
        List<(int Z, int Y, int X)> vectors = [];
        for (int z = -reach; z <= reach; z++)
        {
            for (int y = -reach; y <= reach; y++)
            {
                for (int x = -reach; x <= reach; x++)
                {
                    if (Math.Abs(Math.Sqrt(z * z + y * y + x * x) - options.LobeDistanceVoxels) < options.LobeToleranceVoxels)
                        vectors.Add((z, y, x));
                }
            }
        }

        if (vectors.Count == 0)
        {
            throw new InputException(
                $"sandclock: no integer vector has a length within {options.LobeToleranceVoxels} of "
                + $"{options.LobeDistanceVoxels}; raise the tolerance.");
        }

        return [.. vectors];
    }

    private static List<(int Z, int Y, int X)> DrawCenters(SandclockOptions options, SplitMix64 random)
    {
        int count = options.MinimumParticles + random.NextInt(options.MaximumParticles - options.MinimumParticles + 1);
        int most = 0;
        for (int attempt = 0; attempt < TriesPerVolume; attempt++)
        {
            List<(int Z, int Y, int X)> centers = [];
            for (int tries = 0; centers.Count < count && tries < TriesPerCenter; tries++)
            {
                (int Z, int Y, int X) center = (
                    Draw(random, options.Depth, options.BorderVoxels),
                    Draw(random, options.Height, options.BorderVoxels),
                    Draw(random, options.Width, options.BorderVoxels));
                if (!centers.TrueForAll(
                    other => SquaredDistance(center, other) > (
                        double)options.MinimumDistanceVoxels * options.MinimumDistanceVoxels))
                    continue;
                centers.Add(center);
                tries = 0;
            }

            if (centers.Count == count)
                return centers;
            most = Math.Max(most, centers.Count);
        }

        throw new InputException(
            $"sandclock: {count} particles more than {options.MinimumDistanceVoxels} voxels apart do not fit in " +
            $"{options.Depth}×{options.Height}×{options.Width} with a border of {options.BorderVoxels} ({most} did); " +
            "use fewer particles, a shorter distance or a larger volume.");
    }

    private static int Draw(SplitMix64 random, int extent, int border) => border + random.NextInt(extent - 2 * border);

    private static double SquaredDistance((int Z, int Y, int X) a, (int Z, int Y, int X) b)
    {
        double z = a.Z - b.Z;
        double y = a.Y - b.Y;
        double x = a.X - b.X;
        return z * z + y * y + x * x;
    }

    private static void FillBall(float[] mask, SandclockOptions options, int cz, int cy, int cx, float radius)
    {
        int reach = (int)Math.Floor(radius);
        for (int z = Math.Max(0, cz - reach); z <= Math.Min(options.Depth - 1, cz + reach); z++)
        {
            for (int y = Math.Max(0, cy - reach); y <= Math.Min(options.Height - 1, cy + reach); y++)
            {
                for (int x = Math.Max(0, cx - reach); x <= Math.Min(options.Width - 1, cx + reach); x++)
                {
                    if (SquaredDistance((z, y, x), (cz, cy, cx)) <= (double)radius * radius)
                        mask[(z * options.Height + y) * options.Width + x] = 1;
                }
            }
        }
    }
}
