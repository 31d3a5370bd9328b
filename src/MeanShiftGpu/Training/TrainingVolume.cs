using MeanShiftGpu.IO;

namespace MeanShiftGpu.Training;

/// <summary>A volume with its annotated centres.</summary>
/// <param name="Name">For messages.</param>
/// <param name="Depth">Voxels along z.</param>
/// <param name="Height">Voxels along y.</param>
/// <param name="Width">Voxels along x.</param>
/// <param name="Image">[D, H, W], normalised to mean 0 and standard deviation 1.</param>
/// <param name="Mask">[D, H, W], inside particles their class counted from 1, 0 outside; null draws balls around the centres where a mask is needed.</param>
/// <param name="Centers">Particle centres in voxels.</param>
public sealed record TrainingVolume(
    string Name,
    int Depth,
    int Height,
    int Width,
    float[] Image,
    float[]? Mask,
    IReadOnlyList<Position> Centers)
{
    /// <summary>The class of each centre, counted from 0; null where all are of class 0.</summary>
    public IReadOnlyList<int>? CenterClasses { get; init; }

    /// <summary>The class of a centre.</summary>
    public int ClassOf(int center) => CenterClasses?[center] ?? 0;

    /// <summary>The edge of a voxel in Å; 0 when unknown. Picking compares it with that of its volumes.</summary>
    public double VoxelSizeAngstrom { get; init; }

    /// <summary>Shifts and scales numbers to mean 0 and standard deviation 1; constant data become 0.</summary>
    public static void Normalize(Span<float> values)
    {
        VoxelStatistics statistics = new();
        statistics.Add(values);
        statistics.Normalize(values);
    }
}

/// <summary>The volumes of a training run.</summary>
/// <param name="Training">Patches are drawn from these.</param>
/// <param name="Validation">The best model is chosen by these; may be empty, then the last model is kept.</param>
public sealed record TrainingData(IReadOnlyList<TrainingVolume> Training, IReadOnlyList<TrainingVolume> Validation);
