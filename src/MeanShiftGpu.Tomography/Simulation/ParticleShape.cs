using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>
/// A kind of particle: its density on a cubic grid of the tomogram's voxel size. A particle's centre is the
/// density's centre of mass, and the density is scaled to a mean of 1 within the mask, since protein is about
/// equally dense everywhere.
/// </summary>
public sealed class ParticleShape
{
    /// <summary>
    /// A voxel belongs to the mask where the density is above this fraction of its maximum.
    /// </summary>
    public const float MaskFraction = 0.2f;

    private const int MaximumEdge = 512;

    // A voxel of an analytic shape is the mean of this many samples along each axis, so that surfaces are
    // soft.
    private const int SamplesPerVoxel = 4;

    private readonly Extent extent;
    private readonly float[] density;
    private readonly (double Z, double Y, double X) center;

    private ParticleShape(string name, Extent extent, float[] density)
    {
        Name = name;
        this.extent = extent;
        this.density = density;
        double mass = 0;
        (double z, double y, double x) moment = default;
        ForEachVoxel((z, y, x, value) =>
        {
            mass += value;
            moment = (moment.z + value * z, moment.y + value * y, moment.x + value * x);
        });
        center = (moment.z / mass, moment.y / mass, moment.x / mass);

        float maximum = density.Max();
        float scale = 1 / density.Where(v => v > MaskFraction * maximum).Average();
        for (int i = 0; i < density.Length; i++)
            density[i] *= scale;
        Threshold = MaskFraction * maximum * scale;

        List<(double Z, double Y, double X)> inside = [];
        double reach = 0;
        double maskReach = 0;
        ForEachVoxel((z, y, x, value) =>
        {
            (double dz, double dy, double dx) = (z - center.Z, y - center.Y, x - center.X);
            double distance = Math.Sqrt(dz * dz + dy * dy + dx * dx);
            if (value > 0)
                reach = Math.Max(reach, distance);
            if (value <= Threshold)
                return;
            maskReach = Math.Max(maskReach, distance);
            inside.Add((dz, dy, dx));
        });
        ReachVoxels = reach + 1;
        OuterRadiusVoxels = maskReach;
        MaskOffsets = inside;
    }

    /// <summary>What tables call it.</summary>
    public string Name { get; }

    /// <summary>Voxels of the mask.</summary>
    public int MaskVoxels => MaskOffsets.Count;

    /// <summary>Radius in voxels of a ball of the mask's volume.</summary>
    public double RadiusVoxels => Math.Cbrt(3 * MaskVoxels / (4 * Math.PI));

    /// <summary>The largest distance of the mask from the centre, in voxels.</summary>
    public double OuterRadiusVoxels { get; }

    /// <summary>The density above which a voxel belongs to the mask.</summary>
    internal float Threshold { get; }

    /// <summary>No density lies farther than this from the centre, in voxels.</summary>
    internal double ReachVoxels { get; }

    /// <summary>The mask's voxels from the centre.</summary>
    internal IReadOnlyList<(double Z, double Y, double X)> MaskOffsets { get; }

    /// <summary>
    /// The shapes that need no file, by the names that the command line uses. None is a ball, and a ring's
    /// centre is empty.
    /// </summary>
    public static IReadOnlyDictionary<string, string> BuiltIn { get; } = new Dictionary<string, string>
    {
        ["sandclock"] = "two touching balls of radius 50 and 40 Å",
        ["ring"] = "a ring of 150 Å across, 40 Å thick",
        ["rod"] = "a rod 190 Å long and 50 Å thick",
        ["hook"] = "two thirds of a ring of 140 Å across, 45 Å thick, with a ball of radius 35 Å at one end",
    };

