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
/// <remarks>
/// Every page-locked array is copied whole. Between OpenCL and the host, ILGPU 1.5.3 copies as many bytes as
/// the host's whole array has, whatever part of it a view is, and so beyond its end.
/// </remarks>
internal sealed class StepSlot : IDisposable
{
    private readonly GpuContext context;
    private readonly StepInputs inputs;
    private readonly PageLockedArray1D<float> block;
    private readonly PageLockedArray1D<float> report; // [reported]
    private readonly PageLockedArray1D<float>[] positions; // of each class [N, S, 3]
    private readonly PageLockedArray1D<int>[] nearest; // of each class [N, S]: the rows of the nearest centres
    private readonly PageLockedArray1D<float> scores; // [N, D, H, W, classes]
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
        Patches = patches;
        block = Locked<float>(inputs.Length);
        report = Locked<float>(reported);
        int withEnds = points > 0 ? classes : 0;
        positions = [.. Enumerable.Range(0, withEnds).Select(_ => Locked<float>(3L * points))];
        nearest = [.. Enumerable.Range(0, withEnds).Select(_ => Locked<int>(points))];
        scores = Locked<float>((long)patches.Size * patches.Voxels * classes);
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
        positions[classIndex].ArrayView.CopyFrom(context.Stream, result.Positions);
        nearest[classIndex].ArrayView.CopyFrom(context.Stream, result.NearestCenter);
    }

    /// <summary>Where a class's seeds ended, [N, S, 3], and the rows of their nearest centres, [N, S]; after
    /// <see cref="Wait"/>.</summary>
    public void ReadEnds(int classIndex, out ReadOnlySpan<float> positions, out ReadOnlySpan<int> nearest)
    {
        positions = this.positions[classIndex].Span;
        nearest = this.nearest[classIndex].Span;
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
        // Errors in patches that are no longer needed are ignored.
        Rest();
        block.Dispose();
        report.Dispose();
        foreach (PageLockedArray1D<float> ofClass in positions)
            ofClass.Dispose();
        foreach (PageLockedArray1D<int> ofClass in nearest)
            ofClass.Dispose();
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

    private PageLockedArray1D<TElement> Locked<TElement>(long length)
        where TElement : unmanaged
        => context.Accelerator.AllocatePageLocked1D<TElement>(length);
}
