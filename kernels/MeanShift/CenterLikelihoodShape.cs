namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>Extents of score maps whose values at annotated centres are looked at.</summary>
/// <param name="Batch">N, items.</param>
/// <param name="Depth">D, voxels along z.</param>
/// <param name="Height">H, voxels along y.</param>
/// <param name="Width">W, voxels along x.</param>
/// <param name="ScorePitch">Elements from one voxel of the scores and their gradient to the next, as in <see
/// cref="MeanShiftShape"/>.</param>
internal readonly record struct CenterLikelihoodShape(int Batch, int Depth, int Height, int Width, int ScorePitch)
{
    /// <summary>N·D·H·W.</summary>
    public long Voxels => (long)Batch * Depth * Height * Width;

    /// <summary>
    /// Elements that a view of the scores must hold: all voxels at their pitch, without what follows the
    /// last.
    /// </summary>
    public long ScoreLength => (Voxels - 1) * ScorePitch + 1;

    /// <summary>Throws where an extent makes no sense.</summary>
    internal void Check(in Launch launch)
    {
        launch.Least(Batch, 1, "batch");
        launch.Least(Depth, 1, "depth");
        launch.Least(Height, 1, "height");
        launch.Least(Width, 1, "width");
        launch.Least(ScorePitch, 1, "score pitch");
        launch.Product("scores", Batch, Depth, Height, Width, ScorePitch);
        launch.FitsInt(Voxels, "voxels of the batch");
    }
}
