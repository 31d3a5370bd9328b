using System.Numerics;
using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.PtxInterpreter.Machine;

/// <summary>Where a thread's access of global memory leads, after the checks.</summary>
internal static unsafe class GlobalAddress
{
    public static Allocation Check(Warp warp, Instruction i, int lane, ulong address, int length, bool reads)
    {
        if (address % (uint)length != 0)
            throw warp.Fault(FaultKind.Alignment, i, lane,
                $"accesses {length} bytes of global memory at {Shown(warp, address)}, which is no multiple of {length}");
        Allocation? found = null;
        if (i.View >= 0)
        {
            (ulong start, ulong end, found) = warp.Group.Views[i.View];
            if (found is not null && found.Holds(address, length) && (address < start || address + (uint)length > end))
                throw warp.Fault(FaultKind.Bounds, i, lane,
                    $"accesses {length} bytes at byte {(long)(address - start)} of the view "
                    + $"{warp.Group.Kernel.Parameters[i.View].Name}, which has {end - start}");
        }

        if (found is null || !found.Holds(address, length))
            found = warp.Group.Memory.Find(address, length) ?? throw warp.Fault(FaultKind.Bounds, i, lane,
                $"accesses {length} bytes of global memory at {Shown(warp, address)}, outside every allocation");
        if (reads && !found.IsWritten(address, length))
            throw warp.Fault(FaultKind.Unwritten, i, lane, $"reads global memory at {Shown(warp, address)}, which nobody wrote");
        return found;
    }

    private static string Shown(Warp warp, ulong address)
        => warp.Group.Memory.Find(address, 0) is { } near
            ? $"byte {address - near.Start} of an allocation of {near.Bytes}"
            : $"0x{address:X}";
}

/// <summary>Loads and stores of elements of 2 bytes.</summary>
internal static unsafe class Access16
{
    public static void LoadGlobal(Warp warp, Instruction i) => Access<uint, ushort>.LoadGlobal(warp, i);

    public static void StoreGlobal(Warp warp, Instruction i) => Access<uint, ushort>.StoreGlobal(warp, i);
}

/// <summary>Loads and stores of elements of 4 bytes.</summary>
internal static unsafe class Access32
{
    public static void LoadGlobal(Warp warp, Instruction i) => Access<uint, uint>.LoadGlobal(warp, i);

    public static void StoreGlobal(Warp warp, Instruction i) => Access<uint, uint>.StoreGlobal(warp, i);

    public static void LoadShared(Warp warp, Instruction i) => Access<uint, uint>.LoadShared(warp, i);

    public static void StoreShared(Warp warp, Instruction i) => Access<uint, uint>.StoreShared(warp, i);

    public static void LoadParameter(Warp warp, Instruction i) => Access<uint, uint>.LoadParameter(warp, i);
}

/// <summary>Loads and stores of elements of 8 bytes.</summary>
internal static unsafe class Access64
{
    public static void LoadGlobal(Warp warp, Instruction i) => Access<ulong, ulong>.LoadGlobal(warp, i);

    public static void StoreGlobal(Warp warp, Instruction i) => Access<ulong, ulong>.StoreGlobal(warp, i);

    public static void LoadShared(Warp warp, Instruction i) => Access<ulong, ulong>.LoadShared(warp, i);

    public static void StoreShared(Warp warp, Instruction i) => Access<ulong, ulong>.StoreShared(warp, i);

    public static void LoadParameter(Warp warp, Instruction i) => Access<ulong, ulong>.LoadParameter(warp, i);
}

/// <summary>Loads and stores, one thread after the other in the order of lanes.</summary>
/// <remarks>
/// To read what nobody wrote is a fault. A vector is often wider than what a thread needs of it, so what
/// nobody wrote becomes NaN there, all bits set: it is found in the results if it is used.
/// </remarks>
/// <typeparam name="TLane">What a lane of a register holds.</typeparam>
/// <typeparam name="TMemory">What memory holds; a narrower one is extended with zeros.</typeparam>
internal static unsafe class Access<TLane, TMemory>
    where TLane : unmanaged
    where TMemory : unmanaged
{
    // In the text a load's values come first and its address last, a store's the other way.
    public static void LoadGlobal(Warp warp, Instruction i)
    {
        int count = i.Form.Count;
        ulong* addresses = warp.Plane<ulong>(i.Operands[count]);
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            ulong address = addresses[lane] + (ulong)i.Number;
            Allocation found = GlobalAddress.Check(warp, i, lane, address, count * sizeof(TMemory), reads: count == 1);
            Read(warp, i, 0, lane, (byte*)address);
            for (int k = 0; k < count && count > 1; k++)
            {
                if (!found.IsWritten(address + (uint)(k * sizeof(TMemory)), sizeof(TMemory)))
                    new Span<byte>(warp.Plane<TLane>(i.Operands[k]) + lane, sizeof(TLane)).Fill(0xFF);
            }
        }
    }

    public static void StoreGlobal(Warp warp, Instruction i)
    {
        int length = i.Form.Count * sizeof(TMemory);
        ulong* addresses = warp.Plane<ulong>(i.D);
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            ulong address = addresses[lane] + (ulong)i.Number;
            GlobalAddress.Check(warp, i, lane, address, length, reads: false).MarkWritten(address, length);
            Write(warp, i, 1, lane, (byte*)address);
        }
    }

    public static void LoadShared(Warp warp, Instruction i)
    {
        int count = i.Form.Count;
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            byte* place = warp.Group.Shared.At(warp, i, lane, SharedAddress(warp, i, count, lane), count * sizeof(TMemory));
            warp.Group.Shared.Read(warp, i, lane, place, count * sizeof(TMemory), unwritten: count > 1);
            Read(warp, i, 0, lane, place);
        }
    }

    public static void StoreShared(Warp warp, Instruction i)
    {
        int length = i.Form.Count * sizeof(TMemory);
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            byte* place = warp.Group.Shared.At(warp, i, lane, SharedAddress(warp, i, 0, lane), length);
            warp.Group.Shared.Write(warp, i, lane, place, length);
            Write(warp, i, 1, lane, place);
        }
    }

    public static void LoadParameter(Warp warp, Instruction i)
    {
        TLane value = *(TLane*)(warp.Group.Parameters + i.Number);
        TLane* d = warp.Plane<TLane>(i.D);
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
            d[BitOperations.TrailingZeroCount(lanes)] = value;
    }

    private static void Read(Warp warp, Instruction i, int first, int lane, byte* place)
    {
        for (int k = 0; k < i.Form.Count; k++)
        {
            TLane* plane = warp.Plane<TLane>(i.Operands[first + k]) + lane;
            *plane = default;
            *(TMemory*)plane = ((TMemory*)place)[k];
        }
    }

    private static void Write(Warp warp, Instruction i, int first, int lane, byte* place)
    {
        for (int k = 0; k < i.Form.Count; k++)
            ((TMemory*)place)[k] = *(TMemory*)(warp.Plane<TLane>(i.Operands[first + k]) + lane);
    }

    private static ulong SharedAddress(Warp warp, Instruction i, int operand, int lane) => warp.SharedAddress(i, operand, lane);
}
