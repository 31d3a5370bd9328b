using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Convolution;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.Conv3d;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Training;
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
    public void Dispose_OfAConvolutionDuringItsCalls_Waits()
        => DisposeDuringCalls(context =>
        {
            Conv3d<float> convolution = new(context);
            Conv3dShape shape = Conv3dShape.Dense(1, (32, 32, 32), 16, 16);
            (float[] input, float[] output) = (new float[shape.Voxels * 16], new float[shape.Voxels * 16]);
            float[] weight = new float[shape.WeightLength];
            return (() => convolution.Forward(input, weight, new float[16], output, shape), convolution.Dispose);
        });

    [Test]
    public void Dispose_OfAPickerDuringItsCalls_Waits()
        => DisposeDuringCalls(context =>
        {
            UNet3d<float> network = new(context, new UNet3dOptions { Widths = [8, 8] }, seed: 1);
            TomogramPicker picker = new(network, MeanShiftOptions.Compact, new PickOptions { BandwidthVoxels = 3 });
            (float[] image, float[] scores) = (new float[Size.Voxels], new float[Size.Voxels]);
            return (() => picker.PredictScores(image, Size, scores), picker.Dispose);
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

    // Step by step, as on the host; and going ahead of the reports, as on a device that is not the host,
    // whose next patches another thread prepares.
    [Test]
    public void Dispose_OfATrainerDuringSteps_Waits([Values] bool isHost)
        => DisposeDuringCalls(context =>
        {
            UNet3d<float> network = new(context, new UNet3dOptions { Widths = [8, 8] }, seed: 1);
            TrainingOptions options = TrainingOptions.Combined with
            {
                Patch = new Extent(16, 16, 16),
                Steps = 10_000,
                BatchSize = 1,
                MeanShift = MeanShiftOptions.Compact with { SeedCount = 16, Iterations = 2 },
            };
            float[] image = Array.ConvertAll(TestData.Uniform(Size.Voxels, 3), v => (float)v);
            TrainingVolume volume = new("volume", Size, image, null, [new Position(15, 16, 17)]);
            Trainer trainer = new(network, new TrainingData([volume], []), options, null, isHost);
            return (() => _ = trainer.Step(), trainer.Dispose);
        });

    [Test]
    public void Step_OfATrainerThatWasDisposed_IsRefused()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [8, 8] }, seed: 1);
        TrainingOptions options = TrainingOptions.Combined with { Patch = new Extent(16, 16, 16), BatchSize = 1 };
        TrainingVolume volume = new("volume", Size, new float[Size.Voxels], null, [new Position(15, 16, 17)]);
        Trainer trainer = new(network, new TrainingData([volume], []), options);
        trainer.Step();
        trainer.Dispose();
        Assert.That(trainer.Dispose, Throws.Nothing, "a second time");
        using TemporaryFolder folder = new();
        foreach (Action call in (Action[])[() => trainer.Step(), () => trainer.Validate(), trainer.RestoreBest,
            () => trainer.Run(), () => trainer.SaveCheckpoint(folder["checkpoint.safetensors"])])
            Assert.That(() => call(), Throws.InstanceOf<ObjectDisposedException>());
        Assert.That(File.Exists(folder["checkpoint.safetensors"]), Is.False);
    }

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
                    begun.Set();
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
