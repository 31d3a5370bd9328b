using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Ops.Sum;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

using GpuContext context = GpuContext.Create();
TensorShape shape = new(Batch: 2, Depth: 3, Height: 4, Width: 5, Channels: 2);
Random random = new(1);
double[] values = [.. Enumerable.Range(0, (int)shape.Length).Select(_ => 4 * random.NextDouble() - 2)];

// The sum of x/(1 + x²): its gradient, from the backward pass below, against central differences.
Rational<double> right = new(context, faulty: false);
GradCheckReport report = GradCheck.Run<double>(
    context, (tape, x) => tape.Sum(right.Apply(tape, x)), values, shape, name: "rational");
Console.WriteLine(report);

// A mistake is found, and the message says where. Leave the exception to your test framework.
Rational<double> wrong = new(context, faulty: true);
try
{
    GradCheck.Run<double>(context, (tape, x) => tape.Sum(wrong.Apply(tape, x)), values, shape, name: "faulty rational")
        .ThrowIfFailed();
    return 1;
}
catch (GradCheckException e)
{
    Console.WriteLine(e.Message);
}

return report.Passed ? 0 : 1;

/// <summary>
/// y = x/(1 + x²), element by element, with kernels of one's own; faulty, its gradient forgets a square.
/// </summary>
internal sealed class Rational<T>(GpuContext context, bool faulty)
    where T : unmanaged, INumber<T>
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>> forward =
        context.Accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<T>, ArrayView<T>>(Forward);

    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, int> backward =
        context.Accelerator.LoadAutoGroupedKernel<Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, int>(Backward);

    public Tensor<T> Apply(Tape<T> tape, Tensor<T> x)
    {
        if (x.Pitch != x.Shape.Channels)
            throw new ArgumentException(
                "Rational takes no slice of channels. tape.Scale(x, 1), in MeanShiftGpu.Ops.Elementwise, copies it.", nameof(x));
        Tensor<T> y = tape.Allocate(x.Shape);
        forward(tape.Context.Stream, (int)x.Shape.Length, x.View, y.View);

        // The backward pass overwrites the view that it is given; what it reads again is named, so that an
        // overwritten tensor is noticed.
        tape.Record("Rational", y, inputs: [x], parameters: [], needed: [x], () => tape.WriteGradient(x, gradX =>
            backward(tape.Context.Stream, (int)x.Shape.Length, x.View, tape.Gradient(y), gradX, faulty ? 1 : 0)));
        return y;
    }

    private static void Forward(Index1D i, ArrayView<T> x, ArrayView<T> y) => y[i] = x[i] / (T.One + x[i] * x[i]);

    private static void Backward(Index1D i, ArrayView<T> x, ArrayView<T> gradY, ArrayView<T> gradX, int faulty)
    {
        T root = T.One + x[i] * x[i];
        gradX[i] = gradY[i] * (T.One - x[i] * x[i]) / (faulty != 0 ? root : root * root);
    }
}
