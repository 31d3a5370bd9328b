using System.Numerics;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>How gradients are compared with finite differences.</summary>
public sealed record GradCheckOptions
{
    /// <summary>Elements probed of each input; all of them where there are fewer.</summary>
    public int Samples { get; init; } = 24;

    /// <summary>Chooses the elements and the weights that reduce an output to one number.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Step of the central difference; 0 takes 1e-5 in float64 and 1e-2 in float32.</summary>
    public double Step { get; init; }

    /// <summary>Largest relative error; 0 takes 1e-6 where the gradient is float64 and 1e-2 where it is float32.</summary>
    public double Tolerance { get; init; }

    internal const double SingleTolerance = 1e-2;
}

/// <summary>The comparison of one input's gradient with finite differences.</summary>
/// <param name="Op">The operation.</param>
/// <param name="Input">The input or parameter that was varied.</param>
/// <param name="Variant">The kernel variant whose gradient was checked.</param>
/// <param name="Device">The device.</param>
/// <param name="RealType">float32 or float64: the type of the gradient; differences are taken in float64 where the case allows.</param>
/// <param name="MaxRelativeError">
/// The largest |gradient − difference| / max(|gradient|, |difference|, 1e-3·largest |gradient| of this input).
/// </param>
/// <param name="Tolerance">The bound on it.</param>
/// <param name="Passed">Within the bound, with at least half of the probes usable, and some gradient not zero.</param>
/// <param name="WorstIndex">The element with the largest error, in the input's own order.</param>
/// <param name="Gradient">The gradient there.</param>
/// <param name="Difference">The central difference there.</param>
/// <param name="Probes">Elements compared.</param>
/// <param name="LeftOut">Elements not compared, because the function is not smooth there (ReLU at 0, pooling ties, a voxel
/// that crosses the edge of a mean-shift ball, a change of nearest neighbour): central differences of steps h and h/2 disagree.</param>
public sealed record GradCheckResult(
    string Op,
    string Input,
    string Variant,
    string Device,
    string RealType,
    double MaxRelativeError,
    double Tolerance,
    bool Passed,
    long WorstIndex,
    double Gradient,
    double Difference,
    int Probes,
    int LeftOut)
{
    /// <inheritdoc/>
    public override string ToString()
        => $"{(Passed ? "ok  " : "FAIL")} {Op} / {Input} ({RealType}, {Variant}): worst relative error {MaxRelativeError:g3} at element {WorstIndex} " +
           $"(gradient {Gradient:g9}, difference {Difference:g9}), tolerance {Tolerance:g3}, {Probes} probes, {LeftOut} left out";
}

/// <summary>All comparisons of one call.</summary>
/// <param name="Results">One for each input.</param>
public sealed record GradCheckReport(IReadOnlyList<GradCheckResult> Results)
{
    /// <summary>Whether every input passed.</summary>
    public bool Passed => Results.Count > 0 && Results.All(r => r.Passed);

    /// <summary>Throws with the failing lines.</summary>
    /// <exception cref="InvalidOperationException">An input did not pass.</exception>
    public void ThrowIfFailed()
    {
        if (!Passed)
            throw new InvalidOperationException($"gradient check failed:\n{string.Join('\n', Results.Where(r => !r.Passed))}");
    }

    /// <inheritdoc/>
    public override string ToString() => string.Join('\n', Results);
}

/// <summary>An input whose gradient is checked.</summary>
/// <param name="Name">For the report.</param>
/// <param name="Shape">[N, D, H, W, C].</param>
/// <param name="Values">Its numbers.</param>
public sealed record GradCheckInput(string Name, TensorShape Shape, double[] Values);

/// <summary>A function of tensors and parameters in one real type.</summary>
/// <param name="Inputs">The tensors to differentiate with respect to.</param>
/// <param name="Parameters">The parameters to differentiate with respect to, or null.</param>
/// <param name="Function">Computes a tensor of any shape on a tape.</param>
public sealed record GradCheckFunction<T>(
    IReadOnlyList<GradCheckInput> Inputs,
    ParameterSet<T>? Parameters,
    Func<Tape<T>, IReadOnlyList<Tensor<T>>, Tensor<T>> Function)
    where T : unmanaged, INumber<T>;

/// <summary>Compares backward passes with central differences of the forward pass.</summary>
public static class GradCheck
{
    // A probe's denominator is at least this share of the input's largest gradient: below it, relative error is rounding.
    private const double RelativeFloor = 1e-3;

    /// <summary>Checks a function of one tensor.</summary>
    /// <param name="context">The device.</param>
    /// <param name="function">Computes a tensor of any shape from the input.</param>
    /// <param name="values">The input's numbers, [N, D, H, W, C].</param>
    /// <param name="shape">The input's extents.</param>
    /// <param name="options">Samples, step, tolerance.</param>
    /// <param name="name">The operation's name in the report.</param>
    public static GradCheckReport Run<T>(
        GpuContext context,
        Func<Tape<T>, Tensor<T>, Tensor<T>> function,
        double[] values,
        TensorShape shape,
        GradCheckOptions? options = null,
        string name = "function")
        where T : unmanaged, INumber<T>
    {
        GradCheckFunction<T> checkedFunction = new([new GradCheckInput("input", shape, values)], null, (tape, x) => function(tape, x[0]));
        using CentralDifferences<T> differences = new(context, checkedFunction);
        return Run(context, checkedFunction, differences, options ?? new GradCheckOptions(), name, "Auto");
    }

