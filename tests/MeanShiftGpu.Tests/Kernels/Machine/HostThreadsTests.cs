using MeanShiftGpu.Autograd;
using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine;
using MeanShiftGpu.Kernels.Machine.Host;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Ops.Sum;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Kernels.Machine;

[NonParallelizable]
public class HostThreadsTests
{
    [TestCase(1, 0)]
    [TestCase(1, 7)]
    [TestCase(2, 1)]
    [TestCase(2, 1000)]
    [TestCase(5, 3)]
    [TestCase(5, 1000)]
    public void For_RunsEveryChunkOnce_WithOneWorkerOfANumberAtATime(int threads, int chunks)
    {
        HostThreads host = new(threads);
        int[] runs = new int[chunks];
        int[] busy = new int[threads];
        int clashes = 0;
        for (int repeat = 0; repeat < 50; repeat++)
        {
            host.For(chunks, (chunk, worker) =>
            {
                if (Interlocked.Exchange(ref busy[worker], 1) != 0)
                    Interlocked.Increment(ref clashes);
                Interlocked.Increment(ref runs[chunk]);
                Volatile.Write(ref busy[worker], 0);
            });
        }

        Assert.That(runs, Is.All.EqualTo(50));
        Assert.That(clashes, Is.Zero);
    }

    // In a busy pool a helper may begin late, within the call after the one that asked for it, and then be
    // asked again while it works.
    [Test]
    public void For_WithHelpersThatComeLate_HasOneWorkerOfANumberAtATime()
    {
        ThreadPool.GetMinThreads(out int workers, out int ports);
        ThreadPool.SetMinThreads(24, ports);
        try
        {
            HostThreads host = new(12);
            int[] busy = new int[host.Count];
            int clashes = 0;
            for (int repeat = 0; repeat < 20000 && clashes == 0; repeat++)
            {
                // Chunks so short that most helpers come too late, in turn with chunks that are interrupted,
                // so that helpers meet even on few cores.
                bool isInterrupted = repeat % 2 == 1;
                host.For(24, (_, worker) =>
                {
                    if (Interlocked.Exchange(ref busy[worker], 1) != 0)
                        Interlocked.Increment(ref clashes);
                    if (isInterrupted)
                        Thread.Sleep(TimeSpan.FromMicroseconds(50));
                    Volatile.Write(ref busy[worker], 0);
                });
            }

            Assert.That(clashes, Is.Zero);
        }
        finally
        {
            ThreadPool.SetMinThreads(workers, ports);
        }
    }

    [Test]
    public void For_ABodyThatThrows_HandsTheExceptionOnAndServesTheNextCall()
    {
        HostThreads host = new(3);
        Assert.That(() => host.For(100, (chunk, _) => Fail(chunk)), Throws.InvalidOperationException);
        int done = 0;
        host.For(100, (_, _) => Interlocked.Increment(ref done));
        Assert.That(done, Is.EqualTo(100));

        static void Fail(int chunk)
        {
            if (chunk == 37)
                throw new InvalidOperationException("chunk 37");
        }
    }

    // Also where the first call has a single thread or chunk, which needs no helper.
    [Test]
    public void For_WhileAnotherCallIsInProgress_IsRefused([Values(1, 2)] int threads, [Values(1, 2)] int chunks)
    {
        HostThreads host = new(threads);
        List<Exception?> refusals = [];
        host.For(chunks, (chunk, _) =>
        {
            if (chunk != 0)
                return;
            refusals.Add(Refusal());
            refusals.Add(Task.Run(Refusal).Result);
        });
        Assert.That(refusals, Is.All.TypeOf<InvalidOperationException>().With.Message.Contains("give each thread a context of "
            + "its own"));

        int done = 0;
        host.For(100, (_, _) => Interlocked.Increment(ref done));
        Assert.That(done, Is.EqualTo(100));

        Exception? Refusal()
        {
            try
            {
                host.For(1, (_, _) => { });
                return null;
            }
            catch (InvalidOperationException e)
            {
                return e;
            }
        }
    }

