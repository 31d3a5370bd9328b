using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>How well particles of one kind were found, with a hit radius that follows their size.</summary>
/// <param name="Kind">The kind's name.</param>
/// <param name="RadiusVoxels">The radius of a ball of the particle's volume.</param>
/// <param name="Truth">How many there are.</param>
/// <param name="Found">Those with a pick within half the radius of their centre.</param>
/// <param name="Duplicates">Picks within the radius of a particle's centre after the first.</param>
public sealed record KindScore(string Kind, double RadiusVoxels, int Truth, int Found, int Duplicates)
{
    /// <summary>Found / Truth.</summary>
    public double Recall => (double)Found / Truth;

    /// <summary>
    /// Counts by kind. A pick belongs to the particle whose centre is the nearest in units of the particle's
    /// radius.
    /// </summary>
    /// <param name="volumes">Picks and named centres of each volume, in voxels.</param>
    /// <param name="radiiVoxels">The radius of each kind.</param>
    /// <returns>The kinds that are there, from the smallest to the largest.</returns>
    /// <exception cref="ArgumentException">A centre's kind has no radius.</exception>
    public static IReadOnlyList<KindScore> Count(
        IEnumerable<(IReadOnlyList<Position> Picks, IReadOnlyList<(string Kind, Position Center)> Truth)> volumes,
        IReadOnlyDictionary<string, double> radiiVoxels)
    {
        ArgumentNullException.ThrowIfNull(volumes);
        ArgumentNullException.ThrowIfNull(radiiVoxels);
        Dictionary<string, KindScore> scores = [];
        foreach ((IReadOnlyList<Position> picks, IReadOnlyList<(string Kind, Position Center)> truth) in volumes)
        {
            foreach ((string kind, _) in truth)
            {
                if (!radiiVoxels.ContainsKey(kind))
                    throw new ArgumentException(
                        $"the kind '{kind}' has no radius; expected one of {string.Join(", ", radiiVoxels.Keys)}.",
                        nameof(radiiVoxels));
            }

            // How far each of a particle's picks is from its centre, in radii.
            List<double>[] own = [.. truth.Select(_ => new List<double>())];
            foreach (Position pick in picks)
            {
                (double distance, int nearest) = truth
                    .Select((t, i) => (pick.DistanceTo(t.Center) / radiiVoxels[t.Kind], i))
                    .Append((1, -1))
                    .Min();
                if (nearest >= 0)
                    own[nearest].Add(distance);
            }

            for (int i = 0; i < truth.Count; i++)
            {
                string kind = truth[i].Kind;
                KindScore before = scores.GetValueOrDefault(kind) ?? new KindScore(kind, radiiVoxels[kind], 0, 0, 0);
                scores[kind] = before with
                {
                    Truth = before.Truth + 1,
                    Found = before.Found + (own[i].Any(d => d <= 0.5) ? 1 : 0),
                    Duplicates = before.Duplicates + Math.Max(0, own[i].Count - 1),
                };
            }
        }

        return [.. scores.Values.OrderBy(s => s.RadiusVoxels)];
    }
}
