using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;

namespace MeanShiftGpu.Cli;

/// <summary>Options with values of this program's kinds, and errors that say what was expected.</summary>
internal static class Parse
{
    private const string WholeNumber = "a whole number";
    private const string Up = " up";

    /// <summary>Any text; null where it was not given.</summary>
    public static Option<string?> Text(string name, string valueName, string description, bool required = false)
        => Create<string?>(name, valueName, description, text => text.Length > 0 ? text : null, "some text", required);

    /// <summary>Several texts, given one after the other or by repeating the option.</summary>
    public static Option<string[]> Texts(string name, string valueName, string description, bool required = false)
        => new(name)
        {
            Description = description,
            HelpName = valueName,
            Required = required,
            AllowMultipleArgumentsPerToken =
            true,
            Arity = ArgumentArity.OneOrMore
        };

    /// <summary>A whole number within bounds.</summary>
    public static Option<int?> Integer(string name, string description, int minimum = int.MinValue, int maximum = int.MaxValue)
        => Create<int?>(
            name, "N", description,
            text => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
                && value >= minimum && value <= maximum ? value : null,
            $"{WholeNumber}{Bounds(minimum == int.MinValue ? null : minimum, maximum == int.MaxValue ? null : maximum)}");

    /// <summary>A whole number within bounds, with a default that the help shows.</summary>
    public static Option<int> Integer(string name, string description, int fallback, int minimum, int maximum)
        => new(name)
        {
            Description = description,
            HelpName = "N",
            DefaultValueFactory = _ => fallback,
            CustomParser = result => Single(
                name, result, text => int
                    .TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
                        && value >= minimum && value <= maximum ? value : (int?)null,
                $"{WholeNumber}{Bounds(minimum, maximum == int.MaxValue ? null : maximum)}") ?? fallback,
        };

    /// <summary>A finite number within bounds.</summary>
    public static Option<double?> Real(
        string name, string description, double minimum = double.NegativeInfinity, double maximum = double.PositiveInfinity)
        => Create<double?>(
            name, "X", description,
            text => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
                && double.IsFinite(value) && value >= minimum && value <= maximum ? value : null,
            $"a number{Bounds(double.IsFinite(minimum) ? minimum : null, double.IsFinite(maximum) ? maximum : null)}");

    /// <summary>One of some words.</summary>
    public static Option<T?> Choice<T>(string name, string description, IReadOnlyDictionary<string, T> words)
        where T : struct
        => Create<T?>(
            name, string.Join('|', words.Keys), description,
            text => words.TryGetValue(text.ToLowerInvariant(), out T value) ? value : null,
            $"one of {string.Join(", ", words.Keys)}");

    /// <summary>Words for an enumeration: FlipsAndSwaps is flips-and-swaps.</summary>
    public static Option<T?> Choice<T>(string name, string description)
        where T : struct, Enum
    {
        // No dictionary, which would be compiled for each enumeration whenever the program starts.
        string[] words = Array.ConvertAll(Enum.GetNames<T>(), Word);
        T[] values = Enum.GetValues<T>();
        return Create<T?>(
            name, string.Join('|', words), description,
            text => Array.IndexOf(words, text.ToLowerInvariant()) is >= 0 and int i ? values[i] : null,
            $"one of {string.Join(", ", words)}");
    }

    /// <summary>A kind of device, of GPUs with a number behind a colon where one is meant.</summary>
    public static Option<DeviceChoice?> Device(string name, string description)
    {
        string[] words = [.. Enum.GetNames<DeviceKind>().Select(k => k.ToLowerInvariant())];
        return Create<DeviceChoice?>(
            name, string.Join('|', words), description,
            text => GpuContext.TryParseDevice(text, out DeviceKind kind, out int? index) ? new DeviceChoice(kind, index) : null,
            $"one of {string.Join(", ", words)}");
    }

