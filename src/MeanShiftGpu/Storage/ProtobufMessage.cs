using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace MeanShiftGpu.Storage;

/// <summary>
/// A message in the wire format of protocol buffers, field after field. As much of it as ONNX files need.
/// </summary>
internal sealed class ProtobufMessage
{
    private const int Varint = 0;
    private const int LengthDelimited = 2;

    private readonly ArrayBufferWriter<byte> bytes = new();

    /// <summary>Adds a whole number, an enumeration's too.</summary>
    public ProtobufMessage Add(int field, long value)
    {
        WriteVarint((ulong)field << 3 | Varint);
        WriteVarint((ulong)value);
        return this;
    }

    /// <summary>Adds text.</summary>
    public ProtobufMessage Add(int field, string value) => Add(field, Encoding.UTF8.GetBytes(value));

    /// <summary>Adds bytes.</summary>
    public ProtobufMessage Add(int field, ReadOnlySpan<byte> value)
    {
        WriteVarint((ulong)field << 3 | LengthDelimited);
        WriteVarint((ulong)value.Length);
        bytes.Write(value);
        return this;
    }

    /// <summary>Adds a message.</summary>
    public ProtobufMessage Add(int field, ProtobufMessage value)
        => Add(field, value.bytes.WrittenSpan);

    /// <summary>Numbers as a file has them, little-endian.</summary>
    public static byte[] LittleEndian(ReadOnlySpan<float> values)
    {
        byte[] data = new byte[values.Length * sizeof(float)];
        for (int i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteSingleLittleEndian(data.AsSpan(i * sizeof(float)), values[i]);
        return data;
    }

    /// <summary>Writes the message to a stream.</summary>
    public void WriteTo(Stream stream) => stream.Write(bytes.WrittenSpan);

    private void WriteVarint(ulong value)
    {
        for (; value >= 0x80; value >>= 7)
            bytes.Write([(byte)(value | 0x80)]);
        bytes.Write([(byte)value]);
    }
}
