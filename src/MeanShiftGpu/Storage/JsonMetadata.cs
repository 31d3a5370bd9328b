using System.Text.Json;
using System.Text.Json.Serialization;

namespace MeanShiftGpu.Storage;

/// <summary>
/// Settings that a safetensors file holds as JSON among its texts. Whoever wrote the file may be no friend:
/// what is missing or impossible is refused by name.
/// </summary>
internal static class JsonMetadata
{
    // Words where a person reads it, numbers where only this program does; both are read.
    private static readonly JsonSerializerOptions Reading = new()
    {
        Converters = { new JsonStringEnumConverter() },
        RespectNullableAnnotations = true,
        MaxDepth = 16,
    };

    /// <summary>Reads settings.</summary>
    /// <param name="path">The file, for messages.</param>
    /// <param name="key">The text's key.</param>
    /// <param name="json">The text.</param>
    /// <param name="expected">What it should be, for messages.</param>
    /// <param name="validate">Refuses, by an <see cref="InputException"/>, what the types allow but nothing
    /// could have written.</param>
    /// <exception cref="InputException">The text is something else, or a value in it is
    /// impossible.</exception>
    public static T Read<T>(string path, string key, string json, string expected, Action<T> validate)
        where T : class
    {
        try
        {
            T read = JsonSerializer.Deserialize<T>(json, Reading) ?? throw new JsonException("null");
            validate(read);
            return read;
        }
        // Half a surrogate pair is no text, which the reader finds out as the text is asked for.
        catch (Exception e) when (e is JsonException or InputException or InvalidOperationException
            or NotSupportedException or OverflowException or ArgumentException)
        {
            throw new InputException(
                $"{path}: metadata '{key}' is not {expected}: {ProblemOf(e)} Use a file that 'train' wrote.", e);
        }
    }

    // The reader's own words name types of this program.
    private static string ProblemOf(Exception e)
        => e is JsonException { Path: { Length: > 2 } place }
            ? $"{place[2..]} is null, or no value of its kind."
            : InputFile.OneLine(e.Message);
}
