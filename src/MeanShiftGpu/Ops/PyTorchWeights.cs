using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops;

/// <summary>
/// Weights from and to PyTorch's order: <c>Conv3d.weight</c> is [Cout, Cin, kD, kH, kW] and
/// <c>ConvTranspose3d.weight</c> [Cin, Cout, kD, kH, kW], here both are [kD, kH, kW, Cin, Cout]. A bias is
/// [Cout] in both. Activations are [N, C, D, H, W] there and [N, D, H, W, C] here.
/// </summary>
public static class PyTorchWeights
{
    /// <summary>[Cout, Cin, k, k, k] to [k, k, k, Cin, Cout].</summary>
    /// <exception cref="ArgumentException">Not as many numbers as the shape says.</exception>
    public static T[] WeightFromPyTorch<T>(this Conv3dShape shape, ReadOnlySpan<T> weight)
        => Order(shape).From(Checked(weight, shape.WeightLength));

    /// <summary>[k, k, k, Cin, Cout] to [Cout, Cin, k, k, k].</summary>
    /// <exception cref="ArgumentException">Not as many numbers as the shape says.</exception>
    public static T[] WeightToPyTorch<T>(this Conv3dShape shape, ReadOnlySpan<T> weight)
        => Order(shape).To(Checked(weight, shape.WeightLength));

    /// <summary>[Cin, Cout, 2, 2, 2] to [2, 2, 2, Cin, Cout].</summary>
    /// <exception cref="ArgumentException">Not as many numbers as the shape says.</exception>
    public static T[] WeightFromPyTorch<T>(this ConvTranspose3dShape shape, ReadOnlySpan<T> weight)
        => Order(shape).From(Checked(weight, shape.WeightLength));

    /// <summary>[2, 2, 2, Cin, Cout] to [Cin, Cout, 2, 2, 2].</summary>
    /// <exception cref="ArgumentException">Not as many numbers as the shape says.</exception>
    public static T[] WeightToPyTorch<T>(this ConvTranspose3dShape shape, ReadOnlySpan<T> weight)
        => Order(shape).To(Checked(weight, shape.WeightLength));

    /// <summary>[Outputs, Cin, 1, 1, 1] to [Cin, Outputs].</summary>
    /// <exception cref="ArgumentException">Not as many numbers as the shape says.</exception>
    public static T[] WeightFromPyTorch<T>(this SigmoidHeadShape shape, ReadOnlySpan<T> weight)
        => Order(shape).From(Checked(weight, shape.WeightLength));

    /// <summary>[Cin, Outputs] to [Outputs, Cin, 1, 1, 1].</summary>
    /// <exception cref="ArgumentException">Not as many numbers as the shape says.</exception>
    public static T[] WeightToPyTorch<T>(this SigmoidHeadShape shape, ReadOnlySpan<T> weight)
        => Order(shape).To(Checked(weight, shape.WeightLength));

    private static WeightOrder Order(Conv3dShape shape)
        => new(ParameterLayout.ConvolutionWeight, shape.KernelSize, shape.InputChannels, shape.OutputChannels);

    private static WeightOrder Order(ConvTranspose3dShape shape)
        => new(ParameterLayout.TransposedConvolutionWeight, 2, shape.InputChannels, shape.OutputChannels);

    private static WeightOrder Order(SigmoidHeadShape shape)
        => new(ParameterLayout.ConvolutionWeight, 1, shape.InputChannels, shape.Outputs);

    private static ReadOnlySpan<T> Checked<T>(ReadOnlySpan<T> weight, long length) => weight.Length == length
        ? weight
        : throw new ArgumentException(
            $"The weight has {weight.Length} numbers, expected {length} for this shape.", nameof(weight));
}
