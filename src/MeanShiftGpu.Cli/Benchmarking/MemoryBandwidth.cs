using System.Diagnostics;
using System.Numerics;
using MeanShiftGpu.Kernels.Machine.Host;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>
/// What the memory gives all threads together, so that a kernel that does little with each number can be
/// judged by it.
/// </summary>
internal static unsafe class MemoryBandwidth
{
    // 64 MiB for each of three arrays: a third-level cache holds little of them.
    private const int Elements = 16 << 20;
    private const int ChunkElements = 1 << 16;
    private const int Repeats = 10;

    /// <summary>
    /// a = b + s·c on arrays larger than the caches: the best of some runs in 10⁹ bytes per second, each
    /// array counted once.
    /// </summary>
    public static double MeasureGigabytesPerSecond(HostThreads threads)
    {
        ArgumentNullException.ThrowIfNull(threads);
        using HostScratch memory = new();
        float* a = memory.Require<float>(3L * Elements);
        new Span<float>(a, 3 * Elements).Fill(1);
        double best = 0;
        for (int repeat = 0; repeat < Repeats; repeat++)
        {
            long start = Stopwatch.GetTimestamp();
            threads.For(Elements / ChunkElements, (chunk, _) => Triad(a + (long)chunk * ChunkElements));
            best = Math.Max(best, 3.0 * sizeof(float) * Elements / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9);
        }

        return best;
    }

    private static void Triad(float* a)
    {
        Vector<float> factor = new(0.5f);
        for (int i = 0; i < ChunkElements; i += Vector<float>.Count)
            Vector.Store(Vector.Load(a + Elements + i) + factor * Vector.Load(a + 2L * Elements + i), a + i);
    }
}
