using ILGPU;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.GradientNorm;

/// <summary>What is timed of the gradient's norm.</summary>
internal static class GradientNormCases
{
    /// <summary>What is timed: as many parameters as the network has.</summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes)
    {
        FlatShape shape = new(sizes.Parameters);
        yield return new BenchmarkCase<IGradientNorm<float>, FlatShape>(
            GradientNormVariants<float>.Table, shape, shape, Passes, $"{sizes.Parameters} parameters", "ClipFactor");
    }

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
