using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>
/// The mean shift from every voxel of a score map above a threshold, in memory that does not grow with the
/// map: window by window, each with a margin that no point can cross in a round of iterations. A point that
/// ends a round outside its window's core goes on in the window where it is. Every point therefore sees the
/// scores that it would see in the whole map.
/// </summary>
internal sealed class WindowedMeanShift
{
    private const int CoreEdge = 128;
    private const int MostPointsAtOnce = 1 << 18;

    // A shift is shorter than the bandwidth, so a round of n iterations needs a margin of n + 1 bandwidths.
    // Most points need some ten iterations, of which the first are the longest; the margin costs reading, so
    // wide bandwidths get shorter rounds.
    private const int MarginVoxels = 32;
    private const int MostIterationsInARound = 7;

    private readonly GpuContext context;
    private readonly Arena arena;
    private readonly IVoxelSource scores;
    private readonly float threshold;
    private readonly MeanShiftParameters parameters;
    private readonly PickOptions options;
    private readonly int round;
    private readonly int margin;
    private readonly Extent windows;
    private readonly Dictionary<(int Z, int Y, int X), List<MovingPoint>> waiting = [];
    // Kept from window to window: fresh ones of this size would wait for the garbage collector by the hundred
    // megabytes.
    private readonly List<MovingPoint> starts = [];
    private float[] coreScores = [];
    private float[] windowScores = [];
    private float[] positions = [];
    private int[] iterations = [];
    private Window? inMemory;

    public WindowedMeanShift(
        GpuContext context,
        Arena arena,
        IVoxelSource scores,
        float threshold,
        MeanShiftParameters parameters,
        PickOptions options)
    {
        this.context = context;
        this.arena = arena;
        this.scores = scores;
        this.threshold = threshold;
        this.parameters = parameters;
        this.options = options;
        round = Math.Clamp((int)(MarginVoxels / parameters.BandwidthVoxels) - 1, 1, MostIterationsInARound);
        margin = MarginFor(parameters.BandwidthVoxels);
        windows = new Extent(Along(scores.Size.Depth), Along(scores.Size.Height), Along(scores.Size.Width));
        Cells = new ClusterCells(options.EffectiveMergeDistanceVoxels);
    }

    /// <summary>Where the points came to rest.</summary>
    public ClusterCells Cells { get; }

    /// <summary>How many voxels were above the threshold.</summary>
    public long StartVoxels { get; private set; }

    /// <summary>Most host memory that clustering takes beside the map, in bytes.</summary>
    public static long MemoryBytes(Extent volume, double bandwidth)
    {
        const int BytesPerPoint = 256;
        // Points that came to rest are kept by place: half a million places is some 20 000 particles.
        const long PlacesBytes = 48L << 20;
        long window = LargestWindow(volume, MarginFor(bandwidth));
        long core = (long)Math.Min(volume.Depth, CoreEdge) * Math.Min(volume.Height, CoreEdge) * Math.Min(volume.Width, CoreEdge);
        // The window on the host and on the device, its core, and the points of a batch.
        return sizeof(float) * (2 * window + core) + (long)BytesPerPoint * Math.Min(core, MostPointsAtOnce) + Math.Min(
            PlacesBytes, core * 16);
    }

