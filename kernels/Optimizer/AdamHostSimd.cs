using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Kernels.Optimizer;

/// <summary>The Adam step on the CPU device: vectors over the parameters.</summary>
internal sealed unsafe class AdamHostSimd(HostThreads threads) : IAdam<float>
{
    /// <inheritdoc/>
    void IAdam<float>.LaunchStep(
        AcceleratorStream stream,
        ArrayView<float> gradients,
        ArrayView<float> factor,
        ArrayView<float> settings,
        ArrayView<float> values,
        ArrayView<float> firstMoments,
        ArrayView<float> secondMoments,
        AdamParameters parameters)
    {
        float* g = gradients.Pointer();
        float* x = values.Pointer();
        float* m = firstMoments.Pointer();
        float* v = secondMoments.Pointer();
        float scale = *factor.Pointer();
        if (scale < 0)
            return;
        AdamFactors<float> f = settings.Length > 0 ? new(settings) : new(parameters);
        HostChunks.Of(values.Length).For(
            threads, (_, start, end) => StepRun(g + start, scale, x + start, m + start, v + start, end - start, f));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private static void StepRun(
        float* gradients, float scale, float* values, float* firstMoments, float* secondMoments, long count, AdamFactors<float> f)
    {
        Vector<float> beta2 = new(f.Beta2);
        Vector<float> rootCorrection2 = new(f.RootCorrection2);
        Vector<float> epsilon = new(f.Epsilon);
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector<float> g = Vector.Load(gradients + i) * scale;
            Vector<float> m = Vector.Load(firstMoments + i);
            m += (g - m) * f.Gain1;
            Vector<float> v = beta2 * Vector.Load(secondMoments + i) + g * f.Gain2 * g;
            m.Store(firstMoments + i);
            v.Store(secondMoments + i);
            (Vector.Load(values + i) * f.Keep - m * f.StepSize / (Vector.SquareRoot(v) / rootCorrection2 + epsilon)).Store(
                values + i);
        }

        for (; i < count; i++)
        {
            float g = gradients[i] * scale;
            float m = firstMoments[i] + (g - firstMoments[i]) * f.Gain1;
            float v = f.Beta2 * secondMoments[i] + g * f.Gain2 * g;
            firstMoments[i] = m;
            secondMoments[i] = v;
            values[i] = values[i] * f.Keep - m * f.StepSize / (MathF.Sqrt(v) / f.RootCorrection2 + f.Epsilon);
        }
    }
}
