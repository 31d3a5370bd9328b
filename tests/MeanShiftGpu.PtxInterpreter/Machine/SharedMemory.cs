using System.Runtime.InteropServices;
using MeanShiftGpu.PtxInterpreter.Text;

namespace MeanShiftGpu.PtxInterpreter.Machine;

/// <summary>
/// A group's shared memory. For every word it keeps who wrote it last and who read it since, each with the
/// number of barriers before: two accesses of a word by different threads between the same barriers, one of
/// them a write, are a race. Threads of one warp are no exception: nothing orders their accesses.
/// </summary>
internal sealed unsafe class SharedMemory(int bytes) : IDisposable
{
    /// <summary>The first address; not 0, so that an address that was forgotten is found.</summary>
    public const int Start = 1024;

    // A mark: the thread's number plus one, a bit, and from bit 12 on the number of the interval between
    // barriers.
    private const uint ThreadBits = 0x7FF;
    private const uint Flag = 0x800;
    private const int IntervalAt = 12;

    private readonly byte* memory = (byte*)NativeMemory.AlignedAlloc((nuint)(bytes + 16), 256);
    private readonly uint* writes = (uint*)NativeMemory.AllocZeroed((nuint)(bytes / 4 + 4), sizeof(uint));
    private readonly uint* reads = (uint*)NativeMemory.AllocZeroed((nuint)(bytes / 4 + 4), sizeof(uint));
    private uint interval = 1;

    /// <summary>Begins a group: nothing is written.</summary>
    public void Clear()
    {
        new Span<byte>(memory, bytes).Fill(0xFF);
        new Span<uint>(writes, bytes / 4 + 1).Clear();
        new Span<uint>(reads, bytes / 4 + 1).Clear();
        interval = 1;
    }

    /// <summary>All threads have met.</summary>
    public void Barrier() => interval++;

    /// <summary>The place of an access of so many bytes.</summary>
    public byte* At(Warp warp, Instruction i, int lane, ulong address, int length)
    {
        if (address % (uint)length != 0)
            throw warp.Fault(FaultKind.Alignment, i, lane,
                $"accesses {length} bytes of shared memory at {address - Start}, which is no multiple of {length}");
        if (address < Start || address + (uint)length > (ulong)(Start + bytes))
            throw warp.Fault(FaultKind.Bounds, i, lane,
                $"accesses {length} bytes of shared memory at {(long)address - Start}, of {bytes}");
        return memory + (address - Start);
    }

    /// <summary>
    /// Notes that a thread reads words; some of them may be unwritten where that is allowed, and hold all
    /// bits.</summary>
    public void Read(Warp warp, Instruction i, int lane, byte* place, int length, bool unwritten = false)
    {
        long word = (place - memory) / 4;
        uint thread = (uint)warp.ThreadOf(lane) + 1;
        for (int k = 0; k < length / 4; k++, word++)
        {
            uint write = writes[word];
            if (write == 0 && !unwritten)
                throw warp.Fault(FaultKind.Unwritten, i, lane, $"reads shared memory at {4 * word}, which nobody wrote");
            if ((write & Flag) != 0)
                throw warp.Fault(FaultKind.Copy, i, lane,
                    $"reads shared memory at {4 * word}, to where thread {(write & ThreadBits) - 1} copies without having "
                    + "waited for it");
            if (write >> IntervalAt == interval && (write & ThreadBits) != thread)
                throw warp.Fault(FaultKind.Race, i, lane,
                    $"reads shared memory at {4 * word}, which thread {(write & ThreadBits) - 1} wrote since the last barrier");
            uint read = reads[word];
            if (read >> IntervalAt != interval)
                reads[word] = interval << IntervalAt | thread;
            else if ((read & ThreadBits) != thread)
                reads[word] = read | Flag;
        }
    }

    /// <summary>Notes that a thread writes words, or that its copy will.</summary>
    public void Write(Warp warp, Instruction i, int lane, byte* place, int length, bool pending = false)
    {
        long word = (place - memory) / 4;
        uint thread = (uint)warp.ThreadOf(lane) + 1;
        for (int k = 0; k < length / 4; k++, word++)
        {
            uint write = writes[word];
            if ((write & Flag) != 0)
                throw warp.Fault(FaultKind.Copy, i, lane,
                    $"writes shared memory at {4 * word}, to where thread {(write & ThreadBits) - 1} copies without having "
                    + "waited for it");
            if (write >> IntervalAt == interval && (write & ThreadBits) != thread)
                throw warp.Fault(FaultKind.Race, i, lane,
                    $"writes shared memory at {4 * word}, which thread {(write & ThreadBits) - 1} wrote since the last barrier");
            uint read = reads[word];
            if (read >> IntervalAt == interval && ((read & Flag) != 0 || (read & ThreadBits) != thread))
                throw warp.Fault(FaultKind.Race, i, lane,
                    $"writes shared memory at {4 * word}, which thread "
                    + $"{(read & ThreadBits) - 1}{((read & Flag) != 0 ? " and others" : "")} read since the last barrier");
            writes[word] = interval << IntervalAt | (pending ? Flag : 0) | thread;
        }
    }

    /// <summary>A thread's copy has arrived: it counts as written now.</summary>
    public void Arrive(int thread, byte* place, int length)
    {
        long word = (place - memory) / 4;
        for (int k = 0; k < length / 4; k++, word++)
            writes[word] = interval << IntervalAt | (uint)thread + 1;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(memory);
        NativeMemory.Free(writes);
        NativeMemory.Free(reads);
    }
}
