namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>Extents of a mean shift over a batch of score maps.</summary>
/// <param name="Batch">N, items.</param>
/// <param name="Depth">D, voxels along z.</param>
/// <param name="Height">H, voxels along y.</param>
/// <param name="Width">W, voxels along x.</param>
/// <param name="SeedsPerItem">S.</param>
/// <param name="Iterations">T, shifts of each seed; at least 1.</param>
/// <param name="ScorePitch">
/// Elements from one voxel of the scores (and of their gradient) to the next: C where the map is one channel
/// of a tensor [N, D, H, W, C], whose view then begins at that channel; 1 for a map of its own.
/// </param>
public readonly record struct MeanShiftShape(
    int Batch,
    int Depth,
    int Height,
    int Width,
    int SeedsPerItem,
    int Iterations,
    int ScorePitch)
{
    /// <summary>D·H·W, voxels of one item.</summary>
    public long ItemVoxels => (long)Depth * Height * Width;

    /// <summary>N·S, seeds of the batch.</summary>
    public long Points => (long)Batch * SeedsPerItem;

    /// <summary>Elements of the trajectory [T + 1, N, S, 3].</summary>
    public long TrajectoryLength => (Iterations + 1) * Points * 3;

    /// <summary>Where the seeds end, [N, S, 3]: the last part of a trajectory.</summary>
    /// <param name="trajectory">[T + 1, N, S, 3].</param>
    /// <exception cref="ArgumentException">The view is shorter.</exception>
    public ArrayView<T> Ends<T>(ArrayView<T> trajectory)
        where T : unmanaged
        => trajectory.Length >= TrajectoryLength
            ? trajectory.SubView(Iterations * Points * 3, Points * 3)
            : throw new ArgumentException($"MeanShiftShape.Ends: trajectory holds {trajectory.Length} elements, expected "
                + $"{TrajectoryLength} or more for this shape.", nameof(trajectory));

    /// <summary>
    /// Elements that a view of the scores must hold: all voxels at their pitch, without what follows the
    /// last.
    /// </summary>
    public long ScoreLength => (Batch * ItemVoxels - 1) * ScorePitch + 1;

    /// <summary>Throws where an extent makes no sense.</summary>
    internal void Check(in Launch launch)
    {
        launch.Least(Batch, 1, "batch");
        launch.Least(Depth, 1, "depth");
        launch.Least(Height, 1, "height");
        launch.Least(Width, 1, "width");
        launch.Least(SeedsPerItem, 1, "seeds per item");
        launch.Least(Iterations, 1, "iterations");
        launch.Least(ScorePitch, 1, "score pitch");
        launch.Product("scores", Batch, Depth, Height, Width, ScorePitch);
        launch.FitsInt(Points, "seeds of the batch");
        // Kernels number an item's shifts with an int, one more iteration than there are, and round up to a
        // word of bits.
        launch.FitsInt((Iterations + 1L) * SeedsPerItem + 32, "positions of an item's trajectory");
    }
}

/// <summary>The numbers of the mean shift.</summary>
/// <param name="BandwidthVoxels">b, the ball's radius; voxels at a distance below it count.</param>
/// <param name="ScoreFloor">s₀, added to every score, so that a seed on dead background still sees a
/// mean.</param>
/// <param name="Weighting">k.</param>
public readonly record struct MeanShiftParameters(double BandwidthVoxels, double ScoreFloor, Weighting Weighting)
{
    /// <summary>
    /// The iterations through which the gradient runs. A flat weighting does not depend on the position, so
    /// that all but the last iteration have none, exactly.
    /// </summary>
    /// <param name="iterations">T.</param>
    public int GradientIterations(int iterations) => Weighting == Weighting.Flat ? 1 : iterations;

    /// <summary>
    /// Throws for a bandwidth without a ball, or of a ball whose voxels cannot be numbered.
    /// </summary>
    internal void Check(in Launch launch)
        => launch.Within(BandwidthVoxels, 1e-6, SeedSampling.MaxRadiusVoxels, nameof(BandwidthVoxels));
}

/// <summary>
/// How seeds are drawn around centres. The same numbers give the same seeds on every device.
/// </summary>
/// <param name="Seed">The random key.</param>
/// <param name="Step">The training step, so that every step draws others.</param>
/// <param name="RadiusVoxels">Radius of the ball around each centre, at most
/// <see cref="MaxRadiusVoxels"/>.</param>
/// <param name="MarginVoxels">Seeds keep this distance from the outermost voxels' centres, at most
/// <see cref="MaxRadiusVoxels"/>.</param>
/// <param name="FirstItem">The place of the first item among the items of the step, so that every item draws
/// others; the maps of one call draw the same numbers.</param>
public readonly record struct SeedSampling(ulong Seed, uint Step, double RadiusVoxels, double MarginVoxels, int FirstItem = 0)
{
    /// <summary>The largest radius and margin.</summary>
    public const double MaxRadiusVoxels = 1024;
}
