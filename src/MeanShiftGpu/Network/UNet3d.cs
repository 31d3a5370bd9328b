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
/// The 3D U-Net of the mean-shift paper. Per resolution two 3³ convolutions with ReLU and a pooling on the way down, four
/// convolutions at the bottom; on the way up a transposed convolution and a 3³ convolution (no ReLU after either), the skip
/// connection first in the concatenation, two convolutions with ReLU; a 1³ head with sigmoid.
/// </summary>
/// <remarks>
/// Skip connections are not copied: the last convolution before a pooling and the last one of the upsampling write
/// neighbouring channel slices of one tensor. Parameters are named enc0.conv0.weight … head.bias.
/// </remarks>
public sealed partial class UNet3d<T> : IDisposable
    where T : unmanaged, INumber<T>
{
    private const string MetadataKey = "meanshift_gpu.unet3d";

    // A tenth of the standard deviation of other layers.
    private const double HeadVarianceFactor = 0.01;

    private readonly Convolution[][] encoder;
    private readonly Convolution[] middle;
    private readonly (Convolution Transpose, Convolution Conv)[] up;
    private readonly Convolution[][] decoder;
    private readonly Convolution head;

    /// <summary>Creates a network with random parameters.</summary>
    /// <param name="context">The device.</param>
    /// <param name="options">The structure.</param>
    /// <param name="seed">The same seed gives the same parameters on every device.</param>
    /// <param name="outputBias">Added to the head's bias at the start: negative values begin with an almost empty score map.</param>
    public UNet3d(GpuContext context, UNet3dOptions options, int seed, double outputBias = 0)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        Context = context;
        Options = options;
        if (StoresBf16 && !FitsBf16(options))
            throw new InputException($"network: widths {string.Join(", ", options.Widths)} do not fit BF16 activations, which take multiples of {Bf16.ChannelMultiple}. Use --precision bf16-operands, tf32 or float32.");

        int[] widths = [.. options.Widths];
        int levels = widths.Length - 1;
        encoder = new Convolution[levels][];
        decoder = new Convolution[levels][];
        up = new (Convolution, Convolution)[levels];
        for (int level = 0; level < levels; level++)
        {
            int from = level == 0 ? options.InputChannels : widths[level - 1];
            encoder[level] = [AddConv3(from, widths[level], $"enc{level}.conv0"), AddConv3(widths[level], widths[level], $"enc{level}.conv1")];
        }

        int bottom = widths[levels];
        middle =
        [
            AddConv3(levels == 0 ? options.InputChannels : widths[levels - 1], bottom, "mid.conv0"),
            AddConv3(bottom, bottom, "mid.conv1"),
            AddConv3(bottom, bottom, "mid.conv2"),
            AddConv3(bottom, bottom, "mid.conv3"),
        ];
        for (int level = levels - 1; level >= 0; level--)
        {
            int below = widths[level + 1];
            up[level] = (Add(ParameterLayout.TransposedConvolutionWeight, 2, below, below, $"up{level}.transpose"), AddConv3(below, below, $"up{level}.conv"));
            decoder[level] = [AddConv3(widths[level] + below, widths[level], $"dec{level}.conv0"), AddConv3(widths[level], widths[level], $"dec{level}.conv1")];
        }

        head = Add(ParameterLayout.ConvolutionWeight, 1, widths[0], options.Outputs, "head");
        Parameters.AllocateOn(context);
        Initialise(seed, outputBias);
    }

    /// <summary>The device.</summary>
    public GpuContext Context { get; }

    /// <summary>The structure.</summary>
    public UNet3dOptions Options { get; }

    /// <summary>Whether a network's activations can be stored as BF16: the skip connections' slices must begin at multiples of 16 bytes.</summary>
    internal static bool FitsBf16(UNet3dOptions options) => options.Widths.All(w => w % Bf16.ChannelMultiple == 0);

    /// <summary>Whether activations and their gradients are stored as BF16; the image and the score maps are not.</summary>
    public bool StoresBf16 => typeof(T) == typeof(float) && Context.Precision == Precision.Bf16;

    /// <summary>Device memory of a forward pass over whole tensors, in bytes for each voxel of the input, as this network stores them.</summary>
    public double InferenceBytesPerVoxel => Options.InferenceBytesPerVoxel(StoresBf16);

    /// <summary>Device memory of a forward and a backward pass, in bytes for each voxel of the input, without what the losses take.</summary>
    public double TrainingBytesPerVoxel => Options.TrainingBytesPerVoxel(StoresBf16);

    /// <summary>The trainable numbers.</summary>
    public ParameterSet<T> Parameters { get; } = new();

    /// <summary>
    /// Reads a network from a weight file: the structure from its metadata where this program wrote it, otherwise as given.
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
            throw new InputException($"{path}: the file does not say which network its weights belong to (metadata '{MetadataKey}' is missing). Use a model written by 'train'.");
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

    /// <summary>Predicts score maps.</summary>
    /// <param name="tape">Records for training, or not for inference.</param>
    /// <param name="input">[N, D, H, W, InputChannels]; extents multiples of <see cref="UNet3dOptions.Divisor"/>.</param>
    /// <returns>Probabilities [N, D, H, W, Outputs].</returns>
    public Tensor<T> Forward(Tape<T> tape, Tensor<T> input)
    {
        int divisor = Options.Divisor;
        TensorShape shape = input.Shape;
        if (shape.Channels != Options.InputChannels || shape.Depth % divisor != 0 || shape.Height % divisor != 0 || shape.Width % divisor != 0)
            throw new ArgumentException($"UNet3d: the input is {shape}; expected {Options.InputChannels} channels and extents that are multiples of {divisor}.", nameof(input));

        int levels = encoder.Length;
        Tensor<T>[] joined = new Tensor<T>[levels];
        Tensor<T> x = StoresBf16 ? tape.RoundToBf16(input) : input;
        for (int level = 0; level < levels; level++)
        {
            int width = Options.Widths[level];
            joined[level] = tape.AllocateLike(x, x.Shape with { Channels = width + Options.Widths[level + 1] });
            Tensor<T> skip = joined[level].Channels(0, width);
            x = Apply(tape, encoder[level][0], x, Activation.Relu);
            x = Apply(tape, encoder[level][1], x, Activation.Relu, skip);
            x = tape.MaxPool3d(x);
        }

        foreach (Convolution convolution in middle)
            x = Apply(tape, convolution, x, Activation.Relu);

        for (int level = levels - 1; level >= 0; level--)
        {
            Tensor<T> upsampled = joined[level].Channels(Options.Widths[level], Options.Widths[level + 1]);
            x = tape.ConvTranspose3d(x, up[level].Transpose.Weight, up[level].Transpose.Bias);
            Apply(tape, up[level].Conv, x, Activation.None, upsampled);
            x = Apply(tape, decoder[level][0], joined[level], Activation.Relu);
            x = Apply(tape, decoder[level][1], x, Activation.Relu);
        }

        return tape.SigmoidHead(x, head.Weight, head.Bias);
    }

    /// <summary>Writes the parameters as safetensors, weights in the usual order [Cout, Cin, kD, kH, kW], with the structure as metadata.</summary>
    public void Save(string path) => SafetensorsFile.Write(path, ToTensors(prefix: ""), Metadata());

    /// <inheritdoc/>
    public void Dispose() => Parameters.Dispose();

    /// <summary>What <see cref="Save"/> adds to a file, so that <see cref="Load"/> can rebuild the network.</summary>
    internal Dictionary<string, string> Metadata() => new() { [MetadataKey] = JsonSerializer.Serialize(Options) };

    /// <summary>The parameters as named arrays in a file's order.</summary>
    internal Dictionary<string, SafetensorsTensor> ToTensors(string prefix) => ToTensors(prefix, Parameters.Values);

    /// <summary>Numbers laid out like the parameters (moments, gradients) as named arrays in a file's order.</summary>
    internal Dictionary<string, SafetensorsTensor> ToTensors(string prefix, ArrayView<T> laidOutLikeValues)
    {
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
        T[] all = new T[laidOutLikeValues.Length];
        foreach (Parameter<T> parameter in Parameters.Parameters)
        {
            string name = prefix + parameter.Name;
            if (!file.Tensors.TryGetValue(name, out SafetensorsTensor? tensor))
                throw new InputException($"{path}: tensor '{name}' is missing; this network needs {Parameters.Parameters.Count} tensors from '{Parameters.Parameters[0].Name}' to '{Parameters.Parameters[^1].Name}'.");
            if (!tensor.Shape.SequenceEqual(parameter.FileShape))
                throw new InputException($"{path}: tensor '{name}' is [{string.Join(", ", tensor.Shape)}], this network needs [{string.Join(", ", parameter.FileShape)}]. Use the model with the network that it was trained as.");
            double[] values = parameter.FromFileOrder<double>(tensor.ToDoubles());
            for (int i = 0; i < values.Length; i++)
            {
                if (!double.IsFinite(values[i]))
                    throw new InputException($"{path}: tensor '{name}' holds {values[i].ToString(CultureInfo.InvariantCulture)}; expected finite numbers. The training failed or the file is damaged: train again, or use an earlier model.");
                all[parameter.Offset + i] = T.CreateChecked(values[i]);
            }
        }

        laidOutLikeValues.CopyFromCPU(Context.Stream, all);
    }

    /// <summary>The structure that a file's metadata gives.</summary>
    internal static UNet3dOptions ReadOptions(SafetensorsFile file, string path)
        => file.Metadata.TryGetValue(MetadataKey, out string? json)
            ? ParseOptions(path, json)
            : throw new InputException($"{path}: the file does not say which network its weights belong to (metadata '{MetadataKey}' is missing). Use a file written by 'train'.");

    private static UNet3dOptions ParseOptions(string path, string json)
    {
        try
        {
            UNet3dOptions options = JsonSerializer.Deserialize<UNet3dOptions>(json) ?? throw new JsonException("empty");
            options.Validate();
            return options;
        }
        catch (JsonException e)
        {
            throw new InputException($"{path}: metadata '{MetadataKey}' is not a network's structure: {e.Message}", e);
        }
    }

    private static Tensor<T> Apply(Tape<T> tape, Convolution convolution, Tensor<T> input, Activation activation, Tensor<T>? output = null)
        => tape.Conv3d(input, convolution.Weight, convolution.Bias, activation, output);

    private Convolution AddConv3(int from, int to, string name) => Add(ParameterLayout.ConvolutionWeight, 3, from, to, name);

    private Convolution Add(ParameterLayout layout, int kernelSize, int from, int to, string name)
        => new(
            Parameters.Add($"{name}.weight", layout, kernelSize, from, to),
            Parameters.Add($"{name}.bias", ParameterLayout.Bias, 1, 1, to));

    // Weights uniform with mean 0, biases 0. The variance of the weights keeps the size of a signal from layer to layer (He et al. 2015): 2/(fan in) where a
    // ReLU follows, which loses half of it, and 1/(fan in) elsewhere. With the customary ±1/√(fan in) every layer loses more than half, and next to nothing comes
    // through the bottom: gradients of 1e-6, which Adam scales up to steps as long as any, in random directions; such runs collapse now and then.
    // The head begins small, so that the map begins nearly even, away from where the sigmoid saturates.
    private void Initialise(int seed, double outputBias)
    {
        // The algorithm behind a seeded System.Random is fixed, so a seed means the same network everywhere.
        Random random = new(seed);
        T[] all = new T[Parameters.Values.Length];
        foreach (Parameter<T> parameter in Parameters.Parameters.Where(p => p.Layout != ParameterLayout.Bias))
        {
            // A voxel of a transposed convolution's output sees one tap, of an ordinary one's all.
            int taps = parameter.Layout == ParameterLayout.TransposedConvolutionWeight ? 1 : parameter.KernelSize * parameter.KernelSize * parameter.KernelSize;
            double variance = VarianceFactor(parameter) / (taps * parameter.InputChannels);
            double bound = Math.Sqrt(3 * variance);
            for (long i = 0; i < parameter.Length; i++)
                all[parameter.Offset + i] = T.CreateChecked((float)((random.NextDouble() * 2 - 1) * bound));
        }

        for (int o = 0; o < Options.Outputs; o++)
            all[head.Bias.Offset + o] = T.CreateChecked(outputBias);
        Parameters.Values.CopyFromCPU(Context.Stream, all);
        Parameters.MarkChanged();
    }

    private double VarianceFactor(Parameter<T> weight)
        => weight == head.Weight ? HeadVarianceFactor
            : up.Any(u => weight == u.Transpose.Weight || weight == u.Conv.Weight) ? 1
            : 2;

    private readonly record struct Convolution(Parameter<T> Weight, Parameter<T> Bias);
}
