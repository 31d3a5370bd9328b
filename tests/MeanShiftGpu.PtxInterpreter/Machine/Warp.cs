using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.PtxInterpreter.Machine;

/// <summary>
/// 32 threads in lock-step. Where they part at a branch, the two ways run one after the other until both are
/// at the branch's immediate post-dominator, where the threads go on together.
/// </summary>
internal sealed unsafe class Warp : IDisposable
{
    private readonly Kernel kernel;
    private readonly Instruction[] code;
    private readonly byte* registers;
    private readonly Stack<Way> waiting = new();
    private readonly uint threads;
    private int next;
    private int reconvergence;
    private uint ended;

    public Warp(Group group, int index, int threads)
    {
        Group = group;
        Index = index;
        kernel = group.Kernel;
        code = kernel.Code;
        this.threads = threads >= Lanes.Count ? Lanes.All : (1u << threads) - 1;
        registers = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(kernel.PlaneBytes, 32), 32);
        Predicates = (uint*)NativeMemory.Alloc((nuint)(kernel.Predicates + 2), sizeof(uint));
        Predicates[kernel.Predicates] = 0;
        Predicates[kernel.Predicates + 1] = Lanes.All;
        foreach ((int place, ulong value, bool isWide) in kernel.Constants)
        {
            for (int lane = 0; lane < Lanes.Count; lane++)
            {
                if (isWide)
                    Plane<ulong>(place)[lane] = value;
                else
                    Plane<uint>(place)[lane] = (uint)value;
            }
        }
    }

    public Group Group { get; }

    public int Index { get; }

    /// <summary>A bit for each thread that executes the next instruction.</summary>
    public uint Active { get; private set; }

    /// <summary>
    /// A word of 32 lanes for each predicate, then one with all bits clear and one with all set.
    /// </summary>
    public uint* Predicates { get; }

    public bool HasEnded { get; private set; }

    public long Executed { get; private set; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T* Plane<T>(int place)
        where T : unmanaged
        => (T*)(registers + place);

    public bool IsConstant(int place) => place >= kernel.RegisterBytes;

    public void SetPredicate(int predicate, uint value)
        => Predicates[predicate] = Predicates[predicate] & ~Active | value & Active;

    /// <summary>A lane's address in shared memory: the operand has 32 or 64 bits.</summary>
    public ulong SharedAddress(Instruction i, int operand, int lane)
        => (i.HasWideSharedAddress ? Plane<ulong>(i.Operands[operand])[lane] : Plane<uint>(i.Operands[operand])[lane]) + (
            ulong)i.Number;

    /// <summary>A thread's number in its group.</summary>
    public int ThreadOf(int lane) => Index * Lanes.Count + lane;

    /// <summary>
    /// Begins a group's work. Registers hold NaN and −1, which whoever reads before writing will meet.
    /// </summary>
    public void Start()
    {
        new Span<byte>(registers, kernel.RegisterBytes).Fill(0xFF);
        new Span<uint>(Predicates, kernel.Predicates).Fill(0x55555555);
        foreach ((string name, int place) in kernel.Special)
        {
            uint* plane = Plane<uint>(place);
            for (int lane = 0; lane < Lanes.Count; lane++)
                plane[lane] = Group.Special(name, ThreadOf(lane));
        }

        waiting.Clear();
        next = 0;
        reconvergence = -1;
        ended = 0;
        Active = threads;
        HasEnded = false;
    }

    /// <summary>Runs until every thread has ended, or all of them wait at a barrier.</summary>
    public void Run()
    {
        while (true)
        {
            while (next == reconvergence || Active == 0)
            {
                if (waiting.Count == 0)
                {
                    HasEnded = true;
                    return;
                }

                Way way = waiting.Pop();
                next = way.Next;
                reconvergence = way.Reconvergence;
                Active = way.Threads & ~ended;
            }

            Instruction i = code[next++];
            Executed++;
            switch (i.Flow)
            {
                case Flow.Next:
                    i.Run(this, i);
                    break;
                case Flow.Branch:
                    Branch(i);
                    break;
                case Flow.Return:
                    uint ending = Guarded(i);
                    Group.Copies.RequireArrived(this, i, ending);
                    ended |= ending;
                    Active &= ~ending;
                    break;
                default:
                    if (Active != threads)
                        throw Fault(FaultKind.Barrier, i, FirstOf(threads & ~Active),
                            "does not reach the barrier at which others of its warp wait");
                    return;
            }
        }
    }

    /// <summary>The fault of a thread at an instruction.</summary>
    public PtxFaultException Fault(FaultKind kind, Instruction i, int lane, string what)
        => new(kind, $"{kernel.Name}, {i}: thread {ThreadOf(lane)} of group {Group.Place} {what}");

    /// <summary>
    /// Refuses an instruction that all threads of a warp must execute together where they do not.
    /// </summary>
    public void RequireWhole(Instruction i)
    {
        if (Active != Lanes.All)
            throw Fault(FaultKind.Divergence, i, FirstOf(~Active), "does not take part in an instruction of its whole warp");
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(registers);
        NativeMemory.Free(Predicates);
    }

    private static int FirstOf(uint lanes) => BitOperations.TrailingZeroCount(lanes);

    private uint Guarded(Instruction i)
        => i.Guard < 0 ? Active : Active & (i.GuardNegated ? ~Predicates[i.Guard] : Predicates[i.Guard]);

    private void Branch(Instruction i)
    {
        uint taken = Guarded(i);
        uint others = Active & ~taken;
        if (taken == 0)
            return;
        if (others != 0)
        {
            if (i.Form.Name == "bra.uni")
                throw Fault(FaultKind.Divergence, i, FirstOf(others),
                    $"does not take a branch marked uniform, thread {ThreadOf(FirstOf(taken))} does");
            waiting.Push(new Way(i.Reconvergence, reconvergence, Active));
            waiting.Push(new Way(next, i.Reconvergence, others));
            reconvergence = i.Reconvergence;
            Active = taken;
        }

        next = i.Target;
    }

    // Threads that wait: where they go on, and where they meet those that wait below them.
    private readonly record struct Way(int Next, int Reconvergence, uint Threads);
}
