using ILGPU;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops;

/// <summary>What the passes of a layer with weights are timed on, and the comparison of their results with a reference in
/// double.</summary>
/// <param name="data">Where the buffers come from.</param>
/// <param name="inputs">Numbers of the input.</param>
/// <param name="weights">Numbers of the weights; around zero, so that ReLU masks about half.</param>
/// <param name="channels">Numbers of the bias.</param>
/// <param name="outputs">Numbers of the output.</param>
internal sealed class LayerBuffers(BenchmarkData data, long inputs, long weights, int channels, long outputs)
{
    public ArrayView<float> Input { get; } = data.Uniform(inputs, 1);

    public ArrayView<float> Weight { get; } = data.Uniform(weights, 2, static v => v - 0.5f);

    public ArrayView<float> Bias { get; } = data.Uniform(channels, 3);

    public ArrayView<float> GradOutput { get; } = data.Uniform(outputs, 4);

    public ArrayView<float> Output { get; } = data.Zeros(outputs);

    public ArrayView<float> GradInput { get; } = data.Zeros(inputs);

    public ArrayView<float> GradWeight { get; } = data.Zeros(weights);

    public ArrayView<float> GradBias { get; } = data.Zeros(channels);

    /// <summary>The passes' results beside the reference's.</summary>
    /// <param name="reference">Computes output and gradients from input, weight, bias and the gradient of the output.</param>
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
