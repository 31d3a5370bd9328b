using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;

namespace MeanShiftGpu.Network;

/// <summary>
/// A tensor of the network of which some planes are in memory, plane z at z mod <see cref="Ring"/>.
/// </summary>
/// <param name="node">The tensor and what computes it.</param>
/// <param name="sources">What it is computed from.</param>
internal sealed class PlaneTensor(NetworkNode node, IReadOnlyList<PlaneTensor> sources)
{
    public NetworkNode Node { get; } = node;

    public IReadOnlyList<PlaneTensor> Sources { get; } = sources;

    public List<PlaneTensor> Users { get; } = [];

    /// <summary>Planes of the whole tensor.</summary>
    public int Depth { get; set; }

    /// <summary>How many of them are in memory; even, or all.</summary>
    public int Ring { get; set; }

    /// <summary>Planes computed so far.</summary>
    public int Ready { get; set; }

    /// <summary>A tile's extents at this tensor's resolution.</summary>
    public Extent SizeIn(Extent tile) => new(tile.Depth >> Node.Level, tile.Height >> Node.Level, tile.Width >> Node.Level);
}

/// <summary>Planes of a tensor that are computed at once.</summary>
internal readonly record struct PlaneStep(PlaneTensor Tensor, int Begin, int End);

/// <summary>
/// The order in which inference computes the planes of a network's tensors: it moves through a tile along z,
/// all resolutions together, and each tensor keeps only the planes that something still reads. Nothing is
/// computed twice, and the memory does not grow with the tile's depth.
/// </summary>
/// <remarks>
/// The last planes are asked for first, a few at a time; what is asked for asks for what it reads, as far as
/// that is not there yet. Steps begin and, inside the volume, end at even planes, so that Winograd's
/// algorithm has the groups of two planes that it has in the whole volume.
/// </remarks>
internal sealed class PlaneSchedule
{
    private const int Group = 2;

    private readonly List<PlaneTensor> tensors = [];
    private readonly List<PlaneStep> steps = [];
    private readonly int slab;

    /// <summary>Plans a tile.</summary>
    /// <param name="graph">The network.</param>
    /// <param name="depth">Planes of the tile, a multiple of the network's divisor.</param>
    /// <param name="slab">The most planes of the finest resolution that a step computes; coarser ones
    /// accordingly, but at least two.</param>
    public PlaneSchedule(NetworkGraph graph, int depth, int slab)
    {
        this.slab = slab;
        Dictionary<NetworkNode, PlaneTensor> known = [];
        foreach (NetworkNode node in graph.Nodes)
        {
            PlaneTensor tensor = known[node] =
                new PlaneTensor(node, [.. node.Sources.Select(s => known[s])]) { Depth = depth >> node.Level };
            tensors.Add(tensor);
            foreach (PlaneTensor source in tensor.Sources)
                source.Users.Add(tensor);
        }

        PlaneTensor scores = tensors[^1];
        for (int end = slab; scores.Ready < depth; end += slab)
            Require(scores, end);
        foreach (PlaneTensor tensor in tensors)
            tensor.Ring = Math.Min((tensor.Ring + Group - 1) / Group * Group, tensor.Depth);
    }

    /// <summary>
    /// The tensors in the order of a forward pass; the first is the image, the last the scores.
    /// </summary>
    public IReadOnlyList<PlaneTensor> Tensors => tensors;

    /// <summary>What is computed, in order.</summary>
    public IReadOnlyList<PlaneStep> Steps => steps;

    /// <summary>Memory of the planes in float32, in bytes.</summary>
    /// <param name="tile">The tile's extents; its depth is the one that was planned.</param>
    public long Bytes(Extent tile)
    {
        // Buffers begin at multiples of 256 bytes.
        const int Gap = 256;
        return tensors.Sum(t => sizeof(float) * Length(t, tile) + Gap);
    }

    /// <summary>The most numbers that one buffer has.</summary>
    public long LargestBuffer(Extent tile) => tensors.Max(t => Length(t, tile));

    private static long Length(PlaneTensor tensor, Extent tile)
    {
        Extent size = tensor.SizeIn(tile);
        return (long)tensor.Ring * size.Height * size.Width * tensor.Node.Channels;
    }

    // Computes a tensor's planes up to one, after what they read.
    private void Require(PlaneTensor tensor, int end)
    {
        end = Math.Min((end + Group - 1) / Group * Group, tensor.Depth);
        int most = Math.Max((slab >> tensor.Node.Level) / Group * Group, Group);
        while (tensor.Ready < end)
        {
            int to = Math.Min(tensor.Ready + most, end);
            foreach (PlaneTensor source in tensor.Sources)
                Require(source, LastRead(to, tensor.Node.Op));
            // What the new planes overwrite, nobody reads any more.
            int oldest = tensor.Users.Where(u => u.Ready < u.Depth).Select(u => FirstRead(u.Ready, u.Node.Op))
                .DefaultIfEmpty(tensor.Ready).Min();
            tensor.Ring = Math.Max(tensor.Ring, to - Math.Min(oldest, tensor.Ready));
            steps.Add(new PlaneStep(tensor, tensor.Ready, to));
            tensor.Ready = to;
        }
    }

    /// <summary>The first plane that planes from one on read.</summary>
    internal static int FirstRead(int begin, NodeOp op) => op switch
    {
        NodeOp.Convolution => Math.Max(0, begin - 1),
        NodeOp.Pooling => 2 * begin,
        NodeOp.Transposed => begin / 2,
        NodeOp.Input or NodeOp.Head => begin,
        _ => throw UnknownValue.Of(op),
    };

    /// <summary>The plane after the last that planes up to one read; it may be beyond the tensor.</summary>
    internal static int LastRead(int end, NodeOp op) => op switch
    {
        NodeOp.Convolution => end + 1,
        NodeOp.Pooling => 2 * end,
        NodeOp.Transposed => (end + 1) / 2,
        NodeOp.Input or NodeOp.Head => end,
        _ => throw UnknownValue.Of(op),
    };
}
