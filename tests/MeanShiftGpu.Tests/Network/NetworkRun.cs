using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;

namespace MeanShiftGpu.Tests.Network;

/// <summary>
/// A network's scores and gradients for an image and a gradient of its scores that are the same in every
/// precision.
/// </summary>
internal static class NetworkRun
{
    /// <summary>
    /// Runs a network of fixed random numbers forward and backward; its parameters are those at the start
    /// times a scale.
    /// </summary>
    public static (T[] Scores, T[] Gradients) Of<T>(
        GpuContext context, UNet3dOptions structure, TensorShape shape, double scale = 1)
        where T : unmanaged, INumber<T>
    {
        using UNet3d<T> network = new(context, structure, seed: 3);
        foreach (Parameter<T> parameter in network.Parameters.Parameters)
            parameter.Upload(context, [.. parameter.Download(context).Select(v => v * T.CreateChecked(scale))]);
        using Arena arena = new(context);
        using Tape<T> tape = Tape<T>.Begin(arena);
        Tensor<T> scores = network.Forward(
            tape, tape.Upload(Array.ConvertAll(TestData.Uniform(shape.Length, 4), T.CreateChecked), shape));
        T[] values = scores.ToArray(context);
        tape.Backward(scores, Array.ConvertAll(TestData.Uniform(shape.Length, 5), T.CreateChecked));
        return (values, [.. network.Parameters.Parameters.SelectMany(p => p.Gradient.GetAsArrayForTest(context))]);
    }
}
