using System.Runtime.InteropServices;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Ops.MeanShift;

// No page shows this one: it holds two promises for a program made by `dotnet new console`. From the second
// evaluation on, one takes at most 1.5 times as long as at last: one thread, and its own processor time, so
// that other programs and the compiler's threads do not count. And 10⁵ evaluations leave nothing for the
// garbage collector.
using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Threads = 1 });
using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact);
Extent size = new(56, 56, 56);
float[] scores = new float[size.Voxels];
for (int i = 0; i < scores.Length; i++)
    scores[i] = 0.5f + 0.5f * MathF.Sin(0.1f * i * (i % 7));
float[] centers = [.. Enumerable.Range(0, 10).SelectMany(i => new float[] { 8 + 4 * i, 10 + 3 * i, 45 - 4 * i })];
float[] gradient = new float[scores.Length];
loss.Prepare(size);

const int count = 300;
double[] seconds = new double[count];
for (int i = 0; i < count; i++)
{
    long start = ThreadNanoseconds();
    loss.Evaluate(scores, 56, 56, 56, centers, gradient, seed: 1, step: 0);
    seconds[i] = 1e-9 * (ThreadNanoseconds() - start);
}

double steady = Median(seconds[(count / 2)..]);
double[] early = [Median(seconds[..5]), Median(seconds[5..15]), Median(seconds[15..50])];
Console.WriteLine($"steady {1e3 * steady:0.00} ms of processor time; the second evaluation {seconds[1] / steady:0.00} times "
    + $"as much, medians of the first 5, the next 10 and 35: {string.Join(", ", early.Select(e => $"{e / steady:0.00}"))}");
const int evaluations = 100_000;
(long caller, long all) = AllocatedBytes(evaluations);
Console.WriteLine($"{evaluations} evaluations: {caller} bytes on the managed heap by the calling thread, {all} by all threads");
return early.Max() <= 1.5 * steady && caller < evaluations / 100 && all < evaluations ? 0 : 1;

// By the calling thread, and by all threads of the program, of which two compute. The runtime makes some
// objects of its own: mostly none by the caller, but 136 bytes were seen once; by all threads 1072 and 25696.
// The smallest object has 24 bytes, so that one for each evaluation would be 24 times what is allowed, and by
// the caller 2400 times.
static (long Caller, long All) AllocatedBytes(int evaluations)
{
    using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Threads = 2 });
    using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact with { SeedCount = 32, Iterations = 2 });
    float[] scores = new float[8 * 9 * 10];
    Array.Fill(scores, 0.5f);
    float[] gradient = new float[scores.Length];
    float[] centers = [3, 4, 5, 4, 5, 7];
    loss.Prepare(new Extent(8, 9, 10));
    // The runtime's own tables are made by the first calls.
    for (uint i = 0; i < 50; i++)
        loss.Evaluate(scores, 8, 9, 10, centers, gradient, seed: 1, step: i);
    long all = GC.GetTotalAllocatedBytes(precise: true), caller = GC.GetAllocatedBytesForCurrentThread();
    for (uint i = 0; i < evaluations; i++)
        loss.Evaluate(scores, 8, 9, 10, centers, gradient, seed: 1, step: i);
    caller = GC.GetAllocatedBytesForCurrentThread() - caller;
    return (caller, GC.GetTotalAllocatedBytes(precise: true) - all);
}

static double Median(double[] values) => values.Order().ElementAt(values.Length / 2);

static long ThreadNanoseconds()
{
    const int threadClock = 3;
    return Clock.GetTime(threadClock, out Clock.Time time) == 0
        ? time.Seconds * 1_000_000_000 + time.Nanoseconds
        : throw new PlatformNotSupportedException("This program needs Linux's clock of a thread.");
}

internal static class Clock
{
    [DllImport("libc", EntryPoint = "clock_gettime")]
    public static extern int GetTime(int clock, out Time time);

    public struct Time
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
