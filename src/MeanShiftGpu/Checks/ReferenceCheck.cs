using System.Numerics;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.Dice;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Checks;

/// <summary>
/// Recomputes reference results stored as safetensors, with every variant that a device supports, in float64
/// and float32.
/// </summary>
/// <remarks>
/// The file's name says what it holds: conv3d…, conv_transpose3d…, max_pool3d…, dice…, adam…, unet_dice…,
/// mean_shift_WEIGHTING_DISTANCE…. Arrays are in libtorch's order: activations [N, C, D, H, W], convolution
/// weights [Cout, Cin, kD, kH, kW], transposed convolution weights [Cin, Cout, kD, kH, kW]; positions (z, y,
/// x). Settings that are not arrays are read from the description in the file's metadata: "bandwidth 4" and
/// "score floor 0.05" of a mean shift, "lr 1e-2" and, where they are not the usual ones, "betas 0.9/0.999",
/// "eps 1e-8" and "decay 0.01" of Adam. A file that stores a rounded type is held to the tolerance of float32
/// throughout. The gradients of a whole network on tensor cores are held to three times what changing its
/// weights and input by as much as rounding does to them in float64, computed beside, and a layer's
/// tolerance; "grad" is all parameters' together.
/// </remarks>
public static class ReferenceCheck
{
    private static readonly IReadOnlyList<ReferenceCase> Cases =
        [.. Operations.All.SelectMany(operation => operation.References), new NetworkCase()];

    /// <summary>Checks every reference file of a folder.</summary>
    /// <param name="context">The device.</param>
    /// <param name="directory">The folder.</param>
    /// <param name="progress">Told each result as it comes.</param>
    /// <exception cref="InputException">No reference file, or one that cannot be read.</exception>
    public static IReadOnlyList<ReferenceCheckResult> Run(
        GpuContext context, string directory, Action<ReferenceCheckResult>? progress = null)
    {
        if (!Directory.Exists(directory))
            throw new InputException($"{directory}: no such folder. Expected a folder with reference files (*.safetensors).");
        string[] paths = [.. Directory.GetFiles(directory, "*.safetensors").Order(StringComparer.Ordinal)];
        if (paths.Length == 0)
            throw new InputException($"{directory}: the folder has no reference file. Expected files like "
                + "conv3d_k3.safetensors.");

        List<ReferenceCheckResult> results = [];
        foreach (string path in paths)
        {
            ReferenceFile file = new(path);
            ReferenceCase check = CaseOf(file);
            foreach (ReferenceCheckResult result in check.Check<double>(context, file).Concat(check.Check<float>(context, file)))
            {
                results.Add(result);
                progress?.Invoke(result);
            }
        }

        return results;
    }

    private static ReferenceCase CaseOf(ReferenceFile file)
        => Cases.FirstOrDefault(check => file.Name.StartsWith(check.Prefix, StringComparison.Ordinal))
            ?? throw new InputException($"{file.Path}: the name does not say what the file holds. Expected it to begin with "
                + $"{string.Join(", ", Cases.SkipLast(1).Select(c => c.Prefix))} or {Cases[^1].Prefix}.");

    private sealed class NetworkCase() : ReferenceCase("unet_dice")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            ReferenceActivations input = file.Activations("input");
            List<int> widths = [];
            while (file.Has($"param.enc{widths.Count}.conv0.weight"))
                widths.Add(
                    (int)file
                        .Tensor($"param.enc{widths.Count}.conv0.weight", ReferenceFile.Any, ReferenceFile.Any, 3, 3, 3).Shape[0]);
            widths.Add((int)file.Tensor("param.mid.conv0.weight", ReferenceFile.Any, ReferenceFile.Any, 3, 3, 3).Shape[0]);
            UNet3dOptions options =
                new()
                {
                    InputChannels = input.Shape.Channels,
                    Outputs = (int)file
                    .Tensor("param.head.weight", ReferenceFile.Any, ReferenceFile.Any, 1, 1, 1).Shape[0],
                    Widths = widths
                };
            options.Validate();
            TensorShape s = input.Shape;
            if (s.Depth % options.Divisor != 0 || s.Height % options.Divisor != 0 || s.Width % options.Divisor != 0)
                throw new InputException($"{file.Path}: array 'input' has {s.Depth}×{s.Height}×{s.Width} voxels. Expected "
                    + $"multiples of {options.Divisor}, for {widths.Count - 1} poolings.");
            Conv3dShape first = new(
                input.Shape.Batch,
                input.Shape.Depth,
                input.Shape.Height,
                input.Shape.Width,
                input.Shape.Channels,
                widths[0],
                3,
                Activation.Relu,
                input.Shape.Channels,
                widths[0]);

