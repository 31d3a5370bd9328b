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
    internal Parameter(
        ParameterSet<T> owner,
        string name,
        ParameterLayout layout,
        int kernelSize,
        int inputChannels,
        int outputChannels,
        long offset)
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
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">There are not as many numbers as the parameter has.</exception>
    public void Upload(GpuContext context, T[] values)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(values);
        if (values.Length != Length)
            throw new ArgumentException($"{Name} has {Length} numbers, got {values.Length}.", nameof(values));
        using CallerGate.Pass pass = Owner.Enter("Parameter.Upload");
        Value.CopyFromCPU(context.Stream, values);
        Owner.MarkChanged();
    }

    /// <summary>Copies the numbers to the host, in this library's order. Waits for the stream.</summary>
    /// <exception cref="ArgumentNullException">The context is null.</exception>
    public T[] Download(GpuContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        using CallerGate.Pass pass = Owner.Enter("Parameter.Download");
        T[] values = new T[Length];
        Value.CopyToCPU(context.Stream, values);
        context.Synchronize();
        return values;
    }

    internal ParameterSet<T> Owner { get; }

    internal long Offset { get; }

    private WeightOrder Order => new(Layout, KernelSize, InputChannels, OutputChannels);

    /// <summary>Numbers in this library's order, put into a file's order.</summary>
    public TValue[] ToFileOrder<TValue>(ReadOnlySpan<TValue> values) => Order.To(values);

    internal void ToFileOrder<TValue>(ReadOnlySpan<TValue> values, Span<TValue> result) => Order.To(values, result);

    /// <summary>Numbers in a file's order, put into this library's order.</summary>
    public TValue[] FromFileOrder<TValue>(ReadOnlySpan<TValue> values) => Order.From(values);
}

