using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>
/// Central differences of a function, each computed once: all variants of an operation are compared with the same ones.
/// </summary>
/// <param name="context">The device.</param>
/// <param name="function">The function; its parameters are moved and put back.</param>
public sealed class CentralDifferences<T>(GpuContext context, GradCheckFunction<T> function) : IDisposable
    where T : unmanaged, INumber<T>
{
    private readonly Arena arena = new(context);
    private readonly Dictionary<(int Input, long Element, double Step), double> known = [];

    /// <summary>The name of an input; parameters follow the tensors.</summary>
    public string Name(int input) => input < function.Inputs.Count
        ? function.Inputs[input].Name
        : function.Parameters!.Parameters[input - function.Inputs.Count].Name;

    /// <summary>How many elements an input has.</summary>
    public long Count(int input) => input < function.Inputs.Count
        ? function.Inputs[input].Values.Length
        : function.Parameters!.Parameters[input - function.Inputs.Count].Length;

    /// <summary>(f(x + h) − f(x − h)) / 2h of Σ weight·output, with respect to one element.</summary>
    /// <param name="input">Which input.</param>
    /// <param name="element">Which element of it.</param>
    /// <param name="step">h.</param>
    /// <param name="weights">One for each element of the output; the same in every call.</param>
    public double At(int input, long element, double step, double[] weights)
    {
        if (known.TryGetValue((input, element, step), out double value))
            return value;
        double original = Read(input, element);
        // The points actually evaluated, rounded to T, are what the difference is divided by.
        double up = double.CreateChecked(T.CreateChecked(original + step));
        double down = double.CreateChecked(T.CreateChecked(original - step));
        double[] above = Evaluate(input, element, up);
        double[] below = Evaluate(input, element, down);
        // Differences element by element keep the digits that two large sums would lose.
        double sum = 0;
        for (int i = 0; i < weights.Length; i++)
            sum += weights[i] * (above[i] - below[i]);
        value = sum / (up - down);
        known.Add((input, element, step), value);
        return value;
    }

    /// <inheritdoc/>
    public void Dispose() => arena.Dispose();

    private double Read(int input, long element)
    {
        if (input < function.Inputs.Count)
            return double.CreateChecked(T.CreateChecked(function.Inputs[input].Values[element]));
        T[] value = new T[1];
        ParameterElement(input, element).CopyToCPU(context.Stream, value);
        context.Synchronize();
        return double.CreateChecked(value[0]);
    }

    private double[] Evaluate(int input, long element, double value)
    {
        bool isTensor = input < function.Inputs.Count;
        double original = isTensor ? 0 : Read(input, element);
        if (!isTensor)
            ParameterElement(input, element).CopyFromCPU(context.Stream, [T.CreateChecked(value)]);

        double[] output;
        using (Tape<T> tape = Tape<T>.Begin(arena, inference: true))
        {
            List<Tensor<T>> inputs = GradCheck.Upload(tape, function.Inputs, (i, values) =>
            {
                if (i != input)
                    return values;
                double[] moved = [.. values];
                moved[element] = value;
                return moved;
            });
            output = GradCheck.ToDoubles(function.Function(tape, inputs).ToArray(context));
        }

        if (!isTensor)
            ParameterElement(input, element).CopyFromCPU(context.Stream, [T.CreateChecked(original)]);
        return output;
    }

    private ArrayView<T> ParameterElement(int input, long element)
        => function.Parameters!.Parameters[input - function.Inputs.Count].Value.SubView(element, 1);
}