    /// <summary>Moves every point to its place.</summary>
    /// <param name="progress">Told (windows done, windows); null for no callback.</param>
    /// <param name="cancellation">Stops between two windows.</param>
    public void Run(Action<int, int>? progress, CancellationToken cancellation)
    {
        int done = 0;
        for (int z = 0; z < windows.Depth; z++)
        {
            for (int y = 0; y < windows.Height; y++)
            {
                for (int x = 0; x < windows.Width; x++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    Window window = OpenWindow(z, y, x);
                    foreach (List<MovingPoint> batch in StartsOf(window))
                        Move(window, batch, 0);
                    progress?.Invoke(++done, (int)windows.Voxels);
                }
            }
        }

        // Those that crossed from one window into another; usually few, and none after two or three turns.
        while (waiting.Count > 0)
        {
            ((int Z, int Y, int X) Window, List<MovingPoint> Points)[] turn =
                [.. waiting.OrderBy(w => w.Key).Select(w => (w.Key, w.Value))];
            waiting.Clear();
            foreach (((int z, int y, int x), List<MovingPoint> points) in turn)
            {
                cancellation.ThrowIfCancellationRequested();
                Window window = OpenWindow(z, y, x);
                foreach (IGrouping<int, MovingPoint> sameAge in points.GroupBy(p => p.Iterations).OrderBy(g => g.Key))
                {
                    foreach (MovingPoint[] batch in sameAge.Chunk(MostPointsAtOnce))
                        Move(window, [.. batch], sameAge.Key);
                }
            }
        }
    }

    private static int MarginFor(double bandwidth)
        => (int)Math.Ceiling((Math.Clamp((int)(MarginVoxels / bandwidth) - 1, 1, MostIterationsInARound) + 1) * bandwidth);

    private static long LargestWindow(Extent volume, int margin)
    {
        int edge = CoreEdge + 2 * margin;
        return (long)Math.Min(volume.Depth, edge) * Math.Min(volume.Height, edge) * Math.Min(volume.Width, edge);
    }

    private static int Along(int extent) => (extent + CoreEdge - 1) / CoreEdge;

    private Window OpenWindow(int z, int y, int x)
    {
        Extent size = scores.Size;
        Box core = new Box((z * CoreEdge, y * CoreEdge, x * CoreEdge), new Extent(CoreEdge, CoreEdge, CoreEdge)).ClippedTo(size);
        Box whole = new Box(
            (core.Origin.Z - margin, core.Origin.Y - margin, core.Origin.X - margin),
            new Extent(core.Size.Depth + 2 * margin, core.Size.Height + 2 * margin, core.Size.Width + 2 * margin)).ClippedTo(
                size);
        return new Window(core, whole);
    }

    // The voxels above the threshold in scan order, in batches.
    private IEnumerable<List<MovingPoint>> StartsOf(Window window)
    {
        Box core = window.Core;
        // The first window's core is the largest.
        if (coreScores.Length == 0)
            coreScores = new float[core.Size.Voxels];
        float[] values = coreScores;
        scores.Read(core, values);
        starts.Clear();
        int i = 0;
        for (int z = 0; z < core.Size.Depth; z++)
        {
            for (int y = 0; y < core.Size.Height; y++)
            {
                for (int x = 0; x < core.Size.Width; x++, i++)
                {
                    if (!(values[i] > threshold))
                        continue;
                    (float startZ, float startY, float startX) = (core.Origin.Z + z, core.Origin.Y + y, core.Origin.X + x);
                    starts.Add(new MovingPoint(startZ, startY, startX, startZ, startY, startX, values[i], 0));
                }
            }

            if (starts.Count >= MostPointsAtOnce - core.Size.Height * core.Size.Width)
            {
                yield return starts;
                starts.Clear();
            }
        }

        if (starts.Count > 0)
            yield return starts;
    }

