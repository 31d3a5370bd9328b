namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>
/// The mean shift with a group of threads for each seed, which walks the ball's voxels together, and one for
/// each tile of the score gradient. Plain shared-memory reductions in a fixed order, no warp operations, no
/// atomics: every GPU, and the same bits every time.
/// </summary>
/// <remarks>Budget: kernels/README.md.</remarks>
internal sealed class MeanShiftGrouped<T, TReal> : IMeanShift<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    /// <summary>Threads of every group.</summary>
    public const int MostThreads = GroupWalk.Threads;

    /// <summary>Bytes of shared memory of the hungriest kernel, the gather.</summary>
    public static int SharedBytes => GatherLists.Bytes + GatherLists.Staged * 9 * Unsafe.SizeOf<T>();

    private readonly Accelerator accelerator;
    private readonly MeanShiftDirect<T, TReal> direct;
    private readonly Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<int>, ArrayView<int>, ArrayView<T>,
        MeanShiftShape, CenterDistance> totalLoss;
    private readonly Dictionary<Weighting, WeightedKernels> weighted = [];

    /// <summary>
    /// Compiles the kernels for an accelerator; those of a weighting follow at its first use.
    /// </summary>
    public MeanShiftGrouped(Accelerator accelerator)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        this.accelerator = accelerator;
        direct = new MeanShiftDirect<T, TReal>(accelerator);
        accelerator.Load(TotalLossKernel, new KernelSpecialization(MostThreads, null), out totalLoss);
    }

    /// <inheritdoc/>
    public long WorkspaceBytes(MeanShiftShape shape, MeanShiftParameters parameters, long centers)
        => Math.Max(SquaresLength(shape, centers), ChainLength(shape, parameters)) * Unsafe.SizeOf<T>();

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchSampleSeeds(AcceleratorStream stream, CenterViews<T> centers, ArrayView<int> step,
        ArrayView<T> seeds, MeanShiftShape shape, SeedSampling sampling)
        => direct.SampleSeeds(stream, centers, step, seeds, shape, sampling);

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchForward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> seeds, ArrayView<T> trajectory, ArrayView<byte> workspace,
        MeanShiftShape shape,
        MeanShiftParameters parameters)
        => For(parameters.Weighting).Forward(
            stream,
            Groups(shape.Points),
            scores,
            seeds,
            trajectory,
            scores,
            None(scores),
            None(scores),
            scores,
            shape,
            new BallConstants<T>(parameters));

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchCenterLossForward(
        AcceleratorStream stream,
        ArrayView<T> positions, CenterViews<T> centers, NearestPairs nearest, ArrayView<T> loss,
        MeanShiftShape shape,
        CenterDistance distance)
        => ((IMeanShift<T>)direct).CenterLossForward(stream, positions, centers, nearest, loss, shape, distance);

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchCenterLossBackward(
        AcceleratorStream stream,
        ArrayView<T> gradLoss, ArrayView<T> positions, CenterViews<T> centers, NearestPairs nearest, ArrayView<T> gradPositions,
        MeanShiftShape shape,
        CenterDistance distance)
        => ((IMeanShift<T>)direct).CenterLossBackward(
            stream, gradLoss, positions, centers, nearest, gradPositions, shape, distance);

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchLossForward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> seeds, ArrayView<T> trajectory, CenterViews<T> centers, NearestPairs nearest,
            ArrayView<T> loss, ArrayView<byte> workspace,
            MeanShiftShape shape,
            MeanShiftParameters parameters,
            CenterDistance distance)
    {
        ArrayView<T> squares = Part(workspace, SquaresLength(shape, nearest.Points.Length));
        For(parameters.Weighting).Forward(
            stream,
            Groups(shape.Points),
            scores,
            seeds,
            trajectory,
            centers.Positions,
            centers.Offsets,
            nearest.Centers,
            squares,
            shape,
            new BallConstants<T>(parameters));
        totalLoss(stream, Groups(1), squares, centers.Offsets, nearest.Points, loss, shape, distance.Known());
    }

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchLossBackward(
        AcceleratorStream stream,
        ArrayView<T> gradLoss, ArrayView<T> scores, ArrayView<T> trajectory, CenterViews<T> centers, NearestPairs nearest,
            ArrayView<T> gradPositions, ArrayView<T> gradScores, ArrayView<byte> workspace,
            MeanShiftShape shape,
            MeanShiftParameters parameters,
            CenterDistance distance)
        => Backward(stream, gradLoss, scores, trajectory, centers, nearest, gradScores, workspace, shape, parameters, distance);

    /// <inheritdoc/>
    void IMeanShift<T>.LaunchBackward(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> trajectory, ArrayView<T> gradPositions, ArrayView<T> gradScores,
            ArrayView<byte> workspace, MeanShiftShape shape, MeanShiftParameters parameters)
        => Backward(
            stream,
            gradPositions,
            scores,
            trajectory,
            new CenterViews<T>(gradPositions, None(scores)),
            new NearestPairs(None(scores), None(scores)),
            gradScores,
            workspace,
            shape,
            parameters,
            default);

    // From the loss's gradient, or, without offsets of centres, from that of the end points.
    private void Backward(
        AcceleratorStream stream,
        ArrayView<T> upstream, ArrayView<T> scores, ArrayView<T> trajectory, CenterViews<T> centers, NearestPairs nearest,
            ArrayView<T> gradScores, ArrayView<byte> workspace,
            MeanShiftShape shape,
            MeanShiftParameters parameters,
            CenterDistance distance)
    {
        WeightedKernels kernels = For(parameters.Weighting);
        BallConstants<T> constants = new(parameters);
        int gradientIterations = parameters.GradientIterations(shape.Iterations);
        ArrayView<T> chain = Part(workspace, ChainLength(shape, parameters));
        kernels.Chain(
            stream, Groups(shape.Points), scores, trajectory, upstream, centers.Positions, centers.Offsets, nearest.Centers,
            nearest.Points, chain, shape, constants, gradientIterations, distance.Known());
        kernels.Gather(
            stream,
            Groups(shape.Batch * ScoreTiles.Count(shape)),
            trajectory,
            chain,
            gradScores,
            shape,
            constants,
            gradientIterations);
    }

    /// <summary>
    /// The direct kernel: points of inference are many, so that a thread for each fills the device.
    /// </summary>
    void IMeanShift<T>.LaunchConverge(
        AcceleratorStream stream,
        ArrayView<T> scores, ArrayView<T> positions, ArrayView<T> converged, ArrayView<int> iterations, ArrayView<T> support,
            ArrayView<byte> workspace, MeanShiftShape shape, MeanShiftParameters parameters, double toleranceVoxels)
        => direct.Converge(stream, scores, positions, converged, iterations, support, shape, parameters, toleranceVoxels);

    /// <inheritdoc/>
    public void Dispose() => direct.Dispose();

    // A view of nothing, where a kernel has no centres to look at.
    private static ArrayView<int> None(ArrayView<T> any) => any.Cast<int>().SubView(0, 0);

    private static KernelConfig Groups(long groups) => new(checked((int)groups), MostThreads);

    // The forward and the backward pass each begin at the workspace's beginning: neither leaves anything to
    // the other.
    private static ArrayView<T> Part(ArrayView<byte> workspace, long length)
        => workspace.SubView(0, length * Unsafe.SizeOf<T>()).Cast<T>();

    // From each point to its nearest centre, and from each centre to the points of its item.
    private static long SquaresLength(MeanShiftShape shape, long centers) => shape.Points + centers * shape.SeedsPerItem;

    private static long ChainLength(MeanShiftShape shape, MeanShiftParameters parameters)
        => shape.Points * parameters.GradientIterations(shape.Iterations) * 3;

    // nearestPoint[c] = argmin over the points of centre c's item of squares, the lowest index winning ties;
    // loss = mean over items with centres of (sum over centres of the least dist/centres + sum over points of
    // dist/S), dist the square or its root, 0 if no item has centres. One group: sixteen threads per centre,
    // eight centres at a time, then a thread per point. Both overwritten; each thread's sum in index order,
    // then as GroupSum.Sum.
    [Kernel(MaxGroupSize = MostThreads)]
    internal static void TotalLossKernel(
        ArrayView<T> squares, // [N, S] points to their nearest centre, then [M, S] centres to their item's points
        ArrayView<int> centerOffsets, // [N + 1]
        ArrayView<int> nearestPoint, // [M]
        ArrayView<T> loss, // [1]
        MeanShiftShape shape,
        CenterDistance distance)
    {
        const int lanes = 16;
        ArrayView<Quad<T>> sums = SharedMemory.Allocate<Quad<T>>(GroupSum.MemoryLength);
        ArrayView<T> least = SharedMemory.Allocate<T>(GroupWalk.Threads);
        ArrayView<int> indices = SharedMemory.Allocate<int>(GroupWalk.Threads);
        T sum = T.Zero;
        for (int item = 0; item < shape.Batch; item++)
        {
            int first = centerOffsets[item];
            int end = centerOffsets[item + 1];
            T overCenters = T.Zero;
            for (int firstCenter = first; firstCenter < end; firstCenter += GroupWalk.Threads / lanes)
            {
                int c = firstCenter + Group.IdxX / lanes;
                int best = -1;
                T bestSquared = T.Zero;
                if (c < end)
                {
                    long row = shape.Points + (long)c * shape.SeedsPerItem;
                    for (int s = Group.IdxX % lanes; s < shape.SeedsPerItem; s += lanes)
                    {
                        T squared = squares[row + s];
                        if (best < 0 || squared < bestSquared)
                        {
                            best = s;
                            bestSquared = squared;
                        }
                    }
                }

                Group.Barrier();
                least[Group.IdxX] = bestSquared;
                indices[Group.IdxX] = best;
                Group.Barrier();
                if (Group.IdxX % lanes == 0 && c < end)
                {
                    for (int other = Group.IdxX + 1; other < Group.IdxX + lanes; other++)
                    {
                        // The lowest index wins ties, as if one thread had looked at all.
                        if (indices[other] >= 0 && (
                            least[other] < bestSquared || (least[other] == bestSquared && indices[other] < best)))
                        {
                            best = indices[other];
                            bestSquared = least[other];
                        }
                    }

                    nearestPoint[c] = best;
                    overCenters += MeanShiftDirect<T, TReal>.Length(bestSquared, distance);
                }
            }

            if (first < end)
            {
                T overPoints = T.Zero;
                for (int s = Group.IdxX; s < shape.SeedsPerItem; s += GroupWalk.Threads)
                {
                    overPoints += MeanShiftDirect<T, TReal>.Length(squares[(long)item * shape.SeedsPerItem + s], distance);
                }

                sum += overCenters / TReal.From(end - first) + overPoints / TReal.From(shape.SeedsPerItem);
            }
        }

        Quad<T> total = GroupSum.Sum(sums, new Quad<T>(sum, T.Zero, T.Zero, T.Zero));
        int items = MeanShiftDirect<T, TReal>.ItemsWithCenters(centerOffsets, shape);
        if (Group.IdxX == 0)
            loss[0] = items == 0 ? T.Zero : total.X / TReal.From(items);
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
        Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<int>,
            ArrayView<int>, ArrayView<T>, MeanShiftShape, BallConstants<T>> Forward,
        Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<int>,
            ArrayView<int>, ArrayView<int>, ArrayView<T>, MeanShiftShape, BallConstants<T>, int, CenterDistance> Chain,
        Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, MeanShiftShape, BallConstants<T>,
            int> Gather)
    {
        public static WeightedKernels Load<TWeighting>(Accelerator accelerator)
            where TWeighting : struct, IWeighting<T>
        {
            KernelSpecialization specialization = new(MostThreads, null);
            return new WeightedKernels(
                accelerator
                    .Load<Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
                        ArrayView<int>, ArrayView<int>, ArrayView<T>, MeanShiftShape, BallConstants<T>>>(
                    MeanShiftGroupedKernels<T, TReal, TWeighting>.ForwardKernel, specialization),
                accelerator
                    .Load<Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
                        ArrayView<int>, ArrayView<int>, ArrayView<int>, ArrayView<T>, MeanShiftShape, BallConstants<T>, int,
                            CenterDistance>>(
                    MeanShiftGroupedKernels<T, TReal, TWeighting>.ChainKernel, new KernelSpecialization(
                        MostThreads, MeanShiftGroupedKernels<T, TReal, TWeighting>.ChainGroups)),
                accelerator
                    .Load<Action<AcceleratorStream, KernelConfig, ArrayView<T>, ArrayView<T>, ArrayView<T>, MeanShiftShape,
                        BallConstants<T>, int>>(
                    MeanShiftGroupedKernels<T, TReal, TWeighting>.GatherKernel, specialization));
        }
    }
}

