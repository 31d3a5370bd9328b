using ILGPU;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.Sum;

/// <summary>What is timed of sum and mean.</summary>
internal static class SumCases
{
    /// <summary>What is timed: the elements of an activation at full size.</summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes)
    {
        FlatShape shape = new(sizes.Voxels * sizes.Channels);
        yield return new BenchmarkCase<ISum<float>, FlatShape>(
            SumVariants<float>.Table, shape, shape, Passes, $"{sizes.Patch} {sizes.Channels}", "Sum", "Spread");
    }

    private static BenchmarkPasses Passes(BenchmarkData data, ISum<float> kernels, FlatShape shape)
    {
        const float factor = 0.25f;
        ArrayView<float> source = data.Uniform(shape.Count, 1);
        ArrayView<float> workspace = data.Zeros(kernels.WorkspaceLength(shape.Count));
        ArrayView<float> total = data.Zeros(1);
        ArrayView<float> spread = data.Zeros(shape.Count);
        return new BenchmarkPasses(
            [
                () => kernels.Sum(data.Stream, source, workspace, total, factor),
                () => kernels.Spread(data.Stream, total, factor, spread),
            ],
            () =>
            {
                double sum = factor * SumReference.Sum(data.ReadDouble(source));
                double[] everywhere = new double[shape.Count];
                Array.Fill(everywhere, factor * sum);
                return [("total", data.Read(total), [sum], 1e-6), ("spread", data.Read(spread), everywhere, 1e-6)];
            });
    }
}