/// <summary>
/// All parameters of a network in one buffer, and their gradients in another, so that an optimiser step is
/// one launch. A network of one's own adds its layers, then allocates: <see cref="AddConvolution"/>,
/// <see cref="Allocate(GpuContext, int)"/>.
/// </summary>
public sealed class ParameterSet<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    private readonly List<Parameter<T>> parameters = [];
    private MemoryBuffer1D<T, Stride1D.Dense>? values;
    private MemoryBuffer1D<T, Stride1D.Dense>? gradients;
    private GpuContext? device;
    private long length;

    /// <summary>The parameters, in the order in which they were added.</summary>
    public IReadOnlyList<Parameter<T>> Parameters => parameters;

    /// <summary>Number of trainable numbers.</summary>
    public long Count => parameters.Sum(p => p.Length);

    /// <summary>All numbers, with gaps of zeros between parameters.</summary>
    public ArrayView<T> Values => values is null ? throw NotAllocated() : InUse(values).View.AsContiguous();

    /// <summary>All gradients, laid out like <see cref="Values"/>.</summary>
    public ArrayView<T> Gradients => gradients is null ? throw NotAllocated() : InUse(gradients).View.AsContiguous();

    /// <summary>
    /// How often the numbers were changed; a tape refuses to run backward over changed numbers.
    /// </summary>
    internal int Version { get; private set; }

    /// <summary>Says that the numbers were changed.</summary>
    public void MarkChanged() => Version++;

    /// <summary>Sets all gradients to zero.</summary>
    /// <exception cref="ArgumentNullException">The context is null.</exception>
    public void ZeroGradients(GpuContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        using CallerGate.Pass pass = Enter("ParameterSet.ZeroGradients");
        Gradients.MemSetToZero(context.Stream);
    }

    /// <summary>Begins a call on the numbers, of one thread at a time; the caller disposes the
    /// result.</summary>
    internal CallerGate.Pass Enter(string operation) => (device ?? throw NotAllocated()).Enter(operation);

    /// <summary>Frees the memory. Waits for a call that another thread has in progress.</summary>
    public void Dispose()
    {
        if (device is null)
            return;
        using CallerGate.Pass pass = device.EnterToDispose();
        values?.Dispose();
        gradients?.Dispose();
    }

    /// <summary>
    /// Adds the weight and the bias of a convolution, of kernel 3³ or 1³, or of a head (1³).
    /// </summary>
    /// <param name="name">The layer; its parameters are called name.weight and name.bias.</param>
    /// <param name="inputChannels">Cin.</param>
    /// <param name="outputChannels">Cout.</param>
    /// <param name="kernelSize">Edge of the kernel: 1 or 3.</param>
    /// <returns>The weight [k, k, k, Cin, Cout] and the bias [Cout].</returns>
    /// <exception cref="ArgumentNullException">The name is null.</exception>
    /// <exception cref="ArgumentException">The name is empty or another parameter's, or a number makes no
    /// sense.</exception>
    /// <exception cref="InvalidOperationException">The set is allocated already.</exception>
    public (Parameter<T> Weight, Parameter<T> Bias) AddConvolution(
        string name, int inputChannels, int outputChannels, int kernelSize = 3)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (kernelSize is not (1 or 3))
            throw new ArgumentOutOfRangeException(
                nameof(kernelSize), kernelSize, $"{name}: the kernel's edge is {kernelSize}, expected 1 or 3.");
        return AddLayer(name, ParameterLayout.ConvolutionWeight, kernelSize, inputChannels, outputChannels);
    }

    /// <summary>
    /// Adds the weight and the bias of a transposed convolution, of kernel 2³ and stride 2.
    /// </summary>
    /// <param name="name">The layer; its parameters are called name.weight and name.bias.</param>
    /// <param name="inputChannels">Cin.</param>
    /// <param name="outputChannels">Cout.</param>
    /// <returns>The weight [2, 2, 2, Cin, Cout] and the bias [Cout].</returns>
    /// <exception cref="ArgumentNullException">The name is null.</exception>
    /// <exception cref="ArgumentException">The name is empty or another parameter's, or a number makes no
    /// sense.</exception>
    /// <exception cref="InvalidOperationException">The set is allocated already.</exception>
    public (Parameter<T> Weight, Parameter<T> Bias) AddTransposedConvolution(string name, int inputChannels, int outputChannels)
        => AddLayer(name, ParameterLayout.TransposedConvolutionWeight, 2, inputChannels, outputChannels);

    /// <summary>
    /// Takes device memory for all parameters and their gradients, all zero. The set takes no further
    /// parameter then.
    /// </summary>
    /// <param name="context">The device; it must outlive the set.</param>
    /// <exception cref="InvalidOperationException">The set has no parameter, or is allocated
    /// already.</exception>
    public void Allocate(GpuContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        RequireNotAllocated("Allocate");
        if (parameters.Count == 0)
            throw new InvalidOperationException("Allocate: the set has no parameter. Add the layers first.");
        device = context;
        values = context.Accelerator.Allocate1D<T>(length);
        gradients = context.Accelerator.Allocate1D<T>(length);
        values.MemSetToZero(context.Stream);
        gradients.MemSetToZero(context.Stream);
    }

    /// <summary>
    /// The same with random weights: uniform with mean 0 and variance 2/(fan in), as suits layers with ReLU
    /// (He et al. 2015); biases 0.
    /// </summary>
    /// <param name="context">The device; it must outlive the set.</param>
    /// <param name="seed">The same seed gives the same numbers on every device.</param>
    /// <exception cref="InvalidOperationException">The set has no parameter, or is allocated
    /// already.</exception>
    public void Allocate(GpuContext context, int seed)
    {
        Allocate(context);
        // The algorithm behind a seeded System.Random is fixed.
        Random random = new(seed);
        foreach (Parameter<T> parameter in parameters.Where(p => p.Layout != ParameterLayout.Bias))
        {
            int taps = parameter.Layout == ParameterLayout.TransposedConvolutionWeight
                ? 1
                : parameter.KernelSize * parameter.KernelSize * parameter.KernelSize;
            double bound = Math.Sqrt(6.0 / (taps * parameter.InputChannels));
            T[] numbers = new T[parameter.Length];
            for (int i = 0; i < numbers.Length; i++)
                numbers[i] = T.CreateChecked((float)((random.NextDouble() * 2 - 1) * bound));
            parameter.Upload(context, numbers);
        }
    }

    private (Parameter<T> Weight, Parameter<T> Bias) AddLayer(
        string name, ParameterLayout layout, int kernelSize, int inputChannels, int outputChannels)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return (
            Add($"{name}.weight", layout, kernelSize, inputChannels, outputChannels),
            Add($"{name}.bias", ParameterLayout.Bias, 1, 1, outputChannels));
    }

    internal Parameter<T> Add(string name, ParameterLayout layout, int kernelSize, int inputChannels, int outputChannels)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfLessThan(inputChannels, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(outputChannels, 1);
        RequireNotAllocated(name);
        if (parameters.Any(p => p.Name == name))
            throw new ArgumentException(
                $"{name}: the set has a parameter of this name already. Give each layer a name of its own.", nameof(name));
        Parameter<T> parameter = new(this, name, layout, kernelSize, inputChannels, outputChannels, length);
        parameters.Add(parameter);
        length += ParameterSet.Padded(parameter.Length);
        return parameter;
    }

    private void RequireNotAllocated(string what)
    {
        if (values is not null)
            throw new InvalidOperationException(
                $"{what}: the parameters are allocated already. Add all layers first, then allocate once.");
    }

    private static MemoryBuffer1D<T, Stride1D.Dense> InUse(MemoryBuffer1D<T, Stride1D.Dense> buffer) => !buffer.IsDisposed
        ? buffer
        : throw new ObjectDisposedException(nameof(ParameterSet<>), "The parameters, or the device that held them, were "
            + "disposed. Expected ones in use.");

    private static InvalidOperationException NotAllocated()
        => new("The parameters were not allocated on a device yet. Call Allocate first.");
}

/// <summary>How parameters lie in a <see cref="ParameterSet{T}"/>.</summary>
internal static class ParameterSet
{
    // Each parameter starts at a 256-byte boundary, which ILGPU assumes of views; the gaps stay zero.
    private const int AlignmentElements = 64;

    /// <summary>Elements that a parameter takes with the gap behind it.</summary>
    public static long Padded(long length) => (length + AlignmentElements - 1) / AlignmentElements * AlignmentElements;
}
