using System.Globalization;
using System.Numerics;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.IO;
using MeanShiftGpu.Kernels;
using MeanShiftGpu.Layers;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>The comparison of one array of a reference file with what this library computes.</summary>
/// <param name="Case">The file's name.</param>
/// <param name="Tensor">The array's name in the file.</param>
/// <param name="Variant">The kernel variant.</param>
/// <param name="RealType">float32 or float64.</param>
/// <param name="RelativeError">‖computed − reference‖ / ‖reference‖.</param>
/// <param name="Tolerance">The bound on it.</param>
/// <param name="Passed">Within the bound.</param>
/// <param name="WorstIndex">The element (in the file's order) that differs most.</param>
/// <param name="Computed">The computed value there.</param>
/// <param name="Reference">The reference value there.</param>
public sealed record ReferenceCheckResult(
    string Case,
    string Tensor,
    string Variant,
    string RealType,
    double RelativeError,
    double Tolerance,
    bool Passed,
    long WorstIndex,
    double Computed,
    double Reference)
{
    /// <inheritdoc/>
    public override string ToString()
        => $"{(Passed ? "ok  " : "FAIL")} {Case} / {Tensor} ({RealType}, {Variant}): relative error {RelativeError:g3}, tolerance {Tolerance:g3}, " +
           $"worst at element {WorstIndex}: computed {Computed:g9}, reference {Reference:g9}";
}

/// <summary>
/// Recomputes reference results stored as safetensors, with every variant that a device supports, in float64 and float32.
/// </summary>
/// <remarks>
/// The file's name says what it holds: conv3d…, conv_transpose3d…, max_pool3d…, dice…, adam…, unet_dice…,
/// mean_shift_WEIGHTING_DISTANCE…. Arrays are in libtorch's order: activations [N, C, D, H, W], convolution weights
/// [Cout, Cin, kD, kH, kW], transposed convolution weights [Cin, Cout, kD, kH, kW]; positions (z, y, x). Settings that are
/// not arrays (bandwidth, score floor, learning rate) are read from the description where it gives them.
/// </remarks>
public static class ReferenceCheck
{
    private const double DoubleTolerance = 1e-7;
    private const double SingleTolerance = 1e-4;

    /// <summary>Checks every reference file of a folder.</summary>
    /// <param name="context">The device.</param>
    /// <param name="directory">The folder.</param>
    /// <param name="progress">Told each result as it comes.</param>
    /// <exception cref="InputException">No reference file, or one that cannot be read.</exception>
    public static IReadOnlyList<ReferenceCheckResult> Run(GpuContext context, string directory, Action<ReferenceCheckResult>? progress = null)
    {
        if (!Directory.Exists(directory))
            throw new InputException($"{directory}: no such folder. Expected a folder with reference files (*.safetensors).");
        string[] paths = [.. Directory.GetFiles(directory, "*.safetensors").Order(StringComparer.Ordinal)];
        if (paths.Length == 0)
            throw new InputException($"{directory}: the folder has no reference file. Expected files like conv3d_k3.safetensors.");

        List<ReferenceCheckResult> results = [];
        foreach (string path in paths)
        {
            ReferenceFile file = new(path);
            foreach (ReferenceCheckResult result in Check<double>(context, file).Concat(Check<float>(context, file)))
            {
                results.Add(result);
                progress?.Invoke(result);
            }
        }

        return results;
    }

    private static List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
        => file.Name switch
        {
            _ when file.Name.StartsWith("conv3d", StringComparison.Ordinal) => Conv3d<T>(context, file),
            _ when file.Name.StartsWith("conv_transpose3d", StringComparison.Ordinal) => ConvTranspose3d<T>(context, file),
            _ when file.Name.StartsWith("max_pool3d", StringComparison.Ordinal) => MaxPool3d<T>(context, file),
            _ when file.Name.StartsWith("dice", StringComparison.Ordinal) => Dice<T>(context, file),
            _ when file.Name.StartsWith("adam", StringComparison.Ordinal) => Adam<T>(context, file),
            _ when file.Name.StartsWith("unet_dice", StringComparison.Ordinal) => Network<T>(context, file),
            _ when file.Name.StartsWith("mean_shift_", StringComparison.Ordinal) => MeanShift<T>(context, file),
            _ => throw new InputException($"{file.Path}: the name does not say what the file holds. Expected it to begin with conv3d, conv_transpose3d, max_pool3d, dice, adam, unet_dice or mean_shift_."),
        };

