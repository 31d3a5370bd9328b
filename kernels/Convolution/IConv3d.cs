namespace MeanShiftGpu.Kernels.Convolution;

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
/// <typeparam name="TActivation">How activations and their gradients lie in memory: <typeparamref name="T"/>, or <see cref="Bf16"/> beside float32 parameters.</typeparam>
/// <typeparam name="T">The real type of parameters and their gradients.</typeparam>
public interface IConv3d<TActivation, T> : IDisposable
    where TActivation : unmanaged
    where T : unmanaged
{
    /// <summary>Overwrites output.</summary>
    void Forward(
        AcceleratorStream stream,
        ArrayView<TActivation> input,
        ArrayView<T> weight,
        ArrayView<T> bias,
        ArrayView<TActivation> output,
        Conv3dShape shape);

    /// <summary>Overwrites gradInput.</summary>
    void BackwardInput(
        AcceleratorStream stream,
        ArrayView<TActivation> gradOutput,
        ArrayView<TActivation> output,
        ArrayView<T> weight,
        ArrayView<TActivation> gradInput,
        Conv3dShape shape);

    /// <summary>Adds to gradWeight and gradBias.</summary>
    void BackwardWeight(
        AcceleratorStream stream,
        ArrayView<TActivation> input,
        ArrayView<TActivation> gradOutput,
        ArrayView<TActivation> output,
        ArrayView<T> gradWeight,
        ArrayView<T> gradBias,
        Conv3dShape shape);
}
