using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>A particle that was found.</summary>
/// <param name="Z">Centre, in voxels (0 is the centre of the first voxel), with a fraction: the
/// score-weighted mean of the converged points near the cluster's strongest place (within a quarter of the
/// merge distance).</param>
/// <param name="Y">Centre along y.</param>
/// <param name="X">Centre along x.</param>
/// <param name="Score">Mean of the score map over the voxels whose points came here: between the threshold
/// and the map's maximum.</param>
/// <param name="Support">Sum of the score map over those voxels (so Score · Voxels): the mass of the
/// basin.</param>
/// <param name="Voxels">How many voxels' points came here.</param>
/// <param name="Spread">Root of the score-weighted mean squared distance of the converged points from the
/// centre, in voxels; large where a pick is ambiguous.</param>
public sealed record Pick(double Z, double Y, double X, float Score, float Support, int Voxels, float Spread)
{
    /// <summary>The centre.</summary>
    public Position Position => new(Z, Y, X);

    /// <summary>
    /// The score-weighted mean distance of the voxels from where their points converged, in voxels: half a
    /// particle's radius or so.
    /// </summary>
    public float Moved { get; init; }

    /// <summary>The number of its class; null where the network knows one class only.</summary>
    public int? Class { get; init; }

    /// <summary>The name of its class; null where the class has a number only.</summary>
    public string? ClassName { get; init; }

    /// <summary>The other class that scored highest at this place; null where there was none.</summary>
    public string? RunnerUp { get; init; }

    /// <summary>The score of <see cref="RunnerUp"/>.</summary>
    public float? RunnerUpScore { get; init; }

    /// <summary>
    /// The standard deviation of the scores that several models, or mirror images, give the voxel at the
    /// centre; null of one prediction alone.
    /// </summary>
    public float? ScoreDeviation { get; init; }

    /// <summary>
    /// Whether the centre is within a bandwidth of the volume's border or of the mask's, so that a part of
    /// its surroundings was not seen.
    /// </summary>
    public bool AtBorder { get; init; }
}
