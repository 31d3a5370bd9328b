using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Simulation;

/// <summary>
/// What the Sandclock data set looks like: particles of two touching balls ("lobes") of different size, at +v
/// and −v from the particle's centre, in white noise. The centre itself is where the two lobes meet, so a
/// segmentation does not find it.
/// </summary>
public sealed record SandclockOptions
{
    /// <summary>The volumes of the paper: 56³, about 15 particles.</summary>
    public static SandclockOptions Paper { get; } = new();

    /// <summary>Volumes for a demonstration of minutes on a CPU: 36³, 4 to 6 particles.</summary>
    public static SandclockOptions Demo { get; } = new()
    {
        Depth = 36,
        Height = 36,
        Width = 36,
        MinimumParticles = 4,
        MaximumParticles = 6,
    };

    /// <summary>Voxels along z.</summary>
    public int Depth { get; init; } = 56;

    /// <summary>Voxels along y.</summary>
    public int Height { get; init; } = 56;

    /// <summary>Voxels along x.</summary>
    public int Width { get; init; } = 56;

    /// <summary>Fewest particles in a volume; the number is drawn uniformly.</summary>
    public int MinimumParticles { get; init; } = 13;

    /// <summary>Most particles in a volume.</summary>
    public int MaximumParticles { get; init; } = 17;

    /// <summary>Centres are farther apart than this.</summary>
    public float MinimumDistanceVoxels { get; init; } = 9;

    /// <summary>
    /// Centres are at least this many voxels from the first and the last voxel of every axis; lobes may be
    /// cut by a face.
    /// </summary>
    public int BorderVoxels { get; init; } = 5;

    /// <summary>Radius of the lobe at +v; a voxel belongs to it where its distance is at most this.</summary>
    public float FirstRadiusVoxels { get; init; } = 5;

    /// <summary>Radius of the lobe at −v.</summary>
    public float SecondRadiusVoxels { get; init; } = 4;

    /// <summary>
    /// Length of v: an integer vector with |‖v‖ − this| &lt; <see cref="LobeToleranceVoxels"/>.
    /// </summary>
    public float LobeDistanceVoxels { get; init; } = 4;

    /// <summary>How much the length of v may differ.</summary>
    public float LobeToleranceVoxels { get; init; } = 0.3f;

    /// <summary>SD of the Gaussian noise that is added to the 0/1 mask.</summary>
    public float NoiseDeviation { get; init; } = 0.7f;

    /// <summary>
    /// Seed of the data set. A volume is a function of the options, the seed and its index.
    /// </summary>
    public long Seed { get; init; }

    /// <summary>Refuses options that make no sense.</summary>
    /// <exception cref="InputException">An option is out of range; the line says which.</exception>
    public void Validate()
    {
        Require(Depth > 0 && Height > 0 && Width > 0, $"volume of {Depth}×{Height}×{Width} voxels; expected extents above 0");
        Require((long)Depth * Height * Width <= Array.MaxLength, $"volume of {Depth}×{Height}×{Width} voxels; expected at most "
            + $"{Array.MaxLength} voxels");
        Require(MinimumParticles >= 0 && MaximumParticles >= MinimumParticles,
            $"{MinimumParticles} to {MaximumParticles} particles; expected 0 ≤ fewest ≤ most");
        Require(BorderVoxels >= 0 && 2 * (long)BorderVoxels < Math.Min(Depth, Math.Min(Height, Width)),
            $"a border of {BorderVoxels} voxels leaves no room in {Depth}×{Height}×{Width}; expected less than half of the "
            + "shortest edge");
        Require(MinimumDistanceVoxels >= 0 && float.IsFinite(MinimumDistanceVoxels), "minimum distance "
            + $"{MinimumDistanceVoxels}; expected 0 or more");
        Require(FirstRadiusVoxels > 0 && SecondRadiusVoxels > 0 && float.IsFinite(FirstRadiusVoxels + SecondRadiusVoxels),
            $"lobe radii {FirstRadiusVoxels} and {SecondRadiusVoxels}; expected above 0");
        Require(LobeDistanceVoxels is >= 0 and <= 100 && LobeToleranceVoxels is > 0 and <= 100,
            $"lobe distance {LobeDistanceVoxels} ± {LobeToleranceVoxels}; expected a distance of 0 to 100 and a tolerance "
            + "above 0");
        Require(NoiseDeviation >= 0 && float.IsFinite(NoiseDeviation), $"noise SD {NoiseDeviation}; expected 0 or more");
    }

    private static void Require(bool condition, string problem)
    {
        if (!condition)
            throw new InputException($"sandclock: {problem}.");
    }
}
