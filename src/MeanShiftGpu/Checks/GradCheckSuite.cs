using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Head;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Kernels.Pooling;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.BinaryCrossEntropy;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.ConvTranspose3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.MaxPool3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Ops.SigmoidHead;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Checks;

/// <summary>A function that exists in every real type, for comparing its gradients with finite differences.</summary>
public abstract class GradCheckCase
{
    /// <summary>The operation's name in reports.</summary>
    public abstract string Name { get; }

    /// <summary>Elements probed of each input.</summary>
    public virtual int Samples => 24;

    /// <summary>The function with its inputs in one type; the caller disposes the parameters.</summary>
    public abstract GradCheckFunction<T> Create<T>(GpuContext context)
        where T : unmanaged, INumber<T>;

    /// <summary>What to write to <see cref="GpuContextOptions.Variant"/> for each variant that can run on a context.</summary>
    public abstract IEnumerable<string> Variants<T>(GpuContext context)
        where T : unmanaged, INumber<T>;
}

/// <summary>Every operation, weighting and distance, and the whole network with its losses, as gradient checks.</summary>
public static class GradCheckSuite
{
    /// <summary>All cases.</summary>
    public static IReadOnlyList<GradCheckCase> Cases { get; } =
    [
        new Conv3dCase(3, Activation.None),
        new Conv3dCase(3, Activation.Relu),
        new Conv3dCase(1, Activation.None),
        new ConvTranspose3dCase(),
        new MaxPool3dCase(),
        new SigmoidHeadCase(),
        new LossCase("dice", static context => Every(DiceVariants<float>.Table, DiceVariants<double>.Table, context)),
        new LossCase("binary-cross-entropy", static context => Every(BinaryCrossEntropyVariants<float>.Table, BinaryCrossEntropyVariants<double>.Table, context)),
        new LossCase("weighted-sum", static context => Every(ElementwiseVariants<float>.Table, ElementwiseVariants<double>.Table, context)),
        new MaskCase(),
        .. from iterations in new[] { 1, 10 }
           from weighting in Enum.GetValues<Weighting>()
           from distance in Enum.GetValues<CenterDistance>()
           select new MeanShiftCase(weighting, distance, iterations),
        new NetworkCase("dice"),
        new NetworkCase("mean-shift"),
        new NetworkCase("both"),
    ];

    /// <summary>Runs the cases in float64 and float32, with every variant that the device supports.</summary>
    /// <param name="context">The device.</param>
    /// <param name="names">Only cases whose name contains one of these; empty for all.</param>
    /// <param name="progress">Told each result as it comes.</param>
    /// <param name="seed">Chooses the elements that are probed.</param>
    /// <param name="cancellation">Stops between two evaluations of a case; the whole network has hundreds.</param>
    public static GradCheckReport Run(
        GpuContext context, IReadOnlyList<string>? names = null, Action<GradCheckResult>? progress = null, int seed = 1, CancellationToken cancellation = default)
    {
        List<GradCheckResult> results = [];
        foreach (GradCheckCase check in Chosen(names ?? []))
        {
            // Differences are those of the direct kernels in float64.
            using GpuContext direct = GpuContext.Attach(context.Accelerator, context.Stream, new GpuContextOptions { Variant = "Direct", Precision = context.Precision });
            GradCheckFunction<double> function = Stoppable(check.Create<double>(direct), cancellation);
            using CentralDifferences<double> differences = new(direct, function);
            Run<double>(context, check, differences, Add, seed, cancellation);
            Run<float>(context, check, differences, Add, seed, cancellation);
            function.Parameters?.Dispose();
        }

        return new GradCheckReport(results);

        void Add(GradCheckResult result)
        {
            results.Add(result);
            progress?.Invoke(result);
        }
    }

    // A whole name means that case, a part of one every case with it.
    private static List<GradCheckCase> Chosen(IReadOnlyList<string> names)
    {
        if (names.Count == 0)
            return [.. Cases];
        List<GradCheckCase> chosen = [];
        foreach (string name in names)
        {
            List<GradCheckCase> matches = [.. Cases.Where(c => c.Name.Equals(name, StringComparison.OrdinalIgnoreCase))];
            if (matches.Count == 0)
                matches = [.. Cases.Where(c => c.Name.Contains(name, StringComparison.OrdinalIgnoreCase))];
            if (matches.Count == 0)
                throw new InputException($"gradcheck: no operation is called '{name}'. Known: {string.Join("; ", Cases.Select(c => c.Name))}.");
            chosen.AddRange(matches);
        }

        return [.. chosen.Distinct()];
    }

