using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace MeanShiftGpu.Cli.Benchmarking;

/// <summary>The processor's own limit, so that a kernel's speed can be judged by it.</summary>
internal static class FmaPeak
{
    private const int Iterations = 50_000;
    private const int Rounds = 24;

    // Until a scheduler has found a core for each thread.
    private static readonly TimeSpan Long = TimeSpan.FromMilliseconds(300);

    /// <summary>
    /// Fused multiply-adds in registers on all threads at once, with the widest vectors that the machine has,
    /// in 10⁹ operations per second, a multiply-add counted as two: the fastest of some rounds of 0.1 to 0.2
    /// ms each.
    /// </summary>
    /// <param name="threads">How many threads work at a time.</param>
    /// <param name="thoroughly">Whether to look for 0.3 s instead of a few milliseconds.</param>
    /// <remarks>
    /// The threads are this measurement's own, run before a round is timed, and begin each round together:
    /// threads that are woken for it come late by a good part of a millisecond, on the core of who wakes
    /// them, and are not missed where one thread does the work of two. Either gives the peak of one core for
    /// that of two. Rounds are short, so that one falls between what else the machine does.
    /// </remarks>
    public static double MeasureGflops(int threads, bool thoroughly)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        Func<float> run = Vector512.IsHardwareAccelerated ? Run512
            : Vector256.IsHardwareAccelerated ? Run256
            : AdvSimd.IsSupported ? Run128Of24
            : Run128;
        int lanes = Vector512.IsHardwareAccelerated ? Vector512<float>.Count
            : Vector256.IsHardwareAccelerated ? Vector256<float>.Count
            : Vector128<float>.Count;
        int accumulators = run == Run128Of24 ? 24 : 12;
        double operations = 2.0 * lanes * accumulators * Iterations * threads;
        double fastest = double.PositiveInfinity;
        long begin = Stopwatch.GetTimestamp();
        do
            fastest = Math.Min(fastest, FastestRoundSeconds(threads, run));
        while (thoroughly && Stopwatch.GetElapsedTime(begin) < Long);
        return operations / fastest / 1e9;
    }

    private static double FastestRoundSeconds(int threads, Func<float> run)
    {
        long[,] begins = new long[Rounds, threads];
        long[,] ends = new long[Rounds, threads];
        int[] arrived = new int[Rounds];
        float[] sink = new float[threads];
        Thread[] started = new Thread[threads];
        for (int i = 0; i < threads; i++)
        {
            int thread = i;
            started[i] = new Thread(() =>
            {
                for (int round = 0; round < Rounds; round++)
                {
                    Interlocked.Increment(ref arrived[round]);
                    for (int look = 1; Volatile.Read(ref arrived[round]) < threads; look++)
                    {
                        // Threads that share a core let each other go on; those that have one of their own
                        // begin at once.
                        if (look % 1000 == 0)
                            Thread.Yield();
                        else
                            Thread.SpinWait(1);
                    }

                    begins[round, thread] = Stopwatch.GetTimestamp();
                    sink[thread] += run();
                    ends[round, thread] = Stopwatch.GetTimestamp();
                }
            });
            started[i].IsBackground = true;
            started[i].Start();
        }

        foreach (Thread thread in started)
            thread.Join();
        GC.KeepAlive(sink);
        long fastest = long.MaxValue;
        for (int round = 0; round < Rounds; round++)
        {
            long first = long.MaxValue;
            long last = 0;
            for (int thread = 0; thread < threads; thread++)
            {
                first = Math.Min(first, begins[round, thread]);
                last = Math.Max(last, ends[round, thread]);
            }

            fastest = Math.Min(fastest, last - first);
        }

        return (double)fastest / Stopwatch.Frequency;
    }

    // Twelve independent chains hide the latency of the two multiply-add units of today's cores. The factor
    // keeps the numbers near 1, since denormal or infinite ones can be slower.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static float Run512()
    {
        Vector512<float> factor = Vector512.Create(0.999999f);
        Vector512<float> addend = Vector512.Create(1e-6f);
        Vector512<float> a = Vector512<float>.One, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a;
        for (int n = 0; n < Iterations; n++)
        {
            a = Vector512.FusedMultiplyAdd(a, factor, addend);
            b = Vector512.FusedMultiplyAdd(b, factor, addend);
            c = Vector512.FusedMultiplyAdd(c, factor, addend);
            d = Vector512.FusedMultiplyAdd(d, factor, addend);
            e = Vector512.FusedMultiplyAdd(e, factor, addend);
            f = Vector512.FusedMultiplyAdd(f, factor, addend);
            g = Vector512.FusedMultiplyAdd(g, factor, addend);
            h = Vector512.FusedMultiplyAdd(h, factor, addend);
            i = Vector512.FusedMultiplyAdd(i, factor, addend);
            j = Vector512.FusedMultiplyAdd(j, factor, addend);
            k = Vector512.FusedMultiplyAdd(k, factor, addend);
            l = Vector512.FusedMultiplyAdd(l, factor, addend);
        }

        return Vector512.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static float Run256()
    {
        Vector256<float> factor = Vector256.Create(0.999999f);
        Vector256<float> addend = Vector256.Create(1e-6f);
        Vector256<float> a = Vector256<float>.One, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a;
        for (int n = 0; n < Iterations; n++)
        {
            a = Vector256.FusedMultiplyAdd(a, factor, addend);
            b = Vector256.FusedMultiplyAdd(b, factor, addend);
            c = Vector256.FusedMultiplyAdd(c, factor, addend);
            d = Vector256.FusedMultiplyAdd(d, factor, addend);
            e = Vector256.FusedMultiplyAdd(e, factor, addend);
            f = Vector256.FusedMultiplyAdd(f, factor, addend);
            g = Vector256.FusedMultiplyAdd(g, factor, addend);
            h = Vector256.FusedMultiplyAdd(h, factor, addend);
            i = Vector256.FusedMultiplyAdd(i, factor, addend);
            j = Vector256.FusedMultiplyAdd(j, factor, addend);
            k = Vector256.FusedMultiplyAdd(k, factor, addend);
            l = Vector256.FusedMultiplyAdd(l, factor, addend);
        }

        return Vector256.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static float Run128()
    {
        Vector128<float> factor = Vector128.Create(0.999999f);
        Vector128<float> addend = Vector128.Create(1e-6f);
        Vector128<float> a = Vector128<float>.One, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a;
        for (int n = 0; n < Iterations; n++)
        {
            a = Vector128.MultiplyAddEstimate(a, factor, addend);
            b = Vector128.MultiplyAddEstimate(b, factor, addend);
            c = Vector128.MultiplyAddEstimate(c, factor, addend);
            d = Vector128.MultiplyAddEstimate(d, factor, addend);
            e = Vector128.MultiplyAddEstimate(e, factor, addend);
            f = Vector128.MultiplyAddEstimate(f, factor, addend);
            g = Vector128.MultiplyAddEstimate(g, factor, addend);
            h = Vector128.MultiplyAddEstimate(h, factor, addend);
            i = Vector128.MultiplyAddEstimate(i, factor, addend);
            j = Vector128.MultiplyAddEstimate(j, factor, addend);
            k = Vector128.MultiplyAddEstimate(k, factor, addend);
            l = Vector128.MultiplyAddEstimate(l, factor, addend);
        }

        return Vector128.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    // ARM cores have up to four units with a latency of four, and twice the registers of x86: more chains.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static float Run128Of24()
    {
        Vector128<float> factor = Vector128.Create(0.999999f);
        Vector128<float> addend = Vector128.Create(1e-6f);
        Vector128<float> a = Vector128<float>.One, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a;
        Vector128<float> m = a, o = a, p = a, q = a, r = a, s = a, t = a, u = a, v = a, w = a, x = a, y = a;
        for (int n = 0; n < Iterations; n++)
        {
            a = Vector128.MultiplyAddEstimate(a, factor, addend);
            b = Vector128.MultiplyAddEstimate(b, factor, addend);
            c = Vector128.MultiplyAddEstimate(c, factor, addend);
            d = Vector128.MultiplyAddEstimate(d, factor, addend);
            e = Vector128.MultiplyAddEstimate(e, factor, addend);
            f = Vector128.MultiplyAddEstimate(f, factor, addend);
            g = Vector128.MultiplyAddEstimate(g, factor, addend);
            h = Vector128.MultiplyAddEstimate(h, factor, addend);
            i = Vector128.MultiplyAddEstimate(i, factor, addend);
            j = Vector128.MultiplyAddEstimate(j, factor, addend);
            k = Vector128.MultiplyAddEstimate(k, factor, addend);
            l = Vector128.MultiplyAddEstimate(l, factor, addend);
            m = Vector128.MultiplyAddEstimate(m, factor, addend);
            o = Vector128.MultiplyAddEstimate(o, factor, addend);
            p = Vector128.MultiplyAddEstimate(p, factor, addend);
            q = Vector128.MultiplyAddEstimate(q, factor, addend);
            r = Vector128.MultiplyAddEstimate(r, factor, addend);
            s = Vector128.MultiplyAddEstimate(s, factor, addend);
            t = Vector128.MultiplyAddEstimate(t, factor, addend);
            u = Vector128.MultiplyAddEstimate(u, factor, addend);
            v = Vector128.MultiplyAddEstimate(v, factor, addend);
            w = Vector128.MultiplyAddEstimate(w, factor, addend);
            x = Vector128.MultiplyAddEstimate(x, factor, addend);
            y = Vector128.MultiplyAddEstimate(y, factor, addend);
        }

        return Vector128.Sum(a + b + c + d + e + f + g + h + i + j + k + l)
            + Vector128.Sum(m + o + p + q + r + s + t + u + v + w + x + y);
    }
}
