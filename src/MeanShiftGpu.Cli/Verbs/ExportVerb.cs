using System.CommandLine;
using MeanShiftGpu.Device;
using MeanShiftGpu.Network;
using MeanShiftGpu.Training;

namespace MeanShiftGpu.Cli.Verbs;

/// <summary>Writes a model for other programs.</summary>
internal sealed class ExportVerb(Session session) : Verb(session)
{
    private readonly Argument<string> model = new("MODEL") { Description = "A model that a training wrote (safetensors)." };
    private readonly Option<string?> onnx = Parse.Text(
        "--onnx", "FILE", "The network as an ONNX file, for ONNX Runtime and others.", required: true);

    public override string Name => "export";

    public override string Summary => "Writes a model for other programs.";

    protected override string Description =>
        "Writes the network of a model as an ONNX file: image [N, C, D, H, W] in, scores [N, outputs, D, H, W] out, of any " +
        "extents that are multiples of what the " +
        "last line says, in float32. The image must have mean 0 and standard deviation 1. Other programs read the model " +
        "itself: it is a safetensors file with " +
        "PyTorch's order of the weights.";

    public override string Example => "meanshift-gpu export model.safetensors --onnx model.onnx";

    protected override IEnumerable<Symbol> Symbols => [model, onnx];

    protected override IEnumerable<Symbol> Reads => [model];

    protected override IEnumerable<Symbol> Writes => [onnx];

    protected override ExitCode Run(ParseResult options)
    {
        (string from, string to) = (options.GetRequiredValue(model), options.GetValue(onnx)!);
        using GpuContext context = OpenDevice(options);
        (UNet3d<float> network, _) = ModelFile.Load(context, from);
        using (network)
        {
            network.SaveOnnx(to);
            UNet3dOptions structure = network.Options;
            Session.Line(
                $"{to}: input [N, {structure.InputChannels}, D, H, W], scores [N, {structure.Outputs}, D, H, W], extents " +
                $"multiples of {structure.Divisor}");
            WriteJson(
                options,
                new
                {
                    onnx = to,
                    inputChannels = structure.InputChannels,
                    outputs = structure.Outputs,
                    extentDivisor = structure.Divisor,
                },
                from);
        }

        return ExitCode.Done;
    }
}
