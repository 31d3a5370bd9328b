using ILGPU.Runtime;
using MeanShiftGpu.Device;
using MeanShiftGpu.Kernels.MeanShift;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Device;

/// <summary>What is queued on a stream can be awaited.</summary>
[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.All))]
public sealed class SynchronizeAsyncTests(DeviceKind device)
{
    [Test]
    public async Task SynchronizeAsync_AfterAnEvaluation_HasItsLoss()
    {
        using GpuContext context = TestDevices.Open(device);
        using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact with { SeedCount = 8, Iterations = 2 });
        float[] scores = Array.ConvertAll(TestData.Uniform(8 * 9 * 10, 3), v => (float)(0.5 + 0.5 * v));
        float[] centers = [4, 4, 4];
        float expected = loss.Evaluate(scores, 8, 9, 10, centers, new float[scores.Length], seed: 1, step: 0);

        using var onDevice = context.Accelerator.Allocate1D(scores);
        using var gradient = context.Accelerator.Allocate1D<float>(scores.Length);
        using var losses = context.Accelerator.Allocate1D<float>(1);
        using var places = context.Accelerator.Allocate1D(centers);
        using var offsets = context.Accelerator.Allocate1D([0, 1]);
        MeanShiftShape shape = loss.Options.Shape(1, 8, 9, 10);
        SeedSampling sampling = loss.Options.Sampling(seed: 1, step: 0);
        loss.Evaluate(onDevice.View, places.View, offsets.View, losses.View, gradient.View, shape, sampling);
        Task done = context.SynchronizeAsync();
        if (device == DeviceKind.Cpu)
            Assert.That(done.IsCompletedSuccessfully, Is.True);
        await done.ConfigureAwait(false);
        Assert.That(losses.GetAsArray1D()[0], Is.EqualTo(expected));
    }

    [Test]
    public void SynchronizeAsync_OfADisposedContext_IsRefused()
    {
        GpuContext context = TestDevices.Open(device);
        context.Dispose();
        Assert.That(() => context.SynchronizeAsync(), Throws.TypeOf<ObjectDisposedException>());
    }
}
