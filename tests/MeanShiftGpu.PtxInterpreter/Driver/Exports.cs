using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using MeanShiftGpu.PtxInterpreter.Machine;

namespace MeanShiftGpu.PtxInterpreter.Driver;

/// <summary>
/// The entry points of libcuda that ILGPU 1.5.3 imports, and those that this project asks for itself:
/// cuFuncSetAttribute, waits of a stream for an event, and graphs. Handles are numbers; addresses of device
/// memory are those of the process.
/// </summary>
internal static unsafe class Exports
{
    private const int Success = Simulation.Success;
    private const int NoDevice = 100;

    private static readonly byte* ErrorText = Text("reported by the PTX interpreter; its standard error says more");

    private static Simulation Device => Simulation.Instance;

    [UnmanagedCallersOnly(EntryPoint = "cuInit")]
    public static int Init(int flags) => Device.IsDropped ? NoDevice : Success;

    [UnmanagedCallersOnly(EntryPoint = "cuDriverGetVersion")]
    public static int DriverGetVersion(int* version) => Set(version, Device.DriverVersion);

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceGet")]
    public static int DeviceGet(int* device, int ordinal) => Set(device, ordinal);

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceGetCount")]
    public static int DeviceGetCount(int* count) => Set(count, Device.IsDropped ? 0 : Device.Cards);

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceGetName")]
    public static int DeviceGetName(byte* name, int length, int device)
    {
        byte[] text = Encoding.ASCII.GetBytes(Simulation.DeviceName + "\0");
        text.AsSpan(0, Math.Min(length, text.Length)).CopyTo(new Span<byte>(name, length));
        return Success;
    }

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceTotalMem_v2")]
    public static int DeviceTotalMem(long* bytes, int device) => Set(bytes, Simulation.MemoryBytes);

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceGetAttribute")]
    public static int DeviceGetAttribute(int* value, int attribute, int device) => Set(value, attribute switch
    {
        1 => Launch.MostThreads, // threads of a group
        2 or 3 => Launch.MostThreads, // its extents x and y
        4 => 64, // and z
        5 => int.MaxValue, // groups of a grid, x
        6 or 7 => Launch.MostGroupsYZ, // y and z
        8 => Launch.SharedWithoutAsking, // bytes of shared memory of a group
        9 => 64 << 10, // of constant memory
        10 => Lanes.Count, // threads of a warp
        11 => int.MaxValue, // bytes from row to row
        12 or 82 => 64 << 10, // registers of a group, of a multiprocessor
        13 or 36 => 1_000_000, // clocks of the processor and the memory, kHz
        16 => Device.Multiprocessors,
        34 => device, // its number on the PCI bus: ILGPU takes cards with the same place for one
        19 or 41 or 91 => 1, // host memory has device addresses; one address space; the host's pointers serve
        37 => 256, // bits of the memory's bus
        38 => 4 << 20, // bytes of the second-level cache
        39 => Simulation.ThreadsOfMultiprocessor,
        75 => Device.Capability.Major,
        76 => Device.Capability.Minor,
        81 => Simulation.SharedOfMultiprocessor,
        _ => 0,
    });

    [UnmanagedCallersOnly(EntryPoint = "cuCtxCreate_v2")]
    public static int CtxCreate(nint* context, int flags, int device) => Device.Call(() => Set(context, Device.Add("context")));

    [UnmanagedCallersOnly(EntryPoint = "cuCtxDestroy_v2")]
    public static int CtxDestroy(nint context) => Success;

    [UnmanagedCallersOnly(EntryPoint = "cuCtxSetCurrent")]
    public static int CtxSetCurrent(nint context) => Success;

    [UnmanagedCallersOnly(EntryPoint = "cuCtxSynchronize")]
    public static int CtxSynchronize() => Synchronize(0);

    [UnmanagedCallersOnly(EntryPoint = "cuCtxGetCacheConfig")]
    public static int CtxGetCacheConfig(int* config) => Set(config, 0);

    [UnmanagedCallersOnly(EntryPoint = "cuCtxSetCacheConfig")]
    public static int CtxSetCacheConfig(int config) => Success;

    [UnmanagedCallersOnly(EntryPoint = "cuCtxGetSharedMemConfig")]
    public static int CtxGetSharedMemConfig(int* config) => Set(config, 0);

    [UnmanagedCallersOnly(EntryPoint = "cuCtxSetSharedMemConfig")]
    public static int CtxSetSharedMemConfig(int config) => Success;

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceCanAccessPeer")]
    public static int DeviceCanAccessPeer(int* can, int device, int other) => Set(can, 0);