    /// <summary>Builds one of the <see cref="BuiltIn"/> shapes.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="voxelSizeAngstrom">The tomogram's voxel size in Å.</param>
    /// <exception cref="InputException">The name is not known, or the voxels are too small or too large for
    /// it.</exception>
    public static ParticleShape Create(string name, double voxelSizeAngstrom)
    {
        (Func<double, double, double, bool> inside, double reach) = name switch
        {
            "sandclock" => (
                (Func<double, double, double, bool>)((z, y, x) => IsInBall(z, y, x - 45, 50) || IsInBall(z, y, x + 45, 40)),
                100.0),
            "ring" => ((z, y, x) => IsInRing(z, y, x, 55, 20), 80),
            "rod" => ((z, y, x) => IsInBall(z, y, Math.Max(0, Math.Abs(x) - 70), 25), 100),
            "hook" => (
                (z, y, x) => (Math.Abs(Math.Atan2(y, x)) < Math.PI * 2 / 3 && IsInRing(z, y, x, 47.5, 22.5))
                    || IsInBall(z, y - 41.1, x + 23.8, 35), 90),
            _ => throw new InputException($"simulation: shape '{name}' is not known; expected one of "
                + $"{string.Join(", ", BuiltIn.Keys)}."),
        };
        int edge = 2 * (int)Math.Ceiling(reach / voxelSizeAngstrom) + 3;
        if (!(edge is >= 7 and <= MaximumEdge))
            throw new InputException($"simulation: voxels of {voxelSizeAngstrom} Å do not suit the shape {name}; expected "
                + $"between {reach / 200:0.##} and {reach / 2:0.##} Å.");
        float[] values = new float[edge * edge * edge];
        double step = voxelSizeAngstrom / SamplesPerVoxel;
        double first = -(edge * SamplesPerVoxel - 1) / 2.0 * step;
        for (int z = 0; z < edge * SamplesPerVoxel; z++)
        {
            for (int y = 0; y < edge * SamplesPerVoxel; y++)
            {
                for (int x = 0; x < edge * SamplesPerVoxel; x++)
                {
                    if (inside(first + z * step, first + y * step, first + x * step))
                        values[((z / SamplesPerVoxel) * edge + y / SamplesPerVoxel) * edge + x / SamplesPerVoxel]++;
                }
            }
        }

        return new ParticleShape(name, new Extent(edge, edge, edge), values);
    }

    /// <summary>
    /// Reads a density, for instance one computed from an atomic model, and averages it over the tomogram's
    /// voxels.
    /// </summary>
    /// <param name="path">An MRC file with its voxel size; the particle is brighter than 0.</param>
    /// <param name="voxelSizeAngstrom">The tomogram's voxel size in Å.</param>
    /// <exception cref="InputException">The file cannot be read, has no voxel size, no density above 0, or
    /// too many voxels.</exception>
    public static ParticleShape FromDensity(string path, double voxelSizeAngstrom)
    {
        using Volume source = MrcFile.Read(path);
        VoxelSize from = source.VoxelSize;
        if (!(from.Z > 0 && from.Y > 0 && from.X > 0))
            throw new InputException($"{path}: the header gives no voxel size, so the density cannot be rescaled to "
                + $"{voxelSizeAngstrom} Å. Write the voxel size into the header.");
        (double z, double y, double x) scale = (
            voxelSizeAngstrom / from.Z, voxelSizeAngstrom / from.Y, voxelSizeAngstrom / from.X);
        Extent size = new(Edge(source.Depth, scale.z), Edge(source.Height, scale.y), Edge(source.Width, scale.x));
        if (Math.Max(size.Depth, Math.Max(size.Height, size.Width)) > MaximumEdge)
            throw new InputException($"{path}: {source.Size} voxels of {from} make {size} of {voxelSizeAngstrom} Å; expected "
                + $"at most {MaximumEdge} along each axis. Crop the density around the particle.");

        float[] values = new float[size.Voxels];
        // Each voxel is the mean over about as many samples as there are voxels of the source in it:
        // averaging keeps detail finer than a voxel from folding back.
        int samples = Math.Clamp((int)Math.Ceiling(2 * Math.Max(scale.z, Math.Max(scale.y, scale.x))), 1, 8);
        ReadOnlySpan<float> voxels = source.AsSpan();
        Extent extent = new(source.Depth, source.Height, source.Width);
        for (int i = 0; i < values.Length; i++)
        {
            (int z, int y, int x) = (i / (size.Height * size.Width), i / size.Width % size.Height, i % size.Width);
            double sum = 0;
            for (int s = 0; s < samples * samples * samples; s++)
            {
                // Centres of the two grids coincide.
                sum += Sample(
                    voxels,
                    extent,
                    (z + Offset(s / (samples * samples)) - (size.Depth - 1) / 2.0) * scale.z + (source.Depth - 1) / 2.0,
                    (y + Offset(s / samples % samples) - (size.Height - 1) / 2.0) * scale.y + (source.Height - 1) / 2.0,
                    (x + Offset(s % samples) - (size.Width - 1) / 2.0) * scale.x + (source.Width - 1) / 2.0);
            }

            // What a map has below 0 is ripple around the particle, not particle.
            values[i] = (float)Math.Max(0, sum / (samples * samples * samples));
        }

        if (!(values.Max() > 0))
            throw new InputException($"{path}: no density above 0. A particle must be brighter than its surroundings; invert "
                + "the map.");
        return new ParticleShape(NameOf(path), size, values);

        double Offset(int sample) => (sample + 0.5) / samples - 0.5;
    }

