using System.Reflection;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Support;

/// <summary>
/// The devices that tests run on. A device that a machine lacks is a reported skip; where
/// MEANSHIFTGPU_REQUIRE_DEVICE names it (cuda, opencl, cpu), its absence is a failure.
/// </summary>
public static class TestDevices
{
    /// <summary>Every kind, for TestCaseSource and TestFixtureSource.</summary>
    public static readonly DeviceKind[] All = [DeviceKind.Cpu, DeviceKind.Cuda, DeviceKind.OpenCL];

    /// <summary>Opens a device, or ends the test with the reason.</summary>
    public static GpuContext Open(DeviceKind kind, int threads = 0, string variant = "")
    {
        try
        {
            return GpuContext.Create(new GpuContextOptions { Device = kind, Threads = threads, Variant = variant });
        }
        catch (InputException e)
        {
            string? required = Environment.GetEnvironmentVariable("MEANSHIFTGPU_REQUIRE_DEVICE");
            if (string.Equals(required, kind.ToString(), StringComparison.OrdinalIgnoreCase))
                Assert.Fail($"required device missing: {e.Message}");
            Assert.Ignore(e.Message);
            throw;
        }
    }

    /// <summary>
    /// Bytes of all buffers on a device that have not been disposed. ILGPU counts its objects but does not
    /// tell.
    /// </summary>
    public static long BytesHeld(GpuContext context)
    {
        const BindingFlags hidden = BindingFlags.Instance | BindingFlags.NonPublic;
        FieldInfo children = typeof(Accelerator).GetField("childObjects", hidden) ?? throw new MissingFieldException(
            "ILGPU's Accelerator keeps its objects elsewhere now.");
        long bytes = 0;
        // A typed buffer, which is generic, holds an untyped one that is listed too.
        foreach (object? child in ((System.Collections.IEnumerable)children.GetValue(context.Accelerator)!))
        {
            if (((WeakReference<AcceleratorObject>)child!).TryGetTarget(out AcceleratorObject? held)
                && held is MemoryBuffer { IsDisposed: false } buffer && !buffer.GetType().IsGenericType)
                bytes += buffer.LengthInBytes;
        }

        return bytes;
    }

    /// <summary>Devices that run kernels with warp-wide instructions, for TestFixtureSource.</summary>
    public static readonly string[] WithTensorCores = ["simulated GPU", "CUDA"];

    /// <summary>Opens one of <see cref="WithTensorCores"/>, or ends the test with the reason.</summary>
    public static GpuContext OpenTensorCores(string name)
    {
        if (name != "CUDA")
            return GpuContext.CreateSimulatedGpu();
        GpuContext context = Open(DeviceKind.Cuda);
        if (Variants.TensorCoreRefusal(context) is not { } reason)
            return context;
        context.Dispose();
        Assert.Ignore(reason);
        throw new InvalidOperationException(reason);
    }
}
