using System.Globalization;
using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using MeanShiftGpu.Device;

namespace MeanShiftGpu.Tests.Support;

/// <summary>Random inputs and comparisons that tests share.</summary>
public static class TestData
{
    /// <summary>
    /// A count that the environment may set, for tests that draw at random: few in an ordinary run, many in
    /// the long one.
    /// </summary>
    public static int Count(string variable, int otherwise)
        => int.TryParse(
            Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out int count) ? count
                : otherwise;

    /// <summary>Uniform numbers in [−1, 1), the same for a seed everywhere.</summary>
    public static double[] Uniform(long count, int seed)
    {
        Random random = new(seed);
        double[] values = new double[count];
        for (long i = 0; i < count; i++)
            values[i] = random.NextDouble() * 2 - 1;
        return values;
    }

    /// <summary>
    /// ‖actual − expected‖ / ‖expected‖, the measure of every tolerance; NaN anywhere gives NaN, which no
    /// bound accepts.
    /// </summary>
    public static double RelativeError<T>(ReadOnlySpan<T> actual, ReadOnlySpan<double> expected)
        where T : INumber<T>
    {
        if (actual.Length != expected.Length)
            throw new ArgumentException($"{actual.Length} values compared with {expected.Length}.");
        double difference = 0;
        double norm = 0;
        for (int i = 0; i < actual.Length; i++)
        {
            double d = double.CreateChecked(actual[i]) - expected[i];
            difference += d * d;
            norm += expected[i] * expected[i];
        }

        // NaN is less than nothing and more than nothing, and would pass every assertion of a bound.
        double error = Math.Sqrt(norm == 0 ? difference : difference / norm);
        return double.IsNaN(error) ? double.PositiveInfinity : error;
    }

    /// <summary>
    /// Copies numbers to a device, converted to its real type. The caller disposes the buffer.
    /// </summary>
    public static MemoryBuffer1D<T, Stride1D.Dense> ToDevice<T>(this GpuContext context, ReadOnlySpan<double> values)
        where T : unmanaged, INumber<T>
    {
        T[] converted = new T[values.Length];
        for (int i = 0; i < converted.Length; i++)
            converted[i] = T.CreateChecked(values[i]);
        return context.Accelerator.Allocate1D(converted);
    }

    /// <summary>A view's numbers on the host.</summary>
    public static T[] GetAsArrayForTest<T>(this ArrayView<T> view, GpuContext context)
        where T : unmanaged
    {
        T[] values = new T[view.Length];
        view.CopyToCPU(context.Stream, values);
        context.Synchronize();
        return values;
    }
}
