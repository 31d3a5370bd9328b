using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Tomography.Training;

/// <summary>What may be wrong with the data of a training, none of which stops it.</summary>
public static class TrainingRemarks
{
    // Headers round; beyond this the particles differ in size.
    private const double MostVoxelSizeRatio = 1.05;

    /// <summary>The remarks, one sentence or two each: of each volume, then of all together.</summary>
    /// <param name="data">The volumes, normalised.</param>
    /// <param name="options">How they are trained on.</param>
    public static IEnumerable<string> Of(TrainingData data, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(options);
        if (data.Validation.Count == 0)
            yield return "the data set has no validation volume, so the last model is kept, not the best.";
        foreach (string remark in data.Volumes.SelectMany(OfVolume))
            yield return remark;
        if (Diagnosis.OfContrasts(data, options) is { } inverted)
            yield return inverted;
        foreach (string name in data.Validation.Select(v => v.Name).Intersect(data.Training.Select(v => v.Name)))
            yield return $"{name}: is validated on and trained on, so the validation loss says nothing of other volumes.";
        foreach (TrainingVolume volume in data.Volumes.Where(v => v.Centers.Count == 0))
            yield return $"{volume.Name}: no centres.";
        foreach (TrainingVolume volume in data.Volumes.Where(v => !v.VoxelSize.IsCube))
            yield return $"{volume.Name}: {Diagnosis.OfVoxels(volume.VoxelSize)}";
        double[] sizes = [.. data.Volumes.Select(v => v.VoxelSize.CubeAngstrom).Where(s => s > 0)];
        if (sizes.Length > 0 && sizes.Max() > MostVoxelSizeRatio * sizes.Min())
        {
            yield return $"voxel sizes from {sizes.Min():0.##} to {sizes.Max():0.##} Å in one data set; particles then differ "
                + "in size. Rescale the volumes.";
        }
    }

    private static IEnumerable<string> OfVolume(TrainingVolume volume)
    {
        if (volume.IsConstant)
        {
            yield return $"{volume.Name}: every voxel has the same value, so there is nothing to learn from it. Was the right "
                + "volume given?";
        }

        if (volume.Outlier is { } outlier)
            yield return $"{volume.Name}: {Diagnosis.OfOutlier(outlier)} Replace such voxels, for instance by the mean.";
        if (Diagnosis.OfCentresTwice(volume) is { } twice)
            yield return $"{volume.Name}: {twice}";
    }
}
