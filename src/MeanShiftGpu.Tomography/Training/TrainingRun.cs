using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Training;
using MeanShiftGpu.Training.Ranks;

namespace MeanShiftGpu.Tomography.Training;

/// <summary>
/// A training that leaves a model: a network and its trainer, picks on the validation volumes, by which the
/// best model is chosen, and the files of the run, which are complete whenever it stops. <see cref="Begin"/>,
/// <see cref="Train"/>, then <see cref="Finish"/>.
/// </summary>
public sealed class TrainingRun : IDisposable
{
    private readonly TrainingData data;
    private readonly UNet3d<float> network;
    private readonly ValidationPicking picking;
    private readonly IRanks ranks;
    private readonly TrainingPage page;
    private Provenance made = new();

    /// <summary>Prepares a run; nothing is written.</summary>
    /// <param name="context">The device.</param>
    /// <param name="structure">The network.</param>
    /// <param name="options">All settings.</param>
    /// <param name="data">Volumes with centres, normalised; not disposed.</param>
    /// <param name="folder">The folder of the run's files, which must exist.</param>
    /// <param name="ranks">With whom the work is shared; each has the same settings and data, and rank 0
    /// writes the files. Null: with nobody.</param>
    /// <param name="remark">Told what a person may want to know of the device; null for no callback.</param>
    /// <exception cref="InputException">Settings, data and network do not fit together.</exception>
    public TrainingRun(
        GpuContext context, UNet3dOptions structure, TrainingOptions options, TrainingData data, string folder,
        IRanks? ranks = null, Action<string>? remark = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(data);
        Options = options;
        this.data = data;
        this.ranks = ranks ?? InProcessRanks.Alone;
        Files = new TrainingFiles(folder);
        page = new TrainingPage(this);
        network = new UNet3d<float>(context, structure, options.Seed, options.OutputBias);
        try
        {
            picking = new ValidationPicking(network, options, data.Validation, ranks);
            Trainer = new Trainer(network, data, options, ranks)
            {
                PickOnValidation = picking.HasVolumes ? picking.Measure : null,
                Remark = remark,
            };
        }
        catch
        {
            picking?.Dispose();
            network.Dispose();
            throw;
        }
    }

    /// <summary>The settings.</summary>
    public TrainingOptions Options { get; }

    /// <summary>The files.</summary>
    public TrainingFiles Files { get; }

    /// <summary>The trainer: where the run stands, and its history.</summary>
    public Trainer Trainer { get; }

    /// <summary>The mean voxel size of the training volumes in Å; 0 where none is known.</summary>
    public double VoxelSizeAngstrom
        => data.Training.Select(v => v.VoxelSize.CubeAngstrom).Where(s => s > 0).DefaultIfEmpty(0).Average();

    /// <summary>
    /// Whether there is a validation volume with centres, so that models are compared by their picks.
    /// </summary>
    public bool PicksOnValidation => picking.HasVolumes;

    /// <summary>What the page shows of the validation volumes.</summary>
    internal IReadOnlyList<ValidationSlice> ValidationSlices => picking.Slices;

    /// <summary>
    /// What a user wants to know of a validation: "finds 86 % of the validation particles within 100 Å,
    /// 79 % at the validation before". Null where nobody picks.
    /// </summary>
    /// <param name="validation">A validation of this run.</param>
    public string? Describe(ValidationResult validation)
    {
        ArgumentNullException.ThrowIfNull(validation);
        if (validation.Picking?.Recall is not { } recall)
            return null;
        double? before = Trainer.History.Validations.LastOrDefault(v => v.Step < validation.Step)?.Picking?.Recall;
        double[] radii = [.. Enumerable.Range(0, Options.ClassCount)
            .Select(c => (double)Options.MeanShiftOf(c).BandwidthVoxels).Distinct()];
        string within = radii is not [var radius] ? "the bandwidth"
            : VoxelSizeAngstrom > 0 ? $"{radius * VoxelSizeAngstrom:0.#} Å" : $"{radius:0.#} voxels";
        string compared = before is { } was ? $", {was:0 %} at the validation before" : "";
        return $"finds {recall:0 %} of the validation particles within {within}{compared}";
    }

    /// <summary>
    /// Makes sure that there is something to learn, and goes on from the checkpoint where that is wanted.
    /// </summary>
    /// <param name="resume">Whether to go on from the checkpoint.</param>
    /// <exception cref="TrainingFailedException">All training volumes are constant; an earlier model is
    /// deleted.</exception>
    /// <exception cref="InputException">The checkpoint is not of this run.</exception>
    public void Begin(bool resume)
    {
        if (data.Training.All(v => v.IsConstant))
        {
            DeleteModel();
            throw new TrainingFailedException("every voxel of every training volume has the same value, so there is "
                + "nothing to learn. Were the right volumes given?");
        }

        if (resume)
            Trainer.Resume(Files.Checkpoint);
    }

