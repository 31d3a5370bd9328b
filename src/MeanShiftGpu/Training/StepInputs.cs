using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Training;

/// <summary>
/// The patches and centres of a step on a device that is not the host, at addresses that stay the same. They
/// lie behind each other in one block, which another thread writes in page-locked memory and one copy brings
/// to the device. On CUDA the copy has a stream of its own, on which it arrives while the step before is
/// still computed.
/// </summary>
internal sealed class StepInputs : IDisposable
{
    // Views passed to kernels begin at multiples of 256 bytes.
    private const int Alignment = 256 / sizeof(float);

    private readonly GpuContext context;
    private readonly TensorShape map;
    private readonly (long Offset, long Length) images;
    private readonly (long Offset, long Length)? labelled;
    private readonly (long Offset, long Length) draw;
    private readonly (long Offset, long Length) settings;
    private readonly List<(long Offset, long Length)> masks = [];
    private readonly List<(long Offset, long Length)> centers = [];
    private readonly List<(long Offset, long Length)> offsets = [];
    private readonly MemoryBuffer1D<float, Stride1D.Dense> device;

    // Where a block arrives, and the stream on which it does; null where the step's own stream copies.
    private readonly MemoryBuffer1D<float, Stride1D.Dense>? arrival;
    private readonly AcceleratorStream? uploads;
    private readonly CudaEvent? arrived;
    private readonly CudaEvent? taken;

    /// <summary>Takes the memory.</summary>
    /// <param name="context">The device.</param>
    /// <param name="like">Patches as they will come.</param>
    /// <param name="mostCenters">For each class, the most centres that the patches of a step can have
    /// together.</param>
    public StepInputs(GpuContext context, PatchBatch like, IReadOnlyList<int> mostCenters)
    {
        this.context = context;
        map = new TensorShape(like.Size, like.Patch.Depth, like.Patch.Height, like.Patch.Width, 1);
        draw = Take(1);
        settings = Take(AdamFactors<float>.Count);
        images = Take(map.Length);
        labelled = like.Labelled is null ? null : Take(map.Length);
        foreach (int most in mostCenters)
        {
            if (like.Masks is not null)
                masks.Add(Take(map.Length));
            centers.Add(Take(3L * Math.Max(1, most)));
            offsets.Add(Take(like.Size + 1));
        }

        device = context.Accelerator.Allocate1D<float>(Length);
        if (context.Accelerator is not CudaAccelerator cuda)
            return;
        arrival = cuda.Allocate1D<float>(Length);
        uploads = cuda.CreateStream();
        arrived = new CudaEvent(cuda);
        taken = new CudaEvent(cuda);
    }

    /// <summary>Elements of 4 bytes of a block.</summary>
    public long Length { get; private set; }

    /// <summary>Device memory, in bytes.</summary>
    /// <param name="context">The device.</param>
    /// <param name="options">What patches hold.</param>
    /// <param name="patches">How many.</param>
    /// <param name="mostCenters">As for the constructor.</param>
    public static long BytesOf(GpuContext context, TrainingOptions options, int patches, IReadOnlyList<int> mostCenters)
    {
        int maps = 1 + (options.NeedsMasks ? options.ClassCount : 0) + (PatchBatch.HasLabels(options) ? 1 : 0);
        long length = 2 * Alignment + maps * Padded(patches * options.Patch.Voxels)
            + mostCenters.Sum(most => Padded(3L * Math.Max(1, most)) + Padded(patches + 1));
        return (context.Kind == DeviceKind.Cuda ? 2 : 1) * sizeof(float) * length;
    }

    /// <summary>[1]: the number that the step's seeds are drawn from.</summary>
    public ArrayView<int> Draw => View(draw).Cast<int>();

    /// <summary>[7]: what an Adam step needs of its settings.</summary>
    public ArrayView<float> Settings => View(settings);

