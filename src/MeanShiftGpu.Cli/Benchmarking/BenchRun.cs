using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using System.Text;
using ILGPU.Runtime.OpenCL;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>Which program was timed, where and when: what a figure needs to be compared with
/// another.</summary>
public sealed record BenchRun
{
    private const string NvidiaVersion = "/proc/driver/nvidia/version";

    /// <summary>The program's version.</summary>
    public string Version { get; init; } = "";

    /// <summary>The commit that it was built from; null where the build did not know it.</summary>
    public string? Commit { get; init; }

    /// <summary>When the run began, in UTC, as 2026-01-31T12:00:00Z.</summary>
    public string Date { get; init; } = "";

    /// <summary>The processor's name, with family and model where it says them: a virtual machine's name
    /// hides its kind.</summary>
    public string Processor { get; init; } = "";

    /// <summary>Logical processors that the process may use.</summary>
    public int Cores { get; init; }

    /// <summary>Memory that the process may use, in bytes.</summary>
    public long MemoryBytes { get; init; }

    /// <summary>The operating system.</summary>
    public string System { get; init; } = "";

    /// <summary>The .NET runtime.</summary>
    public string Runtime { get; init; } = "";

    /// <summary>The device, with its threads and vectors where it is a processor.</summary>
    public string Device { get; init; } = "";

    /// <summary>The device's driver; null on the CPU device, which has none.</summary>
    public string? Driver { get; init; }

    /// <summary>This program on this machine, now.</summary>
    public static BenchRun Of(GpuContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        (string version, string? commit) = VersionAndCommit(Provenance.OwnVersion);
        return new BenchRun
        {
            Version = version,
            Commit = commit,
            Date = DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture),
            Processor = ProcessorName(),
            Cores = Environment.ProcessorCount,
            MemoryBytes = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
            System = RuntimeInformation.OSDescription,
            Runtime = RuntimeInformation.FrameworkDescription,
            Device = context.Description,
            Driver = DriverOf(context),
        };
    }

    /// <summary>The machine without the moment, in one line.</summary>
    public string Machine() => $"{Processor}, {Counted.Of(Cores, "core")}, {MemoryBytes >> 20} MiB; {Device}"
        + (Driver is null ? "" : $", {Driver}");

    /// <summary>The program and the moment, in one line.</summary>
    public string Build()
        => $"version {Version}, commit {(Commit is null ? "not known" : Commit[..Math.Min(Commit.Length, 10)])}, {Date}";

    /// <summary>The parts of a version such as 0.1.0+2b0c9876.</summary>
    internal static (string Version, string? Commit) VersionAndCommit(string informational)
        => informational.Split('+', 2) is [var version, var commit] ? (version, commit) : (informational, null);

    private static string ProcessorName()
    {
        if (!X86Base.IsSupported)
            return RuntimeInformation.ProcessArchitecture.ToString();
        StringBuilder name = new();
        for (uint leaf = 0x8000_0002; leaf <= 0x8000_0004; leaf++)
        {
            (int a, int b, int c, int d) = X86Base.CpuId(unchecked((int)leaf), 0);
            name.Append(Encoding.ASCII.GetString(MemoryMarshal.AsBytes<int>([a, b, c, d])));
        }

        int signature = X86Base.CpuId(1, 0).Eax;
        int family = (signature >> 8) & 15;
        int model = (signature >> 4) & 15;
        if (family is 6 or 15)
            model += ((signature >> 16) & 15) << 4;
        if (family == 15)
            family += (signature >> 20) & 255;
        return $"{name.ToString().Trim('\0', ' ')} (family {family}, model {model})";
    }

    private static string? DriverOf(GpuContext context)
    {
        switch (context.Kind)
        {
            case DeviceKind.Cuda:
                int version = CudaDriver.Ask().Version;
                string cuda = $"CUDA {version / 1000}.{version % 1000 / 10}";
                // The kernel module's line holds "… Kernel Module  570.86.15  …"; other systems do not say
                // it.
                string? line = File.Exists(NvidiaVersion) ? File.ReadLines(NvidiaVersion).FirstOrDefault() : null;
                return line is null
                    ? cuda
                    : $"{cuda}, {string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries))}";
            case DeviceKind.OpenCL:
                CLAccelerator accelerator = (CLAccelerator)context.Accelerator;
                return $"{accelerator.PlatformVersion}, driver "
                    + CLAPI.CurrentAPI.GetDeviceInfo(accelerator.DeviceId, CLDeviceInfoType.CL_DRIVER_VERSION);
            default:
                return null;
        }
    }
}
