using System.Numerics;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Network;

/// <summary>
/// A network as an ONNX file (IR version 8, operator set 17), for programs that run such: the graph node by
/// node, with parameters in float32. Axes are ONNX's, [N, C, D, H, W]; batch and extents are free.
/// </summary>
internal static class OnnxExport
{
    // Field numbers of onnx.proto.
    private const int Float = 1;
    private const int AttributeInts = 7;
    private const string FloorName = "floor";

    /// <summary>Writes the file; it is complete or not there.</summary>
    public static void Write<T>(string path, UNet3d<T> network)
        where T : unmanaged, INumber<T>
    {
        NetworkGraph graph = network.Options.Graph;
        ProtobufMessage body = new();
        foreach (NetworkNode node in graph.Nodes)
            AddNode(body, node);
        body.Add(2, "unet3d");
        foreach (Parameter<T> parameter in network.Parameters.Parameters)
        {
            float[] values = parameter.ToFileOrder<float>(
                Array.ConvertAll(parameter.Download(network.Context), float.CreateChecked));
            body.Add(5, Tensor(parameter.Name, parameter.FileShape, values));
        }

        body.Add(5, Tensor(FloorName, [], [(float)ScoreRange.Floor]));
        string extents = $"D, H and W are multiples of {network.Options.Divisor}; the image has mean 0 and standard deviation 1.";
        body.Add(10, extents);
        body.Add(11, Value(graph.Nodes[0].Name, network.Options.InputChannels));
        body.Add(12, Value("scores", network.Options.Outputs));

        ProtobufMessage model = new ProtobufMessage()
            .Add(1, 8)
            .Add(2, "MeanShiftGpu")
            .Add(6, extents)
            .Add(7, body)
            .Add(8, new ProtobufMessage().Add(1, "").Add(2, 17));
        foreach ((string key, string text) in network.Metadata())
            model.Add(14, new ProtobufMessage().Add(1, key).Add(2, text));
        AtomicFile.Write(path, model.WriteTo);
    }

    private static void AddNode(ProtobufMessage body, NetworkNode node)
    {
        if (node.Op == NodeOp.Input)
            return;
        string source = node.Sources[0].Name;
        if (node.Sources.Count > 1)
        {
            source = $"{node.Name}.joined";
            body.Add(
                1,
                Operator("Concat", [.. node.Sources.Select(s => s.Name)], source).Add(
                    5, new ProtobufMessage().Add(1, "axis").Add(3, 1).Add(20, 2)));
        }

        string[] inputs = node.HasParameters ? [source, $"{node.Name}.weight", $"{node.Name}.bias"] : [source];
        string? activation = node.Activation switch
        {
            Activation.None => null,
            Activation.Relu => "Relu",
            _ => throw UnknownValue.Of(node.Activation),
        };
        string linear = activation is not null || node.Op == NodeOp.Head ? $"{node.Name}.linear" : node.Name;
        switch (node.Op)
        {
            case NodeOp.Convolution:
                body.Add(
                    1,
                    Operator("Conv", inputs, linear).Add(5, Ints("kernel_shape", 3, 3, 3)).Add(
                        5, Ints("pads", 1, 1, 1, 1, 1, 1)));
                break;
            case NodeOp.Transposed:
                body.Add(
                    1,
                    Operator("ConvTranspose", inputs, linear).Add(5, Ints("kernel_shape", 2, 2, 2)).Add(
                        5, Ints("strides", 2, 2, 2)));
                break;
            case NodeOp.Pooling:
                body.Add(
                    1, Operator("MaxPool", inputs, linear).Add(5, Ints("kernel_shape", 2, 2, 2)).Add(
                        5, Ints("strides", 2, 2, 2)));
                break;
            case NodeOp.Head:
                body.Add(1, Operator("Conv", inputs, linear).Add(5, Ints("kernel_shape", 1, 1, 1)));
                body.Add(1, Operator("Sigmoid", [linear], $"{node.Name}.sigmoid"));
                body.Add(1, Operator("Max", [$"{node.Name}.sigmoid", FloorName], "scores"));
                break;
            default:
                throw new InvalidOperationException($"{node} has no form in ONNX.");
        }

        if (activation is not null)
            body.Add(1, Operator(activation, [linear], node.Name));
    }

    private static ProtobufMessage Operator(string type, string[] inputs, string output)
    {
        ProtobufMessage node = new();
        foreach (string input in inputs)
            node.Add(1, input);
        return node.Add(2, output).Add(3, output).Add(4, type);
    }

    private static ProtobufMessage Ints(string name, params ReadOnlySpan<long> values)
    {
        ProtobufMessage attribute = new ProtobufMessage().Add(1, name);
        foreach (long value in values)
            attribute.Add(8, value);
        return attribute.Add(20, AttributeInts);
    }

    private static ProtobufMessage Tensor(string name, long[] shape, float[] values)
    {
        ProtobufMessage tensor = new();
        foreach (long size in shape)
            tensor.Add(1, size);
        return tensor.Add(2, Float).Add(8, name).Add(9, ProtobufMessage.LittleEndian(values));
    }

    // [N, C, D, H, W], all but the channels free.
    private static ProtobufMessage Value(string name, int channels)
    {
        ProtobufMessage shape = new();
        foreach (string axis in (string[])["N", "", "D", "H", "W"])
            shape.Add(1, axis.Length == 0 ? new ProtobufMessage().Add(1, channels) : new ProtobufMessage().Add(2, axis));
        return new ProtobufMessage().Add(1, name).Add(
            2, new ProtobufMessage().Add(1, new ProtobufMessage().Add(1, Float).Add(2, shape)));
    }
}
