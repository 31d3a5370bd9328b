using System.Numerics;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Ops.Elementwise;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Checks;

/// <summary>
/// Every operation, weighting and distance, and the whole network with its losses, as gradient checks.
/// </summary>
public static class GradCheckSuite
{
    private static int[] OddWidths => [3, 4, 5];

    /// <summary>All cases: those of the catalogue of operations, then the network.</summary>
    public static IReadOnlyList<GradCheckCase> Cases { get; } =
    [
        .. Operations.All.SelectMany(operation => operation.GradChecks),
        new NetworkCase("dice", 2, OddWidths),
        new NetworkCase("mean-shift", 2, OddWidths),
        new NetworkCase("both", 2, OddWidths),
    ];

    /// <summary>Runs the cases in float64 and float32, with every variant that the device supports.</summary>
    /// <param name="context">The device.</param>
    /// <param name="names">Only cases whose name contains one of these; empty for all.</param>
    /// <param name="progress">Told each result as it comes.</param>
    /// <param name="seed">Chooses the elements that are probed.</param>
    /// <param name="cancellation">Stops between two evaluations of a case; the whole network has
    /// hundreds.</param>
    public static GradCheckReport Run(
        GpuContext context,
        IReadOnlyList<string>? names = null,
        Action<GradCheckResult>? progress = null,
        int seed = 1,
        CancellationToken cancellation = default)
    {
        List<GradCheckResult> results = [];
        foreach (GradCheckCase check in Chosen(names ?? []))
        {
            // Differences are those of the direct kernels in float64, without any rounding.
            using GpuContext direct = context.WithVariant(Variants.Direct);
            GradCheckFunction<double> function = Stoppable(check.Create<double>(direct), cancellation);
            using CentralDifferences<double> differences = new(direct, function);
            Run<double>(context, check, differences, Add, seed, cancellation);
            Run<float>(context, check, differences, Add, seed, cancellation);
            function.Parameters?.Dispose();
            RunRounding(context, check, Add, seed, cancellation);
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
            if (string.IsNullOrWhiteSpace(name))
                throw new InputException("gradcheck: a name is empty. Leave it out to check all cases.");
            List<GradCheckCase> matches = [.. Cases.Where(c => c.Name.Equals(name, StringComparison.OrdinalIgnoreCase))];
            if (matches.Count == 0)
                matches = [.. Cases.Where(c => c.Name.Contains(name, StringComparison.OrdinalIgnoreCase))];
            if (matches.Count == 0)
                throw new InputException($"gradcheck: no case's name contains '{name}'. Known: "
                    + $"{string.Join("; ", Cases.Select(c => c.Name))}.");
            chosen.AddRange(matches);
        }

        return [.. chosen.Distinct()];
    }

    private static void Run<T>(
        GpuContext context,
        GradCheckCase check,
        CentralDifferences<double> differences, Action<GradCheckResult> add,
        int seed,
        CancellationToken cancellation)
        where T : unmanaged, INumber<T>
    {
        foreach (string variant in check.Variants<T>(context).Distinct().Where(v => v != Variants.TensorCore))
        {
            using GpuContext forced = context.WithVariant(variant);
            GradCheckFunction<T> gradients = Stoppable(check.Create<T>(forced), cancellation);
            GradCheckOptions options = new() { Samples = check.Samples, Seed = seed, AllowedKinks = check.AllowedKinks };
            foreach (
                GradCheckResult result in GradCheck.Run(forced, gradients, differences, options, check.Name, variant).Results)
                add(result);
            gradients.Parameters?.Dispose();
        }
    }

    // Tensor cores round, so their gradients are compared with those of float64.
    internal static void RunRounding(
        GpuContext context, GradCheckCase check, Action<GradCheckResult> add, int seed, CancellationToken cancellation)
    {
        if (context.Precision == Precision.Float32 || !check.Variants<float>(context).Contains(Variants.TensorCore))
            return;
        // On the processor, which has float64 everywhere and is quicker at it than a simulated GPU.
        using GpuContext exact = GpuContext.Create(new GpuContextOptions
        {
            Device = DeviceKind.Cpu,
            Variant = Variants.Direct,
            Precision = Precision.Float32,
            Threads = context.Threads.Count,
        });
        using GpuContext rounding = context.WithVariant(Variants.TensorCore);
        foreach (
            GradCheckResult result in new RoundedGradCheck(exact, rounding, check.ForRounding)
                .Run(Variants.TensorCore, seed, cancellation).Results)
            add(result);
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

    // The whole network, small, with a loss; forced variants apply to all its operations that have them.
    private sealed class NetworkCase(string loss, int batch, int[] widths) : GradCheckCase
    {
        private readonly TensorShape shape = new(batch, 8, 4, 12, 1);
        private static readonly Position[][] Centers = [[new(3, 2, 4), new(5, 1.5f, 8)], [new(4, 2, 6)]];

        public override string Name => $"unet + {loss}";

        // There are 37 inputs and parameters, and each probe runs the whole network twice.
        public override int Samples => 3;

        public override bool HasLayers => true;

        // Odd widths are what BF16 activations do not take.
        public override GradCheckCase ForRounding => new NetworkCase(loss, 1, [8, 8, 8]);

        public override GradCheckFunction<T> Create<T>(GpuContext context)
        {
            UNet3d<T> network = new(context, new UNet3dOptions { Widths = widths }, seed: 5);
            // A network begins with biases of 0, and a head so small that gradients would drown in the
            // rounding of the differences. Positive biases keep most units of these few on the slope of their
            // ReLU.
            foreach (Parameter<T> parameter in network.Parameters.Parameters)
            {
                if (parameter.Layout == ParameterLayout.Bias)
                    parameter.Upload(
                        context, CaseData.Convert<T>(CaseData.Numbers(parameter.Length, 9 + (int)parameter.Offset, 0, 0.4)));
                else if (parameter.Name == "head.weight")
                    parameter.Upload(context, [.. parameter.Download(context).Select(v => v * T.CreateChecked(10))]);
            }

            MeanShiftOptions meanShift = new() { BandwidthVoxels = 3, Iterations = 3 };
            return new GradCheckFunction<T>([CaseData.Input("image", shape, 6)], network.Parameters, (tape, x) =>
            {
                Tensor<T> scores = network.Forward(tape, x[0]);
                Tensor<T> target = tape.Upload(CaseData.Convert<T>(CaseData.Mask(shape.Length, 7, 0.5)), shape);
                Tensor<T> Dice() => tape.DiceLoss(scores, target);
                Tensor<T> MeanShift()
                    => tape.MeanShiftLoss(
                        scores, tape.UploadCenters<T>(Centers[..batch]), CaseData.Convert<T>(
                            CaseData.Numbers(batch * 8 * 3, 8, 1, 3)), meanShift).Loss;
                return loss switch
                {
                    "dice" => Dice(),
                    "mean-shift" => MeanShift(),
                    "both" => tape.WeightedSum([(MeanShift(), 1), (Dice(), 0.5)]),
                    _ => throw new InvalidOperationException($"There is no loss {loss}."),
                };
            });
        }

        public override IEnumerable<string> Variants<T>(GpuContext context)
            => Conv3dVariants<T, T>.Table.Names(context, new Conv3dShape(2, 8, 4, 12, 1, 3, 3, Activation.Relu, 1, 7));
    }
}
