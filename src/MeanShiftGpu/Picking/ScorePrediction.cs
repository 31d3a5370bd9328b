using System.Diagnostics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.IO;
using MeanShiftGpu.Layers;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Picking;

/// <summary>How far a prediction is.</summary>
/// <param name="TilesDone">Tiles done, those without a voxel of the mask included.</param>
/// <param name="Tiles">All tiles.</param>
/// <param name="Remaining">The time that the others will take, estimated from those done.</param>
public readonly record struct PredictionProgress(int TilesDone, int Tiles, TimeSpan Remaining);

/// <summary>What a prediction found, and what it took.</summary>
/// <param name="Maximum">The largest score.</param>
/// <param name="TilesComputed">Tiles that the network ran on; the others hold no voxel of the mask.</param>
/// <param name="ForwardSeconds">Time within the network.</param>
/// <param name="Seconds">Time in all.</param>
public sealed record PredictionSummary(float Maximum, int TilesComputed, double ForwardSeconds, double Seconds);

/// <summary>
/// The score map, tile by tile: while the network runs on one tile, the next is read and normalised and the last one's scores are
/// written.
/// </summary>
internal sealed class ScorePrediction(UNet3d<float> network, Arena arena)
{
    // Two of each: one is read or written while the network runs on the other. Kept from volume to volume.
    private readonly float[][] inputs = [[], []];
    private readonly float[][] cores = [[], []];
    private float[] maskCore = [];
    private float[] predicted = [];
    private PickPlan plan = null!;

    /// <summary>Bytes of the buffers that a plan needs.</summary>
    public static long BufferBytes(Extent tile, Extent core, UNet3dOptions structure, bool onHost)
        => sizeof(float) * ((2L + (onHost ? 0 : structure.Outputs)) * tile.Voxels + (3L + structure.Outputs) * core.Voxels);

