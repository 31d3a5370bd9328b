using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>The files of a run. None of them holds a time, so that equal runs give equal files; what they were made from stands beside model and checkpoint.</summary>
internal sealed class TrainingFiles(
    string folder, Trainer trainer, UNet3d<float> network, TrainingOptions settings, TrainingData data, Provenance made)
{
    /// <summary>The best model by validation.</summary>
    public const string ModelName = "model.safetensors";

    /// <summary>The checkpoint.</summary>
    public const string CheckpointName = "checkpoint.safetensors";

    /// <summary>Losses and validations.</summary>
    public const string HistoryName = "history.json";

    public string Model { get; } = Path.Combine(folder, ModelName);

    public string Checkpoint { get; } = Path.Combine(folder, CheckpointName);

    public string History { get; } = Path.Combine(folder, HistoryName);

    public TrainingOptions Settings { get; } = settings;

    /// <summary>Writes the model.</summary>
    /// <param name="looks">What the volumes look like to it; null before the end.</param>
    public void WriteModel(VolumeLooks? looks = null)
    {
        ValidationResult? best = trainer.Best;
        double[] voxels = [.. data.Training.Select(v => v.VoxelSize.CubeAngstrom).Where(s => s > 0)];
        ModelFile.Save(Model, network, new ModelDescription
        {
            Training = Settings,
            VoxelSizeAngstrom = voxels.Length == 0 ? 0 : voxels.Average(),
            Steps = best?.Step ?? trainer.StepsDone,
            ValidationLoss = best?.Loss,
            Picking = best?.Picking,
            Rollbacks = trainer.History.Rollbacks,
            Looks = looks,
        });
        WriteRecord(Model);
    }

    /// <summary>
    /// Takes the model of a run that failed away, so that nobody takes it for a good one; the checkpoint stays.
    /// </summary>
    public static void DeleteModel(string folder)
    {
        string model = Path.Combine(folder, ModelName);
        File.Delete(model);
        File.Delete(model + Provenance.Ending);
    }

    public void WriteCheckpoint()
    {
        trainer.SaveCheckpoint(Checkpoint);
        JsonOutput.Write(History,
            new
            {
                Options = Settings,
                trainer.History.Steps,
                trainer.History.Validations,
                trainer.History.Health,
                trainer.History.Rollbacks
            });
        WriteRecord(Checkpoint);
    }

    // It stays the same for all models and checkpoints of a run.
    private void WriteRecord(string output)
    {
        if (recorded.Add(output))
            made.Write(output);
    }

    private readonly HashSet<string> recorded = [];

    /// <summary>The files of a run in a folder.</summary>
    public static string[] NamesIn(string folder)
        => [Path.Combine(folder, ModelName), Path.Combine(folder, CheckpointName), Path.Combine(folder, HistoryName)];

    /// <summary>Refuses to replace an earlier run.</summary>
    public static void RefuseEarlierRun(string folder)
    {
        string checkpoint = Path.Combine(folder, CheckpointName);
        if (File.Exists(checkpoint))
        {
            (int done, int all) = Trainer.ReadProgress(checkpoint);
            throw new InputException(done < all
                ? $"{checkpoint}: a run stopped here after step {done} of {all}. Go on with --resume, replace it with --overwrite, or choose another folder."
                : $"{checkpoint}: a run of {Counted.Of(all, "step")} has ended here. Choose another folder, or replace it with --overwrite.");
        }

        Verb.RefuseReplacing(folder, overwrite: false, ModelName, HistoryName);
    }
}
