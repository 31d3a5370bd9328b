using System.Globalization;
using System.Numerics;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Adam;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Checks;

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
/// not arrays are read from the description in the file's metadata: "bandwidth 4" and "score floor 0.05" of a mean shift,
/// "lr 1e-2" and, where they are not the usual ones, "betas 0.9/0.999", "eps 1e-8" and "decay 0.01" of Adam.
/// A file that stores a rounded type is held to the tolerance of float32 throughout. The gradients of a whole network on tensor cores are held to three times
/// what changing its weights and input by as much as rounding does to them in float64, computed beside, and a layer's tolerance; "grad" is all parameters' together.
/// </remarks>
public static class ReferenceCheck
{
    private const double DoubleTolerance = 1e-7;

    // The worst of the reference files was 3.1e-6, a gradient of the U-Net with Winograd's algorithm in every convolution.
    private const double SingleTolerance = 1e-5;

    // Differences of this size are the rounding of the reference itself: nothing can agree with the noise of a gradient that is 0.
    private const double ReferenceRounding = 1e-14;

    // In an expected shape: whatever the file has, from 1 up.
    private const long Any = -1;

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
        IReadOnlyList<long> weights = file.Tensor("weight", Any, input.Shape.Channels, Any, Any, Any).Shape;
        (int outputs, int kernel) = ((int)weights[0], (int)weights[2]);
        if (kernel is not (1 or 3))
            throw new InputException($"{file.Path}: array 'weight' has a kernel of edge {kernel}. Expected 1 or 3.");
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
        int outputs = (int)file.Tensor("weight", input.Shape.Channels, Any, 2, 2, 2).Shape[1];
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
        tape.Backward(output, Convert<T>(file.Activations("grad_output", output.Shape).ChannelsLast));
        compare.Activations("grad_input", x.GradientToArray(tape.Context), x.Shape);
        compare.Values("grad_weight", weight.ToFileOrder<T>(Download(tape.Context, weight.Gradient)), weight.FileShape);
        compare.Values("grad_bias", Download(tape.Context, bias.Gradient), bias.FileShape);
    }

    private static List<ReferenceCheckResult> MaxPool3d<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        Activations input = file.Activations("input");
        TensorShape s = input.Shape;
        if (s.Depth % 2 != 0 || s.Height % 2 != 0 || s.Width % 2 != 0)
            throw new InputException($"{file.Path}: array 'input' has {s.Depth}×{s.Height}×{s.Width} voxels. Expected even numbers: the pooling takes whole blocks of 2×2×2.");
        return WithVariants(context, file, MaxPool3dVariants<T>.Table, new MaxPool3dShape(s.Batch, s.Depth, s.Height, s.Width, s.Channels, s.Channels, s.Channels), (Tape<T> tape, Comparer<T> compare) =>
        {
            Tensor<T> x = Upload(tape, input, requiresGradient: true);
            Tensor<T> output = tape.MaxPool3d(x);
            compare.Activations("output", output.ToArray(tape.Context), output.Shape);
            tape.Backward(output, Convert<T>(file.Activations("grad_output", output.Shape).ChannelsLast));
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
            Tensor<T> loss = tape.DiceLoss(x, Upload(tape, file.Activations("target", prediction.Shape), requiresGradient: false));
            compare.Values("loss", loss.ToArray(tape.Context));
            tape.Backward(loss);
            compare.Activations("grad_prediction", x.GradientToArray(tape.Context), x.Shape);
        });
    }

    private static List<ReferenceCheckResult> Adam<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        SafetensorsTensor gradients = file.Tensor("gradients", Any, Any);
        (int steps, int count) = ((int)gradients.Shape[0], (int)gradients.Shape[1]);
        double rate = file.Setting("lr");
        AdamParameters usual = AdamParameters.ForStep(1, rate);
        double beta1 = file.Setting("betas", usual.Beta1);
        double beta2 = file.Setting("betas [^/ ]+/", usual.Beta2);
        double epsilon = file.Setting("eps", usual.Epsilon);
        double decay = file.Setting("decay", usual.WeightDecay);
        return WithVariants(context, file, AdamVariants<T>.Table, new FlatShape(count), (Tape<T> tape, Comparer<T> compare) =>
        {
            ArrayView<T> values = Place(tape, file.Tensor("start", count).ToDoubles());
            ArrayView<T> first = Place(tape, new double[count]);
            ArrayView<T> second = Place(tape, new double[count]);
            ArrayView<T> factor = Place(tape, [1.0]);
            IAdam<T> adam = tape.Context.Launcher(AdamVariants<T>.Table, new FlatShape(count));
            double[] all = gradients.ToDoubles();
            List<T> after = [];
            for (int step = 1; step <= steps; step++)
            {
                ArrayView<T> gradient = Place(tape, all.AsSpan((step - 1) * count, count).ToArray());
                adam.Step(tape.Context.Stream, gradient, factor, values, first, second, AdamParameters.ForStep(step, rate, beta1, beta2, epsilon, decay));
                after.AddRange(Download(tape.Context, values));
            }

            compare.Values("after_each_step", [.. after], steps, count);
        });
    }

    private static List<ReferenceCheckResult> Network<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        Activations input = file.Activations("input");
        List<int> widths = [];
        while (file.Has($"param.enc{widths.Count}.conv0.weight"))
            widths.Add((int)file.Tensor($"param.enc{widths.Count}.conv0.weight", Any, Any, 3, 3, 3).Shape[0]);
        widths.Add((int)file.Tensor("param.mid.conv0.weight", Any, Any, 3, 3, 3).Shape[0]);
        UNet3dOptions options = new() { InputChannels = input.Shape.Channels, Outputs = (int)file.Tensor("param.head.weight", Any, Any, 1, 1, 1).Shape[0], Widths = widths };
        options.Validate();
        TensorShape s = input.Shape;
        if (s.Depth % options.Divisor != 0 || s.Height % options.Divisor != 0 || s.Width % options.Divisor != 0)
            throw new InputException($"{file.Path}: array 'input' has {s.Depth}×{s.Height}×{s.Width} voxels. Expected multiples of {options.Divisor}, for {widths.Count - 1} poolings.");
        Conv3dShape first = new(input.Shape.Batch, input.Shape.Depth, input.Shape.Height, input.Shape.Width, input.Shape.Channels, widths[0], 3, Activation.Relu, input.Shape.Channels, widths[0]);

        // Widths that BF16 activations do not take are checked with rounded operands.
        Precision rounding = context.Precision == Precision.Bf16 && !UNet3d<T>.FitsBf16(options) ? Precision.Bf16Operands : context.Precision;
        IReadOnlyDictionary<string, double>? moves = typeof(T) == typeof(float) && rounding != Precision.Float32 ? GradientMoves(context, file, options, input, rounding) : null;
        return WithVariants(context, file, Conv3dVariants<T>.Table, first, (Tape<T> tape, Comparer<T> compare) =>
        {
            using UNet3d<T> network = new(tape.Context, options, seed: 0);
            network.SetParameters(file.File, file.Path, "param.");
            Tensor<T> x = Upload(tape, input, requiresGradient: true);
            Tensor<T> output = network.Forward(tape, x);
            Tensor<T> loss = tape.DiceLoss(output, Upload(tape, file.Activations("target", output.Shape), requiresGradient: false));
            compare.Activations("output", output.ToArray(tape.Context), output.Shape);
            compare.Values("loss", loss.ToArray(tape.Context));
            foreach ((string name, T[] gradient, double[] reference) in NetworkGradients(tape, file, network, x, loss))
                compare.NetworkGradient(name, gradient, reference, moves);
        }, rounding);
    }

    // The gradients of a network's input, of each parameter, and of all parameters together, beside those of the file.
    private static List<(string Name, T[] Gradient, double[] Reference)> NetworkGradients<T>(Tape<T> tape, ReferenceFile file, UNet3d<T> network, Tensor<T> input, Tensor<T> loss)
        where T : unmanaged, INumber<T>
    {
        network.Parameters.ZeroGradients(tape.Context);
        tape.Backward(loss);
        List<(string Name, T[] Gradient, double[] Reference)> gradients = [];
        foreach (Parameter<T> parameter in network.Parameters.Parameters)
        {
            string name = $"grad.{parameter.Name}";
            gradients.Add((name, parameter.ToFileOrder<T>(Download(tape.Context, parameter.Gradient)), file.Tensor(name, parameter.FileShape).ToDoubles()));
        }

        gradients.Insert(0, ("grad", [.. gradients.SelectMany(g => g.Gradient)], [.. gradients.SelectMany(g => g.Reference)]));
        gradients.Insert(0, ("grad.input", ToChannelsFirst(input.GradientToArray(tape.Context), input.Shape), file.Tensor("grad.input", FileShape(input.Shape)).ToDoubles()));
        return gradients;
    }

    // By how much each gradient changes, relative to its length, when only the weights and the input change by as much as rounding does, and everything is
    // computed in float64: units near ReLU's kink and near-equal maxima of poolings change sides, and each of them changes the gradient by itself. Which ones
    // do is chance; the largest of four changes, the rounding itself and three random ones. The file's gradients are not asked: they are what is checked.
    private static Dictionary<string, double> GradientMoves(GpuContext context, ReferenceFile file, UNet3dOptions options, Activations input, Precision rounding)
    {
        using GpuContext exact = context.WithVariant(Variants.Direct);
        using Arena arena = new(exact);
        Dictionary<string, double[]> unchanged = [];
        Dictionary<string, double> moves = [];
        for (int sample = 0; sample <= 4; sample++)
        {
            Random random = new(sample);
            using Tape<double> tape = Tape<double>.Begin(arena);
            using UNet3d<double> network = new(exact, options, seed: 0);
            network.SetParameters(file.File, file.Path, "param.");
            foreach (Parameter<double> weight in network.Parameters.Parameters.Where(p => p.Layout != ParameterLayout.Bias))
                weight.Upload(exact, Array.ConvertAll(weight.Download(exact), Change));
            Tensor<double> x = tape.Upload(Array.ConvertAll(input.ChannelsLast, Change), input.Shape, requiresGradient: true);
            Tensor<double> output = network.Forward(tape, x);
            Tensor<double> loss = tape.DiceLoss(output, Upload(tape, file.Activations("target", output.Shape), requiresGradient: false));
            foreach ((string name, double[] gradient, _) in NetworkGradients(tape, file, network, x, loss))
            {
                if (sample == 0)
                    unchanged[name] = gradient;
                moves[name] = Math.Max(moves.GetValueOrDefault(name), RelativeError(gradient, unchanged[name]));
            }

            // 10 bits of a float32's fraction stay, or 7; half of the last is at most 2⁻¹² or 2⁻⁹ of the number.
            double Change(double value)
            {
                uint half = rounding == Precision.Tf32 ? 0x1000u : 0x8000u;
                return sample switch
                {
                    0 => value,
                    1 => BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits((float)value) + half) & ~(2 * half - 1)),
                    _ => value * (1 + (2 * random.NextDouble() - 1) * half / (1 << 24)),
                };
            }
        }

        return moves;
    }

    // ‖computed − reference‖ / ‖reference‖, or the first alone where the reference is 0.
    private static double RelativeError<T>(T[] computed, double[] reference)
        where T : unmanaged, INumber<T>
    {
        double squares = 0;
        double norm = 0;
        for (int i = 0; i < reference.Length; i++)
        {
            double difference = double.CreateChecked(computed[i]) - reference[i];
            squares += difference * difference;
            norm += reference[i] * reference[i];
        }

        return Math.Sqrt(norm > 0 ? squares / norm : squares);
    }

    private static List<ReferenceCheckResult> MeanShift<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>
    {
        string[] words = file.Name.Split('_');
        if (words.Length < 4 || !TryWord(words[2], out Weighting weighting) || !TryWord(words[3], out CenterDistance distance))
            throw new InputException($"{file.Path}: the name does not say which mean shift it is. Expected mean_shift_WEIGHTING_DISTANCE with {string.Join(", ", Enum.GetNames<Weighting>())} and {string.Join(", ", Enum.GetNames<CenterDistance>())}.");
        SafetensorsTensor score = file.Tensor("score", Any, Any, Any);
        double[] seeds = file.Tensor("seeds", Any, 3).ToDoubles();
        double[] centers = file.Tensor("centers", Any, 3).ToDoubles();
        int seedCount = seeds.Length / 3;
        int iterations = (int)file.Tensor("positions", Any, seedCount, 3).Shape[0] - 1;
        if (iterations < 1)
            throw new InputException($"{file.Path}: array 'positions' holds the seeds alone. Expected the seeds, then the positions after each iteration.");
        MeanShiftOptions options;
        try
        {
            options = new() { Weighting = weighting, Distance = distance, Iterations = iterations, BandwidthVoxels = file.Setting("bandwidth"), ScoreFloor = file.Setting("score floor") };
        }
        catch (InputException e) when (!e.Message.StartsWith(file.Path, StringComparison.Ordinal))
        {
            throw new InputException($"{file.Path}: {e.Message}", e);
        }

        TensorShape shape = new(1, (int)score.Shape[0], (int)score.Shape[1], (int)score.Shape[2], 1);
        return WithVariants(context, file, MeanShiftVariants<T>.Table, new MeanShiftShape(1, shape.Depth, shape.Height, shape.Width, seedCount, options.Iterations, 1), (Tape<T> tape, Comparer<T> compare) =>
        {
            Tensor<T> x = tape.Upload(Convert<T>(score.ToDoubles()), shape, requiresGradient: true);
            ArrayView<int> offsets = tape.Arena.Allocate<int>(2);
            offsets.CopyFromCPU(tape.Context.Stream, [0, centers.Length / 3]);
            CenterBatch<T> batch = new(Place(tape, centers), offsets, centers.Length / 3, 1);
            MeanShiftLossResult<T> result = tape.MeanShiftLoss(x, batch, Convert<T>(seeds), options);
            compare.Values("positions", Download(tape.Context, result.Trajectory), iterations + 1, seedCount, 3);
            compare.Values("loss", result.Loss.ToArray(tape.Context));
            tape.Backward(result.Loss);
            compare.Values("grad_score", x.GradientToArray(tape.Context), shape.Depth, shape.Height, shape.Width);
        });
    }

    // A name of the enumeration; its numbers are none of a file's business.
    private static bool TryWord<TEnum>(string text, out TEnum value)
        where TEnum : struct, Enum
        => Enum.TryParse(text, ignoreCase: true, out value) && !char.IsAsciiDigit(text[0]);

    // Runs a computation once for each variant of its main operation.
    private static List<ReferenceCheckResult> WithVariants<T, TLauncher, TShape>(
        GpuContext context,
        ReferenceFile file,
        VariantTable<TLauncher, TShape> table,
        TShape shape,
        Action<Tape<T>, Comparer<T>> compute,
        Precision? rounding = null)
        where T : unmanaged, INumber<T>
        where TLauncher : class, IDisposable
    {
        List<ReferenceCheckResult> results = [];
        foreach (Variant<TLauncher, TShape> variant in table.Supported(context, shape))
        {
            using GpuContext forced = context.WithVariant(variant.Name, rounding);
            using Arena arena = new(forced);
            using Tape<T> tape = Tape<T>.Begin(arena);
            compute(tape, new Comparer<T>(file, variant.Name, Variants.Tolerance(context, variant.Name, SingleTolerance), results));
        }

        return results;
    }

    private static Tensor<T> Upload<T>(Tape<T> tape, Activations activations, bool requiresGradient)
        where T : unmanaged, INumber<T>
        => tape.Upload(Convert<T>(activations.ChannelsLast), activations.Shape, requiresGradient);

    private static void UploadParameter<T>(GpuContext context, ReferenceFile file, string name, Parameter<T> parameter)
        where T : unmanaged, INumber<T>
    {
        double[] values = file.Tensor(name, parameter.FileShape).ToDoubles();
        parameter.Upload(context, Convert<T>(parameter.FromFileOrder<double>(values)));
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

        /// <summary>The tolerance in float64: the file's own rounding may be what differs.</summary>
        public double DoubleTolerance => File.Tensors.Values.All(tensor => tensor.Type == "F64") ? ReferenceCheck.DoubleTolerance : SingleTolerance;

        /// <summary>An array of finite numbers and the given shape, in which <see cref="Any"/> stands for any extent from 1 up.</summary>
        public SafetensorsTensor Tensor(string name, params ReadOnlySpan<long> expected)
        {
            if (!File.Tensors.TryGetValue(name, out SafetensorsTensor? tensor))
                throw new InputException($"{path}: array '{name}' is missing.");
            bool fits = tensor.Shape.Count == expected.Length || (expected.IsEmpty && tensor.Count == 1);
            for (int axis = 0; fits && axis < expected.Length; axis++)
                fits = expected[axis] == Any ? tensor.Shape[axis] is >= 1 and <= int.MaxValue : tensor.Shape[axis] == expected[axis];
            if (!fits)
                throw new InputException($"{path}: array '{name}' is [{string.Join(", ", tensor.Shape)}]. Expected [{string.Join(", ", expected.ToArray().Select(e => e == Any ? "any" : $"{e}"))}].");
            int notFinite = Array.FindIndex(tensor.ToDoubles(), value => !double.IsFinite(value));
            if (notFinite >= 0)
                throw new InputException($"{path}: array '{name}' is not finite at element {notFinite}. Expected numbers, with which results can be compared.");
            return tensor;
        }

        // [N, C, D, H, W] to [N, D, H, W, C].
        public Activations Activations(string name) => ChannelsLast(Tensor(name, Any, Any, Any, Any, Any));

        public Activations Activations(string name, TensorShape expected) => ChannelsLast(Tensor(name, FileShape(expected)));

        public double Setting(string name)
            => Setting(name, double.NaN) is double value && double.IsFinite(value)
                ? value
                : throw new InputException($"{path}: the description in the metadata gives no {name}. Expected '{name}' and a number in it.");

        // A setting that is given must be a number: "decay 0.01", or "no decay" for the usual one.
        public double Setting(string name, double otherwise)
        {
            string separator = name.EndsWith('/') ? "" : @"\s*[ =:]\s*";
            Match match = Regex.Match(File.Metadata.GetValueOrDefault("description", ""), $@"(?<!\bno )\b{name}{separator}(?<value>[^\s,;()/]+)", RegexOptions.IgnoreCase);
            if (!match.Success)
                return otherwise;
            string text = match.Groups["value"].Value.TrimEnd('.');
            return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
                ? value
                : throw new InputException($"{path}: the description in the metadata says '{match.Value}'. Expected a number.");
        }

        private static Activations ChannelsLast(SafetensorsTensor tensor)
        {
            int[] s = [.. tensor.Shape.Select(extent => (int)extent)];
            TensorShape shape = new(s[0], s[2], s[3], s[4], s[1]);
            return new Activations(shape, ToChannelsLast(tensor.ToDoubles(), shape));
        }
    }

    // [N, C, D, H, W].
    private static long[] FileShape(TensorShape shape) => [shape.Batch, shape.Channels, shape.Depth, shape.Height, shape.Width];

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

    private sealed class Comparer<T>(ReferenceFile file, string variant, double singleTolerance, List<ReferenceCheckResult> results)
        where T : unmanaged, INumber<T>
    {
        public void Activations(string name, T[] channelsLast, TensorShape shape) => Values(name, ToChannelsFirst(channelsLast, shape), FileShape(shape));

        public void Values(string name, T[] computed, params ReadOnlySpan<long> shape) => Compare(name, computed, file.Tensor(name, shape).ToDoubles(), singleTolerance);

        // Three things are rounded on the way to a network's gradient: weights, activations and gradients. What the first does by itself is known; each of the
        // others may do as much, beyond a layer's own tolerance. Seen on U-Nets of 4-6-8 and 8-8-16 channels: in TF32 1, in BF16 1.3 and, with activations
        // stored so, 1.9 times what the first does.
        public void NetworkGradient(string name, T[] computed, double[] reference, IReadOnlyDictionary<string, double>? moves)
            => Compare(name, computed, reference, singleTolerance + (moves is not null && variant == MeanShiftGpu.Device.Variants.TensorCore ? 3 * moves[name] : 0));

        private void Compare(string name, T[] computed, double[] reference, double single)
        {
            long worst = 0;
            double worstDifference = -1;
            for (int i = 0; i < reference.Length; i++)
            {
                double difference = Math.Abs(double.CreateChecked(computed[i]) - reference[i]);
                // What is no number is worse than any difference.
                if (!(difference <= worstDifference) && !double.IsNaN(worstDifference))
                    (worst, worstDifference) = (i, difference);
            }

            double error = RelativeError(computed, reference);
            bool isDouble = typeof(T) == typeof(double);
            double tolerance = isDouble ? file.DoubleTolerance : single;
            double norm = Math.Sqrt(reference.Sum(r => r * r));
            bool passed = error <= tolerance || error * (norm > 0 ? norm : 1) <= ReferenceRounding;
            results.Add(new ReferenceCheckResult(
                file.Name, name, variant, isDouble ? "float64" : "float32", error, tolerance, passed, worst, double.CreateChecked(computed[worst]), reference[worst]));
        }
    }
}
