using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace MeanShiftGpu.Storage;

/// <summary>
/// A tensor of a safetensors file: raw little-endian values in row-major order. The constructor refuses an
/// unknown type, a negative extent and data of another length with an <see cref="ArgumentException"/>.
/// </summary>
/// <param name="Type">The element type by its name in the file: F64, F32, F16, BF16, I64 and so on.</param>
/// <param name="Shape">The size along each axis; empty for a single number.</param>
/// <param name="Data">The values' bytes.</param>
public sealed record SafetensorsTensor(string Type, IReadOnlyList<long> Shape, ReadOnlyMemory<byte> Data)
{
    /// <summary>The values' bytes.</summary>
    public ReadOnlyMemory<byte> Data { get; init; } = Fitting(Type, Shape, Data);

    /// <summary>The number of elements.</summary>
    public int Count => Data.Length / SafetensorsFile.ElementBytes(Type);

    /// <summary>A tensor of float64 values.</summary>
    /// <exception cref="ArgumentException">The number of values is not the product of the shape.</exception>
    public static SafetensorsTensor FromDoubles(IReadOnlyList<long> shape, ReadOnlySpan<double> values)
        => new("F64", shape, Bytes(shape, values));

    /// <summary>A tensor of float32 values.</summary>
    /// <exception cref="ArgumentException">The number of values is not the product of the shape.</exception>
    public static SafetensorsTensor FromFloats(IReadOnlyList<long> shape, ReadOnlySpan<float> values)
        => new("F32", shape, Bytes(shape, values));

    /// <summary>A tensor of 64-bit integers.</summary>
    /// <exception cref="ArgumentException">The number of values is not the product of the shape.</exception>
    public static SafetensorsTensor FromInt64s(IReadOnlyList<long> shape, ReadOnlySpan<long> values)
        => new("I64", shape, Bytes(shape, values));

    /// <summary>The values as float64; 64-bit integers above 2⁵³ are rounded.</summary>
    public double[] ToDoubles()
    {
        double[] values = new double[Count];
        for (int i = 0; i < values.Length; i++)
            values[i] = Element(i);
        return values;
    }

    /// <summary>The values as float32, rounded where the file holds more.</summary>
    public float[] ToFloats()
    {
        float[] values = new float[Count];
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)Element(i);
        return values;
    }

    /// <summary>The values as 64-bit integers.</summary>
    /// <exception cref="InvalidOperationException">The tensor does not hold 64-bit integers.</exception>
    public long[] ToInt64s()
        => Type == "I64"
            ? [.. Enumerable.Range(0, Count).Select(i => BinaryPrimitives.ReadInt64LittleEndian(Data.Span[(8 * i)..]))]
            : throw new InvalidOperationException($"The tensor holds {Type} values, not I64.");

    private double Element(int i)
    {
        ReadOnlySpan<byte> at = Data.Span[(i * SafetensorsFile.ElementBytes(Type))..];
        return Type switch
        {
            "F64" => BinaryPrimitives.ReadDoubleLittleEndian(at),
            "F32" => BinaryPrimitives.ReadSingleLittleEndian(at),
            "F16" => (double)BinaryPrimitives.ReadHalfLittleEndian(at),
            "BF16" => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(at) << 16),
            "I64" => BinaryPrimitives.ReadInt64LittleEndian(at),
            "U64" => BinaryPrimitives.ReadUInt64LittleEndian(at),
            "I32" => BinaryPrimitives.ReadInt32LittleEndian(at),
            "U32" => BinaryPrimitives.ReadUInt32LittleEndian(at),
            "I16" => BinaryPrimitives.ReadInt16LittleEndian(at),
            "U16" => BinaryPrimitives.ReadUInt16LittleEndian(at),
            "I8" => (sbyte)at[0],
            _ => at[0],
        };
    }

    private static ReadOnlyMemory<byte> Fitting(string type, IReadOnlyList<long> shape, ReadOnlyMemory<byte> data)
    {
        ArgumentNullException.ThrowIfNull(type);
        int elementBytes = SafetensorsFile.ElementBytes(type);
        if (elementBytes == 0)
            throw new ArgumentException($"The type {InputFile.Quote(type)} is not supported; expected F64, F32, F16, BF16, BOOL, "
                + "or an integer of 8 to 64 bits.", nameof(type));
        Int128 expected = Elements(shape) * elementBytes;
        return data.Length == expected
            ? data
            : throw new ArgumentException($"{data.Length} bytes for the shape [{string.Join(", ", shape)}] of {type}, which "
                + $"takes {expected}.", nameof(data));
    }

    // Shapes may overflow any integer, and are then those of no array anyway.
    private static Int128 Elements(IReadOnlyList<long> shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        Int128 elements = 1;
        foreach (long size in shape)
        {
            if (size < 0)
                throw new ArgumentException(
                    $"The shape [{string.Join(", ", shape)}] has an extent of {size}; expected 0 or more.", nameof(shape));
            elements = Int128.Min(elements * size, long.MaxValue);
        }

        return elements;
    }

    private static byte[] Bytes<T>(IReadOnlyList<long> shape, ReadOnlySpan<T> values)
        where T : unmanaged
    {
        Int128 expected = Elements(shape);
        if (expected != values.Length)
            throw new ArgumentException($"{values.Length} values for the shape [{string.Join(", ", shape)}], which has "
                + $"{expected}.", nameof(values));
        if (!BitConverter.IsLittleEndian)
            throw new PlatformNotSupportedException("safetensors files are little-endian; this machine is not.");
        return MemoryMarshal.AsBytes(values).ToArray();
    }
}

