using System.Collections.Concurrent;
using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.PtxInterpreter.Machine;

/// <summary>How a launch runs.</summary>
/// <param name="Reversed">Groups and warps in the opposite order, which must not change a bit.</param>
/// <param name="CopiesArriveEarly">Asynchronous copies arrive at once, instead of as late as can be.</param>
/// <param name="Cores">How many groups run at a time; 0 for one a processor.</param>
public readonly record struct LaunchOptions(bool Reversed = false, bool CopiesArriveEarly = false, int Cores = 0);

/// <summary>One launch of a kernel.</summary>
internal sealed unsafe class Launch
{
    public const int MostThreads = 1024;
    public const int MostGroupsYZ = 65535;
    public const int SharedWithoutAsking = 48 << 10;

    public required Kernel Kernel { get; init; }

    public required DeviceMemory Memory { get; init; }

    public required Dim3 Groups { get; init; }

    public required Dim3 Threads { get; init; }

    public required byte* Parameters { get; init; }

    public int DynamicSharedBytes { get; init; }

    /// <summary>The most that the kernel was allowed to have of dynamic shared memory.</summary>
    public int AllowedSharedBytes { get; init; } = SharedWithoutAsking;

    public LaunchOptions Options { get; init; }

    public int SharedBytes => Kernel.DynamicSharedAt < 0 ? Kernel.StaticSharedBytes : Kernel.DynamicSharedAt + DynamicSharedBytes;

    /// <summary>
    /// Where each parameter's view begins and ends, and the allocation in which it begins; nothing for other
    /// parameters.</summary>
    public (ulong Start, ulong End, Allocation? Allocation)[] Views { get; private set; } = [];

    /// <summary>
    /// Runs every group, on all cores, and returns how many instructions warps have executed.
    /// </summary>
    /// <exception cref="PtxFaultException">The kernel does something wrong; that of the first group is
    /// reported.</exception>
    public long Run()
    {
        Check();
        Views = [.. Kernel.Parameters.Select(parameter =>
        {
            ulong* view = (ulong*)(Parameters + parameter.Offset);
            return parameter.ElementBytes == 0 ? default : (view[0], view[0] + view[1] * (uint)parameter.ElementBytes,
                Memory.Find(view[0], 0));
        })];
        ConcurrentDictionary<long, PtxFaultException> faults = new();
        long next = -1;
        long executed = 0;
        long count = Groups.Count;
        int workers = (int)Math.Min(Options.Cores > 0 ? Options.Cores : Environment.ProcessorCount, count);
        Parallel.For(0, workers, new ParallelOptions { MaxDegreeOfParallelism = workers }, _ =>
        {
            using Group group = new(this);
            while (faults.IsEmpty && Interlocked.Increment(ref next) is long number && number < count)
            {
                try
                {
                    group.Run(Options.Reversed ? count - 1 - number : number);
                }
                catch (PtxFaultException fault)
                {
                    faults[number] = fault;
                }
            }

            Interlocked.Add(ref executed, group.Executed);
        });
        return faults.IsEmpty ? executed : throw faults.MinBy(fault => fault.Key).Value;
    }

    private void Check()
    {
        string? problem = Threads.X < 1 || Threads.Y < 1 || Threads.Z < 1 || Groups.X < 1 || Groups.Y < 1 || Groups.Z < 1
            ? "an extent is not positive"
            : Threads.Count > MostThreads || Threads.Z > 64 ? $"{Threads} threads are more than a group can have"
            : Kernel.MaxThreads > 0 && Threads.Count > Kernel.MaxThreads ? $"{Threads.Count} threads are more than the "
                + $"kernel's .maxntid {Kernel.MaxThreads}"
            : Groups.Y > MostGroupsYZ || Groups.Z > MostGroupsYZ ? $"{Groups} groups are more than a grid can have"
            : Kernel.StaticSharedBytes > SharedWithoutAsking ? $"{Kernel.StaticSharedBytes} bytes of static shared memory are "
                + $"more than {SharedWithoutAsking}"
            : DynamicSharedBytes > 0 && Kernel.DynamicSharedAt < 0 ? "the kernel declares no dynamic shared memory"
            : DynamicSharedBytes + Kernel.StaticSharedBytes > Math.Max(AllowedSharedBytes,
                SharedWithoutAsking) ? $"{DynamicSharedBytes} bytes of dynamic shared memory were not allowed by "
                    + $"cuFuncSetAttribute ({AllowedSharedBytes} are)"
            : null;
        if (problem is not null)
            throw new PtxFaultException(FaultKind.Launch, $"{Kernel.Name}: {problem}");
    }
}
