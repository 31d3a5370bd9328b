using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>One simulated particle.</summary>
/// <param name="Z">Centre of mass along z, in voxels.</param>
/// <param name="Y">Centre of mass along y, in voxels.</param>
/// <param name="X">Centre of mass along x, in voxels.</param>
/// <param name="Class">Its kind, counted from 1.</param>
/// <param name="Shape">Its kind's name.</param>
/// <param name="Angles">The orientation: how the density is turned.</param>
public sealed record SimulatedParticle(double Z, double Y, double X, int Class, string Shape, ParticleAngles Angles);

/// <summary>Puts particles into an empty volume, turned at random and without overlaps.</summary>
internal static class ParticlePlacement
{
    private const int TriesPerParticle = 20_000;

    /// <summary>Fills a tomogram's model.</summary>
    /// <param name="options">Extents, shapes, their number and the gap between them.</param>
    /// <param name="random">Draws places and rotations.</param>
    /// <param name="model">Receives the density; zeros before.</param>
    /// <param name="occupancy">Receives the number of the particle, counted from 1, that a voxel belongs to:
    /// by its mask, or within half its radius of its centre; zeros before.</param>
    /// <exception cref="InputException">So many particles do not fit.</exception>
    public static IReadOnlyList<SimulatedParticle> Fill(
        TomogramOptions options, SplitMix64 random, Volume model, Volume occupancy)
    {
        int byDensity = options.ParticlesByDensity;
        int fewest = options.MinimumParticles ?? Math.Min(byDensity, options.MaximumParticles ?? byDensity);
        int most = options.MaximumParticles ?? Math.Max(byDensity, fewest);
        int count = fewest + random.NextInt(most - fewest + 1);

        // Voxels that no other mask may take: the masks themselves and the gap around them.
        BitVolume blocked = new(options.Extent);
        (int Z, int Y, int X)[] gap = Ball(options.GapVoxels);
        List<SimulatedParticle> particles = [];
        for (int tries = 0; particles.Count < count; tries++)
        {
            if (tries == TriesPerParticle)
            {
                throw new InputException(
                    $"simulation: {count} particles do not fit into {options.Extent} voxels without overlaps "
                    + $"({particles.Count} did); use fewer particles, a smaller gap or a larger volume.");
            }

            // Kinds in turn, so that there are equally many of each.
            int kind = particles.Count % options.Shapes.Count;
            ParticleShape shape = options.Shapes[kind];
            RotationMatrix rotation = RandomRotation.Draw(random);
            (double z, double y, double x) = (
                random.NextDouble() * (options.Depth - 1),
                random.NextDouble() * (options.Height - 1),
                random.NextDouble() * (options.Width - 1));
            if (!HasRoom(shape, rotation, (z, y, x), blocked))
                continue;
            particles.Add(new SimulatedParticle(z, y, x, kind + 1, shape.Name, ParticleAngles.FromMatrix(rotation)));
            Draw(shape, rotation.Transposed, (z, y, x), particles.Count, model, occupancy, blocked, gap);
            tries = -1;
        }

        for (int i = 0; i < particles.Count; i++)
            FillCenter(particles[i], i + 1, options.Shapes[particles[i].Class - 1], occupancy);
        return particles;
    }

    // A ring's centre is empty. Picks are scored by whose voxel they lie in, so that within half the
    // particle's radius of its centre the voxels that nobody takes are its own.
    private static void FillCenter(SimulatedParticle particle, int number, ParticleShape shape, Volume occupancy)
    {
        double radius = shape.RadiusVoxels / 2;
        for (int z =
            (int)Math.Max(0, Math.Ceiling(particle.Z - radius)); z <= Math.Min(occupancy.Depth - 1, particle.Z + radius); z++)
        {
            for (int y = (int)Math.Max(0, Math.Ceiling(particle.Y - radius)); y <= Math
                .Min(occupancy.Height - 1, particle.Y + radius); y++)
            {
                Span<float> numbers = occupancy.Row(z, y);
                for (int x = (int)Math.Max(0, Math.Ceiling(particle.X - radius)); x <= Math
                    .Min(occupancy.Width - 1, particle.X + radius); x++)
                {
                    (double dz, double dy, double dx) = (z - particle.Z, y - particle.Y, x - particle.X);
                    if (numbers[x] == 0 && dz * dz + dy * dy + dx * dx <= radius * radius)
                        numbers[x] = number;
                }
            }
        }
    }

