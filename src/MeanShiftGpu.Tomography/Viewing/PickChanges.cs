namespace MeanShiftGpu.Tomography.Viewing;

/// <summary>
/// What a person has changed about the picks of a table. Picks are numbered from 0 in the table's order.
/// </summary>
internal sealed record PickChanges
{
    /// <summary>Picks that are no particles.</summary>
    public IReadOnlyList<int> Removed { get; init; } = [];

    /// <summary>Picks that are particles, whatever their score.</summary>
    public IReadOnlyList<int> Accepted { get; init; } = [];

    /// <summary>Picks with other centres.</summary>
    public IReadOnlyList<MovedPick> Moved { get; init; } = [];

    /// <summary>New picks.</summary>
    public IReadOnlyList<AddedPick> Added { get; init; } = [];

    /// <summary>
    /// Picks with a lower score are left out, unless a person has accepted or moved them; null for none.
    /// </summary>
    public double? LeastScore { get; init; }

    /// <summary>Picks with a lower support are left out likewise; null for none.</summary>
    public double? LeastSupport { get; init; }

    /// <summary>How many picks were changed by hand.</summary>
    public int Count => Removed.Count + Accepted.Count + Moved.Count + Added.Count;

    /// <summary>The changes in words.</summary>
    public string Said
    {
        get
        {
            string by = FormattableString.Invariant(
                $"by hand {Removed.Count} removed, {Added.Count} added, {Moved.Count} moved, {Accepted.Count} accepted");
            string score = LeastScore is { } s ? FormattableString.Invariant($"; score from {s:0.####} up") : "";
            string support = LeastSupport is { } m ? FormattableString.Invariant($"; support from {m:0.####} up") : "";
            return by + score + support;
        }
    }
}

/// <summary>A pick with another centre.</summary>
/// <param name="Pick">Its number.</param>
/// <param name="Z">The new centre in voxels.</param>
/// <param name="Y">Along y.</param>
/// <param name="X">Along x.</param>
internal sealed record MovedPick(int Pick, double Z, double Y, double X);

/// <summary>A new pick.</summary>
/// <param name="Z">Its centre in voxels.</param>
/// <param name="Y">Along y.</param>
/// <param name="X">Along x.</param>
/// <param name="Kind">Which of the table's kinds of particles it is.</param>
internal sealed record AddedPick(double Z, double Y, double X, int Kind);
