namespace MeanShiftGpu.Kernels.Convolution;

/// <summary>
/// The launchers of one variant of the transposed 3D convolution: kernel 2³, stride 2, bias, no activation.
/// </summary>
/// <remarks>
/// y[n,2z+kz,2y+ky,2x+kx,o] = b[o] + Σ_i x[n,z,y,x,i]·w[kz,ky,kx,i,o], each k in {0, 1}.
/// Layouts: input and gradInput [N,D,H,W,Cin] with pitch <see cref="ConvTranspose3dShape.InputPitch"/>; output and gradOutput
/// [N,2D,2H,2W,Cout] with pitch <see cref="ConvTranspose3dShape.OutputPitch"/>; weight [2,2,2,Cin,Cout]; bias [Cout].
/// Launchers queue on the stream and do not wait; one instance serves one stream at a time.
/// </remarks>
/// <typeparam name="TActivation">What activations and their gradients hold: <typeparamref name="T"/>, or <see cref="Bf16"/>
/// beside float32.</typeparam>
/// <typeparam name="T">The real type of parameters and their gradients.</typeparam>
public interface IConvTranspose3d<TActivation, T> : IDisposable
    where TActivation : unmanaged
    where T : unmanaged
{
    /// <summary>Overwrites output.</summary>
    void Forward(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<T> weight, ArrayView<T> bias,
        ArrayView<TActivation> output, ConvTranspose3dShape shape);

    /// <summary>Overwrites gradInput.</summary>
    void BackwardInput(
        AcceleratorStream stream, ArrayView<TActivation> gradOutput, ArrayView<T> weight, ArrayView<TActivation> gradInput,
        ConvTranspose3dShape shape);

    /// <summary>Adds to gradWeight and gradBias.</summary>
    void BackwardWeight(
        AcceleratorStream stream, ArrayView<TActivation> input, ArrayView<TActivation> gradOutput, ArrayView<T> gradWeight,
        ArrayView<T> gradBias, ConvTranspose3dShape shape);
}