/// <summary>
/// Named tensors with text metadata in the safetensors format: the header's length in 8 little-endian bytes,
/// a JSON header, raw data. Headers are checked: tensors must lie within the file, fit their shape, and
/// neither overlap nor leave gaps.
/// </summary>
public sealed class SafetensorsFile
{
    /// <summary>The format's own limit on the header.</summary>
    private const long MaxHeaderBytes = 100_000_000;

    private const string MetadataName = "__metadata__";

    private SafetensorsFile(IReadOnlyDictionary<string, SafetensorsTensor> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        Tensors = tensors;
        Metadata = metadata;
    }

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, SafetensorsTensor> Tensors { get; }

    /// <summary>The texts under <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Reads a file.</summary>
    /// <exception cref="InputException">The file is missing, truncated, or its header is damaged; the message
    /// names the tensor.</exception>
    public static SafetensorsFile Read(string path)
    {
        using FileStream stream = InputFile.Open(path);
        byte[] length = new byte[8];
        int read = InputFile.Guard(path, () => stream.ReadAtLeast(length, 8, throwOnEndOfStream: false));
        if (read < 8)
            throw new InputException($"{path}: has {read} bytes; expected a safetensors file, which begins with its header's "
                + "length in 8 bytes.");
        ulong headerBytes = BinaryPrimitives.ReadUInt64LittleEndian(length);
        if (headerBytes > MaxHeaderBytes || (long)headerBytes > stream.Length - 8)
            throw new InputException($"{path}: is no safetensors file (a model or checkpoint), or is truncated: its first 8 "
                + $"bytes give a header of {headerBytes} bytes, but the file has {stream.Length}. Give one that 'train' wrote.");

        byte[] header = InputFile.Allocate(path, (long)headerBytes);
        InputFile.Guard(path, () => stream.ReadAtLeast(header, header.Length, throwOnEndOfStream: false));
        (List<Entry> entries, Dictionary<string, string> metadata) = ParseHeader(path, header);
        CheckLayout(path, entries, stream.Length - 8 - header.Length);

        Dictionary<string, SafetensorsTensor> tensors = [];
        foreach (Entry entry in entries)
        {
            byte[] data = InputFile.Allocate(path, entry.End - entry.Begin);
            stream.Position = 8 + header.Length + entry.Begin;
            int got = InputFile.Guard(path, () => stream.ReadAtLeast(data, data.Length, throwOnEndOfStream: false));
            if (got < data.Length)
                throw new InputException($"{path}: ends within tensor {InputFile.Quote(entry.Name)}. The file is truncated; "
                    + "copy it again.");
            tensors[entry.Name] = new SafetensorsTensor(entry.Type, entry.Shape, data);
        }

        return new SafetensorsFile(tensors, metadata);
    }

