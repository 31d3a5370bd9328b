using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using MeanShiftGpu.Kernels.Machine;

namespace MeanShiftGpu.Device;

/// <summary>
/// Launches, copies and fills that were captured once and are queued again by one call, at the addresses and
/// with the arguments that they had; what changes must lie in device memory. ILGPU has none.
/// </summary>
internal sealed unsafe class CudaGraph : IDisposable
{
    // Other threads may call the driver meanwhile.
    private const int RelaxedMode = 2;
    private const int NotSupported = 801;

    private static readonly Lazy<nint> BeginCapture = new(() => CudaLibrary.Function("cuStreamBeginCapture_v2"));
    private static readonly Lazy<nint> EndCapture = new(() => CudaLibrary.Function("cuStreamEndCapture"));
    private static readonly Lazy<nint> Instantiate = new(() => CudaLibrary.Function("cuGraphInstantiateWithFlags"));
    private static readonly Lazy<nint> LaunchGraph = new(() => CudaLibrary.Function("cuGraphLaunch"));
    private static readonly Lazy<nint> DestroyGraph = new(() => CudaLibrary.Function("cuGraphDestroy"));
    private static readonly Lazy<nint> DestroyExecutable = new(() => CudaLibrary.Function("cuGraphExecDestroy"));

    private readonly CudaAccelerator accelerator;
    private readonly long addresses;
    private nint executable;

    private CudaGraph(CudaAccelerator accelerator, nint executable)
    {
        this.accelerator = accelerator;
        this.executable = executable;
        addresses = DeviceAddresses.Of(accelerator);
    }

    /// <summary>Whether the memory that the graph uses is where it was.</summary>
    public bool IsCurrent => addresses == DeviceAddresses.Of(accelerator);

    /// <summary>Why nothing can be captured on a context; null where it can be tried.</summary>
    public static string? Refusal(GpuContext context)
    {
        if (context.Accelerator is not CudaAccelerator)
            return "the device is not CUDA's";
        if (((CudaStream)context.Stream).StreamPtr == 0)
            return "the stream is the device's default stream, expected one of its own";
        try
        {
            foreach (Lazy<nint> function in (Lazy<nint>[])[BeginCapture, EndCapture, Instantiate, LaunchGraph, DestroyGraph,
                DestroyExecutable])
                _ = function.Value;
            return null;
        }
        catch (EntryPointNotFoundException e)
        {
            return $"the driver is too old: {e.Message}";
        }
    }

    /// <summary>Captures what is queued on a context's stream; nothing of it is done yet.</summary>
    /// <param name="context">A context without <see cref="Refusal"/>.</param>
    /// <param name="work">Queues it, and does not wait.</param>
    /// <returns>Null where the driver does not support it.</returns>
    /// <exception cref="CudaException">The work cannot be captured.</exception>
    public static CudaGraph? Capture(GpuContext context, Action work)
    {
        CudaAccelerator accelerator = (CudaAccelerator)context.Accelerator;
        nint stream = ((CudaStream)context.Stream).StreamPtr;
        accelerator.Bind();
        int error = ((delegate* unmanaged<nint, int, int>)BeginCapture.Value)(stream, RelaxedMode);
        if (error == NotSupported)
            return null;
        CudaLibrary.Check(error);
        nint graph = 0;
        bool isWhole = false;
        try
        {
            work();
            isWhole = true;
        }
        finally
        {
            error = ((delegate* unmanaged<nint, nint*, int>)EndCapture.Value)(stream, &graph);
            if (!isWhole && graph != 0)
                _ = ((delegate* unmanaged<nint, int>)DestroyGraph.Value)(graph);
        }

        CudaLibrary.Check(error);
        try
        {
            nint executable;
            CudaLibrary.Check(((delegate* unmanaged<nint*, nint, ulong, int>)Instantiate.Value)(&executable, graph, 0));
            return new CudaGraph(accelerator, executable);
        }
        finally
        {
            CudaLibrary.Check(((delegate* unmanaged<nint, int>)DestroyGraph.Value)(graph));
        }
    }

    /// <summary>Queues all of it.</summary>
    public void Launch(AcceleratorStream stream)
    {
        accelerator.Bind();
        CudaLibrary.Check(((delegate* unmanaged<nint, nint, int>)LaunchGraph.Value)(
            executable, ((CudaStream)stream).StreamPtr));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (executable == 0 || accelerator.IsDisposed)
            return;
        accelerator.Bind();
        CudaLibrary.Check(((delegate* unmanaged<nint, int>)DestroyExecutable.Value)(executable));
        executable = 0;
    }
}
