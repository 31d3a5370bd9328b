using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Host;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tensors;

/// <summary>
/// Device memory that is handed out front to back and taken back all at once. A training step that asks for
/// the same buffers in the same order gets the same addresses every time, and nothing is allocated after the
/// first.
/// </summary>
/// <param name="context">The device.</param>
/// <param name="hugePages">
/// Asks for pages of 2 MiB where the memory is the host's: for memory that is used many times over, as by
/// training. Their first use waits for 2 MiB of zeros at a time, which costs a volume's inference more than
/// it gains.
/// </param>
/// <exception cref="ArgumentNullException">The device is null.</exception>
public sealed class Arena(GpuContext context, bool hugePages = false) : IDisposable
{
    // The alignment that ILGPU assumes of views passed to kernels.
    private const int Alignment = 256;
    private const long SmallestBlock = 1 << 20;

    private readonly List<Block> blocks = [];
    private bool isDisposed;
    private int block;
    private long offset;

    /// <summary>The device of the memory.</summary>
    public GpuContext Context { get; } = context ?? throw new ArgumentNullException(nameof(context));

    /// <summary>Bytes held on the device.</summary>
    public long CapacityBytes => blocks.Sum(b => b.Memory.LengthInBytes);

    /// <summary>The most bytes that were handed out at a time, gaps included.</summary>
    internal long MostBytes { get; private set; }

    /// <summary>How often memory was taken from the device.</summary>
    public int Allocations { get; private set; }

    /// <summary>Whether the arena was disposed.</summary>
    internal bool IsDisposed => isDisposed;

    /// <summary>
    /// How often everything was taken back: what was handed out before is no tensor's any more.
    /// </summary>
    internal int Generation { get; private set; }

    /// <summary>
    /// The user of the arena at present; a second one would overwrite the first one's tensors.
    /// </summary>
    internal object? Owner { get; set; }

    /// <summary>
    /// A buffer of the given number of elements, 256-byte aligned, contents undefined, valid until the arena
    /// is rewound.
    /// </summary>
    public ArrayView<T> Allocate<T>(long length)
        where T : unmanaged
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, long.MaxValue / 2 / Interop.SizeOf<T>());
        using CallerGate.Pass pass = Context.Enter("Arena.Allocate", in isDisposed);
        long bytes = length * Interop.SizeOf<T>();
        long padded = (bytes + Alignment - 1) / Alignment * Alignment;
        while (block < blocks.Count && offset + padded > blocks[block].Length)
        {
            block++;
            offset = 0;
        }

        if (block == blocks.Count)
        {
            AddBlock(Math.Max(padded, SmallestBlock));
            offset = 0;
        }

        ArrayView<byte> view = blocks[block].View.SubView(offset, bytes);
        offset += padded;
        MostBytes = Math.Max(MostBytes, blocks.Take(block).Sum(b => b.Length) + offset);
        return view.Cast<T>();
    }

    /// <summary>
    /// Makes sure that the given bytes lie in one piece, so that buffers which are taken back and handed out
    /// again in other sizes fit without gaps. Everything handed out before is given up.
    /// </summary>
    public void Reserve(long bytes)
    {
        using CallerGate.Pass pass = Context.Enter("Arena.Reserve", in isDisposed);
        Reset();
        if (blocks.Count > 0 && blocks[0].Length >= bytes)
            return;
        Release();
        AddBlock(bytes);
    }

    /// <summary>The current position, for <see cref="Rewind"/>.</summary>
    public (int Block, long Offset) Mark() => (block, offset);

    /// <summary>
    /// Takes back everything handed out since a mark. Nobody may read it afterwards, which is not watched.
    /// </summary>
    public void Rewind((int Block, long Offset) mark) => (block, offset) = mark;

    /// <summary>Takes back everything.</summary>
    public void Reset()
    {
        Generation++;
        Rewind((0, 0));
    }

    /// <summary>
    /// Gives the memory back to the device; the next use takes it anew. Waits for a call that another thread
    /// has in progress.
    /// </summary>
    public void Release()
    {
        using CallerGate.Pass pass = Context.EnterToDispose();
        DeviceAddresses.Change(Context.Accelerator);
        foreach (Block held in blocks)
            held.Memory.Dispose();
        blocks.Clear();
        Reset();
    }

    /// <summary>Frees the memory. Waits for a call that another thread has in progress.</summary>
    public void Dispose()
    {
        using CallerGate.Pass pass = Context.EnterToDispose();
        isDisposed = true;
        Release();
    }

    private unsafe void AddBlock(long bytes)
    {
        Block added = new(AllocateMemory(bytes));
        if (hugePages && added.Memory is AlignedHostBuffer)
            HostMemory.AdviseHugePages(added.View.Pointer(), added.Length);
        blocks.Add(added);
    }

    // GPUs align their memory themselves.
    private MemoryBuffer AllocateMemory(long bytes)
    {
        try
        {
            Allocations++;
            if (CapacityBytes + bytes > Context.MemoryLimitBytes)
                throw new InsufficientMemoryException();
            return Context.Accelerator is CPUAccelerator cpu ? new AlignedHostBuffer(cpu, bytes, Alignment)
                : Context.Accelerator.Allocate1D<byte>(bytes);
        }
        catch (Exception e) when (e is AcceleratorException or OutOfMemoryException)
        {
            throw new InputException(
                $"device memory: {bytes >> 20} MiB more were needed beside {CapacityBytes >> 20} MiB already held, and "
                + $"{Context.Description} does not have them. End other programs that use it, or take another device.", e);
        }
    }

    private readonly struct Block
    {
        public Block(MemoryBuffer memory)
        {
            Memory = memory;
            View = memory.AsArrayView<byte>(0, memory.LengthInBytes);
        }

        public MemoryBuffer Memory { get; }

        public ArrayView<byte> View { get; }

        public long Length => View.Length;
    }
}
