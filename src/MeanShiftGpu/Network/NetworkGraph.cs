using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine;

namespace MeanShiftGpu.Network;

/// <summary>What a node of the network computes.</summary>
internal enum NodeOp
{
    /// <summary>Nothing: it is the image.</summary>
    Input,

    /// <summary>A 3³ convolution of its sources, joined along the channels.</summary>
    Convolution,

    /// <summary>Max pooling, to the next coarser resolution.</summary>
    Pooling,

    /// <summary>A transposed convolution, to the next finer resolution.</summary>
    Transposed,

    /// <summary>A 1³ convolution with sigmoid.</summary>
    Head,
}

/// <summary>A tensor of the network and what computes it.</summary>
/// <param name="op">What computes it.</param>
/// <param name="name">Its parameters' name, or what it is where it has none.</param>
/// <param name="level">Its resolution, 0 the finest: its extents are the input's divided by 2 to the power of
/// this.</param>
/// <param name="channels">Its channels.</param>
/// <param name="activation">What follows the operation.</param>
/// <param name="sources">What it is computed from.</param>
internal sealed class NetworkNode(
    NodeOp op, string name, int level, int channels, Activation activation, params NetworkNode[] sources)
{
    public NodeOp Op { get; } = op;

    public string Name { get; } = name;

    public int Level { get; } = level;

    public int Channels { get; } = channels;

    public Activation Activation { get; } = activation;

    public IReadOnlyList<NetworkNode> Sources { get; } = sources;

    public int InputChannels => Sources.Sum(s => s.Channels);

    /// <summary>Whether it has a weight and a bias.</summary>
    public bool HasParameters => Op is NodeOp.Convolution or NodeOp.Transposed or NodeOp.Head;

    /// <summary>The edge of its weights' kernel.</summary>
    public int KernelSize => Op switch
    {
        NodeOp.Convolution => 3,
        NodeOp.Transposed => 2,
        NodeOp.Head => 1,
        NodeOp.Input or NodeOp.Pooling => 1, // none
        _ => throw UnknownValue.Of(Op),
    };

    /// <summary>
    /// How many of its weights' taps a voxel of it sees: one of a transposed convolution's.
    /// </summary>
    public int Taps => Op == NodeOp.Convolution ? 27 : 1;

    /// <summary>Multiplications for each of its voxels.</summary>
    public double Multiplications => HasParameters ? (double)Taps * InputChannels * Channels : 0;

    /// <summary>Its voxels for each voxel of the input.</summary>
    public double Share => Math.ScaleB(1, -3 * Level);

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>
/// The network, written once; everything else walks it. Per resolution two 3³ convolutions with ReLU and a
/// pooling on the way down, four convolutions at the bottom; on the way up a transposed convolution and a 3³
/// convolution (no ReLU after either), the skip connection first in the concatenation, two convolutions with
/// ReLU; a head.
/// </summary>
internal sealed class NetworkGraph
{
    private readonly List<NetworkNode> nodes = [];

    public NetworkGraph(UNet3dOptions structure)
    {
        IReadOnlyList<int> widths = structure.Widths;
        int bottom = widths.Count - 1;
        NetworkNode[] skips = new NetworkNode[bottom];
        NetworkNode x = Add(NodeOp.Input, "input", 0, structure.InputChannels, Activation.None);
        for (int level = 0; level < bottom; level++)
        {
            x = skips[level] = Convolutions($"enc{level}", 2, level, x);
            x = Add(NodeOp.Pooling, $"pool{level}", level + 1, widths[level], Activation.None, x);
        }

        x = Convolutions("mid", 4, bottom, x);
        for (int level = bottom - 1; level >= 0; level--)
        {
            x = Add(NodeOp.Transposed, $"up{level}.transpose", level, widths[level + 1], Activation.None, x);
            x = Add(NodeOp.Convolution, $"up{level}.conv", level, widths[level + 1], Activation.None, x);
            x = Convolutions($"dec{level}", 2, level, skips[level], x);
        }

        Add(NodeOp.Head, "head", 0, structure.Outputs, Activation.None, x);

        NetworkNode Convolutions(string name, int count, int level, params NetworkNode[] sources)
        {
            for (int i = 0; i < count; i++)
                sources = [Add(NodeOp.Convolution, $"{name}.conv{i}", level, widths[level], Activation.Relu, sources)];
            return sources[0];
        }
    }

    /// <summary>
    /// The nodes in the order of a forward pass; the first is the image, the last the scores.
    /// </summary>
    public IReadOnlyList<NetworkNode> Nodes => nodes;

    private NetworkNode Add(NodeOp op, string name, int level, int channels, Activation activation, params NetworkNode[] sources)
    {
        NetworkNode node = new(op, name, level, channels, activation, sources);
        nodes.Add(node);
        return node;
    }
}
