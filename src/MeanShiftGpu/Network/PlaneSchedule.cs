using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Network;

/// <summary>What planes of a tensor are made by; the order of a forward pass.</summary>
internal enum PlaneStage
{
    /// <summary>The image.</summary>
    Input,

    /// <summary>The first convolution of a resolution on the way down.</summary>
    Encoded,

    /// <summary>The second one, which both the pooling and the way up read.</summary>
    Skip,

    /// <summary>The pooling; its level is the finer one.</summary>
    Pooled,

    /// <summary>A convolution at the coarsest resolution.</summary>
    Middle,

    /// <summary>The transposed convolution; its level is the finer one.</summary>
    Transposed,

    /// <summary>The convolution after it.</summary>
    Upsampled,

    /// <summary>A convolution on the way up; the first one reads the skip connection and what was upsampled.</summary>
    Decoded,

    /// <summary>The head.</summary>
    Scores,
}

/// <summary>How planes of a tensor depend on those of one that it is computed from.</summary>
internal enum PlaneReach
{
    /// <summary>On the same plane.</summary>
    Same,

    /// <summary>On the plane before and the one after it too.</summary>
    Convolution,

    /// <summary>Each on two planes.</summary>
    Pooling,

    /// <summary>Two on each plane.</summary>
    Upsampling,
}

/// <summary>A tensor of the network of which some planes are in memory, plane z at z mod <see cref="Ring"/>.</summary>
/// <param name="stage">What makes it.</param>
/// <param name="level">The resolution, 0 the finest; of what makes it.</param>
/// <param name="index">Which of several convolutions of one stage and level.</param>
/// <param name="channels">Its channels.</param>
/// <param name="shift">Its extents are the tile's divided by 2 to the power of this.</param>
/// <param name="sources">What it is computed from.</param>
internal sealed class PlaneTensor(PlaneStage stage, int level, int index, int channels, int shift, params (PlaneTensor Tensor, PlaneReach Reach)[] sources)
{
    public PlaneStage Stage { get; } = stage;

    public int Level { get; } = level;

    public int Index { get; } = index;

    public int Channels { get; } = channels;

    public int Shift { get; } = shift;

    public IReadOnlyList<(PlaneTensor Tensor, PlaneReach Reach)> Sources { get; } = sources;

    public List<(PlaneTensor Tensor, PlaneReach Reach)> Users { get; } = [];

    /// <summary>Planes of the whole tensor.</summary>
    public int Depth { get; set; }

    /// <summary>How many of them are in memory; even, or all.</summary>
    public int Ring { get; set; }

    /// <summary>Planes computed so far.</summary>
    public int Ready { get; set; }

    /// <summary>A tile's extents at this tensor's resolution.</summary>
    public Extent SizeIn(Extent tile) => new(tile.Depth >> Shift, tile.Height >> Shift, tile.Width >> Shift);
}

/// <summary>Planes of a tensor that are computed at once.</summary>
internal readonly record struct PlaneStep(PlaneTensor Tensor, int Begin, int End);

/// <summary>
/// The order in which inference computes the planes of a network's tensors: it moves through a tile along z, all resolutions together, and each tensor
/// keeps only the planes that something still reads. Nothing is computed twice, and the memory does not grow with the tile's depth.
/// </summary>
/// <remarks>
/// The last planes are asked for first, a few at a time; what is asked for asks for what it reads, as far as that is not there yet. Steps begin and, inside the
/// volume, end at even planes, so that Winograd's algorithm has the groups of two planes that it has in the whole volume.
/// </remarks>
internal sealed class PlaneSchedule
{
    private const int Group = 2;

    private readonly List<PlaneTensor> tensors = [];
    private readonly List<PlaneStep> steps = [];
    private readonly int slab;

    /// <summary>Plans a tile.</summary>
    /// <param name="structure">The network.</param>
    /// <param name="depth">Planes of the tile, a multiple of the network's divisor.</param>
    /// <param name="slab">The most planes of the finest resolution that a step computes; coarser ones accordingly, but at least two.</param>
    public PlaneSchedule(UNet3dOptions structure, int depth, int slab)
    {
        this.slab = slab;
        PlaneTensor scores = AddTensors(structure);
        foreach (PlaneTensor tensor in tensors)
        {
            tensor.Depth = depth >> tensor.Shift;
            foreach ((PlaneTensor source, PlaneReach reach) in tensor.Sources)
                source.Users.Add((tensor, reach));
        }

        for (int end = slab; scores.Ready < depth; end += slab)
            Require(scores, end);
        foreach (PlaneTensor tensor in tensors)
            tensor.Ring = Math.Min((tensor.Ring + Group - 1) / Group * Group, tensor.Depth);
    }

