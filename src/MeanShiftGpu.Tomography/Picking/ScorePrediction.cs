using System.Diagnostics;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Tomography.Picking;

/// <summary>How far a prediction is.</summary>
/// <param name="TilesDone">Tiles done, those without a voxel of the mask included.</param>
/// <param name="Tiles">All tiles.</param>
/// <param name="Share">The share of the work that is done, from 0 to 1.</param>
/// <param name="Remaining">The time that the rest will take, estimated from what is done.</param>
public readonly record struct PredictionProgress(int TilesDone, int Tiles, double Share, TimeSpan Remaining);

/// <summary>A score map to be predicted.</summary>
/// <param name="Output">Which of the network's score maps, counted from 0.</param>
/// <param name="Sink">Where the scores go, box by box.</param>
public readonly record struct ScoreMap(int Output, IVoxelSink Sink);

/// <summary>What a prediction found, and what it took.</summary>
/// <param name="Maxima">The largest score of each map.</param>
/// <param name="TilesComputed">Tiles that the network ran on; the others hold no voxel of the mask.</param>
/// <param name="ForwardSeconds">Time within the network.</param>
/// <param name="Seconds">Time in all.</param>
public sealed record PredictionSummary(IReadOnlyList<float> Maxima, int TilesComputed, double ForwardSeconds, double Seconds)
{
    /// <summary>The largest score of all maps; 0 without any.</summary>
    public float Maximum => Maxima.DefaultIfEmpty().Max();
}

/// <summary>
/// Score maps, tile by tile: while the network runs, what comes next is read and normalised and the last
/// scores are written. On the CPU device the network reads and writes some planes of a tile at a time, on a
/// GPU whole tiles.
/// </summary>
internal sealed class ScorePrediction(UNet3d<float> network, Arena arena) : IDisposable
{
    // From less than this the time that is left cannot be told.
    private const double LeastShare = 0.005;

    private readonly WholeForward whole = new(network, arena);
    private PickPlan plan = null!;
    private IReadOnlyList<ScoreMap> maps = [];
    private IVoxelSource image = null!;
    private VoxelStatistics? normalization;
    private IVoxelSource? mask;
    private float[] maxima = [];

    // Of the box that is written: the mask, and the scores of each map while they are written on another
    // thread.
    private float[] maskBox = [];
    private float[][] written = [];
    private Task writing = Task.CompletedTask;
    private double writingSeconds;

    /// <summary>Told, once, where a CUDA device computes tiles in a slower way than it might, and why; null
    /// for no callback.</summary>
    public Action<string>? Remark
    {
        get => whole.Remark;
        set => whole.Remark = value;
    }

    /// <inheritdoc/>
    public void Dispose() => whole.Dispose();

    /// <summary>Bytes of the buffers that a plan needs.</summary>
    /// <param name="tile">The largest tile.</param>
    /// <param name="core">The largest core.</param>
    /// <param name="structure">The network.</param>
    /// <param name="slab">How many planes it computes at once; 0 where it takes tiles whole.</param>
    /// <param name="mapCount">How many score maps are predicted.</param>
    public static long BufferBytes(Extent tile, Extent core, UNet3dOptions structure, int slab, int mapCount)
    {
        // Two boxes of input; the network's scores; those of each map, and the mask.
        Extent read = slab > 0 ? tile with { Depth = Math.Min(slab, tile.Depth) } : tile;
        Extent write = slab > 0 ? core with { Depth = Math.Min(slab, core.Depth) } : core;
        long scores = slab > 0 ? write.Voxels : tile.Voxels + core.Voxels;
        return sizeof(float) * (
            2L * structure.InputChannels * read.Voxels + structure.Outputs * scores + (mapCount + 1L) * write.Voxels);
    }