    /// <summary>A size in voxels: one number for a cube, or z,y,x.</summary>
    public static Option<Extent?> Size(string name, string description)
        => Create<Extent?>(
            name, "N|Z,Y,X", description,
            text => Integers(text, 1, 1 << 20) switch
            {
                [int edge] => new Extent(edge, edge, edge),
                [int depth, int height, int width] => new Extent(depth, height, width),
                _ => null,
            },
            "one edge in voxels, or three as z,y,x");

    /// <summary>A list of whole numbers, separated by commas; empty where it was not given.</summary>
    public static Option<int[]?> IntegerList(string name, string valueName, string description, int minimum, int maximum)
        => Create<int[]?>(name, valueName, description, text => Integers(text, minimum, maximum), "a list of whole numbers "
            + $"from {minimum} to {maximum}, separated by commas");

    /// <summary>
    /// A list of numbers that are not negative, separated by commas; empty where it was not given.
    /// </summary>
    public static Option<double[]?> RealList(string name, string description)
        => Create<double[]?>(
            name, "X,X,…", description,
            text =>
            {
                double[] values =
                    [.. text.Split(',').Select(
                        t => double.TryParse(t, NumberStyles.Float, CultureInfo.InvariantCulture, out double v) ? v
                            : double.NaN)];
                return values.All(v => v >= 0 && double.IsFinite(v)) ? values : null;
            },
            "a list of numbers from 0 up, separated by commas");

    /// <summary>Three finite numbers, separated by commas; null where it was not given.</summary>
    public static Option<double[]?> RealTriple(string name, string valueName, string description)
        => Create<double[]?>(
            name, valueName, description,
            text =>
            {
                double[] values =
                    [.. text.Split(',').Select(
                        t => double.TryParse(t, NumberStyles.Float, CultureInfo.InvariantCulture, out double v) ? v
                            : double.NaN)];
                return values.Length == 3 && values.All(double.IsFinite) ? values : null;
            },
            "three numbers, separated by commas");

    /// <summary>Required files as arguments.</summary>
    public static Argument<string[]> Files(string name, string description, ArgumentArity arity)
        => new(name) { Description = description, Arity = arity };

    /// <summary>The word for an enumeration's value: FlipsAndSwaps is flips-and-swaps.</summary>
    public static string Word<T>(T value)
        where T : struct, Enum
        => Word(value.ToString());

    private static string Word(string name)
        => string.Concat(name.Select((c, i) => char.IsUpper(c) ? (i > 0 ? "-" : "") + char.ToLowerInvariant(c) : c.ToString()));

    private static Option<T> Create<T>(
        string name, string valueName, string description, Func<string, T> convert, string expected, bool required = false)
        => new(name)
        {
            Description = description,
            HelpName = valueName,
            Required = required,
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = result => Single(name, result, convert, expected),
        };

    private static T Single<T>(string name, ArgumentResult result, Func<string, T> convert, string expected)
    {
        string text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        T value = convert(text);
        // The parser's own message names .NET types; this one says what to write.
        if (value is null)
            result.AddError($"{name}: '{text}' is not {WithLimit(text, expected)}");
        return value;
    }

    // Of whole numbers the largest is said only to whoever gives a larger one.
    private static string WithLimit(string text, string expected)
        => expected.StartsWith(WholeNumber, StringComparison.Ordinal) && expected.EndsWith(Up, StringComparison.Ordinal)
            && double.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out double value)
            && value > int.MaxValue ? $"{expected[..^Up.Length]} to {int.MaxValue}" : expected;

    private static int[]? Integers(string text, int minimum, int maximum)
    {
        List<int> values = [];
        foreach (string part in text.Split(','))
        {
            if (!int.TryParse(part, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) || value < minimum
                || value > maximum)
                return null;
            values.Add(value);
        }

        return [.. values];
    }

    private static string Bounds(double? minimum, double? maximum)
        => (minimum, maximum) switch
        {
            (null, null) => "",
            (_, null) => $" from {minimum}{Up}",
            (null, _) => $" up to {maximum}",
            _ => $" from {minimum} to {maximum}",
        };
}

/// <summary>A device as the command line names it.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Index">Which of that kind; null where any will do.</param>
internal readonly record struct DeviceChoice(DeviceKind Kind, int? Index);
