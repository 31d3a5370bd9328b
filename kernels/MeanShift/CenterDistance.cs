namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>How the centre loss measures the distance of a converged seed from a true centre.</summary>
public enum CenterDistance
{
    /// <summary>‖p − c‖: what the authors' published program does.</summary>
    Euclidean,

    /// <summary>‖p − c‖²: the paper's equations 1 and 2.</summary>
    Squared,
}

/// <summary>What launchers ask before a kernel, which cannot throw.</summary>
internal static class CenterDistances
{
    /// <summary>The distance itself, where the kernels know it.</summary>
    public static CenterDistance Known(this CenterDistance distance)
        => distance is CenterDistance.Euclidean or CenterDistance.Squared ? distance : throw UnknownValue.Of(distance);
}