    [UnmanagedCallersOnly(EntryPoint = "cuCtxEnablePeerAccess")]
    public static int CtxEnablePeerAccess(nint context, int flags) => Simulation.InvalidValue;

    [UnmanagedCallersOnly(EntryPoint = "cuCtxDisablePeerAccess")]
    public static int CtxDisablePeerAccess(nint context) => Simulation.InvalidValue;

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceGetP2PAttribute")]
    public static int DeviceGetP2PAttribute(int* value, int attribute, int device, int other) => Set(value, 0);

    // Of the attributes ILGPU asks for the kind of memory: 1 the host's, 2 the device's.
    [UnmanagedCallersOnly(EntryPoint = "cuPointerGetAttribute")]
    public static int PointerGetAttribute(int* target, int attribute, nint pointer)
        => Device.Call(() => attribute == 2 && Device.IsDevice(pointer) ? Set(target, 2) : Simulation.InvalidValue);

    [UnmanagedCallersOnly(EntryPoint = "cuMemGetInfo_v2")]
    public static int MemGetInfo(long* free, long* total) => Device.Call(() =>
    {
        *total = Simulation.MemoryBytes;
        return Set(free, Simulation.MemoryBytes - Device.BytesHeld);
    });

    [UnmanagedCallersOnly(EntryPoint = "cuMemAlloc_v2")]
    public static int MemAlloc(nint* address, nint bytes)
        => Device.Call(() => Device.Allocate(bytes) is var start and not 0
            ? Set(address, start)
            : bytes > 0 ? Simulation.OutOfMemory : Simulation.InvalidValue);

    [UnmanagedCallersOnly(EntryPoint = "cuMemFree_v2")]
    public static int MemFree(nint address) => Device.Call(() => Device.Free(address) ? Success : Simulation.InvalidValue);

    [UnmanagedCallersOnly(EntryPoint = "cuMemAllocHost_v2")]
    public static int MemAllocHost(nint* address, nint bytes)
        => Device.Call(() =>
        {
            Set(address, (nint)NativeMemory.AlignedAlloc((nuint)bytes, 4096));
            return Device.LockPages(*address, bytes);
        });

    [UnmanagedCallersOnly(EntryPoint = "cuMemFreeHost")]
    public static int MemFreeHost(nint address)
        => Device.Call(() =>
        {
            NativeMemory.AlignedFree((void*)address);
            return Device.UnlockPages(address);
        });

    [UnmanagedCallersOnly(EntryPoint = "cuMemcpyAsync")]
    public static int MemcpyAsync(nint target, nint source, nint bytes, nint stream)
        => Device.Call(() => Device.IsCapturing(stream) && !(Device.IsDevice(target) && Device.IsDevice(source))
            ? Simulation.CaptureUnsupported
            : Device.Submit(stream, () => Device.Copy(target, source, bytes)));

    [UnmanagedCallersOnly(EntryPoint = "cuMemsetD8Async")]
    public static int MemsetD8Async(nint target, byte value, nint bytes, nint stream)
        => Device.Call(() => Device.Submit(stream, () => Device.Fill(target, value, bytes)));

    [UnmanagedCallersOnly(EntryPoint = "cuMemHostRegister_v2")]
    public static int MemHostRegister(nint address, nint bytes, int flags)
        => Device.Call(() => Device.LockPages(address, bytes));

    [UnmanagedCallersOnly(EntryPoint = "cuMemHostUnregister")]
    public static int MemHostUnregister(nint address) => Device.Call(() => Device.UnlockPages(address));

    [UnmanagedCallersOnly(EntryPoint = "cuMemHostGetDevicePointer_v2")]
    public static int MemHostGetDevicePointer(nint* pointer, nint host, int flags) => Set(pointer, host);

    [UnmanagedCallersOnly(EntryPoint = "cuStreamCreate")]
    public static int StreamCreate(nint* stream, int flags) => Device.Call(() => Set(stream, Device.Add("stream")));

    [UnmanagedCallersOnly(EntryPoint = "cuStreamCreateWithPriority")]
    public static int StreamCreateWithPriority(nint* stream, int flags, int priority)
        => Device.Call(() => Set(stream, Device.Add("stream")));

    [UnmanagedCallersOnly(EntryPoint = "cuStreamDestroy_v2")]
    public static int StreamDestroy(nint stream) => Destroy(stream);

    [UnmanagedCallersOnly(EntryPoint = "cuStreamSynchronize")]
    public static int StreamSynchronize(nint stream) => Synchronize(stream);

    // From a thread of its own and a moment later, as a driver does.
    [UnmanagedCallersOnly(EntryPoint = "cuStreamAddCallback")]
    public static int StreamAddCallback(nint stream, delegate* unmanaged<nint, int, nint, void> callback, nint data, uint flags)
    {
        int status = Synchronize(stream);
        nint function = (nint)callback;
        new Thread(() =>
        {
            Thread.Sleep(50);
            ((delegate* unmanaged<nint, int, nint, void>)function)(stream, status, data);
        }).Start();
        return Success;
    }

