using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using MeanShiftGpu.Kernels.Machine;

namespace MeanShiftGpu.Device;

/// <summary>A place in a CUDA stream, for which another stream or the host can wait; ILGPU's streams are
/// waited for as a whole.</summary>
internal sealed unsafe class CudaEvent : IDisposable
{
    // Without times, which would make recording slower.
    private const int DisableTiming = 2;

    private static readonly Lazy<nint> Create = new(() => CudaLibrary.Function("cuEventCreate"));
    private static readonly Lazy<nint> RecordEvent = new(() => CudaLibrary.Function("cuEventRecord"));
    private static readonly Lazy<nint> StreamWait = new(() => CudaLibrary.Function("cuStreamWaitEvent"));
    private static readonly Lazy<nint> Wait = new(() => CudaLibrary.Function("cuEventSynchronize"));
    private static readonly Lazy<nint> Destroy = new(() => CudaLibrary.Function("cuEventDestroy_v2"));

    private readonly CudaAccelerator accelerator;
    private nint handle;

    /// <summary>Creates an event that nobody has to wait for yet.</summary>
    public CudaEvent(CudaAccelerator accelerator)
    {
        this.accelerator = accelerator;
        accelerator.Bind();
        nint created;
        CudaLibrary.Check(((delegate* unmanaged<nint*, int, int>)Create.Value)(&created, DisableTiming));
        handle = created;
    }

    /// <summary>Puts the event behind everything that the stream has been given.</summary>
    public void Record(AcceleratorStream stream)
    {
        accelerator.Bind();
        CudaLibrary.Check(((delegate* unmanaged<nint, nint, int>)RecordEvent.Value)(handle, Pointer(stream)));
    }

    /// <summary>What the stream is given from now on waits for the event; the host does not.</summary>
    public void HoldUp(AcceleratorStream stream)
    {
        accelerator.Bind();
        CudaLibrary.Check(((delegate* unmanaged<nint, nint, int, int>)StreamWait.Value)(Pointer(stream), handle, 0));
    }

    /// <summary>The host waits for the event.</summary>
    public void Synchronize()
    {
        accelerator.Bind();
        CudaLibrary.Check(((delegate* unmanaged<nint, int>)Wait.Value)(handle));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (handle == 0 || accelerator.IsDisposed)
            return;
        accelerator.Bind();
        CudaLibrary.Check(((delegate* unmanaged<nint, int>)Destroy.Value)(handle));
        handle = 0;
    }

    private static nint Pointer(AcceleratorStream stream) => ((CudaStream)stream).StreamPtr;
}
