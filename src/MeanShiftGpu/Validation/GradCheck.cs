using System.Numerics;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>How gradients are compared with finite differences.</summary>
public sealed record GradCheckOptions
{
    /// <summary>
    /// Elements probed by themselves of each input; all of them where there are fewer. Beside them all
    /// elements are moved at once in a random direction, so that a wrong element shows that is not among
    /// these.
    /// </summary>
    public int Samples { get; init; } = 24;

    /// <summary>
    /// Random directions along which all elements of an input are moved at once; 0 for none. A wrong element
    /// of a large tensor shows in any of them, however few elements are probed by themselves: with
    /// <see cref="Samples"/> 0 a tensor of millions is checked by a few evaluations. A direction that does
    /// not agree is halved until the elements stand alone that are to blame.
    /// </summary>
    public int Directions { get; init; } = 1;

    /// <summary>
    /// Chooses the elements, the directions and the weights that reduce an output to one number.
    /// </summary>
    public int Seed { get; init; } = 1;

    /// <summary>
    /// First step of the central differences; 0 takes the cube root of the function's relative rounding error
    /// (which is measured), as a share of the input's largest number. Where it does not settle a probe, steps
    /// from 256 times longer to 256 times shorter are tried.
    /// </summary>
    public double Step { get; init; }

    /// <summary>
    /// Largest relative error; 0 takes 1e-6 where the gradient is float64 and 2e-3 where it is float32.
    /// </summary>
    public double Tolerance { get; init; }

    /// <summary>
    /// How many elements of an input may lie at a kink (ReLU at 0, ties of a pooling, a change of nearest
    /// neighbour) or at a jump (a voxel on the very edge of a mean-shift ball). There any gradient between
    /// the slopes of both sides is accepted, so a wrong one may be too: by default none is allowed.
    /// </summary>
    public int AllowedKinks { get; init; }

    internal const double SingleTolerance = 2e-3;

    /// <summary>Refuses what no check can mean.</summary>
    /// <exception cref="InputException">A number is negative, or is none.</exception>
    internal void Validate()
    {
        const string count = "a whole number from 0 up";
        const string real = "a finite number above 0, or 0 for the default";
        AtLeastZero(nameof(Samples), Samples, count);
        AtLeastZero(nameof(Directions), Directions, count);
        AtLeastZero(nameof(AllowedKinks), AllowedKinks, count);
        AtLeastZero(nameof(Step), Step, real);
        AtLeastZero(nameof(Tolerance), Tolerance, real);

        static void AtLeastZero(string member, double value, string expected)
        {
            if (!double.IsFinite(value) || value < 0)
                throw new InputException($"gradcheck: {member} is {value}. Expected {expected}.");
        }
    }
}

/// <summary>The comparison of one input's gradient with finite differences.</summary>
public sealed record GradCheckResult
{
    /// <summary>The operation.</summary>
    public required string Op { get; init; }

    /// <summary>The input or parameter that was varied.</summary>
    public required string Input { get; init; }

    /// <summary>The kernel variant whose gradient was checked.</summary>
    public required string Variant { get; init; }

    /// <summary>The device.</summary>
    public required string Device { get; init; }

    /// <summary>
    /// float32 or float64: the type of the gradient; differences are taken in float64 where the case allows.
    /// </summary>
    public required string RealType { get; init; }

    /// <summary>
    /// The largest |gradient − difference| / max(|gradient|, |difference|, 1e-3·largest |gradient| of this
    /// input); where the check failed, that of the first wrong probe, which ends it.
    /// </summary>
    public required double MaxRelativeError { get; init; }

    /// <summary>The bound on it, to which the error of the difference itself is added.</summary>
    public required double Tolerance { get; init; }

    /// <summary>Within the bound, with no more kinks than allowed, and some gradient not zero.</summary>
    public required bool Passed { get; init; }

    /// <summary>
    /// The element with the largest error, or the first wrong one, in the input's own order; −1 for all
    /// elements moved at once.
    /// </summary>
    public required long WorstIndex { get; init; }

    /// <summary>The gradient there.</summary>
    public required double Gradient { get; init; }

    /// <summary>The difference there.</summary>
    public required double Difference { get; init; }

    /// <summary>
    /// A bound on the error of the difference itself, by rounding and by its step's length; 0 where the
    /// comparison is with something else.
    /// </summary>
    public double DifferenceError { get; init; }

    /// <summary>Elements and directions compared.</summary>
    public required int Probes { get; init; }

