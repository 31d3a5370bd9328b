using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Kernels.Machine.Real;

namespace MeanShiftGpu.Kernels.Elementwise;

/// <summary>The launchers of the arithmetic on tensors of BF16, element by element: to and from float32, and sums.</summary>
/// <remarks>
/// Tensors are channels-last [voxels, channels] with their own pitches; channels beyond those of the shape are neither read nor written. Launchers queue on
/// the stream and do not wait; one instance serves one stream at a time.
/// </remarks>
public interface IElementwiseBf16 : IDisposable
{
    /// <summary>target[v,c] = the BF16 nearest to source[v,c]. Overwrites target.</summary>
    void Round(AcceleratorStream stream, ArrayView<float> source, ArrayView<Bf16> target, ElementwiseShape shape);

    /// <summary>target[v,c] = source[v,c]. Overwrites target.</summary>
    void Widen(AcceleratorStream stream, ArrayView<Bf16> source, ArrayView<float> target, ElementwiseShape shape);

    /// <summary>target[v,c] += source[v,c], added in float32 and rounded once.</summary>
    void Add(AcceleratorStream stream, ArrayView<Bf16> source, ArrayView<Bf16> target, ElementwiseShape shape);
}