    // Rounds of iterations, until every point has come to rest, has used its iterations up or has left the
    // core. Empties the list.
    private void Move(Window window, List<MovingPoint> points, int iterationsBefore)
    {
        if (iterationsBefore == 0)
            StartVoxels += points.Count;
        arena.Reset();
        Extent size = window.Whole.Size;
        MeanShiftShape shape = new(1, size.Depth, size.Height, size.Width, 1, round, ScorePitch: 1);
        IMeanShift<float> kernels = context.Launcher(MeanShiftVariants<float>.Table, shape);
        ArrayView<float> map = arena.Allocate<float>(size.Voxels);
        ArrayView<byte> workspace = arena.Allocate<byte>(Math.Max(1, kernels.WorkspaceBytes(shape, parameters, centers: 0)));
        ArrayView<float> allPositions = arena.Allocate<float>(3L * points.Count);
        ArrayView<int> allIterations = arena.Allocate<int>(points.Count);
        ArrayView<float> allSupport = arena.Allocate<float>(points.Count);
        map.CopyFromCPU(context.Stream, ScoresOf(window));

        if (iterations.Length < points.Count)
        {
            positions = new float[3 * points.Count];
            iterations = new int[points.Count];
        }

        (int originZ, int originY, int originX) = window.Whole.Origin;
        for (int before = iterationsBefore; points.Count > 0; before += round)
        {
            int count = points.Count;
            int now = Math.Min(round, options.MaximumIterations - before);
            for (int i = 0; i < count; i++)
            {
                positions[3 * i] = (float)(points[i].Z - originZ);
                positions[3 * i + 1] = (float)(points[i].Y - originY);
                positions[3 * i + 2] = (float)(points[i].X - originX);
            }

            ArrayView<float> view = allPositions.SubView(0, 3L * count);
            ArrayView<int> done = allIterations.SubView(0, count);
            view.CopyFromCPU(context.Stream, positions.AsSpan(0, 3 * count));
            kernels.Converge(
                context.Stream,
                map,
                view,
                view,
                done,
                allSupport.SubView(0, count),
                workspace,
                shape with { Iterations = now },
                parameters,
                options.ConvergenceVoxels);
            view.CopyToCPU(context.Stream, positions.AsSpan(0, 3 * count));
            done.CopyToCPU(context.Stream, iterations.AsSpan(0, count));
            context.Synchronize();

            int moving = 0;
            for (int i = 0; i < count; i++)
            {
                MovingPoint point = points[i] with
                {
                    Z = (double)originZ + positions[3 * i],
                    Y = (double)originY + positions[3 * i + 1],
                    X = (double)originX + positions[3 * i + 2],
                    Iterations = before + iterations[i],
                };
                if (iterations[i] < now || point.Iterations >= options.MaximumIterations)
                    Cells.Add(point.AtRest());
                else if (window.CoreHas(point))
                    points[moving++] = point;
                else
                    Wait(point);
            }

            points.RemoveRange(moving, count - moving);
        }
    }

    // Read at first use: most windows of a tomogram hold no particle.
    private ReadOnlySpan<float> ScoresOf(Window window)
    {
        int length = (int)window.Whole.Size.Voxels;
        if (inMemory != window)
        {
            if (windowScores.Length < length)
                windowScores = new float[LargestWindow(scores.Size, margin)];
            scores.Read(window.Whole, windowScores);
            inMemory = window;
        }

        return windowScores.AsSpan(0, length);
    }

    private void Wait(MovingPoint point)
    {
        (int, int, int) window = (
            Math.Clamp((int)(point.Z / CoreEdge), 0, windows.Depth - 1),
            Math.Clamp((int)(point.Y / CoreEdge), 0, windows.Height - 1),
            Math.Clamp((int)(point.X / CoreEdge), 0, windows.Width - 1));
        if (!waiting.TryGetValue(window, out List<MovingPoint>? points))
            waiting[window] = points = [];
        points.Add(point);
    }

    /// <summary>A part of the map whose points are moved, and the same with its margin.</summary>
    private sealed record Window(Box Core, Box Whole)
    {
        public bool CoreHas(MovingPoint p)
            => p.Z >= Core.Origin.Z && p.Z < Core.Origin.Z + Core.Size.Depth
                && p.Y >= Core.Origin.Y && p.Y < Core.Origin.Y + Core.Size.Height
                && p.X >= Core.Origin.X && p.X < Core.Origin.X + Core.Size.Width;
    }

    private readonly record struct MovingPoint(
        double Z, double Y, double X, float StartZ, float StartY, float StartX, float Score, int Iterations)
    {
        public ClusterPoint AtRest()
        {
            double z = Z - StartZ;
            double y = Y - StartY;
            double x = X - StartX;
            return new ClusterPoint(Z, Y, X, Score, (float)Math.Sqrt(z * z + y * y + x * x));
        }
    }
}
