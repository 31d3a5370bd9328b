using System.Buffers.Binary;
using System.Text;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Cli;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Training;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Network;

/// <summary>Networks in the files of other programs, and back.</summary>
public sealed class InterchangeTests
{
    private static readonly UNet3dOptions Structure = new() { Widths = [4, 6, 5], Outputs = 2 };

    // ONNX Runtime sums in another order; 1e-5 is what the issue asks.
    [Test]
    public void Onnx_AtSeveralSizes_ComputesTheSameScores()
    {
        using TemporaryFolder folder = new();
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = Random(context);
        string path = folder["model.safetensors"];
        ModelFile.Save(path, network, new ModelDescription());
        using StringWriter output = new();
        using StringWriter error = new();
        Assert.That(
            CommandLine.Run(["export", path, "--onnx", folder["model.onnx"], "--device", "cpu"], output, error), Is.Zero,
            error.ToString());
        Assert.That(output.ToString(), Does.Contain("scores [N, 2, D, H, W], extents multiples of 4"));

        using InferenceSession session = new(folder["model.onnx"]);
        Assert.That(session.ModelMetadata.CustomMetadataMap.Keys, Does.Contain("meanshift_gpu.unet3d"));
        foreach (TensorShape shape in new TensorShape[] { new(1, 8, 8, 8, 1), new(2, 4, 12, 16, 1) })
        {
            float[] image = Array.ConvertAll(TestData.Uniform(shape.Length, 7), v => (float)v);
            float[] expected = Scores(context, network, image, shape);
            using IDisposableReadOnlyCollection<DisposableNamedOnnxValue> results = session.Run(
                [NamedOnnxValue.CreateFromTensor(
                    "input", new DenseTensor<float>(image, [shape.Batch, 1, shape.Depth, shape.Height, shape.Width]))]);
            float[] theirs = results.Single().AsTensor<float>().ToArray();
            int voxels = shape.Depth * shape.Height * shape.Width;
            double[] ours = new double[expected.Length];
            for (int n = 0; n < shape.Batch; n++)
            {
                for (int v = 0; v < voxels; v++)
                {
                    for (int o = 0; o < 2; o++)
                        ours[(n * 2 + o) * voxels + v] = expected[(n * voxels + v) * 2 + o];
                }
            }

            double error2 = TestData.RelativeError<float>(theirs, ours);
            TestContext.Out.WriteLine($"{shape}: relative error {error2:g3}, scores {ours.Min():0.000} to {ours.Max():0.000}");
            Assert.That(error2, Is.LessThan(1e-5));
            Assert.That(ours.Max() - ours.Min(), Is.GreaterThan(0.1), "the scores depend on the voxels");
        }
    }

    [Test]
    public void Export_OverItsModel_IsRefused()
    {
        using TemporaryFolder folder = new();
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = Random(context);
        string path = folder["model.safetensors"];
        ModelFile.Save(path, network, new ModelDescription());
        using StringWriter error = new();
        Assert.That(CommandLine.Run(["export", path, "--onnx", path], TextWriter.Null, error), Is.EqualTo(2));
        Assert.That(error.ToString(), Does.Contain(path));
    }

