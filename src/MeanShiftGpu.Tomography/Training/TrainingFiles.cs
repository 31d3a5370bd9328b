using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Files;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Training;

/// <summary>
/// The files of a run in a folder. None of them but the page holds a time, so that equal runs give equal
/// files; what they were made from stands beside model and checkpoint.
/// </summary>
/// <param name="folder">The folder, which must exist.</param>
public sealed class TrainingFiles(string folder)
{
    /// <summary>The best model by validation.</summary>
    public const string ModelName = "model.safetensors";

    /// <summary>The checkpoint.</summary>
    public const string CheckpointName = "checkpoint.safetensors";

    /// <summary>Losses and validations.</summary>
    public const string HistoryName = "history.json";

    /// <summary>The page that grows.</summary>
    public const string PageName = "training.html";

    private readonly HashSet<string> recorded = [];

    /// <summary>The model's path.</summary>
    public string Model { get; } = Path.Combine(folder, ModelName);

    /// <summary>The checkpoint's path.</summary>
    public string Checkpoint { get; } = Path.Combine(folder, CheckpointName);

    /// <summary>The history's path.</summary>
    public string History { get; } = Path.Combine(folder, HistoryName);

    /// <summary>The page's path.</summary>
    public string Page { get; } = Path.Combine(folder, PageName);

    /// <summary>All of them.</summary>
    public IReadOnlyList<string> All => [Model, Checkpoint, History, Page];

    /// <summary>
    /// Deletes the model of a run that failed, so that nobody takes it for a good one; the checkpoint stays.
    /// </summary>
    public void DeleteModel()
    {
        File.Delete(Model);
        File.Delete(Model + Provenance.Ending);
    }

    /// <summary>Writes the model.</summary>
    internal void WriteModel(UNet3d<float> network, ModelDescription description, Provenance made)
    {
        ModelFile.Save(Model, network, description);
        WriteRecord(Model, made);
    }

    /// <summary>Writes the checkpoint and the history.</summary>
    internal void WriteCheckpoint(Trainer trainer, TrainingOptions options, Provenance made)
    {
        trainer.SaveCheckpoint(Checkpoint);
        TrainingHistory history = trainer.History;
        JsonOutput.Write(
            History, new { Options = options, history.Steps, history.Validations, history.Health, history.Rollbacks });
        WriteRecord(Checkpoint, made);
    }

    // It stays the same for all models and checkpoints of a run.
    private void WriteRecord(string output, Provenance made)
    {
        if (recorded.Add(output))
            made.Write(output);
    }
}
