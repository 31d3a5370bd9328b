using System.Text.Json.Serialization;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Network;

/// <summary>The structure of a <see cref="UNet3d{T}"/>. The defaults are the published network.</summary>
public sealed record UNet3dOptions
{
    // The most voxels along an axis that Winograd's algorithm computes together.
    private const int GroupEdge = 4;

    private const int Bf16Bytes = 2;

    // More than any network has; the numbers of bytes and multiplications that follow from it fit their
    // types.
    private const int MostChannels = 1024;

    /// <summary>Channels of the input volume.</summary>
    public int InputChannels { get; init; } = 1;

    /// <summary>Score maps predicted: one for each class of particle.</summary>
    public int Outputs { get; init; } = 1;

    /// <summary>Channels at each resolution, finest first; one pooling between each two.</summary>
    public IReadOnlyList<int> Widths { get; init; } = [32, 48, 64];

    /// <summary>The network of this structure.</summary>
    internal NetworkGraph Graph => new(this);

    /// <summary>
    /// Factor by which the coarsest resolution is coarser: volume extents must be its multiples.
    /// </summary>
    [JsonIgnore]
    public int Divisor => 1 << (Widths.Count - 1);

    /// <summary>
    /// Voxels along one axis on either side of a core that its scores depend on, where the core begins and
    /// ends at multiples of <see cref="Divisor"/>: tiles that overlap by this much give the whole volume's
    /// scores.
    /// </summary>
    [JsonIgnore]
    public int ReceptiveRadius
    {
        get
        {
            // Walking back from the scores: a convolution reaches one voxel further, a halving rounds up.
            IReadOnlyList<NetworkNode> nodes = Graph.Nodes;
            Dictionary<NetworkNode, int> radius = nodes.ToDictionary(n => n, _ => 0);
            foreach (NetworkNode node in nodes.Reverse())
            {
                int reach = node.Op switch
                {
                    NodeOp.Convolution => radius[node] + 1,
                    NodeOp.Pooling => 2 * radius[node],
                    NodeOp.Transposed => (radius[node] + 1) / 2,
                    NodeOp.Input or NodeOp.Head => radius[node],
                    _ => throw UnknownValue.Of(node.Op),
                };
                foreach (NetworkNode source in node.Sources)
                    radius[source] = Math.Max(radius[source], reach);
            }

            return radius[nodes[0]];
        }
    }

    /// <summary>
    /// Inference plane by plane computes tiles that begin and end at multiples of this: Winograd's algorithm
    /// computes groups of voxels together, whose rounding depends on each other, and so a tile has the
    /// volume's groups at each resolution.
    /// </summary>
    [JsonIgnore]
    internal int TileAlignment => GroupEdge * Divisor;

    /// <summary>
    /// Voxels along one axis from the faces of such a tile at which not only the score is the whole volume's,
    /// as at <see cref="ReceptiveRadius"/>, but each bit of it.
    /// </summary>
    [JsonIgnore]
    internal int TileHalo
    {
        get
        {
            // Walking forward from a face, counting the voxels that may be rounded otherwise.
            IReadOnlyList<NetworkNode> nodes = Graph.Nodes;
            Dictionary<NetworkNode, int> voxels = [];
            foreach (NetworkNode node in nodes)
            {
                int before = node.Sources.Select(s => voxels[s]).DefaultIfEmpty(0).Max();
                voxels[node] = node.Op switch
                {
                    NodeOp.Convolution => AfterConvolution(before),
                    NodeOp.Pooling => (before + 1) / 2,
                    NodeOp.Transposed => 2 * before,
                    NodeOp.Input or NodeOp.Head => before,
                    _ => throw UnknownValue.Of(node.Op),
                };
            }

            return voxels[nodes[^1]];
        }
    }

    /// <summary>
    /// Device memory of a forward pass over whole tensors, in bytes for each voxel of the input.
    /// </summary>
    /// <param name="bf16">Whether activations are stored as BF16; the input and the score maps are float32
    /// all the same.</param>
    public double InferenceBytesPerVoxel(bool bf16)
        => sizeof(float) * (InputChannels + Outputs)
            + (bf16 ? Bf16Bytes * (Bf16.Padded(InputChannels) + ActivationsPerVoxel) : sizeof(float) * ActivationsPerVoxel);

    /// <summary>
    /// Device memory of a forward and a backward pass, in bytes for each voxel of the input, without what the
    /// losses take.
    /// </summary>
    /// <param name="bf16">Whether activations and their gradients are stored as BF16.</param>
    public double TrainingBytesPerVoxel(bool bf16)
        // Every tensor of the forward pass is kept and has a gradient as large, except the input.
        => InferenceBytesPerVoxel(bf16) + sizeof(float) * Outputs + (bf16 ? Bf16Bytes : sizeof(float)) * ActivationsPerVoxel;

    // Numbers between the input and the head, for each voxel of the input.
    private double ActivationsPerVoxel
        => Graph.Nodes.Where(n => n.Op is not (NodeOp.Input or NodeOp.Head)).Sum(n => n.Share * n.Channels);

    /// <summary>
    /// Multiplications and additions of a forward pass in the direct algorithm, borders counted as inside.
    /// </summary>
    /// <param name="volume">The input's extents.</param>
    public double ForwardOperations(Extent volume) => 2 * Graph.Nodes.Sum(n => n.Share * n.Multiplications) * volume.Voxels;

    // A group depends on one voxel before and one after it, and each of its voxels on all within it; but the
    // voxel before matters to its first output only, and that after it to its last.
    private static int AfterConvolution(int voxels)
        => voxels % GroupEdge == 0 ? voxels + 1 : (voxels + GroupEdge - 1) / GroupEdge * GroupEdge;

    /// <summary>Checks the values.</summary>
    /// <exception cref="InputException">A value is out of range.</exception>
    public void Validate()
    {
        if (InputChannels is < 1 or > MostChannels || Outputs is < 1 or > MostChannels)
        {
            throw new InputException(
                $"network: {InputChannels} input channels and {Outputs} outputs; expected 1 to {MostChannels} of both.");
        }

        if (Widths is null || Widths.Count is < 1 or > 6 || Widths.Any(w => w is < 1 or > MostChannels))
        {
            string widths = string.Join(",", (Widths ?? []).Take(10));
            throw new InputException($"network: widths {widths}; expected 1 to 6 numbers between 1 and {MostChannels}.");
        }
    }
}