    // Data/pytorch was written by PyTorch itself, with the lines of the page EMBEDDING.md (write.py there):
    // it read a model of version 0.1, took 0.5 from the head's bias, and saved what came of it.
    [Test]
    public void Safetensors_ThatPyTorchHasReadAndWritten_IsTheNetworkWithItsChange()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        string original = TemporaryFolder.Data("version-0.1/run/model.safetensors");
        string changed = TemporaryFolder.Data("pytorch/changed.safetensors");
        Assert.That(SafetensorsFile.Read(changed).Metadata, Is.EquivalentTo(SafetensorsFile.Read(original).Metadata));
        using UNet3d<float> ours = UNet3d<float>.Load(context, original);
        using UNet3d<float> theirs = UNet3d<float>.Load(context, changed);
        foreach ((Parameter<float> mine, Parameter<float> read) in ours.Parameters.Parameters.Zip(theirs.Parameters.Parameters))
        {
            float change = mine.Name == "head.bias" ? 0.5f : 0;
            Assert.That(read.Name, Is.EqualTo(mine.Name));
            Assert.That(read.Download(context), Is.EqualTo(mine.Download(context).Select(v => v - change)), mine.Name);
        }
    }

    // And what PyTorch's convolution computes with the weights that it has read: the order is the right one.
    [Test]
    public void Safetensors_WeightsInPyTorchsConvolution_GiveOurOutput()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        SafetensorsFile computed = SafetensorsFile.Read(TemporaryFolder.Data("pytorch/first-layer.safetensors"));
        SafetensorsFile model = SafetensorsFile.Read(TemporaryFolder.Data("version-0.1/run/model.safetensors"));
        Conv3dShape shape = Conv3dShape.Dense(1, (3, 4, 5), 1, 4);
        using Conv3d<float> convolution = new(context);
        float[] output = new float[shape.Voxels * shape.OutputChannels]; // [N, D, H, W, C]
        convolution.Forward(
            computed.Tensors["input"].ToFloats(),
            shape.WeightFromPyTorch<float>(model.Tensors["enc0.conv0.weight"].ToFloats()),
            model.Tensors["enc0.conv0.bias"].ToFloats(), output, shape with { Activation = Activation.None });
        double[] theirs = computed.Tensors["output"].ToDoubles(); // [N, C, D, H, W]
        double[] expected = new double[output.Length];
        for (int i = 0; i < expected.Length; i++)
            expected[i] = theirs[i % 4 * (int)shape.Voxels + i / 4];
        double error = TestData.RelativeError<float>(output, expected);
        TestContext.Out.WriteLine($"relative error {error:g3}");
        Assert.That(error, Is.LessThan(1e-6)); // float32 sums of 27 products, in another order
    }

    // The bytes that safetensors.torch.save_file writes for the weights of a network that a Python program
    // has loaded and changed: metadata of its own, tensors by name, the header filled up with blanks.
    [Test]
    public void Safetensors_AsPyTorchWritesThem_AreReadBack()
    {
        using TemporaryFolder folder = new();
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = Random(context);
        network.Save(folder["ours.safetensors"]);
        SafetensorsFile ours = SafetensorsFile.Read(folder["ours.safetensors"]);
        StringBuilder header = new("{\"__metadata__\":{\"format\":\"pt\"}");
        using MemoryStream data = new();
        foreach ((string name, SafetensorsTensor tensor) in ours.Tensors.OrderBy(t => t.Key, StringComparer.Ordinal))
        {
            float[] doubled = Array.ConvertAll(tensor.ToFloats(), v => 2 * v);
            header.Append(
                $",\"{name}\":{{\"dtype\":\"F32\",\"shape\":[{string.Join(',', tensor.Shape)}],"
                + $"\"data_offsets\":[{data.Length},{data.Length + 4 * doubled.Length}]}}");
            data.Write(System.Runtime.InteropServices.MemoryMarshal.AsBytes(doubled.AsSpan()));
        }

        header.Append('}');
        header.Append(' ', (8 - header.Length % 8) % 8);
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        string path = folder.Write(
            "theirs.safetensors", [.. length, .. Encoding.ASCII.GetBytes(header.ToString()), .. data.ToArray()]);

        // Without this library's metadata the program says which network it is.
        Assert.That(
            () => UNet3d<float>.Load(context, path),
            Throws.TypeOf<InputException>().With.Message.Contains("does not say which network"));
        using UNet3d<float> read = UNet3d<float>.Load(context, path, Structure);
        foreach (
            (Parameter<float> theirs, Parameter<float> original) in read.Parameters.Parameters.Zip(network.Parameters.Parameters))
        {
            Assert.That(theirs.Name, Is.EqualTo(original.Name));
            Assert.That(theirs.Download(context), Is.EqualTo(original.Download(context).Select(v => 2 * v)));
        }
    }

    // Weights as at the start, larger so that scores differ, and biases that are not 0.
    private static UNet3d<float> Random(GpuContext context)
    {
        UNet3d<float> network = new(context, Structure, seed: 3);
        int seed = 10;
        foreach (Parameter<float> parameter in network.Parameters.Parameters)
        {
            float[] values = parameter.Layout == ParameterLayout.Bias
                ? Array.ConvertAll(TestData.Uniform(parameter.Length, seed++), v => (float)(0.3 * v))
                : Array.ConvertAll(parameter.Download(context), v => (parameter.Name == "head.weight" ? 20 : 1.5f) * v);
            parameter.Upload(context, values);
        }

        return network;
    }

    private static float[] Scores(GpuContext context, UNet3d<float> network, float[] image, TensorShape shape)
    {
        using Arena arena = new(context);
        using Tape<float> tape = Tape<float>.Begin(arena, inference: true);
        return network.Forward(tape, tape.Upload(image, shape)).ToArray(context);
    }
}
