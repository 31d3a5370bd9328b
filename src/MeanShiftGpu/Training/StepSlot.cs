using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Training;

/// <summary>
/// The host's side of one of two steps that are under way on a device that is not the host: patches, which
/// another thread prepares while the step before is computed, and in page-locked memory what the device tells
/// of the step, which the host reads when it has given the device the next one.
/// </summary>
internal sealed class StepSlot : IDisposable
{
    private readonly GpuContext context;
    private readonly StepInputs inputs;
    private readonly PageLockedArray1D<float> block;
    private readonly PageLockedArray1D<float> report; // [reported]
    private readonly PageLockedArray1D<float> ends; // [classes, N, S, 4]: positions, then the rows of their nearest centres
    private readonly PageLockedArray1D<float> scores; // [N, D, H, W, classes]
    private readonly int points;
    private readonly CudaEvent? done;
    private Task preparing = Task.CompletedTask;
    private int prepared = -1;

    /// <summary>Takes the memory.</summary>
    /// <param name="context">The device.</param>
    /// <param name="inputs">The device's side of the patches.</param>
    /// <param name="patches">The host's.</param>
    /// <param name="reported">How many numbers are reported of every step.</param>
    /// <param name="classes">How many classes there are.</param>
    /// <param name="points">Seeds of a class, those of all patches; 0 without a mean shift.</param>
    public StepSlot(GpuContext context, StepInputs inputs, PatchBatch patches, long reported, int classes, int points)
    {
        this.context = context;
        this.inputs = inputs;
        this.points = points;
        Patches = patches;
        block = Locked(inputs.Length);
        report = Locked(reported);
        ends = Locked(4L * classes * points);
        scores = Locked((long)patches.Size * patches.Voxels * classes);
        done = context.Accelerator is CudaAccelerator cuda ? new CudaEvent(cuda) : null;
    }

    /// <summary>The patches that were prepared.</summary>
    public PatchBatch Patches { get; }

    /// <summary>What was reported, after <see cref="Wait"/>.</summary>
    public ReadOnlySpan<float> Report => report.Span;

    /// <summary>The score maps [N, D, H, W, classes], after <see cref="Wait"/>, if they were asked
    /// for.</summary>
    public ReadOnlySpan<float> Scores => scores.Span;

    /// <summary>Begins to prepare the patches of a step on another thread.</summary>
    /// <param name="sampler">Which patches.</param>
    /// <param name="draw">The step's random number.</param>
    /// <param name="firstPatch">The first of the step's patches that are this rank's.</param>
    public void BeginPreparing(PatchSampler sampler, int draw, int firstPatch)
    {
        FinishPreparing();
        prepared = draw;
        preparing = Task.Run(() => Prepare(sampler, draw, firstPatch));
    }

    /// <summary>Makes sure that the patches of a step are there, and queues their copy.</summary>
    /// <param name="sampler">Which patches.</param>
    /// <param name="draw">The step's random number.</param>
    /// <param name="firstPatch">The first of the step's patches that are this rank's.</param>
    /// <param name="adam">The optimiser's settings.</param>
    public void Upload(PatchSampler sampler, int draw, int firstPatch, AdamParameters adam)
    {
        FinishPreparing();
        if (prepared != draw)
            Prepare(sampler, draw, firstPatch);
        // Nobody prepared the next step of this slot.
        prepared = -1;
        inputs.Write(draw, adam, block.Span);
        inputs.Upload(block);
    }

    /// <summary>Queues the copy of where a class's seeds ended.</summary>
    public void KeepEnds(int classIndex, MeanShiftLossResult<float> result)
    {
        ArrayView<float> part = ends.ArrayView.SubView(4L * points * classIndex, 4L * points);
        part.SubView(0, 3L * points).CopyFrom(context.Stream, result.Positions);
        part.SubView(3L * points, points).Cast<int>().CopyFrom(context.Stream, result.NearestCenter);
    }

    /// <summary>Where a class's seeds ended, [N, S, 3], and the rows of their nearest centres, [N, S]; after
    /// <see cref="Wait"/>.</summary>
    public void ReadEnds(int classIndex, out ReadOnlySpan<float> positions, out ReadOnlySpan<int> nearest)
    {
        ReadOnlySpan<float> part = ends.Span.Slice(4 * points * classIndex, 4 * points);
        positions = part[..(3 * points)];
        nearest = MemoryMarshal.Cast<float, int>(part[(3 * points)..]);
    }

    /// <summary>Queues the copy of the score maps.</summary>
    /// <param name="all">[N, D, H, W, classes], or the slice of a class.</param>
    public void KeepScores(Tensor<float> all) => scores.ArrayView.CopyFrom(context.Stream, all.Storage.ViewAs<float>());

    /// <summary>Queues the copy of the report, the last of a step.</summary>
    public void KeepReport(ArrayView<float> values)
    {
        report.ArrayView.CopyFrom(context.Stream, values);
        done?.Record(context.Stream);
    }

    /// <summary>Waits until the step is done.</summary>
    public void Wait()
    {
        if (done is null)
            context.Synchronize();
        else
            done.Synchronize();
    }

    /// <summary>Waits until nothing is being prepared; who asks for it hears what goes wrong there.</summary>
    public void Rest() => ((IAsyncResult)preparing).AsyncWaitHandle.WaitOne();

    /// <inheritdoc/>
    public void Dispose()
    {
        // What goes wrong in patches that nobody wants is nobody's business.
        Rest();
        block.Dispose();
        report.Dispose();
        ends.Dispose();
        scores.Dispose();
        done?.Dispose();
    }

    // A failure is told once, and the patches are prepared anew.
    private void FinishPreparing()
    {
        Task task = preparing;
        preparing = Task.CompletedTask;
        try
        {
            task.GetAwaiter().GetResult();
        }
        catch
        {
            prepared = -1;
            throw;
        }
    }

    private void Prepare(PatchSampler sampler, int draw, int firstPatch)
    {
        sampler.Fill(Patches, draw, firstPatch);
        inputs.Write(Patches, block.Span);
    }

    private PageLockedArray1D<float> Locked(long length) => context.Accelerator.AllocatePageLocked1D<float>(Math.Max(1, length));
}