    /// <summary>
    /// Elements at which the slopes of both sides differ, and the gradient lies between them: a warning, for
    /// there it is hardly checked.
    /// </summary>
    public int Kinks { get; init; }

    /// <summary>Why it did not pass, or the warning of kinks; otherwise empty.</summary>
    public required string Reason { get; init; }

    /// <inheritdoc/>
    public override string ToString()
        => $"{(Passed ? "ok  " : "FAIL")} {Op} / {Input} ({RealType}, {Variant}): "
            + (Passed || Reason.Length == 0 ? "largest " : $"{Reason}; ")
            + $"relative error {MaxRelativeError:g3} "
            + $"{(WorstIndex < 0 ? "of all elements at once" : $"at element {WorstIndex}")} "
            + $"(gradient {Gradient:g9}, difference {Difference:g9}{Uncertainty}), tolerance {Tolerance:g3}, "
            + $"{(Passed ? "" : "after ")}{Counted.Of(Probes, "probe")}"
            + (Passed && Reason.Length > 0 ? $"; warning: {Reason}" : "");

    private string Uncertainty => DifferenceError > 0 ? $" ± {DifferenceError:g2}" : "";
}

/// <summary>All comparisons of one call.</summary>
/// <param name="Results">One for each input.</param>
public sealed record GradCheckReport(IReadOnlyList<GradCheckResult> Results)
{
    /// <summary>Whether every input passed.</summary>
    public bool Passed => Results.Count > 0 && Results.All(r => r.Passed);

    /// <summary>
    /// Throws where an input did not pass, with a message that a test framework shows as it is.
    /// </summary>
    /// <exception cref="GradCheckException">An input did not pass, or none was checked.</exception>
    public void ThrowIfFailed()
    {
        if (!Passed)
            throw new GradCheckException(this);
    }

