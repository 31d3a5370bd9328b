using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Host;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.MeanShift;

/// <summary>
/// The mean-shift loss and its gradient without a tape, for programs with their own training loop: score map
/// and centres in, loss and score gradient out. With device views nothing is copied or waited for. After the
/// first call of a size with the same members set, no device memory is allocated: <see cref="Prepare"/>
/// leaves one buffer to the first call that accumulates, and one to the first that scales. On the CPU device
/// in float32 nothing is left to the garbage collector either.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
public sealed class MeanShiftLoss<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    // More than any memory holds.
    private const double MostElements = 1e15;

    private readonly GpuContext context;
    private readonly MemoryBuffer1D<T, Stride1D.Dense> one;
    private readonly GrowingBuffer<T> trajectory = new();
    private readonly GrowingBuffer<T> gradPositions = new();
    private readonly GrowingBuffer<int> nearestCenter = new();
    private readonly GrowingBuffer<int> nearestPoint = new();
    private readonly GrowingBuffer<byte> workspace = new();
    private readonly GrowingBuffer<T> scoresCopy = new();
    private readonly GrowingBuffer<T> gradScoresCopy = new();
    private readonly GrowingBuffer<T> centersCopy = new();
    private readonly GrowingBuffer<T> lossCopy = new();
    private readonly GrowingBuffer<int> offsetsCopy = new();
    private readonly GrowingBuffer<T> seedsCopy = new();
    private readonly GrowingBuffer<T> upstreamCopy = new();
    private readonly GrowingBuffer<T> positionsCopy = new();
    private readonly GrowingBuffer<int> nearestCopy = new();
    private readonly GrowingBuffer<T> gradAside = new();
    private readonly GrowingBuffer<T> gradLossScaled = new();
    private readonly ChosenLauncher<IMeanShift<T>, MeanShiftShape> launcher;
    private readonly ChosenLauncher<IElementwise<T, T>, ElementwiseShape> elementwise;
    private MeanShiftShape lastShape;
    private bool disposed;

    /// <summary>Takes the settings; kernels are compiled at the first call.</summary>
    /// <param name="context">The device; it must outlive this object.</param>
    /// <param name="options">Null for <see cref="MeanShiftOptions.Compact"/>.</param>
    /// <param name="variant">The name of the variant to use; null for the best, or what the context
    /// forces.</param>
    /// <exception cref="InputException">There is no such variant.</exception>
    public MeanShiftLoss(GpuContext context, MeanShiftOptions? options = null, string? variant = null)
    {
        ArgumentNullException.ThrowIfNull(context);
        this.context = context;
        Options = options ?? MeanShiftOptions.Compact;
        launcher = new(context, MeanShiftVariants<T>.Table, variant);
        elementwise = new(context, ElementwiseVariants<T, T>.Table, variant: null);
        using CallerGate.Pass pass = Enter();
        one = context.Accelerator.Allocate1D([T.One]);
    }

    /// <summary>The settings.</summary>
    public MeanShiftOptions Options { get; }

    /// <summary>
    /// [N, S, 3], where the seeds of the last call ended, those of its last map, on the device. It is empty
    /// before the first call and after a call that was refused. The view holds until the next call, or until
    /// this object, its context or its device is disposed; one that is kept for longer must not be read,
    /// which may end the process.
    /// </summary>
    /// <exception cref="ObjectDisposedException">This object, its context or its device was
    /// disposed.</exception>
    /// <exception cref="InvalidOperationException">Another thread's call is in progress.</exception>
    public ArrayView<T> Positions
    {
        get
        {
            using CallerGate.Pass pass = Enter();
            return lastShape.Ends(Trajectory);
        }
    }

    /// <summary>
    /// [T + 1, N, S, 3], the paths of the seeds of the last call, those of its last map, on the device. The
    /// view holds as long as <see cref="Positions"/>.
    /// </summary>
    /// <exception cref="ObjectDisposedException">This object, its context or its device was
    /// disposed.</exception>
    /// <exception cref="InvalidOperationException">Another thread's call is in progress.</exception>
    public ArrayView<T> Trajectory
    {
        get
        {
            using CallerGate.Pass pass = Enter();
            return trajectory.View.SubView(0, lastShape.TrajectoryLength);
        }
    }

    /// <summary>Bytes of device memory held beyond the caller's views.</summary>
    public long Bytes
        => one.LengthInBytes + trajectory.Bytes + gradPositions.Bytes + nearestCenter.Bytes + nearestPoint.Bytes + workspace.Bytes
            + scoresCopy.Bytes + gradScoresCopy.Bytes + centersCopy.Bytes + lossCopy.Bytes + offsetsCopy.Bytes
            + seedsCopy.Bytes + upstreamCopy.Bytes + positionsCopy.Bytes + nearestCopy.Bytes + gradAside.Bytes
            + gradLossScaled.Bytes;

    /// <summary>
    /// Loss and gradient with seeds drawn on the device. Queues on the context's stream and does not wait.
    /// </summary>
    /// <param name="scores">[N, D, H, W] at the shape's pitch.</param>
    /// <param name="centers">[M, 3], (z, y, x) in voxels, packed over the batch.</param>
    /// <param name="centerOffsets">[N + 1]: item n owns centres centerOffsets[n] to centerOffsets[n + 1] −
    /// 1.</param>
    /// <param name="loss">[1], overwritten.</param>
    /// <param name="gradScores">[N, D, H, W] at the shape's pitch, overwritten.</param>
    /// <param name="shape">From <see cref="MeanShiftOptions.Shape"/>.</param>
    /// <param name="sampling">From <see cref="MeanShiftOptions.Sampling"/>.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape; on the CPU also: offsets do not
    /// rise within the centres.</exception>
    /// <exception cref="InputException">On the CPU: a centre lies outside the volume, or a seed is not
    /// finite.</exception>
    public void Evaluate(
        ArrayView<T> scores,
        ArrayView<T> centers,
        ArrayView<int> centerOffsets,
        ArrayView<T> loss,
        ArrayView<T> gradScores,
        MeanShiftShape shape,
        SeedSampling sampling)
    {
        using CallerGate.Pass pass = Begin();
        Evaluate(new MeanShiftCall<T>
        {
            Shape = shape,
            Scores = scores,
            Sampling = sampling,
            Centers = centers,
            CenterOffsets = centerOffsets,
            Losses = loss,
            GradScores = Wanted(gradScores, shape),
        });
    }

    /// <summary>
    /// Loss and gradient with the caller's seeds. Queues on the context's stream and does not wait.
    /// </summary>
    /// <param name="scores">[N, D, H, W] at the shape's pitch.</param>
    /// <param name="seeds">[N, S, 3], (z, y, x) in voxels.</param>
    /// <param name="centers">[M, 3], packed over the batch.</param>
    /// <param name="centerOffsets">[N + 1].</param>
    /// <param name="loss">[1], overwritten.</param>
    /// <param name="gradScores">[N, D, H, W] at the shape's pitch, overwritten.</param>
    /// <param name="shape">From <see cref="MeanShiftOptions.Shape"/>.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape; on the CPU also: offsets do not
    /// rise within the centres.</exception>
    /// <exception cref="InputException">On the CPU: a centre lies outside the volume, or a seed is not
    /// finite.</exception>
    public void Evaluate(
        ArrayView<T> scores,
        ArrayView<T> seeds,
        ArrayView<T> centers,
        ArrayView<int> centerOffsets,
        ArrayView<T> loss,
        ArrayView<T> gradScores,
        MeanShiftShape shape)
    {
        using CallerGate.Pass pass = Begin();
        RequireShape(shape);
        // An empty view would have seeds drawn.
        RequireLength("seeds", seeds.Length, shape.Points * 3);
        Evaluate(new MeanShiftCall<T>
        {
            Shape = shape,
            Scores = scores,
            Seeds = seeds,
            Centers = centers,
            CenterOffsets = centerOffsets,
            Losses = loss,
            GradScores = Wanted(gradScores, shape),
        });
    }

    /// <summary>
    /// Everything that can be asked of the loss: maps of several classes, given or drawn seeds, the value
    /// alone, an upstream gradient, a gradient that is added, ends and nearest centres. Queues on the
    /// context's stream and does not wait.
    /// </summary>
    /// <param name="call">What is read and written.</param>
    /// <exception cref="ArgumentException">A view is too short for the shape; on the CPU also: offsets do not
    /// rise within the centres.</exception>
    /// <exception cref="InputException">On the CPU: a centre lies outside the volume, or a seed is not
    /// finite.</exception>
    public void Evaluate(in MeanShiftCall<T> call)
    {
        using CallerGate.Pass pass = Begin();
        MeanShiftShape shape = call.Shape;
        RequireShape(shape);
        int maps = call.Maps;
        if (maps < 1 || maps > shape.ScorePitch)
            throw new ArgumentException(
                $"MeanShiftLoss: {maps} maps at a score pitch of {shape.ScorePitch}. Expected 1 to {shape.ScorePitch}: "
                + "for scores [N, D, H, W, C] give scorePitch: C to MeanShiftOptions.Shape.");
        // Not all of the last voxel: a view that begins within a wider tensor ends with its channels.
        long scoreLength = shape.ScoreLength + maps - 1;
        RequireLength("scores", call.Scores.Length, scoreLength);
        RequireLength("centerOffsets", call.CenterOffsets.Length, (long)maps * shape.Batch + 1);
        RequireLength("losses", call.Losses.Length, maps);
        RequireWanted("gradScores", call.GradScores.Length, scoreLength);
        RequireWanted("seeds", call.Seeds.Length, maps * shape.Points * 3);
        if (call.Seeds.Length == 0 && call.Sampling is null)
            throw new ArgumentException("MeanShiftLoss: the call has neither Seeds nor Sampling. Expected one of them; "
                + "MeanShiftOptions.Sampling makes the latter.");
        RequireWanted("upstream", call.Upstream.Length, maps);
        RequireWanted("positions", call.Positions.Length, maps * shape.Points * 3);
        RequireWanted("nearestCenters", call.NearestCenters.Length, maps * shape.Points);
        RequireHere(call);
        if (context.ComputesInHostMemory)
            CheckInHostMemory(call);

        AcceleratorStream stream = context.Stream;
        IMeanShift<T> kernels = launcher.For(shape);
        long centerCount = call.Centers.Length / 3;
        ArrayView<T> paths = trajectory.Require(context, shape.TrajectoryLength);
        NearestPairs nearest = new(nearestCenter.Require(context, shape.Points), nearestPoint.Require(context, centerCount));
        ArrayView<byte> scratch = workspace.Require(context, kernels.WorkspaceBytes(shape, Options.Parameters, centerCount));
        ArrayView<T> gradients = call.GradScores.Length > 0 ? gradPositions.Require(context, shape.Points * 3) : default;

        for (int map = 0; map < maps; map++)
        {
            ArrayView<T> scores = call.Scores.SubView(map, shape.ScoreLength);
            CenterViews<T> centers = new(call.Centers, call.CenterOffsets.SubView((long)map * shape.Batch, shape.Batch + 1));
            ArrayView<T> loss = call.Losses.SubView(map, 1);
            ArrayView<T> seeds;
            if (call.Seeds.Length > 0)
            {
                seeds = call.Seeds.SubView(map * shape.Points * 3, shape.Points * 3);
            }
            else
            {
                seeds = paths.SubView(0, shape.Points * 3);
                kernels.SampleSeeds(stream, centers, seeds, shape, call.Sampling!.Value);
            }

            kernels.LossForward(
                stream, scores, seeds, paths, centers, nearest, loss, scratch, shape, Options.Parameters, Options.Distance);
            if (call.Positions.Length > 0)
                shape.Ends(paths).CopyTo(stream, call.Positions.SubView(map * shape.Points * 3, shape.Points * 3));
            if (call.NearestCenters.Length > 0)
                nearest.Centers.CopyTo(stream, call.NearestCenters.SubView(map * shape.Points, shape.Points));
            if (call.GradScores.Length == 0)
                continue;
            ArrayView<T> gradLoss = GradLoss(call, map);
            ArrayView<T> target = call.GradScores.SubView(map, shape.ScoreLength);
            ArrayView<T> written = call.Accumulate ? gradAside.Require(context, shape.ScoreLength) : target;
            kernels.LossBackward(
                stream, gradLoss, scores, paths, centers, nearest, gradients, written, scratch, shape, Options.Parameters,
                Options.Distance);
            if (call.Accumulate)
                Elementwise.Add(
                    stream, written, target,
                    new ElementwiseShape(shape.Batch * shape.ItemVoxels, 1, shape.ScorePitch, shape.ScorePitch));
        }

        lastShape = shape;
    }

    /// <summary>
    /// Loss and gradient of one volume in the caller's memory: copies in, computes, waits, copies out.
    /// </summary>
    /// <param name="scores">[D, H, W], x fastest.</param>
    /// <param name="depth">D.</param>
    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    /// <param name="centers">[M, 3], (z, y, x) in voxels, inside the volume.</param>
    /// <param name="gradScores">[D, H, W], overwritten.</param>
    /// <param name="seed">The random key of the seed points.</param>
    /// <param name="step">The training step, so that each draws other seed points.</param>
    /// <returns>The loss.</returns>
    /// <exception cref="ArgumentException">A span has the wrong length, or an extent is below 1.</exception>
    /// <exception cref="InputException">A centre lies outside the volume.</exception>
    public T Evaluate(
        ReadOnlySpan<T> scores, int depth, int height, int width, ReadOnlySpan<T> centers, Span<T> gradScores,
        ulong seed,
        uint step = 0)
    {
        using CallerGate.Pass pass = Begin();
        ArgumentOutOfRangeException.ThrowIfLessThan(depth, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        RequireShape(Options.Shape(1, depth, height, width));
        Extent size = new(depth, height, width);
        if (gradScores.Length != size.Voxels)
            throw new ArgumentException(
                $"MeanShiftLoss: {gradScores.Length} gradients for {size} voxels. Expected {size.Voxels}; for the value alone "
                + "give MeanShiftSpans without GradScores.", nameof(gradScores));
        return Evaluate(new MeanShiftSpans<T>
        {
            Size = size,
            Scores = scores,
            Centers = centers,
            GradScores = gradScores,
            Seed = seed,
            Step = step,
        });
    }

    /// <summary>
    /// Does the first evaluation of a size, which compiles the kernels and takes the memory, so that those
    /// that follow take no longer than the last. With spans of zeros, so that nothing of the caller's is
    /// touched. Waits.
    /// </summary>
    /// <param name="size">D, H, W.</param>
    /// <param name="batch">N.</param>
    /// <param name="maps">C.</param>
    /// <param name="centers">Centres of each item and map, at most; more later take more memory then.</param>
    /// <exception cref="ArgumentException">A number is below 1, or they are too large for spans.</exception>
    public void Prepare(Extent size, int batch = 1, int maps = 1, int centers = 64)
    {
        using CallerGate.Pass pass = Begin();
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maps, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(centers, 1);
        double most = Math.Max((double)size.Depth * size.Height * size.Width, 3.0 * centers) * batch * maps;
        if (size.Depth < 1 || size.Height < 1 || size.Width < 1 || most > Array.MaxLength)
            throw new ArgumentException($"MeanShiftLoss.Prepare: {maps} maps of {batch} items of {size} with {centers} centres "
                + $"each. Expected extents of 1 or more, and at most {Array.MaxLength} numbers in a span.", nameof(size));
        T[] zeros = new T[batch * size.Voxels * maps];
        int[] offsets = [.. Enumerable.Range(0, maps * batch + 1).Select(i => i * centers)];
        MeanShiftSpans<T> call = new()
        {
            Size = size,
            Batch = batch,
            Maps = maps,
            Scores = zeros,
            Centers = new T[3L * centers * maps * batch],
            CenterOffsets = offsets,
            GradScores = new T[zeros.Length],
        };
        Evaluate(call);
    }

    /// <summary>
    /// Everything that can be asked of the loss, in the caller's memory: copies in, computes, waits, copies
    /// out.
    /// </summary>
    /// <param name="call">What is read and written.</param>
    /// <returns>The sum of the maps' losses.</returns>
    /// <exception cref="ArgumentException">A span has the wrong length, or an extent is below 1.</exception>
    /// <exception cref="InputException">A centre lies outside the volume, or a seed is not
    /// finite.</exception>
    public T Evaluate(in MeanShiftSpans<T> call)
    {
        using CallerGate.Pass pass = Begin();
        (int batch, int maps, Extent size) = (call.Batch, call.Maps, call.Size);
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1, nameof(call.Batch));
        ArgumentOutOfRangeException.ThrowIfLessThan(maps, 1, nameof(call.Maps));
        if (call.Seeds.Length % ((long)maps * batch * 3) != 0)
            throw new ArgumentException(
                $"MeanShiftLoss: {call.Seeds.Length} numbers are not [C, N, S, 3] seeds for {maps} maps of {batch} items.");
        MeanShiftShape shape = Options.Shape(batch, size.Depth, size.Height, size.Width, maps);
        if (call.Seeds.Length > 0)
            shape = shape with { SeedsPerItem = (int)(call.Seeds.Length / ((long)maps * batch * 3)) };
        RequireShape(shape);
        long scores = batch * shape.ItemVoxels * maps;
        RequireExactly("scores", call.Scores.Length, scores);
        RequireExactlyWanted("gradScores", call.GradScores.Length, scores);
        RequireExactlyWanted("losses", call.Losses.Length, maps);
        RequireExactlyWanted("upstream", call.Upstream.Length, maps);
        RequireExactlyWanted("positions", call.Positions.Length, maps * shape.Points * 3);
        RequireExactlyWanted("nearestCenters", call.NearestCenters.Length, maps * shape.Points);
        if (call.Centers.Length % 3 != 0)
            throw new ArgumentException(
                $"MeanShiftLoss: {call.Centers.Length} numbers are no list of centres. Expected z, y, x of each.");
        CheckInside(call.Centers, size.Depth, size.Height, size.Width);
        CheckFinite(call.Seeds);
        Span<int> whole = [0, call.Centers.Length / 3];
        ReadOnlySpan<int> offsets = call.CenterOffsets.Length > 0 || maps * batch > 1 ? call.CenterOffsets : whole;
        CheckOffsets(offsets, maps * batch, call.Centers.Length / 3);

        Evaluate(new MeanShiftCall<T>
        {
            Shape = shape,
            Maps = maps,
            Scores = ToDevice(scoresCopy, call.Scores),
            Seeds = ToDevice(seedsCopy, call.Seeds),
            Sampling = Options.Sampling(call.Seed, call.Step),
            Centers = ToDevice(centersCopy, call.Centers),
            CenterOffsets = ToDevice(offsetsCopy, offsets),
            Losses = lossCopy.Require(context, maps),
            GradScores = call.GradScores.IsEmpty ? default
                : call.Accumulate ? ToDevice(gradScoresCopy, call.GradScores) : gradScoresCopy.Require(context, scores),
            Upstream = ToDevice(upstreamCopy, call.Upstream),
            Scale = call.Scale,
            Accumulate = call.Accumulate,
            Positions = call.Positions.IsEmpty ? default : positionsCopy.Require(context, call.Positions.Length),
            NearestCenters = call.NearestCenters.IsEmpty ? default : nearestCopy.Require(context, call.NearestCenters.Length),
        });

        Span<T> losses = maps <= 64 ? stackalloc T[maps] : new T[maps];
        ToHost(lossCopy, losses);
        ToHost(gradScoresCopy, call.GradScores);
        ToHost(positionsCopy, call.Positions);
        ToHost(nearestCopy, call.NearestCenters);
        context.Synchronize();
        if (!call.Losses.IsEmpty)
            losses.CopyTo(call.Losses);
        T sum = T.Zero;
        foreach (T loss in losses)
            sum += loss;
        return sum;
    }

    private ArrayView<TElement> ToDevice<TElement>(GrowingBuffer<TElement> copy, ReadOnlySpan<TElement> values)
        where TElement : unmanaged
    {
        ArrayView<TElement> view = copy.Require(context, values.Length);
        if (!values.IsEmpty)
            HostTransfer.ToDevice(context, values, view);
        return view;
    }

    private void ToHost<TElement>(GrowingBuffer<TElement> copy, Span<TElement> values)
        where TElement : unmanaged
    {
        if (!values.IsEmpty)
            HostTransfer.ToHost(context, copy.Require(context, values.Length), values);
    }

    // Every variant takes every shape.
    private IElementwise<T, T> Elementwise => elementwise.For(default);

    // Scale·upstream, on the device.
    private ArrayView<T> GradLoss(in MeanShiftCall<T> call, int map)
    {
        ArrayView<T> upstream = call.Upstream.Length > 0 ? call.Upstream.SubView(map, 1) : one.View;
        if (call.Scale == 1)
            return upstream;
        ArrayView<T> scaled = gradLossScaled.Require(context, 1);
        Elementwise.Scale(context.Stream, upstream, T.CreateChecked(call.Scale), scaled);
        return scaled;
    }

    // An empty view stands for the value alone, which these calls do not offer.
    private static ArrayView<T> Wanted(ArrayView<T> gradScores, MeanShiftShape shape)
    {
        RequireShape(shape);
        RequireLength("gradScores", gradScores.Length, shape.ScoreLength);
        return gradScores;
    }

    private CallerGate.Pass Enter() => context.Enter("MeanShiftLoss", in disposed);

    // What the last call left holds no longer, even if this one is refused.
    private CallerGate.Pass Begin()
    {
        CallerGate.Pass pass = Enter();
        lastShape = default;
        return pass;
    }

    /// <summary>Frees the memory. Waits for a call that another thread has in progress.</summary>
    public void Dispose()
    {
        using CallerGate.Pass pass = context.EnterToDispose();
        disposed = true;
        one.Dispose();
        trajectory.Dispose();
        gradPositions.Dispose();
        nearestCenter.Dispose();
        nearestPoint.Dispose();
        workspace.Dispose();
        scoresCopy.Dispose();
        gradScoresCopy.Dispose();
        centersCopy.Dispose();
        lossCopy.Dispose();
        offsetsCopy.Dispose();
        seedsCopy.Dispose();
        upstreamCopy.Dispose();
        positionsCopy.Dispose();
        nearestCopy.Dispose();
        gradAside.Dispose();
        gradLossScaled.Dispose();
    }

    // Before memory of its size is asked for; doubles do not overflow.
    private static void RequireShape(MeanShiftShape shape)
    {
        ReadOnlySpan<int> extents =
            [shape.Batch, shape.Depth, shape.Height, shape.Width, shape.SeedsPerItem, shape.Iterations, shape.ScorePitch];
        foreach (int extent in extents)
        {
            if (extent < 1)
                throw new ArgumentException(
                    $"MeanShiftLoss: the shape is {shape}. Expected every number to be 1 or more.", nameof(shape));
        }

        double scores = (double)shape.Batch * shape.Depth * shape.Height * shape.Width * shape.ScorePitch;
        double positions = (shape.Iterations + 1.0) * shape.SeedsPerItem;
        if (scores > MostElements || positions > int.MaxValue || positions * shape.Batch > MostElements)
            throw new ArgumentException($"MeanShiftLoss: the shape is {shape}. Expected at most {MostElements} scores and "
                + $"{int.MaxValue} positions of an item's seeds.", nameof(shape));
    }

    private static void RequireLength(string name, long length, long expected)
    {
        if (length < expected)
            throw new ArgumentException($"MeanShiftLoss: {name} holds {length} elements. Expected {expected} or more for this "
                + "shape. Give a longer view, or the shape of what it holds.");
    }

    private static void RequireWanted(string name, long length, long expected)
    {
        if (length > 0)
            RequireLength(name, length, expected);
    }

    private static void RequireExactly(string name, long length, long expected)
    {
        if (length != expected)
            throw new ArgumentException($"MeanShiftLoss: {name} holds {length} elements. Expected {expected} for this shape.");
    }

    private static void RequireExactlyWanted(string name, long length, long expected)
    {
        if (length > 0)
            RequireExactly(name, length, expected);
    }

    // The views that are read or written here, not by a launcher, which looks at those that it is given.
    private void RequireHere(in MeanShiftCall<T> call)
    {
        using Launch launch = Launch.Begin(context.Stream, "MeanShiftLoss");
        launch.Require(call.Centers, 0, nameof(call.Centers));
        launch.Require(call.CenterOffsets, 0, nameof(call.CenterOffsets));
        launch.Require(call.Seeds, 0, nameof(call.Seeds));
        launch.Require(call.Positions, 0, nameof(call.Positions));
        launch.Require(call.NearestCenters, 0, nameof(call.NearestCenters));
    }

    // On a GPU the numbers would have to come back first.
    private static void CheckInHostMemory(in MeanShiftCall<T> call)
    {
        MeanShiftShape shape = call.Shape;
        int lists = call.Maps * shape.Batch;
        ReadOnlySpan<T> centers = call.Centers.AsHostSpan();
        ReadOnlySpan<int> offsets = call.CenterOffsets.AsHostSpan()[..(lists + 1)];
        CheckOffsets(offsets, lists, centers.Length / 3);
        CheckInside(centers[..(3 * offsets[lists])], shape.Depth, shape.Height, shape.Width);
        if (call.Seeds.Length > 0)
            CheckFinite(call.Seeds.AsHostSpan()[..(int)(call.Maps * shape.Points * 3)]);
    }

    /// <summary>Refuses seeds that are not finite.</summary>
    internal static void CheckFinite(ReadOnlySpan<T> seeds)
    {
        for (int i = 0; i < seeds.Length; i++)
        {
            if (!T.IsFinite(seeds[i]))
                throw new InputException(
                    $"mean-shift loss: seed {i / 3} has the coordinate {seeds[i]}. Expected finite voxel coordinates.");
        }
    }

    private static void CheckOffsets(ReadOnlySpan<int> offsets, int lists, int centers)
    {
        RequireExactly("centerOffsets", offsets.Length, lists + 1);
        for (int i = 0; i <= lists; i++)
        {
            if (offsets[i] < (i == 0 ? 0 : offsets[i - 1]) || offsets[i] > centers)
                throw new ArgumentException(
                    $"MeanShiftLoss: centerOffsets holds {offsets[i]} at {i}. Expected numbers from 0 to at most " +
                    $"{centers}, the centres that are there, none less than the one before.");
        }
    }

    private static void CheckInside(ReadOnlySpan<T> centers, int depth, int height, int width)
    {
        ReadOnlySpan<int> extents = [depth, height, width];
        for (int i = 0; i < centers.Length; i++)
        {
            double value = double.CreateChecked(centers[i]);
            if (!(value >= -0.5 && value <= extents[i % 3] - 0.5))
            {
                int c = i / 3 * 3;
                throw new InputException($"mean-shift loss: centre {i / 3} at (z {centers[c]}, y {centers[c + 1]}, x "
                    + $"{centers[c + 2]}) lies outside the volume of {depth}×{height}×{width} voxels. Expected voxel "
                    + "coordinates, the first voxel's centre at 0; leave such centres out.");
            }
        }
    }
}
