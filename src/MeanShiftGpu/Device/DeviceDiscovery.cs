using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Device;

/// <summary>What a machine has, and whether this library would use it.</summary>
/// <param name="Kind">The kind of device.</param>
/// <param name="Name">The driver's name of it.</param>
/// <param name="MemoryBytes">Its memory; 0 for the CPU.</param>
/// <param name="Selected">Whether the automatic choice takes it.</param>
/// <param name="Reason">Why it is or is not taken.</param>
public sealed record DeviceInfo(DeviceKind Kind, string Name, long MemoryBytes, bool Selected, string Reason);

/// <summary>Lists devices and chooses among them: CUDA, then OpenCL, then CPU, the largest memory first within a kind.</summary>
public static class DeviceDiscovery
{
    /// <summary>Every device that ILGPU can drive here, in order of preference.</summary>
    public static IReadOnlyList<DeviceInfo> List()
    {
        using Context context = GpuContext.CreateIlgpuContext(cpuDevice: null);
        List<(DeviceKind Kind, ILGPU.Runtime.Device Device)> devices = Ordered(context);
        return
        [
            .. devices.Select((d, i) => new DeviceInfo(
                d.Kind,
                d.Kind == DeviceKind.Cpu ? Counted.Of(Environment.ProcessorCount, "processor") : d.Device.Name,
                d.Kind == DeviceKind.Cpu ? 0 : d.Device.MemorySize,
                i == 0,
                i == 0 ? ReasonForAuto(d.Kind, devices.Count) : $"{devices[0].Kind} comes first")),
        ];
    }

    internal static (ILGPU.Runtime.Device Device, string Reason) Choose(Context context, DeviceKind wanted, string origin)
    {
        List<(DeviceKind Kind, ILGPU.Runtime.Device Device)> devices = Ordered(context);
        if (wanted == DeviceKind.Auto)
            return (devices[0].Device, ReasonForAuto(devices[0].Kind, devices.Count));
        foreach ((DeviceKind kind, ILGPU.Runtime.Device device) in devices)
        {
            if (kind == wanted)
                return (device, origin);
        }

        string cause = wanted == DeviceKind.Cuda
            ? CudaDriver.Ask().Problem ?? "The driver works, but has no GPU that ILGPU can use. Check nvidia-smi"
            : "Check that the driver's ICD is installed and reports a generic address space (clinfo lists both)";
        throw new InputException(
            $"device: no {wanted} device was found ({origin}); this machine has {string.Join(", ", devices.Select(d => d.Kind).Distinct())}. " +
            $"{char.ToUpperInvariant(cause[0])}{cause[1..]}, or use --device auto.");
    }

    // A driver that is absent or broken must not keep the other devices from being used.
    internal static void TryRegister(Action register)
    {
        try
        {
            register();
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException or TypeInitializationException or AcceleratorException or NotSupportedException)
        {
        }
    }

    private static string ReasonForAuto(DeviceKind kind, int count) => kind switch
    {
        DeviceKind.Cuda => "an NVIDIA GPU is present, which is preferred",
        DeviceKind.OpenCL => "no CUDA device was found, OpenCL comes next",
        _ => count == 1 ? "no CUDA or OpenCL device was found" : "the CPU comes last",
    };

    private static List<(DeviceKind Kind, ILGPU.Runtime.Device Device)> Ordered(Context context)
    {
        List<(DeviceKind Kind, ILGPU.Runtime.Device Device)> cuda = [];
        foreach (CudaDevice device in context.GetCudaDevices())
            cuda.Add((DeviceKind.Cuda, device));
        List<(DeviceKind Kind, ILGPU.Runtime.Device Device)> openCL = [];
        foreach (CLDevice device in context.GetCLDevices())
            openCL.Add((DeviceKind.OpenCL, device));
        return
        [
            .. cuda.OrderByDescending(d => d.Device.MemorySize),
            .. openCL.OrderByDescending(d => d.Device.MemorySize),
            (DeviceKind.Cpu, context.GetCPUDevice(0)),
        ];
    }
}
