using ILGPU.Runtime;

namespace MeanShiftGpu.Device;

/// <summary>
/// Work that is queued again and again, with the same addresses and arguments: on CUDA from some time on as
/// one graph. Before, launchers take memory and note what they need.
/// </summary>
/// <typeparam name="T">What it results in: tensors, which keep their places.</typeparam>
/// <param name="context">The device.</param>
/// <param name="before">How often the work is queued launch by launch first.</param>
/// <param name="whose">Whose work it is, for messages: a step, a tile.</param>
/// <param name="renew">Told what a graph results in each time before it is launched: its tensors are written
/// again, whatever tapes there were since.</param>
internal sealed class RepeatedWork<T>(GpuContext context, int before, string whose, Action<T> renew) : IDisposable
{
    private CudaGraph? graph;
    private T? result;
    private int queued;
    private bool isRefused = context.Kind != DeviceKind.Cuda;

    /// <summary>Told, once, why a CUDA device goes on launch by launch; null for no callback.</summary>
    public Action<string>? Remark { get; set; }

    /// <summary>Captures the work where it is time for that.</summary>
    /// <returns>Whether it is a graph, which <see cref="Launch"/> queues. Otherwise the caller queues
    /// it.</returns>
    /// <param name="work">Queues it and does not wait; called where the graph is captured now, and nothing of
    /// it is done then.</param>
    public bool TryCapture(Func<T> work)
    {
        if (graph is { IsCurrent: false })
            Discard();
        if (graph is null && !isRefused && queued >= before)
            Capture(work);
        if (graph is null)
            queued++;
        else
            renew(result!);
        return graph is not null;
    }

    /// <summary>What the captured work results in; its tensors have their contents after
    /// <see cref="Launch"/>.</summary>
    public T Result => result!;

    /// <summary>Queues the graph.</summary>
    /// <returns>What it results in.</returns>
    public T Launch()
    {
        graph!.Launch(context.Stream);
        return result!;
    }

    /// <summary>The work will be another one.</summary>
    public void Forget()
    {
        Discard();
        queued = 0;
    }

    /// <inheritdoc/>
    public void Dispose() => Discard();

    private void Discard()
    {
        graph?.Dispose();
        graph = null;
    }

    private void Capture(Func<T> work)
    {
        string? refusal = CudaGraph.Refusal(context);
        try
        {
            if (refusal is null)
                graph = CudaGraph.Capture(context, () => result = work());
            if (graph is null)
                refusal ??= "the driver does not capture them";
        }
        catch (Exception e) when (e is AcceleratorException or InvalidOperationException)
        {
            refusal = e.Message.TrimEnd('.');
        }

        isRefused = refusal is not null;
        if (refusal is not null)
            Remark?.Invoke($"{whose}'s kernels are launched one by one, not as a CUDA graph: {refusal}.");
    }
}
