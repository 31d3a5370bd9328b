using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops;

/// <summary>
/// An operation without a tape, for programs with a network of their own: what all of them have in common.
/// One thread at a time calls it.
/// </summary>
/// <typeparam name="T">float or double.</typeparam>
/// <typeparam name="TShape">The operation's shape.</typeparam>
public abstract class TapelessOperation<T, TShape> : IDisposable
    where T : unmanaged, INumber<T>
    where TShape : struct, IEquatable<TShape>
{
    private readonly string name;
    private readonly INamedVariants<TShape> variants;
    private bool disposed;

    private protected TapelessOperation(GpuContext context, string name, int operands, INamedVariants<TShape> variants)
    {
        ArgumentNullException.ThrowIfNull(context);
        Context = context;
        this.name = name;
        this.variants = variants;
        Copies = new HostCopies<T>(context, name, operands);
    }

    /// <summary>Bytes of device memory held for the calls with spans.</summary>
    public virtual long Bytes => Copies.Bytes;

    /// <summary>The device.</summary>
    private protected GpuContext Context { get; }

    /// <summary>The device's copies of the operands of calls with spans.</summary>
    private protected HostCopies<T> Copies { get; }

    /// <summary>The name of the variant that computes a shape here.</summary>
    /// <exception cref="InputException">The named variant cannot.</exception>
    public string VariantFor(TShape shape) => variants.NameFor(shape);

    /// <summary>
    /// The names of all variants that can compute a shape on this device, in the table's order; the last is
    /// the plain one. <see cref="VariantFor"/> passes over those that a later one is faster than here.
    /// </summary>
    public IReadOnlyList<string> VariantsFor(TShape shape) => variants.NamesFor(shape);

    /// <summary>
    /// Does every pass of a size once, on zeros, which compiles the kernels and takes the memory that calls
    /// with spans hold, so that those that follow take no longer than the last. Waits.
    /// </summary>
    /// <param name="shape">Extents and channels, without slices of wider tensors.</param>
    public abstract void Prepare(TShape shape);

    /// <summary>
    /// Frees the memory that calls with spans hold. Waits for a call that another thread has in progress.
    /// </summary>
    public virtual void Dispose()
    {
        using CallerGate.Pass pass = Context.EnterToDispose();
        disposed = true;
        Copies.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Begins a call; the caller disposes the result on the same thread.</summary>
    private protected CallerGate.Pass Enter()
    {
        return Context.Enter(name, in disposed);
    }

    /// <summary>
    /// Refuses a written view that shares elements with one that the call reads or writes, too: other threads
    /// read what would be overwritten. Slices of the channels of one tensor may lie between each other.
    /// </summary>
    private protected void RequireApart(VoxelView<T> written, params ReadOnlySpan<VoxelView<T>> others)
    {
        foreach (VoxelView<T> other in others)
        {
            if (written.Overlaps(other))
                throw new ArgumentException(
                    $"{name}: {written.Name} overlaps {other.Name}, which the call uses. Give a view of other memory.",
                    written.Name);
        }
    }

    /// <summary>Refuses a shape whose tensors are slices of wider ones, which spans are not.</summary>
    private protected void RequireDense(bool isDense, TShape shape)
    {
        if (!isDense)
            throw new ArgumentException(
                $"{name}: the shape is {shape}, expected pitches equal to the channels. "
                    + "Give device views for slices of channels.",
                nameof(shape));
    }
}
