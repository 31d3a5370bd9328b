using System.Globalization;
using System.Numerics;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;

namespace MeanShiftGpu.Validation;

/// <summary>
/// An operation whose results can be recomputed from reference files, which it knows by how their names
/// begin.
/// </summary>
internal abstract class ReferenceCase(string prefix)
{
    /// <summary>How the names of its files begin.</summary>
    public string Prefix => prefix;

    /// <summary>Recomputes a file's results with every variant that a device supports.</summary>
    public abstract List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        where T : unmanaged, INumber<T>;
}

/// <summary>A tensor of a file, [N, C, D, H, W] there, with its numbers in our order.</summary>
internal sealed record ReferenceActivations(TensorShape Shape, double[] ChannelsLast);

/// <summary>
/// A reference file: arrays of finite numbers, and settings in the description in its metadata.
/// </summary>
internal sealed class ReferenceFile(string path)
{
    // The worst of the reference files was 3.1e-6, a gradient of the U-Net with Winograd's algorithm in every
    // convolution.
    private const double SingleTolerance = 1e-5;

    private const double ExactTolerance = 1e-7;

    /// <summary>In an expected shape: whatever the file has, from 1 up.</summary>
    public const long Any = -1;

    public string Path => path;

    public string Name { get; } = System.IO.Path.GetFileNameWithoutExtension(path);

    public SafetensorsFile File { get; } = SafetensorsFile.Read(path);

    public bool Has(string name) => File.Tensors.ContainsKey(name);

    /// <summary>The tolerance in float64: the file's own rounding may be what differs.</summary>
    public double DoubleTolerance => File.Tensors.Values.All(tensor => tensor.Type == "F64") ? ExactTolerance : SingleTolerance;

    /// <summary>
    /// An array of finite numbers and the given shape, in which <see cref="Any"/> stands for any extent from
    /// 1 up.
    /// </summary>
    public SafetensorsTensor Tensor(string name, params ReadOnlySpan<long> expected)
    {
        if (!File.Tensors.TryGetValue(name, out SafetensorsTensor? tensor))
            throw new InputException($"{path}: array '{name}' is missing.");
        bool fits = tensor.Shape.Count == expected.Length || (expected.IsEmpty && tensor.Count == 1);
        for (int axis = 0; fits && axis < expected.Length; axis++)
            fits = expected[axis] == Any ? tensor.Shape[axis] is >= 1 and <= int.MaxValue : tensor.Shape[axis] == expected[axis];
        if (!fits)
            throw new InputException($"{path}: array '{name}' is [{string.Join(", ", tensor.Shape)}]. Expected "
                + $"[{string.Join(", ", expected.ToArray().Select(e => e == Any ? "any" : $"{e}"))}].");
        int notFinite = Array.FindIndex(tensor.ToDoubles(), value => !double.IsFinite(value));
        if (notFinite >= 0)
            throw new InputException($"{path}: array '{name}' is not finite at element {notFinite}. Expected numbers, with "
                + "which results can be compared.");
        return tensor;
    }

    // [N, C, D, H, W] to [N, D, H, W, C].
    public ReferenceActivations Activations(string name) => ChannelsLast(Tensor(name, Any, Any, Any, Any, Any));

    public ReferenceActivations Activations(string name, TensorShape expected) => ChannelsLast(Tensor(name, FileShape(expected)));

    public double Setting(string name)
        => Setting(name, double.NaN) is double value && double.IsFinite(value)
            ? value
            : throw new InputException($"{path}: the description in the metadata gives no {name}. Expected '{name}' and a "
                + "number in it.");

    // A setting that is given must be a number: "decay 0.01", or "no decay" for the usual one.
    public double Setting(string name, double otherwise)
    {
        string separator = name.EndsWith('/') ? "" : @"\s*[ =:]\s*";
        Match match = Regex.Match(
            File.Metadata.GetValueOrDefault("description", ""),
            $@"(?<!\bno )\b{name}{separator}(?<value>[^\s,;()/]+)",
            RegexOptions.IgnoreCase);
        if (!match.Success)
            return otherwise;
        string text = match.Groups["value"].Value.TrimEnd('.');
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            ? value
            : throw new InputException($"{path}: the description in the metadata says '{match.Value}'. Expected a number.");
    }

