using System.Text.Json.Serialization;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Evaluation;

namespace MeanShiftGpu.Tomography.Reproduction;

/// <summary>
/// What one training of the experiment gave on the test patches: the content of a result file.
/// </summary>
public sealed record PaperResult
{
    /// <summary>The data set.</summary>
    public required PaperDataset Dataset { get; init; }

    /// <summary>The loss.</summary>
    public required PaperLoss Loss { get; init; }

    /// <summary>The seed of network, patches and mean-shift seeds.</summary>
    public required int Seed { get; init; }

    /// <summary>Why there is no model; null where there is one.</summary>
    public string? Failure { get; init; }

    /// <summary>
    /// The number of the way of picking that gave these figures; 0 for a model that has not been picked with.
    /// </summary>
    public required int PickingProtocol { get; init; }

    /// <summary>
    /// The threshold, as a fraction of a map's maximum, that picked best in the validation patches.
    /// </summary>
    public float Threshold { get; init; }

    /// <summary>
    /// The least support, as a fraction of the best pick's in its patch, that picked best in the validation
    /// patches.
    /// </summary>
    public float MinimumSupport { get; init; }

    /// <summary>
    /// How places of one particle were joined where that picked best in the validation patches; 0 by distance
    /// alone.
    /// </summary>
    public float BasinFraction { get; init; }

    /// <summary>One-to-one F1 at 4 voxels in the validation patches, at that setting.</summary>
    public double ValidationF1 { get; init; }

    /// <summary>Picks against truth in the test patches; null where there is no model.</summary>
    public EvaluationResult? Evaluation { get; init; }

    /// <summary>
    /// Recall and duplicates by protein; empty where all particles are of one kind, or their size is not
    /// known.
    /// </summary>
    public IReadOnlyList<KindScore> Kinds { get; init; } = [];

    /// <summary>The step of the model that was kept.</summary>
    public int BestStep { get; init; }

    /// <summary>Seconds of training.</summary>
    public double TrainingSeconds { get; init; }

    /// <summary>How it was made: version and commit, settings, device.</summary>
    public required Provenance Made { get; init; }

    /// <summary>Which training it is of.</summary>
    [JsonIgnore]
    public PaperRun Run => new(Dataset, Loss, Seed);
}
