using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Autograd;

/// <summary>
/// Records the operations of a forward pass and replays their backward passes in reverse. One tape serves one
/// step: it is begun on an arena, from which all its tensors come, and disposed at the step's end.
/// </summary>
/// <remarks>
/// Contract of backward passes: parameter gradients accumulate, input gradients overwrite; where a tensor was
/// used more than once the tape adds. It fails loudly where a gradient would be wrong: a second backward
/// pass, a tensor or parameter that was overwritten while the backward pass still needs it, a second tape on
/// the same arena.
/// </remarks>
public sealed class Tape<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    private readonly List<Entry> entries = [];
    private readonly bool recording;
    private bool backwardDone;
    private bool disposed;

    private Tape(Arena arena, bool recording)
    {
        Arena = arena;
        this.recording = recording;
    }

    /// <summary>The device.</summary>
    public GpuContext Context => Arena.Context;

    /// <summary>The memory of this tape's tensors.</summary>
    public Arena Arena { get; }

    private IElementwise<T, T> Elementwise => Context.Launcher(ElementwiseVariants<T, T>.Table, default(ElementwiseShape));

    /// <summary>Begins a tape; the arena's earlier contents are given up.</summary>
    /// <param name="arena">The memory; one tape at a time.</param>
    /// <param name="inference">True to record nothing: forward passes only.</param>
    /// <exception cref="InvalidOperationException">Another tape is in use on this arena.</exception>
    public static Tape<T> Begin(Arena arena, bool inference = false)
    {
        ArgumentNullException.ThrowIfNull(arena);
        using CallerGate.Pass pass = arena.Context.Enter("Tape.Begin");
        if (arena.Owner is not null)
            throw new InvalidOperationException(
                "Another tape is in use on this arena; dispose it first, or give each its own arena.");
        arena.Reset();
        Tape<T> tape = new(arena, !inference);
        arena.Owner = tape;
        return tape;
    }

    /// <summary>
    /// A new tensor, contents undefined; the operation that writes it decides whether it requires a gradient.
    /// </summary>
    /// <remarks>It can be read until the next tape begins on the arena, and not after.</remarks>
    public Tensor<T> Allocate(TensorShape shape)
    {
        ThrowIfEnded("Allocate");
        ArrayView<byte> memory = Arena.Allocate<T>(shape.CheckedLength).Cast<byte>();
        return new Tensor<T>(new TensorStorage<T>(memory, shape, isBf16: false, Arena), 0, shape.Channels);
    }

    /// <summary>A new tensor that is stored as BF16, its voxels padded to a multiple of 16 bytes.</summary>
    /// <exception cref="InvalidOperationException">The tape is not of float32, beside which alone there are
    /// BF16 activations.</exception>
    public Tensor<T> AllocateBf16(TensorShape shape)
    {
        ThrowIfEnded("Allocate");
        if (typeof(T) != typeof(float))
            throw new InvalidOperationException("BF16 activations are those of a float32 tape; this one is of "
                + $"{typeof(T).Name}.");
        TensorShape stored = shape with { Channels = Bf16.Padded(shape.Channels) };
        ArrayView<byte> memory = Arena.Allocate<byte>(stored.CheckedLength * Interop.SizeOf<Bf16>());
        return new Tensor<T>(new TensorStorage<T>(memory, stored, isBf16: true, Arena), 0, shape.Channels);
    }

    /// <summary>A new tensor that is stored as another is.</summary>
    /// <exception cref="ArgumentNullException">The other is null.</exception>
    public Tensor<T> AllocateLike(Tensor<T> other, TensorShape shape)
    {
        ArgumentNullException.ThrowIfNull(other);
        return other.IsBf16 ? AllocateBf16(shape) : Allocate(shape);
    }

    /// <summary>Copies numbers from the host into a new tensor.</summary>
    /// <param name="values">[N, D, H, W, C].</param>
    /// <param name="shape">The extents.</param>
    /// <param name="requiresGradient">Whether the backward pass shall compute its gradient.</param>
    public Tensor<T> Upload(ReadOnlySpan<T> values, TensorShape shape, bool requiresGradient = false)
    {
        if (values.Length != shape.CheckedLength)
            throw new ArgumentException(
                $"{values.Length} values do not fill a tensor {shape}, which has {shape.Length}.", nameof(values));
        using CallerGate.Pass pass = Context.Enter("Tape.Upload");
        Tensor<T> uploaded = Allocate(shape);
        uploaded.Storage.RequiresGradient = requiresGradient;
        uploaded.View.CopyFromCPU(Context.Stream, values);
        return uploaded;
    }

    /// <summary>
    /// Records an operation that has been launched. <paramref name="backward"/> reads the output's gradient
    /// through <see cref="Gradient"/> and writes those of its inputs through <see cref="WriteGradient"/>.
    /// </summary>
    /// <param name="operation">Its name, for messages.</param>
    /// <param name="output">What it wrote.</param>
    /// <param name="inputs">What it read and differentiates with respect to.</param>
    /// <param name="parameters">The trainable numbers that it read.</param>
    /// <param name="needed">The tensors whose contents the backward pass reads.</param>
    /// <param name="backward">The backward pass.</param>
    /// <exception cref="ArgumentNullException">The name, the output or the backward pass is null.</exception>
    /// <exception cref="ArgumentException">An input, a parameter or a needed tensor is null.</exception>
    /// <exception cref="InvalidOperationException">The tape has run backward already, or an input that
    /// requires a gradient is of another tape.</exception>
    public void Record(
        string operation,
        Tensor<T> output,
        ReadOnlySpan<Tensor<T>> inputs,
        ReadOnlySpan<Parameter<T>> parameters,
        ReadOnlySpan<Tensor<T>> needed,
        Action backward)
    {
        ArgumentNullException.ThrowIfNull(operation);
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(backward);
        RequireNoNull(operation, inputs, nameof(inputs));
        RequireNoNull(operation, parameters, nameof(parameters));
        RequireNoNull(operation, needed, nameof(needed));
        ThrowIfEnded(operation);
        if (backwardDone)
            throw new InvalidOperationException($"{operation}: this tape has run backward already; begin a new one.");
        output.Storage.CountWrite(output.ChannelOffset, output.Shape.Channels);
        if (!recording)
            return;
        bool requiresGradient = parameters.Length > 0;
        foreach (Tensor<T> input in inputs)
        {
            requiresGradient |= input.RequiresGradient;
            if (input.RequiresGradient && input.Storage.Arena is { } arena && arena != Arena)
                throw new InvalidOperationException($"{operation}: a tensor {input.Shape} that requires a gradient is of another "
                    + "tape, whose backward pass alone reaches it. Upload it to this tape, or compute it on this one.");
        }

        if (!requiresGradient)
            return;
        output.Storage.RequiresGradient = true;
        // Its own output too: over one that another operation wrote since, the gradient is not this one's.
        entries.Add(new Entry(
            operation, output, backward, [.. Remember(needed), (output, VersionOf(output))], Remember(parameters)));
    }

    /// <summary>
    /// Runs all backward passes from a scalar. Gradients of parameters are added to what is there.
    /// </summary>
    /// <exception cref="InvalidOperationException">Called twice; not a scalar; or something the pass needs
    /// was overwritten.</exception>
    public void Backward(Tensor<T> loss)
    {
        ArgumentNullException.ThrowIfNull(loss);

        if (loss.Shape != TensorShape.Scalar)
            throw new InvalidOperationException($"Backward: expects a scalar loss {TensorShape.Scalar}, got {loss.Shape}.");
        Backward(loss, gradient => Elementwise.Fill(Context.Stream, gradient, T.One));
    }

    /// <summary>Runs all backward passes from a tensor with a given upstream gradient.</summary>
    /// <param name="output">A whole tensor, not a slice.</param>
    /// <param name="upstream">Its gradient, [N, D, H, W, C].</param>
    /// <exception cref="ArgumentException">The tensor is a slice, or the gradient has another
    /// length.</exception>
    /// <exception cref="InvalidOperationException">Called twice, or something the pass needs was
    /// overwritten.</exception>
    public void Backward(Tensor<T> output, T[] upstream)
    {
        ArgumentNullException.ThrowIfNull(upstream);
        RequireWhole(output, upstream.Length);
        Backward(output, gradient => gradient.CopyFromCPU(Context.Stream, upstream));
    }

    /// <summary>
    /// The same with an upstream gradient on the device, as another loss wrote it; queues a copy and does not
    /// wait.
    /// </summary>
    /// <param name="output">A whole tensor, not a slice.</param>
    /// <param name="upstream">Its gradient, [N, D, H, W, C].</param>
    /// <exception cref="ArgumentException">The tensor is a slice, or the gradient has another length or lies
    /// elsewhere.</exception>
    /// <exception cref="InvalidOperationException">Called twice, or something the pass needs was
    /// overwritten.</exception>
    public void Backward(Tensor<T> output, ArrayView<T> upstream)
    {
        RequireWhole(output, upstream.Length);
        using (Launch launch = Launch.Begin(Context.Stream, "Backward"))
            launch.Require(upstream, upstream.Length, nameof(upstream));
        Backward(output, gradient => upstream.CopyTo(Context.Stream, gradient));
    }

    /// <summary>
    /// The gradient that has arrived at an operation's output, laid out like its
    /// <see cref="Tensor{T}.View"/>.
    /// </summary>
    /// <exception cref="ArgumentNullException">The output is null.</exception>
    public ArrayView<T> Gradient(Tensor<T> output) => GradientAs<T>(output);

    /// <summary>
    /// The gradient that has arrived at an operation's output, as it is stored: T or <see cref="Bf16"/>.
    /// </summary>
    /// <exception cref="ArgumentNullException">The output is null.</exception>
    public ArrayView<TElement> GradientAs<TElement>(Tensor<T> output)
        where TElement : unmanaged
    {
        ArgumentNullException.ThrowIfNull(output);
        return output.GradientAs<TElement>();
    }

    /// <summary>Adds an operation's contribution to a tensor's gradient.</summary>
    /// <param name="tensor">An input of the operation. Nothing happens if it does not require a
    /// gradient.</param>
    /// <param name="write">Overwrites a view that is laid out like the tensor.</param>
    /// <param name="add">Adds to such a view instead; if null and a gradient is there already, the tape
    /// writes aside and adds.</param>
    /// <exception cref="ArgumentNullException">The tensor, or what writes, is null.</exception>
    public void WriteGradient(Tensor<T> tensor, Action<ArrayView<T>> write, Action<ArrayView<T>>? add = null)
        => WriteGradient<T>(tensor, write, add);

    /// <summary>
    /// As <see cref="WriteGradient(Tensor{T}, Action{ArrayView{T}}, Action{ArrayView{T}}?)"/>, for a tensor
    /// that may be stored as BF16.
    /// </summary>
    /// <typeparam name="TElement">As what the tensor is stored.</typeparam>
    /// <exception cref="ArgumentNullException">The tensor, or what writes, is null.</exception>
    public void WriteGradient<TElement>(
        Tensor<T> tensor, Action<ArrayView<TElement>> write, Action<ArrayView<TElement>>? add = null)
        where TElement : unmanaged
    {
        ArgumentNullException.ThrowIfNull(tensor);
        ArgumentNullException.ThrowIfNull(write);
        TensorStorage<T> storage = tensor.Storage;
        if (!storage.RequiresGradient)
            return;
        if (!storage.HasGradient)
        {
            ArrayView<byte> memory = Arena.Allocate<byte>(storage.Shape.Length * storage.ElementBytes);
            storage.GiveGradient(memory, Arena);
            // The other channels of a wider tensor may get theirs later, or never.
            if (!tensor.IsWhole)
                memory.MemSetToZero(Context.Stream);
            write(tensor.GradientAs<TElement>());
        }
        else if (add is not null)
        {
            add(tensor.GradientAs<TElement>());
        }
        else
        {
            (int, long) mark = Arena.Mark();
            ArrayView<byte> aside = Arena.Allocate<byte>(storage.Shape.Length * storage.ElementBytes);
            write(tensor.FromChannel(storage.As<TElement>(aside)));
            ElementwiseShape shape = new(tensor.Shape.Voxels, tensor.Shape.Channels, tensor.Pitch, tensor.Pitch);
            if (tensor.IsBf16)
                Context.Launcher(ElementwiseVariants<Bf16, float>.Table, shape).Add(
                    Context.Stream, tensor.FromChannel(aside.Cast<Bf16>()), tensor.GradientAs<Bf16>(), shape);
            else
                Elementwise.Add(Context.Stream, tensor.FromChannel(aside.Cast<T>()), tensor.GradientAs<T>(), shape);
            Arena.Rewind(mark);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        using CallerGate.Pass pass = Context.EnterToDispose();
        if (disposed)
            return;
        disposed = true;
        entries.Clear();
        Arena.Owner = null;
    }

    private static void RequireNoNull<TItem>(string operation, ReadOnlySpan<TItem> items, string name)
        where TItem : class
    {
        for (int i = 0; i < items.Length; i++)
        {
            if (items[i] is null)
                throw new ArgumentException($"{operation}: {name}[{i}] is null, expected none that is.", name);
        }
    }

    private static void RequireWhole(Tensor<T> output, long upstream)
    {
        ArgumentNullException.ThrowIfNull(output);
        if (!output.IsWhole || upstream != output.Shape.Length)
            throw new ArgumentException($"Backward: expects a whole tensor and a gradient of its size; got {output.Shape} and "
                + $"{upstream} numbers.", nameof(upstream));
    }

    private void ThrowIfEnded(string operation)
    {
        if (disposed)
            throw new ObjectDisposedException(nameof(Tape<>), $"{operation}: this tape was disposed, expected one in use. Begin "
                + "a new one.");
    }

    private void Backward(Tensor<T> output, Action<ArrayView<T>> writeUpstream)
    {
        ThrowIfEnded("Backward");
        using CallerGate.Pass pass = Context.Enter("Backward");
        if (!recording)
            throw new InvalidOperationException("Backward: this tape was begun for inference and recorded nothing.");
        if (backwardDone)
            throw new InvalidOperationException(
                "Backward: called twice on one tape; its gradients would be added a second time.");
        if (!output.RequiresGradient)
            throw new InvalidOperationException("Backward: nothing that this tensor was computed from requires a gradient.");
        backwardDone = true;

        WriteGradient(output, writeUpstream);
        for (int i = entries.Count - 1; i >= 0; i--)
        {
            Entry entry = entries[i];
            // An output that nothing used has no gradient to hand on.
            if (!entry.Output.Storage.HasGradient)
                continue;
            entry.CheckUnchanged();
            entry.Backward();
        }
    }

    private static (Tensor<T> Tensor, int Version)[] Remember(ReadOnlySpan<Tensor<T>> tensors)
    {
        (Tensor<T>, int)[] remembered = new (Tensor<T>, int)[tensors.Length];
        for (int i = 0; i < remembered.Length; i++)
            remembered[i] = (tensors[i], VersionOf(tensors[i]));
        return remembered;
    }

    private static (Parameter<T> Parameter, int Version)[] Remember(ReadOnlySpan<Parameter<T>> parameters)
    {
        (Parameter<T>, int)[] remembered = new (Parameter<T>, int)[parameters.Length];
        for (int i = 0; i < remembered.Length; i++)
            remembered[i] = (parameters[i], parameters[i].Owner.Version);
        return remembered;
    }

    private static int VersionOf(Tensor<T> tensor) => tensor.Storage.Version(tensor.ChannelOffset, tensor.Shape.Channels);

    private sealed record Entry(
        string Operation,
        Tensor<T> Output,
        Action Backward,
        (Tensor<T> Tensor, int Version)[] Tensors,
        (Parameter<T> Parameter, int Version)[] Parameters)
    {
        public void CheckUnchanged()
        {
            foreach ((Tensor<T> tensor, int version) in Tensors)
            {
                if (VersionOf(tensor) != version)
                    throw new InvalidOperationException($"{Operation}: a tensor {tensor.Shape} was overwritten after the "
                        + "operation used it; its gradient would be wrong.");
            }

            foreach ((Parameter<T> parameter, int version) in Parameters)
            {
                if (parameter.Owner.Version != version)
                    throw new InvalidOperationException($"{Operation}: parameter {parameter.Name} was changed between the "
                        + "forward and the backward pass; its gradient would be wrong.");
            }
        }
    }
}
