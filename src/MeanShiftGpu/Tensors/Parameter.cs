using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;

namespace MeanShiftGpu.Tensors;

/// <summary>How a parameter's dimensions are ordered here, which decides how files order them.</summary>
public enum ParameterLayout
{
    /// <summary>[C], the same in files.</summary>
    Bias,

    /// <summary>[kD, kH, kW, Cin, Cout]; files hold [Cout, Cin, kD, kH, kW].</summary>
    ConvolutionWeight,

    /// <summary>[kD, kH, kW, Cin, Cout]; files hold [Cin, Cout, kD, kH, kW].</summary>
    TransposedConvolutionWeight,
}

/// <summary>A named array of trainable numbers with its gradient.</summary>
public sealed class Parameter<T>
    where T : unmanaged, INumber<T>
{
    internal Parameter(ParameterSet<T> owner, string name, ParameterLayout layout, int kernelSize, int inputChannels, int outputChannels, long offset)
    {
        Owner = owner;
        Name = name;
        Layout = layout;
        KernelSize = kernelSize;
        InputChannels = inputChannels;
        OutputChannels = outputChannels;
        Offset = offset;
    }

    /// <summary>The name, as in weight files.</summary>
    public string Name { get; }

    /// <summary>The order of the dimensions.</summary>
    public ParameterLayout Layout { get; }

    /// <summary>Edge of the kernel; 1 for a bias.</summary>
    public int KernelSize { get; }

    /// <summary>Cin; 1 for a bias.</summary>
    public int InputChannels { get; }

    /// <summary>Cout.</summary>
    public int OutputChannels { get; }

    /// <summary>Number of elements.</summary>
    public long Length => (long)KernelSize * KernelSize * KernelSize * InputChannels * OutputChannels;

    /// <summary>The numbers on the device.</summary>
    public ArrayView<T> Value => Owner.Values.SubView(Offset, Length);

    /// <summary>Their gradient; backward passes add to it.</summary>
    public ArrayView<T> Gradient => Owner.Gradients.SubView(Offset, Length);

    /// <summary>The shape in files, see <see cref="Layout"/>.</summary>
    public long[] FileShape => Layout switch
    {
        ParameterLayout.Bias => [OutputChannels],
        ParameterLayout.ConvolutionWeight => [OutputChannels, InputChannels, KernelSize, KernelSize, KernelSize],
        ParameterLayout.TransposedConvolutionWeight => [InputChannels, OutputChannels, KernelSize, KernelSize, KernelSize],
        _ => throw UnknownValue.Of(Layout),
    };

    /// <summary>Sets the numbers.</summary>
    /// <param name="context">The device.</param>
    /// <param name="values">In this library's order.</param>
    public void Upload(GpuContext context, T[] values)
    {
        if (values.Length != Length)
            throw new ArgumentException($"{Name} has {Length} numbers, got {values.Length}.", nameof(values));
        Value.CopyFromCPU(context.Stream, values);
        Owner.MarkChanged();
    }

    /// <summary>Copies the numbers to the host, in this library's order. Waits for the stream.</summary>
    public T[] Download(GpuContext context)
    {
        T[] values = new T[Length];
        Value.CopyToCPU(context.Stream, values);
        context.Synchronize();
        return values;
    }

    internal ParameterSet<T> Owner { get; }

    internal long Offset { get; }

    /// <summary>Numbers in this library's order, put into a file's order.</summary>
    public TValue[] ToFileOrder<TValue>(ReadOnlySpan<TValue> values)
    {
        TValue[] result = new TValue[values.Length];
        ToFileOrder(values, result);
        return result;
    }

    internal void ToFileOrder<TValue>(ReadOnlySpan<TValue> values, Span<TValue> result)
    {
        for (int i = 0; i < values.Length; i++)
            result[FileIndex(i)] = values[i];
    }

    /// <summary>Numbers in a file's order, put into this library's order.</summary>
    public TValue[] FromFileOrder<TValue>(ReadOnlySpan<TValue> values)
    {
        TValue[] result = new TValue[values.Length];
        for (int i = 0; i < result.Length; i++)
            result[i] = values[FileIndex(i)];
        return result;
    }

    private int FileIndex(int index)
    {
        if (Layout == ParameterLayout.Bias)
            return index;
        int o = index % OutputChannels;
        int i = index / OutputChannels % InputChannels;
        int tap = index / (OutputChannels * InputChannels);
        int taps = KernelSize * KernelSize * KernelSize;
        return Layout == ParameterLayout.ConvolutionWeight
            ? (o * InputChannels + i) * taps + tap
            : (i * OutputChannels + o) * taps + tap;
    }
}

/// <summary>
/// All parameters of a network in one buffer, and their gradients in another, so that an optimiser step is one launch.
/// </summary>
public sealed class ParameterSet<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    // Each parameter starts at a 256-byte boundary, which ILGPU assumes of views; the gaps stay zero.
    private const int AlignmentElements = 64;

    private readonly List<Parameter<T>> parameters = [];
    private MemoryBuffer1D<T, Stride1D.Dense>? values;
    private MemoryBuffer1D<T, Stride1D.Dense>? gradients;
    private long length;

    /// <summary>The parameters, in the order in which they were added.</summary>
    public IReadOnlyList<Parameter<T>> Parameters => parameters;

    /// <summary>Number of trainable numbers.</summary>
    public long Count => parameters.Sum(p => p.Length);

    /// <summary>All numbers, with gaps of zeros between parameters.</summary>
    public ArrayView<T> Values => values is null ? throw NotAllocated() : InUse(values).View.AsContiguous();

    /// <summary>All gradients, laid out like <see cref="Values"/>.</summary>
    public ArrayView<T> Gradients => gradients is null ? throw NotAllocated() : InUse(gradients).View.AsContiguous();

    /// <summary>How often the numbers were changed; a tape refuses to run backward over changed numbers.</summary>
    internal int Version { get; private set; }

    /// <summary>Says that the numbers were changed.</summary>
    public void MarkChanged() => Version++;

    /// <summary>Sets all gradients to zero.</summary>
    public void ZeroGradients(GpuContext context) => Gradients.MemSetToZero(context.Stream);

    /// <inheritdoc/>
    public void Dispose()
    {
        values?.Dispose();
        gradients?.Dispose();
    }

    internal Parameter<T> Add(string name, ParameterLayout layout, int kernelSize, int inputChannels, int outputChannels)
    {
        Parameter<T> parameter = new(this, name, layout, kernelSize, inputChannels, outputChannels, length);
        parameters.Add(parameter);
        length += (parameter.Length + AlignmentElements - 1) / AlignmentElements * AlignmentElements;
        return parameter;
    }

    internal void AllocateOn(GpuContext context)
    {
        values = context.Accelerator.Allocate1D<T>(length);
        gradients = context.Accelerator.Allocate1D<T>(length);
        values.MemSetToZero(context.Stream);
        gradients.MemSetToZero(context.Stream);
    }

    private static MemoryBuffer1D<T, Stride1D.Dense> InUse(MemoryBuffer1D<T, Stride1D.Dense> buffer) => !buffer.IsDisposed
        ? buffer
        : throw new ObjectDisposedException(nameof(ParameterSet<>), "The parameters, or the device that held them, were disposed. Expected ones in use.");

    private static InvalidOperationException NotAllocated() => new("The parameters were not allocated on a device yet.");
}