    /// <summary>
    /// The results as a JSON array, as the tool's <c>gradcheck --json</c> writes them; numbers that JSON
    /// cannot hold (NaN, ∞) are null.
    /// </summary>
    public string ToJson()
    {
        using MemoryStream stream = new();
        using (
            Utf8JsonWriter json = new(
                stream,
                new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartArray();
            foreach (GradCheckResult result in Results)
            {
                json.WriteStartObject();
                json.WriteString("op", result.Op);
                json.WriteString("input", result.Input);
                json.WriteString("variant", result.Variant);
                json.WriteString("device", result.Device);
                json.WriteString("realType", result.RealType);
                Number("maxRelativeError", result.MaxRelativeError);
                Number("tolerance", result.Tolerance);
                json.WriteBoolean("passed", result.Passed);
                json.WriteNumber("worstIndex", result.WorstIndex);
                Number("gradient", result.Gradient);
                Number("difference", result.Difference);
                Number("differenceError", result.DifferenceError);
                json.WriteNumber("probes", result.Probes);
                json.WriteNumber("kinks", result.Kinks);
                json.WriteString("reason", result.Reason);
                json.WriteEndObject();
            }

            json.WriteEndArray();

            void Number(string name, double value)
            {
                if (double.IsFinite(value))
                    json.WriteNumber(name, value);
                else
                    json.WriteNull(name);
            }
        }

        return Encoding.UTF8.GetString(stream.ToArray());
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
    where T : unmanaged, INumber<T>
{
    /// <summary>Refuses what would only show in the middle of a check.</summary>
    /// <exception cref="ArgumentNullException">The inputs or the function are null.</exception>
    /// <exception cref="ArgumentException">An input, or its numbers, are null.</exception>
    internal void Check()
    {
        ArgumentNullException.ThrowIfNull(Inputs, "inputs");
        ArgumentNullException.ThrowIfNull(Function, "function");
        for (int i = 0; i < Inputs.Count; i++)
        {
            if (Inputs[i]?.Values is null)
                throw new ArgumentException(
                    $"gradcheck: input {i} has no numbers (null), expected those of its shape.", "inputs");
        }
    }

    /// <summary>The function's result.</summary>
    /// <exception cref="ArgumentException">It is null.</exception>
    internal Tensor<T> Compute(Tape<T> tape, IReadOnlyList<Tensor<T>> inputs)
        => Function(tape, inputs)
            ?? throw new ArgumentException("gradcheck: the function returned null, expected a tensor.");
}

/// <summary>Compares backward passes with central differences of the forward pass.</summary>
public static class GradCheck
{
    /// <summary>Checks a function of one tensor.</summary>
    /// <param name="context">The device.</param>
    /// <param name="function">Computes a tensor of any shape from the input.</param>
    /// <param name="values">The input's numbers, [N, D, H, W, C].</param>
    /// <param name="shape">The input's extents.</param>
    /// <param name="options">Samples, step, tolerance.</param>
    /// <param name="name">The operation's name in the report.</param>
    /// <exception cref="ArgumentNullException">The device, the function or the numbers are null.</exception>
    /// <exception cref="ArgumentException">The function returned null, or the numbers do not fill the
    /// shape.</exception>
    public static GradCheckReport Run<T>(
        GpuContext context,
        Func<Tape<T>, Tensor<T>, Tensor<T>> function,
        double[] values,
        TensorShape shape,
        GradCheckOptions? options = null,
        string name = "function")
        where T : unmanaged, INumber<T>
    {
        ArgumentNullException.ThrowIfNull(function);
        ArgumentNullException.ThrowIfNull(values);
        return Run<T>(
            context, (tape, x) => function(tape, x[0]), [new GradCheckInput("input", shape, values)], parameters: null, options,
            name);
    }

    /// <summary>
    /// Checks a function of several tensors and of parameters: the gradient with respect to each of them.
    /// </summary>
    /// <param name="context">The device.</param>
    /// <param name="function">Computes a tensor of any shape from the inputs, in their order, and from the
    /// parameters.</param>
    /// <param name="inputs">The tensors: names for the report, extents and numbers.</param>
    /// <param name="parameters">The parameters, allocated on the device; they are moved and put back. Null
    /// for none.</param>
    /// <param name="options">Samples, directions, step, tolerance.</param>
    /// <param name="name">The operation's name in the report.</param>
    /// <returns>A result for each input, then for each parameter.</returns>
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
        GradCheckFunction<T> checkedFunction = new(inputs, parameters, function);
        checkedFunction.Check();
        using CentralDifferences<T> differences = new(context, checkedFunction);
        return Run(context, checkedFunction, differences, options ?? new GradCheckOptions(), name, "Auto");
    }

    /// <summary>
    /// Checks the gradients of a function in one type against differences of the same function in another (or
    /// the same): float32 gradients are best judged by float64 differences.
    /// </summary>
    /// <param name="context">The device (with its variants) of the gradients.</param>
    /// <param name="gradients">The function whose gradients are checked.</param>
    /// <param name="differences">Differences of the same function, in the type in which they are taken; they
    /// are kept for the next variant.</param>
    /// <param name="options">Samples, step, tolerance.</param>
    /// <param name="name">The operation's name in the report.</param>
    /// <param name="variant">The variant's name in the report.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The function returned null, or the two are not one
    /// function.</exception>
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
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(gradients);
        ArgumentNullException.ThrowIfNull(differences);
        ArgumentNullException.ThrowIfNull(options);
        gradients.Check();
        options.Validate();
        double tolerance = options.Tolerance > 0 ? options.Tolerance : IsDouble<T>() ? 1e-6 : GradCheckOptions.SingleTolerance;
        using Arena arena = new(context);
        (double[]?[] analytic, double[] weights) = Differentiate(context, arena, gradients, new Random(options.Seed));
        differences.Weigh(weights);
        for (int i = 0; i < analytic.Length; i++)
        {
            if (analytic[i] is { } found && found.Length != differences.Count(i))
                throw new ArgumentException(
                    $"gradcheck: {name}: {differences.Name(i)} has {found.Length} elements where its gradient is taken and " +
                    $"{differences.Count(i)} where its differences are. Expected one function.",
                    nameof(differences));
        }

        return new GradCheckReport([.. analytic.Select((gradient, i) => Compare(gradient, i))]);

        GradCheckResult Compare(double[]? gradient, int input)
        {
            InputCheck<TDifference> check = new(differences, options, tolerance, input);
            check.Run(gradient);
            return new GradCheckResult
            {
                Op = name,
                Input = differences.Name(input),
                Variant = variant,
                Device = context.Kind.ToString(),
                RealType = IsDouble<T>() ? "float64" : "float32",
                MaxRelativeError = check.Error,
                Tolerance = tolerance,
                Passed = check.Passed,
                WorstIndex = check.WorstElement,
                Gradient = check.Gradient,
                Difference = check.Difference,
                DifferenceError = check.DifferenceError,
                Probes = check.Probes,
                Kinks = check.Kinks,
                Reason = check.Reason,
            };
        }
    }

    // One input's gradient against differences.
    private sealed class InputCheck<T>(CentralDifferences<T> differences, GradCheckOptions options, double tolerance, int input)
        where T : unmanaged, INumber<T>
    {
        private readonly Probe probe = new(differences.At, differences.Noise, tolerance);
        private readonly double first = FirstStep(differences, options, input);
        private readonly List<ProbeResult> kinks = [];
        private double[] gradient = [];
        private double largest;
        private ProbeResult? worst;
        private int wrong;

        public bool Passed => Reason.Length == 0 || (wrong == 0 && kinks.Count > 0 && kinks.Count <= options.AllowedKinks);

        public string Reason { get; private set; } = "";

        public double Error => worst?.Error ?? 0;

        public long WorstElement => worst is null ? 0 : worst.Move.Count == 1 ? worst.Move.First : -1;

        public double Gradient => worst?.Gradient ?? 0;

        public double Difference => worst?.Difference ?? 0;

        public double DifferenceError => worst?.Uncertainty ?? 0;

        public int Probes { get; private set; }

        public int Kinks => kinks.Count;

        // One wrong probe settles an input, and so does a kink too many: the others would only cost time.
        private bool Settled => wrong > 0 || kinks.Count > options.AllowedKinks;

        public void Run(double[]? found)
        {
            gradient = found ?? new double[differences.Count(input)];
            largest = gradient.Max(Math.Abs);
            // Whether it is among the probes or not: a gradient that is no number is wrong, and worse than
            // any other.
            if (Array.FindIndex(gradient, g => !double.IsFinite(g)) is >= 0 and int notFinite)
            {
                Move there = Move.Single(input, notFinite);
                double difference = differences.At(there, first).Central;
                worst = new ProbeResult(there, ProbeOutcome.Differs, double.NaN, gradient[notFinite], difference, 0);
                Fail($"the gradient is not finite at {gradient.Count(g => !double.IsFinite(g))} of {gradient.Length} elements");
                return;
            }

            // An input that no gradient reaches at all would pass any comparison with itself where the
            // function is constant.
            if (largest == 0)
            {
                Examine(Move.All(input, gradient.Length, options.Seed));
                Fail(found is null ? "no gradient reached this input"
                    : Difference != 0 ? "the gradient is zero everywhere"
                    : "the gradient is zero everywhere, and so are the differences: nothing is checked");
                return;
            }

            Random random = new(unchecked(options.Seed * 1009 + input));
            foreach (long element in ChooseElements(gradient.Length, options.Samples, random))
            {
                if (!Settled)
                    Examine(Move.Single(input, element));
            }

            // All elements of a single one are that element, which is probed once.
            for (int i = 0; i < options.Directions && (gradient.Length > 1 || Probes == 0) && !Settled; i++)
                Examine(Move.All(input, gradient.Length, unchecked(options.Seed + 7919 * i)));
            if (Probes == 0 && wrong == 0)
                Fail("nothing was probed: samples and directions are 0");
            Reason = (Reason, kinks.Count) switch
            {
                ({ Length: > 0 }, _) => Reason,
                (_, 0) => "",
                (_, int count) => KinkReason(count),
            };
        }

        private void Fail(string reason)
        {
            wrong++;
            Reason = reason;
        }

        private string KinkReason(int count)
        {
            (double below, double above) = kinks[0].Slopes!.Value;
            string what = $"{Counted.Of(count, "element")} at a kink or jump, the first {kinks[0].Move.First} " +
                $"(slopes {below:g9} and {above:g9}, gradient {kinks[0].Gradient:g9})";
            return count > options.AllowedKinks
                ? $"{what}, {options.AllowedKinks} allowed: move the input away from there, or allow it (AllowedKinks)"
                : $"{what}; there any gradient between the slopes is accepted";
        }

        // A direction that does not simply agree is halved until the elements stand alone that are to blame.
        // Says whether there is one.
        private bool Examine(Move move)
        {
            if (move.Count == 1 && kinks.Any(kink => kink.Move == move))
                return true;
            ProbeResult result = probe.Judge(move, Along(move, static g => g), Size(move), first);
            Probes++;
            if (result.Outcome == ProbeOutcome.Agrees)
            {
                if (!(result.Error <= worst?.Error) && wrong == 0)
                    worst = result;
                return false;
            }

            if (move.Count > 1)
            {
                (Move left, Move right) = move.Halves();
                bool found = Examine(left);
                if (!Settled)
                    found |= Examine(right);
                if (found || result.Outcome == ProbeOutcome.Kink)
                    return found;
            }

            // An element, or a direction neither half of which shows it alone.
            if (result.Outcome == ProbeOutcome.Kink)
            {
                kinks.Add(result);
                return true;
            }

            worst = result;
            Fail(Explain(result));
            return true;
        }

        private string Explain(ProbeResult result)
        {
            if (result.Outcome == ProbeOutcome.Imprecise)
            {
                return $"precision: the function's rounding error of {differences.Noise:g2} leaves differences an error of " +
                    $"{result.Uncertainty:g2}, too much for the tolerance; scale the function or its input, or set a larger "
                    + "tolerance";
            }

            if (double.IsNaN(result.Difference))
                return "the function is not finite beside this point";
            return result.Slopes is { } slopes
                && Math.Abs(slopes.Above - slopes.Below) > 10 * tolerance * Math.Max(
                    Math.Abs(slopes.Above), Math.Abs(slopes.Below))
                ? $"mismatch at a kink or jump with the slopes {slopes.Below:g9} and {slopes.Above:g9}"
                : "mismatch";
        }

        private double Along(Move move, Func<double, double> of)
        {
            double sum = 0;
            for (long i = move.First; i < move.First + move.Count; i++)
                sum += of(gradient[i] * move.Factor(i));
            return sum;
        }

        // To what an error is relative: the input's largest gradient, or the length of what is summed where
        // that is more.
        private double Size(Move move)
            => move.Count == 1 ? largest : Math.Max(largest * move.Scale / 2, Math.Sqrt(Along(move, static g => g * g)));

        // Rounding falls with the step and truncation grows with its square.
        private static double FirstStep(CentralDifferences<T> differences, GradCheckOptions options, int input)
        {
            if (options.Step > 0)
                return options.Step;
            double magnitude = differences.Magnitude;
            double relative = magnitude > 0 && double.IsFinite(magnitude) ? differences.Noise / magnitude : 0;
            return differences.Unit(input) * Math.Clamp(Math.Cbrt(relative), 1e-6, 1e-2);
        }
    }

    private static bool IsDouble<T>() => typeof(T) == typeof(double);

    // The gradients of Σ weight·output with respect to every input and parameter, null where none arrived,
    // and the weights.
    internal static (
        double[]?[] Gradients, double[] Weights) Differentiate<T>(
            GpuContext context, Arena arena, GradCheckFunction<T> function, Random random)
        where T : unmanaged, INumber<T>
    {
        RefuseUnusable<T>(function.Inputs);
        function.Parameters?.ZeroGradients(context);
        using Tape<T> tape = Tape<T>.Begin(arena);
        List<Tensor<T>> inputs = Upload(tape, function.Inputs, (_, values) => values);
        Tensor<T> output = function.Compute(tape, inputs);
        // Numbers of 8 bits, which every precision holds exactly.
        double[] weights = new double[output.Shape.Length];
        for (int i = 0; i < weights.Length; i++)
            weights[i] = output.Shape == TensorShape.Scalar ? 1 : (2 * random.Next(-64, 64) + 1) / 128.0;
        // A function that records no backward pass at all reaches no input.
        if (output.RequiresGradient)
            tape.Backward(output, Array.ConvertAll(weights, T.CreateChecked));

        List<double[]?> gradients = [.. inputs.Select(x => x.Storage.HasGradient ? ToDoubles(x.GradientToArray(context)) : null)];
        foreach (Parameter<T> parameter in function.Parameters?.Parameters ?? [])
        {
            T[] values = new T[parameter.Length];
            parameter.Gradient.CopyToCPU(context.Stream, values);
            context.Synchronize();
            gradients.Add(ToDoubles(values));
        }

        return ([.. gradients], weights);
    }

    // A gradient with respect to nothing, or at no number, says nothing about the backward pass.
    private static void RefuseUnusable<T>(IReadOnlyList<GradCheckInput> inputs)
        where T : unmanaged, INumber<T>
    {
        foreach (GradCheckInput input in inputs)
        {
            if (input.Values.Length == 0)
                throw new ArgumentException($"gradcheck: {input.Name}: the input has no elements. Expected one or more.");
            if (Array.FindIndex(input.Values, v => !T.IsFinite(T.CreateChecked(v))) is >= 0 and int i)
                throw new ArgumentException($"gradcheck: {input.Name}: the input is not finite: element {i} is "
                    + $"{input.Values[i]}. Expected numbers that {(IsDouble<T>() ? "float64" : "float32")} holds.");
        }
    }

    internal static List<Tensor<T>> Upload<T>(
        Tape<T> tape, IReadOnlyList<GradCheckInput> inputs, Func<int, double[], double[]> change)
        where T : unmanaged, INumber<T>
        => [.. inputs.Select(
            (x, i) => tape.Upload(Array.ConvertAll(change(i, x.Values), T.CreateChecked), x.Shape, requiresGradient: true))];

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