/// <summary>How a group of threads shares a box of voxels.</summary>
internal static class GroupWalk
{
    /// <summary>Threads of a group.</summary>
    public const int Threads = GroupSum.Threads;

    /// <summary>Neighbouring threads along x, 32 bytes of float32; each takes two voxels at a time.</summary>
    public const int Lanes = 8;

    /// <summary>Rows of voxels that the group takes at a time.</summary>
    public const int Rows = Threads / Lanes;
}

/// <summary>The lists of a tile's records in shared memory.</summary>
internal static class GatherLists
{
    /// <summary>Records that a thread tests at a time.</summary>
    public const int PerThread = 4;

    /// <summary>Records whose numbers are in shared memory at a time.</summary>
    public const int Staged = GroupWalk.Threads;

    /// <summary>Bytes of the list of hits, the threads' counts and their sums.</summary>
    public const int Bytes = (PerThread * GroupWalk.Threads + GroupWalk.Threads + GroupSum.Partials) * sizeof(int);

    /// <summary>
    /// How many the threads before this one have counted, and all together: the same two steps as
    /// <see cref="GroupSum.Sum{T}"/>, with leading barrier.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Before(ArrayView<int> counts, int count, out int total)
    {
        const int each = GroupWalk.Threads / GroupSum.Partials;
        Group.Barrier();
        counts[Group.IdxX] = count;
        Group.Barrier();
        if (Group.IdxX < GroupSum.Partials)
        {
            int partial = 0;
            for (int i = 0; i < each; i++)
                partial += counts[Group.IdxX * each + i];
            counts[GroupWalk.Threads + Group.IdxX] = partial;
        }

        Group.Barrier();
        int before = 0;
        total = 0;
        for (int i = 0; i < GroupSum.Partials; i++)
        {
            int partial = counts[GroupWalk.Threads + i];
            if (i < Group.IdxX / each)
                before += partial;
            total += partial;
        }

        for (int i = Group.IdxX / each * each; i < Group.IdxX; i++)
            before += counts[i];
        return before;
    }
}