    /// <summary>
    /// Writes a file. Equal content gives equal bytes: tensors by decreasing element size (which aligns
    /// them), then in the order given.
    /// </summary>
    /// <exception cref="ArgumentException">Two tensors have one name, a tensor or its name is null, or it has
    /// the name of the metadata.</exception>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void Write(
        string path,
        IEnumerable<KeyValuePair<string, SafetensorsTensor>> tensors,
        IEnumerable<KeyValuePair<string, string>>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(tensors);
        KeyValuePair<string, SafetensorsTensor>[] given = [.. tensors];
        CheckNames(given);
        KeyValuePair<string, SafetensorsTensor>[] ordered = [.. given.OrderByDescending(t => ElementBytes(t.Value.Type))];
        using MemoryStream header = new();
        using (Utf8JsonWriter json = new(header))
        {
            json.WriteStartObject();
            if (metadata is not null)
            {
                json.WriteStartObject(MetadataName);
                foreach (KeyValuePair<string, string> pair in metadata)
                    json.WriteString(pair.Key, pair.Value);
                json.WriteEndObject();
            }

            long offset = 0;
            foreach ((string name, SafetensorsTensor tensor) in ordered)
            {
                json.WriteStartObject(name);
                json.WriteString("dtype", tensor.Type);
                json.WriteStartArray("shape");
                foreach (long size in tensor.Shape)
                    json.WriteNumberValue(size);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += tensor.Data.Length);
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        // Blanks fill the header up so that the data are aligned to 8 bytes.
        while (header.Length % 8 != 0)
            header.WriteByte((byte)' ');
        AtomicFile.Write(path, stream =>
        {
            Span<byte> length = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
            stream.Write(length);
            header.WriteTo(stream);
            foreach ((_, SafetensorsTensor tensor) in ordered)
                stream.Write(tensor.Data.Span);
        });
    }

    // A file of two entries with one name cannot be read again.
    private static void CheckNames(KeyValuePair<string, SafetensorsTensor>[] tensors)
    {
        HashSet<string> names = [MetadataName];
        foreach ((string name, SafetensorsTensor tensor) in tensors)
        {
            if (name is null || tensor is null)
                throw new ArgumentException($"tensor {InputFile.Quote(name ?? "")}: {(name is null ? "its name" : "it")} is "
                    + "null, expected named tensors.", nameof(tensors));
            if (!names.Add(name))
                throw new ArgumentException($"tensor {InputFile.Quote(name)}: the name is given twice or is the metadata's, "
                    + "expected a name of its own.", nameof(tensors));
        }
    }

    /// <summary>The size of an element; 0 for a type that is not supported.</summary>
    internal static int ElementBytes(string type) => type switch
    {
        "F64" or "I64" or "U64" => 8,
        "F32" or "I32" or "U32" => 4,
        "F16" or "BF16" or "I16" or "U16" => 2,
        "I8" or "U8" or "BOOL" => 1,
        _ => 0,
    };

    private static (List<Entry> Entries, Dictionary<string, string> Metadata) ParseHeader(string path, byte[] header)
    {
        List<Entry> entries = [];
        Dictionary<string, string> metadata = [];
        try
        {
            using JsonDocument document = JsonDocument.Parse(header, new JsonDocumentOptions
            {
                AllowDuplicateProperties = false,
            });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new InputException($"{path}: the safetensors header is no JSON object.");
            foreach (JsonProperty property in document.RootElement.EnumerateObject())
            {
                if (property.Name == MetadataName)
                    ReadMetadata(path, property.Value, metadata);
                else
                    entries.Add(ParseEntry(path, property));
            }
        }
        // A name with half a surrogate pair is no text; the JSON reader says so only when the name is asked
        // for.
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new InputException($"{path}: the safetensors header is no JSON: {InputFile.OneLine(e.Message)}", e);
        }

