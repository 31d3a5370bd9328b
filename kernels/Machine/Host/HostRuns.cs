namespace MeanShiftGpu.Kernels.Machine.Host;

/// <summary>
/// Arithmetic on neighbouring numbers, as many at a time as a vector of this processor holds.
/// </summary>
internal static unsafe class HostRuns
{
    /// <summary>Σ a[i]·b[i].</summary>
    public static float Dot(float* a, float* b, long count)
    {
        Vector<float> sum = Vector<float>.Zero;
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            sum = Vector.FusedMultiplyAdd(Vector.Load(a + i), Vector.Load(b + i), sum);
        float total = Vector.Sum(sum);
        for (; i < count; i++)
            total += a[i] * b[i];
        return total;
    }

    /// <summary>target[i] = factor·source[i].</summary>
    public static void Scale(float* source, float factor, float* target, long count)
    {
        Vector<float> factors = new(factor);
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            (Vector.Load(source + i) * factors).Store(target + i);
        for (; i < count; i++)
            target[i] = source[i] * factor;
    }

    /// <summary>target[i] += factor·source[i], with one rounding where it is a vector's.</summary>
    public static void AddScaled(float* source, float factor, float* target, long count)
    {
        Vector<float> factors = new(factor);
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            Vector.FusedMultiplyAdd(Vector.Load(source + i), factors, Vector.Load(target + i)).Store(target + i);
        for (; i < count; i++)
            target[i] += source[i] * factor;
    }
}
