using ILGPU;
using ILGPU.Backends.OpenCL;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Device;

/// <summary>What a machine has, and whether this library would use it.</summary>
/// <param name="Kind">The kind of device.</param>
/// <param name="Name">The driver's name of it.</param>
/// <param name="MemoryBytes">Its memory; 0 for the CPU and for a device that cannot be used.</param>
/// <param name="Selected">Whether the automatic choice takes it.</param>
/// <param name="Reason">Why it is or is not taken.</param>
public sealed record DeviceInfo(DeviceKind Kind, string Name, long MemoryBytes, bool Selected, string Reason);

/// <summary>
/// Lists devices and chooses among them: CUDA, then an OpenCL GPU with memory of its own, then the CPU; the
/// largest memory first within a kind. A processor that is driven through OpenCL is many times slower than
/// the CPU device, and no GPU that shares the processor's memory has been seen to be faster, so both are
/// taken only when they are asked for.
/// </summary>
public static class DeviceDiscovery
{
    /// <summary>
    /// Every device of this machine: those that can be used in order of preference, then those that cannot.
    /// </summary>
    public static IReadOnlyList<DeviceInfo> List()
    {
        List<RefusedDevice> refused = [];
        using Context context = GpuContext.CreateIlgpuContext(cpuDevice: null, refused);
        IReadOnlyList<FoundDevice> devices = Ordered(Find(context));
        return
        [
            .. devices.Select((d, i) => new DeviceInfo(
                d.Kind,
                d.Kind == DeviceKind.Cpu ? Counted.Of(Environment.ProcessorCount, "processor") : d.Name,
                d.Kind == DeviceKind.Cpu ? 0 : d.MemoryBytes,
                i == 0,
                i == 0 ? ReasonForAuto(devices) : ReasonAgainst(d, devices[0]))),
            .. refused.Select(d => new DeviceInfo(DeviceKind.OpenCL, d.Name, 0, false, $"cannot be used: {d.Reason}")),
        ];
    }

    internal static (ILGPU.Runtime.Device Device, string Reason) Choose(
        Context context, IReadOnlyList<RefusedDevice> refused, DeviceKind wanted, string origin, int? index = null,
            int? process = null)
    {
        List<FoundDevice> all = Find(context);
        IReadOnlyList<FoundDevice> devices = Ordered(all);
        if (wanted == DeviceKind.Auto)
            (wanted, origin) = (devices[0].Kind, ReasonForAuto(devices));
        FoundDevice[] inDriversOrder = [.. all.Where(d => d.Kind == wanted)];
        if (index is { } asked && inDriversOrder.Length > 0)
        {
            return asked < inDriversOrder.Length ? (inDriversOrder[asked].Device!, origin) : throw new InputException(
                $"device: there is no {wanted} device {asked} ({origin}); this machine has {inDriversOrder.Length}, counted "
                    + "from 0.");
        }

        if (process is { } turn && wanted == DeviceKind.Cuda && inDriversOrder.Length > 1)
        {
            int taken = turn % inDriversOrder.Length;
            return (inDriversOrder[taken].Device!, $"{origin}; process {turn} of this machine takes device {taken} of "
                + $"{inDriversOrder.Length}");
        }

        if (devices.FirstOrDefault(d => d.Kind == wanted) is { } found)
            return (found.Device!, origin);

        string cause = wanted == DeviceKind.Cuda
            ? CudaDriver.Ask().Problem ?? "The driver works, but has no GPU that ILGPU can use. Check nvidia-smi"
            : refused.Count > 0
                ? "What the drivers have cannot be used: "
                    + $"{string.Join("; ", refused.Select(r => $"{r.Name}: {r.Reason}"))}. Install newer drivers"
                : "Check that the driver's ICD is installed (clinfo lists its devices)";
        throw new InputException(
            $"device: no {wanted} device was found ({origin}); this machine has "
            + $"{string.Join(", ", devices.Select(d => d.Kind).Distinct())}. " +
            $"{char.ToUpperInvariant(cause[0])}{cause[1..]}, or ask for the device auto.");
    }

    // A driver that is absent or broken must not keep the other devices from being used.
    internal static void TryRegister(Action register)
    {
        try
        {
            register();
        }
        catch (Exception e) when (
            e is DllNotFoundException or EntryPointNotFoundException or TypeInitializationException
                or AcceleratorException or NotSupportedException)
        {
        }
    }

    /// <summary>
    /// What keeps an OpenCL device from being used; null where nothing does. ILGPU itself leaves such devices
    /// out without a word.
    /// </summary>
    internal static string? Problem(CLDevice device)
        => Problem(
            device.CLStdVersion >= CLBackend.MinimumVersion, $"{device.CLStdVersion}", device.Capabilities.GenericAddressSpace);