    private static void Run<T>(
        GpuContext context, GradCheckCase check, CentralDifferences<double> differences, Action<GradCheckResult> add, int seed, CancellationToken cancellation)
        where T : unmanaged, INumber<T>
    {
        foreach (string variant in check.Variants<T>(context).Distinct())
        {
            using GpuContext forced = context.WithVariant(variant);
            GradCheckFunction<T> gradients = Stoppable(check.Create<T>(forced), cancellation);
            double rounding = MeanShiftGpu.Device.Variants.Tolerance(context, variant, exact: 0);
            GradCheckOptions options = new() { Samples = check.Samples, Seed = seed, Tolerance = typeof(T) == typeof(float) ? Math.Max(GradCheckOptions.SingleTolerance, rounding) : 0 };
            foreach (GradCheckResult result in GradCheck.Run(forced, gradients, differences, options, check.Name, variant).Results)
                add(result);
            gradients.Parameters?.Dispose();
        }
    }

    private static GradCheckFunction<T> Stoppable<T>(GradCheckFunction<T> function, CancellationToken cancellation)
        where T : unmanaged, INumber<T>
        => function with
        {
            Function = (tape, inputs) =>
            {
                cancellation.ThrowIfCancellationRequested();
                return function.Function(tape, inputs);
            },
        };

    // A table's variants that support the context, whatever the shape, as names to force.
    private static IEnumerable<string> Every<TLauncher, TShape>(VariantTable<TLauncher, TShape> table, GpuContext context, TShape shape)
        where TLauncher : class, IDisposable
        => table.Supported(context, shape).Select(v => v.Name);

    // The two types have tables of their own; a variant of one may be missing in the other.
    private static (IEnumerable<string> Single, IEnumerable<string> Double) Every<TSingle, TDouble, TShape>(
        VariantTable<TSingle, TShape> single, VariantTable<TDouble, TShape> twofold, GpuContext context)
        where TSingle : class, IDisposable
        where TDouble : class, IDisposable
        where TShape : struct
        => (Every(single, context, default), Every(twofold, context, default));

    // Random numbers that float32 holds exactly, so that the function is the same in both types.
    private static double[] Numbers(long count, int seed, double low = -1, double high = 1)
    {
        Random random = new(seed);
        double[] values = new double[count];
        for (long i = 0; i < count; i++)
            values[i] = (float)(low + (high - low) * random.NextDouble());
        return values;
    }

    private static GradCheckInput Input(string name, TensorShape shape, int seed, double low = -1, double high = 1)
        => new(name, shape, Numbers(shape.Length, seed, low, high));

    private static T[] Convert<T>(double[] values)
        where T : INumber<T>
        => Array.ConvertAll(values, T.CreateChecked);

    // A weight and its bias with random numbers on the device.
    private static (ParameterSet<T> Set, Parameter<T> Weight, Parameter<T> Bias) Weights<T>(
        GpuContext context, ParameterLayout layout, int kernelSize, int inputChannels, int outputChannels)
        where T : unmanaged, INumber<T>
    {
        ParameterSet<T> set = new();
        Parameter<T> weight = set.Add("weight", layout, kernelSize, inputChannels, outputChannels);
        Parameter<T> bias = set.Add("bias", ParameterLayout.Bias, 1, 1, outputChannels);
        set.AllocateOn(context);
        weight.Upload(context, Convert<T>(Numbers(weight.Length, 11, -0.5, 0.5)));
        bias.Upload(context, Convert<T>(Numbers(bias.Length, 12, -0.5, 0.5)));
        return (set, weight, bias);
    }

    private sealed class Conv3dCase(int kernelSize, Activation activation) : GradCheckCase
    {
        public override string Name => $"conv3d k{kernelSize}{(activation == Activation.Relu ? " ReLU" : "")}";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = Weights<T>(context, ParameterLayout.ConvolutionWeight, kernelSize, 3, 5);
            return new GradCheckFunction<T>([Input("input", new TensorShape(2, 4, 5, 3, 3), 1)], set, (tape, x) => tape.Conv3d(x[0], weight, bias, activation));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Every(Conv3dVariants<T>.Table, context, new Conv3dShape(2, 4, 5, 3, 3, 5, kernelSize, activation, 3, 5));
    }

