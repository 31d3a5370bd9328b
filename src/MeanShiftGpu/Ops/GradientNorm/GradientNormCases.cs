using ILGPU;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.GradientNorm;

/// <summary>What is timed of the gradient's norm.</summary>
internal static class GradientNormCases
{
    /// <summary>What is timed: 4 million parameters, of which 17 MB are read.</summary>
    public static IReadOnlyList<BenchmarkCase> Benchmarks { get; } =
    [
        new BenchmarkCase<IGradientNorm<float>, FlatShape>(GradientNormVariants<float>.Table, Parameters, Parameters, Passes, "4194304 parameters", "ClipFactor"),
    ];

    private static FlatShape Parameters => new(1 << 22);

    private static BenchmarkPasses Passes(BenchmarkData data, IGradientNorm<float> kernels, FlatShape shape)
    {
        ArrayView<float> gradients = data.Uniform(shape.Count, 2);
        ArrayView<float> workspace = data.Zeros(kernels.WorkspaceLength(shape.Count));
        ArrayView<float> norm = data.Zeros(1);
        ArrayView<float> factor = data.Zeros(1);
        return new BenchmarkPasses(
            [() => kernels.ClipFactor(data.Stream, gradients, workspace, norm, factor, maxNorm: 1)],
            () => [("factor", data.Read(factor), [GradientNormReference.ClipFactor(data.ReadDouble(gradients), 1)], null)]);
    }
}
