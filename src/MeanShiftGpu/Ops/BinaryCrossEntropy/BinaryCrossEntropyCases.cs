using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Loss;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.BinaryCrossEntropy;

/// <summary>What is checked and timed of the binary cross-entropy.</summary>
internal static class BinaryCrossEntropyCases
{
    /// <summary>Gradients beside central differences.</summary>
    public static IReadOnlyList<GradCheckCase> GradChecks { get; } = [new GradCheck()];

    /// <summary>
    /// What is timed: one map of 56³ voxels, 1.4 MB read forward, 2.1 MB read or written backward.
    /// </summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes)
    {
        FlatShape shape = new(sizes.Voxels);
        yield return new BenchmarkCase<IBinaryCrossEntropy<float>, FlatShape>(
            BinaryCrossEntropyVariants<float>.Table, shape, shape, Passes, sizes.Patch,
            "Forward", "Backward", "Forward + Backward");
    }

    private sealed class GradCheck() : LossGradCheckCase("binary-cross-entropy")
    {
        public override IEnumerable<string> Variants<T>(GpuContext context)
            => BinaryCrossEntropyVariants<T>.Table.Names(context, default);

        protected override Tensor<T> Loss<T>(Tape<T> tape, Tensor<T> scores, Tensor<T> target)
            => tape.BinaryCrossEntropy(scores, target);
    }

    /// <summary>Both passes on a map of scores and a mask.</summary>
    private static BenchmarkPasses Passes(BenchmarkData data, IBinaryCrossEntropy<float> kernels, FlatShape shape)
    {
        ArrayView<float> scores = data.Uniform(shape.Count, 1, static v => 0.02f + 0.96f * v);
        ArrayView<float> target = data.Uniform(shape.Count, 2, static v => v > 0.9f ? 1f : 0f);
        ArrayView<float> workspace = data.Zeros(kernels.WorkspaceLength(shape));
        ArrayView<float> loss = data.Zeros(1);
        ArrayView<float> gradLoss = data.Place([1f]);
        ArrayView<float> gradient = data.Zeros(shape.Count);
        void Forward() => kernels.Forward(data.Stream, scores, target, workspace, loss, shape);
        void Backward() => kernels.Backward(data.Stream, scores, target, gradLoss, gradient, shape);
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
                return [("loss", data.Read(loss), [BinaryCrossEntropyReference.Forward(p, t)], null), (
                    "gradient", data.Read(gradient), BinaryCrossEntropyReference.Backward(p, t), null)];
            });
    }
}