    /// <summary>
    /// The density at a place given from the centre, in voxels, interpolated linearly; 0 outside.
    /// </summary>
    internal double DensityAt(double z, double y, double x) => Sample(density, extent, z + center.Z, y + center.Y, x + center.X);

    private static int Edge(int voxels, double scale) => Math.Max(1, (int)Math.Ceiling(voxels / scale)) + 2;

    private static bool IsInBall(double z, double y, double x, double radius) => z * z + y * y + x * x <= radius * radius;

    private static bool IsInRing(double z, double y, double x, double radius, double thickness)
    {
        double fromCircle = Math.Sqrt(y * y + x * x) - radius;
        return fromCircle * fromCircle + z * z <= thickness * thickness;
    }

    // TS_01.mrc.gz is TS_01; names are one word in SHREC's tables.
    private static string NameOf(string path)
    {
        string name = Path.GetFileName(path);
        int dot = name.IndexOf('.', 1);
        return (dot < 0 ? name : name[..dot]).Replace(' ', '_');
    }

    private static double Sample(ReadOnlySpan<float> values, Extent extent, double z, double y, double x)
    {
        (int z0, int y0, int x0) = ((int)Math.Floor(z), (int)Math.Floor(y), (int)Math.Floor(x));
        if (z0 < -1 || y0 < -1 || x0 < -1 || z0 >= extent.Depth || y0 >= extent.Height || x0 >= extent.Width)
            return 0;
        (double fz, double fy, double fx) = (z - z0, y - y0, x - x0);
        double sum = 0;
        for (int corner = 0; corner < 8; corner++)
        {
            (int dz, int dy, int dx) = (corner >> 2, corner >> 1 & 1, corner & 1);
            (int cz, int cy, int cx) = (z0 + dz, y0 + dy, x0 + dx);
            if (cz < 0 || cy < 0 || cx < 0 || cz >= extent.Depth || cy >= extent.Height || cx >= extent.Width)
                continue;
            double weight = (dz == 0 ? 1 - fz : fz) * (dy == 0 ? 1 - fy : fy) * (dx == 0 ? 1 - fx : fx);
            sum += weight * values[(cz * extent.Height + cy) * extent.Width + cx];
        }

        return sum;
    }

    private void ForEachVoxel(Action<int, int, int, float> action)
    {
        for (int i = 0; i < density.Length; i++)
            action(i / (extent.Height * extent.Width), i / extent.Width % extent.Height, i % extent.Width, density[i]);
    }
}