    [UnmanagedCallersOnly(EntryPoint = "cuGetErrorString")]
    public static int GetErrorString(int error, byte** text)
    {
        *text = ErrorText;
        return Success;
    }

    [UnmanagedCallersOnly(EntryPoint = "cuModuleLoadData")]
    public static int ModuleLoadData(nint* module, byte* text) => Load(module, text);

    [UnmanagedCallersOnly(EntryPoint = "cuModuleLoadDataEx")]
    public static int ModuleLoadDataEx(nint* module, byte* text, int count, nint options, nint values) => Load(module, text);

    [UnmanagedCallersOnly(EntryPoint = "cuModuleUnload")]
    public static int ModuleUnload(nint module) => Destroy(module);

    [UnmanagedCallersOnly(EntryPoint = "cuModuleGetFunction")]
    public static int ModuleGetFunction(nint* function, nint module, byte* name)
        => Device.Call(
            () => Device.Find<Simulation.Function>(module) is { } found
                && found.Kernel.Name == Marshal.PtrToStringUTF8((nint)name) ? Set(function, module) : Simulation.NotFound);

    // 8: the most bytes of dynamic shared memory.
    [UnmanagedCallersOnly(EntryPoint = "cuFuncSetAttribute")]
    public static int FuncSetAttribute(nint function, int attribute, int value)
        => Device.Call(() => attribute == 8 && Device.Find<Simulation.Function>(function) is { } found
            ? Device.Allow(found, value)
            : Simulation.InvalidValue);

    [UnmanagedCallersOnly(EntryPoint = "cuLaunchKernel")]
    public static int LaunchKernel(nint function, int groupsX, int groupsY, int groupsZ, int threadsX, int threadsY,
        int threadsZ, int sharedBytes, nint stream, byte** arguments, nint* extra)
        => Device.Call(() =>
        {
            if (Device.Find<Simulation.Function>(function) is not { } found)
                return Simulation.InvalidHandle;
            byte[] kept = new byte[found.Kernel.ParameterBytes + 1];
            Span<byte> parameters = kept;
            if (arguments != null)
            {
                foreach ((int at, Text.Parameter parameter) in found.Kernel.Parameters.Index())
                    new Span<byte>(arguments[at], parameter.Bytes).CopyTo(parameters[parameter.Offset..]);
            }
            else
            {
                // Pairs that end with 0: 1 and a buffer, 2 and where its length stands.
                nint buffer = 0;
                long length = 0;
                for (; extra != null && *extra != 0; extra += 2)
                {
                    if (*extra == 1)
                        buffer = extra[1];
                    else if (*extra == 2)
                        length = *(nint*)extra[1];
                }

                if (buffer == 0 || length < found.Kernel.ParameterBytes)
                    throw new PtxFaultException(FaultKind.Launch,
                        $"{found.Kernel.Name}: {length} bytes of parameters, expected {found.Kernel.ParameterBytes}");
                new Span<byte>((void*)buffer, found.Kernel.ParameterBytes).CopyTo(parameters);
            }

            (Dim3 groups, Dim3 threads) = (new(groupsX, groupsY, groupsZ), new(threadsX, threadsY, threadsZ));
            return Device.Submit(stream, () =>
            {
                fixed (byte* start = kept)
                    return Device.Launch(found, groups, threads, sharedBytes, start);
            });
        });

    [UnmanagedCallersOnly(EntryPoint = "cuOccupancyMaxActiveBlocksPerMultiprocessor")]
    public static int OccupancyMaxActiveBlocks(int* groups, nint function, int threads, nint dynamicBytes)
        => Device.Call(() => Device.Find<Simulation.Function>(function) is { } found
            ? Set(groups, Simulation.GroupsOfMultiprocessor(found, threads, dynamicBytes))
            : Simulation.InvalidHandle);

    [UnmanagedCallersOnly(EntryPoint = "cuOccupancyMaxPotentialBlockSize")]
    public static int OccupancyMaxPotentialBlockSize(int* groups, int* threads, nint function, nint dynamicOfSize,
        nint dynamicBytes, int limit)
        => Device.Call(() =>
        {
            if (Device.Find<Simulation.Function>(function) is not { } found)
                return Simulation.InvalidHandle;
            const int usual = 256;
            int most = Math.Min(limit > 0 ? limit : usual, found.Kernel.MaxThreads > 0 ? found.Kernel.MaxThreads : usual);
            *threads = Math.Min(most, usual);
            return Set(groups, Device.Multiprocessors * Simulation.GroupsOfMultiprocessor(found, *threads, dynamicBytes));
        });

