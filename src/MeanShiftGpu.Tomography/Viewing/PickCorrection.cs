using System.Globalization;
using System.Text.Json;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Coordinates;
using MeanShiftGpu.Tomography.Coordinates.Formats;
using MeanShiftGpu.Tomography.Files;

namespace MeanShiftGpu.Tomography.Viewing;

/// <summary>
/// A person's correction of the picks of a volume: what there was, and how the result is written.
/// </summary>
/// <param name="picks">The picks as they were.</param>
/// <param name="volume">The volume's size in voxels.</param>
internal sealed class PickCorrection(IReadOnlyList<Particle> picks, Extent volume)
{
    /// <summary>What a table of removed picks is called: NAME_removed.star beside NAME.star.</summary>
    public const string RemovedEnding = CoordinateFolder.RemovedEnding;

    /// <summary>What the list of changes is called: NAME.star.changes.json beside NAME.star.</summary>
    public const string ChangesEnding = ".changes.json";

    private static readonly JsonSerializerOptions Json =
        new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    /// <summary>The picks as they were.</summary>
    public IReadOnlyList<Particle> Picks => picks;

    /// <summary>
    /// The kinds of particles, by their names or numbers in alphabetical order; one without a name where the
    /// table says none.
    /// </summary>
    public IReadOnlyList<string> Kinds { get; } = picks.Count == 0 ? [""]
        : [.. picks.Select(KindOf).Distinct().Order(StringComparer.OrdinalIgnoreCase)];

    /// <summary>The support of each pick; null where it is not known.</summary>
    public IReadOnlyList<double>? Supports { get; set; }

    /// <summary>What a particle is: its name, its class's number, or nothing.</summary>
    public static string KindOf(Particle particle)
        => particle.Name ?? particle.Class?.ToString(CultureInfo.InvariantCulture) ?? "";

    /// <summary>The table of removed picks that lies beside a table.</summary>
    public static string RemovedTable(string table)
        => Path.Combine(Path.GetDirectoryName(table) ?? "", Path.GetFileNameWithoutExtension(table) + RemovedEnding
            + Path.GetExtension(table));

    /// <summary>Why changes cannot be those of these picks; null where they can.</summary>
    public string? ProblemOf(PickChanges changes)
    {
        bool IsPick(int number) => number >= 0 && number < picks.Count;
        if (!changes.Removed.Concat(changes.Accepted).Concat(changes.Moved.Select(m => m.Pick)).All(IsPick))
            return "a number is none of a pick";
        if (changes.Removed.Intersect(changes.Accepted).Any() || HasTwice(changes.Removed) || HasTwice(changes.Accepted)
            || HasTwice([.. changes.Moved.Select(m => m.Pick)]))
            return "a pick is changed twice";
        if (!changes.Moved.All(m => CoordinateTables.IsInside(m.Z, m.Y, m.X, volume))
            || !changes.Added.All(a => CoordinateTables.IsInside(a.Z, a.Y, a.X, volume)))
            return "a centre lies outside the volume";
        return changes.Added.All(a => a.Kind >= 0 && a.Kind < Kinds.Count) ? null : "a kind of particle is not known";
    }

    /// <summary>
    /// The picks after changes, in the table's order, added ones last; and the removed ones as they were.
    /// </summary>
    public (IReadOnlyList<Particle> Kept, IReadOnlyList<Particle> Removed) Apply(PickChanges changes)
    {
        HashSet<int> removed = [.. changes.Removed];
        HashSet<int> accepted = [.. changes.Accepted];
        Dictionary<int, MovedPick> moved = changes.Moved.ToDictionary(m => m.Pick);
        List<Particle> kept = [];
        for (int i = 0; i < picks.Count; i++)
        {
            if (removed.Contains(i))
                continue;
            if (moved.TryGetValue(i, out MovedPick? to))
                kept.Add(picks[i] with { Z = to.Z, Y = to.Y, X = to.X });
            else if (accepted.Contains(i) || IsAbove(i, changes))
                kept.Add(picks[i]);
        }

        kept.AddRange(changes.Added.Select(New));
        return (kept, [.. removed.Order().Select(i => picks[i])]);
    }

    /// <summary>
    /// Writes the picks after changes, and beside them the removed ones where there are any (<see
    /// cref="RemovedTable"/>) and what was changed (<see cref="ChangesEnding"/>). Each file is complete or as
    /// it was; the table comes last.
    /// </summary>
    /// <param name="table">The table.</param>
    /// <param name="changes">The changes.</param>
    /// <param name="options">Its format and what it needs.</param>
    /// <param name="made">The record of how it was made.</param>
    /// <returns>How many picks were kept.</returns>
    /// <exception cref="InputException">A file cannot be written.</exception>
    public int Save(string table, PickChanges changes, CoordinateWriteOptions options, Provenance made)
    {
        (IReadOnlyList<Particle> kept, IReadOnlyList<Particle> removed) = Apply(changes);
        string removedTable = RemovedTable(table);
        if (removed.Count > 0)
            CoordinateTables.Write(removedTable, removed, options);
        else
            File.Delete(removedTable);
        AtomicFile.Write(table + ChangesEnding, stream => JsonSerializer.Serialize(stream, changes, Json));
        (made with { Settings = changes.Said }).Write(table);
        CoordinateTables.Write(table, kept, options);
        return kept.Count;
    }

    /// <summary>
    /// The other tables of a STAR file, which are written again with the corrected picks; null for other
    /// formats.
    /// </summary>
    public static StarFile? TemplateOf(string path, CoordinateFormat from, CoordinateFormat to)
        => CoordinateFormats.IsStar(from) && CoordinateFormats.IsStar(to)
            && CoordinateFormats.CountsUnbinnedPixels(from) == CoordinateFormats.CountsUnbinnedPixels(to)
            ? RelionStar.TemplateOf(path)
            : null;

    private bool IsAbove(int pick, PickChanges changes)
        => !(picks[pick].Score < changes.LeastScore) && !(Supports?[pick] < changes.LeastSupport);

    // A new pick counts in the pixels of the others and is of one of their kinds; nothing else is known of
    // it.
    private Particle New(AddedPick added)
    {
        Particle? like = picks.FirstOrDefault(p => KindOf(p) == Kinds[added.Kind]);
        return new Particle(added.Z, added.Y, added.X)
        {
            Class = like?.Class,
            Name = like?.Name,
            Tomogram = like?.Tomogram,
            Pixels = like?.Pixels ?? PixelGrid.Voxels,
        };
    }

    private static bool HasTwice(IReadOnlyList<int> numbers) => numbers.Distinct().Count() < numbers.Count;
}
