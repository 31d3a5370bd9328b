using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Ops.Elementwise;

/// <summary>
/// Elementary arithmetic on a tape, so that a loss can be composed without a kernel; sum and mean are in
/// <see cref="Sum.SumOp"/>. Inputs may be slices of channels, results are whole tensors; activations stored
/// as BF16 are refused.
/// </summary>
public static class ElementaryOps
{
    /// <summary>a + b, element by element.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="a">[N, D, H, W, C].</param>
    /// <param name="b">[N, D, H, W, C]; may be the same tensor.</param>
    /// <returns>[N, D, H, W, C].</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static Tensor<T> Add<T>(this Tape<T> tape, Tensor<T> a, Tensor<T> b)
        where T : unmanaged, INumber<T>
    {
        RequireSame("Add", tape, a, b);
        (int channels, IElementwise<T, T> kernels) = (a.Shape.Channels, Kernels(tape));
        Tensor<T> sum = tape.Allocate(a.Shape);
        kernels.Widen(tape.Context.Stream, a.View, sum.View, new ElementwiseShape(a.Shape.Voxels, channels, a.Pitch, channels));
        kernels.Add(tape.Context.Stream, b.View, sum.View, new ElementwiseShape(a.Shape.Voxels, channels, b.Pitch, channels));

        tape.Record("Add", sum, [a, b], [], [], () =>
        {
            tape.PassOn(kernels, sum, a);
            tape.PassOn(kernels, sum, b);
        });
        return sum;
    }

    /// <summary>a·b, element by element.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="a">[N, D, H, W, C].</param>
    /// <param name="b">[N, D, H, W, C]; the same tensor for its square.</param>
    /// <returns>[N, D, H, W, C].</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static Tensor<T> Multiply<T>(this Tape<T> tape, Tensor<T> a, Tensor<T> b)
        where T : unmanaged, INumber<T>
    {
        RequireSame("Multiply", tape, a, b);
        IElementwise<T, T> kernels = Kernels(tape);
        Tensor<T> first = tape.Whole(a);
        Tensor<T> second = ReferenceEquals(a, b) ? first : tape.Whole(b);
        Tensor<T> product = tape.Allocate(a.Shape);
        // As a mask: what it multiplies with has a weight for each voxel, and here each element counts as
        // one.
        ElementwiseShape shape = new(a.Shape.Length, 1, 1, 1);
        kernels.Mask(tape.Context.Stream, first.View, second.View, product.View, shape);

        tape.Record("Multiply", product, [first, second], [], [first, second], () =>
        {
            tape.WriteGradient(
                first, gradient => kernels.Mask(tape.Context.Stream, tape.Gradient(product), second.View, gradient, shape));
            tape.WriteGradient(
                second, gradient => kernels.Mask(tape.Context.Stream, tape.Gradient(product), first.View, gradient, shape));
        });
        return product;
    }

    /// <summary>factor·input; with the factor 1 a slice of channels becomes a tensor of its own.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="input">[N, D, H, W, C].</param>
    /// <param name="factor">A number that the host knows; it gets no gradient.</param>
    /// <returns>[N, D, H, W, C].</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    public static Tensor<T> Scale<T>(this Tape<T> tape, Tensor<T> input, double factor)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(input);
        IElementwise<T, T> kernels = Kernels(tape);
        (Tensor<T> whole, T by, long length) = (tape.Whole(input), T.CreateChecked(factor), input.Shape.Length);
        Tensor<T> scaled = tape.Allocate(input.Shape);
        kernels.Scale(tape.Context.Stream, whole.View.SubView(0, length), by, scaled.View);

        tape.Record("Scale", scaled, [whole], [], [], () => tape.WriteGradient(
            whole,
            gradient => kernels.Scale(tape.Context.Stream, tape.Gradient(scaled), by, gradient),
            gradient => kernels.WeightedAdd(tape.Context.Stream, tape.Gradient(scaled), by, gradient, accumulate: 1)));
        return scaled;
    }

    private static IElementwise<T, T> Kernels<T>(Tape<T> tape)
        where T : unmanaged, INumber<T>
        => tape.Context.Launcher(ElementwiseVariants<T, T>.Table, default(ElementwiseShape));

    private static void RequireSame<T>(string operation, Tape<T> tape, Tensor<T> a, Tensor<T> b)
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        if (a.Shape != b.Shape)
            throw new ArgumentException(
                $"{operation}: the tensors are {a.Shape} and {b.Shape}, expected two of one shape.", nameof(b));
    }
}