    // The mask's voxels, turned and rounded, leave no gap between them that another particle's mask could fit
    // through.
    private static bool HasRoom(
        ParticleShape shape, RotationMatrix rotation, (double Z, double Y, double X) center, BitVolume blocked)
    {
        foreach ((double dz, double dy, double dx) in shape.MaskOffsets)
        {
            (double x, double y, double z) = rotation.Apply(dx, dy, dz);
            (int iz, int iy, int ix) = (
                (int)Math.Round(center.Z + z), (int)Math.Round(center.Y + y), (int)Math.Round(center.X + x));
            if (!blocked.Contains(iz, iy, ix) || blocked[iz, iy, ix])
                return false;
        }

        return true;
    }

    private static void Draw(
        ParticleShape shape,
        RotationMatrix back,
        (double Z, double Y, double X) center,
        int number,
        Volume model,
        Volume occupancy,
        BitVolume blocked,
        (int Z, int Y, int X)[] gap)
    {
        double reach = shape.ReachVoxels;
        for (int z = (int)Math.Max(0, Math.Ceiling(center.Z - reach)); z <= Math.Min(model.Depth - 1, center.Z + reach); z++)
        {
            for (int y = (int)Math.Max(0, Math.Ceiling(center.Y - reach)); y <= Math.Min(model.Height - 1, center.Y + reach); y++)
            {
                Span<float> densities = model.Row(z, y);
                Span<float> numbers = occupancy.Row(z, y);
                for (int x =
                    (int)Math.Max(0, Math.Ceiling(center.X - reach)); x <= Math.Min(model.Width - 1, center.X + reach); x++)
                {
                    (double sx, double sy, double sz) = back.Apply(x - center.X, y - center.Y, z - center.Z);
                    double density = shape.DensityAt(sz, sy, sx);
                    densities[x] += (float)density;
                    // The fringe below the mask's threshold may reach into a neighbour; the mask may not.
                    if (density <= shape.Threshold || numbers[x] != 0)
                        continue;
                    numbers[x] = number;
                    foreach ((int gz, int gy, int gx) in gap)
                        blocked.Set(z + gz, y + gy, x + gx);
                }
            }
        }
    }

    private static (int Z, int Y, int X)[] Ball(double radius)
    {
        int reach = (int)Math.Floor(radius);
        return [.. from z in Enumerable.Range(-reach, 2 * reach + 1)
                   from y in Enumerable.Range(-reach, 2 * reach + 1)
                   from x in Enumerable.Range(-reach, 2 * reach + 1)
                   where z * z + y * y + x * x <= radius * radius
                   select (z, y, x)];
    }

    /// <summary>A bit for each voxel; volumes may have more voxels than an array elements.</summary>
    private sealed class BitVolume(Extent extent)
    {
        private readonly ulong[] bits = new ulong[extent.Voxels / 64 + 1];

        public bool this[int z, int y, int x] => (bits[Index(z, y, x) >> 6] >> (int)(Index(z, y, x) & 63) & 1) != 0;

        public bool Contains(int z, int y, int x)
            => (uint)z < (uint)extent.Depth && (uint)y < (uint)extent.Height && (uint)x < (uint)extent.Width;

        public void Set(int z, int y, int x)
        {
            if (Contains(z, y, x))
                bits[Index(z, y, x) >> 6] |= 1UL << (int)(Index(z, y, x) & 63);
        }

        private long Index(int z, int y, int x) => ((long)z * extent.Height + y) * extent.Width + x;
    }
}
