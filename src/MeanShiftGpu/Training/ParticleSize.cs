using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Training;

/// <summary>
/// What a training derives from the diameter of a particle. The factors are those of the defaults, which were
/// found for particles of about 10 voxels across (radius 4 to 6): a particle of 10 voxels gets exactly the
/// defaults, and every length grows with the diameter. benchmarks/diameters measured them for 6 to 40 voxels.
/// </summary>
/// <param name="DiameterVoxels">The diameter in voxels: that of the ball that just holds the
/// particle.</param>
public sealed record ParticleSize(double DiameterVoxels)
{
    /// <summary>
    /// Fewer voxels across show no shape, and the mean shift's ball would hold but a few of them.
    /// </summary>
    public const double SmallestVoxels = 4;

    /// <summary>
    /// More voxels across need a mean shift's ball of tens of thousands of voxels, and more surroundings than
    /// the network sees.
    /// </summary>
    public const double LargestVoxels = 64;

    /// <summary>
    /// The ball reaches most of the particle but not its neighbour: touching particles are a diameter apart.
    /// </summary>
    public const double BandwidthPerDiameter = 0.4;

    /// <summary>
    /// Seeds also begin outside the particle, so that the loss learns to draw them in from there.
    /// </summary>
    public const double SeedRadiusPerDiameter = 0.75;

    /// <summary>
    /// Particles are rarely balls; one of four fifths of the diameter lies within most of them.
    /// </summary>
    public const double MaskRadiusPerDiameter = 0.4;

    /// <summary>
    /// Of a centre nearer to a face of the patch than this, half of the ball would be missing.
    /// </summary>
    public const double CenterMarginPerDiameter = 0.4;

    /// <summary>A patch holds three diameters: the particle, its neighbours, and places to put it.</summary>
    public const double PatchPerDiameter = 3;

    /// <summary>Smaller patches teach less in a step than they save, whatever the particle.</summary>
    public const int SmallestPatch = 56;

    /// <summary>The mean shift's bandwidth. Picks merge within 1.5 times as much, 0.6 diameters.</summary>
    public double BandwidthVoxels => BandwidthPerDiameter * DiameterVoxels;

    /// <summary>How far from a centre seeds begin.</summary>
    public double SeedRadiusVoxels => SeedRadiusPerDiameter * DiameterVoxels;

    /// <summary>The radius of the balls that stand for a missing mask.</summary>
    public double MaskRadiusVoxels => MaskRadiusPerDiameter * DiameterVoxels;

    /// <summary>Centres nearer than this to a patch's face are left out of the loss.</summary>
    public double CenterMarginVoxels => CenterMarginPerDiameter * DiameterVoxels;

    /// <summary>The edge that a patch needs.</summary>
    public int PatchVoxels => Math.Max(SmallestPatch, (int)Math.Ceiling(PatchPerDiameter * DiameterVoxels));

    /// <summary>A diameter in voxels from one in Å.</summary>
    /// <exception cref="InputException">The particle is too small or too large in voxels.</exception>
    public static ParticleSize FromAngstrom(double diameterAngstrom, double voxelSizeAngstrom)
    {
        double voxels = diameterAngstrom / voxelSizeAngstrom;
        return voxels is >= SmallestVoxels and <= LargestVoxels
            ? new ParticleSize(voxels)
            : throw new InputException(string.Create(
                CultureInfo.InvariantCulture,
                $"particle size: {diameterAngstrom:0.##} Å are {voxels:0.#} of the volumes' voxels of "
                + $"{voxelSizeAngstrom:0.###} Å; expected {SmallestVoxels} to {LargestVoxels}. Correct the diameter or the "
                + $"voxel size, or use volumes that are binned {(voxels < SmallestVoxels ? "less" : "more")}."));
    }

    /// <summary>Settings with the lengths that follow from the sizes of the particles.</summary>
    /// <param name="settings">The settings, with their classes.</param>
    /// <param name="sizes">One size for all classes, or one for each in their order.</param>
    /// <param name="largest">The largest volume; patches are no larger.</param>
    /// <param name="divisor">What the patch's edges are multiples of.</param>
    /// <exception cref="InputException">There are neither one nor as many sizes as classes.</exception>
    public static TrainingOptions Apply(TrainingOptions settings, IReadOnlyList<ParticleSize> sizes, Extent largest, int divisor)
    {
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(sizes);
        if (sizes.Count != 1 && sizes.Count != settings.Classes.Count)
            throw new InputException($"particle size: {Counted.Of(sizes.Count, "diameter")} for "
                + $"{Counted.Of(settings.ClassCount, "class", "classes")}; expected one for all, or one for each class.");
        // What all classes share must suffice for the largest.
        ParticleSize most = sizes.MaxBy(s => s.DiameterVoxels)!;
        int Edge(int extent) => Math.Min(most.PatchVoxels, Math.Max(extent, (int)Math.Ceiling(2 * most.CenterMarginVoxels) + 1));
        Extent patch = new Extent(Edge(largest.Depth), Edge(largest.Height), Edge(largest.Width)).RoundUpTo(divisor);
        if (settings.Augmentation == Augmentation.FlipsAndSwaps)
        {
            int edge = Math.Max(patch.Depth, Math.Max(patch.Height, patch.Width));
            patch = new Extent(edge, edge, edge);
        }

        ParticleSize Of(int classIndex) => sizes.Count == 1 ? sizes[0] : sizes[classIndex];
        return settings with
        {
            MeanShift = settings.MeanShift with
            {
                BandwidthVoxels = most.BandwidthVoxels,
                SeedRadiusVoxels = most.SeedRadiusVoxels
            },
            MaskRadiusVoxels = most.MaskRadiusVoxels,
            CenterMarginVoxels = most.CenterMarginVoxels,
            Patch = patch,
            Classes =
            [
                .. settings.Classes.Select((c, i) => c with
                {
                    BandwidthVoxels = Of(i).BandwidthVoxels,
                    SeedRadiusVoxels = Of(i).SeedRadiusVoxels,
                    MaskRadiusVoxels = Of(i).MaskRadiusVoxels,
                }),
            ],
        };
    }
}
