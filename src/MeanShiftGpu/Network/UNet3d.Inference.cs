using MeanShiftGpu.Autograd;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Host;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Network;

/// <content>
/// Inference plane by plane, for large tiles in the host's memory: <see cref="PlaneSchedule"/> says in which
/// order, and of each tensor only the planes that something still reads are there. A tile takes the
/// operations of one forward pass, and the memory of its cross-section times some dozens of planes: most of
/// them are the finest skip connection's, which wait until the coarse resolutions have come as far.
/// </content>
/// <remarks>
/// A volume's tiles give the same bits as the whole: a tile begins at a multiple of
/// <see cref="UNet3dOptions.TileAlignment"/>, so that Winograd's algorithm has the whole volume's groups of
/// voxels in it, and its halo is as wide as differences of rounding reach.
/// </remarks>
public sealed partial class UNet3d<T>
{
    // Enough for all threads at the coarsest resolution too, as in picking.
    private const long VoxelsAtOnce = 1 << 18;

    /// <summary>
    /// Whether the device's convolutions can compute some planes alone; those of the CPU device can, the
    /// plain kernels take whole tensors.
    /// </summary>
    internal bool ComputesByPlanes
        => Parameters.Parameters.Where(p => p.Layout == ParameterLayout.ConvolutionWeight && p.KernelSize == 3).All(p =>
            Context.Launcher(Conv3dVariants<T, T>.Table, new Conv3dShape(1, 1, 1, 1, p.InputChannels, p.OutputChannels, 3,
                Activation.Relu, p.InputChannels, p.OutputChannels)) is IConv3dByPlanes<T>);

    /// <summary>
    /// The forward pass of whole volumes into the caller's memory, with as little memory as the device can do
    /// with. On the CPU device it goes through a volume plane by plane, all resolutions together, and keeps
    /// of each tensor only the planes that something still reads: the memory grows with a volume's
    /// cross-section, not with its depth, and nothing is computed twice. On other devices it is <see
    /// cref="Forward"/>, whose scores these are.
    /// </summary>
    /// <param name="arena">The memory, which keeps what it has for the next call.</param>
    /// <param name="volume">[N, D, H, W, InputChannels], each input normalised to mean 0 and standard
    /// deviation 1.</param>
    /// <param name="shape">Its shape; extents are multiples of <see cref="UNet3dOptions.Divisor"/>.</param>
    /// <param name="scores">[N, D, H, W, Outputs], overwritten with scores from 0 to 1.</param>
    /// <exception cref="ArgumentException">Lengths or extents do not fit.</exception>
    public unsafe void Predict(Arena arena, ReadOnlySpan<T> volume, TensorShape shape, Span<T> scores)
    {
        ArgumentNullException.ThrowIfNull(arena);
        using CallerGate.Pass pass = Context.Enter("Predict");
        if (arena.Context.Accelerator != Context.Accelerator)
            throw new ArgumentException("Predict: the arena is on another device, expected one on the network's.", nameof(arena));
        Extent size = new(shape.Depth, shape.Height, shape.Width);
        if (shape.Batch < 1 || shape.Channels != Options.InputChannels || size.Voxels < 1
            || shape.Depth % Options.Divisor != 0 || shape.Height % Options.Divisor != 0 || shape.Width % Options.Divisor != 0)
        {
            throw new ArgumentException(
                $"Predict: the volume is {shape}. Expected {Options.InputChannels} channels and extents that are multiples of "
                + $"{Options.Divisor}. Pad with zeros, the mean of what is normalised.", nameof(shape));
        }

        if (volume.Length != shape.Length)
        {
            throw new ArgumentException(
                $"Predict: {volume.Length} numbers are no volume of {shape}. Expected {shape.Length}.", nameof(volume));
        }

        RequireFinite(volume);
        long expected = shape.Batch * size.Voxels * Options.Outputs;
        if (scores.Length != expected)
        {
            throw new ArgumentException(
                $"Predict: there is room for {scores.Length} scores. Expected {expected}.", nameof(scores));
        }

        if (!Context.ComputesInHostMemory || !ComputesByPlanes)
        {
            using Tape<T> tape = Tape<T>.Begin(arena, inference: true);
            Forward(tape, tape.Upload(volume, shape)).ToArray(Context).CopyTo(scores);
            return;
        }

        fixed (T* from = volume, to = scores)
        {
            for (int item = 0; item < shape.Batch; item++)
            {
                (nint source, nint target) = (
                    (nint)(from + item * size.Voxels * Options.InputChannels), (nint)(to + item * size.Voxels * Options.Outputs));
                PredictByPlanes(
                    arena, Box.Whole(size), Box.Whole(size), PlanesAtOnce(size),
                    (box, planes) => Planes(source, box, Options.InputChannels).CopyTo(planes),
                    (box, planes) => planes.CopyTo(Planes(target, box, Options.Outputs)));
            }
        }

        // A NaN makes NaN of every score that depends on it.
        static void RequireFinite(ReadOnlySpan<T> volume)
        {
            for (int i = 0; i < volume.Length; i++)
            {
                if (!T.IsFinite(volume[i]))
                    throw new ArgumentException($"Predict: the volume holds {volume[i]} at {i}. Expected finite numbers of "
                        + "mean 0 and standard deviation 1.", nameof(volume));
            }
        }

        Span<T> Planes(nint data, Box box, int channels)
        {
            long plane = size.Height * (long)size.Width * channels;
            return new Span<T>((T*)data + box.Origin.Z * plane, checked((int)(box.Size.Depth * plane)));
        }
    }

