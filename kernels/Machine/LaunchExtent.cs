namespace MeanShiftGpu.Kernels.Machine;

/// <summary>
/// The number of threads of a launch. ILGPU counts the threads of automatically grouped kernels in 32 bits.
/// </summary>
internal static class LaunchExtent
{
    /// <summary>An index type's extent from a 64-bit count.</summary>
    /// <exception cref="ArgumentOutOfRangeException">More than 2³¹ − 1 threads.</exception>
    public static Index1D Of(long threads)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(threads, int.MaxValue);
        return (int)threads;
    }
}
