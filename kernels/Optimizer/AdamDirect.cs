namespace MeanShiftGpu.Kernels.Optimizer;

/// <summary>
/// The plain Adam step: one thread per parameter, any accelerator. The reference for the others.
/// </summary>
internal sealed class AdamDirect<T, TReal> : IAdam<T>
    where T : unmanaged, INumber<T>
    where TReal : struct, IReal<T>
{
    private readonly Action<AcceleratorStream, Index1D, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>, ArrayView<T>,
        ArrayView<T>, AdamFactors<T>> step;

    /// <summary>Compiles the kernel for an accelerator.</summary>
    public AdamDirect(Accelerator accelerator)
        => accelerator.Load(StepKernel, out step);

    /// <inheritdoc/>
    void IAdam<T>.LaunchStep(
        AcceleratorStream stream,
        ArrayView<T> gradients,
        ArrayView<T> factor,
        ArrayView<T> settings,
        ArrayView<T> values,
        ArrayView<T> firstMoments,
        ArrayView<T> secondMoments,
        AdamParameters parameters)
        => step(stream, LaunchExtent.Of(values.Length), gradients, factor, settings, values, firstMoments, secondMoments,
            new AdamFactors<T>(parameters));

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // The formula of IAdam; nothing where the factor is below 0.
    // One thread per parameter; its value and moments are overwritten. At most 2³¹ − 1 parameters. Limited by
    // memory: four reads and three writes, 30 MB for the published network's 1.08 million parameters, 6 µs on
    // an H200, 84 µs at 360 GB/s (estimates). The four loads that a thread has under way are 32 KB a
    // multiprocessor, more than latency × bandwidth asks for, so wider accesses would gain nothing.
    [Kernel]
    internal static void StepKernel(
        Index1D index,
        ArrayView<T> gradients, // [n]
        ArrayView<T> factor, // [1]
        ArrayView<T> settings, // [7]; [0]: as given
        ArrayView<T> values, // [n]
        ArrayView<T> firstMoments, // [n]
        ArrayView<T> secondMoments, // [n]
        AdamFactors<T> given)
    {
        AdamFactors<T> f = settings.Length > 0 ? new AdamFactors<T>(settings) : given;
        T scale = factor[0];
        // NaN goes on, and makes everything NaN; on OpenCL the first comparison alone would stop it.
        if (scale < T.Zero && scale - scale == T.Zero)
            return;
        T g = scale * gradients[index];
        T m = firstMoments[index];
        m += f.Gain1 * (g - m);
        T v = f.Beta2 * secondMoments[index] + f.Gain2 * g * g;
        firstMoments[index] = m;
        secondMoments[index] = v;
        values[index] = f.Keep * values[index] - f.StepSize * m / (TReal.Sqrt(v) / f.RootCorrection2 + f.Epsilon);
    }
}
