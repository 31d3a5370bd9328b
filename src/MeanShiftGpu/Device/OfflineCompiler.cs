using ILGPU;
using ILGPU.Backends;
using ILGPU.Runtime.CPU;

namespace MeanShiftGpu.Device;

/// <summary>
/// Compiles kernels with one of ILGPU's backends, for a device that need not be there, under the settings
/// with which <see cref="GpuContext"/> compiles them.
/// </summary>
/// <param name="target">What is compiled for, for messages.</param>
/// <param name="createBackend">Creates the backend in a context.</param>
internal sealed class OfflineCompiler(string target, Func<Context, Backend> createBackend) : IDisposable
{
    private Context? context;
    private Backend? backend;

    /// <exception cref="InvalidOperationException">ILGPU cannot compile the kernel; the message names it and
    /// says why.</exception>
    public CompiledKernel Compile(KernelEntry kernel)
    {
        context ??= GpuContext.CreateIlgpuContext(CPUDeviceKind.Nvidia);
        backend ??= createBackend(context);
        try
        {
            return backend.Compile(kernel.Describe(), kernel.Specialization);
        }
        catch (Exception e) when (IsRefusal(e))
        {
            // The half-compiled methods stay in the context and every later kernel in it would fail too.
            Dispose();
            throw Refused(kernel, target, e);
        }
    }

    /// <summary>Whether an exception says that ILGPU cannot compile a kernel.</summary>
    public static bool IsRefusal(Exception e)
        => e is InternalCompilerException or NotSupportedException or InvalidOperationException or ArgumentException;

    /// <summary>That a kernel does not compile, and why.</summary>
    public static InvalidOperationException Refused(KernelEntry kernel, string target, Exception e)
        => new($"The kernel {kernel.Name} does not compile for {target}: {Innermost(e).Message}", e);

    public void Dispose()
    {
        backend?.Dispose();
        backend = null;
        context?.Dispose();
        context = null;
    }

    // The outer message is always the same: an internal error was detected.
    private static Exception Innermost(Exception e) => e.InnerException is { } inner ? Innermost(inner) : e;
}