    private sealed class ConvTranspose3dCase : GradCheckCase
    {
        public override string Name => "conv-transpose3d";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = Weights<T>(context, ParameterLayout.TransposedConvolutionWeight, 2, 3, 5);
            return new GradCheckFunction<T>([Input("input", new TensorShape(2, 3, 2, 4, 3), 1)], set, (tape, x) => tape.ConvTranspose3d(x[0], weight, bias));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Every(ConvTranspose3dVariants<T>.Table, context, new ConvTranspose3dShape(2, 3, 2, 4, 3, 5, 3, 5));
    }

    private sealed class MaxPool3dCase : GradCheckCase
    {
        public override string Name => "max-pool3d";

        // The input is used twice, as by a skip connection, so that adding at fan-out is checked too.
        public override GradCheckFunction<T> Create<T>(GpuContext context)
            => new([Input("input", new TensorShape(2, 4, 6, 2, 3), 1)], null, (tape, x) =>
            {
                Tensor<T> pooled = tape.MaxPool3d(x[0]);
                Tensor<T> target = tape.Upload(Convert<T>(Numbers(pooled.Shape.Length, 2, 0, 1)), pooled.Shape);
                return tape.WeightedSum([(tape.DiceLoss(pooled, target), 1), (tape.DiceLoss(tape.MaxPool3d(x[0]), target), 2)]);
            });

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Every(MaxPool3dVariants<T>.Table, context, new MaxPool3dShape(2, 4, 6, 2, 3, 3, 3));
    }

    private sealed class SigmoidHeadCase : GradCheckCase
    {
        public override string Name => "sigmoid-head";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            (ParameterSet<T> set, Parameter<T> weight, Parameter<T> bias) = Weights<T>(context, ParameterLayout.ConvolutionWeight, 1, 5, 2);
            return new GradCheckFunction<T>([Input("input", new TensorShape(2, 3, 4, 3, 5), 1)], set, (tape, x) => tape.SigmoidHead(x[0], weight, bias));
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Every(SigmoidHeadVariants<T>.Table, context, new SigmoidHeadShape(72, 5, 2, 5));
    }

    private sealed class LossCase(string name, Func<GpuContext, (IEnumerable<string> Single, IEnumerable<string> Double)> variants) : GradCheckCase
    {
        private static readonly TensorShape Shape = new(2, 3, 4, 5, 1);

        public override string Name => name;

        public override GradCheckFunction<T> Create<T>(GpuContext context)
            => new([Input("prediction", Shape, 1, 0.05, 0.95)], null, (tape, x) =>
            {
                double[] mask = Numbers(Shape.Length, 2);
                Tensor<T> target = tape.Upload(Convert<T>(Array.ConvertAll(mask, v => v > 0.3 ? 1.0 : 0.0)), Shape);
                return name switch
                {
                    "dice" => tape.DiceLoss(x[0], target),
                    "binary-cross-entropy" => tape.BinaryCrossEntropy(x[0], target),
                    _ => tape.WeightedSum([(tape.DiceLoss(x[0], target), 0.5), (tape.BinaryCrossEntropy(x[0], target), 2)]),
                };
            });

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => typeof(T) == typeof(float) ? variants(context).Single : variants(context).Double;
    }

    // Two slices of one tensor, each with a loss of its own, as maps of several classes have.
    private sealed class MaskCase : GradCheckCase
    {
        private static readonly TensorShape Shape = new(2, 3, 4, 5, 3);

        public override string Name => "mask";

        public override GradCheckFunction<T> Create<T>(GpuContext context)
            => new([Input("input", Shape, 1, 0.05, 0.95)], null, (tape, x) =>
            {
                TensorShape one = Shape with { Channels = 1 };
                Tensor<T> weight = tape.Upload(Convert<T>(Array.ConvertAll(Numbers(one.Length, 2), v => Math.Max(0, v))), one);
                Tensor<T> target = tape.Upload(Convert<T>(Array.ConvertAll(Numbers(one.Length, 3), v => v > 0.3 ? 1.0 : 0.0)), one);
                Tensor<T> pair = tape.Upload(Convert<T>(Numbers(2 * one.Length, 4, 0, 1)), one with { Channels = 2 });
                return tape.WeightedSum(
                    [(tape.DiceLoss(tape.Mask(x[0].Channels(2, 1), weight), target), 1), (tape.DiceLoss(tape.Mask(x[0].Channels(0, 2), weight), pair), 2)]);
            });

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Every(ElementwiseVariants<T>.Table, context, new ElementwiseShape(120, 1, 3, 1));
    }

