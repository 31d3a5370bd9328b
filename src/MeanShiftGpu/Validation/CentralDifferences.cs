using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>
/// Differences of a function's values, each computed once: all variants of an operation are compared with the
/// same ones.
/// </summary>
/// <param name="context">The device.</param>
/// <param name="function">The function; its parameters are moved and put back.</param>
public sealed class CentralDifferences<T>(GpuContext context, GradCheckFunction<T> function) : IDisposable
    where T : unmanaged, INumber<T>
{
    // Points beside each other at which the function's rounding is looked at.
    private const int NoisePoints = 9;

    private readonly Arena arena = new(context);
    private readonly Dictionary<(Move Move, double Step), Slopes> known = [];
    private double[] weights = [];
    private double[]? atRest;
    private double? noise;

    /// <summary>The name of an input; parameters follow the tensors.</summary>
    public string Name(int input) => input < function.Inputs.Count
        ? function.Inputs[input].Name
        : function.Parameters!.Parameters[input - function.Inputs.Count].Name;

    /// <summary>How many elements an input has.</summary>
    public long Count(int input) => input < function.Inputs.Count
        ? function.Inputs[input].Values.Length
        : function.Parameters!.Parameters[input - function.Inputs.Count].Length;

    /// <inheritdoc/>
    public void Dispose() => arena.Dispose();

    /// <summary>
    /// Sets the weights that reduce an output to one number; others than before make known differences void.
    /// </summary>
    internal void Weigh(double[] outputWeights)
    {
        if (weights.AsSpan().SequenceEqual(outputWeights))
            return;
        weights = outputWeights;
        known.Clear();
        noise = null;
    }

    /// <summary>Σ |weight·output|: the size of what is differentiated.</summary>
    internal double Magnitude => AtRest.Zip(weights, (output, weight) => Math.Abs(output * weight)).Sum();

    /// <summary>
    /// The size of an input's numbers, in which steps along it are counted; 1 where all of them are 0.
    /// </summary>
    internal double Unit(int input)
    {
        double largest = Values(input).Max(Math.Abs);
        return largest > 0 && double.IsFinite(largest) ? largest : 1;
    }

    /// <summary>
    /// A bound on the rounding error of Σ weight·output, as seen: at points so near each other that the
    /// function itself is a straight line, second differences are rounding alone.
    /// </summary>
    internal double Noise => noise ??= MeasureNoise();

    /// <summary>The slopes of Σ weight·output between x − h, x and x + h along a direction.</summary>
    internal Slopes At(Move move, double step)
    {
        if (known.TryGetValue((move, step), out Slopes slopes))
            return slopes;
        double[] values = Values(move.Input);
        double[] above = Moved(values, move, step);
        double[] below = Moved(values, move, -step);
        // The points actually evaluated, rounded to T, are what the differences are divided by.
        double up = Displacement(values, above, move);
        double down = Displacement(below, values, move);
        double[] aboveOutput = Evaluate(move.Input, above);
        double[] belowOutput = Evaluate(move.Input, below);
        double[] rest = AtRest;
        // Differences element by element keep the digits that two large sums would lose.
        double rise = Difference(aboveOutput, rest);
        double fall = Difference(rest, belowOutput);
        slopes = new Slopes(rise / up, fall / down, Difference(aboveOutput, belowOutput) / (up + down));
        known.Add((move, step), slopes);
        return slopes;
    }

    private double[] AtRest => atRest ??= Evaluate(-1, []);

    private double Difference(double[] above, double[] below)
    {
        double sum = 0;
        for (int i = 0; i < weights.Length; i++)
            sum += weights[i] * (above[i] - below[i]);
        return sum;
    }

    private double MeasureNoise()
    {
        double epsilon = typeof(T) == typeof(double) ? Math.Pow(2, -52) : Math.Pow(2, -23);
        double floor = epsilon * AtRest.Zip(weights, (output, weight) => Math.Abs(output * weight)).Max();
        List<double> seen = [];
        for (int input = 0; input < function.Inputs.Count + (function.Parameters?.Parameters.Count ?? 0) && input < 2; input++)
        {
            // Far enough apart that T tells the points from each other, near enough that no curvature shows.
            double spacing = 64 * epsilon * Unit(input);
            double[] values = Values(input);
            Move move = Move.All(input, values.Length, seed: 0);
            double[] line = new double[NoisePoints];
            for (int i = 0; i < NoisePoints; i++)
                line[i] = Difference(Evaluate(input, Moved(values, move, (i - NoisePoints / 2) * spacing)), AtRest);
            for (int i = 1; i < NoisePoints - 1; i++)
                seen.Add(Math.Abs(line[i - 1] - 2 * line[i] + line[i + 1]));
        }

        // The median does not see a jump that happens to lie there; of normally distributed errors of
        // deviation 1 it is 1.65.
        double median = seen.Count == 0 ? 0 : seen.Order().ElementAt(seen.Count / 2);
        return double.IsFinite(median) ? Math.Max(floor, 3 * median) : floor;
    }

    private static double Displacement(double[] from, double[] to, Move move)
    {
        double along = 0;
        double length = 0;
        for (long i = move.First; i < move.First + move.Count; i++)
        {
            double factor = move.Factor(i);
            along += factor * (to[i] - from[i]);
            length += factor * factor;
        }

        return along / length;
    }

    private static double[] Moved(double[] values, Move move, double step)
    {
        double[] moved = [.. values];
        for (long i = move.First; i < move.First + move.Count; i++)
            moved[i] = Rounded(values[i] + step * move.Factor(i));
        return moved;
    }

    private static double Rounded(double value) => double.CreateChecked(T.CreateChecked(value));

    private double[] Values(int input)
    {
        if (input < function.Inputs.Count)
            return Array.ConvertAll(function.Inputs[input].Values, Rounded);
        return GradCheck.ToDoubles(function.Parameters!.Parameters[input - function.Inputs.Count].Download(context));
    }

    /// <summary>The output with one input's numbers replaced; −1 replaces none.</summary>
    internal double[] Evaluate(int replaced, double[] values)
    {
        bool isTensor = replaced < function.Inputs.Count;
        Parameter<T>? parameter = isTensor ? null : function.Parameters!.Parameters[replaced - function.Inputs.Count];
        T[] original = parameter?.Download(context) ?? [];
        parameter?.Upload(context, Array.ConvertAll(values, T.CreateChecked));
        try
        {
            using Tape<T> tape = Tape<T>.Begin(arena, inference: true);
            List<Tensor<T>> inputs = GradCheck.Upload(
                tape, function.Inputs, (i, unchanged) => i == replaced ? values : unchanged);
            return GradCheck.ToDoubles(function.Compute(tape, inputs).ToArray(context));
        }
        finally
        {
            parameter?.Upload(context, original);
        }
    }
}

