using System.Buffers;
using System.Globalization;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Json;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Network;

/// <summary>
/// The 3D U-Net of the mean-shift paper, as <see cref="NetworkGraph"/> says.
/// </summary>
/// <remarks>
/// Skip connections are not copied: the last convolution before a pooling and the last one of the upsampling
/// write neighbouring channel slices of one tensor. Parameters are named enc0.conv0.weight … head.bias.
/// </remarks>
public sealed partial class UNet3d<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    private const string MetadataKey = "meanshift_gpu.unet3d";

    // A tenth of the standard deviation of other layers.
    private const double HeadVarianceFactor = 0.01;

    private readonly NetworkGraph graph;
    private readonly Dictionary<NetworkNode, (Parameter<T> Weight, Parameter<T> Bias)> parameters = [];

    /// <summary>Creates a network with random parameters.</summary>
    /// <param name="context">The device.</param>
    /// <param name="options">The structure.</param>
    /// <param name="seed">The same seed gives the same parameters on every device.</param>
    /// <param name="outputBias">Added to the head's bias at the start: negative values begin with an almost
    /// empty score map.</param>
    public UNet3d(GpuContext context, UNet3dOptions options, int seed, double outputBias = 0)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        Context = context;
        Options = options;
        if (StoresBf16 && !FitsBf16(options))
            throw new InputException($"network: widths {string.Join(", ", options.Widths)} do not fit BF16 activations, which "
                + $"take multiples of {Bf16.ChannelMultiple}. Use the precision bf16-operands, tf32 or float32.");

        graph = options.Graph;
        foreach (NetworkNode node in graph.Nodes.Where(n => n.HasParameters))
        {
            ParameterLayout layout =
                node.Op == NodeOp.Transposed ? ParameterLayout.TransposedConvolutionWeight : ParameterLayout.ConvolutionWeight;
            parameters[node] = (
                Parameters.Add($"{node.Name}.weight", layout, node.KernelSize, node.InputChannels, node.Channels),
                Parameters.Add($"{node.Name}.bias", ParameterLayout.Bias, 1, 1, node.Channels));
        }

        Parameters.Allocate(context);
        Initialise(seed, outputBias);
    }

    /// <summary>The device.</summary>
    public GpuContext Context { get; }

    /// <summary>The structure.</summary>
    public UNet3dOptions Options { get; }

    /// <summary>
    /// Whether a network's activations can be stored as BF16: the skip connections' slices must begin at
    /// multiples of 16 bytes.
    /// </summary>
    internal static bool FitsBf16(UNet3dOptions options) => options.Widths.All(w => w % Bf16.ChannelMultiple == 0);

    /// <summary>
    /// Whether activations and their gradients are stored as BF16; the image and the score maps are not.
    /// </summary>
    public bool StoresBf16 => typeof(T) == typeof(float) && Context.Precision == Precision.Bf16;

    /// <summary>
    /// Device memory of a forward pass over whole tensors, in bytes for each voxel of the input, as this
    /// network stores them.
    /// </summary>
    public double InferenceBytesPerVoxel => Options.InferenceBytesPerVoxel(StoresBf16);

    /// <summary>
    /// Device memory of a forward and a backward pass, in bytes for each voxel of the input, without what the
    /// losses take.
    /// </summary>
    public double TrainingBytesPerVoxel => Options.TrainingBytesPerVoxel(StoresBf16);

    /// <summary>The trainable numbers.</summary>
    public ParameterSet<T> Parameters { get; } = new();

    /// <summary>
    /// Reads a network from a weight file: the structure from its metadata where this program wrote it,
    /// otherwise as given.
    /// </summary>
    /// <param name="context">The device.</param>
    /// <param name="path">A safetensors file, weights in the order [Cout, Cin, kD, kH, kW].</param>
    /// <param name="options">The structure, where the file does not say it.</param>
    /// <exception cref="InputException">Not a weight file, or one of another network.</exception>
    public static UNet3d<T> Load(GpuContext context, string path, UNet3dOptions? options = null)
    {
        SafetensorsFile file = SafetensorsFile.Read(path);
        if (file.Metadata.TryGetValue(MetadataKey, out string? json))
            options = ParseOptions(path, json);
        if (options is null)
            throw new InputException($"{path}: the file does not say which network its weights belong to (metadata "
                + $"'{MetadataKey}' is missing). Use a model written by 'train', or give the structure (the argument options).");
        options.Validate();
        RefuseOtherTensors(file, path, "", options);
        UNet3d<T> network = new(context, options, seed: 0);
        try
        {
            network.SetParameters(file, path, prefix: "");
            return network;
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    /// <summary>The structure that a weight file says; null where it holds weights alone.</summary>
    /// <exception cref="InputException">Not a weight file, or its structure makes no sense.</exception>
    public static UNet3dOptions? ReadStructure(string path)
        => SafetensorsFile.Read(path).Metadata.TryGetValue(MetadataKey, out string? json) ? ParseOptions(path, json) : null;

    /// <summary>
    /// Takes the parameters of a weight file. The last layer stays as it is where the file has another number
    /// of outputs.
    /// </summary>
    /// <param name="path">A safetensors file with this network's names, weights in the order [Cout, Cin, kD,
    /// kH, kW].</param>
    /// <returns>Whether the last layer was taken too.</returns>
    /// <exception cref="InputException">Not a weight file, or one of another network; nothing was
    /// taken.</exception>
    public bool BeginWith(string path)
    {
        SafetensorsFile file = SafetensorsFile.Read(path);
        string last = graph.Nodes[^1].Name;
        int outputs = file.Tensors.TryGetValue($"{last}.bias", out SafetensorsTensor? bias)
            && bias.Shape is [>= 1 and <= int.MaxValue and var length]
            ? (int)length : Options.Outputs;
        bool same = outputs == Options.Outputs;
        RefuseOtherTensors(file, path, "", Options with { Outputs = outputs });
        ReadTensors(file, path, "", Parameters.Values, same ? null : last);
        Parameters.MarkChanged();
        return same;
    }

    /// <summary>Predicts score maps.</summary>
    /// <param name="tape">Records for training, or not for inference.</param>
    /// <param name="input">[N, D, H, W, InputChannels]; extents multiples of
    /// <see cref="UNet3dOptions.Divisor"/>.</param>
    /// <returns>Scores [N, D, H, W, Outputs].</returns>
    public Tensor<T> Forward(Tape<T> tape, Tensor<T> input)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(input);
        using CallerGate.Pass pass = Context.Enter("UNet3d.Forward");
        int divisor = Options.Divisor;
        TensorShape shape = input.Shape;
        if (shape.Channels != Options.InputChannels || shape.Depth % divisor != 0 || shape.Height % divisor != 0
            || shape.Width % divisor != 0)
            throw new ArgumentException($"UNet3d: the input is {shape}; expected {Options.InputChannels} channels and extents "
                + $"that are multiples of {divisor}.", nameof(input));

        Dictionary<NetworkNode, Tensor<T>> tensors = [];
        Dictionary<NetworkNode, Tensor<T>> joined = [];
        int levelsSeen = -1;
        foreach (NetworkNode node in graph.Nodes)
        {
            Tensor<T> x = tensors[node] = Apply(node);
            // What is joined is allocated before its parts, with the first tensor of its resolution; each
            // part is written into its channels.
            if (node.Level <= levelsSeen)
                continue;
            levelsSeen = node.Level;
            foreach (NetworkNode join in graph.Nodes.Where(n => n.Level == node.Level && n.Sources.Count > 1))
            {
                joined[join] = tape.AllocateLike(x, x.Shape with { Channels = join.InputChannels });
                int from = 0;
                foreach (NetworkNode source in join.Sources)
                {
                    tensors[source] = joined[join].Channels(from, source.Channels);
                    from += source.Channels;
                }
            }
        }

        return tensors[graph.Nodes[^1]];

        Tensor<T> Apply(NetworkNode node)
        {
            if (node.Op == NodeOp.Input)
                return StoresBf16 ? tape.RoundToBf16(input) : input;
            Tensor<T> source = node.Sources.Count > 1 ? joined[node] : tensors[node.Sources[0]];
            if (node.Op == NodeOp.Pooling)
                return tape.MaxPool3d(source);
            (Parameter<T> weight, Parameter<T> bias) = parameters[node];
            return node.Op switch
            {
                NodeOp.Convolution => tape.Conv3d(source, weight, bias, node.Activation, tensors.GetValueOrDefault(node)),
                NodeOp.Transposed => tape.ConvTranspose3d(source, weight, bias, tensors.GetValueOrDefault(node)),
                NodeOp.Head => tape.SigmoidHead(source, weight, bias),
                _ => throw new InvalidOperationException($"{node} is not computed."),
            };
        }
    }

    /// <summary>
    /// Writes the parameters as safetensors, weights in the usual order [Cout, Cin, kD, kH, kW], with the
    /// structure as metadata.
    /// </summary>
    public void Save(string path) => SafetensorsFile.Write(path, ToTensors(prefix: ""), Metadata());

    /// <summary>
    /// Writes the network as an ONNX file (operator set 17) in float32, for ONNX Runtime and others: input
    /// [N, InputChannels, D, H, W], scores [N, Outputs, D, H, W], with N free and D, H, W any multiples of
    /// <see cref="UNet3dOptions.Divisor"/>.
    /// </summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public void SaveOnnx(string path)
    {
        using CallerGate.Pass pass = Context.Enter("UNet3d.SaveOnnx");
        OnnxExport.Write(path, this);
    }

    /// <inheritdoc/>
    public void Dispose() => Parameters.Dispose();

    /// <summary>
    /// What <see cref="Save"/> adds to a file, so that <see cref="Load"/> can rebuild the network.
    /// </summary>
    internal Dictionary<string, string> Metadata() => new() { [MetadataKey] = JsonSerializer.Serialize(Options) };

    /// <summary>The parameters as named arrays in a file's order.</summary>
    internal Dictionary<string, SafetensorsTensor> ToTensors(string prefix) => ToTensors(prefix, Parameters.Values);

    /// <summary>
    /// Numbers laid out like the parameters (moments, gradients) as named arrays in a file's order.
    /// </summary>
    internal Dictionary<string, SafetensorsTensor> ToTensors(string prefix, ArrayView<T> laidOutLikeValues)
    {
        using CallerGate.Pass pass = Context.Enter("UNet3d.Save");
        // A checkpoint has four of these; one buffer serves them all.
        int count = (int)laidOutLikeValues.Length;
        T[] all = ArrayPool<T>.Shared.Rent(count);
        laidOutLikeValues.CopyToCPU(Context.Stream, all.AsSpan(0, count));
        Context.Synchronize();
        Dictionary<string, SafetensorsTensor> tensors = Parameters.Parameters.ToDictionary(
            p => prefix + p.Name,
            p =>
            {
                byte[] data = new byte[p.Length * Unsafe.SizeOf<T>()];
                p.ToFileOrder(all.AsSpan((int)p.Offset, (int)p.Length), MemoryMarshal.Cast<byte, T>(data.AsSpan()));
                return new SafetensorsTensor(typeof(T) == typeof(float) ? "F32" : "F64", p.FileShape, data);
            });
        ArrayPool<T>.Shared.Return(all);
        return tensors;
    }

    /// <summary>Sets the parameters from a file's arrays.</summary>
    internal void SetParameters(SafetensorsFile file, string path, string prefix)
    {
        ReadTensors(file, path, prefix, Parameters.Values);
        Parameters.MarkChanged();
    }

    /// <summary>Reads arrays named like the parameters into memory laid out like them.</summary>
    internal void ReadTensors(SafetensorsFile file, string path, string prefix, ArrayView<T> laidOutLikeValues)
    {
        RefuseOtherTensors(file, path, prefix, Options);
        ReadTensors(file, path, prefix, laidOutLikeValues, except: null);
    }

    // All layers but one, whose numbers stay as they are.
    private void ReadTensors(SafetensorsFile file, string path, string prefix, ArrayView<T> laidOutLikeValues, string? except)
    {
        T[] all = new T[laidOutLikeValues.Length];
        if (except is not null)
        {
            laidOutLikeValues.CopyToCPU(Context.Stream, all);
            Context.Stream.Synchronize();
        }

        foreach (Parameter<T> parameter in Parameters.Parameters)
        {
            if (except is not null && parameter.Name.StartsWith($"{except}.", StringComparison.Ordinal))
                continue;
            string name = prefix + parameter.Name;
            SafetensorsTensor tensor = file.Tensors[name];
            double[] values = parameter.FromFileOrder<double>(tensor.ToDoubles());
            for (int i = 0; i < values.Length; i++)
            {
                if (!double.IsFinite(values[i]))
                    throw new InputException($"{path}: tensor '{name}' holds "
                        + $"{values[i].ToString(CultureInfo.InvariantCulture)}; expected finite numbers. The training failed "
                        + "or the file is damaged: train again, or use an earlier model.");
                all[parameter.Offset + i] = T.CreateChecked(values[i]);
            }
        }

        laidOutLikeValues.CopyFromCPU(Context.Stream, all);
    }

    /// <summary>The structure that a file's metadata gives.</summary>
    internal static UNet3dOptions ReadOptions(SafetensorsFile file, string path)
        => file.Metadata.TryGetValue(MetadataKey, out string? json)
            ? ParseOptions(path, json)
            : throw new InputException($"{path}: the file does not say which network its weights belong to (metadata "
                + $"'{MetadataKey}' is missing). Use a file written by 'train'.");

    private static UNet3dOptions ParseOptions(string path, string json)
        => JsonMetadata.Read<UNet3dOptions>(path, MetadataKey, json, "a network's structure", options => options.Validate());

    /// <summary>
    /// Refuses a file whose tensors are not those of a network, before memory is taken for what the file only
    /// claims to be.
    /// </summary>
    /// <exception cref="InputException">A tensor is missing or has another shape.</exception>
    internal static void RefuseOtherTensors(SafetensorsFile file, string path, string prefix, UNet3dOptions options)
    {
        (string Name, long[] Shape)[] needed =
        [
            .. options.Graph.Nodes.Where(n => n.HasParameters).SelectMany(n => ((string, long[])[])
            [
                ($"{n.Name}.weight", [.. Channels(n), n.KernelSize, n.KernelSize, n.KernelSize]),
                ($"{n.Name}.bias", [n.Channels]),
            ]),
        ];
        foreach ((string name, long[] shape) in needed)
        {
            if (!file.Tensors.TryGetValue(prefix + name, out SafetensorsTensor? tensor))
            {
                throw new InputException(
                    $"{path}: tensor '{prefix}{name}' is missing; this network needs {needed.Length} tensors from "
                    + $"'{prefix}{needed[0].Name}' to '{prefix}{needed[^1].Name}'.");
            }

            if (!tensor.Shape.SequenceEqual(shape))
            {
                throw new InputException(
                    $"{path}: tensor '{prefix}{name}' is [{string.Join(", ", tensor.Shape)}], this network needs "
                    + $"[{string.Join(", ", shape)}]. Use the model with the network that it was trained as.");
            }
        }

        static long[] Channels(NetworkNode n)
            => n.Op == NodeOp.Transposed ? [n.InputChannels, n.Channels] : [n.Channels, n.InputChannels];
    }

    // Weights uniform with mean 0, biases 0. The variance of the weights keeps the size of a signal from
    // layer to layer (He et al. 2015): 2/(fan in) where a ReLU follows, which loses half of it, and 1/(fan
    // in) elsewhere. With the customary ±1/√(fan in) every layer loses more than half, and next to nothing
    // comes through the bottom: gradients of 1e-6, which Adam scales up to steps as long as any, in random
    // directions; such runs collapse now and then. The head begins small, so that the map begins nearly even,
    // away from where the sigmoid saturates.
    private void Initialise(int seed, double outputBias)
    {
        // The algorithm behind a seeded System.Random is fixed, so a seed means the same network everywhere.
        Random random = new(seed);
        T[] all = new T[Parameters.Values.Length];
        foreach (NetworkNode node in graph.Nodes.Where(n => n.HasParameters))
        {
            Parameter<T> parameter = parameters[node].Weight;
            double factor = node.Op == NodeOp.Head ? HeadVarianceFactor : node.Activation switch
            {
                Activation.None => 1,
                Activation.Relu => 2,
                _ => throw UnknownValue.Of(node.Activation),
            };
            double variance = factor / (node.Taps * node.InputChannels);
            double bound = Math.Sqrt(3 * variance);
            for (long i = 0; i < parameter.Length; i++)
                all[parameter.Offset + i] = T.CreateChecked((float)((random.NextDouble() * 2 - 1) * bound));
        }

        for (int o = 0; o < Options.Outputs; o++)
            all[parameters[graph.Nodes[^1]].Bias.Offset + o] = T.CreateChecked(outputBias);
        Parameters.Values.CopyFromCPU(Context.Stream, all);
        Parameters.MarkChanged();
    }
}