/// <summary>The kernels of <see cref="MeanShiftGrouped{T, TReal}"/> that depend on the weighting.</summary>
internal static class MeanShiftGroupedKernels<T, TReal, TWeighting>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
    where TWeighting : struct, IWeighting<T>
{
    // The chain's gradient of a group per seed leaves most multiprocessors with one or two groups; for more
    // of them ptxas 12.4 spilled registers.
    public const int ChainGroups = 2;

    // p(t+1) = p(t) + sum m (q − p) / W, m = (s + s0) k, over the voxels q of the ball; p stays where W = 0.
    // One group per seed runs all iterations: rows of the box around its point 16 at a time, eight threads
    // along x with two voxels each; sums per thread in that order, then as GroupSum.Sum; trajectory
    // overwritten. With centres, the squared distances from the end point to those of its item, and the
    // nearest, which are the first stage of the centre loss; nearestCenter and squares overwritten.
    [Kernel(MaxGroupSize = GroupWalk.Threads)]
    internal static void ForwardKernel(
        ArrayView<T> scores, // [N, D, H, W], pitch ScorePitch
        ArrayView<T> seeds, // [N, S, 3]
        ArrayView<T> trajectory, // [T + 1, N, S, 3]
        ArrayView<T> centers, // [M, 3]
        ArrayView<int> centerOffsets, // [N + 1], or empty: no centres
        ArrayView<int> nearestCenter, // [N, S]
        ArrayView<T> squares, // [N, S] points to their nearest centre, then [M, S] centres to their item's points
        MeanShiftShape shape,
        BallConstants<T> constants)
    {
        ArrayView<Quad<T>> sums = SharedMemory.Allocate<Quad<T>>(GroupSum.MemoryLength);
        int item = Grid.IdxX / shape.SeedsPerItem;
        Point<T> p = Point<T>.Load(seeds, Grid.IdxX);

        // The seeds may be the trajectory's own beginning: nobody writes before all have read.
        Group.Barrier();
        if (Group.IdxX == 0)
            p.Store(trajectory, Grid.IdxX);
        for (int t = 1; t <= shape.Iterations; t++)
        {
            Quad<T> sum = Sum(sums, scores, item, p, p, p, false, shape, constants);
            if (sum.W != T.Zero)
                p = new Point<T>(p.Z + sum.X / sum.W, p.Y + sum.Y / sum.W, p.X + sum.Z / sum.W).OrNaN();
            if (Group.IdxX == 0)
                p.Store(trajectory, t * shape.Points + Grid.IdxX);
        }

        FindNearestCenter(p, centers, centerOffsets, nearestCenter, squares, shape);
    }

    // A thread for each centre; then the first thread looks at what the others found, the lowest index
    // winning ties. Every thread comes to the barrier, centres or not, and goes on to the end: PoCL
    // miscompiles a barrier under a condition, be it the same for all threads.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FindNearestCenter(
        Point<T> point, ArrayView<T> centers, ArrayView<int> centerOffsets, ArrayView<int> nearestCenter, ArrayView<T> squares,
        MeanShiftShape shape)
    {
        ArrayView<T> least = SharedMemory.Allocate<T>(GroupWalk.Threads);
        ArrayView<int> indices = SharedMemory.Allocate<int>(GroupWalk.Threads);
        bool hasCenters = centerOffsets.Length > 0;
        int first = hasCenters ? centerOffsets[Grid.IdxX / shape.SeedsPerItem] : 0;
        int end = hasCenters ? centerOffsets[Grid.IdxX / shape.SeedsPerItem + 1] : 0;
        int best = -1;
        T bestSquared = T.Zero;
        for (int c = first + Group.IdxX; c < end; c += GroupWalk.Threads)
        {
            T squared = point.SquaredDistance(Point<T>.Load(centers, c));
            squares[shape.Points + (long)c * shape.SeedsPerItem + Grid.IdxX % shape.SeedsPerItem] = squared;
            if (best < 0 || squared < bestSquared)
            {
                best = c;
                bestSquared = squared;
            }
        }

        least[Group.IdxX] = bestSquared;
        indices[Group.IdxX] = best;
        Group.Barrier();
        if (Group.IdxX == 0 && hasCenters)
        {
            int candidates = Math.Min(end - first, GroupWalk.Threads);
            for (int other = 1; other < candidates; other++)
            {
                if (least[other] < bestSquared || (least[other] == bestSquared && indices[other] < best))
                {
                    best = indices[other];
                    bestSquared = least[other];
                }
            }

            nearestCenter[Grid.IdxX] = best;
            squares[Grid.IdxX] = bestSquared;
        }
    }

    // From g = dL/dp(T) back: chain(t) = g/W, then g = sum (s + s0) (g·(q − p(t+1))/W) grad_p k, over the
    // ball of p(t); where W = 0 the point had stayed, so g stays and chain is 0, or NaN if the point is no
    // number. With centres, g begins as the centre loss's gradient. One group per seed, walking as the
    // forward kernel does; chain overwritten.
    [Kernel(MaxGroupSize = GroupWalk.Threads, MinGroups = ChainGroups)]
    internal static void ChainKernel(
        ArrayView<T> scores, // [N, D, H, W], pitch ScorePitch
        ArrayView<T> trajectory, // [T + 1, N, S, 3]
        ArrayView<T> upstream, // [1], dL/dloss; without centres [N, S, 3], dL/dp(T)
        ArrayView<T> centers, // [M, 3]
        ArrayView<int> centerOffsets, // [N + 1], or empty: no centres
        ArrayView<int> nearestCenter, // [N, S]
        ArrayView<int> nearestPoint, // [M]
        ArrayView<T> chain, // [N, S, R, 3], R = gradientIterations, the last R iterations
        MeanShiftShape shape,
        BallConstants<T> constants,
        int gradientIterations,
        CenterDistance distance)
    {
        ArrayView<Quad<T>> sums = SharedMemory.Allocate<Quad<T>>(GroupSum.MemoryLength);
        long seed = Grid.IdxX;
        int item = Grid.IdxX / shape.SeedsPerItem;
        Point<T> next = Point<T>.Load(trajectory, shape.Iterations * shape.Points + seed);
        Point<T> g = centerOffsets.Length > 0
            ? MeanShiftDirect<T, TReal>.CenterLossGradient(
                Grid.IdxX, next, upstream, centers, centerOffsets, nearestCenter, nearestPoint, shape, distance)
            : Point<T>.Load(upstream, seed);
        for (int r = gradientIterations - 1; r >= 0; r--)
        {
            int t = shape.Iterations - gradientIterations + r;
            Point<T> p = Point<T>.Load(trajectory, t * shape.Points + seed);
            Quad<T> sum = Sum(sums, scores, item, p, next, g, true, shape, constants);
            Point<T> record = p.ZeroIfFinite;
            if (sum.W != T.Zero)
            {
                T inverse = T.One / sum.W;
                record = new Point<T>(g.Z * inverse, g.Y * inverse, g.X * inverse);
                inverse *= constants.InverseSquaredBandwidth;
                g = new Point<T>(sum.X * inverse, sum.Y * inverse, sum.Z * inverse);
            }

            if (Group.IdxX == 0)
                record.Store(chain, seed * gradientIterations + r);
            next = p;
        }
    }

    // dL/ds(q) = sum over the records (seed, iteration) whose ball holds q of k (chain · (q − p(t+1))). One
    // group per tile of 8³ voxels, four along x for each thread: the threads test the records against the
    // tile, list the hits in the order thread, record, and load them to shared memory 128 at a time. Sums in
    // that order; gradScores overwritten.
    [Kernel(MaxGroupSize = GroupWalk.Threads)]
    internal static void GatherKernel(
        ArrayView<T> trajectory, // [T + 1, N, S, 3]
        ArrayView<T> chain, // [N, S, R, 3], R = gradientIterations
        ArrayView<T> gradScores, // [N, D, H, W], pitch ScorePitch
        MeanShiftShape shape,
        BallConstants<T> constants,
        int gradientIterations)
    {
        ArrayView<int> hits = SharedMemory.Allocate<int>(GatherLists.PerThread * GroupWalk.Threads);
        ArrayView<int> counts = SharedMemory.Allocate<int>(GroupWalk.Threads + GroupSum.Partials);
        ArrayView<T> staged = SharedMemory.Allocate<T>(3 * 3 * GatherLists.Staged); // p(t), p(t+1), chain
        long tiles = ScoreTiles.Count(shape);
        int item = (int)(Grid.IdxX / tiles);
        TileOrigin origin = TileOrigin.Of((int)(Grid.IdxX % tiles), shape);
        int z = origin.Z + Group.IdxX / 16;
        int y = origin.Y + Group.IdxX / 2 % 8;
        int x = origin.X + Group.IdxX % 2 * 4;
        Point<T> q = new(TReal.From(z), TReal.From(y), TReal.From(x));
        Quad<T> gradient = Quad<T>.Zero;

        int records = shape.SeedsPerItem * gradientIterations;
        for (int block = 0; block < records; block += GatherLists.PerThread * GroupWalk.Threads)
        {
            uint bits = 0;
            int count = 0;
            for (int i = 0; i < GatherLists.PerThread; i++)
            {
                int record = block + i * GroupWalk.Threads + Group.IdxX;
                if (record < records && Reaches(trajectory, chain, item, record, origin, shape, constants, gradientIterations))
                {
                    bits |= 1u << i;
                    count++;
                }
            }

            int position = GatherLists.Before(counts, count, out int total);
            for (int i = 0; i < GatherLists.PerThread; i++)
            {
                if ((bits >> i & 1) != 0)
                {
                    hits[position] = block + i * GroupWalk.Threads + Group.IdxX;
                    position++;
                }
            }

            for (int first = 0; first < total; first += GatherLists.Staged)
            {
                Group.Barrier();
                if (first + Group.IdxX < total)
                {
                    int record = hits[first + Group.IdxX];
                    long seed = (long)item * shape.SeedsPerItem + record / gradientIterations;
                    int t = shape.Iterations - gradientIterations + record % gradientIterations;
                    Point<T>.Load(trajectory, t * shape.Points + seed).Store(staged, Group.IdxX);
                    Point<T>.Load(trajectory, (t + 1) * shape.Points + seed).Store(staged, GatherLists.Staged + Group.IdxX);
                    Point<T>.Load(chain, (long)item * records + record).Store(staged, 2 * GatherLists.Staged + Group.IdxX);
                }

                Group.Barrier();
                int present = Math.Min(GatherLists.Staged, total - first);
                for (int h = 0; h < present; h++)
                {
                    Point<T> p = Point<T>.Load(staged, h);
                    Point<T> next = Point<T>.Load(staged, GatherLists.Staged + h);
                    Point<T> g = Point<T>.Load(staged, 2 * GatherLists.Staged + h);
                    gradient = Quad<T>.Add(gradient, Contribution(q, p, next, g, constants));
                }
            }
        }

        if (z >= shape.Depth || y >= shape.Height)
            return;
        long index = ((((long)item * shape.Depth + z) * shape.Height + y) * shape.Width + x) * shape.ScorePitch;
        if (x < shape.Width)
            gradScores[index] = gradient.X;
        if (x + 1 < shape.Width)
            gradScores[index + shape.ScorePitch] = gradient.Y;
        if (x + 2 < shape.Width)
            gradScores[index + 2L * shape.ScorePitch] = gradient.Z;
        if (x + 3 < shape.Width)
            gradScores[index + 3L * shape.ScorePitch] = gradient.W;
    }

    // Whether a record has a gradient and a ball that can reach the tile, judged by the tile's nearest point.
    // One part in 10⁴ more than the bandwidth, so that no rounding can lose a voxel that the sum would count.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Reaches(
        ArrayView<T> trajectory, ArrayView<T> chain, int item, int record, TileOrigin origin, MeanShiftShape shape,
            BallConstants<T> constants, int gradientIterations)
    {
        long seed = (long)item * shape.SeedsPerItem + record / gradientIterations;
        int t = shape.Iterations - gradientIterations + record % gradientIterations;
        Point<T> g = Point<T>.Load(chain, (long)item * shape.SeedsPerItem * gradientIterations + record);
        Point<T> p = Point<T>.Load(trajectory, t * shape.Points + seed);
        Point<T> nearest = new(Nearest(p.Z, origin.Z), Nearest(p.Y, origin.Y), Nearest(p.X, origin.X));
        bool isZero = g.Z == T.Zero && g.Y == T.Zero && g.X == T.Zero;
        T reach = constants.SquaredBandwidth + constants.SquaredBandwidth / TReal.From(10000);
        // A point that is no number reaches every tile. It is asked for by itself, as ILGPU 1.5.3 forgets on
        // OpenCL what the negation of a comparison means for such.
        return !isZero && (!p.IsFinite || p.SquaredDistance(nearest) < reach);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Nearest(T position, int first)
    {
        T low = TReal.From(first);
        T high = TReal.From(first + ScoreTiles.Edge - 1);
        return position < low ? low : position > high ? high : position;
    }

    // What one record adds to four voxels along x, the first at q.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Quad<T> Contribution(Point<T> q, Point<T> p, Point<T> next, Point<T> g, BallConstants<T> constants)
    {
        T dz = q.Z - p.Z;
        T dy = q.Y - p.Y;
        T squared = dz * dz + dy * dy;
        T product = g.Z * (q.Z - next.Z) + g.Y * (q.Y - next.Y);
        return new Quad<T>(
            Contribution(q.X, squared, product, p.X, next.X, g.X, constants),
            Contribution(q.X + T.One, squared, product, p.X, next.X, g.X, constants),
            Contribution(q.X + TReal.From(2), squared, product, p.X, next.X, g.X, constants),
            Contribution(q.X + TReal.From(3), squared, product, p.X, next.X, g.X, constants));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Contribution(T x, T squared, T product, T p, T next, T g, BallConstants<T> constants)
    {
        T dx = x - p;
        squared += dx * dx;
        T value = TWeighting.Weight(squared * constants.InverseSquaredBandwidth) * (product + g * (x - next));
        // Not zero where the distance is no number, whichever way the comparison is compiled.
        return squared < constants.SquaredBandwidth ? value : squared - squared;
    }

    // (Σ m·(q − p), W) over the ball of p; for the chain (W·b² times the gradient that reaches p, W), as in
    // the direct kernels.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Quad<T> Sum(
        ArrayView<Quad<T>> sums, ArrayView<T> scores, int item, Point<T> p, Point<T> next, Point<T> g, bool isChain,
            MeanShiftShape shape, BallConstants<T> constants)
    {
        int firstZ = BallRange<T, TReal>.First(p.Z, constants.Bandwidth, shape.Depth);
        int firstY = BallRange<T, TReal>.First(p.Y, constants.Bandwidth, shape.Height);
        int firstX = BallRange<T, TReal>.First(p.X, constants.Bandwidth, shape.Width);
        int lastZ = BallRange<T, TReal>.Last(p.Z, constants.Bandwidth, shape.Depth);
        int lastX = BallRange<T, TReal>.Last(p.X, constants.Bandwidth, shape.Width);
        int rows = BallRange<T, TReal>.Last(p.Y, constants.Bandwidth, shape.Height) - firstY + 1;

        Quad<T> sum = Quad<T>.Zero;
        int y = Group.IdxX / GroupWalk.Lanes;
        for (int z = firstZ; z <= lastZ; z++)
        {
            for (; y < rows; y += GroupWalk.Rows)
            {
                T dz = TReal.From(z) - p.Z;
                T dy = TReal.From(firstY + y) - p.Y;
                T rowSquared = dz * dz + dy * dy;
                T rowProduct = g.Z * (TReal.From(z) - next.Z) + g.Y * (TReal.From(firstY + y) - next.Y);
                long row = ((((long)item * shape.Depth + z) * shape.Height + firstY + y) * shape.Width) * shape.ScorePitch;
                for (int x = firstX + Group.IdxX % GroupWalk.Lanes; x <= lastX; x += 2 * GroupWalk.Lanes)
                {
                    // Both are loaded before either is used, whether or not the ball holds them.
                    int other = Math.Min(x + GroupWalk.Lanes, lastX);
                    T score = scores[row + (long)x * shape.ScorePitch];
                    T otherScore = scores[row + (long)other * shape.ScorePitch];
                    sum = Add(sum, score, true, x, dz, dy, rowSquared, rowProduct, p.X, next.X, g.X, isChain, constants);
                    sum = Add(
                        sum, otherScore, x + GroupWalk.Lanes <= lastX, other, dz, dy, rowSquared, rowProduct, p.X, next.X, g.X,
                        isChain, constants);
                }
            }

            // On to the thread's row of the next slice, or of the one after: cheaper than a division.
            y -= rows;
        }

        return GroupSum.Sum(sums, sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Quad<T> Add(
        Quad<T> sum, T score, bool exists, int x, T dz, T dy, T squared, T product, T p, T next, T g, bool isChain,
            BallConstants<T> constants)
    {
        T dx = TReal.From(x) - p;
        squared += dx * dx;
        if (!exists || !(squared < constants.SquaredBandwidth))
            return sum;
        T ratio = squared * constants.InverseSquaredBandwidth;
        T k = TWeighting.Weight(ratio);
        T mass = score + constants.ScoreFloor;
        T m = isChain ? -mass * TWeighting.Slope(ratio, k) * (product + g * (TReal.From(x) - next)) : mass * k;
        return new Quad<T>(sum.X + m * dz, sum.Y + m * dy, sum.Z + m * dx, sum.W + mass * k);
    }
}