    /// <summary>
    /// Begins with the weights of a model instead of random ones; the optimiser begins afresh.
    /// </summary>
    /// <param name="model">A safetensors file of a network of the same widths.</param>
    /// <returns>Whether its last layer was taken too; it was not where the number of classes
    /// differs.</returns>
    /// <exception cref="InputException">Not a weight file, or one of another network.</exception>
    public bool BeginWith(string model)
    {
        bool all = network.BeginWith(model);
        Trainer.KeepBeginning();
        return all;
    }

    /// <summary>
    /// Takes all steps that are left, and gives the network the best parameters. Whatever ends it, a
    /// checkpoint is left; a model is left unless the training failed.
    /// </summary>
    /// <param name="record">What the run is made from; written beside model and checkpoint.</param>
    /// <param name="checkpointInterval">Steps between checkpoints.</param>
    /// <param name="progress">Told after every step; null for no callback.</param>
    /// <param name="cancellation">Stops between two steps.</param>
    /// <exception cref="TrainingFailedException">The score map collapsed, or the model is of no
    /// use.</exception>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public void Train(
        Provenance record, int checkpointInterval, Action<TrainingProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        made = record;
        WritePage($"Begins after step {Trainer.Position} of {Options.Steps}.", isOver: false);
        try
        {
            Trainer.Run(
                step =>
                {
                    if (step.Validation is { IsBest: true })
                        WriteModel(null);
                    if (step.Validation is { } validation && ranks.Rank == 0)
                        page.Add(validation);
                    if (step.Validation is not null || step.Rollback is not null
                        || step.Position % Options.ValidationInterval == 0)
                        WritePage(Standing(step), isOver: false);
                    progress?.Invoke(step);
                    if (step.Latest.Step % checkpointInterval == 0)
                        WriteCheckpoint();
                },
                looksEvery: checkpointInterval,
                cancellation);
        }
        catch (OperationCanceledException)
        {
            WriteCheckpoint();
            WritePage($"Stopped after step {Trainer.Position} of {Options.Steps}; go on with --resume, and --out with this "
                + "folder.", isOver: true);
            throw;
        }
        catch (TrainingFailedException e)
        {
            WriteCheckpoint();
            DeleteModel();
            WritePage(Failed(e), isOver: true);
            throw;
        }

        WriteCheckpoint();
        Trainer.RestoreBest();
        try
        {
            Trainer.RefuseUseless(() => PickOnTraining(cancellation));
        }
        catch (TrainingFailedException e)
        {
            DeleteModel();
            WritePage(Failed(e), isOver: true);
            throw;
        }

        WritePage($"Ended after {Counted.Of(Trainer.StepsDone, "step")}. The model is {Files.Model}.", isOver: true);
    }

    /// <summary>
    /// Writes the model with what volumes look like to it, by which picking knows those that do not fit.
    /// </summary>
    /// <param name="progress">Told (volumes done, volumes); null for no callback.</param>
    /// <param name="cancellation">Stops between two volumes.</param>
    public void Finish(Action<int, int>? progress = null, CancellationToken cancellation = default)
    {
        if (ranks.Rank != 0)
            return;
        VolumeLooks looks = Diagnosis.Measure(network, Options, data, progress, cancellation);
        WriteModel(looks);
        Remark = Diagnosis.OfModel(looks, [.. Options.Classes.Select(c => c.Name)]);
    }

    /// <summary>What is wrong with the finished model, which is written all the same; null where nothing is
    /// known to be.</summary>
    public string? Remark { get; private set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Trainer.Dispose();
        picking.Dispose();
        network.Dispose();
    }

    private PickingScore PickOnTraining(CancellationToken cancellation)
    {
        using ValidationPicking onTraining = new(network, Options, [.. data.Training.Where(v => !v.IsConstant)], ranks);
        return onTraining.HasVolumes ? onTraining.Measure(cancellation) : new PickingScore(0, 0);
    }

    private static string Failed(TrainingFailedException exception) => $"Failed: {exception.Message}";

    private static string Standing(TrainingProgress step)
    {
        double minutes = Math.Ceiling(step.Remaining.TotalMinutes);
        string left = minutes < 90 ? Counted.Of((long)minutes, "minute") : $"{minutes / 60:0.#} hours";
        return $"Step {step.Position} of {step.Steps}; about {left} left, at {step.StepsPerSecond:0.0} steps per second.";
    }

    private void WritePage(string state, bool isOver)
    {
        if (ranks.Rank == 0)
            page.Write(state, made, isOver);
    }

    private void WriteCheckpoint()
    {
        if (ranks.Rank == 0)
            Files.WriteCheckpoint(Trainer, Options, made);
    }

    private void DeleteModel()
    {
        if (ranks.Rank == 0)
            Files.DeleteModel();
    }

    private void WriteModel(VolumeLooks? looks)
    {
        if (ranks.Rank != 0)
            return;
        ValidationResult? best = Trainer.Best;
        ModelDescription description = new()
        {
            Training = Options,
            VoxelSizeAngstrom = VoxelSizeAngstrom,
            Steps = best?.Step ?? Trainer.StepsDone,
            ValidationLoss = best?.Loss,
            Picking = best?.Picking,
            Rollbacks = Trainer.History.Rollbacks,
            Looks = looks,
        };
        Files.WriteModel(network, description, made);
    }
}
