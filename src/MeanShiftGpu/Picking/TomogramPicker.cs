using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels;
using MeanShiftGpu.Layers;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Picking;

/// <summary>
/// Finds particles in a volume: predicts a score map, in tiles where it is large, and clusters it by a score-weighted mean
/// shift from every voxel above the threshold.
/// </summary>
public sealed class TomogramPicker : IDisposable
{
    private readonly UNet3d<float> network;
    private readonly MeanShiftOptions meanShift;
    private readonly PickOptions options;
    private readonly Arena arena;
    private readonly Arena clusteringArena;

    /// <summary>Prepares picking.</summary>
    /// <param name="network">The trained network; not disposed.</param>
    /// <param name="meanShift">Weighting and score floor of the clustering: those of the training.</param>
    /// <param name="options">Threshold, bandwidth and merging.</param>
    public TomogramPicker(UNet3d<float> network, MeanShiftOptions meanShift, PickOptions options)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(meanShift);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        this.network = network;
        this.meanShift = meanShift;
        this.options = options;
        arena = new Arena(network.Context);
        clusteringArena = new Arena(network.Context);
    }

    /// <summary>Most device memory for the network's tensors, in bytes; larger volumes are cut into tiles.</summary>
    public long MemoryLimitBytes { get; init; } = 2L << 30;

    /// <summary>How a volume would be cut into tiles.</summary>
    public IReadOnlyList<Tile> Plan(Extent volume)
        => TilePlan.Create(
            volume.RoundUpTo(network.Options.Divisor),
            network.Options.ReceptiveRadius,
            network.Options.Divisor,
            (long)(MemoryLimitBytes / network.Options.InferenceBytesPerVoxel));

    /// <summary>Predicts the score map of a volume.</summary>
    /// <param name="image">[D, H, W], normalised to mean 0 and standard deviation 1.</param>
    /// <param name="size">Its extents; edges that are no multiples of the network's divisor are padded with zeros.</param>
    /// <param name="progress">Told (tiles done, tiles); null for nobody.</param>
    /// <param name="cancellation">Stops between two tiles.</param>
    /// <returns>[D, H, W], scores from 0 to 1.</returns>
    public float[] PredictScores(ReadOnlySpan<float> image, Extent size, Action<int, int>? progress = null, CancellationToken cancellation = default)
    {
        if (image.Length != size.Voxels)
            throw new ArgumentException($"{image.Length} voxels are not a volume of {size}.", nameof(image));
        float[] scores = new float[size.Voxels];
        IReadOnlyList<Tile> tiles = Plan(size);
        for (int i = 0; i < tiles.Count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            Predict(image, size, tiles[i], scores);
            progress?.Invoke(i + 1, tiles.Count);
        }

        return scores;
    }

    /// <summary>Clusters a score map.</summary>
    /// <param name="scores">[D, H, W].</param>
    /// <param name="size">Its extents.</param>
    /// <returns>Picks with sub-voxel centres, the highest score first; empty where no score is above the threshold.</returns>
    public IReadOnlyList<Pick> Cluster(ReadOnlySpan<float> scores, Extent size)
    {
        StartVoxels starts = StartVoxels.Above(scores, size.Depth, size.Height, size.Width, options);
        if (starts.Count == 0)
            return [];

        GpuContext context = network.Context;
        clusteringArena.Reset();
        MeanShiftShape shape = new(1, size.Depth, size.Height, size.Width, 1, options.MaximumIterations, ScorePitch: 1);
        MeanShiftParameters parameters = new(options.BandwidthVoxels, meanShift.ScoreFloor, meanShift.Weighting);
        IMeanShift<float> kernels = context.Launcher(MeanShiftVariants<float>.Table, shape);
        ArrayView<float> map = clusteringArena.Allocate<float>(scores.Length);
        ArrayView<float> positions = clusteringArena.Allocate<float>(starts.Positions.Length);
        ArrayView<int> iterations = clusteringArena.Allocate<int>(starts.Count);
        ArrayView<float> support = clusteringArena.Allocate<float>(starts.Count);
        ArrayView<byte> workspace = clusteringArena.Allocate<byte>(Math.Max(1, kernels.WorkspaceBytes(shape, parameters)));
        map.CopyFromCPU(context.Stream, scores);
        positions.CopyFromCPU(context.Stream, starts.Positions);
        kernels.Converge(context.Stream, map, positions, positions, iterations, support, workspace, shape, parameters, options.ConvergenceVoxels);
        float[] converged = new float[starts.Positions.Length];
        positions.CopyToCPU(context.Stream, converged);
        context.Synchronize();
        return Clustering.Cluster(converged, starts.Scores, options);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        arena.Dispose();
        clusteringArena.Dispose();
    }

    private void Predict(ReadOnlySpan<float> image, Extent size, Tile tile, float[] scores)
    {
        float[] input = new float[tile.Size.Voxels];
        int rowLength = Math.Min(tile.Size.Width, size.Width - tile.Origin.X);
        for (int z = 0; z < Math.Min(tile.Size.Depth, size.Depth - tile.Origin.Z); z++)
        {
            for (int y = 0; y < Math.Min(tile.Size.Height, size.Height - tile.Origin.Y); y++)
            {
                long from = ((long)(tile.Origin.Z + z) * size.Height + tile.Origin.Y + y) * size.Width + tile.Origin.X;
                image.Slice((int)from, rowLength).CopyTo(input.AsSpan((z * tile.Size.Height + y) * tile.Size.Width));
            }
        }

        float[] output;
        using (Tape<float> tape = Tape<float>.Begin(arena, inference: true))
        {
            Tensor<float> x = tape.Upload(input, new TensorShape(1, tile.Size.Depth, tile.Size.Height, tile.Size.Width, 1));
            Tensor<float> predicted = network.Forward(tape, x);
            output = predicted.Channels(0, 1).ToArray(network.Context);
        }

        (int dz, int dy, int dx) = (tile.CoreOrigin.Z - tile.Origin.Z, tile.CoreOrigin.Y - tile.Origin.Y, tile.CoreOrigin.X - tile.Origin.X);
        int coreLength = Math.Min(tile.CoreSize.Width, size.Width - tile.CoreOrigin.X);
        for (int z = 0; z < Math.Min(tile.CoreSize.Depth, size.Depth - tile.CoreOrigin.Z); z++)
        {
            for (int y = 0; y < Math.Min(tile.CoreSize.Height, size.Height - tile.CoreOrigin.Y); y++)
            {
                long to = ((long)(tile.CoreOrigin.Z + z) * size.Height + tile.CoreOrigin.Y + y) * size.Width + tile.CoreOrigin.X;
                output.AsSpan(((dz + z) * tile.Size.Height + dy + y) * tile.Size.Width + dx, coreLength).CopyTo(scores.AsSpan((int)to));
            }
        }
    }
}