/// <summary>
/// Slopes of a function along a direction: from x to x + h, from x − h to x, and over both.
/// </summary>
internal readonly record struct Slopes(double Forward, double Backward, double Central);

/// <summary>
/// How an input is moved: a single element by the step, or several elements at once, each by a random factor
/// of it. A wrong element that is not among the samples shows in the second.
/// </summary>
/// <param name="Input">Which input.</param>
/// <param name="First">The first element that moves.</param>
/// <param name="Count">How many elements move.</param>
/// <param name="Seed">Chooses the factors; of single elements 0.</param>
/// <param name="Scale">Multiplies every factor.</param>
internal readonly record struct Move(int Input, long First, long Count, int Seed, double Scale)
{
    /// <summary>One element alone.</summary>
    public static Move Single(int input, long element) => new(input, element, 1, 0, 1);

    /// <summary>
    /// All elements. The more they are the less each moves, so that neither curvature nor rounding drowns the
    /// slope.
    /// </summary>
    public static Move All(int input, long count, int seed) => new(input, 0, count, seed, Math.Pow(count, -0.25));

    /// <summary>The two halves of a direction; a half of one element is that element alone.</summary>
    public (Move First, Move Second) Halves()
    {
        long half = Count / 2;
        return (Part(First, half), Part(First + half, Count - half));
    }

    /// <summary>
    /// What an element's step is multiplied by: ±(0.5 to 1), so that no two errors cancel by being equal.
    /// </summary>
    public double Factor(long element)
    {
        if (Count == 1)
            return 1;
        // A hash of the element (the finaliser of SplitMix64): it does not depend on which elements move
        // beside it.
        ulong z = (ulong)element * 0x9E3779B97F4A7C15 + ((ulong)Seed + 1) * 0xD1B54A32D192ED03;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        z ^= z >> 31;
        double magnitude = 0.5 + 0.5 * ((z >> 12) / (double)(1UL << 52));
        return (z & 1) == 0 ? Scale * magnitude : -Scale * magnitude;
    }

    private Move Part(long first, long count) => count == 1 ? Single(Input, first) : this with { First = first, Count = count };
}