    private static ReferenceActivations ChannelsLast(SafetensorsTensor tensor)
    {
        int[] s = [.. tensor.Shape.Select(extent => (int)extent)];
        TensorShape shape = new(s[0], s[2], s[3], s[4], s[1]);
        return new ReferenceActivations(shape, ToChannelsLast(tensor.ToDoubles(), shape));
    }

    /// <summary>Runs a computation once for each variant of its main operation.</summary>
    public List<ReferenceCheckResult> WithVariants<T, TLauncher, TShape>(
        GpuContext context,
        VariantTable<TLauncher, TShape> table,
        TShape shape,
        Action<Tape<T>, ReferenceComparer<T>> compute,
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
            compute(
                tape, new ReferenceComparer<T>(
                    this, variant.Name, Variants.Tolerance(context, variant.Name, SingleTolerance), results));
        }

        return results;
    }

    /// <summary>A tensor of the file on a tape.</summary>
    public static Tensor<T> Upload<T>(Tape<T> tape, ReferenceActivations activations, bool requiresGradient)
        where T : unmanaged, INumber<T>
        => tape.Upload(CaseData.Convert<T>(activations.ChannelsLast), activations.Shape, requiresGradient);

    /// <summary>A parameter's numbers from the file.</summary>
    public static void UploadParameter<T>(GpuContext context, ReferenceFile file, string name, Parameter<T> parameter)
        where T : unmanaged, INumber<T>
    {
        double[] values = file.Tensor(name, parameter.FileShape).ToDoubles();
        parameter.Upload(context, CaseData.Convert<T>(parameter.FromFileOrder<double>(values)));
    }

    /// <summary>Numbers on the device for as long as the tape lives.</summary>
    public static ArrayView<T> Place<T>(Tape<T> tape, double[] values)
        where T : unmanaged, INumber<T>
    {
        ArrayView<T> view = tape.Arena.Allocate<T>(values.Length);
        view.CopyFromCPU(tape.Context.Stream, CaseData.Convert<T>(values));
        return view;
    }

    /// <summary>The numbers of a view.</summary>
    public static T[] Download<T>(GpuContext context, ArrayView<T> view)
        where T : unmanaged
    {
        T[] values = new T[view.Length];
        view.CopyToCPU(context.Stream, values);
        context.Synchronize();
        return values;
    }

    /// <summary>The passes of a layer with a weight and a bias, beside those of the file.</summary>
    public static void CompareLayer<T>(
        Tape<T> tape,
        ReferenceFile file,
        ReferenceComparer<T> compare,
        ReferenceActivations input,
        ParameterSet<T> set,
        Parameter<T> weight,
        Parameter<T> bias,
        Func<Tensor<T>, Tensor<T>> operation)
        where T : unmanaged, INumber<T>
    {
        set.Allocate(tape.Context);
        UploadParameter(tape.Context, file, "weight", weight);
        UploadParameter(tape.Context, file, "bias", bias);
        Tensor<T> x = Upload(tape, input, requiresGradient: true);
        Tensor<T> output = operation(x);
        compare.Activations("output", output.ToArray(tape.Context), output.Shape);
        tape.Backward(output, CaseData.Convert<T>(file.Activations("grad_output", output.Shape).ChannelsLast));
        compare.Activations("grad_input", x.GradientToArray(tape.Context), x.Shape);
        compare.Values("grad_weight", weight.ToFileOrder<T>(Download(tape.Context, weight.Gradient)), weight.FileShape);
        compare.Values("grad_bias", Download(tape.Context, bias.Gradient), bias.FileShape);
    }

    /// <summary>‖computed − reference‖ / ‖reference‖, or the first alone where the reference is 0.</summary>
    public static double RelativeError<T>(T[] computed, double[] reference)
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

    /// <summary>[N, C, D, H, W].</summary>
    public static long[] FileShape(TensorShape shape) => [shape.Batch, shape.Channels, shape.Depth, shape.Height, shape.Width];

    private static TValue[] ToChannelsLast<TValue>(TValue[] channelsFirst, TensorShape shape)
    {
        TValue[] result = new TValue[channelsFirst.Length];
        ForEachElement(shape, (first, last) => result[last] = channelsFirst[first]);
        return result;
    }

    public static TValue[] ToChannelsFirst<TValue>(TValue[] channelsLast, TensorShape shape)
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
}