            // Widths that BF16 activations do not take are checked with rounded operands.
            Precision rounding =
                context.Precision == Precision.Bf16 && !UNet3d<T>.FitsBf16(options) ? Precision.Bf16Operands : context.Precision;
            IReadOnlyDictionary<string, double>? moves = typeof(T) == typeof(float) && rounding != Precision.Float32
                ? GradientMoves(context, file, options, input, rounding) : null;
            return file.WithVariants(context, Conv3dVariants<T, T>.Table, first, (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                using UNet3d<T> network = new(tape.Context, options, seed: 0);
                network.SetParameters(file.File, file.Path, "param.");
                Tensor<T> x = ReferenceFile.Upload(tape, input, requiresGradient: true);
                Tensor<T> output = network.Forward(tape, x);
                Tensor<T> loss = tape.DiceLoss(
                    output, ReferenceFile.Upload(tape, file.Activations("target", output.Shape), requiresGradient: false));
                compare.Activations("output", output.ToArray(tape.Context), output.Shape);
                compare.Values("loss", loss.ToArray(tape.Context));
                foreach ((string name, T[] gradient, double[] reference) in NetworkGradients(tape, file, network, x, loss))
                    compare.NetworkGradient(name, gradient, reference, moves);
            }, rounding);
        }

        // The gradients of a network's input, of each parameter, and of all parameters together, beside those
        // of the file.
        private static List<(string Name, T[] Gradient, double[] Reference)> NetworkGradients<T>(
            Tape<T> tape, ReferenceFile file, UNet3d<T> network, Tensor<T> input, Tensor<T> loss)
            where T : unmanaged, INumber<T>
        {
            network.Parameters.ZeroGradients(tape.Context);
            tape.Backward(loss);
            List<(string Name, T[] Gradient, double[] Reference)> gradients = [];
            foreach (Parameter<T> parameter in network.Parameters.Parameters)
            {
                string name = $"grad.{parameter.Name}";
                gradients.Add(
                    (name, parameter.ToFileOrder<T>(ReferenceFile.Download(tape.Context, parameter.Gradient)),
                        file.Tensor(name, parameter.FileShape).ToDoubles()));
            }

            gradients.Insert(
                0, ("grad", [.. gradients.SelectMany(g => g.Gradient)], [.. gradients.SelectMany(g => g.Reference)]));
            gradients.Insert(
                0, ("grad.input", ReferenceFile.ToChannelsFirst(input.GradientToArray(tape.Context), input.Shape),
                    file.Tensor("grad.input", ReferenceFile.FileShape(input.Shape)).ToDoubles()));
            return gradients;
        }

        // By how much each gradient changes, relative to its length, when only the weights and the input
        // change by as much as rounding does, and everything is computed in float64: units near ReLU's kink
        // and near-equal maxima of poolings change sides, and each of them changes the gradient by itself.
        // Which ones do is chance; the largest of four changes, the rounding itself and three random ones.
        // The file's gradients are not asked: they are what is checked.
        private static Dictionary<string, double> GradientMoves(
            GpuContext context, ReferenceFile file, UNet3dOptions options, ReferenceActivations input, Precision rounding)
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
                Tensor<double> loss = tape.DiceLoss(
                    output, ReferenceFile.Upload(tape, file.Activations("target", output.Shape), requiresGradient: false));
                foreach ((string name, double[] gradient, _) in NetworkGradients(tape, file, network, x, loss))
                {
                    if (sample == 0)
                        unchanged[name] = gradient;
                    moves[name] = Math.Max(moves.GetValueOrDefault(name), ReferenceFile.RelativeError(gradient, unchanged[name]));
                }

                double Change(double value) => sample switch
                {
                    0 => value,
                    1 => OperandRounding.Round(value, rounding),
                    _ => OperandRounding.Change(value, rounding, random),
                };
            }

            return moves;
        }
    }
}