    /// <summary>
    /// Checks the gradients of a function in one type against differences of the same function in another (or the same):
    /// float32 gradients are best judged by float64 differences.
    /// </summary>
    /// <param name="context">The device (with its variants) of the gradients.</param>
    /// <param name="gradients">The function whose gradients are checked.</param>
    /// <param name="differences">Differences of the same function, in the type in which they are taken; they are kept for the next variant.</param>
    /// <param name="options">Samples, step, tolerance.</param>
    /// <param name="name">The operation's name in the report.</param>
    /// <param name="variant">The variant's name in the report.</param>
    public static GradCheckReport Run<T, TDifference>(
        GpuContext context,
        GradCheckFunction<T> gradients,
        CentralDifferences<TDifference> differences,
        GradCheckOptions options,
        string name,
        string variant)
        where T : unmanaged, INumber<T>
        where TDifference : unmanaged, INumber<TDifference>
    {
        double tolerance = options.Tolerance > 0 ? options.Tolerance : IsDouble<T>() ? 1e-6 : GradCheckOptions.SingleTolerance;
        double step = options.Step > 0 ? options.Step : IsDouble<TDifference>() ? 1e-5 : 1e-2;
        Random random = new(options.Seed);

        using Arena arena = new(context);
        (double[][] analytic, double[] weights) = Differentiate(context, arena, gradients, random);

        List<GradCheckResult> results = [];
        for (int i = 0; i < analytic.Length; i++)
        {
            double largest = analytic[i].Max(Math.Abs);
            // An input that no gradient reaches at all would pass any comparison with itself; it fails here.
            bool passed = largest > 0;
            (double Error, long Index, double Gradient, double Difference) worst = (0, 0, 0, 0);
            // Whether it is among the probes or not: a gradient that is no number is wrong, and worse than any other.
            if (Array.FindIndex(analytic[i], g => !double.IsFinite(g)) is >= 0 and int notFinite)
                worst = (double.NaN, notFinite, analytic[i][notFinite], differences.At(i, notFinite, step, weights));
            int probes = 0;
            int leftOut = 0;
            foreach (long element in ChooseElements(differences.Count(i), options.Samples, random))
            {
                double difference = differences.At(i, element, step, weights);
                double gradient = analytic[i][element];
                double error = RelativeError(gradient, difference, largest);
                // Before a gradient is called wrong: where another step gives another difference, the function is not smooth.
                if (!(error <= tolerance))
                {
                    double half = differences.At(i, element, step / 2, weights);
                    if (RelativeError(half, difference, largest) > tolerance / 2)
                    {
                        leftOut++;
                        continue;
                    }
                }

                probes++;
                if (!(error <= worst.Error) && !double.IsNaN(worst.Error))
                    worst = (error, element, gradient, difference);
            }

            passed &= worst.Error <= tolerance && probes >= leftOut;
            results.Add(new GradCheckResult(
                name, differences.Name(i), variant, context.Kind.ToString(), IsDouble<T>() ? "float64" : "float32",
                worst.Error, tolerance, passed, worst.Index, worst.Gradient, worst.Difference, probes, leftOut));
        }

        return new GradCheckReport(results);
    }

    private static double RelativeError(double a, double b, double largest)
    {
        double scale = Math.Max(Math.Max(Math.Abs(a), Math.Abs(b)), RelativeFloor * largest);
        return scale == 0 ? 0 : Math.Abs(a - b) / scale;
    }

    private static bool IsDouble<T>() => typeof(T) == typeof(double);

    // The gradients of Σ weight·output with respect to every input and parameter, and the weights.
    private static (double[][] Gradients, double[] Weights) Differentiate<T>(GpuContext context, Arena arena, GradCheckFunction<T> function, Random random)
        where T : unmanaged, INumber<T>
    {
        function.Parameters?.ZeroGradients(context);
        using Tape<T> tape = Tape<T>.Begin(arena);
        List<Tensor<T>> inputs = Upload(tape, function.Inputs, (_, values) => values);
        Tensor<T> output = function.Function(tape, inputs);
        double[] weights = new double[output.Shape.Length];
        for (int i = 0; i < weights.Length; i++)
            weights[i] = output.Shape == TensorShape.Scalar ? 1 : (float)(random.NextDouble() * 2 - 1);
        tape.Backward(output, Array.ConvertAll(weights, T.CreateChecked));

        List<double[]> gradients = [.. inputs.Select(x => ToDoubles(x.GradientToArray(context)))];
        foreach (Parameter<T> parameter in function.Parameters?.Parameters ?? [])
        {
            T[] values = new T[parameter.Length];
            parameter.Gradient.CopyToCPU(context.Stream, values);
            context.Synchronize();
            gradients.Add(ToDoubles(values));
        }

        return ([.. gradients], weights);
    }

    internal static List<Tensor<T>> Upload<T>(Tape<T> tape, IReadOnlyList<GradCheckInput> inputs, Func<int, double[], double[]> change)
        where T : unmanaged, INumber<T>
        => [.. inputs.Select((x, i) => tape.Upload(Array.ConvertAll(change(i, x.Values), T.CreateChecked), x.Shape, requiresGradient: true))];

    internal static double[] ToDoubles<T>(T[] values)
        where T : INumber<T>
        => Array.ConvertAll(values, double.CreateChecked);

    private static IEnumerable<long> ChooseElements(long count, int samples, Random random)
    {
        if (count <= samples)
            return Enumerable.Range(0, (int)count).Select(i => (long)i);
        HashSet<long> chosen = [];
        while (chosen.Count < samples)
            chosen.Add(random.NextInt64(count));
        return chosen.Order();
    }
}