    private static List<ReferenceCheckResult> Conv3d<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        Activations input = file.Activations("input");
        SafetensorsTensor weights = file.Tensor("weight", 5);
        (int outputs, int kernel) = ((int)weights.Shape[0], (int)weights.Shape[2]);
        Conv3dShape shape = new(input.Shape.Batch, input.Shape.Depth, input.Shape.Height, input.Shape.Width, input.Shape.Channels, outputs, kernel, Activation.None, input.Shape.Channels, outputs);
        return WithVariants(context, file, Conv3dVariants<T>.Table, shape, (Tape<T> tape, Comparer<T> compare) =>
        {
            using ParameterSet<T> set = new();
            Parameter<T> weight = set.Add("weight", ParameterLayout.ConvolutionWeight, kernel, input.Shape.Channels, outputs);
            Parameter<T> bias = set.Add("bias", ParameterLayout.Bias, 1, 1, outputs);
            Convolve(tape, file, compare, input, set, weight, bias, x => tape.Conv3d(x, weight, bias));
        });
    }

    private static List<ReferenceCheckResult> ConvTranspose3d<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        Activations input = file.Activations("input");
        int outputs = (int)file.Tensor("weight", 5).Shape[1];
        ConvTranspose3dShape shape = new(input.Shape.Batch, input.Shape.Depth, input.Shape.Height, input.Shape.Width, input.Shape.Channels, outputs, input.Shape.Channels, outputs);
        return WithVariants(context, file, ConvTranspose3dVariants<T>.Table, shape, (Tape<T> tape, Comparer<T> compare) =>
        {
            using ParameterSet<T> set = new();
            Parameter<T> weight = set.Add("weight", ParameterLayout.TransposedConvolutionWeight, 2, input.Shape.Channels, outputs);
            Parameter<T> bias = set.Add("bias", ParameterLayout.Bias, 1, 1, outputs);
            Convolve(tape, file, compare, input, set, weight, bias, x => tape.ConvTranspose3d(x, weight, bias));
        });
    }

    private static void Convolve<T>(
        Tape<T> tape,
        ReferenceFile file,
        Comparer<T> compare,
        Activations input,
        ParameterSet<T> set,
        Parameter<T> weight,
        Parameter<T> bias,
        Func<Tensor<T>, Tensor<T>> operation)
        where T : unmanaged, INumber<T>
    {
        set.AllocateOn(tape.Context);
        UploadParameter(tape.Context, file, "weight", weight);
        UploadParameter(tape.Context, file, "bias", bias);
        Tensor<T> x = Upload(tape, input, requiresGradient: true);
        Tensor<T> output = operation(x);
        compare.Activations("output", output.ToArray(tape.Context), output.Shape);
        tape.Backward(output, Convert<T>(file.Activations("grad_output").ChannelsLast));
        compare.Activations("grad_input", x.GradientToArray(tape.Context), x.Shape);
        compare.Values("grad_weight", weight.ToFileOrder<T>(Download(tape.Context, weight.Gradient)));
        compare.Values("grad_bias", Download(tape.Context, bias.Gradient));
    }

    private static List<ReferenceCheckResult> MaxPool3d<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        Activations input = file.Activations("input");
        TensorShape s = input.Shape;
        return WithVariants(context, file, MaxPool3dVariants<T>.Table, new MaxPool3dShape(s.Batch, s.Depth, s.Height, s.Width, s.Channels, s.Channels, s.Channels), (Tape<T> tape, Comparer<T> compare) =>
        {
            Tensor<T> x = Upload(tape, input, requiresGradient: true);
            Tensor<T> output = tape.MaxPool3d(x);
            compare.Activations("output", output.ToArray(tape.Context), output.Shape);
            tape.Backward(output, Convert<T>(file.Activations("grad_output").ChannelsLast));
            compare.Activations("grad_input", x.GradientToArray(tape.Context), x.Shape);
        });
    }

    private static List<ReferenceCheckResult> Dice<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        Activations prediction = file.Activations("prediction");
        return WithVariants(context, file, DiceVariants<T>.Table, new FlatShape(prediction.Shape.Length), (Tape<T> tape, Comparer<T> compare) =>
        {
            Tensor<T> x = Upload(tape, prediction, requiresGradient: true);
            Tensor<T> loss = tape.DiceLoss(x, Upload(tape, file.Activations("target"), requiresGradient: false));
            compare.Values("loss", loss.ToArray(tape.Context));
            tape.Backward(loss);
            compare.Activations("grad_prediction", x.GradientToArray(tape.Context), x.Shape);
        });
    }

    private static List<ReferenceCheckResult> Adam<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        SafetensorsTensor gradients = file.Tensor("gradients", 2);
        (int steps, int count) = ((int)gradients.Shape[0], (int)gradients.Shape[1]);
        double rate = file.Setting("lr", 1e-2);
        return WithVariants(context, file, AdamVariants<T>.Table, new FlatShape(count), (Tape<T> tape, Comparer<T> compare) =>
        {
            ArrayView<T> values = Place(tape, file.Tensor("start", 1).ToDoubles());
            ArrayView<T> first = Place(tape, new double[count]);
            ArrayView<T> second = Place(tape, new double[count]);
            ArrayView<T> factor = Place(tape, [1.0]);
            IAdam<T> adam = tape.Context.Launcher(AdamVariants<T>.Table, new FlatShape(count));
            double[] all = gradients.ToDoubles();
            List<T> after = [];
            for (int step = 1; step <= steps; step++)
            {
                ArrayView<T> gradient = Place(tape, all.AsSpan((step - 1) * count, count).ToArray());
                adam.Step(tape.Context.Stream, gradient, factor, values, first, second, AdamParameters.ForStep(step, rate));
                after.AddRange(Download(tape.Context, values));
            }

            compare.Values("after_each_step", [.. after]);
        });
    }

    private static List<ReferenceCheckResult> Network<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        Activations input = file.Activations("input");
        List<int> widths = [];
        while (file.Has($"param.enc{widths.Count}.conv0.weight"))
            widths.Add((int)file.Tensor($"param.enc{widths.Count}.conv0.weight", 5).Shape[0]);
        widths.Add((int)file.Tensor("param.mid.conv0.weight", 5).Shape[0]);
        UNet3dOptions options = new() { InputChannels = input.Shape.Channels, Outputs = (int)file.Tensor("param.head.weight", 5).Shape[0], Widths = widths };
        Conv3dShape first = new(input.Shape.Batch, input.Shape.Depth, input.Shape.Height, input.Shape.Width, input.Shape.Channels, widths[0], 3, Activation.Relu, input.Shape.Channels, widths[0]);
        return WithVariants(context, file, Conv3dVariants<T>.Table, first, (Tape<T> tape, Comparer<T> compare) =>
        {
            using UNet3d<T> network = new(tape.Context, options, seed: 0);
            network.SetParameters(file.File, file.Path, "param.");
            network.Parameters.ZeroGradients(tape.Context);
            Tensor<T> x = Upload(tape, input, requiresGradient: true);
            Tensor<T> output = network.Forward(tape, x);
            Tensor<T> loss = tape.DiceLoss(output, Upload(tape, file.Activations("target"), requiresGradient: false));
            compare.Activations("output", output.ToArray(tape.Context), output.Shape);
            compare.Values("loss", loss.ToArray(tape.Context));
            tape.Backward(loss);
            compare.Activations("grad.input", x.GradientToArray(tape.Context), x.Shape);
            foreach (Parameter<T> parameter in network.Parameters.Parameters)
                compare.Values($"grad.{parameter.Name}", parameter.ToFileOrder<T>(Download(tape.Context, parameter.Gradient)));
        });
    }

    private static List<ReferenceCheckResult> MeanShift<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        string[] words = file.Name.Split('_');
        if (words.Length < 4 || !Enum.TryParse(words[2], ignoreCase: true, out Weighting weighting) || !Enum.TryParse(words[3], ignoreCase: true, out CenterDistance distance))
            throw new InputException($"{file.Path}: the name does not say which mean shift it is. Expected mean_shift_WEIGHTING_DISTANCE with {string.Join(", ", Enum.GetNames<Weighting>())} and {string.Join(", ", Enum.GetNames<CenterDistance>())}.");
        SafetensorsTensor score = file.Tensor("score", 3);
        SafetensorsTensor positions = file.Tensor("positions", 3);
        int seeds = (int)positions.Shape[1];
        MeanShiftOptions options = new()
        {
            Weighting = weighting,
            Distance = distance,
            Iterations = (int)positions.Shape[0] - 1,
            BandwidthVoxels = file.Setting("bandwidth", 4),
            ScoreFloor = file.Setting("score floor", weighting == Weighting.Linear ? 0 : 0.05),
        };
        TensorShape shape = new(1, (int)score.Shape[0], (int)score.Shape[1], (int)score.Shape[2], 1);
        double[] centers = file.Tensor("centers", 2).ToDoubles();
        return WithVariants(context, file, MeanShiftVariants<T>.Table, new MeanShiftShape(1, shape.Depth, shape.Height, shape.Width, seeds, options.Iterations, 1), (Tape<T> tape, Comparer<T> compare) =>
        {
            Tensor<T> x = tape.Upload(Convert<T>(score.ToDoubles()), shape, requiresGradient: true);
            ArrayView<int> offsets = tape.Arena.Allocate<int>(2);
            offsets.CopyFromCPU(tape.Context.Stream, [0, centers.Length / 3]);
            CenterBatch<T> batch = new(Place(tape, centers), offsets, centers.Length / 3, 1);
            MeanShiftLossResult<T> result = tape.MeanShiftLoss(x, batch, Convert<T>(file.Tensor("seeds", 2).ToDoubles()), options);
            compare.Values("positions", Download(tape.Context, result.Trajectory));
            compare.Values("loss", result.Loss.ToArray(tape.Context));
            tape.Backward(result.Loss);
            compare.Values("grad_score", x.GradientToArray(tape.Context));
        });
    }

    // Runs a computation once for each variant of its main operation.
    private static List<ReferenceCheckResult> WithVariants<T, TLauncher, TShape>(
        GpuContext context,
        ReferenceFile file,
        VariantTable<TLauncher, TShape> table,
        TShape shape,
        Action<Tape<T>, Comparer<T>> compute)
        where T : unmanaged, INumber<T>
        where TLauncher : class, IDisposable
    {
        List<ReferenceCheckResult> results = [];
        foreach (Variant<TLauncher, TShape> variant in table.Supported(context, shape))
        {
            using GpuContext forced = GpuContext.Attach(context.Accelerator, context.Stream, new GpuContextOptions { Variant = variant.Name, Threads = context.Threads.Count });
            using Arena arena = new(forced);
            using Tape<T> tape = Tape<T>.Begin(arena);
            compute(tape, new Comparer<T>(file, variant.Name, results));
        }

        return results;
    }

    private static Tensor<T> Upload<T>(Tape<T> tape, Activations activations, bool requiresGradient)
        where T : unmanaged, INumber<T>
        => tape.Upload(Convert<T>(activations.ChannelsLast), activations.Shape, requiresGradient);

    private static void UploadParameter<T>(GpuContext context, ReferenceFile file, string name, Parameter<T> parameter)
        where T : unmanaged, INumber<T>
    {
        SafetensorsTensor tensor = file.Tensor(name, parameter.FileShape.Length);
        if (!tensor.Shape.SequenceEqual(parameter.FileShape))
            throw new InputException($"{file.Path}: '{name}' is [{string.Join(", ", tensor.Shape)}], expected [{string.Join(", ", parameter.FileShape)}].");
        parameter.Upload(context, Convert<T>(parameter.FromFileOrder<double>(tensor.ToDoubles())));
    }

    private static ArrayView<T> Place<T>(Tape<T> tape, double[] values)
        where T : unmanaged, INumber<T>
    {
        ArrayView<T> view = tape.Arena.Allocate<T>(values.Length);
        view.CopyFromCPU(tape.Context.Stream, Convert<T>(values));
        return view;
    }

    private static T[] Download<T>(GpuContext context, ArrayView<T> view)
        where T : unmanaged
    {
        T[] values = new T[view.Length];
        view.CopyToCPU(context.Stream, values);
        context.Synchronize();
        return values;
    }

    private static T[] Convert<T>(double[] values)
        where T : INumber<T>
        => Array.ConvertAll(values, T.CreateChecked);

    private sealed record Activations(TensorShape Shape, double[] ChannelsLast);

    private sealed class ReferenceFile(string path)
    {
        public string Path => path;

        public string Name { get; } = System.IO.Path.GetFileNameWithoutExtension(path);

        public SafetensorsFile File { get; } = SafetensorsFile.Read(path);

        public bool Has(string name) => File.Tensors.ContainsKey(name);

        public SafetensorsTensor Tensor(string name, int rank)
        {
            if (!File.Tensors.TryGetValue(name, out SafetensorsTensor? tensor))
                throw new InputException($"{path}: array '{name}' is missing.");
            return tensor.Shape.Count == rank
                ? tensor
                : throw new InputException($"{path}: array '{name}' is [{string.Join(", ", tensor.Shape)}]; expected {rank} dimensions.");
        }

        // [N, C, D, H, W] to [N, D, H, W, C].
        public Activations Activations(string name)
        {
            SafetensorsTensor tensor = Tensor(name, 5);
            int[] s = [.. tensor.Shape.Select(extent => checked((int)extent))];
            TensorShape shape = new(s[0], s[2], s[3], s[4], s[1]);
            return new Activations(shape, ToChannelsLast(tensor.ToDoubles(), shape));
        }

        public double Setting(string name, double otherwise)
        {
            Match match = Regex.Match(File.Metadata.GetValueOrDefault("description", ""), $@"\b{name} ([0-9][0-9.eE+-]*[0-9]|[0-9])");
            return match.Success && double.TryParse(match.Groups[1].Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) ? value : otherwise;
        }
    }

    private static TValue[] ToChannelsLast<TValue>(TValue[] channelsFirst, TensorShape shape)
    {
        TValue[] result = new TValue[channelsFirst.Length];
        ForEachElement(shape, (first, last) => result[last] = channelsFirst[first]);
        return result;
    }

    private static TValue[] ToChannelsFirst<TValue>(TValue[] channelsLast, TensorShape shape)
    {
        TValue[] result = new TValue[channelsLast.Length];
        ForEachElement(shape, (first, last) => result[first] = channelsLast[last]);
        return result;
    }

    // Calls with an element's index in [N, C, D, H, W] and in [N, D, H, W, C].
    private static void ForEachElement(TensorShape shape, Action<long, long> action)
    {
        long voxels = shape.Voxels / Math.Max(1, shape.Batch);
        for (long n = 0; n < shape.Batch; n++)
        {
            for (long c = 0; c < shape.Channels; c++)
            {
                for (long v = 0; v < voxels; v++)
                    action((n * shape.Channels + c) * voxels + v, (n * voxels + v) * shape.Channels + c);
            }
        }
    }

    private sealed class Comparer<T>(ReferenceFile file, string variant, List<ReferenceCheckResult> results)
        where T : unmanaged, INumber<T>
    {
        public void Activations(string name, T[] channelsLast, TensorShape shape) => Values(name, ToChannelsFirst(channelsLast, shape));

        public void Values(string name, T[] computed)
        {
            if (!file.File.Tensors.TryGetValue(name, out SafetensorsTensor? tensor))
                throw new InputException($"{file.Path}: array '{name}' is missing.");
            double[] reference = tensor.ToDoubles();
            if (reference.Length != computed.Length)
                throw new InputException($"{file.Path}: array '{name}' is [{string.Join(", ", tensor.Shape)}], but its inputs give {computed.Length} numbers.");

            double squares = 0;
            double norm = 0;
            long worst = 0;
            double worstDifference = -1;
            for (int i = 0; i < reference.Length; i++)
            {
                double difference = Math.Abs(double.CreateChecked(computed[i]) - reference[i]);
                squares += difference * difference;
                norm += reference[i] * reference[i];
                if (!(difference <= worstDifference))
                    (worst, worstDifference) = (i, difference);
            }

            double error = norm > 0 ? Math.Sqrt(squares / norm) : Math.Sqrt(squares);
            bool isDouble = typeof(T) == typeof(double);
            double tolerance = isDouble ? DoubleTolerance : SingleTolerance;
            results.Add(new ReferenceCheckResult(
                file.Name, name, variant, isDouble ? "float64" : "float32", error, tolerance, error <= tolerance,
                worst, reference.Length == 0 ? 0 : double.CreateChecked(computed[worst]), reference.Length == 0 ? 0 : reference[worst]));
        }
    }
}
