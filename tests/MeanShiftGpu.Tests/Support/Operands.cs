using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;

namespace MeanShiftGpu.Tests.Support;

/// <summary>
/// Where the operands and extents of a launcher's call come from. <see cref="LauncherCalls"/> asks for what
/// is right; this class gives it, others give memory between guard pages, a view that is too short, or
/// nonsense.
/// </summary>
public class Operands(GpuContext context) : IDisposable
{
    private readonly List<IDisposable> buffers = [];

    /// <summary>The device.</summary>
    public GpuContext Context { get; } = context;

    /// <summary>The stream to launch on.</summary>
    public AcceleratorStream Stream => Context.Stream;

    /// <summary>The operands asked for so far, and their lengths.</summary>
    public List<(string Name, long Length)> Asked { get; } = [];

    /// <summary>A whole number: an extent, a pitch, a number of channels.</summary>
    public virtual int N(int right) => right;

    /// <summary>A real number: a bandwidth, a radius.</summary>
    public virtual double X(double right) => right;

    /// <summary>A view of so many numbers in [0, 1).</summary>
    public ArrayView<T> View<T>(string name, long length)
        where T : unmanaged
    {
        Asked.Add((name, length));
        ArrayView<T> view = Memory<T>(name, length);
        Random random = new(Asked.Count);
        Fill(view, random);
        return view;
    }

    /// <summary>A view of the given whole numbers.</summary>
    public ArrayView<int> Integers(string name, params int[] right)
    {
        Asked.Add((name, right.Length));
        ArrayView<int> view = Memory<int>(name, right.Length);
        int[] values = new int[view.Length];
        for (int i = 0; i < values.Length; i++)
            values[i] = N(right[Math.Min(i, right.Length - 1)]);
        if (values.Length > 0)
            view.CopyFromCPU(values);
        return view;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IDisposable buffer in buffers)
            buffer.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Memory for an operand.</summary>
    protected virtual ArrayView<T> Memory<T>(string name, long length)
        where T : unmanaged
    {
        if (length == 0)
            return default;
        MemoryBuffer1D<T, Stride1D.Dense> buffer = Kept(Context.Accelerator.Allocate1D<T>(length));
        return buffer.View.AsContiguous();
    }

    /// <summary>What an operand holds at first.</summary>
    protected virtual float Value(Random values) => values.NextSingle();

    /// <summary>Disposes a buffer with this object.</summary>
    protected TBuffer Kept<TBuffer>(TBuffer buffer)
        where TBuffer : IDisposable
    {
        buffers.Add(buffer);
        return buffer;
    }

    private void Fill<T>(ArrayView<T> view, Random random)
        where T : unmanaged
    {
        if (view.Length == 0)
            return;
        T[] values = new T[view.Length];
        if (values is float[] singles)
        {
            for (int i = 0; i < singles.Length; i++)
                singles[i] = Value(random);
        }
        else if (values is double[] doubles)
        {
            for (int i = 0; i < doubles.Length; i++)
                doubles[i] = Value(random);
        }

        view.CopyFromCPU(values);
    }
}