    /// <summary>The tensors in the order of a forward pass; the first is the image, the last the scores.</summary>
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
        return (long)tensor.Ring * size.Height * size.Width * tensor.Channels;
    }

    private PlaneTensor AddTensors(UNet3dOptions structure)
    {
        IReadOnlyList<int> widths = structure.Widths;
        int levels = widths.Count - 1;
        PlaneTensor[] skips = new PlaneTensor[levels];
        PlaneTensor x = Add(new PlaneTensor(PlaneStage.Input, 0, 0, structure.InputChannels, 0));
        for (int level = 0; level < levels; level++)
        {
            x = Add(new PlaneTensor(PlaneStage.Encoded, level, 0, widths[level], level, (x, PlaneReach.Convolution)));
            skips[level] = Add(new PlaneTensor(PlaneStage.Skip, level, 0, widths[level], level, (x, PlaneReach.Convolution)));
            x = Add(new PlaneTensor(PlaneStage.Pooled, level, 0, widths[level], level + 1, (skips[level], PlaneReach.Pooling)));
        }

        for (int i = 0; i < UNet3dOptions.MiddleConvolutions; i++)
            x = Add(new PlaneTensor(PlaneStage.Middle, levels, i, widths[levels], levels, (x, PlaneReach.Convolution)));
        for (int level = levels - 1; level >= 0; level--)
        {
            x = Add(new PlaneTensor(PlaneStage.Transposed, level, 0, widths[level + 1], level, (x, PlaneReach.Upsampling)));
            x = Add(new PlaneTensor(PlaneStage.Upsampled, level, 0, widths[level + 1], level, (x, PlaneReach.Convolution)));
            x = Add(new PlaneTensor(PlaneStage.Decoded, level, 0, widths[level], level, (skips[level], PlaneReach.Convolution), (x, PlaneReach.Convolution)));
            x = Add(new PlaneTensor(PlaneStage.Decoded, level, 1, widths[level], level, (x, PlaneReach.Convolution)));
        }

        return Add(new PlaneTensor(PlaneStage.Scores, 0, 0, structure.Outputs, 0, (x, PlaneReach.Same)));
    }

    private PlaneTensor Add(PlaneTensor tensor)
    {
        tensors.Add(tensor);
        return tensor;
    }

    // Computes a tensor's planes up to one, after what they read.
    private void Require(PlaneTensor tensor, int end)
    {
        end = Math.Min((end + Group - 1) / Group * Group, tensor.Depth);
        int most = Math.Max((slab >> tensor.Shift) / Group * Group, Group);
        while (tensor.Ready < end)
        {
            int to = Math.Min(tensor.Ready + most, end);
            foreach ((PlaneTensor source, PlaneReach reach) in tensor.Sources)
                Require(source, LastRead(to, reach));
            // What the new planes overwrite, nobody reads any more.
            int oldest = tensor.Users.Where(u => u.Tensor.Ready < u.Tensor.Depth).Select(u => FirstRead(u.Tensor.Ready, u.Reach)).DefaultIfEmpty(tensor.Ready).Min();
            tensor.Ring = Math.Max(tensor.Ring, to - Math.Min(oldest, tensor.Ready));
            steps.Add(new PlaneStep(tensor, tensor.Ready, to));
            tensor.Ready = to;
        }
    }

    /// <summary>The first plane that planes from one on read.</summary>
    internal static int FirstRead(int begin, PlaneReach reach) => reach switch
    {
        PlaneReach.Convolution => Math.Max(0, begin - 1),
        PlaneReach.Pooling => 2 * begin,
        PlaneReach.Upsampling => begin / 2,
        _ => begin,
    };

    /// <summary>The plane after the last that planes up to one read; it may be beyond the tensor.</summary>
    internal static int LastRead(int end, PlaneReach reach) => reach switch
    {
        PlaneReach.Convolution => end + 1,
        PlaneReach.Pooling => 2 * end,
        PlaneReach.Upsampling => (end + 1) / 2,
        _ => end,
    };
}
