using ILGPU.Runtime;
using MeanShiftGpu.Device;

namespace MeanShiftGpu.Benchmarks;

/// <summary>What the benchmarks of one operation share: the device (MEANSHIFTGPU_DEVICE chooses it), its variants, random data.</summary>
public static class BenchmarkDevice
{
    /// <summary>
    /// The names of the variants that run a shape on the chosen device. On a CPU a Direct kernel is emulated, a hundred times slower than the
    /// variant written for it: it is there to be right, and its time says nothing, so it is timed only where nothing else runs.
    /// </summary>
    public static IEnumerable<string> Variants<TLauncher, TShape>(VariantTable<TLauncher, TShape> table, TShape shape)
        where TLauncher : class, IDisposable
    {
        using GpuContext context = GpuContext.Create();
        string[] names = [.. table.Supported(context, shape).Select(v => v.Name)];
        return context.Accelerator.AcceleratorType == AcceleratorType.CPU && names.Length > 1 ? names.Where(n => n != "Direct") : names;
    }

    /// <summary>Compiles the variant of a name.</summary>
    public static TLauncher Create<TLauncher, TShape>(GpuContext context, VariantTable<TLauncher, TShape> table, string name)
        where TLauncher : class, IDisposable
        => table.Variants.Single(v => v.Name == name).Create(context);

    /// <summary>Uniform numbers in [0, 1).</summary>
    public static float[] Uniform(long count, int seed)
    {
        Random random = new(seed);
        float[] values = new float[count];
        for (long i = 0; i < count; i++)
            values[i] = random.NextSingle();
        return values;
    }

    /// <summary>The error that a variant may have against the reference; what rounds its operands may have more.</summary>
    public static double Tolerance(GpuContext context, string variant)
        => variant != "TensorCore" ? 1e-5 : context.Precision == Precision.Tf32 ? 2e-3 : 2e-2;

    /// <summary>Ends the benchmark where a variant's result is not the reference's: a wrong kernel has no speed.</summary>
    public static void Check(string what, ReadOnlySpan<float> actual, ReadOnlySpan<double> expected, double tolerance)
    {
        double difference = 0;
        double norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
            norm += expected[i] * expected[i];
        }

        double error = Math.Sqrt(difference / Math.Max(norm, double.Epsilon));
        if (!(error <= tolerance))
            throw new InvalidOperationException($"{what}: relative error {error:g3} against the reference, expected at most {tolerance:g3}.");
    }

    /// <summary>The same numbers in double.</summary>
    public static double[] ToDouble(this IEnumerable<float> values) => [.. values.Select(static v => (double)v)];
}