    /// <summary>Predicts score maps of the network in one pass.</summary>
    /// <param name="volumePlan">The plan for the volume.</param>
    /// <param name="scoreMaps">Which outputs, and where they go.</param>
    /// <param name="source">The volume.</param>
    /// <param name="statistics">Its mean and deviation; null where it is normalised already.</param>
    /// <param name="region">Only tiles with a voxel above 0 are computed, and scores outside are 0; null for
    /// everywhere.</param>
    /// <param name="progress">Told after each step or tile; null for no callback.</param>
    /// <param name="cancellation">Stops after a step, some planes of one tensor, or after a tile.</param>
    public PredictionSummary Run(
        PickPlan volumePlan,
        IReadOnlyList<ScoreMap> scoreMaps,
        IVoxelSource source,
        VoxelStatistics? statistics,
        IVoxelSource? region,
        Action<PredictionProgress>? progress,
        CancellationToken cancellation)
    {
        (plan, maps, image, normalization, mask) = (volumePlan, scoreMaps, source, statistics, region);
        maxima = new float[maps.Count];
        written = [.. maps.Select(_ => Array.Empty<float>())];
        writingSeconds = 0;
        long start = Stopwatch.GetTimestamp();
        Tile[] wanted = mask is null ? [.. plan.Tiles] : [.. plan.Tiles.Where(MeetsMask)];
        int skipped = plan.Tiles.Count - wanted.Length;
        double forward = 0;
        int done = 0;
        void Report(double shareOfTile)
        {
            cancellation.ThrowIfCancellationRequested();
            double share = (done + shareOfTile) / wanted.Length;
            if (share < LeastShare)
                return;
            progress?.Invoke(
                new PredictionProgress(
                    skipped + (shareOfTile < 1 ? done : done + 1),
                    plan.Tiles.Count,
                    share,
                    Stopwatch.GetElapsedTime(start) * ((1 - share) / share)));
        }

        try
        {
            bool byPlanes = plan.Slab > 0;
            using ReadAhead<float>? tiles = byPlanes ? null : new ReadAhead<float>(
                [.. wanted.Select(t => new Box(t.Origin, t.Size))], 1, Read);
            for (; done < wanted.Length; done++)
            {
                cancellation.ThrowIfCancellationRequested();
                Tile tile = wanted[done];
                (Box box, Box core) = (new Box(tile.Origin, tile.Size), new Box(tile.CoreOrigin, tile.CoreSize));
                (long begin, double writingBefore) = (Stopwatch.GetTimestamp(), writingSeconds);
                double waited = 0;
                if (tiles is null)
                {
                    waited = network.PredictByPlanes(arena, box, core, plan.Slab, Read, Write, Report);
                }
                else
                {
                    double before = tiles.WaitedSeconds;
                    ForwardWhole(tiles.Next(), box, core);
                    waited = tiles.WaitedSeconds - before;
                    Report(1);
                }

                forward += Stopwatch.GetElapsedTime(begin).TotalSeconds - waited - (writingSeconds - writingBefore);
            }

            writing.GetAwaiter().GetResult();
        }
        finally
        {
            // Nobody may touch the caller's memory or files after this, whatever happened.
            writing.ContinueWith(static _ => { }, TaskScheduler.Default).Wait(CancellationToken.None);
            writing = Task.CompletedTask;
        }

        return new PredictionSummary(maxima, wanted.Length, forward, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    // A GPU has memory enough for whole tensors, and is fastest on them.
    private void ForwardWhole(ReadOnlySpan<float> input, Box tile, Box core)
    {
        float[] ofTile = whole.Run(input, new TensorShape(1, tile.Size.Depth, tile.Size.Height, tile.Size.Width, 1));
        float[] scores = new float[core.Size.Voxels * network.Options.Outputs];
        TensorBlocks.Copy(ofTile, tile.Size, TensorBlocks.Within(core, tile), scores, core.Size, (0, 0, 0),
            network.Options.Outputs);
        Write(core, scores);
    }

    // A normalised box, with zeros beyond the volume's end: the mean.
    private void Read(Box box, Span<float> destination)
    {
        Box inside = box.ClippedTo(plan.Volume);
        Span<float> read = destination[..(int)inside.Size.Voxels];
        image.Read(inside, read);
        normalization?.Normalize(read);
        Pad(destination, inside.Size, box.Size);
    }

    // Spreads a dense box to the larger one, from the last row on, and fills up with zeros.
    private static void Pad(Span<float> values, Extent from, Extent to)
    {
        if (from == to)
            return;
        for (int z = to.Depth - 1; z >= 0; z--)
        {
            for (int y = to.Height - 1; y >= 0; y--)
            {
                Span<float> row = values.Slice((z * to.Height + y) * to.Width, to.Width);
                int length = z < from.Depth && y < from.Height ? from.Width : 0;
                if (length > 0)
                    values.Slice((z * from.Height + y) * from.Width, length).CopyTo(row);
                row[length..].Clear();
            }
        }
    }

    // Takes scores apart into the maps, 0 outside the mask, and has them written while the network goes on.
    private void Write(Box box, ReadOnlySpan<float> scores)
    {
        long start = Stopwatch.GetTimestamp();
        Box inside = box.ClippedTo(plan.Volume);
        ReadOnlySpan<float> region = mask is null ? default : ReadMask(inside);
        writing.GetAwaiter().GetResult();
        for (int map = 0; map < maps.Count; map++)
            maxima[map] = Math.Max(
                maxima[map], Take(box, inside, scores, maps[map].Output, region, Large(ref written[map], inside.Size.Voxels)));
        writing = Task.Run(() =>
        {
            for (int map = 0; map < maps.Count; map++)
                maps[map].Sink.Write(inside, written[map]);
        });
        writingSeconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private float Take(Box box, Box inside, ReadOnlySpan<float> scores, int output, ReadOnlySpan<float> region, float[] map)
    {
        int outputs = network.Options.Outputs;
        float maximum = 0;
        int i = 0;
        for (int z = 0; z < inside.Size.Depth; z++)
        {
            for (int y = 0; y < inside.Size.Height; y++)
            {
                int from = (z * box.Size.Height + y) * box.Size.Width * outputs + output;
                for (int x = 0; x < inside.Size.Width; x++, i++)
                {
                    float score = scores[from + x * outputs];
                    if (!float.IsFinite(score))
                        throw new InputException($"score map: {score} at (z, y, x) = ({inside.Origin.Z + z}, "
                            + $"{inside.Origin.Y + y}, {inside.Origin.X + x}); expected finite scores. Either the volume holds a "
                            + "number that is not finite, or the model's weights are too large for it: its training failed.");
                    map[i] = region.IsEmpty || region[i] > 0 ? score : 0;
                    maximum = Math.Max(maximum, map[i]);
                }
            }
        }

        return maximum;
    }

    private bool MeetsMask(Tile tile)
    {
        Box core = new Box(tile.CoreOrigin, tile.CoreSize).ClippedTo(plan.Volume);
        int step = plan.Slab > 0 ? plan.Slab : core.Size.Depth;
        for (int z = 0; z < core.Size.Depth; z += step)
        {
            if (ReadMask(TensorBlocks.Planes(core, z, Math.Min(z + step, core.Size.Depth))).ContainsAnyExceptInRange(
                float.NegativeInfinity, 0f))
                return true;
        }

        return false;
    }

    private ReadOnlySpan<float> ReadMask(Box box)
    {
        Span<float> inside = Large(ref maskBox, box.Size.Voxels).AsSpan(0, (int)box.Size.Voxels);
        mask!.Read(box, inside);
        return inside;
    }

    private static float[] Large(ref float[] buffer, long length)
        => buffer.Length >= length ? buffer : buffer = new float[length];
}