    /// <summary>
    /// Does the first <see cref="Predict"/> of a size, on zeros, which compiles the kernels and takes the
    /// memory, so that those that follow take no longer than the last. Waits.
    /// </summary>
    /// <param name="arena">The memory that the later calls are given.</param>
    /// <param name="shape">The shape of their volumes.</param>
    public void Prepare(Arena arena, TensorShape shape)
        => Predict(arena, new T[shape.Length], shape, new T[shape.Length / Math.Max(1, shape.Channels) * Options.Outputs]);

    /// <summary>Bytes of activations that <see cref="Predict"/> keeps for volumes of a size, where it goes
    /// plane by plane.</summary>
    internal long PredictBytes(Extent size) => new PlaneSchedule(graph, size.Depth, PlanesAtOnce(size)).Bytes(size);

    private static int PlanesAtOnce(Extent size)
        => (int)Math.Clamp(VoxelsAtOnce / ((long)size.Height * size.Width), 2, Math.Max(2, size.Depth));

    /// <summary>
    /// Predicts the scores of a part of a volume, plane by plane, on a device whose memory is the host's.
    /// </summary>
    /// <param name="arena">The memory.</param>
    /// <param name="tile">
    /// What is read, in voxels of the volume: from multiples of <see cref="UNet3dOptions.TileAlignment"/>,
    /// its edges multiples of <see cref="UNet3dOptions.Divisor"/>.
    /// </param>
    /// <param name="core">The part of it whose scores are wanted; <see cref="UNet3dOptions.TileHalo"/> from
    /// the tile's faces inside the volume.</param>
    /// <param name="slab">The most planes that are computed at once.</param>
    /// <param name="read">Reads some whole planes of the tile, [D, H, W, InputChannels]; each plane
    /// once.</param>
    /// <param name="write">Takes the scores of boxes that together are the core, [D, H, W, Outputs].</param>
    /// <param name="progress">Told the share that is done after each step: some planes of one tensor.</param>
    /// <returns>The seconds that it waited for input.</returns>
    internal double PredictByPlanes(
        Arena arena, Box tile, Box core, int slab, BoxReader<T> read, BoxWriter<T> write, Action<double>? progress = null)
    {
        using CallerGate.Pass pass = Context.Enter("UNet3d.PredictByPlanes");
        PlaneSchedule schedule = new(graph, tile.Size.Depth, slab);
        arena.Reserve(schedule.Bytes(tile.Size));
        using Tape<T> tape = Tape<T>.Begin(arena, inference: true);
        Dictionary<PlaneTensor, Tensor<T>> rings = schedule.Tensors.ToDictionary(t => t, t =>
        {
            Extent size = t.SizeIn(tile.Size);
            return tape.Allocate(new TensorShape(1, t.Ring, size.Height, size.Width, t.Node.Channels));
        });
        using ReadAhead<T> input = new(
            [.. schedule.Steps.Where(s => s.Tensor.Node.Op == NodeOp.Input)
                .Select(s => TensorBlocks.Planes(tile, s.Begin, s.End))], Options.InputChannels, read);
        T[] scores = new T[(long)slab * core.Size.Height * core.Size.Width * Options.Outputs];
        double work = schedule.Steps.Sum(Work);
        double done = 0;
        foreach (PlaneStep step in schedule.Steps)
        {
            switch (step.Tensor.Node.Op)
            {
                case NodeOp.Input:
                    Put(input.Next(), rings[step.Tensor], step);
                    break;
                case NodeOp.Head:
                    Compute(tape, rings, step);
                    Take(rings[step.Tensor], step, tile, core, scores, write);
                    break;
                default:
                    Compute(tape, rings, step);
                    break;
            }

            progress?.Invoke((done += Work(step)) / work);
        }

        return input.WaitedSeconds;

        // Multiplications; one for each channel where it is moved or compared.
        double Work(PlaneStep step)
        {
            Extent size = step.Tensor.SizeIn(tile.Size);
            return (double)(step.End - step.Begin) * size.Height * size.Width * Math.Max(
                step.Tensor.Node.Multiplications, step.Tensor.Node.Channels);
        }
    }

