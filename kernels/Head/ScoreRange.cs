namespace MeanShiftGpu.Kernels.Head;

/// <summary>The range of the head's scores.</summary>
internal static class ScoreRange
{
    /// <summary>
    /// The least score. Below a logit of −103 float32 has 0 for a sigmoid, from which no gradient leads back.
    /// A score of 1e-30 is as good as 0 to a reader, but the gradient p(1 − p) that is taken from it, times
    /// the 1/p of a logarithm, is a number: a voxel that has vanished can come back.
    /// </summary>
    public const double Floor = 1e-30;
}
