using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Kernels.Machine.Sums;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Training.Ranks;

namespace MeanShiftGpu.Training;

/// <summary>Device memory of a training's steps, in bytes, by what takes it: worked out before any is
/// taken.</summary>
/// <param name="Parameters">Parameters, gradients, the optimiser's moments, and the copies to go back
/// to.</param>
/// <param name="Activations">Tensors of a step and their gradients, and what the losses take.</param>
/// <param name="Patches">Patches and centres, where they do not lie among the tensors.</param>
/// <param name="Weights">Weights in the order that kernels read.</param>
/// <param name="Parts">Parts of the weights' gradients.</param>
/// <param name="Scratch">What single launches need.</param>
internal sealed record TrainingMemory(long Parameters, long Activations, long Patches, long Weights, long Parts, long Scratch)
{
    /// <summary>Buffers begin at multiples of 256 bytes, and the losses have a few small ones.</summary>
    public const long Gaps = 1 << 16;

    // Values, gradients, two moments, the best values, and values and moments of the last healthy map.
    private const int CopiesOfParameters = 8;

    /// <summary>All together.</summary>
    public long Total => Parameters + Activations + Patches + Weights + Parts + Scratch;

    /// <summary>Plans a training.</summary>
    /// <param name="context">The device, of which nothing is taken.</param>
    /// <param name="structure">The network.</param>
    /// <param name="options">All settings.</param>
    /// <param name="data">The volumes, for the number of centres.</param>
    /// <param name="ranks">With whom the patches of a step are shared.</param>
    public static TrainingMemory Of(GpuContext context, UNet3dOptions structure, TrainingOptions options, TrainingData data,
        IRanks ranks)
    {
        bool isHost = context.ComputesInHostMemory;
        int patches = isHost ? 1 : RankShare.Of(options.BatchSize, ranks.Rank, ranks.Count).Count;
        int[] centers = new PatchSampler(data.Training, options).MostCenters(patches);
        LaunchMemory[] layers = [.. Layers(context, structure, options.Patch, patches)];
        return new TrainingMemory(
            CopiesOfParameters * sizeof(float) * structure.Graph.Nodes.Where(n => n.HasParameters)
                .Sum(n => ParameterSet.Padded((long)n.KernelSize * n.KernelSize * n.KernelSize * n.InputChannels * n.Channels)
                    + ParameterSet.Padded(n.Channels)),
            ActivationBytes(context, structure, options, options.Patch, patches, centers, isHost) + Gaps,
            isHost ? 0 : StepInputs.BytesOf(context, options, patches, centers),
            layers.Sum(l => l.Weights),
            isHost ? 0 : Math.Min(layers.Sum(l => l.Parts), LaterSums<float>.MostBytes),
            layers.Max(l => l.Scratch));
    }

    /// <summary>Device memory that the tensors of a step take, in bytes.</summary>
    /// <param name="context">The device.</param>
    /// <param name="structure">The network.</param>
    /// <param name="options">All settings but the two that follow.</param>
    /// <param name="patch">The extents of a patch.</param>
    /// <param name="patches">How many are computed together.</param>
    /// <param name="mostCenters">For each class, the most centres that they can have.</param>
    /// <param name="isHost">Whether patches and centres lie among the tensors.</param>
    public static long ActivationBytes(
        GpuContext context, UNet3dOptions structure, TrainingOptions options, Extent patch, int patches,
        IReadOnlyList<int> mostCenters, bool isHost)
    {
        // Beside the network's tensors: a target for each class; the map of annotated voxels, and the masked
        // scores with their gradients; and where a score map gets a second gradient, it is written aside and
        // added.
        bool hasLabels = PatchBatch.HasLabels(options);
        int uploaded = structure.InputChannels + (options.NeedsMasks ? options.ClassCount : 0) + (hasLabels ? 1 : 0);
        int others = (hasLabels ? 2 * options.ClassCount : 0) + options.ClassCount - structure.InputChannels;
        double bytes = (structure.TrainingBytesPerVoxel(context.Precision == Precision.Bf16)
            + sizeof(float) * ((isHost ? uploaded : 0) + others)) * patch.Voxels * patches;
        for (int c = 0; options.MeanShiftWeight > 0 && c < options.ClassCount; c++)
        {
            MeanShiftOptions meanShift = options.MeanShiftOf(c);
            MeanShiftShape shape = meanShift.Shape(patches, patch.Depth, patch.Height, patch.Width, options.ClassCount);
            bytes += context.Launcher(MeanShiftVariants<float>.Table, shape)
                .WorkspaceBytes(shape, meanShift.Parameters, isHost ? 0 : mostCenters[c])
                    + sizeof(float) * (shape.TrajectoryLength + 4 * shape.Points);
        }

        return (long)bytes;
    }

    private static IEnumerable<LaunchMemory> Layers(GpuContext context, UNet3dOptions structure, Extent patch, int patches)
    {
        bool isFirst = true;
        foreach (NetworkNode node in structure.Graph.Nodes)
        {
            int level = node.Op == NodeOp.Transposed ? node.Level + 1 : node.Level;
            (int depth, int height, int width) = (patch.Depth >> level, patch.Height >> level, patch.Width >> level);
            if (node.Op == NodeOp.Transposed)
            {
                ConvTranspose3dShape shape = new(patches, depth, height, width, node.InputChannels, node.Channels, Pitch(
                    node.InputChannels), node.Channels);
                yield return context.Precision == Precision.Bf16
                    ? context.Launcher(ConvTranspose3dVariants<Bf16, float>.Table, shape).Memory(shape)
                    : context.Launcher(ConvTranspose3dVariants<float, float>.Table, shape).Memory(shape);
            }
            else if (node.Op == NodeOp.Convolution)
            {
                Conv3dShape shape = new(patches, depth, height, width, node.InputChannels, node.Channels, node.KernelSize,
                    node.Activation, Pitch(node.InputChannels), node.Channels);
                yield return context.Precision == Precision.Bf16
                    ? context.Launcher(Conv3dVariants<Bf16, float>.Table, shape).Memory(shape, isFirst)
                    : context.Launcher(Conv3dVariants<float, float>.Table, shape).Memory(shape, isFirst);
                isFirst = false;
            }
        }

        int Pitch(int channels) => context.Precision == Precision.Bf16 ? Bf16.Padded(channels) : channels;
    }
}
