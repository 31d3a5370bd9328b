using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Ops.MeanShift;

// One device, opened once. Each thread has a context of its own, which shares the device and its threads, and
// what it creates from it.
using GpuContext context = GpuContext.Create();
const int threads = 3;
float[] losses = new float[threads];
Thread[] workers = new Thread[threads];
for (int i = 0; i < threads; i++)
{
    int worker = i;
    workers[worker] = new Thread(() =>
    {
        using GpuContext own = context.Share();
        using MeanShiftLoss<float> loss = new(own, MeanShiftOptions.Compact);
        Extent size = new(16, 20, 24);
        // The kernels are compiled and the memory is taken here, before anybody waits for the first result.
        loss.Prepare(size);
        float[] scores = new float[size.Voxels];
        for (int v = 0; v < scores.Length; v++)
            scores[v] = 0.5f + 0.5f * MathF.Sin(0.1f * v);
        float[] gradient = new float[scores.Length];
        for (uint step = 0; step < 20; step++)
            losses[worker] = loss.Evaluate(scores, 16, 20, 24, [8, 10, 12], gradient, seed: 1, step);
    });
    workers[worker].Start();
}

foreach (Thread worker in workers)
    worker.Join();
Console.WriteLine($"{context.Description}: {string.Join(", ", losses)}");

// What is not to be shared is refused: a second thread in the same context, while the first is in it.
using MeanShiftLoss<float> shared = new(context, MeanShiftOptions.Compact);
int refused = 0, served = 0;
Parallel.For(0, 200, _ =>
{
    try
    {
        shared.Evaluate(new float[16 * 20 * 24], 16, 20, 24, [8, 10, 12], new float[16 * 20 * 24], seed: 1);
        Interlocked.Increment(ref served);
    }
    catch (InvalidOperationException)
    {
        Interlocked.Increment(ref refused);
    }
});
Console.WriteLine($"one context in several threads: {served} calls served, {refused} refused");
return losses.All(l => l == losses[0] && l > 0) && served > 0 ? 0 : 1;
