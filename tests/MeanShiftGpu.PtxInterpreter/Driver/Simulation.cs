using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using MeanShiftGpu.PtxInterpreter.Machine;
using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.PtxInterpreter.Driver;

/// <summary>
/// The one device of the driver. Everything is done at once, in the calling thread and in the order of the
/// calls, so streams and events have nothing to order; a graph is the calls that were captured. A fault of a
/// kernel stays until the process ends, as on a GPU.
/// </summary>
internal sealed unsafe class Simulation
{
    /// <summary>A name that nobody takes for a GPU's.</summary>
    public const string DeviceName = "PTX interpreter, no GPU";

    public const int Success = 0;
    public const int InvalidValue = 1;
    public const int OutOfMemory = 2;
    public const int InvalidText = 218;
    public const int InvalidHandle = 400;
    public const int NotFound = 500;
    public const int OutOfResources = 701;
    public const int NotSupported = 801;
    public const int CaptureUnsupported = 900;

    public const long MemoryBytes = 8L << 30;
    public const int ThreadsOfMultiprocessor = 2048;
    public const int SharedOfMultiprocessor = 164 << 10;
    private const int SharedOfGroup = SharedOfMultiprocessor - (1 << 10);

    private readonly Lock gate = new();
    private readonly Dictionary<nint, object> handles = [];
    private readonly StreamWriter? log = Variable("LOG") is { } path
        ? new StreamWriter(path, append: true) { AutoFlush = true }
        : null;
    private readonly DeviceMemory memory = new();
    private readonly LaunchOptions options = new(Reversed: Variable("ORDER") == "reversed",
        CopiesArriveEarly: Variable("COPIES") == "early");
    private readonly Dictionary<nint, long> pageLocked = [];
    private List<Func<int>>? captured;
    private nint capturing = -1;
    private nint lastHandle = 0x1000;
    private int fault;

    public static Simulation Instance { get; } = new();

    /// <summary>1000·major + 10·minor of the newest CUDA that the driver knows.</summary>
    public int DriverVersion { get; } = Pair("DRIVER", (12, 4)) is var (major, minor) ? 1000 * major + 10 * minor : 0;

    public (int Major, int Minor) Capability { get; } = Pair("CAPABILITY", (8, 0));

    /// <summary>Whether the driver no longer knows the device: from CUDA 13 on those below 7.5.</summary>
    public bool IsDropped => DriverVersion >= 13000 && 10 * Capability.Major + Capability.Minor < 75;

    public int Cards { get; } = int.Parse(Variable("CARDS") ?? "1", CultureInfo.InvariantCulture);

    public int Multiprocessors { get; } = int.Parse(Variable("MULTIPROCESSORS") ?? "4", CultureInfo.InvariantCulture);

    public long BytesHeld => memory.BytesHeld;

    /// <summary>Whether kernels are launched but not run, nor anything written to the device, whose memory
    /// stays 0: for counting calls and timing the host.</summary>
    public bool IsIdle { get; } = Variable("IDLE") == "1";

    /// <summary>What was called so far.</summary>
    public Counts Counts { get; } = new();

    /// <summary>Runs a call, one at a time; what goes wrong in it becomes its error.</summary>
    public int Call(Func<int> call)
    {
        lock (gate)
        {
            if (fault != Success)
                return fault;
            try
            {
                return call();
            }
            catch (PtxFaultException e)
            {
                Note("fault", e.Kind, e.Message);
                Console.Error.WriteLine($"{DeviceName}: {e.Kind}: {e.Message}");
                return fault = e.Kind switch
                {
                    FaultKind.Text => InvalidText,
                    FaultKind.Launch => OutOfResources,
                    FaultKind.Bounds => 700,
                    FaultKind.Alignment => 716,
                    _ => 719,
                };
            }
            catch (Exception e)
            {
                Console.Error.WriteLine($"{DeviceName}: {e}");
                return fault = 999;
            }
        }
    }

    /// <summary>Does what a stream is given at once, or keeps it where the stream is captured.</summary>
    public int Submit(nint stream, Func<int> work)
    {
        if (capturing != stream)
            return work();
        captured!.Add(work);
        return Success;
    }

    /// <summary>A call that no capture allows: it waits, or is another stream's.</summary>
    public bool IsCapturing(nint stream) => captured is not null && (stream == capturing || stream == 0);

