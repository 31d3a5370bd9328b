using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Convolution;

/// <summary>
/// What all passes of a convolution read, exactly representable in float32, and what they write: results hold
/// values beforehand, so that overwriting and adding show.
/// </summary>
internal sealed class ConvolutionProblem
{
    /// <summary>What results hold beforehand.</summary>
    public const double Untouched = 7;

    /// <param name="input">Elements of the input, padding included.</param>
    /// <param name="output">Elements of the output, padding included.</param>
    /// <param name="weights">Number of weights.</param>
    /// <param name="outputChannels">Number of biases.</param>
    /// <param name="map">Makes the values from uniform ones in [−1, 1).</param>
    public ConvolutionProblem(long input, long output, long weights, int outputChannels, Func<double, double> map)
    {
        double[] Draw(long count, int seed) => [.. TestData.Uniform(count, seed).Select(v => (double)(float)map(v))];
        double[] Fill(long count)
        {
            double[] values = new double[count];
            Array.Fill(values, Untouched);
            return values;
        }

        Input = Draw(input, 1);
        Weight = Draw(weights, 2);
        Bias = Draw(outputChannels, 3);
        GradOutput = Draw(output, 4);
        GradWeight = Draw(weights, 5);
        GradBias = Draw(outputChannels, 6);
        Output = Fill(output);
        GradInput = Fill(input);
    }

    public double[] Input { get; }

    public double[] Weight { get; }

    public double[] Bias { get; }

    public double[] GradOutput { get; }

    public double[] GradWeight { get; }

    public double[] GradBias { get; }

    public double[] Output { get; }

    public double[] GradInput { get; }

    /// <summary>The results of a device.</summary>
    /// <param name="context">The device.</param>
    /// <param name="passes">Queues all passes.</param>
    public ConvolutionResult<T> Run<T>(GpuContext context, Action<ConvolutionViews<T>> passes)
        where T : unmanaged, INumber<T>
    {
        using MemoryBuffer1D<T, Stride1D.Dense> input = context.ToDevice<T>(Input);
        using MemoryBuffer1D<T, Stride1D.Dense> weight = context.ToDevice<T>(Weight);
        using MemoryBuffer1D<T, Stride1D.Dense> bias = context.ToDevice<T>(Bias);
        using MemoryBuffer1D<T, Stride1D.Dense> gradOutput = context.ToDevice<T>(GradOutput);
        using MemoryBuffer1D<T, Stride1D.Dense> output = context.ToDevice<T>(Output);
        using MemoryBuffer1D<T, Stride1D.Dense> gradInput = context.ToDevice<T>(GradInput);
        using MemoryBuffer1D<T, Stride1D.Dense> gradWeight = context.ToDevice<T>(GradWeight);
        using MemoryBuffer1D<T, Stride1D.Dense> gradBias = context.ToDevice<T>(GradBias);
        passes(new ConvolutionViews<T>(
            input.View, weight.View, bias.View, gradOutput.View, output.View, gradInput.View, gradWeight.View, gradBias.View));
        context.Synchronize();
        return new ConvolutionResult<T>(
            output.GetAsArray1D(), gradInput.GetAsArray1D(), gradWeight.GetAsArray1D(), gradBias.GetAsArray1D());
    }

    /// <summary>The results of the reference, which writes to arrays.</summary>
    public ConvolutionResult<double> Expected(Action<ConvolutionResult<double>> passes)
    {
        ConvolutionResult<double> result = new(
            (double[])Output.Clone(), (double[])GradInput.Clone(), (double[])GradWeight.Clone(), (double[])GradBias.Clone());
        passes(result);
        return result;
    }

    /// <summary>Fails where a channel behind those of a tensor was written.</summary>
    public static void AssertNeighboursUntouched<T>(T[] values, int channels, int pitch)
        where T : unmanaged, INumber<T>
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (i % pitch >= channels && values[i] != T.CreateChecked(Untouched))
                Assert.Fail($"Element {i}, channel {i % pitch} of a pitch of {pitch}, was overwritten with {values[i]}.");
        }
    }
}

/// <summary>A problem's tensors on a device.</summary>
internal sealed record ConvolutionViews<T>(
    ArrayView<T> Input, ArrayView<T> Weight, ArrayView<T> Bias, ArrayView<T> GradOutput, ArrayView<T> Output,
        ArrayView<T> GradInput, ArrayView<T> GradWeight, ArrayView<T> GradBias)
    where T : unmanaged;

/// <summary>What the passes wrote.</summary>
internal sealed record ConvolutionResult<T>(T[] Output, T[] GradInput, T[] GradWeight, T[] GradBias)
    where T : unmanaged, INumber<T>
{
    /// <summary>Fails where a number is not the expected one.</summary>
    public void IsExactly(ConvolutionResult<double> expected, string variant = "")
    {
        foreach ((string pass, T[] actual, double[] reference) in Beside(expected))
            Assert.That(actual.Select(double.CreateChecked), Is.EqualTo(reference), $"{variant} {pass}");
    }

    /// <summary>Writes each pass's relative error, and fails where one is above a tolerance.</summary>
    public void IsNear(ConvolutionResult<double> expected, double tolerance, string variant)
    {
        foreach ((string pass, T[] actual, double[] reference) in Beside(expected))
        {
            double error = TestData.RelativeError<T>(actual, reference);
            TestContext.Out.WriteLine($"{variant}, {pass}: {error:g2}");
            Assert.That(error, Is.LessThanOrEqualTo(tolerance), $"{variant}, {pass}");
        }
    }

    private IEnumerable<(string Pass, T[] Actual, double[] Expected)> Beside(ConvolutionResult<double> expected)
    {
        yield return ("output", Output, expected.Output);
        yield return ("gradInput", GradInput, expected.GradInput);
        yield return ("gradWeight", GradWeight, expected.GradWeight);
        yield return ("gradBias", GradBias, expected.GradBias);
    }
}
