using ILGPU;
using ILGPU.Runtime;

namespace MeanShiftGpu.Kernels;

/// <summary>
/// The launchers of one variant of the 3D convolution: stride 1, zero padding, bias, fused activation.
/// </summary>
/// <remarks>
/// y[n,z,y,x,o] = act(b[o] + Σ_{k,i} x[n,z+kz−p,y+ky−p,x+kx−p,i]·w[kz,ky,kx,i,o]), p = KernelSize/2.
/// Layouts: input and gradInput [N,D,H,W,Cin] with pitch <see cref="Conv3dShape.InputPitch"/>; output and gradOutput
/// [N,D,H,W,Cout] with pitch <see cref="Conv3dShape.OutputPitch"/>; weight [k,k,k,Cin,Cout]; bias [Cout].
/// Backward passes take the forward pass's output to mask gradOutput where ReLU was applied; with
/// <see cref="Activation.None"/> it is not read. Launchers queue on the stream and do not wait; one instance serves one
/// stream at a time.
/// </remarks>
public interface IConv3d<T> : IDisposable
    where T : unmanaged
{
    /// <summary>Overwrites output.</summary>
    void Forward(
        AcceleratorStream stream,
        ArrayView<T> input,
        ArrayView<T> weight,
        ArrayView<T> bias,
        ArrayView<T> output,
        Conv3dShape shape);

    /// <summary>Overwrites gradInput.</summary>
    void BackwardInput(
        AcceleratorStream stream,
        ArrayView<T> gradOutput,
        ArrayView<T> output,
        ArrayView<T> weight,
        ArrayView<T> gradInput,
        Conv3dShape shape);

    /// <summary>Adds to gradWeight and gradBias.</summary>
    void BackwardWeight(
        AcceleratorStream stream,
        ArrayView<T> input,
        ArrayView<T> gradOutput,
        ArrayView<T> output,
        ArrayView<T> gradWeight,
        ArrayView<T> gradBias,
        Conv3dShape shape);
}
