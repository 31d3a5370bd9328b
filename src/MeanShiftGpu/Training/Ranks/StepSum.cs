using System.Diagnostics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;

namespace MeanShiftGpu.Training.Ranks;

/// <summary>
/// Adds what the passes of a step found, on this rank and on others, in the order of their patches: the
/// gradient and what is reported of the losses. It goes through page-locked memory of the host, which a GPU
/// reads and writes by itself.
/// </summary>
internal sealed class StepSum : IDisposable
{
    private readonly GpuContext context;
    private readonly IRanks ranks;
    private readonly int allParts;
    private readonly int gradients;
    private readonly int length;
    private readonly PageLockedArray1D<float> parts; // [passes, gradients + reports]
    private readonly PageLockedArray1D<float> total; // [gradients + reports]
    private readonly Stopwatch clock = new();

    /// <summary>Takes the memory.</summary>
    /// <param name="context">The device.</param>
    /// <param name="ranks">The ranks.</param>
    /// <param name="allParts">Passes of a step on all ranks.</param>
    /// <param name="gradients">Length of the gradient.</param>
    /// <param name="reports">How many numbers are reported.</param>
    public StepSum(GpuContext context, IRanks ranks, int allParts, long gradients, int reports)
    {
        this.context = context;
        this.ranks = ranks;
        this.allParts = allParts;
        this.gradients = checked((int)gradients);
        length = this.gradients + reports;
        int passes = RankShare.Of(allParts, ranks.Rank, ranks.Count).Count;
        parts = context.Accelerator.AllocatePageLocked1D<float>((long)passes * length);
        total = context.Accelerator.AllocatePageLocked1D<float>(length);
    }

    /// <summary>Time spent in adding so far: exchanging, and waiting for slower ranks.</summary>
    public TimeSpan Time => clock.Elapsed;

    /// <summary>Keeps the result of a pass. Waits for the stream.</summary>
    /// <param name="pass">Which of this rank's.</param>
    /// <param name="gradient">[gradients].</param>
    /// <param name="report">[reports].</param>
    /// <param name="shares">[reports]: what each reported number counts for in that of the step.</param>
    public void Keep(int pass, ArrayView<float> gradient, ArrayView<float> report, ReadOnlySpan<double> shares)
    {
        Span<float> part = parts.Span.Slice(pass * length, length);
        gradient.CopyToCPU(context.Stream, part[..gradients]);
        Span<float> reported = part[gradients..];
        report.CopyToCPU(context.Stream, reported);
        context.Synchronize();
        for (int i = 0; i < reported.Length; i++)
            reported[i] = (float)(reported[i] * shares[i]);
    }

    /// <summary>Adds all passes of all ranks, and overwrites gradient and report with the sums.</summary>
    /// <param name="gradient">[gradients].</param>
    /// <param name="report">[reports].</param>
    public void Add(ArrayView<float> gradient, ArrayView<float> report)
    {
        clock.Start();
        ranks.SumInOrder<float>(parts.Span, allParts, total.Span);
        clock.Stop();
        gradient.CopyFromCPU(context.Stream, total.Span[..gradients]);
        report.CopyFromCPU(context.Stream, total.Span[gradients..]);
        context.Synchronize();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        parts.Dispose();
        total.Dispose();
    }
}
