using ILGPU.Runtime.CPU;
using ILGPU.Runtime.OpenCL;

namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// One call of a launcher: what it was given is checked before anything is queued, because a kernel that
/// reads or writes behind a view ends the process on the CPU device and damages other tensors on a GPU.
/// Checks take a fixed time, but for offsets, which are as many as items.
/// </summary>
internal readonly ref struct Launch
{
    // More elements than any memory holds; products of it with a pitch do not overflow.
    private const long MostElements = 1L << 56;

    private readonly CallerGate.Pass pass;
    private readonly AcceleratorStream stream;
    private readonly string operation;

    // An OpenCL kernel has one place for its arguments, whichever thread and stream launches it, so that the
    // threads of contexts that share a device take turns.
    private readonly Accelerator? turn;

    private Launch(AcceleratorStream stream, string operation)
    {
        pass = CallerGate.Enter(stream, operation);
        this.stream = stream;
        this.operation = operation;
        turn = stream.Accelerator is CLAccelerator ? stream.Accelerator : null;
        if (turn is not null)
            Monitor.Enter(turn);
    }

    /// <summary>Whether the host can look at what views hold.</summary>
    public bool IsOnHost => stream.Accelerator is CPUAccelerator;

    /// <summary>Begins a call; disposing ends it.</summary>
    /// <param name="stream">The stream to queue on.</param>
    /// <param name="operation">The launcher, for messages: Conv3d.Forward.</param>
    public static Launch Begin(AcceleratorStream stream, string operation) => new(stream, operation);

    /// <summary>Ends the call.</summary>
    public void Dispose()
    {
        if (turn is not null)
            Monitor.Exit(turn);
        pass.Dispose();
    }

    /// <summary>
    /// A view must hold so many elements, on this device, in memory that was not given back.
    /// </summary>
    public void Require<T>(ArrayView<T> view, long length, string name)
        where T : unmanaged
    {
        if (view.Length < length)
            throw new ArgumentException($"{operation}: {name} holds {view.Length} elements, expected {length} or more for this "
                + "shape. Give a longer view, or the shape of what it holds.", name);
        if (view.Length > 0)
            RequireHere(view, name);
    }

    /// <summary>A view must hold exactly so many elements.</summary>
    public void RequireExactly<T>(ArrayView<T> view, long length, string name)
        where T : unmanaged
    {
        if (view.Length != length)
            throw new ArgumentException($"{operation}: {name} holds {view.Length} elements, expected {length}. Give views of "
                + "one length.", name);
        Require(view, length, name);
    }

    /// <summary>
    /// Memory of the caller's for what the launchers of this call need beside their operands.
    /// </summary>
    /// <param name="workspace">Overwritten.</param>
    /// <param name="bytes">What they need.</param>
    public LentMemory.Loan Lend<T>(ArrayView<T> workspace, long bytes)
        where T : unmanaged
    {
        Require(workspace, bytes / Interop.SizeOf<T>(), nameof(workspace));
        // Kernels fetch packed weights four at a time.
        return QuadAccess.Allowed(workspace, channels: 4, pitch: 4) != 0
            ? LentMemory.Lend(stream, workspace.Cast<byte>())
            : throw Refusal(nameof(workspace), "begins at another element of its buffer than a multiple of 4. Give a view that "
                + "begins there.");
    }

    /// <summary>An extent must not be below a least value.</summary>
    public void Least(long value, long least, string name)
    {
        if (value < least)
            throw new ArgumentOutOfRangeException(name, value, $"{operation}: {name} is {value}, expected {least} or more. "
                + "Give the shape of what the views hold.");
    }

    /// <summary>A number must be in a range, which NaN is not.</summary>
    public void Within(double value, double least, double most, string name)
    {
        if (!(value >= least && value <= most))
            throw new ArgumentOutOfRangeException(name, value, $"{operation}: {name} is {value}, expected {least} to {most}. "
                + "Give a value in this range.");
    }

    /// <summary>The product of extents, none of which may be negative.</summary>
    /// <exception cref="ArgumentException">It is more than any memory holds.</exception>
    public long Product(string name, params ReadOnlySpan<long> extents)
    {
        Int128 product = 1;
        foreach (long extent in extents)
        {
            Least(extent, 0, name);
            product = Int128.Min(product * extent, MostElements + 1);
            if (extent == 0)
                return 0;
        }

        if (product > MostElements)
            throw new ArgumentOutOfRangeException(name, $"{operation}: {name} [{string.Join(", ", extents.ToArray())}] has "
                + $"more elements than any memory holds, expected at most {MostElements}. Give the shape of what the views "
                + "hold.");
        return (long)product;
    }

    /// <summary>
    /// A view must hold so many channels-last voxels: all at their pitch, without what follows the last one's
    /// channels.
    /// </summary>
    public void RequireVoxels<T>(ArrayView<T> view, long voxels, int channels, int pitch, string name)
        where T : unmanaged
    {
        // The names are put together only where they are needed: a call that is right allocates nothing.
        if (channels < 1)
            Least(channels, 1, name + " channels");
        if (pitch < channels)
            Least(pitch, channels, name + " pitch");
        Require(view, voxels == 0 ? 0 : Product(name, voxels - 1, pitch) + channels, name);
    }

    /// <summary>A count that kernels number with an int.</summary>
    public void FitsInt(long count, string name)
    {
        if (count > int.MaxValue)
            throw new ArgumentOutOfRangeException(name, count, $"{operation}: {name} are {count}, expected at most "
                + $"{int.MaxValue}. Divide the work into several calls.");
    }

    /// <summary>An argument that does not hold.</summary>
    public ArgumentException Refusal(string name, string seenAndExpected) => new($"{operation}: {name} {seenAndExpected}", name);

    private void RequireHere<TView>(TView view, string name)
        where TView : struct, IArrayView
    {
        MemoryBuffer memory = view.Buffer;
        if (memory.IsDisposed)
            throw new ObjectDisposedException(name, $"{operation}: the memory of {name} was disposed, expected a view of "
                + "memory in use. Dispose buffers after their last use.");
        // Memory of CPU accelerators, the simulated GPU among them, is the host's: each reaches all of it.
        Accelerator here = stream.Accelerator;
        if (memory.Accelerator is { } device && device != here
            && !(device.AcceleratorType == AcceleratorType.CPU && here.AcceleratorType == AcceleratorType.CPU))
            throw new ArgumentException($"{operation}: {name} lies in memory of {device.Name}, expected memory of "
                + $"{here.Name}, whose stream this is. Copy it there.", name);
    }
}