    private sealed class MeanShiftCase(Weighting weighting, CenterDistance distance, int iterations) : GradCheckCase
    {
        private static readonly TensorShape Shape = new(2, 9, 8, 10, 1);
        private static readonly Position[][] Centers = [[new(3, 3, 4), new(5.25f, 4.5f, 6)], [new(4.5f, 4, 5)]];

        private readonly MeanShiftOptions options = new()
        {
            Weighting = weighting,
            Distance = distance,
            Iterations = iterations,
            BandwidthVoxels = 3,
            ScoreFloor = weighting == Weighting.Linear ? 0 : 0.05,
        };

        public override string Name => $"mean-shift {weighting} {distance}, {Counted.Of(iterations, "iteration")}";

        // Seeds are given: their distance from every voxel is generic, so that few probes meet an edge of a ball.
        public override GradCheckFunction<T> Create<T>(GpuContext context)
            => new([Input("scores", Shape, 3, 0.05, 0.95)], null, (tape, x) =>
                tape.MeanShiftLoss(x[0], tape.UploadCenters<T>(Centers), Convert<T>(Numbers(2 * 6 * 3, 4, 2, 6)), options).Loss);

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Every(MeanShiftVariants<T>.Table, context, new MeanShiftShape(2, 9, 8, 10, 6, iterations, 1));
    }

    // The whole network, small, with a loss; forced variants apply to all its operations that have them.
    private sealed class NetworkCase(string loss) : GradCheckCase
    {
        private static readonly TensorShape Shape = new(2, 8, 4, 12, 1);
        private static readonly Position[][] Centers = [[new(3, 2, 4), new(5, 1.5f, 8)], [new(4, 2, 6)]];

        public override string Name => $"unet + {loss}";

        // There are 37 inputs and parameters, and each probe runs the whole network twice.
        public override int Samples => 3;

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            // Odd widths, except for BF16 activations, which do not take them.
            UNet3d<T> network = new(context, new UNet3dOptions { Widths = context.Precision == Precision.Bf16 ? [8, 8, 8] : [3, 4, 5] }, seed: 5);
            // A network begins with biases of 0, and a head so small that gradients would drown in the rounding of the differences. Positive biases keep
            // most units of these few on the slope of their ReLU.
            foreach (Parameter<T> parameter in network.Parameters.Parameters)
            {
                if (parameter.Layout == ParameterLayout.Bias)
                    parameter.Upload(context, Convert<T>(Numbers(parameter.Length, 9 + (int)parameter.Offset, 0, 0.4)));
                else if (parameter.Name == "head.weight")
                    parameter.Upload(context, [.. parameter.Download(context).Select(v => v * T.CreateChecked(10))]);
            }

            MeanShiftOptions meanShift = new() { BandwidthVoxels = 3, Iterations = 3 };
            return new GradCheckFunction<T>([Input("image", Shape, 6)], network.Parameters, (tape, x) =>
            {
                Tensor<T> scores = network.Forward(tape, x[0]);
                Tensor<T> target = tape.Upload(Convert<T>(Array.ConvertAll(Numbers(Shape.Length, 7), v => v > 0.5 ? 1.0 : 0.0)), Shape);
                Tensor<T> Dice() => tape.DiceLoss(scores, target);
                Tensor<T> MeanShift() => tape.MeanShiftLoss(scores, tape.UploadCenters<T>(Centers), Convert<T>(Numbers(2 * 8 * 3, 8, 1, 3)), meanShift).Loss;
                return loss switch
                {
                    "dice" => Dice(),
                    "mean-shift" => MeanShift(),
                    _ => tape.WeightedSum([(MeanShift(), 1), (Dice(), 0.5)]),
                };
            });
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Every(Conv3dVariants<T>.Table, context, new Conv3dShape(2, 8, 4, 12, 1, 3, 3, Activation.Relu, 1, 7));
    }
}
