using ILGPU;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops;

/// <summary>
/// What the passes of a layer with weights are timed on, and the comparison of their results with a reference
/// in double.
/// </summary>
/// <param name="data">Where the buffers come from.</param>
/// <param name="inputs">The input: voxels, channels and pitch.</param>
/// <param name="weights">Numbers of the weights; around zero, so that ReLU masks about half.</param>
/// <param name="outputs">The output: voxels, channels and pitch.</param>
/// <typeparam name="TActivation">What the input and its gradient hold.</typeparam>
/// <typeparam name="TOutput">What the output and its gradient hold.</typeparam>
internal sealed class LayerBuffers<TActivation, TOutput>(
    BenchmarkData data,
    (long Voxels, int Channels, int Pitch) inputs,
    long weights,
    (long Voxels, int Channels, int Pitch) outputs)
    where TActivation : unmanaged
    where TOutput : unmanaged
{
    public ArrayView<TActivation> Input { get; } = data.Activations<TActivation>(inputs.Voxels, inputs.Channels, inputs.Pitch, 1);

    public ArrayView<float> Weight { get; } = data.Uniform(weights, 2, static v => v - 0.5f);

    public ArrayView<float> Bias { get; } = data.Uniform(outputs.Channels, 3);

    public ArrayView<TOutput> GradOutput { get; } = data.Activations<TOutput>(outputs.Voxels, outputs.Channels, outputs.Pitch, 4);

    public ArrayView<TOutput> Output { get; } = data.Zeros<TOutput>(outputs.Voxels * outputs.Pitch);

    public ArrayView<TActivation> GradInput { get; } = data.Zeros<TActivation>(inputs.Voxels * inputs.Pitch);

    public ArrayView<float> GradWeight { get; } = data.Zeros(weights);

    public ArrayView<float> GradBias { get; } = data.Zeros(outputs.Channels);

    /// <summary>The passes' results beside the reference's.</summary>
    /// <param name="reference">Computes output and gradients from input, weight, bias and the gradient of the
    /// output.</param>
    public (string What, float[] Actual, double[] Expected, double? Tolerance)[] Compare(
        Func<double[], double[], double[], double[], (double[] Output, double[] GradInput, double[] GradWeight,
            double[] GradBias)> reference)
    {
        var expected =
            reference(data.ReadDouble(Input), data.ReadDouble(Weight), data.ReadDouble(Bias), data.ReadDouble(GradOutput));
        return
        [
            ("output", data.Read(Output), expected.Output, null),
            ("gradInput", data.Read(GradInput), expected.GradInput, null),
            ("gradWeight", data.Read(GradWeight), expected.GradWeight, null),
            ("gradBias", data.Read(GradBias), expected.GradBias, null),
        ];
    }
}
