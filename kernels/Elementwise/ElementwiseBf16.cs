using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>Arithmetic on tensors of BF16: one thread per element, any accelerator.</summary>
/// <remarks>Budget: kernels/README.md.</remarks>
public sealed class ElementwiseBf16 : IElementwiseBf16
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<float>, ArrayView<Bf16>, ElementwiseShape> round;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<Bf16>, ArrayView<float>, ElementwiseShape> widen;
    private readonly Action<AcceleratorStream, Index1D, ArrayView<Bf16>, ArrayView<Bf16>, ElementwiseShape> add;

    /// <summary>Compiles the kernels for an accelerator.</summary>
    public ElementwiseBf16(Accelerator accelerator)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        round = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<float>, ArrayView<Bf16>, ElementwiseShape>(RoundKernel);
        widen = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<Bf16>, ArrayView<float>, ElementwiseShape>(WidenKernel);
        add = accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<Bf16>, ArrayView<Bf16>, ElementwiseShape>(ElementwiseDirect<float, Float32>.AddKernel);
    }

    /// <inheritdoc/>
    public void Round(AcceleratorStream stream, ArrayView<float> source, ArrayView<Bf16> target, ElementwiseShape shape)
        => round(stream, LaunchExtent.Of(shape.Voxels * shape.Channels), source, target, shape);

    /// <inheritdoc/>
    public void Widen(AcceleratorStream stream, ArrayView<Bf16> source, ArrayView<float> target, ElementwiseShape shape)
        => widen(stream, LaunchExtent.Of(shape.Voxels * shape.Channels), source, target, shape);

    /// <inheritdoc/>
    public void Add(AcceleratorStream stream, ArrayView<Bf16> source, ArrayView<Bf16> target, ElementwiseShape shape)
        => add(stream, LaunchExtent.Of(shape.Voxels * shape.Channels), source, target, shape);

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // target[v,c] = nearest BF16 of source[v,c]. One thread per (voxel, channel), channels fastest; overwrites one element of target. The network rounds
    // only its image so: 1 MB at 56³, a launch's time.
    [Kernel]
    internal static void RoundKernel(
        Index1D index,
        ArrayView<float> source, // [voxels, channels], pitch SourcePitch
        ArrayView<Bf16> target, // [voxels, channels], pitch TargetPitch
        ElementwiseShape shape)
        => target[Element(index.X, shape, shape.TargetPitch)] = Bf16.Round(source[Element(index.X, shape, shape.SourcePitch)]);

    // target[v,c] = source[v,c]. One thread per (voxel, channel), channels fastest; overwrites one element of target.
    [Kernel]
    internal static void WidenKernel(
        Index1D index,
        ArrayView<Bf16> source, // [voxels, channels], pitch SourcePitch
        ArrayView<float> target, // [voxels, channels], pitch TargetPitch
        ElementwiseShape shape)
        => target[Element(index.X, shape, shape.TargetPitch)] = source[Element(index.X, shape, shape.SourcePitch)].ToSingle();

    private static long Element(int index, ElementwiseShape shape, int pitch) => (long)(index / shape.Channels) * pitch + index % shape.Channels;
}