    public int BeginCapture(nint stream)
    {
        if (Variable("GRAPHS") == "none")
            return NotSupported;
        if (stream == 0 || captured is not null)
            return CaptureUnsupported;
        (capturing, captured) = (stream, []);
        return Success;
    }

    public int EndCapture(nint stream, out nint graph)
    {
        graph = 0;
        if (captured is null || stream != capturing)
            return InvalidValue;
        Note("graph", captured.Count);
        graph = Add(captured);
        (capturing, captured) = (-1, null);
        return Success;
    }

    public int LaunchGraph(nint graph)
    {
        if (Find<List<Func<int>>>(graph) is not { } all)
            return InvalidHandle;
        Counts.Graphs++;
        Note("graph-launch", all.Count);
        foreach (Func<int> one in all)
        {
            if (one() is not Success and var error)
                return error;
        }

        return Success;
    }

    public void Note(params ReadOnlySpan<object> what)
    {
        if (log is null)
            return;
        StringBuilder line = new();
        foreach (object part in what)
            line.Append(CultureInfo.InvariantCulture, $"{part}\t");
        log.WriteLine(line.ToString().TrimEnd('\t'));
    }

    public nint Add(object thing)
    {
        handles.Add(++lastHandle, thing);
        return lastHandle;
    }

    public bool Remove(nint handle) => handles.Remove(handle);

    public T? Find<T>(nint handle)
        where T : class
        => handles.GetValueOrDefault(handle) as T;

    public nint Allocate(long bytes)
    {
        if (bytes <= 0 || memory.BytesHeld + bytes > MemoryBytes)
            return 0;
        Note("allocate", bytes);
        nint start = (nint)memory.Allocate(bytes).Start;
        if (IsIdle)
            NativeMemory.Clear((void*)start, (nuint)bytes);
        Counts.MostBytes = Math.Max(Counts.MostBytes, memory.BytesHeld);
        return start;
    }

    /// <summary>Host memory that a device reads and writes by itself.</summary>
    public int LockPages(nint address, long bytes)
    {
        pageLocked[address] = bytes;
        return Success;
    }

    public int UnlockPages(nint address) => pageLocked.Remove(address) ? Success : InvalidValue;

    private bool IsPageLocked(nint address, long bytes)
        => pageLocked.Any(range => address >= range.Key && address + bytes <= range.Key + range.Value);

    public bool Free(nint address) => memory.Free((ulong)address);

    public bool IsDevice(nint address) => memory.Find((ulong)address, 0) is not null;

    public int Copy(nint target, nint source, long bytes)
    {
        Allocation? to = memory.Find((ulong)target, 0), from = memory.Find((ulong)source, 0);
        if ((to is not null && !to.Holds((ulong)target, bytes)) || (from is not null && !from.Holds((ulong)source, bytes)))
            throw new PtxFaultException(FaultKind.Bounds, $"a copy of {bytes} bytes goes beyond an allocation");
        if (!IsIdle || to is null)
            Buffer.MemoryCopy((void*)source, (void*)target, bytes, bytes);
        if (to is not null && from is not null && !IsIdle)
            from.Marks((ulong)source, bytes).CopyTo(to.Marks((ulong)target, bytes));
        else if (!IsIdle)
            to?.MarkRange((ulong)target, bytes);
        bool locked = (to is null || from is null) && IsPageLocked(to is null ? target : source, bytes);
        if (to is not null && from is not null)
            Counts.CopiesOnDevice++;
        else if (locked)
            Counts.PageLockedCopies++;
        else
            Counts.PageableCopies++;
        Note("copy", to is null ? "to host" : from is null ? "to device" : "on device", bytes, locked ? "page-locked" : "");
        return Success;
    }

    public int Fill(nint target, byte value, long bytes)
    {
        if (memory.Find((ulong)target, bytes) is not { } to)
            throw new PtxFaultException(FaultKind.Bounds, $"a fill of {bytes} bytes goes beyond an allocation");
        for (long at = 0; at < bytes && !IsIdle; at += int.MaxValue / 2)
            new Span<byte>((byte*)target + at, (int)Math.Min(bytes - at, int.MaxValue / 2)).Fill(value);
        if (!IsIdle)
            to.MarkRange((ulong)target, bytes);
        Counts.Fills++;
        Note("fill", bytes);
        return Success;
    }

