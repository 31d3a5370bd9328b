using System.Numerics;
using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.PtxInterpreter.Machine;

/// <summary>
/// cp.async. A copy arrives as late as the ISA allows, when its thread waits for its stage; until then its
/// target may neither be read nor written. Or as early, at once: a kernel must give the same bits.
/// </summary>
internal static unsafe class AsyncCopy
{
    /// <summary>
    /// cp.async target, source, length, bytes that are read; the rest of the target becomes 0.
    /// </summary>
    public static void Begin(Warp warp, Instruction i)
    {
        int length = i.Form.Size;
        ulong* sources = warp.Plane<ulong>(i.Operands[1]);
        uint* counts = warp.Plane<uint>(i.Operands[3]);
        Group group = warp.Group;
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            byte* target = group.Shared.At(warp, i, lane, warp.SharedAddress(i, 0, lane), length);
            ulong source = sources[lane];
            uint bytes = counts[lane];
            if (bytes > length)
                throw warp.Fault(FaultKind.Bounds, i, lane, $"copies {length} bytes, of which it is to read {bytes}");
            if (source % (uint)length != 0)
                throw warp.Fault(FaultKind.Alignment, i, lane,
                    $"copies {length} bytes from an address that is no multiple of {length}");
            for (uint read = 0; read < bytes; read += 2)
                GlobalAddress.Check(warp, i, lane, source + read, 2, reads: true);
            group.Shared.Write(warp, i, lane, target, length, pending: !group.CopiesArriveEarly);
            Copy copy = new((nint)target, (nint)source, length, (int)bytes);
            if (group.CopiesArriveEarly)
                copy.Arrive();
            else
                group.Copies.Add(warp.ThreadOf(lane), copy);
        }
    }

    public static void Commit(Warp warp, Instruction i)
    {
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
            warp.Group.Copies.Commit(warp.ThreadOf(BitOperations.TrailingZeroCount(lanes)));
    }

    public static void Wait(Warp warp, Instruction i)
    {
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
            warp.Group.Copies.Wait(warp.ThreadOf(BitOperations.TrailingZeroCount(lanes)), i.Number, warp.Group.Shared);
    }
}

/// <summary>A copy under way.</summary>
internal readonly unsafe record struct Copy(nint Target, nint Source, int Length, int Bytes)
{
    public void Arrive()
    {
        Span<byte> target = new((void*)Target, Length);
        target.Clear();
        new Span<byte>((void*)Source, Bytes).CopyTo(target);
    }
}

/// <summary>The copies under way of a group's threads, in stages.</summary>
internal sealed unsafe class PendingCopies(int threads)
{
    private readonly List<(int Stage, Copy Copy)>[] copies =
        [.. Enumerable.Range(0, threads).Select(_ => new List<(int, Copy)>())];
    private readonly int[] stages = new int[threads];

    public void Clear()
    {
        Array.Clear(stages);
        foreach (List<(int, Copy)> list in copies)
            list.Clear();
    }

    public void Add(int thread, Copy copy) => copies[thread].Add((stages[thread], copy));

    public void Commit(int thread) => stages[thread]++;

    /// <summary>All but the last stages of a thread arrive.</summary>
    public void Wait(int thread, int pending, SharedMemory shared)
    {
        int arriving = 0;
        foreach ((int stage, Copy copy) in copies[thread])
        {
            if (stage >= stages[thread] - pending)
                break;
            copy.Arrive();
            shared.Arrive(thread, (byte*)copy.Target, copy.Length);
            arriving++;
        }

        copies[thread].RemoveRange(0, arriving);
    }

    /// <summary>A thread that ends must have waited for all that it copies.</summary>
    public void RequireArrived(Warp warp, Instruction i, uint lanes)
    {
        for (; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            if (copies[warp.ThreadOf(lane)].Count > 0)
                throw warp.Fault(FaultKind.Copy, i, lane, "ends without having waited for its asynchronous copies");
        }
    }
}
