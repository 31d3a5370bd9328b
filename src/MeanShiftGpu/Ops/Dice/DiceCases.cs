using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Loss;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.Dice;

/// <summary>What is checked and timed of the Dice loss.</summary>
internal static class DiceCases
{
    /// <summary>Gradients beside central differences.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } = [new GradCheck()];

    /// <summary>Results beside those of reference files.</summary>
    public static IReadOnlyList<ReferenceCase> References { get; } = [new Reference()];

    /// <summary>
    /// What is timed: one map of 56³ voxels, 1.4 MB read forward, 1.4 MB read or written backward.
    /// </summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes)
    {
        FlatShape shape = new(sizes.Voxels);
        yield return new BenchmarkCase<IDice<float>, FlatShape>(
            DiceVariants<float>.Table, shape, shape, Passes, sizes.Patch, "Forward", "Backward", "Forward + Backward");
    }

    private sealed class GradCheck() : LossGradCheckCase("dice")
    {
        public override IEnumerable<string> Variants<T>(GpuContext context) => DiceVariants<T>.Table.Names(context, default);

        protected override Tensor<T> Loss<T>(Tape<T> tape, Tensor<T> scores, Tensor<T> target) => tape.DiceLoss(scores, target);
    }

    private sealed class Reference() : ReferenceCase("dice")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            ReferenceActivations scores = file.Activations("prediction");
            return file.WithVariants(
                context,
                DiceVariants<T>.Table, new FlatShape(scores.Shape.Length), (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                Tensor<T> x = ReferenceFile.Upload(tape, scores, requiresGradient: true);
                Tensor<T> loss = tape.DiceLoss(
                    x, ReferenceFile.Upload(tape, file.Activations("target", scores.Shape), requiresGradient: false));
                compare.Values("loss", loss.ToArray(tape.Context));
                tape.Backward(loss);
                compare.Activations("grad_prediction", x.GradientToArray(tape.Context), x.Shape);
            });
        }
    }

    /// <summary>Both passes on a map of scores and a mask.</summary>
    private static BenchmarkPasses Passes(BenchmarkData data, IDice<float> kernels, FlatShape shape)
    {
        ArrayView<float> scores = data.Uniform(shape.Count, 1, static v => 0.02f + 0.96f * v);
        ArrayView<float> target = data.Uniform(shape.Count, 2, static v => v > 0.9f ? 1f : 0f);
        ArrayView<float> workspace = data.Zeros(kernels.WorkspaceLength(shape));
        ArrayView<float> sums = data.Zeros(2);
        ArrayView<float> loss = data.Zeros(1);
        ArrayView<float> gradLoss = data.Place([1f]);
        ArrayView<float> gradient = data.Zeros(shape.Count);
        void Forward() => kernels.Forward(data.Stream, scores, target, workspace, sums, loss, shape);
        void Backward() => kernels.Backward(data.Stream, target, sums, gradLoss, gradient, shape);
        return new BenchmarkPasses(
            [
                Forward,
                Backward,
                () =>
                {
                    Forward();
                    Backward();
                },
            ],
            () =>
            {
                (double[] p, double[] t) = (data.ReadDouble(scores), data.ReadDouble(target));
                return [("loss", data.Read(loss), [DiceReference.Forward(p, t)], null), (
                    "gradient", data.Read(gradient), DiceReference.Backward(p, t), null)];
            });
    }
}
