using System.Globalization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;

namespace MeanShiftGpu.Tomography.Evaluation;

/// <summary>The points of one volume in a table of coordinates.</summary>
/// <param name="Volume">The volume's name; null where the table does not give one.</param>
/// <param name="Points">The points, in voxels.</param>
/// <param name="Shape">The volume's size; null where it is not known.</param>
public sealed record VolumePoints(string? Volume, IReadOnlyList<Position> Points, Extent? Shape = null)
{
    /// <summary>
    /// The class of each point: its name, or its number where it has none; null where the table does not say.
    /// </summary>
    public IReadOnlyList<string?>? Classes { get; init; }

    /// <summary>The score of each point; null where the table does not say.</summary>
    public IReadOnlyList<double?>? Scores { get; init; }

    /// <summary>The points of particles.</summary>
    public static VolumePoints Of(string? volume, IReadOnlyCollection<Particle> particles, Extent? shape = null)
    {
        string?[] classes = [.. particles.Select(p => p.Name ?? p.Class?.ToString(CultureInfo.InvariantCulture))];
        return new VolumePoints(volume, [.. particles.Select(p => new Position(p.Z, p.Y, p.X))], shape)
        {
            Classes = classes.Any(c => c is not null) ? classes : null,
            Scores = particles.Any(p => p.Score is not null) ? [.. particles.Select(p => p.Score)] : null,
        };
    }
}

/// <summary>Joins tables of picks and of truth by volume.</summary>
public static class EvaluationTables
{
    /// <summary>
    /// The points of a table, grouped by the volumes that it names, in the order in which they come.
    /// </summary>
    public static IReadOnlyList<VolumePoints> Group(IReadOnlyList<Particle> particles)
    {
        ArgumentNullException.ThrowIfNull(particles);
        return particles.Count == 0
            ? [new VolumePoints(null, [])]
            : [.. particles.GroupBy(p => p.Tomogram).Select(g => VolumePoints.Of(g.Key, [.. g]))];
    }

    /// <summary>
    /// Pairs predictions with the truth of the same volume by their names (see <see cref="TomogramName"/>).
    /// One group on either side is a pair where one of them has no name, or only a number, as formats without
    /// names give. A volume with truth and no predictions counts as all missed.
    /// </summary>
    /// <param name="picksName">The picks' file, for messages.</param>
    /// <param name="picks">Predictions by volume.</param>
    /// <param name="truthName">The truth's file, for messages.</param>
    /// <param name="truth">Truth by volume.</param>
    /// <exception cref="InputException">Picks name a volume that the truth does not have, or a name is
    /// missing where there are several.</exception>
    public static IReadOnlyList<(string Name, EvaluationVolume Volume)> Join(
        string picksName, IReadOnlyList<VolumePoints> picks, string truthName, IReadOnlyList<VolumePoints> truth)
    {
        ArgumentNullException.ThrowIfNull(picks);
        ArgumentNullException.ThrowIfNull(truth);
        if (truth.Count == 1 && picks.Count == 1 && (IsNoName(truth[0].Volume) || IsNoName(picks[0].Volume)))
            return [(truth[0].Volume ?? picks[0].Volume ?? picksName, Pair(picks[0], truth[0]))];

        List<VolumePoints> named = [];
        foreach (VolumePoints volume in picks)
        {
            if (volume.Volume is null)
            {
                if (volume.Points.Count == 0)
                    continue;
                throw new InputException($"{picksName}: {Counted.Of(volume.Points.Count, "pick")} without a volume's name, but "
                    + $"{truthName} has {truth.Count}. Add a column with the volume's name.");
            }

            named.Add(volume);
        }

        TomogramIndex<VolumePoints> byName = new(named.Select(v => (v.Volume!, v)));
        HashSet<VolumePoints> left = [.. named];

        List<(string, EvaluationVolume)> pairs = [];
        foreach (VolumePoints volume in truth)
        {
            if (volume.Volume is null)
                throw new InputException($"{truthName}: {Counted.Of(volume.Points.Count, "centre")} without a volume's name, "
                    + $"but {picksName} has several. Add a column with the volume's name.");
            VolumePoints? found = byName.Find(volume.Volume, picksName);
            if (found is not null && !left.Remove(found))
                throw new InputException($"{truthName}: two of its volumes are called like '{found.Volume}' of {picksName}. "
                    + "Use exact names.");
            pairs.Add((volume.Volume, Pair(found ?? new VolumePoints(volume.Volume, []), volume)));
        }

        return left.Count == 0
            ? pairs
            : throw new InputException(
                $"{picksName}: picks of '{left.First().Volume}', which {truthName} does not have; it has "
                + $"{string.Join(", ", truth.Take(5).Select(t => $"'{t.Volume}'"))}{(truth.Count > 5 ? ", …" : "")}. The "
                + "volumes' names must agree.");
    }

    private static bool IsNoName(string? volume) => volume is null || volume.All(char.IsAsciiDigit);

    private static EvaluationVolume Pair(VolumePoints picks, VolumePoints truth)
    {
        Extent? shape = truth.Shape ?? picks.Shape;
        return new EvaluationVolume(
            picks.Points,
            truth.Points,
            shape is { } s ? Math.Min(s.Depth, Math.Min(s.Height, s.Width)) / 2.0 : null)
        {
            Shape = shape,
            PredictionClasses = picks.Classes,
            PredictionScores = picks.Scores,
            TruthClasses = truth.Classes,
        };
    }
}
