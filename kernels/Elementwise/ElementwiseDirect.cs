using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>The plain elementwise arithmetic: one thread per element, any accelerator. The truth for the others.</summary>
/// <remarks>Budget: kernels/README.md.</remarks>
public sealed class ElementwiseDirect<T, TReal> : IElementwise<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<Plain<T>>, ArrayView<Plain<T>>, ElementwiseShape> add;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ElementwiseShape> mask;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, T> fill;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, T, ArrayView<T>, int> weightedAdd;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public ElementwiseDirect(Accelerator accelerator)
    {
        add = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<Plain<T>>, ArrayView<Plain<T>>, ElementwiseShape>(AddKernel);
        mask = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ElementwiseShape>(MaskKernel);
        fill = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<T>, T>(FillKernel);
        weightedAdd = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<T>, T, ArrayView<T>, int>(WeightedAddKernel);
    }

    /// <inheritdoc/>
    public void Add(AcceleratorStream stream, ArrayView<T> source, ArrayView<T> target, ElementwiseShape shape)
        => add(stream, LaunchExtent.Of(shape.Voxels * shape.Channels), source.Cast<Plain<T>>(), target.Cast<Plain<T>>(), shape);

    /// <inheritdoc/>
    public void Mask(AcceleratorStream stream, ArrayView<T> source, ArrayView<T> weight, ArrayView<T> target, ElementwiseShape shape)
        => mask(stream, LaunchExtent.Of(shape.Voxels * shape.Channels), source, weight, target, shape);

    /// <inheritdoc/>
    public void Fill(AcceleratorStream stream, ArrayView<T> target, T value)
        => fill(stream, LaunchExtent.Of(target.Length), target, value);

    /// <inheritdoc/>
    public void WeightedAdd(AcceleratorStream stream, ArrayView<T> term, T weight, ArrayView<T> total, int accumulate)
        => weightedAdd(stream, LaunchExtent.Of(total.Length), term, weight, total, accumulate);

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // target[v,c] += source[v,c].
    // One thread per (voxel, channel), channels fastest; accumulates one element of target, which is rounded once where it is stored as BF16.
    [Kernel]
    internal static void AddKernel<TStored>(
        Index1D index,
        ArrayView<TStored> source, // [voxels, channels], pitch SourcePitch
        ArrayView<TStored> target, // [voxels, channels], pitch TargetPitch
        ElementwiseShape shape)
        where TStored : unmanaged, IStored<TStored, T>
    {
        long voxel = index.X / shape.Channels;
        int channel = index.X % shape.Channels;
        ref TStored sum = ref target[voxel * shape.TargetPitch + channel];
        sum = TStored.Store(TStored.Load(sum) + TStored.Load(source[voxel * shape.SourcePitch + channel]));
    }

    // target[v,c] = weight[v]·source[v,c].
    // One thread per (voxel, channel), channels fastest; overwrites one element of target.
    [Kernel]
    internal static void MaskKernel(
        Index1D index,
        ArrayView<T> source, // [voxels, channels], pitch SourcePitch
        ArrayView<T> weight, // [voxels]
        ArrayView<T> target, // [voxels, channels], pitch TargetPitch
        ElementwiseShape shape)
    {
        long voxel = index.X / shape.Channels;
        int channel = index.X % shape.Channels;
        target[voxel * shape.TargetPitch + channel] = weight[voxel] * source[voxel * shape.SourcePitch + channel];
    }

    // target[i] = value.
    // One thread per element; target overwritten.
    [Kernel]
    internal static void FillKernel(
        Index1D index,
        ArrayView<T> target, // [n]
        T value)
        => target[index] = value;

    // total[i] = weight·term[i], plus what is there with accumulate.
    // One thread per element; total overwritten or accumulated.
    [Kernel]
    internal static void WeightedAddKernel(
        Index1D index,
        ArrayView<T> term, // [n]
        T weight,
        ArrayView<T> total, // [n]
        int accumulate)
    {
        T value = weight * term[index];
        // A plain overwrite must not let a NaN of recycled memory through, so it reads nothing.
        if (accumulate != 0)
            value += total[index];
        total[index] = value;
    }
}
