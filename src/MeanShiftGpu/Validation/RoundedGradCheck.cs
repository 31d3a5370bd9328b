using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>What rounding the operands of tensor cores does to a number.</summary>
internal static class OperandRounding
{
    /// <summary>The number in the precision of a context.</summary>
    public static double Round(double value, Precision precision)
    {
        uint half = Half(precision);
        return BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits((float)value) + half) & ~(2 * half - 1));
    }

    /// <summary>The number changed at random by as much as rounding changes it at most.</summary>
    public static double Change(double value, Precision precision, Random random)
        => value * (1 + (2 * random.NextDouble() - 1) * Half(precision) / (1 << 24));

    // 10 bits of a float32's fraction stay, or 7; half of the last is at most 2⁻¹² or 2⁻⁹ of the number.
    private static uint Half(Precision precision) => precision switch
    {
        Precision.Tf32 => 0x1000u,
        Precision.Bf16Operands or Precision.Bf16 => 0x8000u,
        _ => throw new ArgumentException($"{precision} rounds no operands.", nameof(precision)),
    };
}

/// <summary>
/// Compares backward passes that round their operands with the same ones in float64. Differences cannot judge
/// them: a rounded function is a staircase. Inputs, weights and the upstream gradient are numbers that the
/// precision holds exactly, so a single operation rounds nothing that float64 does not have.
/// </summary>
/// <param name="exact">The device, with the direct kernels.</param>
/// <param name="rounding">The device, with the variant that rounds.</param>
/// <param name="check">What is compared.</param>
internal sealed class RoundedGradCheck(GpuContext exact, GpuContext rounding, GradCheckCase check)
{
    // Between the layers of a network numbers are rounded that float64 does not round, and units near ReLU's
    // kink change sides. Of five networks (seeds of weights, biases and image 5 to 9) on the simulated GPU
    // the worst gradient of an input or parameter differed by 0.034 with TF32, of four by 0.066 with BF16.
    private const double NetworkTf32 = 0.07;
    private const double NetworkBf16 = 0.15;

    /// <summary>Compares the gradients of all inputs and parameters.</summary>
    /// <param name="variant">The variant's name.</param>
    /// <param name="seed">Chooses the upstream gradient.</param>
    /// <param name="cancellation">Stops between two passes.</param>
    public GradCheckReport Run(string variant, int seed, CancellationToken cancellation)
    {
        double[] Rounded(double[] values) => Array.ConvertAll(values, v => OperandRounding.Round(v, rounding.Precision));
        (string[] names, double[][] gradients) = Gradients<float>(rounding, seed, Rounded);
        cancellation.ThrowIfCancellationRequested();
        (_, double[][] reference) = Gradients<double>(exact, seed, Rounded);
        double tolerance = !check.HasLayers ? Variants.Tolerance(rounding, variant, exact: 0)
            : rounding.Precision == Precision.Tf32 ? NetworkTf32 : NetworkBf16;
        return new GradCheckReport([.. names.Select((name, i) => Compare(name, variant, gradients[i], reference[i], tolerance))]);
    }

    private GradCheckResult Compare(string input, string variant, double[] gradient, double[] reference, double tolerance)
    {
        double error = ReferenceFile.RelativeError(gradient, reference);
        long worst = 0;
        for (int i = 1; i < gradient.Length; i++)
        {
            // What is no number is worse than any difference.
            if (!(Math.Abs(gradient[i] - reference[i]) <= Math.Abs(gradient[worst] - reference[worst])))
                worst = i;
        }

        string reason = !gradient.Any(g => g != 0) ? "the gradient is zero everywhere"
            : error <= tolerance ? ""
            : "differs from float64 by more than rounding its operands explains";
        return new GradCheckResult
        {
            Op = check.Name,
            Input = input,
            Variant = variant,
            Device = rounding.Kind.ToString(),
            RealType = "float32",
            MaxRelativeError = error,
            Tolerance = tolerance,
            Passed = reason.Length == 0,
            WorstIndex = worst,
            Gradient = gradient[worst],
            Difference = reference[worst],
            Probes = gradient.Length,
            Reason = reason,
        };
    }

    private (string[] Names, double[][] Gradients) Gradients<T>(GpuContext context, int seed, Func<double[], double[]> change)
        where T : unmanaged, INumber<T>
    {
        GradCheckFunction<T> function = check.Create<T>(context);
        try
        {
            foreach (Parameter<T> weight in function.Parameters?.Parameters.Where(p => p.Layout != ParameterLayout.Bias) ?? [])
                weight.Upload(context, CaseData.Convert<T>(change(GradCheck.ToDoubles(weight.Download(context)))));
            function =
                function with { Inputs = [.. function.Inputs.Select(input => input with { Values = change(input.Values) })] };
            using Arena arena = new(context);
            (double[]?[] gradients, _) = GradCheck.Differentiate(context, arena, function, new Random(seed));
            string[] names =
                [.. function.Inputs.Select(input => input.Name), .. function.Parameters?.Parameters.Select(p => p.Name) ?? []];
            return (
                names, [.. gradients.Select(
                    (gradient, i) => gradient ?? throw new InvalidOperationException($"gradcheck: {check.Name}: no gradient "
                        + $"reached {names[i]}."))]);
        }
        finally
        {
            function.Parameters?.Dispose();
        }
    }
}
