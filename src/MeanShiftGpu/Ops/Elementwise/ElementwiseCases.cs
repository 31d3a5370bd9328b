using ILGPU;
using MeanShiftGpu.Kernels.Elementwise;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.Elementwise;

/// <summary>What is timed of the elementwise arithmetic.</summary>
internal static class ElementwiseCases
{
    /// <summary>
    /// What is timed: the gradient of a skip connection at a published patch's full size, 67 MB moved.
    /// </summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes)
    {
        ElementwiseShape skip = new(sizes.Voxels, sizes.Channels, sizes.Channels, 2 * sizes.Channels);
        yield return new BenchmarkCase<IElementwise<float, float>, ElementwiseShape>(
            ElementwiseVariants<float, float>.Table, skip, skip, Passes,
            $"{sizes.Patch} {sizes.Channels} of {2 * sizes.Channels}", "Fill", "Add", "Mask");
    }

    private static BenchmarkPasses Passes(BenchmarkData data, IElementwise<float, float> kernels, ElementwiseShape shape)
    {
        ArrayView<float> source = data.Uniform(shape.Voxels * shape.Channels, 1);
        ArrayView<float> weight = data.Uniform(shape.Voxels, 2);
        ArrayView<float> sum = data.Zeros(shape.Voxels * shape.TargetPitch);
        ArrayView<float> masked = data.Zeros(sum.Length);
        return new BenchmarkPasses(
            [
                () => kernels.Fill(data.Stream, sum, 1),
                () => kernels.Add(data.Stream, source, sum, shape),
                () => kernels.Mask(data.Stream, source, weight, masked, shape),
            ],
            () =>
            {
                double[] values = data.ReadDouble(source);
                double[] ones = new double[values.Length];
                Array.Fill(ones, 1);
                return
                [
                    ("add", Slice(data.Read(sum)), ElementwiseReference.Add(values, ones), 1e-7),
                    ("mask", Slice(data.Read(masked)), ElementwiseReference.Mask(values, data.ReadDouble(weight), shape.Channels),
                        1e-7),
                ];
            });

        float[] Slice(float[] target)
        {
            float[] slice = new float[shape.Voxels * shape.Channels];
            for (long i = 0; i < slice.Length; i++)
                slice[i] = target[i / shape.Channels * shape.TargetPitch + i % shape.Channels];
            return slice;
        }
    }
}
