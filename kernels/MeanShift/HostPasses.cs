using System.Runtime.Intrinsics;
using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.MeanShift;

/// <summary>The passes of <see cref="MeanShiftHostSimd"/> under one weighting.</summary>
internal abstract unsafe class HostPasses
{
    /// <summary>seeds [N, S, 3] to trajectory [T + 1, N, S, 3], overwritten.</summary>
    public abstract void Forward(HostRows rows, float* seeds, float* trajectory);

    /// <summary>
    /// trajectory [T + 1, N, S, 3] and gradPositions [N, S, 3] to gradScores [N, D, H, W], overwritten.
    /// </summary>
    public abstract void Backward(HostRows rows, float* trajectory, float* gradPositions, float* gradScores);

    /// <summary>positions [P, 3] to converged [P, 3], iterations [P] and support [P], overwritten.</summary>
    public abstract void Converge(
        HostRows rows, float* positions, float* converged, int count, int* iterations, float* support, float squaredTolerance);
}

/// <inheritdoc/>
internal sealed unsafe class HostPasses<TWeighting> : HostPasses
    where TWeighting : struct, IHostWeighting
{
    // A seed with its iterations costs about 2 µs, a point that converges somewhat more.
    private const int SeedsPerChunk = 8;
    private const int PointsPerChunk = 32;

    // Thin slabs balance the threads where seeds crowd; each slab looks at every record, which costs little.
    private const int PlanesPerSlab = 4;

    // What a pass works on lies here and its bodies are made once, so that a call allocates nothing. One call
    // works at a time (HostThreads refuses a second).
    private readonly HostThreads threads;
    private readonly Action<int, int> copyChunk;
    private readonly Action<int, int> forwardChunk;
    private readonly Action<int, int> chainChunk;
    private readonly Action<int, int> gatherSlab;
    private readonly Action<int, int> convergeChunk;
    private HostRows rows;
    private HostChunks chunks;
    private float* points;
    private float* trajectory;
    private float* gradScores;
    private float* support;
    private int* iterations;
    private float squaredTolerance;

    public HostPasses(HostThreads threads)
    {
        this.threads = threads;
        copyChunk = CopyChunk;
        forwardChunk = ForwardChunk;
        chainChunk = ChainChunk;
        gatherSlab = GatherSlab;
        convergeChunk = ConvergeChunk;
    }

    public override void Forward(HostRows rows, float* seeds, float* trajectory)
    {
        Begin(rows);
        points = seeds;
        this.trajectory = trajectory;
        Run(new HostChunks(rows.Shape.Points, SeedsPerChunk), forwardChunk);
    }

    public override void Backward(HostRows rows, float* trajectory, float* gradPositions, float* gradScores)
    {
        Begin(rows);
        points = gradPositions;
        this.trajectory = trajectory;
        this.gradScores = gradScores;
        Run(new HostChunks(rows.Shape.Points, SeedsPerChunk), chainChunk);
        threads.For(rows.Shape.Batch * Slabs, gatherSlab);
    }

    public override void Converge(
        HostRows rows, float* positions, float* converged, int count, int* iterations, float* support, float squaredTolerance)
    {
        Begin(rows);
        points = positions;
        trajectory = converged;
        this.iterations = iterations;
        this.support = support;
        this.squaredTolerance = squaredTolerance;
        Run(new HostChunks(count, PointsPerChunk), convergeChunk);
    }

    private int Slabs => (rows.Shape.Depth + PlanesPerSlab - 1) / PlanesPerSlab;

    private void Begin(in HostRows work)
    {
        rows = work;
        if (rows.IsCopy)
            Run(HostChunks.Of(rows.Rows, rows.Stride), copyChunk);
    }

    private void Run(HostChunks work, Action<int, int> body)
    {
        chunks = work;
        threads.For(work.Count, body);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void CopyChunk(int chunk, int worker)
    {
        (long start, long end) = chunks.Bounds(chunk);
        for (long row = start; row < end; row++)
            rows.CopyRow(row);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ForwardChunk(int chunk, int worker)
    {
        (long start, long end) = chunks.Bounds(chunk);
        for (long seed = start; seed < end; seed++)
        {
            int item = (int)(seed / rows.Shape.SeedsPerItem);
            Point<float> p = Load(points, seed);
            Store(p, trajectory, seed);
            for (int t = 1; t <= rows.Shape.Iterations; t++)
            {
                p = Shifted(p, Sum(rows, item, p));
                Store(p, trajectory, t * rows.Shape.Points + seed);
            }
        }
    }

    private void ChainChunk(int chunk, int worker)
    {
        (long start, long end) = chunks.Bounds(chunk);
        for (long seed = start; seed < end; seed++)
            ChainOfSeed(rows, seed, trajectory, points);
    }

    private void GatherSlab(int chunk, int worker)
    {
        int first = chunk % Slabs * PlanesPerSlab;
        GatherSlab(rows, chunk / Slabs, first, Math.Min(first + PlanesPerSlab, rows.Shape.Depth), trajectory, gradScores);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ConvergeChunk(int chunk, int worker)
    {
        (long start, long end) = chunks.Bounds(chunk);
        for (long i = start; i < end; i++)
        {
            Point<float> p = Load(points, i);
            BallSum<float> sum = default;
            int done = 0;
            for (bool moving = true; moving && done < rows.Shape.Iterations; done++)
            {
                sum = Sum(rows, 0, p);
                Point<float> next = Shifted(p, sum);
                moving = sum.Weight != 0 && next.SquaredDistance(p) >= squaredTolerance;
                p = next;
            }

            Store(p, trajectory, i);
            iterations[i] = done;
            support[i] = sum.Weight;
        }
    }

    // As MeanShiftDirectKernels.ChainKernel.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ChainOfSeed(in HostRows rows, long seed, float* trajectory, float* gradPositions)
    {
        int item = (int)(seed / rows.Shape.SeedsPerItem);
        Point<float> g = Load(gradPositions, seed);
        Point<float> next = Load(trajectory, rows.Shape.Iterations * rows.Shape.Points + seed);
        for (int r = rows.GradientIterations - 1; r >= 0; r--)
        {
            int t = rows.Shape.Iterations - rows.GradientIterations + r;
            Point<float> p = Load(trajectory, t * rows.Shape.Points + seed);
            BallSum<float> sum = TWeighting.IsFlat ? Sum(rows, item, p) : SumChain(rows, item, p, next, g);
            Point<float> chain = p.ZeroIfFinite;
            if (sum.Weight != 0)
            {
                float inverse = 1 / sum.Weight;
                chain = new Point<float>(g.Z * inverse, g.Y * inverse, g.X * inverse);
                inverse *= rows.Constants.InverseSquaredBandwidth;
                g = new Point<float>(sum.Moment.Z * inverse, sum.Moment.Y * inverse, sum.Moment.X * inverse);
            }

            Store(chain, rows.Chain, seed * rows.GradientIterations + r);
            next = p;
        }
    }

    // The gradient of planes firstZ to endZ − 1 of an item: every record in order seed, iteration adds its
    // rows.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void GatherSlab(in HostRows rows, int item, int firstZ, int endZ, float* trajectory, float* gradScores)
    {
        float* gradient = rows.IsCopy ? rows.Gradient : gradScores;
        long slabStart = rows.RowStart(item, firstZ, 0);
        Span<float> slab = new(gradient + slabStart, checked((int)(rows.RowStart(item, endZ, 0) - slabStart)));
        slab.Clear();

        long firstSeed = (long)item * rows.Shape.SeedsPerItem;
        for (long seed = firstSeed; seed < firstSeed + rows.Shape.SeedsPerItem; seed++)
        {
            for (int r = 0; r < rows.GradientIterations; r++)
            {
                int t = rows.Shape.Iterations - rows.GradientIterations + r;
                Point<float> p = Load(trajectory, t * rows.Shape.Points + seed);
                if (!p.IsFinite)
                {
                    // Without a ball of its own, it makes every voxel's gradient NaN.
                    slab.Fill(float.NaN);
                    continue;
                }

                if (p.Z + rows.Constants.Bandwidth < firstZ || p.Z - rows.Constants.Bandwidth >= endZ)
                    continue;
                Point<float> chain = Load(rows.Chain, seed * rows.GradientIterations + r);
                if (chain.Z == 0 && chain.Y == 0 && chain.X == 0)
                    continue;
                AddRecord(rows, item, firstZ, endZ, p, Load(trajectory, (t + 1) * rows.Shape.Points + seed), chain, gradient);
            }
        }

        if (rows.IsCopy)
        {
            for (int z = firstZ; z < endZ; z++)
            {
                for (int y = 0; y < rows.Shape.Height; y++)
                {
                    float* from = gradient + rows.RowStart(item, z, y);
                    float* to = gradScores + (
                        ((long)item * rows.Shape.Depth + z) * rows.Shape.Height + y) * rows.Shape.Width * rows.Shape.ScorePitch;
                    for (int x = 0; x < rows.Shape.Width; x++)
                        to[(long)x * rows.Shape.ScorePitch] = from[x];
                }
            }
        }
    }

    // gradient(q) += k (chain · (q − next)) for the voxels of p's ball in the slab.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddRecord(
        in HostRows rows, int item, int firstZ, int endZ, Point<float> p, Point<float> next, Point<float> chain, float* gradient)
    {
        HostBall ball = new(p, rows);
        Vector256<float> squaredBandwidth = Vector256.Create(rows.Constants.SquaredBandwidth);
        Vector256<float> inverse = Vector256.Create(rows.Constants.InverseSquaredBandwidth);
        int lastZ = Math.Min(ball.LastZ, endZ - 1);
        for (int v = 0; v < ball.Vectors; v++)
        {
            int x = ball.StartX + v * HostRows.Lanes;
            HostColumns columns = new(x, p.X, rows);
            Vector256<float> pullX = (columns.X - Vector256.Create(next.X)) * chain.X;
            for (int z = Math.Max(ball.FirstZ, firstZ); z <= lastZ; z++)
            {
                float dz = z - p.Z;
                float pullZ = chain.Z * (z - next.Z);
                float* row = gradient + rows.RowStart(item, z, ball.FirstY) + x;
                for (int y = ball.FirstY; y <= ball.LastY; y++)
                {
                    float dy = y - p.Y;
                    Vector256<float> squared = columns.SquaredOffset + Vector256.Create(dz * dz + dy * dy);
                    Vector256<float> pull = pullX + Vector256.Create(pullZ + chain.Y * (y - next.Y));
                    Vector256<float> added = TWeighting.Weight(squared * inverse) * pull & Vector256.LessThan(
                        squared, squaredBandwidth);
                    (Vector256.Load(row) + added).Store(row);
                    row += rows.Stride;
                }
            }
        }
    }

    // W and sum of m (q − p).
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static BallSum<float> Sum(in HostRows rows, int item, Point<float> p)
    {
        HostBall ball = new(p, rows);
        Vector256<float> squaredBandwidth = Vector256.Create(rows.Constants.SquaredBandwidth);
        Vector256<float> inverse = Vector256.Create(rows.Constants.InverseSquaredBandwidth);
        Vector256<float> floor = Vector256.Create(rows.Constants.ScoreFloor);
        Vector256<float> weight = Vector256<float>.Zero;
        Vector256<float> momentZ = Vector256<float>.Zero;
        Vector256<float> momentY = Vector256<float>.Zero;
        Vector256<float> momentX = Vector256<float>.Zero;
        for (int v = 0; v < ball.Vectors; v++)
        {
            int x = ball.StartX + v * HostRows.Lanes;
            HostColumns columns = new(x, p.X, rows);
            Vector256<float> columnWeight = Vector256<float>.Zero;
            for (int z = ball.FirstZ; z <= ball.LastZ; z++)
            {
                float dz = z - p.Z;
                Vector256<float> planeWeight = Vector256<float>.Zero;
                float* row = rows.Scores + rows.RowStart(item, z, ball.FirstY) + x;
                for (int y = ball.FirstY; y <= ball.LastY; y++)
                {
                    float dy = y - p.Y;
                    Vector256<float> squared = columns.SquaredOffset + Vector256.Create(dz * dz + dy * dy);
                    Vector256<float> m = (Vector256.Load(row) + floor) * TWeighting.Weight(squared * inverse) & Vector256
                        .LessThan(squared, squaredBandwidth);
                    planeWeight += m;
                    momentY = Vector256.MultiplyAddEstimate(m, Vector256.Create(dy), momentY);
                    row += rows.Stride;
                }

                columnWeight += planeWeight;
                momentZ = Vector256.MultiplyAddEstimate(planeWeight, Vector256.Create(dz), momentZ);
            }

            weight += columnWeight;
            momentX = Vector256.MultiplyAddEstimate(columnWeight, columns.Offset, momentX);
        }

        return new BallSum<float>(Vector256.Sum(weight), new Point<float>(
            Vector256.Sum(momentZ), Vector256.Sum(momentY), Vector256.Sum(momentX)));
    }

    // W and sum of (s + s0) (g·(q − next)) Slope (p − q), that is W b² times the gradient that reaches p.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static BallSum<float> SumChain(in HostRows rows, int item, Point<float> p, Point<float> next, Point<float> g)
    {
        HostBall ball = new(p, rows);
        Vector256<float> squaredBandwidth = Vector256.Create(rows.Constants.SquaredBandwidth);
        Vector256<float> inverse = Vector256.Create(rows.Constants.InverseSquaredBandwidth);
        Vector256<float> floor = Vector256.Create(rows.Constants.ScoreFloor);
        Vector256<float> weight = Vector256<float>.Zero;
        Vector256<float> momentZ = Vector256<float>.Zero;
        Vector256<float> momentY = Vector256<float>.Zero;
        Vector256<float> momentX = Vector256<float>.Zero;
        for (int v = 0; v < ball.Vectors; v++)
        {
            int x = ball.StartX + v * HostRows.Lanes;
            HostColumns columns = new(x, p.X, rows);
            Vector256<float> pullX = (columns.X - Vector256.Create(next.X)) * g.X;
            Vector256<float> columnSum = Vector256<float>.Zero;
            for (int z = ball.FirstZ; z <= ball.LastZ; z++)
            {
                float dz = z - p.Z;
                float pullZ = g.Z * (z - next.Z);
                Vector256<float> planeSum = Vector256<float>.Zero;
                float* row = rows.Scores + rows.RowStart(item, z, ball.FirstY) + x;
                for (int y = ball.FirstY; y <= ball.LastY; y++)
                {
                    float dy = y - p.Y;
                    Vector256<float> squared = columns.SquaredOffset + Vector256.Create(dz * dz + dy * dy);
                    Vector256<float> ratio = squared * inverse;
                    Vector256<float> k = TWeighting.Weight(ratio);
                    Vector256<float> score = Vector256.Load(row) + floor & Vector256.LessThan(squared, squaredBandwidth);
                    Vector256<float> pull = pullX + Vector256.Create(pullZ + g.Y * (y - next.Y));
                    Vector256<float> c = score * (TWeighting.Slope(ratio, k) * pull);
                    weight = Vector256.MultiplyAddEstimate(score, k, weight);
                    planeSum += c;
                    momentY = Vector256.MultiplyAddEstimate(c, Vector256.Create(dy), momentY);
                    row += rows.Stride;
                }

                columnSum += planeSum;
                momentZ = Vector256.MultiplyAddEstimate(planeSum, Vector256.Create(dz), momentZ);
            }

            momentX = Vector256.MultiplyAddEstimate(columnSum, columns.Offset, momentX);
        }

        return new BallSum<float>(Vector256.Sum(weight), new Point<float>(
            -Vector256.Sum(momentZ), -Vector256.Sum(momentY), -Vector256.Sum(momentX)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Point<float> Shifted(Point<float> p, BallSum<float> sum)
        => sum.Weight == 0
            ? p
            : new Point<float>(p.Z + sum.Moment.Z / sum.Weight, p.Y + sum.Moment.Y / sum.Weight, p.X + sum.Moment.X / sum.Weight)
                .OrNaN();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Point<float> Load(float* points, long index)
        => new(points[index * 3], points[index * 3 + 1], points[index * 3 + 2]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Point<float> p, float* points, long index)
    {
        points[index * 3] = p.Z;
        points[index * 3 + 1] = p.Y;
        points[index * 3 + 2] = p.X;
    }
}
