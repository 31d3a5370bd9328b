using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>How good picks are by a mask of particles, as the SHREC challenge counts.</summary>
/// <param name="Results">Picks in all volumes.</param>
/// <param name="Truth">Particles in all volumes.</param>
/// <param name="Found">Particles with a pick in their mask: the true positives.</param>
/// <param name="FoundAgain">Picks in the mask of a particle that another pick found before.</param>
/// <param name="OtherObjects">Picks in the mask of something that is no particle (a vesicle, a
/// fiducial).</param>
/// <param name="Background">Picks in no mask.</param>
/// <param name="OutsideVolume">Picks outside the volume.</param>
/// <param name="MeanDistanceVoxels">Mean distance of the picks that found a particle first from its centre,
/// in voxels; null where there is none.</param>
public sealed record OccupancyScore(
    int Results,
    int Truth,
    int Found,
    int FoundAgain,
    int OtherObjects,
    int Background,
    int OutsideVolume,
    double? MeanDistanceVoxels)
{
    /// <summary>Found / Results; 0 without picks.</summary>
    public double Precision => Results == 0 ? 0 : (double)Found / Results;

    /// <summary>Found / Truth; 0 without particles.</summary>
    public double Recall => Truth == 0 ? 0 : (double)Found / Truth;

    /// <summary>The harmonic mean of precision and recall; 0 where both are.</summary>
    public double F1 => Results + Truth == 0 ? 0 : 2.0 * Found / (Results + Truth);
}

/// <summary>
/// Scores picks by an occupancy mask, in which every voxel holds the number of the object that it belongs to:
/// a pick finds the particle whose number stands in its nearest voxel. Of several picks in one particle's
/// mask the first counts.
/// </summary>
public sealed class OccupancyEvaluation
{
    private int results, truth, found, again, other, background, outside;
    private double distances;

    /// <summary>Adds a volume.</summary>
    /// <param name="picks">Picks in voxels.</param>
    /// <param name="particles">The particles; each <see cref="Particle.Id"/> is its number in the
    /// mask.</param>
    /// <param name="mask">The occupancy mask, 0 outside objects.</param>
    /// <exception cref="InputException">A particle has no number, or two share one.</exception>
    public void Add(IReadOnlyList<Position> picks, IReadOnlyList<Particle> particles, Volume mask)
    {
        ArgumentNullException.ThrowIfNull(picks);
        ArgumentNullException.ThrowIfNull(particles);
        ArgumentNullException.ThrowIfNull(mask);
        Dictionary<int, Particle> byNumber = [];
        foreach (Particle particle in particles)
        {
            if (particle.Id is not { } id || !byNumber.TryAdd(id, particle))
                throw new InputException("occupancy scoring: "
                    + (particle.Id is { } shared ? $"two true particles have number {shared}" : "a true particle has no number")
                    + "; expected the number in the mask for each. Give SHREC's particle_locations.txt as the truth.");
        }

        results += picks.Count;
        truth += particles.Count;
        HashSet<int> seen = [];
        foreach (Position pick in picks)
        {
            (double z, double y, double x) = (Math.Floor(pick.Z + 0.5), Math.Floor(pick.Y + 0.5), Math.Floor(pick.X + 0.5));
            if (!(z >= 0 && z < mask.Depth && y >= 0 && y < mask.Height && x >= 0 && x < mask.Width))
            {
                outside++;
                continue;
            }

            int number = (int)Math.Round(mask[(int)z, (int)y, (int)x]);
            if (number == 0)
                background++;
            else if (!byNumber.TryGetValue(number, out Particle? particle))
                other++;
            else if (!seen.Add(number))
                again++;
            else
                distances += pick.DistanceTo(new Position(particle.Z, particle.Y, particle.X));
        }

        found += seen.Count;
    }

    /// <summary>The scores over all volumes so far.</summary>
    public OccupancyScore Score
        => new(results, truth, found, again, other, background, outside, found == 0 ? null : distances / found);
}
