namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>
/// The plain mean shift: one thread per seed forward and through the reverse chain, then one thread per voxel
/// that gathers the score gradient. No atomics, no shared memory, any accelerator. The reference for the
/// others.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class MeanShiftDirect<T, TReal> : IMeanShift<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<int>, ArrayView<int>, ArrayView<T>,
        MeanShiftShape, SeedSamplingConstants> sampleSeeds;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<int>, ArrayView<int>,
        ArrayView<int>, MeanShiftShape> findNearest;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<int>, ArrayView<int>,
        ArrayView<int>, ArrayView<T>, MeanShiftShape, CenterDistance> centerLoss;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<int>, ArrayView<int>,
        ArrayView<int>, ArrayView<T>, MeanShiftShape, CenterDistance> centerLossBackward;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<uint>, MeanShiftShape,
        BallConstants<T>, int> listTiles;
    private readonly Accelerator accelerator;
    private readonly Dictionary<Weighting, WeightedKernels> weighted = [];

    /// <summary>
    /// Compiles the kernels for an accelerator; those of a weighting follow at its first use.
    /// </summary>
    public MeanShiftDirect(Accelerator accelerator)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        this.accelerator = accelerator;
        accelerator.Load(SampleSeedsKernel, out sampleSeeds);
        accelerator.Load(NearestKernel, out findNearest);
        accelerator.Load(CenterLossKernel, out centerLoss);
        accelerator.Load(CenterLossBackwardKernel, out centerLossBackward);
        accelerator.Load(ListTilesKernel, out listTiles);
    }

    /// <inheritdoc/>
    public long WorkspaceBytes(MeanShiftShape shape, MeanShiftParameters parameters, long centers)
    {
        int gradientIterations = parameters.GradientIterations(shape.Iterations);
        return ChainLength(shape, gradientIterations) * Unsafe.SizeOf<T>() + MaskLength(shape, gradientIterations) * sizeof(uint);
    }

    /// <summary>Queues the sampling of seeds, whose arguments are checked.</summary>
    public void SampleSeeds(AcceleratorStream stream, CenterViews<T> centers, ArrayView<int> step, ArrayView<T> seeds,
        MeanShiftShape shape, SeedSampling sampling)
        => sampleSeeds(stream, LaunchExtent.Of(shape.Points), centers.Positions, centers.Offsets, step, seeds, shape,
            new SeedSamplingConstants(sampling));

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchSampleSeeds(AcceleratorStream stream, CenterViews<T> centers, ArrayView<int> step,
        ArrayView<T> seeds, MeanShiftShape shape, SeedSampling sampling)
        => SampleSeeds(stream, centers, step, seeds, shape, sampling);

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> seeds, ArrayView<T> trajectory, ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters)
        => For(parameters.Weighting).Forward(
            stream, LaunchExtent.Of(shape.Points), scores, seeds, trajectory, shape, new BallConstants<T>(parameters));

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchCenterLossForward(
        AcceleratorStream stream,
        ArrayView<T> positions, CenterViews<T> centers, NearestPairs nearest, ArrayView<T> loss,
        MeanShiftShape shape,
        CenterDistance distance)
    {
        findNearest(
            stream,
            LaunchExtent.Of(shape.Points + nearest.Points.Length),
            positions,
            centers.Positions,
            centers.Offsets,
            nearest.Centers,
            nearest.Points,
            shape);
        centerLoss(
            stream,
            1,
            positions,
            centers.Positions,
            centers.Offsets,
            nearest.Centers,
            nearest.Points,
            loss,
            shape,
            distance.Known());
    }

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchCenterLossBackward(
        AcceleratorStream stream,
        ArrayView<T> gradLoss, ArrayView<T> positions, CenterViews<T> centers, NearestPairs nearest, ArrayView<T> gradPositions,
        MeanShiftShape shape,
        CenterDistance distance)
        => centerLossBackward(
            stream,
            LaunchExtent.Of(shape.Points),
            gradLoss,
            positions,
            centers.Positions,
            centers.Offsets,
            nearest.Centers,
            nearest.Points,
            gradPositions,
            shape,
            distance.Known());

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> trajectory, ArrayView<T> gradPositions, ArrayView<T> gradScores,
            ArrayView<byte> workspace, MeanShiftShape shape, MeanShiftParameters parameters)
    {
        WeightedKernels kernels = For(parameters.Weighting);
        BallConstants<T> constants = new(parameters);
        int gradientIterations = parameters.GradientIterations(shape.Iterations);
        long chainBytes = ChainLength(shape, gradientIterations) * Unsafe.SizeOf<T>();
        long maskBytes = MaskLength(shape, gradientIterations) * sizeof(uint);
        ArrayView<T> chain = workspace.SubView(0, chainBytes).Cast<T>();
        ArrayView<uint> masks = workspace.SubView(chainBytes, maskBytes).Cast<uint>();

        kernels.Chain(
            stream,
            LaunchExtent.Of(shape.Points),
            scores,
            trajectory,
            gradPositions,
            chain,
            shape,
            constants,
            gradientIterations);
        listTiles(stream, LaunchExtent.Of(masks.Length), trajectory, chain, masks, shape, constants, gradientIterations);
        kernels.Gather(
            stream,
            LaunchExtent.Of(shape.Batch * ScoreTiles.Count(shape) * ScoreTiles.Voxels),
            trajectory,
            chain,
            masks,
            gradScores,
            shape,
            constants,
            gradientIterations);
    }

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchConverge(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> positions, ArrayView<T> converged, ArrayView<int> iterations, ArrayView<T> support,
            ArrayView<byte> workspace, MeanShiftShape shape, MeanShiftParameters parameters, double toleranceVoxels)
        => Converge(stream, scores, positions, converged, iterations, support, shape, parameters, toleranceVoxels);

    /// <summary>
    /// The clustering of inference, for variants that have no other; it needs no workspace.
    /// </summary>
    internal void Converge(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> positions, ArrayView<T> converged, ArrayView<int> iterations, ArrayView<T> support,
        MeanShiftShape shape,
        MeanShiftParameters parameters,
        double toleranceVoxels)
    {
        if (iterations.Length > 0)
            For(parameters.Weighting).Converge(
                stream,
                LaunchExtent.Of(iterations.Length),
                scores,
                positions,
                converged,
                iterations,
                support,
                shape,
                new BallConstants<T>(parameters),
                T.CreateChecked(toleranceVoxels * toleranceVoxels));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private static long ChainLength(MeanShiftShape shape, int gradientIterations) => shape.Points * gradientIterations * 3;

    private static long MaskLength(MeanShiftShape shape, int gradientIterations)
        => shape.Batch * ScoreTiles.Count(shape) * ScoreTiles.MaskWords(shape, gradientIterations);

    // Seed i of an item: centre (i mod count) + a point uniform in the ball, by rejection from the cube in
    // integers of 1/4096 voxel, so that every device and real type accepts the same draws and adds the same
    // exactly representable offset; then clipped to the margin. One thread per seed; seeds overwritten. 64
    // rejections in a row (probability 1e-20) give the centre.
    [Kernel]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void SampleSeedsKernel(
        Index1D index,
        ArrayView<T> centers, // [M, 3]
        ArrayView<int> centerOffsets, // [N + 1]
        ArrayView<int> stepInMemory, // [1]; [0]: the sampling's
        ArrayView<T> seeds, // [N, S, 3]
        MeanShiftShape shape,
        SeedSamplingConstants sampling)
    {
        uint step = stepInMemory.Length > 0 ? (uint)stepInMemory[0] : sampling.Step;
        int item = index / shape.SeedsPerItem;
        int seed = index % shape.SeedsPerItem;
        int first = centerOffsets[item];
        int count = centerOffsets[item + 1] - first;
        if (count == 0)
        {
            T half = T.One / TReal.From(2);
            new Point<T>(
                TReal.From(shape.Depth - 1) * half, TReal.From(shape.Height - 1) * half, TReal.From(shape.Width - 1) * half)
                    .Store(seeds, index);
            return;
        }

        int z = 0;
        int y = 0;
        int x = 0;
        bool accepted = false;
        int range = 2 * sampling.Radius + 1;
        long squaredRadius = (long)sampling.Radius * sampling.Radius;
        for (uint draw = 0; draw < 64 && !accepted; draw++)
        {
            PhiloxBlock random = Philox.Block(draw, (uint)seed, (uint)(sampling.FirstItem + item), step, sampling.Seed);
            int drawnZ = Philox.Below(random.X, range) - sampling.Radius;
            int drawnY = Philox.Below(random.Y, range) - sampling.Radius;
            int drawnX = Philox.Below(random.Z, range) - sampling.Radius;
            accepted = (long)drawnZ * drawnZ + (long)drawnY * drawnY + (long)drawnX * drawnX <= squaredRadius;
            if (accepted)
            {
                z = drawnZ;
                y = drawnY;
                x = drawnX;
            }
        }

        Point<T> center = Point<T>.Load(centers, first + seed % count);
        new Point<T>(
            Clip(center.Z + Voxels(z), shape.Depth, sampling.Margin),
            Clip(center.Y + Voxels(y), shape.Height, sampling.Margin),
            Clip(center.X + Voxels(x), shape.Width, sampling.Margin)).Store(seeds, index);
    }

    // Exact: a division by a power of two.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Voxels(int steps) => TReal.From(steps) / TReal.From(SeedSamplingConstants.StepsPerVoxel);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Clip(T position, int extent, int marginSteps)
    {
        T last = TReal.From(extent - 1);
        T middle = last / TReal.From(2);
        T margin = Voxels(marginSteps);
        if (margin > middle)
            margin = middle;
        if (position < margin)
            position = margin;
        return position > last - margin ? last - margin : position;
    }

    // nearestCenter[n,s] = argmin over the item's centres of the distance to point s; nearestPoint[c] =
    // argmin over its item's points of the distance to centre c; the lowest index wins ties. One thread per
    // point, then one per centre; both overwritten.
    [Kernel]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void NearestKernel(
        Index1D index,
        ArrayView<T> positions, // [N, S, 3]
        ArrayView<T> centers, // [M, 3]
        ArrayView<int> centerOffsets, // [N + 1]
        ArrayView<int> nearestCenter, // [N, S]
        ArrayView<int> nearestPoint, // [M]
        MeanShiftShape shape)
    {
        int best = -1;
        T bestDistance = T.Zero;
        if (index < shape.Points)
        {
            int item = index / shape.SeedsPerItem;
            Point<T> point = Point<T>.Load(positions, index);
            int end = centerOffsets[item + 1];
            for (int c = centerOffsets[item]; c < end; c++)
            {
                T distance = point.SquaredDistance(Point<T>.Load(centers, c));
                if (best < 0 || distance < bestDistance)
                {
                    best = c;
                    bestDistance = distance;
                }
            }

            nearestCenter[index] = best;
        }
        else
        {
            int c = (int)(index - shape.Points);
            int item = 0;
            while (item < shape.Batch && centerOffsets[item + 1] <= c)
                item++;
            if (item == shape.Batch)
                return;
            Point<T> center = Point<T>.Load(centers, c);
            for (int s = 0; s < shape.SeedsPerItem; s++)
            {
                T distance = center.SquaredDistance(Point<T>.Load(positions, (long)item * shape.SeedsPerItem + s));
                if (best < 0 || distance < bestDistance)
                {
                    best = s;
                    bestDistance = distance;
                }
            }

            nearestPoint[c] = best;
        }
    }

    // loss = mean over items with centres of (sum over centres of dist(c, nearest point)/centres + sum over
    // points of dist(p, nearest centre)/S); dist squared or Euclidean. One thread, for the numbers are few:
    // sums in index order; loss overwritten.
    [Kernel]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void CenterLossKernel(
        Index1D index,
        ArrayView<T> positions, // [N, S, 3]
        ArrayView<T> centers, // [M, 3]
        ArrayView<int> centerOffsets, // [N + 1]
        ArrayView<int> nearestCenter, // [N, S]
        ArrayView<int> nearestPoint, // [M]
        ArrayView<T> loss, // [1]
        MeanShiftShape shape,
        CenterDistance distance)
    {
        T total = T.Zero;
        for (int item = 0; item < shape.Batch; item++)
        {
            int first = centerOffsets[item];
            int end = centerOffsets[item + 1];
            if (first == end)
                continue;
            long points = (long)item * shape.SeedsPerItem;
            T overCenters = T.Zero;
            for (int c = first; c < end; c++)
                overCenters += Distance(Point<T>.Load(positions, points + nearestPoint[c]), Point<T>.Load(centers, c), distance);
            T overPoints = T.Zero;
            for (int s = 0; s < shape.SeedsPerItem; s++)
                overPoints += Distance(
                    Point<T>.Load(positions, points + s), Point<T>.Load(centers, nearestCenter[points + s]), distance);
            total += overCenters / TReal.From(end - first) + overPoints / TReal.From(shape.SeedsPerItem);
        }

        int items = ItemsWithCenters(centerOffsets, shape);
        loss[0] = items == 0 ? T.Zero : total / TReal.From(items);
    }

    // gradPositions[p] = gradLoss/items · (∇dist(p, its centre)/S + sum over the centres c whose nearest
    // point is p of ∇dist(p, c)/centres). One thread per point, centres in index order; overwritten; 0 at
    // distance 0 and without centres.
    [Kernel]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void CenterLossBackwardKernel(
        Index1D index,
        ArrayView<T> gradLoss, // [1]
        ArrayView<T> positions, // [N, S, 3]
        ArrayView<T> centers, // [M, 3]
        ArrayView<int> centerOffsets, // [N + 1]
        ArrayView<int> nearestCenter, // [N, S]
        ArrayView<int> nearestPoint, // [M]
        ArrayView<T> gradPositions, // [N, S, 3]
        MeanShiftShape shape,
        CenterDistance distance)
    {
        Point<T> point = Point<T>.Load(positions, index);
        CenterLossGradient(index.X, point, gradLoss, centers, centerOffsets, nearestCenter, nearestPoint, shape, distance).Store(
            gradPositions, index);
    }

    /// <summary>
    /// The gradient of the centre loss with respect to one end point, as
    /// <see cref="CenterLossBackwardKernel"/> stores it.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Point<T> CenterLossGradient(
        int index,
        Point<T> point,
        ArrayView<T> gradLoss, // [1]
        ArrayView<T> centers, // [M, 3]
        ArrayView<int> centerOffsets, // [N + 1]
        ArrayView<int> nearestCenter, // [N, S]
        ArrayView<int> nearestPoint, // [M]
        MeanShiftShape shape,
        CenterDistance distance)
    {
        int item = index / shape.SeedsPerItem;
        int s = index % shape.SeedsPerItem;
        int first = centerOffsets[item];
        int end = centerOffsets[item + 1];
        Point<T> gradient = new(T.Zero, T.Zero, T.Zero);
        if (first < end)
        {
            T scale = gradLoss[0] / TReal.From(ItemsWithCenters(centerOffsets, shape));
            gradient = AddDistanceGradient(
                gradient, point, Point<T>.Load(centers, nearestCenter[index]), scale / TReal.From(shape.SeedsPerItem), distance);
            for (int c = first; c < end; c++)
            {
                if (nearestPoint[c] == s)
                    gradient = AddDistanceGradient(
                        gradient, point, Point<T>.Load(centers, c), scale / TReal.From(end - first), distance);
            }
        }

        return gradient;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Distance(Point<T> point, Point<T> center, CenterDistance distance)
        => Length(point.SquaredDistance(center), distance);

    /// <summary>A squared distance, as the loss measures it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static T Length(T squared, CenterDistance distance)
        => distance == CenterDistance.Squared ? squared : TReal.Sqrt(squared);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Point<T> AddDistanceGradient(
        Point<T> gradient, Point<T> point, Point<T> center, T scale, CenterDistance distance)
    {
        T factor = scale + scale;
        if (distance == CenterDistance.Euclidean)
        {
            T length = TReal.Sqrt(point.SquaredDistance(center));
            factor = length > T.Zero ? scale / length : T.Zero;
        }

        return new Point<T>(
            gradient.Z + factor * (point.Z - center.Z),
            gradient.Y + factor * (point.Y - center.Y),
            gradient.X + factor * (point.X - center.X));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int ItemsWithCenters(ArrayView<int> centerOffsets, MeanShiftShape shape)
    {
        int items = 0;
        for (int item = 0; item < shape.Batch; item++)
        {
            if (centerOffsets[item + 1] > centerOffsets[item])
                items++;
        }

        return items;
    }

    // Bit r of an item's tile says whether record r = seed·iterations + iteration has a gradient and a ball
    // that can reach the tile; one whose point is no number reaches all. One thread per mask word; masks
    // overwritten.
    [Kernel]
    internal static void ListTilesKernel(
        Index1D index,
        ArrayView<T> trajectory, // [T + 1, N, S, 3]
        ArrayView<T> chain, // [N, S, R, 3], R = gradientIterations
        ArrayView<uint> masks, // [N, tiles, words]
        MeanShiftShape shape,
        BallConstants<T> constants,
        int gradientIterations)
    {
        int words = ScoreTiles.MaskWords(shape, gradientIterations);
        int word = index % words;
        long itemTile = index / words;
        long tiles = ScoreTiles.Count(shape);
        int item = (int)(itemTile / tiles);
        TileOrigin origin = TileOrigin.Of((int)(itemTile % tiles), shape);

        uint bits = 0;
        int records = shape.SeedsPerItem * gradientIterations;
        for (int bit = 0; bit < ScoreTiles.MaskBits; bit++)
        {
            int record = word * ScoreTiles.MaskBits + bit;
            if (record >= records)
                break;
            long seed = (long)item * shape.SeedsPerItem + record / gradientIterations;
            int iteration = shape.Iterations - gradientIterations + record % gradientIterations;
            Point<T> gradient = Point<T>.Load(chain, (long)item * records + record);
            if (gradient.Z == T.Zero && gradient.Y == T.Zero && gradient.X == T.Zero)
                continue;
            Point<T> p = Point<T>.Load(trajectory, iteration * shape.Points + seed);
            if (!p.IsFinite || (BallRange<T, TReal>.First(p.Z, constants.Bandwidth, shape.Depth) < origin.Z + ScoreTiles.Edge
                && BallRange<T, TReal>.Last(p.Z, constants.Bandwidth, shape.Depth) >= origin.Z
                && BallRange<T, TReal>.First(p.Y, constants.Bandwidth, shape.Height) < origin.Y + ScoreTiles.Edge
                && BallRange<T, TReal>.Last(p.Y, constants.Bandwidth, shape.Height) >= origin.Y
                && BallRange<T, TReal>.First(p.X, constants.Bandwidth, shape.Width) < origin.X + ScoreTiles.Edge
                && BallRange<T, TReal>.Last(p.X, constants.Bandwidth, shape.Width) >= origin.X))
            {
                bits |= 1u << bit;
            }
        }

        masks[index] = bits;
    }

    private WeightedKernels For(Weighting weighting)
        => weighted.TryGetValue(weighting, out WeightedKernels? loaded) ? loaded
            : weighted[weighting] = Weightings.For<T, TReal, WeightedKernels>(weighting, new Loading(accelerator));

    private sealed class Loading(Accelerator accelerator) : IWeightingUse<T, WeightedKernels>
    {
        public WeightedKernels With<TWeighting>()
            where TWeighting : struct, IWeighting<T>
            => WeightedKernels.Load<TWeighting>(accelerator);
    }

    private sealed record WeightedKernels(
        Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, MeanShiftShape, BallConstants<T>> Forward,
        Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, MeanShiftShape,
            BallConstants<T>, int> Chain,
        Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<uint>, ArrayView<T>, MeanShiftShape,
            BallConstants<T>, int> Gather,
        Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<int>, ArrayView<T>, MeanShiftShape,
            BallConstants<T>, T> Converge)
    {
        public static WeightedKernels Load<TWeighting>(Accelerator accelerator)
            where TWeighting : struct, IWeighting<T>
            => new(
                accelerator
                    .Load<Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, MeanShiftShape,
                        BallConstants<T>>>(
                    MeanShiftDirectKernels<T, TReal, TWeighting>.ForwardKernel),
                accelerator
                    .Load<Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
                        MeanShiftShape, BallConstants<T>, int>>(
                    MeanShiftDirectKernels<T, TReal, TWeighting>.ChainKernel),
                accelerator
                    .Load<Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<uint>, ArrayView<T>,
                        MeanShiftShape, BallConstants<T>, int>>(
                    MeanShiftDirectKernels<T, TReal, TWeighting>.GatherKernel),
                accelerator
                    .Load<Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<int>,
                        ArrayView<T>, MeanShiftShape, BallConstants<T>, T>>(
                    MeanShiftDirectKernels<T, TReal, TWeighting>.ConvergeKernel));
    }
}

/// <summary>The kernels of <see cref="MeanShiftDirect{T, TReal}"/> that depend on the weighting.</summary>
internal static class MeanShiftDirectKernels<T, TReal, TWeighting>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
    where TWeighting : struct, IWeighting<T>
{
    // p(t+1) = p(t) + sum m (q − p) / W, m = (s + s0) k, over the voxels q of the ball; p stays where W = 0.
    // One thread per seed runs all iterations over the box around its point, sums in the order z, y, x;
    // trajectory overwritten.
    [Kernel]
    internal static void ForwardKernel(
        Index1D index,
        ArrayView<T> scores, // [N, D, H, W], pitch ScorePitch
        ArrayView<T> seeds, // [N, S, 3]
        ArrayView<T> trajectory, // [T + 1, N, S, 3]
        MeanShiftShape shape,
        BallConstants<T> constants)
    {
        int item = index / shape.SeedsPerItem;
        Point<T> p = Point<T>.Load(seeds, index);
        p.Store(trajectory, index);
        for (int t = 1; t <= shape.Iterations; t++)
        {
            BallSum<T> sum = Sum(scores, item, p, shape, constants);
            if (sum.Weight != T.Zero)
                p = new Point<T>(
                    p.Z + sum.Moment.Z / sum.Weight, p.Y + sum.Moment.Y / sum.Weight, p.X + sum.Moment.X / sum.Weight).OrNaN();
            p.Store(trajectory, t * shape.Points + index);
        }
    }

    // The forward pass's shifts, until one is shorter than the tolerance or Iterations are done. One thread
    // per point; writes the end point, the number of shifts and W of the last; all overwritten.
    [Kernel]
    internal static void ConvergeKernel(
        Index1D index,
        ArrayView<T> scores, // [D, H, W], pitch ScorePitch
        ArrayView<T> positions, // [P, 3]
        ArrayView<T> converged, // [P, 3]
        ArrayView<int> iterations, // [P]
        ArrayView<T> support, // [P]
        MeanShiftShape shape,
        BallConstants<T> constants,
        T squaredTolerance)
    {
        Point<T> p = Point<T>.Load(positions, index);
        T weight = T.Zero;
        int done = 0;
        bool moving = true;
        while (moving && done < shape.Iterations)
        {
            BallSum<T> sum = Sum(scores, 0, p, shape, constants);
            weight = sum.Weight;
            done++;
            moving = false;
            if (weight != T.Zero)
            {
                Point<T> next = new(p.Z + sum.Moment.Z / weight, p.Y + sum.Moment.Y / weight, p.X + sum.Moment.X / weight);
                moving = next.SquaredDistance(p) >= squaredTolerance;
                p = next;
            }
        }

        p.Store(converged, index);
        iterations[index] = done;
        support[index] = weight;
    }

    // From g = dL/dp(T) back: chain(t) = g/W, then g = sum (s + s0) (g·(q − p(t+1))/W) grad_p k, over the
    // ball of p(t); where W = 0 the point had stayed, so g stays and chain is 0, or NaN if the point is no
    // number. One thread per seed, sums in the order z, y, x; chain overwritten.
    [Kernel]
    internal static void ChainKernel(
        Index1D index,
        ArrayView<T> scores, // [N, D, H, W], pitch ScorePitch
        ArrayView<T> trajectory, // [T + 1, N, S, 3]
        ArrayView<T> gradPositions, // [N, S, 3]
        ArrayView<T> chain, // [N, S, R, 3], R = gradientIterations, the last R iterations
        MeanShiftShape shape,
        BallConstants<T> constants,
        int gradientIterations)
    {
        int item = index / shape.SeedsPerItem;
        long firstRecord = index.X * (long)gradientIterations;
        Point<T> g = Point<T>.Load(gradPositions, index);
        Point<T> next = Point<T>.Load(trajectory, shape.Iterations * shape.Points + index);
        for (int r = gradientIterations - 1; r >= 0; r--)
        {
            int t = shape.Iterations - gradientIterations + r;
            Point<T> p = Point<T>.Load(trajectory, t * shape.Points + index);
            BallSum<T> sum = SumChain(scores, item, p, next, g, shape, constants);
            if (sum.Weight != T.Zero)
            {
                T inverse = T.One / sum.Weight;
                new Point<T>(g.Z * inverse, g.Y * inverse, g.X * inverse).Store(chain, firstRecord + r);
                inverse *= constants.InverseSquaredBandwidth;
                g = new Point<T>(sum.Moment.Z * inverse, sum.Moment.Y * inverse, sum.Moment.X * inverse);
            }
            else
            {
                p.ZeroIfFinite.Store(chain, firstRecord + r);
            }

            next = p;
        }
    }

    // dL/ds(q) = sum over the records (seed, iteration) whose ball holds q of k (chain · (q − p(t+1))). One
    // thread per voxel, tile by tile, records in order seed, iteration, from the tile's bit mask; gradScores
    // overwritten.
    [Kernel]
    internal static void GatherKernel(
        Index1D index,
        ArrayView<T> trajectory, // [T + 1, N, S, 3]
        ArrayView<T> chain, // [N, S, R, 3], R = gradientIterations
        ArrayView<uint> masks, // [N, tiles, words]
        ArrayView<T> gradScores, // [N, D, H, W], pitch ScorePitch
        MeanShiftShape shape,
        BallConstants<T> constants,
        int gradientIterations)
    {
        TileVoxel voxel = TileVoxel.Of(index, shape);
        if (voxel.Z >= shape.Depth || voxel.Y >= shape.Height || voxel.X >= shape.Width)
            return;
        Point<T> q = new(TReal.From(voxel.Z), TReal.From(voxel.Y), TReal.From(voxel.X));
        long firstSeed = (long)voxel.Item * shape.SeedsPerItem;
        int words = ScoreTiles.MaskWords(shape, gradientIterations);

        T gradient = T.Zero;
        for (int word = 0; word < words; word++)
        {
            uint bits = masks[voxel.ItemTile * words + word];
            int record = word * ScoreTiles.MaskBits;
            while (bits != 0)
            {
                if ((bits & 1) != 0)
                {
                    long seed = firstSeed + record / gradientIterations;
                    int r = record % gradientIterations;
                    int t = shape.Iterations - gradientIterations + r;
                    T squared = q.SquaredDistance(Point<T>.Load(trajectory, t * shape.Points + seed));
                    // Written so that NaN, too, is added.
                    if (!(squared >= constants.SquaredBandwidth))
                    {
                        Point<T> next = Point<T>.Load(trajectory, (t + 1) * shape.Points + seed);
                        Point<T> g = Point<T>.Load(chain, seed * gradientIterations + r);
                        gradient += TWeighting.Weight(squared * constants.InverseSquaredBandwidth)
                            * (g.Z * (q.Z - next.Z) + g.Y * (q.Y - next.Y) + g.X * (q.X - next.X));
                    }
                }

                bits >>= 1;
                record++;
            }
        }

        gradScores[(((long)voxel.Item * shape.Depth + voxel.Z) * shape.Height + voxel.Y) * (long)shape.Width * shape.ScorePitch
            + (long)voxel.X * shape.ScorePitch] = gradient;
    }

    // W and sum of m (q − p): offsets from p keep float32's digits.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static BallSum<T> Sum(ArrayView<T> scores, int item, Point<T> p, MeanShiftShape shape, BallConstants<T> constants)
    {
        T weight = T.Zero;
        T momentZ = T.Zero;
        T momentY = T.Zero;
        T momentX = T.Zero;
        int firstY = BallRange<T, TReal>.First(p.Y, constants.Bandwidth, shape.Height);
        int lastY = BallRange<T, TReal>.Last(p.Y, constants.Bandwidth, shape.Height);
        int firstX = BallRange<T, TReal>.First(p.X, constants.Bandwidth, shape.Width);
        int lastX = BallRange<T, TReal>.Last(p.X, constants.Bandwidth, shape.Width);
        int lastZ = BallRange<T, TReal>.Last(p.Z, constants.Bandwidth, shape.Depth);
        for (int z = BallRange<T, TReal>.First(p.Z, constants.Bandwidth, shape.Depth); z <= lastZ; z++)
        {
            T dz = TReal.From(z) - p.Z;
            for (int y = firstY; y <= lastY; y++)
            {
                T dy = TReal.From(y) - p.Y;
                long row = (((long)item * shape.Depth + z) * shape.Height + y) * shape.Width;
                for (int x = firstX; x <= lastX; x++)
                {
                    T dx = TReal.From(x) - p.X;
                    T squared = dz * dz + dy * dy + dx * dx;
                    if (squared < constants.SquaredBandwidth)
                    {
                        T m = (scores[(row + x) * shape.ScorePitch] + constants.ScoreFloor) * TWeighting.Weight(
                            squared * constants.InverseSquaredBandwidth);
                        weight += m;
                        momentZ += m * dz;
                        momentY += m * dy;
                        momentX += m * dx;
                    }
                }
            }
        }

        return new BallSum<T>(weight, new Point<T>(momentZ, momentY, momentX));
    }

    // W and sum of (s + s0) (g·(q − next)) Slope (p − q), that is W b² times the gradient that reaches p.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static BallSum<T> SumChain(
        ArrayView<T> scores, int item, Point<T> p, Point<T> next, Point<T> g, MeanShiftShape shape, BallConstants<T> constants)
    {
        T weight = T.Zero;
        T momentZ = T.Zero;
        T momentY = T.Zero;
        T momentX = T.Zero;
        int firstY = BallRange<T, TReal>.First(p.Y, constants.Bandwidth, shape.Height);
        int lastY = BallRange<T, TReal>.Last(p.Y, constants.Bandwidth, shape.Height);
        int firstX = BallRange<T, TReal>.First(p.X, constants.Bandwidth, shape.Width);
        int lastX = BallRange<T, TReal>.Last(p.X, constants.Bandwidth, shape.Width);
        int lastZ = BallRange<T, TReal>.Last(p.Z, constants.Bandwidth, shape.Depth);
        for (int z = BallRange<T, TReal>.First(p.Z, constants.Bandwidth, shape.Depth); z <= lastZ; z++)
        {
            T qz = TReal.From(z);
            T dz = qz - p.Z;
            for (int y = firstY; y <= lastY; y++)
            {
                T qy = TReal.From(y);
                T dy = qy - p.Y;
                long row = (((long)item * shape.Depth + z) * shape.Height + y) * shape.Width;
                for (int x = firstX; x <= lastX; x++)
                {
                    T qx = TReal.From(x);
                    T dx = qx - p.X;
                    T squared = dz * dz + dy * dy + dx * dx;
                    if (squared < constants.SquaredBandwidth)
                    {
                        T ratio = squared * constants.InverseSquaredBandwidth;
                        T k = TWeighting.Weight(ratio);
                        T score = scores[(row + x) * shape.ScorePitch] + constants.ScoreFloor;
                        T c = score * TWeighting.Slope(ratio, k) * (
                            g.Z * (qz - next.Z) + g.Y * (qy - next.Y) + g.X * (qx - next.X));
                        weight += score * k;
                        momentZ -= c * dz;
                        momentY -= c * dy;
                        momentX -= c * dx;
                    }
                }
            }
        }

        return new BallSum<T>(weight, new Point<T>(momentZ, momentY, momentX));
    }
}
