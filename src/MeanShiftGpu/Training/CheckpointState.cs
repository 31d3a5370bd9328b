using System.Text.Json;
using System.Text.Json.Serialization;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Training;

/// <summary>What a checkpoint says of a run, beside its tensors.</summary>
/// <param name="Options">The settings.</param>
/// <param name="Steps">The steps that are done.</param>
/// <param name="Validations">The validations so far.</param>
internal sealed record CheckpointState(
    TrainingOptions Options,
    List<TrainingStep> Steps,
    List<ValidationResult> Validations)
{
    /// <summary>Where the state stands in a file's metadata.</summary>
    public const string MetadataKey = "meanshift_gpu.training";

    /// <summary>The format that is written; raised when a checkpoint of a later version could be misread by
    /// this one.</summary>
    public const int CurrentFormat = 2;

    /// <summary>Before the names of tensors: Adam's first moments.</summary>
    public const string FirstMomentPrefix = "adam.first.";

    /// <summary>Before the names of tensors: Adam's second moments.</summary>
    public const string SecondMomentPrefix = "adam.second.";

    /// <summary>Before the names of tensors: the parameters of the best validation.</summary>
    public const string BestPrefix = "best.";

    /// <summary>Before the names of tensors: the last parameters at which the map was healthy.</summary>
    public const string HealthyPrefix = "healthy.";

    /// <summary>Before the names of tensors: their first moments.</summary>
    public const string HealthyFirstPrefix = "healthy.adam.first.";

    /// <summary>Before the names of tensors: their second moments.</summary>
    public const string HealthySecondPrefix = "healthy.adam.second.";

    /// <summary>
    /// The version of what a checkpoint holds; 0 for those of version 0.1, which did not say it; health
    /// and rollbacks since 2.
    /// </summary>
    public int Format { get; init; }

    /// <summary>The data's identity; null for those of version 0.1.</summary>
    public string? Data { get; init; }

    public ValidationResult? Best { get; init; }

    public List<TrainingHealth> Health { get; init; } = [];

    public List<TrainingHealth> Measures { get; init; } = [];

    public List<Rollback> Rollbacks { get; init; } = [];

    public int HealthyPosition { get; init; }

    [JsonIgnore]
    public int Position => Rollbacks.Count == 0 ? Steps.Count : Rollbacks[^1].Position + Steps.Count - Rollbacks[^1].Step;

    /// <summary>Before the names of the tensors that the file must have beside the network's.</summary>
    [JsonIgnore]
    public IReadOnlyList<string> TensorPrefixes => Format < 2
        ? [FirstMomentPrefix, SecondMomentPrefix, BestPrefix]
        : [FirstMomentPrefix, SecondMomentPrefix, BestPrefix, HealthyPrefix, HealthyFirstPrefix, HealthySecondPrefix];

    public void Validate()
    {
        if (Options is null || Steps is null || Validations is null)
            throw new InputException($"{nameof(Options)}, {nameof(Steps)} or {nameof(Validations)} is missing.");
        if (Format is < 0 or > CurrentFormat)
        {
            throw new InputException(
                $"it has format {Format}, this version knows {CurrentFormat} at most; use the version that wrote it.");
        }

        Options.Validate();
        if (Rollbacks.Any(b => b is null || b.Step < 0 || b.Step > Steps.Count || b.Position < 0 || b.Position > b.Step
            || !(b.RateFactor > 0)))
            throw new InputException($"a return to an earlier step is missing, or leads to a step that was not reached; "
                + $"expected steps up to {Steps.Count}.");
        if (Health.Concat(Measures).Any(h => h is null || h.Class < 0 || h.Class >= Options.ClassCount || h.Step < 0
            || h.Step > Steps.Count))
            throw new InputException("the record of a score map is missing, or names a step or class that does not exist.");
        if (Position > Options.Steps || HealthyPosition < 0 || HealthyPosition > Options.Steps)
            throw new InputException($"{Position} of {Options.Steps} steps are done; expected no more than there are.");
        for (int i = 0; i < Steps.Count; i++)
        {
            if (Steps[i] is not { } step || step.Step != i + 1)
                throw new InputException($"step {i + 1} of {Steps.Count} is missing.");
        }

        if (Validations.Any(v => v is null || v.Step < 0 || v.Step > Steps.Count))
            throw new InputException($"a validation is missing, or of a step beyond the {Steps.Count} that are done.");
    }

    /// <summary>Reads the state of a checkpoint.</summary>
    /// <param name="file">The file.</param>
    /// <param name="path">Its name, for messages.</param>
    /// <exception cref="InputException">Not a checkpoint.</exception>
    public static CheckpointState Read(SafetensorsFile file, string path)
    {
        if (!file.Metadata.TryGetValue(MetadataKey, out string? json))
            throw new InputException($"{path}: no training state (metadata '{MetadataKey}' is missing). A checkpoint is "
                + "needed, a finished model has none.");
        CheckpointState state = JsonMetadata.Read<CheckpointState>(path, MetadataKey, json, "a training's state", state
            => state.Validate());
        // Before, nothing held the centres, and the best model was that of the lowest loss.
        return state.Format >= 2
            ? state
            : state with
            {
                Options = state.Options with { CenterWeight = 0 },
                Best = state.Validations.LastOrDefault(v => v.IsBest)
            };
    }

    /// <summary>The first setting in which two runs differ, with both values; null for none.</summary>
    public static string? FirstDifference(TrainingOptions before, TrainingOptions now)
    {
        JsonElement other = JsonSerializer.SerializeToElement(now);
        foreach (JsonProperty setting in JsonSerializer.SerializeToElement(before).EnumerateObject())
        {
            string wanted = other.GetProperty(setting.Name).GetRawText();
            if (setting.Value.GetRawText() != wanted)
                return $"{setting.Name} {setting.Value.GetRawText()}, here {wanted}";
        }

        return null;
    }
}
