using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Volumes;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>
/// The score maps of a volume, in the caller's memory, in own memory, in a file that the user wants, or in
/// scratch files.
/// </summary>
internal sealed class PredictedScores : IDisposable
{
    private readonly List<IDisposable> owned = [];
    private readonly MrcWriter? file;

    private PredictedScores(PickRequest request, PickPlan plan, VoxelSize voxelSize, int classes)
    {
        Plan = plan;
        try
        {
            if (request.ScoreMapFile is { } path)
                file = MrcWriter.Create(path, plan.Volume, voxelSize, request.ScoreMapPlace);
            // A mean changes until the last prediction, and a file takes each voxel once.
            if (file is not null && plan.Maps == classes)
                owned.Add(file);
            while (owned.Count + (request.Scores?.Count ?? 0) < plan.Maps)
                owned.Add(
                    plan.ScoreMapBytes > 0 ? new Volume(plan.Volume.Depth, plan.Volume.Height, plan.Volume.Width)
                        : MrcWriter.CreateScratch(request.ScratchFolder ?? Path.GetTempPath(), plan.Volume));
        }
        catch
        {
            Dispose();
            throw;
        }

        IVoxelSource[] all = [.. request.Scores ?? [], .. owned.Cast<IVoxelSource>()];
        Maps = all[..classes];
        Squares = all[classes..];
    }

    /// <summary>The maps, in the order of the picker's classes.</summary>
    public IReadOnlyList<IVoxelSource> Maps { get; }

    /// <summary>
    /// Of several predictions, whose mean the maps are, the sums of squared differences from it; empty of one
    /// alone.
    /// </summary>
    public IReadOnlyList<IVoxelSource> Squares { get; }

    /// <summary>The plan.</summary>
    public PickPlan Plan { get; }

    /// <summary>What the network found, and what it took.</summary>
    public PredictionSummary Summary { get; private set; } = new([], 0, 0, 0);

    /// <summary>Makes room for the maps, and has them predicted.</summary>
    /// <param name="request">Where they go.</param>
    /// <param name="plan">The plan for the volume.</param>
    /// <param name="voxelSize">The volume's voxel size, for a file.</param>
    /// <param name="classes">How many of the plan's maps are scores.</param>
    /// <param name="predict">Predicts into them.</param>
    public static PredictedScores Create(PickRequest request, PickPlan plan, VoxelSize voxelSize, int classes,
        Func<PredictedScores, PredictionSummary> predict)
    {
        PredictedScores scores = new(request, plan, voxelSize, classes);
        try
        {
            scores.Summary = predict(scores);
            return scores;
        }
        catch
        {
            scores.Dispose();
            throw;
        }
    }

    /// <summary>Gives the file that the user wants its name.</summary>
    public void Complete()
    {
        if (file is null)
            return;
        if (Squares.Count > 0)
        {
            float[] slice = new float[(long)Plan.Volume.Height * Plan.Volume.Width];
            for (int z = 0; z < Plan.Volume.Depth; z++)
            {
                Box box = Box.Slices(Plan.Volume, z, 1);
                Maps[0].Read(box, slice);
                file.Write(box, slice);
            }
        }

        file.Complete();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        owned.ForEach(m => m.Dispose());
        if (file is not null && !owned.Contains(file))
            file.Dispose();
    }
}