    /// <summary>Loads a text, unless its version or target are beyond this driver or device.</summary>
    public nint Load(string text)
    {
        (string version, string target) = Parser.Header(text);
        (int major, int minor) = Pair(version);
        // PTX 7.0 came with CUDA 11.0, 7.1 with 11.1 and so on; so did 8.0 with 12.0 and 9.0 with 13.0.
        if (1000 * (major + 4) + 10 * minor > DriverVersion && major >= 7)
            throw new PtxFaultException(FaultKind.Text,
                $"PTX {version} is newer than the driver of CUDA {DriverVersion / 1000}.{DriverVersion % 1000 / 10}");
        int wanted = int.Parse(target.AsSpan(3), CultureInfo.InvariantCulture);
        if (wanted > 10 * Capability.Major + Capability.Minor)
            throw new PtxFaultException(FaultKind.Text,
                $"the text is for {target}, the device has compute capability {Capability.Major}.{Capability.Minor}");
        text = Mutated(text);
        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
        if (Variable("TEXTS") is { } folder)
            File.WriteAllText(Path.Combine(folder, $"{hash}.ptx"), text);
        Function function = new(Parser.Parse(text), hash);
        Note("load", hash, function.Kernel.Name);
        return Add(function);
    }

    // For tests of the checks: a file whose first line is the entry point's name, the second a pattern and
    // the rest what takes the place of every match.
    private string Mutated(string text)
    {
        if (Variable("MUTATION") is not { } file)
            return text;
        string[] lines = File.ReadAllLines(file);
        if (!text.Contains($".entry {lines[0]}(", StringComparison.Ordinal))
            return text;
        Regex pattern = new(lines[1], RegexOptions.Multiline);
        if (!pattern.IsMatch(text))
            return text;
        Note("mutate", lines[0]);
        return pattern.Replace(text, string.Join("\n", lines.Skip(2)));
    }

    public int Launch(Function function, Dim3 groups, Dim3 threads, int sharedBytes, byte* parameters)
    {
        Counts.Launches++;
        if (IsIdle)
        {
            Note("launch", function.Hash, function.Kernel.Name, groups, threads, sharedBytes, 0, 0);
            return Success;
        }

        Stopwatch time = Stopwatch.StartNew();
        long instructions = new Launch
        {
            Kernel = function.Kernel,
            Memory = memory,
            Groups = groups,
            Threads = threads,
            Parameters = parameters,
            DynamicSharedBytes = sharedBytes,
            AllowedSharedBytes = function.AllowedSharedBytes,
            Options = options,
        }.Run();
        Note("launch", function.Hash, function.Kernel.Name, groups, threads, sharedBytes, instructions, time.ElapsedMilliseconds);
        return Success;
    }

    public int Allow(Function function, int bytes)
    {
        if (bytes < 0 || bytes + function.Kernel.StaticSharedBytes > SharedOfGroup)
            return InvalidValue;
        function.AllowedSharedBytes = bytes;
        return Success;
    }

    public static int GroupsOfMultiprocessor(Function function, int threads, long dynamicBytes)
        => (int)Math.Min(ThreadsOfMultiprocessor / Math.Max(threads, 1),
            SharedOfMultiprocessor / (function.Kernel.StaticSharedBytes + dynamicBytes + 1024));

    private static string? Variable(string name)
        => Environment.GetEnvironmentVariable($"MEANSHIFTGPU_INTERPRETER_{name}") is { Length: > 0 } value ? value : null;

    private static (int Major, int Minor) Pair(string name, (int, int) otherwise)
        => Variable(name) is { } text ? Pair(text) : otherwise;

    private static (int Major, int Minor) Pair(string text)
    {
        string[] parts = text.Split('.');
        return (int.Parse(parts[0], CultureInfo.InvariantCulture), int.Parse(parts[1], CultureInfo.InvariantCulture));
    }

    /// <summary>A loaded kernel; a module and its only function are the same.</summary>
    internal sealed class Function(Kernel kernel, string hash)
    {
        public Kernel Kernel { get; } = kernel;

        public string Hash { get; } = hash;

        public int AllowedSharedBytes { get; set; }
    }
}
