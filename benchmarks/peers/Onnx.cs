using System.Buffers.Binary;
using System.Text;
using Microsoft.ML.OnnxRuntime;

namespace MeanShiftGpu.Peers;

/// <summary>A model in ONNX Runtime that reads and writes memory which stays where it is.</summary>
internal sealed class OnnxModel(byte[] model, SessionOptions options) : IDisposable
{
    private readonly InferenceSession session = new(model, options);

    /// <summary>The output of the last run.</summary>
    public float[] Output { get; private set; } = [];

    /// <summary>Runs it on one input; it writes the output where it stays, without a copy.</summary>
    public void Run(float[] input, long[] shape, long[] outputShape)
    {
        if (Output.Length == 0)
            Output = new float[outputShape.Aggregate(1L, (product, extent) => product * extent)];
        using OrtValue value = OrtValue.CreateTensorValueFromMemory(input, shape);
        using OrtValue output = OrtValue.CreateTensorValueFromMemory(Output, outputShape);
        using RunOptions run = new();
        session.Run(run, session.InputNames, [value], session.OutputNames, [output]);
    }

    public void Dispose()
    {
        session.Dispose();
        options.Dispose();
    }
}

/// <summary>An ONNX file of one layer, field by field of onnx.proto.</summary>
internal static class OnnxFile
{
    /// <summary>A 3³ convolution with padding 1 and ReLU, weights [Cout, Cin, 3, 3, 3].</summary>
    public static byte[] Convolution(float[] weight, float[] bias, int from, int to)
    {
        Message convolution = new Message().Add(1, "x").Add(1, "w").Add(1, "b").Add(2, "c").Add(4, "Conv")
            .Add(5, new Message().Add(1, "pads").Add(8, 1).Add(8, 1).Add(8, 1).Add(8, 1).Add(8, 1).Add(8, 1).Add(20, 7));
        Message relu = new Message().Add(1, "c").Add(2, "y").Add(4, "Relu");
        Message graph = new Message().Add(1, convolution).Add(1, relu).Add(2, "layer")
            .Add(5, Tensor("w", [to, from, 3, 3, 3], weight))
            .Add(5, Tensor("b", [to], bias))
            .Add(11, Value("x", from))
            .Add(12, Value("y", to));
        return new Message().Add(1, 8).Add(7, graph).Add(8, new Message().Add(1, "").Add(2, 17)).ToArray();
    }

    private static Message Tensor(string name, long[] shape, float[] values)
    {
        Message tensor = new();
        foreach (long extent in shape)
            tensor.Add(1, extent);
        byte[] data = new byte[4 * values.Length];
        for (int i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteSingleLittleEndian(data.AsSpan(4 * i), values[i]);
        return tensor.Add(2, 1).Add(8, name).Add(9, data);
    }

    private static Message Value(string name, int channels)
    {
        Message shape = new Message().Add(1, new Message().Add(1, 1)).Add(1, new Message().Add(1, channels));
        foreach (string axis in (string[])["D", "H", "W"])
            shape.Add(1, new Message().Add(2, axis));
        return new Message().Add(1, name).Add(2, new Message().Add(1, new Message().Add(1, 1).Add(2, shape)));
    }

    // A message of protocol buffers.
    private sealed class Message
    {
        private readonly MemoryStream bytes = new();

        public Message Add(int field, long value)
        {
            Number((ulong)field << 3);
            Number((ulong)value);
            return this;
        }

        public Message Add(int field, string value) => Add(field, Encoding.UTF8.GetBytes(value));

        public Message Add(int field, Message value) => Add(field, value.ToArray());

        public Message Add(int field, byte[] value)
        {
            Number((ulong)field << 3 | 2);
            Number((ulong)value.Length);
            bytes.Write(value);
            return this;
        }

        public byte[] ToArray() => bytes.ToArray();

        private void Number(ulong value)
        {
            for (; value >= 0x80; value >>= 7)
                bytes.WriteByte((byte)(value | 0x80));
            bytes.WriteByte((byte)value);
        }
    }
}
