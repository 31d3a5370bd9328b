using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Network;

/// <summary>
/// The sizes at which operations are timed: those of a network's layers, as its graph has them.
/// </summary>
internal static class BenchmarkedNetwork
{
    /// <summary>Edge of the patches of the published training.</summary>
    public const int PatchEdge = 56;

    /// <summary>The sizes of a network's layers.</summary>
    /// <param name="network">The network.</param>
    /// <param name="edge">Edge of a patch in voxels; a level that would have none has one.</param>
    /// <param name="batch">Patches of a batch.</param>
    public static BenchmarkSizes Sizes(UNet3dOptions network, int edge = PatchEdge, int batch = 1)
    {
        IReadOnlyList<NetworkNode> nodes = network.Graph.Nodes;
        IReadOnlyList<BenchmarkLayer> Of(NodeOp op)
            => [.. nodes.Where(n => n.Op == op).Select(n => new BenchmarkLayer(EdgeOf(n), n.InputChannels, n.Channels))
                .Distinct()];

        // A transposed convolution reads the coarser level and a pooling the finer one.
        int EdgeOf(NetworkNode node) => Math.Max(1, edge >> node.Sources[0].Level);

        return new BenchmarkSizes
        {
            Batch = batch,
            Edge = edge,
            Channels = network.Widths[0],
            Parameters = nodes.Where(n => n.HasParameters)
                .Sum(n => ((long)n.KernelSize * n.KernelSize * n.KernelSize * n.InputChannels * n.Channels) + n.Channels),
            Convolutions = Of(NodeOp.Convolution),
            Transposed = Of(NodeOp.Transposed),
            Pooled = Of(NodeOp.Pooling),
        };
    }
}
