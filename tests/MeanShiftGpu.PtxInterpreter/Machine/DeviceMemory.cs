using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MeanShiftGpu.PtxInterpreter.Machine;

/// <summary>
/// An allocation in global memory, with a byte for every two of it that says whether they were written.
/// Addresses are those of the process.</summary>
internal sealed unsafe class Allocation : IDisposable
{
    // cuMemAlloc promises 256.
    private const int Alignment = 256;

    private readonly byte* written;

    public Allocation(long bytes)
    {
        Bytes = bytes;
        Start = (ulong)NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, 1), Alignment);
        written = (byte*)NativeMemory.AllocZeroed((nuint)(bytes / 2 + 16));
    }

    public ulong Start { get; }

    public long Bytes { get; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Holds(ulong address, long length)
        => address >= Start && address - Start <= (ulong)Bytes && (ulong)length <= (ulong)Bytes - (address - Start);

    /// <summary>Whether 2, 4, 8 or 16 bytes, at a multiple of as many, were written.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsWritten(ulong address, int length)
    {
        byte* marks = written + (address - Start) / 2;
        return length switch
        {
            2 => *marks == 1,
            4 => *(ushort*)marks == 0x0101,
            8 => *(uint*)marks == 0x01010101,
            _ => *(ulong*)marks == 0x0101010101010101,
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void MarkWritten(ulong address, int length)
    {
        byte* marks = written + (address - Start) / 2;
        switch (length)
        {
            case 2:
                *marks = 1;
                break;
            case 4:
                *(ushort*)marks = 0x0101;
                break;
            case 8:
                *(uint*)marks = 0x01010101;
                break;
            default:
                *(ulong*)marks = 0x0101010101010101;
                break;
        }
    }

    /// <summary>
    /// Marks what a copy from the host or a fill has written; an odd last byte counts as two.
    /// </summary>
    public void MarkRange(ulong address, long length) => Marks(address, length).Fill(1);

    /// <summary>Which bytes of a range were written, two by two.</summary>
    public Span<byte> Marks(ulong address, long length) => new(written + (address - Start) / 2, (int)((length + 1) / 2));

    public void Dispose()
    {
        NativeMemory.AlignedFree((void*)Start);
        NativeMemory.Free(written);
    }
}

/// <summary>Global memory. Allocations are made and freed between launches.</summary>
internal sealed class DeviceMemory : IDisposable
{
    private readonly SortedList<ulong, Allocation> allocations = [];

    public long BytesHeld => allocations.Values.Sum(allocation => allocation.Bytes);

    public Allocation Allocate(long bytes)
    {
        Allocation allocation = new(bytes);
        lock (allocations)
            allocations.Add(allocation.Start, allocation);
        return allocation;
    }

    public bool Free(ulong start)
    {
        lock (allocations)
        {
            if (!allocations.Remove(start, out Allocation? allocation))
                return false;
            allocation.Dispose();
            return true;
        }
    }

    /// <summary>The allocation that holds a range; null for none.</summary>
    public Allocation? Find(ulong address, long length)
    {
        lock (allocations)
        {
            // The last that starts at or before the address.
            int low = 0;
            int high = allocations.Count;
            while (low < high)
            {
                int middle = (low + high) / 2;
                if (allocations.Keys[middle] <= address)
                    low = middle + 1;
                else
                    high = middle;
            }

            return low > 0 && allocations.Values[low - 1] is { } found && found.Holds(address, length) ? found : null;
        }
    }

    public void Dispose()
    {
        foreach (Allocation allocation in allocations.Values)
            allocation.Dispose();
        allocations.Clear();
    }
}
