using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Training;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>What an earlier run of 'train' has left in a folder.</summary>
internal static class EarlierRun
{
    /// <summary>Refuses to begin where a run has left something.</summary>
    /// <exception cref="InputException">There is something.</exception>
    public static void Refuse(TrainingFiles files, string[] manifests)
    {
        if (File.Exists(files.Checkpoint))
        {
            (int done, int all) = Trainer.ReadProgress(files.Checkpoint);
            throw new InputException(done < all
                ? $"{files.Checkpoint}: a run stopped here after step {done} of {all}. Go on with --resume, replace it with "
                    + "--overwrite, or choose another folder."
                : $"{files.Checkpoint}: a run of {Counted.Of(all, "step")} has ended here. Choose another folder, replace it "
                    + "with --overwrite, or go on longer with --resume and more --steps.");
        }

        Verb.RefuseReplacing("", overwrite: false, [files.Model, files.History, files.Page, .. manifests]);
    }
}