    /// <inheritdoc cref="Problem(CLDevice)"/>
    internal static string? Problem(bool recent, string version, bool genericAddresses)
        => !recent ? $"its driver has OpenCL C {version}, expected {CLBackend.MinimumVersion} or later"
            : !genericAddresses ? "its driver has no generic address space"
            : null;

    /// <summary>By preference: the first is the automatic choice.</summary>
    internal static IReadOnlyList<FoundDevice> Ordered(IEnumerable<FoundDevice> devices)
        => [.. devices.OrderBy(Rank).ThenByDescending(d => d.MemoryBytes)];

    /// <summary>Why the first of the devices is taken, and what else could be asked for.</summary>
    internal static string ReasonForAuto(IReadOnlyList<FoundDevice> devices)
    {
        string reason = devices[0].Kind switch
        {
            DeviceKind.Cuda => "an NVIDIA GPU is present, which is preferred",
            DeviceKind.OpenCL => "no CUDA device was found, a GPU with OpenCL comes next",
            DeviceKind.Cpu => devices.Any(d => d.Kind == DeviceKind.OpenCL)
                ? "no CUDA device was found, and no OpenCL GPU with memory of its own"
                : "no CUDA or OpenCL device was found",
            _ => throw UnknownValue.Of(devices[0].Kind),
        };
        FoundDevice[] others = [.. devices.Skip(1).Where(d => d.Kind == DeviceKind.OpenCL)];
        return devices[0].Kind == DeviceKind.Cpu && others.Length > 0
            ? $"{reason}; the device opencl would be {others[0].Name}, {others[0].What}"
            : reason;
    }

    private static string ReasonAgainst(FoundDevice device, FoundDevice first)
        => device.Kind == DeviceKind.OpenCL && first.Kind == DeviceKind.Cpu
            ? $"only where it is asked for, as it is {device.What}"
            : $"{(device.Kind == first.Kind ? "one with more memory" : first.Kind)} comes first";

    private static int Rank(FoundDevice device) => device.Kind switch
    {
        DeviceKind.Cuda => 0,
        DeviceKind.OpenCL => device.IsProcessor ? 4 : device.SharesHostMemory ? 3 : 1,
        DeviceKind.Cpu => 2,
        _ => throw UnknownValue.Of(device.Kind),
    };

    private static List<FoundDevice> Find(Context context)
    {
        List<FoundDevice> devices = [new FoundDevice(DeviceKind.Cpu, "", 0) { Device = context.GetCPUDevice(0) }];
        foreach (CudaDevice device in context.GetCudaDevices())
            devices.Add(new FoundDevice(DeviceKind.Cuda, device.Name, device.MemorySize) { Device = device });
        foreach (CLDevice device in context.GetCLDevices())
        {
            devices.Add(new FoundDevice(DeviceKind.OpenCL, device.Name, device.MemorySize)
            {
                Device = device,
                IsProcessor = device.DeviceType.HasFlag(CLDeviceType.CL_DEVICE_TYPE_CPU),
                SharesHostMemory = device.GetDeviceInfo<int>((CLDeviceInfoType)HostUnifiedMemory) != 0,
            });
        }

        return devices;
    }

    // CL_DEVICE_HOST_UNIFIED_MEMORY of the OpenCL specification, section 4.2; ILGPU's enumeration lacks it.
    private const int HostUnifiedMemory = 0x1035;
}

/// <summary>A device that can be used.</summary>
/// <param name="Kind">The kind of device.</param>
/// <param name="Name">The driver's name of it.</param>
/// <param name="MemoryBytes">Its memory.</param>
internal sealed record FoundDevice(DeviceKind Kind, string Name, long MemoryBytes)
{
    /// <summary>ILGPU's device; null in tests.</summary>
    public ILGPU.Runtime.Device? Device { get; init; }

    /// <summary>Whether it is a processor that is driven through OpenCL.</summary>
    public bool IsProcessor { get; init; }

    /// <summary>Whether it computes in the processor's memory.</summary>
    public bool SharesHostMemory { get; init; }

    /// <summary>What kind of OpenCL device it is, in words.</summary>
    public string What => IsProcessor ? "a processor, on which OpenCL is many times slower than the CPU device"
        : SharesHostMemory ? "a GPU that shares the processor's memory, whose speed is unknown"
        : "a GPU";
}

/// <summary>A device that cannot be used.</summary>
/// <param name="Name">The driver's name of it.</param>
/// <param name="Reason">Why, in words.</param>
internal sealed record RefusedDevice(string Name, string Reason);
