using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Coordinates;

/// <summary>
/// Which particles of a table are kept. All conditions hold together; the number is counted last.
/// </summary>
public sealed record ParticleFilter
{
    /// <summary>Those with this score or a higher one; null for all.</summary>
    public double? MinimumScore { get; init; }

    /// <summary>So many of each tomogram, those with the highest scores; null for all.</summary>
    public int? Top { get; init; }

    /// <summary>Those of these classes, by name or number; empty for all.</summary>
    public IReadOnlyList<string> Classes { get; init; } = [];

    /// <summary>
    /// Those where this volume is above 0, or a folder with such a volume for each tomogram; null for all.
    /// </summary>
    public string? Inside { get; init; }

    /// <summary>The size of the particles' volume, which a mask must have; null where unknown.</summary>
    internal Extent? VolumeShape { get; init; }

    /// <summary>Its voxel size in Å, which a mask must have; 0 for that of the particles' table.</summary>
    internal double VolumeVoxelAngstrom { get; init; }

    /// <summary>
    /// Of two particles of a tomogram nearer than this the one with the lower score is left out, or the later
    /// one where there are no scores; in voxels, 0 for none.
    /// </summary>
    public double MinimumDistanceVoxels { get; init; }

    /// <summary>Whether it keeps everything.</summary>
    public bool IsEmpty => MinimumScore is null && Top is null && Classes.Count == 0 && Inside is null
        && MinimumDistanceVoxels == 0;

    /// <summary>The particles that are kept, in their order.</summary>
    /// <param name="table">The table's name, for messages.</param>
    /// <param name="particles">Its particles.</param>
    /// <param name="tomogram">The tomogram of particles that name none; null where it is not known.</param>
    /// <exception cref="InputException">There are no scores or classes to choose by, or a mask is missing,
    /// does not fit or cannot be read.</exception>
    public IReadOnlyList<Particle> Apply(string table, IReadOnlyList<Particle> particles, string? tomogram)
    {
        ArgumentNullException.ThrowIfNull(particles);
        if ((MinimumScore is not null || Top is not null) && particles.FirstOrDefault(p => p.Score is null) is not null)
            throw new InputException($"{table}: has particles without a score; choosing by score needs one in every row. Add "
                + "scores, or leave --min-score and --top out.");
        if (Classes.Count > 0 && Classes.FirstOrDefault(c => !particles.Any(p => IsOf(p, c))) is { } unknown)
        {
            string[] has = [.. particles.Select(ParticleNames.NameOf).Distinct().Take(5)];
            throw new InputException($"{table}: has no particle of class {InputFile.Quote(unknown)}; it has "
                + $"{string.Join(", ", has)}.");
        }

        List<Particle> kept =
        [
            .. particles.Where(p => (MinimumScore is null || p.Score >= MinimumScore)
                && (Classes.Count == 0 || Classes.Any(c => IsOf(p, c)))),
        ];
        if (Inside is not null)
            kept = OfMasks(table, kept, tomogram, Inside);
        if (MinimumDistanceVoxels > 0 || Top is not null)
        {
            HashSet<Particle> best = new(ReferenceEqualityComparer.Instance);
            foreach (IGrouping<string?, Particle> one in kept.GroupBy(p => p.Tomogram ?? tomogram))
                best.UnionWith(Apart([.. one.OrderByDescending(p => p.Score ?? 0)]).Take(Top ?? int.MaxValue));
            kept = [.. kept.Where(best.Contains)];
        }

        return kept;
    }

    private static bool IsOf(Particle particle, string name)
        => name.Equals(particle.Name, StringComparison.OrdinalIgnoreCase)
            || (particle.Class is { } number && name == number.ToString(CultureInfo.InvariantCulture));

    private List<Particle> Apart(IReadOnlyList<Particle> byScore)
    {
        List<Particle> apart = [];
        foreach (Particle p in byScore)
        {
            if (apart.TrueForAll(q => Squared(p, q) >= MinimumDistanceVoxels * MinimumDistanceVoxels))
                apart.Add(p);
        }

        return apart;
    }

    private static double Squared(Particle a, Particle b)
    {
        (double z, double y, double x) = (a.Z - b.Z, a.Y - b.Y, a.X - b.X);
        return (z * z) + (y * y) + (x * x);
    }

    private List<Particle> OfMasks(string table, List<Particle> particles, string? tomogram, string masks)
    {
        MaskFiles files = MaskFiles.Of(masks);
        string?[] names = [.. particles.Select(p => p.Tomogram ?? tomogram).Distinct()];
        if (!files.IsFolder && names.Length > 1)
            throw new InputException($"{table}: has particles of {names.Length} tomograms, and {masks} is one mask. Give a "
                + $"folder with a mask for each, or choose one tomogram.");
        HashSet<Particle> inside = new(ReferenceEqualityComparer.Instance);
        Dictionary<string, string?> taken = [];
        foreach (IGrouping<string?, Particle> one in particles.GroupBy(p => p.Tomogram ?? tomogram))
        {
            if (files.IsFolder && one.Key is null)
                throw new InputException($"{table}: does not name its tomogram, whose mask in {masks} is looked for by its "
                    + $"name.")
                { Missing = MissingFact.TomogramName };
            string path = files.Find(one.Key ?? "", table);
            if (!taken.TryAdd(path, one.Key))
                throw new InputException($"{table}: names tomograms {InputFile.Quote(taken[path] ?? "")} and "
                    + $"{InputFile.Quote(one.Key ?? "")}, whose mask is {path} for both. Spell one tomogram alike in all rows, "
                    + "or rename one of the two.");
            double voxel = VolumeVoxelAngstrom > 0 ? VolumeVoxelAngstrom
                : one.Select(p => p.Pixels.VoxelSizeAngstrom).FirstOrDefault(size => size > 0);
            MaskFiles.RefuseOtherGrid(path, table, VolumeShape, voxel);
            using Volume mask = MrcFile.Read(path);
            MaskFiles.RefuseOtherValues(path, VoxelStatistics.Measure(mask, path));
            inside.UnionWith(one.Where(p => CoordinateTables.IsInside(p, mask.Size)
                && mask[Voxel(p.Z, mask.Depth), Voxel(p.Y, mask.Height), Voxel(p.X, mask.Width)] > 0));
        }

        return [.. particles.Where(inside.Contains)];
    }

    // At the outer faces rounding leads out.
    private static int Voxel(double place, int size) => Math.Clamp((int)Math.Round(place), 0, size - 1);
}
