using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Device;

/// <summary>
/// Disposing while another thread computes: it waits for the call, whose memory it would free, and the next
/// call is refused. Without that these tests end the process.
/// </summary>
public sealed class DisposeTests
{
    private static readonly Extent Size = new(32, 32, 32);

    [Test]
    public void Dispose_OfALossDuringItsCalls_Waits()
        => DisposeDuringCalls(context =>
        {
            MeanShiftLoss<float> loss = new(context);
            return (Evaluating(loss), loss.Dispose);
        });

    [Test]
    public void Dispose_OfTheContextDuringCalls_Waits()
        => DisposeDuringCalls(context => (Evaluating(new MeanShiftLoss<float>(context)), context.Dispose));

    [Test]
    public void Dispose_OfTheFirstContextDuringCallsOfAShare_Waits()
        => DisposeDuringCalls(context => (Evaluating(new MeanShiftLoss<float>(context.Share())), context.Dispose));

    [Test]
    public void Dispose_OfAnArenaOrANetworkDuringAForwardPass_Waits([Values] bool network)
        => DisposeDuringCalls(context =>
        {
            UNet3d<float> net = new(context, new UNet3dOptions { Widths = [16, 16] }, seed: 1);
            Arena arena = new(context);
            TensorShape shape = new(1, Size.Depth, Size.Height, Size.Width, 1);
            (float[] volume, float[] scores) = (new float[shape.Length], new float[shape.Length]);
            return (() => net.Predict(arena, volume, shape, scores), network ? net.Dispose : arena.Dispose);
        });

    [Test]
    public void Dispose_OfTheFirstContext_DisposesThoseThatShareIt()
    {
        GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        GpuContext share = context.Share();
        using (GpuContext gone = share.Share())
            Assert.That(gone.Description, Is.EqualTo(context.Description));
        context.Dispose();
        Assert.That(() => share.Stream, Throws.InstanceOf<ObjectDisposedException>());
        Assert.That(share.Dispose, Throws.Nothing);
        Assert.That(context.Dispose, Throws.Nothing);
    }

    private static Action Evaluating(MeanShiftLoss<float> loss)
    {
        float[] scores = Array.ConvertAll(TestData.Uniform(Size.Voxels, 1), v => (float)Math.Abs(v));
        float[] gradient = new float[scores.Length];
        return () => loss.Evaluate(scores, Size.Depth, Size.Height, Size.Width, [15, 16, 17], gradient, seed: 1);
    }

    private static void DisposeDuringCalls(Func<GpuContext, (Action Call, Action Dispose)> create)
    {
        for (int delay = 0; delay < 6; delay++)
        {
            using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
            (Action call, Action dispose) = create(context);
            call();
            using ManualResetEventSlim begun = new();
            Exception? end = null;
            Thread thread = new(() =>
            {
                try
                {
                    while (true)
                    {
                        call();
                        begun.Set();
                    }
                }
                catch (Exception e)
                {
                    end = e;
                }
            });
            thread.Start();
            begun.Wait();
            Thread.Sleep(3 * delay);
            dispose();
            thread.Join();
            // Refused while the other disposes, or afterwards.
            Assert.That(end, Is.InstanceOf<InvalidOperationException>(), end?.ToString());
        }
    }
}