    [UnmanagedCallersOnly(EntryPoint = "cuEventCreate")]
    public static int EventCreate(nint* handle, int flags) => Device.Call(() => Set(handle, Device.Add(new Stopwatch())));

    [UnmanagedCallersOnly(EntryPoint = "cuEventDestroy_v2")]
    public static int EventDestroy(nint handle) => Destroy(handle);

    [UnmanagedCallersOnly(EntryPoint = "cuEventQuery")]
    public static int EventQuery(nint handle) => Device.Call(() => Success);

    [UnmanagedCallersOnly(EntryPoint = "cuEventElapsedTime")]
    public static int EventElapsedTime(float* milliseconds, nint start, nint end) => Device.Call(() =>
    {
        if (Device.Find<Stopwatch>(start) is not { } from || Device.Find<Stopwatch>(end) is not { } to)
            return Simulation.InvalidHandle;
        *milliseconds = (float)(from.Elapsed - to.Elapsed).TotalMilliseconds;
        return Success;
    });

    [UnmanagedCallersOnly(EntryPoint = "cuEventRecord")]
    public static int EventRecord(nint handle, nint stream) => Device.Call(() =>
    {
        if (Device.Find<Stopwatch>(handle) is not { } found)
            return Simulation.InvalidHandle;
        found.Restart();
        return Success;
    });

    // Everything is done at once, so that nothing is waited for.
    [UnmanagedCallersOnly(EntryPoint = "cuStreamWaitEvent")]
    public static int StreamWaitEvent(nint stream, nint handle, int flags)
        => Device.Call(() => Device.Find<Stopwatch>(handle) is null ? Simulation.InvalidHandle : Success);

    [UnmanagedCallersOnly(EntryPoint = "cuEventSynchronize")]
    public static int EventSynchronize(nint handle) => Synchronize(0);

    [UnmanagedCallersOnly(EntryPoint = "cuStreamBeginCapture_v2")]
    public static int StreamBeginCapture(nint stream, int mode) => Device.Call(() => Device.BeginCapture(stream));

    [UnmanagedCallersOnly(EntryPoint = "cuStreamEndCapture")]
    public static int StreamEndCapture(nint stream, nint* graph) => Device.Call(() =>
    {
        int error = Device.EndCapture(stream, out nint ended);
        *graph = ended;
        return error;
    });

    // What is instantiated is the list of a graph, which several may use.
    [UnmanagedCallersOnly(EntryPoint = "cuGraphInstantiateWithFlags")]
    public static int GraphInstantiate(nint* executable, nint graph, ulong flags)
        => Device.Call(() => Device.Find<List<Func<int>>>(graph) is { } all ? Set(executable, Device.Add(all))
            : Simulation.InvalidHandle);

    [UnmanagedCallersOnly(EntryPoint = "cuGraphLaunch")]
    public static int GraphLaunch(nint executable, nint stream) => Device.Call(() => Device.LaunchGraph(executable));

    [UnmanagedCallersOnly(EntryPoint = "cuGraphDestroy")]
    public static int GraphDestroy(nint graph) => Destroy(graph);

    [UnmanagedCallersOnly(EntryPoint = "cuGraphExecDestroy")]
    public static int GraphExecDestroy(nint executable) => Destroy(executable);

    /// <summary>Not of CUDA: what was called so far, for a test in this process, in the order of
    /// <see cref="Counts.All"/>.</summary>
    [UnmanagedCallersOnly(EntryPoint = "interpreterCounts")]
    public static int InterpreterCounts(long* counts, int length) => Device.Call(() =>
    {
        Device.Counts.All[..length].CopyTo(new Span<long>(counts, length));
        return Success;
    });

    private static int Synchronize(nint stream) => Device.Call(() =>
    {
        if (Device.IsCapturing(stream))
            return Simulation.CaptureUnsupported;
        Device.Counts.Synchronizations++;
        Device.Note("synchronize");
        return Success;
    });

    private static int Load(nint* module, byte* text)
        => Device.Call(() => Set(module, Device.Load(Marshal.PtrToStringUTF8((nint)text)!)));

    private static int Destroy(nint handle) => Device.Call(() => Device.Remove(handle) ? Success : Simulation.InvalidHandle);

    private static int Set<T>(T* place, T value)
        where T : unmanaged
    {
        *place = value;
        return Success;
    }

    private static byte* Text(string text)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(text + "\0");
        byte* place = (byte*)NativeMemory.Alloc((nuint)bytes.Length);
        bytes.CopyTo(new Span<byte>(place, bytes.Length));
        return place;
    }
}
