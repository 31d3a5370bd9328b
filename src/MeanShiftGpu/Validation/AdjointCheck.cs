using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>
/// The adjoint identity of a function A that is linear in each of its inputs: ⟨A(u) − A(0), y⟩ = ⟨u, Aᵀy⟩ for
/// random u and y, where Aᵀy is what the backward pass gives for the upstream gradient y. It takes no
/// difference of near numbers, so it holds to rounding, far below what finite differences can show, and costs
/// two forward passes a direction however large the tensors are. Convolutions are linear in input, weight and
/// bias, each by itself.
/// </summary>
/// <remarks>
/// The gradient is taken at the given inputs, the identity at other, random ones: of a function that is not
/// linear the gradient differs between them, and the check says so.
/// </remarks>
public static class AdjointCheck
{
    private const double DoubleTolerance = 1e-12;
    private const double SingleTolerance = 1e-5;

    /// <summary>Checks the identity for every input and parameter, the others held.</summary>
    /// <param name="context">The device, with its variants.</param>
    /// <param name="function">Computes a tensor of any shape from the inputs, and from the parameters if
    /// there are any.</param>
    /// <param name="inputs">The tensors.</param>
    /// <param name="parameters">The parameters; they are moved and put back. Null for none.</param>
    /// <param name="options">Directions, seed and tolerance; a tolerance of 0 takes 1e-12 for float64 and
    /// 1e-5 for float32, relative to ‖A(u) − A(0)‖·‖y‖.</param>
    /// <param name="name">The operation's name in the report.</param>
    /// <returns>One result for each input; "gradient" is ⟨u, Aᵀy⟩ and "difference" ⟨A(u) − A(0), y⟩ of the
    /// worst direction.</returns>
    /// <exception cref="ArgumentNullException">The device, the function or the inputs are null.</exception>
    /// <exception cref="ArgumentException">The function returned null, an input is null, or its numbers do
    /// not fill its shape.</exception>
    public static GradCheckReport Run<T>(
        GpuContext context,
        Func<Tape<T>, IReadOnlyList<Tensor<T>>, Tensor<T>> function,
        IReadOnlyList<GradCheckInput> inputs,
        ParameterSet<T>? parameters = null,
        GradCheckOptions? options = null,
        string name = "function")
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(context);
        options ??= new GradCheckOptions();
        options.Validate();
        bool isDouble = typeof(T) == typeof(double);
        double tolerance = options.Tolerance > 0 ? options.Tolerance : isDouble ? DoubleTolerance : SingleTolerance;
        GradCheckFunction<T> checkedFunction = new(inputs, parameters, function);
        checkedFunction.Check();
        using Arena arena = new(context);
        (double[]?[] gradients, double[] upstream) = GradCheck.Differentiate(
            context, arena, checkedFunction, new Random(options.Seed));
        using CentralDifferences<T> values = new(context, checkedFunction);
        return new GradCheckReport([.. gradients.Select((gradient, i) => Compare(gradient, i))]);

        GradCheckResult Compare(double[]? gradient, int input)
        {
            double[] rest = values.Evaluate(input, new double[values.Count(input)]);
            (double error, double expected, double found) = (-1, 0, 0);
            Random random = new(unchecked(options.Seed * 1009 + input));
            int directions = Math.Max(1, options.Directions);
            for (int i = 0; i < directions && gradient is not null; i++)
            {
                // Numbers that float32 holds exactly.
                double[] u = [.. gradient.Select(_ => (double)(float)(2 * random.NextDouble() - 1))];
                double[] output = values.Evaluate(input, u);
                double forward = 0;
                double length = 0;
                for (int v = 0; v < output.Length; v++)
                {
                    forward += upstream[v] * (output[v] - rest[v]);
                    length += (output[v] - rest[v]) * (output[v] - rest[v]);
                }

                double backward = u.Zip(gradient, (a, b) => a * b).Sum();
                double size = Math.Sqrt(length) * Math.Sqrt(upstream.Sum(y => y * y));
                double off = Math.Abs(forward - backward) / (size > 0 ? size : 1);
                // NaN counts as worst, and stays it.
                if (!(off <= error) && !double.IsNaN(error))
                    (error, expected, found) = (off, forward, backward);
            }

            string reason = gradient is null ? "no gradient reached this input"
                : expected == 0 && found == 0 ? "the function does not depend on this input: nothing is checked"
                : error <= tolerance ? ""
                : "the backward pass is not the adjoint, or the function is not linear in this input";
            return new GradCheckResult
            {
                Op = name,
                Input = values.Name(input),
                Variant = "Auto",
                Device = context.Kind.ToString(),
                RealType = isDouble ? "float64" : "float32",
                MaxRelativeError = Math.Max(0, error),
                Tolerance = tolerance,
                Passed = reason.Length == 0,
                WorstIndex = -1,
                Gradient = found,
                Difference = expected,
                Probes = gradient is null ? 0 : directions,
                Reason = reason,
            };
        }
    }
}
