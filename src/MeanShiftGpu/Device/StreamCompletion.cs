using System.Runtime.InteropServices;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;
using MeanShiftGpu.Kernels.Machine;

namespace MeanShiftGpu.Device;

/// <summary>A task that ends when what is queued on a stream is done.</summary>
internal static unsafe class StreamCompletion
{
    private static readonly Lazy<nint> AddCallback = new(static () => CudaLibrary.Function("cuStreamAddCallback"));

    /// <summary>
    /// The task. NVIDIA's driver calls back, so that nobody waits; of OpenCL a thread of the pool waits; on
    /// the CPU device all is done when this returns.
    /// </summary>
    public static Task Of(AcceleratorStream stream)
    {
        switch (stream)
        {
            case CudaStream cuda:
                return Of(cuda);
            case CLStream:
                return Task.Run(stream.Synchronize);
            default:
                stream.Synchronize();
                return Task.CompletedTask;
        }
    }

    private static Task Of(CudaStream stream)
    {
        // What awaits it runs elsewhere: within a callback the driver must not be called.
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        GCHandle handle = GCHandle.Alloc(done);
        stream.Accelerator.Bind();
        int error = ((delegate* unmanaged<nint, delegate* unmanaged<nint, int, nint, void>, nint, uint, int>)AddCallback.Value)(
            stream.StreamPtr, &Call, GCHandle.ToIntPtr(handle), 0);
        if (error != 0)
        {
            handle.Free();
            throw new CudaException((CudaError)error);
        }

        return done.Task;
    }

    [UnmanagedCallersOnly]
    private static void Call(nint stream, int status, nint data)
    {
        GCHandle handle = GCHandle.FromIntPtr(data);
        TaskCompletionSource done = (TaskCompletionSource)handle.Target!;
        handle.Free();
        if (status == 0)
            done.SetResult();
        else
            done.SetException(new CudaException((CudaError)status));
    }
}
