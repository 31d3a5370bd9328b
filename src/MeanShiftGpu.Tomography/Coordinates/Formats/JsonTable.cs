using System.Text.Encodings.Web;
using System.Text.Json;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Coordinates.Formats;

/// <summary>
/// What formats in JSON share: reading with one-line errors, and being told apart by a property of the root.
/// </summary>
internal static class JsonTable
{
    private const long MaxBytes = 1L << 29;

    public static readonly JsonWriterOptions WriterOptions =
        new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // Of a property that stands twice the last would count without a word.
    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false };

    /// <summary>Whether a file has a property.</summary>
    public static bool Has(string path, string property)
        => Read(path, "a table of coordinates in JSON", root => root.TryGetProperty(property, out _));

    /// <summary>Parses a file whose root is an object.</summary>
    public static T Read<T>(string path, string expected, Func<JsonElement, T> parse)
    {
        byte[] bytes = InputFile.ReadAllBytes(path, MaxBytes, expected);
        if (bytes.Length == 0)
            throw new InputException($"{path}: is empty. Expected {expected}.");
        try
        {
            // Python writes NaN and Infinity, which are no JSON; they are refused where a number is needed,
            // by the parser.
            using JsonDocument document = JsonDocument.Parse(
                bytes.AsSpan().StartsWith("\uFEFF"u8) ? bytes.AsMemory(3) : bytes, Options);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? parse(document.RootElement)
                : throw new InputException($"{path}: is no JSON object; expected {expected}.");
        }
        catch (JsonException e)
        {
            throw new InputException($"{path}: {InputFile.JsonProblem(e)} Expected {expected}.", e);
        }
        // Text with half a surrogate pair is found when it is asked for.
        catch (InvalidOperationException e)
        {
            throw new InputException($"{path}: {InputFile.OneLine(e.Message)} Expected {expected}.", e);
        }
    }

    /// <summary>A finite number, or null where there is none.</summary>
    public static double? Number(string path, string where, JsonElement element)
        => element.ValueKind switch
        {
            JsonValueKind.Null => null,
            JsonValueKind.Number when element.TryGetDouble(out double value) && double.IsFinite(value) => value,
            _ => throw new InputException($"{path}: {where} is {InputFile.Quote(element.ToString())}; expected a number."),
        };

    /// <summary>A whole number, or null where there is none.</summary>
    public static int? Whole(string path, string where, JsonElement element)
        => Number(path, where, element) is not { } value ? null
            : value == Math.Floor(value) && Math.Abs(value) <= int.MaxValue ? (int)value
            : throw new InputException($"{path}: {where} is {value}; expected a whole number.");

    /// <summary>A property's number; null where there is none.</summary>
    public static double? Number(string path, string where, JsonElement parent, string name)
        => parent.TryGetProperty(name, out JsonElement element) ? Number(path, $"{where}{name}", element) : null;

    /// <summary>A property's text; null where there is none.</summary>
    public static string? Text(string path, string where, JsonElement parent, string name)
        => !parent.TryGetProperty(name, out JsonElement element) || element.ValueKind == JsonValueKind.Null ? null
            : element.ValueKind == JsonValueKind.String ? element.GetString()
            : throw new InputException($"{path}: {where}{name} is {InputFile.Quote(element.ToString())}; expected a text.");

    /// <summary>A property that is a list.</summary>
    public static JsonElement List(string path, JsonElement parent, string name, string expected)
        => parent.TryGetProperty(name, out JsonElement element) && element.ValueKind == JsonValueKind.Array
            ? element
            : throw new InputException($"{path}: \"{name}\" is missing or no list; expected {expected}.");
}
