namespace MeanShiftGpu.Training;

/// <summary>What a score map of a class looks like on training patches, the mean of some steps.</summary>
/// <param name="Step">Steps taken.</param>
/// <param name="Class">The class, by its place among the network's outputs.</param>
/// <param name="Contrast">Mean score at the annotated centres minus the mean of the map: what the network
/// tells apart.</param>
/// <param name="Passing">Mean of 4·s·(1 − s) at the centres, 0 to 1: how much of a gradient comes through the
/// sigmoid there.</param>
/// <param name="ShareAbove">Share of the map above 0.5.</param>
/// <param name="StuckSeeds">Share of the seeds that end further than the bandwidth from every centre; 0
/// without a mean shift.</param>
public sealed record TrainingHealth(int Step, int Class, double Contrast, double Passing, double ShareAbove, double StuckSeeds)
{
    /// <summary>What was judged of it.</summary>
    public HealthVerdict Verdict { get; init; }

    /// <summary>The mean of some.</summary>
    internal static TrainingHealth Mean(int step, int classIndex, IReadOnlyCollection<TrainingHealth> parts) => new(
        step, classIndex, parts.Average(p => p.Contrast), parts.Average(p => p.Passing), parts.Average(p => p.ShareAbove),
        parts.Average(p => p.StuckSeeds));
}

/// <summary>What <see cref="TrainingDiagnosis"/> says of a score map.</summary>
public enum HealthVerdict
{
    /// <summary>Centres do not stand out yet, but can still be learnt.</summary>
    Undecided,

    /// <summary>Centres stand out.</summary>
    Healthy,

    /// <summary>Centres do not stand out, and the map is stuck, or it has lost what it had.</summary>
    Ill,
}

/// <summary>A run that went back to earlier parameters.</summary>
/// <param name="Step">After how many steps.</param>
/// <param name="Position">To which step of the schedule.</param>
/// <param name="RateFactor">What the learning rate is multiplied by from here on.</param>
/// <param name="Reason">What was wrong.</param>
public sealed record Rollback(int Step, int Position, double RateFactor, string Reason);