    /// <summary>[N, D, H, W, 1].</summary>
    public Tensor<float> Images => Map(images);

    /// <summary>[N, D, H, W, 1], as <see cref="PatchBatch.Labelled"/>.</summary>
    public Tensor<float>? Labelled => labelled is { } part ? Map(part) : null;

    /// <summary>For each class [N, D, H, W, 1]; empty where no loss needs masks.</summary>
    public IReadOnlyList<Tensor<float>> Masks => [.. masks.Select(Map)];

    /// <summary>For each class the centres, of which the offsets say how many there are.</summary>
    public IReadOnlyList<CenterBatch<float>> Centers
        => [.. centers.Zip(offsets, (at, from) => new CenterBatch<float>(
            View(at), View(from).Cast<int>(), (int)(at.Length / 3), map.Batch))];

    /// <summary>Writes on the host what is known of a step when it begins.</summary>
    /// <param name="number">The number that its seeds are drawn from.</param>
    /// <param name="adam">The optimiser's settings.</param>
    /// <param name="block">[<see cref="Length"/>].</param>
    public void Write(int number, AdamParameters adam, Span<float> block)
    {
        MemoryMarshal.Cast<float, int>(Of(block, draw))[0] = number;
        new AdamFactors<float>(adam).CopyTo(Of(block, settings));
    }

    /// <summary>Writes the patches and centres on the host.</summary>
    /// <param name="patches">The patches and centres.</param>
    /// <param name="block">[<see cref="Length"/>].</param>
    public void Write(PatchBatch patches, Span<float> block)
    {
        patches.Images.CopyTo(Of(block, images));
        if (labelled is { } part)
            patches.Labelled.CopyTo(Of(block, part));
        for (int c = 0; c < centers.Count; c++)
        {
            if (patches.Masks is not null)
                patches.Masks[c].CopyTo(Of(block, masks[c]));
            Span<float> positions = Of(block, centers[c]);
            Span<int> from = MemoryMarshal.Cast<float, int>(Of(block, offsets[c]));
            from[0] = 0;
            int row = 0;
            for (int item = 0; item < patches.Size; item++)
            {
                foreach (Position center in patches.Centers(c)[item])
                {
                    (positions[3 * row], positions[3 * row + 1], positions[3 * row + 2]) = (
                        (float)center.Z, (float)center.Y, (float)center.X);
                    row++;
                }

                from[item + 1] = row;
            }
        }
    }

    /// <summary>Queues the copy of a block; what the context's stream is given from now on sees it. The host
    /// does not wait.</summary>
    /// <param name="block">[<see cref="Length"/>], which stays as it is until the step is done.</param>
    public void Upload(PageLockedArray1D<float> block)
    {
        if (uploads is null)
        {
            device.View.BaseView.CopyFrom(context.Stream, block.ArrayView);
            return;
        }

        // Not before the step before has taken its block out of the arrivals.
        taken!.HoldUp(uploads);
        arrival!.View.BaseView.CopyFrom(uploads, block.ArrayView);
        arrived!.Record(uploads);
        arrived.HoldUp(context.Stream);
        device.View.BaseView.CopyFrom(context.Stream, arrival.View.BaseView);
        taken.Record(context.Stream);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        device.Dispose();
        arrival?.Dispose();
        arrived?.Dispose();
        taken?.Dispose();
        uploads?.Dispose();
    }

    private (long, long) Take(long length)
    {
        (long, long) part = (Length, length);
        Length += Padded(length);
        return part;
    }

    private static long Padded(long length) => (length + Alignment - 1) / Alignment * Alignment;

    private static Span<float> Of(Span<float> block, (long Offset, long Length) part)
        => block.Slice(checked((int)part.Offset), checked((int)part.Length));

    private ArrayView<float> View((long Offset, long Length) part) => device.View.BaseView.SubView(part.Offset, part.Length);

    private Tensor<float> Map((long Offset, long Length) part) => new(View(part), map);
}