    // Through the operations: two threads with one context.
    [Test]
    public void Evaluate_WhileTheContextIsInUse_IsRefused()
    {
        using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu, Variant = "HostSimd" });
        using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact);
        float[] scores = new float[8 * 8 * 8];
        context.Threads.For(1, (_, _) => Assert.That(
            () => Task.Run(() => loss.Evaluate(scores, 8, 8, 8, [4, 4, 4], new float[scores.Length], seed: 1, step: 0))
                .GetAwaiter().GetResult(),
            Throws.InvalidOperationException.With.Message.Contains("one caller at a time")));
        Assert.That(loss.Evaluate(scores, 8, 8, 8, [4, 4, 4], new float[scores.Length], seed: 1, step: 0), Is.GreaterThan(0));
    }

    // What another thread would read half before a step, and half after it.
    [Test]
    public void Reading_WhileTheContextIsInUse_IsRefused()
    {
        using GpuContext context = GpuContext.Create(new GpuContextOptions { Device = DeviceKind.Cpu });
        using MeanShiftLoss<float> loss = new(context, MeanShiftOptions.Compact);
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [2, 3] }, seed: 1);
        Parameter<float> parameter = network.Parameters.Parameters[0];
        float[] numbers = parameter.Download(context);
        using TemporaryFolder folder = new();
        using Arena arena = new(context);
        using Tape<float> tape = Tape<float>.Begin(arena);
        Tensor<float> map = tape.Upload([1, 2, 3, 4], new(1, 1, 2, 2, 1), requiresGradient: true);
        tape.Backward(tape.Sum(map));
        Action[] readers =
        [
            () => map.ToArray(context),
            () => map.GradientToArray(context),
            () => tape.Upload([1], new(1, 1, 1, 1, 1)),
            () => tape.UploadCenters([[new Position(0, 0, 0)]]),
            () => _ = loss.Positions,
            () => _ = loss.Trajectory,
            () => parameter.Upload(context, numbers),
            () => parameter.Download(context),
            () => network.Parameters.ZeroGradients(context),
            () => network.Save(folder["network.safetensors"]),
            () => network.SaveOnnx(folder["network.onnx"]),
        ];
        using (CallerGate.Pass call = context.Enter("a call"))
        using (Assert.EnterMultipleScope())
        {
            foreach (Action read in readers)
                Assert.That(
                    () => Task.Run(read).GetAwaiter().GetResult(),
                    Throws.InvalidOperationException.With.Message.Contains("one caller at a time"));
            Assert.That(folder.Files(), Is.Empty);
        }

        foreach (Action read in readers)
            Assert.That(() => read(), Throws.Nothing);
    }

    // A program around this library may fill the pool; its threads are then late, and the calling one does
    // the work.
    [Test]
    public void For_WhileThePoolIsBlocked_DoesNotWaitForIt()
    {
        using ManualResetEventSlim release = new();
        using CountdownEvent blocked = new(500);
        for (int i = 0; i < blocked.InitialCount; i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                _ =>
                {
                    release.Wait();
                    blocked.Signal();
                },
                null);
        }

        // Ends the blockade if For waits for the pool after all.
        Thread rescue = new(() =>
        {
            release.Wait(TimeSpan.FromSeconds(20));
            release.Set();
        });
        rescue.Start();
        bool returnedFirst;
        try
        {
            int done = 0;
            HostThreads host = new(4);
            for (int repeat = 0; repeat < 3; repeat++)
                host.For(100, (_, _) => Interlocked.Increment(ref done));
            returnedFirst = !release.IsSet;
            Assert.That(done, Is.EqualTo(300));
        }
        finally
        {
            release.Set();
            rescue.Join();
            blocked.Wait();
        }

        Assert.That(returnedFirst, Is.True, "For returned after the pool was released, not before.");
    }
}