        return (entries, metadata);
    }

    private static void ReadMetadata(string path, JsonElement value, Dictionary<string, string> metadata)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw new InputException($"{path}: __metadata__ is no JSON object.");
        foreach (JsonProperty text in value.EnumerateObject())
        {
            metadata[text.Name] = text.Value.ValueKind == JsonValueKind.String
                ? text.Value.GetString()!
                : throw new InputException($"{path}: __metadata__ {InputFile.Quote(text.Name)} is no text.");
        }
    }

    private static Entry ParseEntry(string path, JsonProperty property)
    {
        string where = $"{path}: tensor {InputFile.Quote(property.Name)}";
        if (property.Value.ValueKind != JsonValueKind.Object
            || !property.Value.TryGetProperty("dtype", out JsonElement type) || type.ValueKind != JsonValueKind.String
            || !property.Value.TryGetProperty("shape", out JsonElement shape) || shape.ValueKind != JsonValueKind.Array
            || !property.Value.TryGetProperty("data_offsets", out JsonElement offsets) || offsets.ValueKind != JsonValueKind.Array
            || offsets.GetArrayLength() != 2)
        {
            throw new InputException($"{where}: expected dtype, shape and two data_offsets.");
        }

        string typeName = type.GetString()!;
        int elementBytes = ElementBytes(typeName);
        if (elementBytes == 0)
            throw new InputException($"{where}: type {InputFile.Quote(typeName)} is not supported; expected F64, F32, F16, "
                + "BF16, BOOL, or an integer of 8 to 64 bits.");
        long[] sizes = [.. shape.EnumerateArray().Select(e => WholeNumber(where, e))];
        // Checked step by step: shapes in a damaged header overflow any integer.
        Int128 bytes = elementBytes;
        foreach (long size in sizes)
        {
            bytes *= size;
            if (bytes > long.MaxValue)
                throw new InputException($"{where}: the shape [{string.Join(", ", sizes)}] is too large.");
        }

        long begin = WholeNumber(where, offsets[0]);
        long end = WholeNumber(where, offsets[1]);
        if (end < begin || end - begin != bytes)
            throw new InputException($"{where}: bytes {begin} to {end} do not fit the shape [{string.Join(", ", sizes)}] of "
                + $"{typeName}, which takes {bytes}.");
        if (end - begin > Array.MaxLength)
            throw new InputException($"{where}: has {end - begin} bytes; at most {Array.MaxLength} are supported.");
        return new Entry(property.Name, typeName, sizes, begin, end);
    }

    private static long WholeNumber(string where, JsonElement element)
        => element.ValueKind == JsonValueKind.Number && element.TryGetInt64(out long value) && value >= 0
            ? value
            : throw new InputException($"{where}: {InputFile.Quote(element.ToString())} is no size or offset; expected a whole "
                + "number from 0 up.");

    private static void CheckLayout(string path, List<Entry> entries, long available)
    {
        long end = 0;
        string previous = "";
        foreach (Entry entry in entries.OrderBy(e => e.Begin).ThenBy(e => e.End))
        {
            if (entry.End > available)
                throw new InputException($"{path}: tensor {InputFile.Quote(entry.Name)} reaches to byte {entry.End} of the "
                    + $"data, but the file has {available}. It is truncated; copy it again.");
            if (entry.Begin < end)
                throw new InputException($"{path}: tensors {InputFile.Quote(previous)} and {InputFile.Quote(entry.Name)} "
                    + "overlap. The header is damaged.");
            if (entry.Begin > end)
                throw new InputException($"{path}: {entry.Begin - end} bytes before tensor {InputFile.Quote(entry.Name)} "
                    + "belong to no tensor. The header is damaged.");
            (end, previous) = (entry.End, entry.Name);
        }

        if (end != available)
            throw new InputException($"{path}: {available - end} bytes at the end belong to no tensor. The header is damaged.");
    }

    private sealed record Entry(string Name, string Type, long[] Shape, long Begin, long End);
}
