using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using MeanShiftGpu.Storage;

namespace MeanShiftGpu.Tomography.Files;

/// <summary>
/// Machine-readable results: camelCase names, enumerations as words, numbers that JSON cannot hold (NaN, ∞)
/// as null.
/// </summary>
internal static class JsonOutput
{
    public static readonly JsonSerializerOptions Options = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase), new DoubleConverter(), new SingleConverter() },
    };

    /// <summary>Writes a result; the file is complete or not there.</summary>
    public static void Write<T>(string path, T result)
        => AtomicFile.Write(path, stream =>
        {
            JsonSerializer.Serialize(stream, result, Options);
            stream.WriteByte((byte)'\n');
        });

    private sealed class DoubleConverter : JsonConverter<double>
    {
        public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
            => reader.GetDouble();

        public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options)
        {
            if (double.IsFinite(value))
                writer.WriteNumberValue(value);
            else
                writer.WriteNullValue();
        }
    }

    private sealed class SingleConverter : JsonConverter<float>
    {
        public override float Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
            => reader.GetSingle();

        public override void Write(Utf8JsonWriter writer, float value, JsonSerializerOptions options)
        {
            if (float.IsFinite(value))
                writer.WriteNumberValue(value);
            else
                writer.WriteNullValue();
        }
    }
}
