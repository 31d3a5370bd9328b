using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>
/// The mean shift on the CPU device: eight voxels of a row at a time. Seeds are shifted in fixed chunks; the
/// score gradient is summed by slabs of planes, each by one thread that walks all seeds in order, so the bits
/// do not depend on the threads.
/// </summary>
internal sealed unsafe class MeanShiftHostSimd(HostThreads threads) : IMeanShift<float>
{
    private readonly Dictionary<Weighting, HostPasses> passes = new()
    {
        [Weighting.Flat] = new HostPasses<HostFlat>(threads),
        [Weighting.Linear] = new HostPasses<HostLinear>(threads),
        [Weighting.Cone] = new HostPasses<HostCone>(threads),
        [Weighting.Epanechnikov] = new HostPasses<HostEpanechnikov>(threads),
        [Weighting.Gaussian] = new HostPasses<HostGaussian>(threads),
    };

    /// <inheritdoc/>
    public long WorkspaceBytes(MeanShiftShape shape, MeanShiftParameters parameters, long centers)
        => HostRows.WorkspaceBytes(shape, parameters);

    /// <inheritdoc/>
    void IMeanShift<float>.LaunchSampleSeeds(AcceleratorStream stream, CenterViews<float> centers, ArrayView<int> step,
        ArrayView<float> seeds, MeanShiftShape shape, SeedSampling sampling)
    {
        SeedSamplingConstants constants = new(sampling);
        for (int i = 0; i < shape.Points; i++)
            MeanShiftDirect<float, Float32>.SampleSeedsKernel(i, centers.Positions, centers.Offsets, step, seeds, shape,
                constants);
    }

    /// <inheritdoc/>
    void IMeanShift<float>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<float> scores, ArrayView<float> seeds, ArrayView<float> trajectory, ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters)
        => For(parameters.Weighting).Forward(
            HostRows.Of(scores, workspace, shape, parameters), seeds.Pointer(), trajectory.Pointer());

    // The few numbers of the loss do not repay vectors: the direct kernels' bodies, called in order.

    /// <inheritdoc/>
    void IMeanShift<float>.LaunchCenterLossForward(
        AcceleratorStream stream,
        ArrayView<float> positions, CenterViews<float> centers, NearestPairs nearest, ArrayView<float> loss,
        MeanShiftShape shape,
        CenterDistance distance)
    {
        for (int i = 0; i < shape.Points + nearest.Points.Length; i++)
            MeanShiftDirect<float, Float32>.NearestKernel(
                i, positions, centers.Positions, centers.Offsets, nearest.Centers, nearest.Points, shape);
        MeanShiftDirect<float, Float32>.CenterLossKernel(
            0, positions, centers.Positions, centers.Offsets, nearest.Centers, nearest.Points, loss, shape, distance.Known());
    }

    /// <inheritdoc/>
    void IMeanShift<float>.LaunchCenterLossBackward(
        AcceleratorStream stream,
        ArrayView<float> gradLoss, ArrayView<float> positions, CenterViews<float> centers, NearestPairs nearest,
            ArrayView<float> gradPositions, MeanShiftShape shape, CenterDistance distance)
    {
        for (int i = 0; i < shape.Points; i++)
            MeanShiftDirect<float, Float32>.CenterLossBackwardKernel(
                i,
                gradLoss,
                positions,
                centers.Positions,
                centers.Offsets,
                nearest.Centers,
                nearest.Points,
                gradPositions,
                shape,
                distance.Known());
    }

    /// <inheritdoc/>
    void IMeanShift<float>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<float> scores, ArrayView<float> trajectory, ArrayView<float> gradPositions, ArrayView<float> gradScores,
            ArrayView<byte> workspace, MeanShiftShape shape, MeanShiftParameters parameters)
        => For(parameters.Weighting).Backward(
            HostRows.Of(
                scores, workspace, shape, parameters), trajectory.Pointer(), gradPositions.Pointer(), gradScores.Pointer());

    /// <inheritdoc/>
    void IMeanShift<float>.LaunchConverge(
        AcceleratorStream stream,
        ArrayView<float> scores, ArrayView<float> positions, ArrayView<float> converged, ArrayView<int> iterations,
            ArrayView<float> support, ArrayView<byte> workspace,
            MeanShiftShape shape,
            MeanShiftParameters parameters,
            double toleranceVoxels)
        => For(parameters.Weighting).Converge(
            HostRows.Of(scores, workspace, shape, parameters),
            positions.Pointer(),
            converged.Pointer(),
            checked((int)iterations.Length),
            iterations.Pointer(),
            support.Pointer(),
            (float)(toleranceVoxels * toleranceVoxels));

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // A weighting without vectors of its own is computed one voxel at a time.
    private HostPasses For(Weighting weighting)
        => passes.TryGetValue(weighting, out HostPasses? known) ? known
            : passes[weighting] = Weightings.For<float, Float32, HostPasses>(weighting, new OneByOne(threads));

    private sealed class OneByOne(HostThreads threads) : IWeightingUse<float, HostPasses>
    {
        public HostPasses With<TWeighting>()
            where TWeighting : struct, IWeighting<float>
            => new HostPasses<HostOneByOne<TWeighting>>(threads);
    }
}