    private void Compute(Tape<T> tape, Dictionary<PlaneTensor, Tensor<T>> rings, PlaneStep step)
    {
        PlaneTensor tensor = step.Tensor;
        Tensor<T> target = rings[tensor];
        Tensor<T> source = rings[tensor.Sources[0]];
        switch (tensor.Node.Op)
        {
            case NodeOp.Convolution:
                (Parameter<T> weight, Parameter<T> bias) = parameters[tensor.Node];
                tape.Conv3dPlanes(
                    [.. tensor.Sources.Select(s => rings[s])],
                    weight,
                    bias,
                    tensor.Node.Activation,
                    target,
                    tensor.Depth,
                    step.Begin,
                    step.End);
                break;
            case NodeOp.Pooling:
                foreach ((int from, int to, int count) in Runs(step, source.Shape.Depth, target.Shape.Depth, 2, 1))
                    tape.MaxPool3d(source.Planes(from, 2 * count), target.Planes(to, count));
                break;
            case NodeOp.Transposed:
                foreach ((int from, int to, int count) in Runs(step, source.Shape.Depth, target.Shape.Depth, 1, 2))
                    tape.ConvTranspose3d(
                        source.Planes(from, count),
                        parameters[tensor.Node].Weight,
                        parameters[tensor.Node].Bias,
                        target.Planes(to, 2 * count));
                break;
            case NodeOp.Head:
                foreach ((int from, int to, int count) in Runs(step, source.Shape.Depth, target.Shape.Depth, 1, 1))
                    tape.SigmoidHead(
                        source.Planes(from, count),
                        parameters[tensor.Node].Weight,
                        parameters[tensor.Node].Bias,
                        target.Planes(to, count));
                break;
            default:
                throw new InvalidOperationException($"{tensor.Node} is not computed.");
        }
    }

    // A step's planes in pieces that are contiguous in both rings: each unit of work reads sourcePlanes and
    // writes targetPlanes.
    private static IEnumerable<(int From, int To, int Count)> Runs(
        PlaneStep step, int sourceRing, int targetRing, int sourcePlanes, int targetPlanes)
    {
        for (int unit = step.Begin / targetPlanes, end = step.End / targetPlanes, count; unit < end; unit += count)
        {
            int from = unit * sourcePlanes % sourceRing;
            int to = unit * targetPlanes % targetRing;
            count = Math.Min(end - unit, Math.Min((sourceRing - from) / sourcePlanes, (targetRing - to) / targetPlanes));
            yield return (from, to, count);
        }
    }

    private static void Put(ReadOnlySpan<T> planes, Tensor<T> ring, PlaneStep step)
    {
        int length = planes.Length / (step.End - step.Begin);
        for (int plane = step.Begin; plane < step.End; plane++)
            planes.Slice((plane - step.Begin) * length, length).CopyTo(
                ring.View.SubView((long)(plane % ring.Shape.Depth) * length, length).AsHostSpan());
    }

    // Hands over the part of some planes that is in the core.
    private void Take(Tensor<T> ring, PlaneStep step, Box tile, Box core, T[] scores, BoxWriter<T> write)
    {
        int begin = Math.Max(tile.Origin.Z + step.Begin, core.Origin.Z);
        int end = Math.Min(tile.Origin.Z + step.End, core.Origin.Z + core.Size.Depth);
        if (begin >= end)
            return;
        Box box = core with { Origin = (begin, core.Origin.Y, core.Origin.X), Size = core.Size with { Depth = end - begin } };
        Extent plane = tile.Size with { Depth = 1 };
        for (int z = begin; z < end; z++)
        {
            Box within = TensorBlocks.Within(
                box with { Origin = (tile.Origin.Z, box.Origin.Y, box.Origin.X), Size = box.Size with { Depth = 1 } }, tile);
            TensorBlocks.Copy(
                ring.Planes((z - tile.Origin.Z) % ring.Shape.Depth, 1).View.AsHostSpan(),
                plane,
                within,
                scores,
                box.Size,
                (z - begin, 0, 0),
                Options.Outputs);
        }

        write(box, scores.AsSpan(0, (int)box.Size.Voxels * Options.Outputs));
    }
}