    /// <summary>Predicts one output of the network.</summary>
    /// <param name="volumePlan">The plan for the volume.</param>
    /// <param name="output">Which output, counted from 0.</param>
    /// <param name="image">The volume.</param>
    /// <param name="normalization">Its mean and deviation; null where it is normalised already.</param>
    /// <param name="map">Where the scores go.</param>
    /// <param name="mask">Only tiles with a voxel above 0 are computed, and scores outside are 0; null for everywhere.</param>
    /// <param name="progress">Told after each tile; null for nobody.</param>
    /// <param name="cancellation">Stops between two tiles.</param>
    public PredictionSummary Run(
        PickPlan volumePlan,
        int output,
        IVoxelSource image,
        VoxelStatistics? normalization,
        IVoxelSink map,
        IVoxelSource? mask,
        Action<PredictionProgress>? progress,
        CancellationToken cancellation)
    {
        plan = volumePlan;
        TakeBuffers(mask is not null);
        long start = Stopwatch.GetTimestamp();
        (float maximum, int computed, double forward) = (0, 0, 0);
        Task<bool> reading = Task.Run(() => Load(0, image, normalization, mask), CancellationToken.None);
        Task writing = Task.CompletedTask;
        try
        {
            for (int i = 0; i < plan.Tiles.Count; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                bool wanted = reading.GetAwaiter().GetResult();
                // The mask of this tile's core is about to be overwritten by the next tile's. The other core may still be being written.
                float[] core = cores[computed % 2];
                if (wanted && mask is not null)
                    maskCore.AsSpan(0, (int)plan.Tiles[i].CoreSize.Voxels).CopyTo(core);
                if (i + 1 < plan.Tiles.Count)
                {
                    int next = i + 1;
                    reading = Task.Run(() => Load(next, image, normalization, mask), CancellationToken.None);
                }

                if (wanted)
                {
                    Tile tile = plan.Tiles[i];
                    long begin = Stopwatch.GetTimestamp();
                    Forward(inputs[i % 2], tile);
                    forward += Stopwatch.GetElapsedTime(begin).TotalSeconds;
                    computed++;
                    Box box = new Box(tile.CoreOrigin, tile.CoreSize).ClippedTo(plan.Volume);
                    maximum = Math.Max(maximum, TakeCore(tile, box, output, core, masked: mask is not null));
                    writing.GetAwaiter().GetResult();
                    writing = Task.Run(() => map.Write(box, core), CancellationToken.None);
                }

                double elapsed = Stopwatch.GetElapsedTime(start).TotalSeconds;
                progress?.Invoke(new PredictionProgress(i + 1, plan.Tiles.Count, TimeSpan.FromSeconds(elapsed / (i + 1) * (plan.Tiles.Count - i - 1))));
            }

            writing.GetAwaiter().GetResult();
        }
        finally
        {
            // Nobody may touch the caller's memory or files after this, whatever happened.
            Task.WhenAll(reading, writing).ContinueWith(static _ => { }, TaskScheduler.Default).Wait(CancellationToken.None);
        }

        return new PredictionSummary(maximum, computed, forward, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    private void TakeBuffers(bool masked)
    {
        long tile = plan.LargestTile.Voxels;
        long core = plan.Tiles.Max(t => t.CoreSize.Voxels);
        for (int i = 0; i < Math.Min(2, plan.Tiles.Count); i++)
        {
            inputs[i] = Large(inputs[i], tile);
            cores[i] = Large(cores[i], core);
        }

        predicted = Large(predicted, core * network.Options.Outputs);
        if (masked)
            maskCore = Large(maskCore, core);

        static float[] Large(float[] buffer, long length) => buffer.Length >= length ? buffer : new float[length];
    }

    // Reads and normalises a tile; false where the mask leaves nothing of it.
    private bool Load(int index, IVoxelSource image, VoxelStatistics? normalization, IVoxelSource? mask)
    {
        Tile tile = plan.Tiles[index];
        if (mask is not null)
        {
            Box core = new Box(tile.CoreOrigin, tile.CoreSize).ClippedTo(plan.Volume);
            Span<float> inside = maskCore.AsSpan(0, (int)core.Size.Voxels);
            mask.Read(core, inside);
            if (!inside.ContainsAnyExceptInRange(float.NegativeInfinity, 0f))
                return false;
        }

        Box box = new Box(tile.Origin, tile.Size).ClippedTo(plan.Volume);
        float[] input = inputs[index % 2];
        Span<float> read = input.AsSpan(0, (int)box.Size.Voxels);
        image.Read(box, read);
        normalization?.Normalize(read);
        Pad(input, box.Size, tile.Size);
        return true;
    }

    // Spreads a dense box to the larger tile, from the last row on, and fills up with zeros: the mean of a normalised volume.
    private static void Pad(float[] values, Extent from, Extent to)
    {
        if (from == to)
            return;
        for (int z = to.Depth - 1; z >= 0; z--)
        {
            for (int y = to.Height - 1; y >= 0; y--)
            {
                Span<float> row = values.AsSpan((z * to.Height + y) * to.Width, to.Width);
                int length = z < from.Depth && y < from.Height ? from.Width : 0;
                if (length > 0)
                    values.AsSpan((z * from.Height + y) * from.Width, length).CopyTo(row);
                row[length..].Clear();
            }
        }
    }

    // The scores of the tile's core, [D, H, W, Outputs].
    private void Forward(float[] input, Tile tile)
    {
        ReadOnlySpan<float> image = input.AsSpan(0, (int)tile.Size.Voxels);
        Box core = TensorBlocks.Within(new Box(tile.CoreOrigin, tile.CoreSize), new Box(tile.Origin, tile.Size));
        if (network.Context.Kind == DeviceKind.Cpu)
        {
            network.PredictInBlocks(arena, image, tile.Size, core, predicted);
            return;
        }

        // A GPU has memory enough for whole tensors, and is fastest on them.
        using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
        Tensor<float> x = tape.Upload(image, new TensorShape(1, tile.Size.Depth, tile.Size.Height, tile.Size.Width, 1));
        float[] whole = network.Forward(tape, x).ToArray(network.Context);
        TensorBlocks.Copy(whole, tile.Size, core, predicted, core.Size, (0, 0, 0), network.Options.Outputs);
    }

    // Takes the core's scores of one output; where there is a mask the core holds it, and scores outside become 0.
    private float TakeCore(Tile tile, Box box, int output, float[] core, bool masked)
    {
        int outputs = network.Options.Outputs;
        float maximum = 0;
        int i = 0;
        for (int z = 0; z < box.Size.Depth; z++)
        {
            for (int y = 0; y < box.Size.Height; y++)
            {
                int from = (z * tile.CoreSize.Height + y) * tile.CoreSize.Width * outputs + output;
                for (int x = 0; x < box.Size.Width; x++, i++)
                {
                    float score = predicted[from + x * outputs];
                    if (!float.IsFinite(score))
                        throw new InputException($"score map: {score} at (z, y, x) = ({box.Origin.Z + z}, {box.Origin.Y + y}, {box.Origin.X + x}); expected finite scores. The model's weights are damaged or its training failed.");
                    core[i] = masked && !(core[i] > 0) ? 0 : score;
                    maximum = Math.Max(maximum, core[i]);
                }
            }
        }

        return maximum;
    }
}
