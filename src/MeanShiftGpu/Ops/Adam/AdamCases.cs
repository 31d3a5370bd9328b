using ILGPU;
using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Optimizer;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Validation;

namespace MeanShiftGpu.Ops.Adam;

/// <summary>What is checked and timed of Adam.</summary>
internal static class AdamCases
{
    /// <summary>Results beside those of reference files.</summary>
    public static IReadOnlyList<ReferenceCase> References { get; } = [new Reference()];

    /// <summary>What is timed: as many parameters as the network has.</summary>
    public static IEnumerable<BenchmarkCase> Benchmarks(BenchmarkSizes sizes)
    {
        FlatShape shape = new(sizes.Parameters);
        yield return new BenchmarkCase<IAdam<float>, FlatShape>(
            AdamVariants<float>.Table, shape, shape, Passes, $"{sizes.Parameters} parameters", "Step");
    }

    private sealed class Reference() : ReferenceCase("adam")
    {
        public override List<ReferenceCheckResult> Check<T>(GpuContext context, ReferenceFile file)
        {
            SafetensorsTensor gradients = file.Tensor("gradients", ReferenceFile.Any, ReferenceFile.Any);
            (int steps, int count) = ((int)gradients.Shape[0], (int)gradients.Shape[1]);
            double rate = file.Setting("lr");
            AdamParameters usual = AdamParameters.ForStep(1, rate);
            double beta1 = file.Setting("betas", usual.Beta1);
            double beta2 = file.Setting("betas [^/ ]+/", usual.Beta2);
            double epsilon = file.Setting("eps", usual.Epsilon);
            double decay = file.Setting("decay", usual.WeightDecay);
            return file.WithVariants(
                context, AdamVariants<T>.Table, new FlatShape(count), (Tape<T> tape, ReferenceComparer<T> compare) =>
            {
                ArrayView<T> values = ReferenceFile.Place(tape, file.Tensor("start", count).ToDoubles());
                ArrayView<T> first = ReferenceFile.Place(tape, new double[count]);
                ArrayView<T> second = ReferenceFile.Place(tape, new double[count]);
                ArrayView<T> factor = ReferenceFile.Place(tape, [1.0]);
                IAdam<T> adam = tape.Context.Launcher(AdamVariants<T>.Table, new FlatShape(count));
                double[] all = gradients.ToDoubles();
                List<T> after = [];
                for (int step = 1; step <= steps; step++)
                {
                    ArrayView<T> gradient = ReferenceFile.Place(tape, all.AsSpan((step - 1) * count, count).ToArray());
                    adam.Step(
                        tape.Context.Stream,
                        gradient,
                        factor,
                        values,
                        first,
                        second,
                        AdamParameters.ForStep(step, rate, beta1, beta2, epsilon, decay));
                    after.AddRange(ReferenceFile.Download(tape.Context, values));
                }

                compare.Values("after_each_step", [.. after], steps, count);
            });
        }
    }

    private static BenchmarkPasses Passes(BenchmarkData data, IAdam<float> kernels, FlatShape shape)
    {
        const float clip = 0.25f;
        ArrayView<float> values = data.Uniform(shape.Count, 1);
        ArrayView<float> gradients = data.Uniform(shape.Count, 2);
        ArrayView<float> firstMoments = data.Zeros(shape.Count);
        ArrayView<float> secondMoments = data.Zeros(shape.Count);
        ArrayView<float> factor = data.Place([clip]);
        double[] expected = data.ReadDouble(values);
        return new BenchmarkPasses(
            [() => kernels.Step(
                data.Stream, gradients, factor, values, firstMoments, secondMoments, AdamParameters.ForStep(1, 1e-3))],
            () =>
            {
                new AdamReference(expected, 1e-3).Step(Array.ConvertAll(data.ReadDouble(gradients), g => g * clip));
                return [("values", data.Read(values), expected, 1e-6)];
            });
    }
}
