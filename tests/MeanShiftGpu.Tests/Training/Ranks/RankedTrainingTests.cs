using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Evaluation;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;
using MeanShiftGpu.Training.Ranks;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Training.Ranks;

public class RankedTrainingTests
{
    private const int Edge = 16;

    private static readonly TrainingOptions Options = TrainingOptions.Combined with
    {
        Patch = new Extent(Edge, Edge, Edge),
        Steps = 21,
        ValidationInterval = 7,
        BatchSize = 4,
        CrossEntropyWeight = 0.1,
        Classes = [new ClassOptions("a") { BandwidthVoxels = 3, SeedRadiusVoxels = 5 },
            new ClassOptions("b") { MaskRadiusVoxels = 2 }],
        MeanShift = MeanShiftOptions.Compact with { SeedCount = 32, Iterations = 4 },
    };

    [TestCase(2)]
    [TestCase(3)]
    [TestCase(4)]
    public void Run_OnSeveralRanks_GivesTheBitsOfOne(int count)
    {
        Ended alone = Train(1)[0];
        foreach (Ended rank in Train(count))
        {
            Assert.That(rank.Parameters, Is.EqualTo(alone.Parameters));
            Assert.That(rank.History.Steps, Is.EqualTo(alone.History.Steps));
            Assert.That(rank.History.Validations, Is.EqualTo(alone.History.Validations));
            Assert.That(rank.History.Health, Is.EqualTo(alone.History.Health));
        }

        Assert.That(alone.History.Health, Is.Not.Empty);
        Assert.That(alone.History.Validations[0].Picking, Is.Not.Null);
    }

    // On a GPU a rank computes its patches together, so that sums are taken in another order.
    // The half on CUDA is also run on the fake driver, with its page-locked memory.
    [TestCase(DeviceKind.Simulated)]
    [TestCase(DeviceKind.Cuda)]
    public void Steps_OfAGpuOnTwoRanks_AgreeWithThoseOfOne(DeviceKind device)
    {
        TestDevices.Open(device).Dispose();
        TrainingStep[][] found = new TrainingStep[2][];
        TrainingStep[] alone = [];
        InProcessRanks.Run(1, ranks => alone = Steps(ranks));
        InProcessRanks.Run(2, ranks => found[ranks.Rank] = Steps(ranks));
        Assert.That(found[1], Is.EqualTo(found[0]));
        for (int i = 0; i < alone.Length; i++)
        {
            (TrainingStep a, TrainingStep b) = (alone[i], found[0][i]);
            TestContext.Out.WriteLine($"{a.Loss} {b.Loss}; {a.GradientNorm} {b.GradientNorm}; {a.Dice} {b.Dice}");
            foreach ((double one, double two) in new[] { (a.Loss, b.Loss), (a.MeanShift, b.MeanShift), (a.Dice, b.Dice),
                (a.CrossEntropy, b.CrossEntropy), (a.Centers, b.Centers), (a.GradientNorm, b.GradientNorm) })
                Assert.That(two, Is.EqualTo(one).Within(1e-5 * one));
        }

        TrainingStep[] Steps(IRanks ranks)
        {
            using GpuContext context = GpuContext.Create(device);
            TrainingOptions options = Options with
            {
                BatchSize = 2,
                Patch = new Extent(8, 8, 8),
                CenterMarginVoxels = 1,
                MeanShift = Options.MeanShift with { SeedCount = 4, Iterations = 2 }
            };
            using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4], Outputs = 2 }, 1, -2);
            using TrainingData data = Data();
            using Trainer trainer = new(network, data, options, ranks);
            return [trainer.Step(), trainer.Step()];
        }
    }

    [Test]
    public void Resume_OnAnotherNumberOfRanks_GivesTheSameBits()
    {
        Ended whole = Train(1)[0];
        using TemporaryFolder folder = new();
        string checkpoint = folder["checkpoint.safetensors"];
        using CancellationTokenSource stop = new();
        // Rank 1 is told to stop, and both do, after the same step.
        int[] stopped = new int[2];
        InProcessRanks.Run(2, ranks =>
        {
            using Session session = new(ranks);
            try
            {
                session.Trainer.Run(p => { if (p.Latest.Step == 5 && ranks.Rank == 1) stop.Cancel(); }, ranks.Rank == 1
                    ? stop.Token : default);
            }
            catch (OperationCanceledException)
            {
                stopped[ranks.Rank] = session.Trainer.StepsDone;
                if (ranks.Rank == 0)
                    session.Trainer.SaveCheckpoint(checkpoint);
            }
        });
        Assert.That(stopped, Is.EqualTo(new[] { 5, 5 }));
        float[][] found = new float[3][];
        InProcessRanks.Run(3, ranks =>
        {
            using Session session = new(ranks);
            session.Trainer.Resume(checkpoint);
            session.Trainer.Run();
            found[ranks.Rank] = session.Parameters();
        });
        Assert.That(found, Is.All.EqualTo(whole.Parameters));
    }

    [Test]
    public void Run_WithDataOfItsOwn_IsRefusedOnEveryRank()
        => Assert.That(
            () => InProcessRanks.Run(2, ranks =>
            {
                using Session session = new(ranks, seed: ranks.Rank);
                session.Trainer.Run();
            }),
            Throws.TypeOf<InputException>().With.Message.Contains("the hash of the data of rank 1 is"));

    [Test]
    public void Trainer_WithFewerPatchesThanRanks_IsRefused()
        => Assert.That(
            () => InProcessRanks.Run(5, ranks => new Session(ranks).Dispose()),
            Throws.TypeOf<InputException>().With.Message.Contains("a batch of 4 patches for 5 ranks"));

    private static Ended[] Train(int count)
    {
        Ended[] ended = new Ended[count];
        InProcessRanks.Run(count, ranks =>
        {
            using Session session = new(ranks);
            session.Trainer.Run();
            ended[ranks.Rank] = new Ended(session.Parameters(), session.Trainer.History);
        });
        return ended;
    }

    private static TrainingData Data(int seed = 4)
    {
        SandclockOptions options = new()
        {
            Depth = Edge,
            Height = Edge,
            Width = Edge,
            MinimumParticles = 1,
            MaximumParticles = 1,
            Seed = seed
        };
        TrainingVolume[] volumes =
        [
            .. Enumerable.Range(0, 7).Select(i =>
            {
                SandclockVolume v = Sandclock.Create(options, i);
                float[] image = [.. v.Image];
                TrainingVolume.Normalize(image);
                return new TrainingVolume($"volume {i}", new Extent(Edge, Edge, Edge), image, i == 0 ? null : v.Mask,
                    v.Centers) { CenterClasses = [i % 2] };
            }),
        ];
        return new TrainingData(volumes[..4], volumes[4..]);
    }

    private sealed record Ended(float[] Parameters, TrainingHistory History);

    private sealed class Session : IDisposable
    {
        private readonly GpuContext context;
        private readonly UNet3d<float> network;
        private readonly TrainingData data;
        private readonly ValidationPicking picking;

        public Session(IRanks ranks, int seed = 4)
        {
            context = TestDevices.Open(DeviceKind.Cpu, threads: 1);
            network = new UNet3d<float>(context, new UNet3dOptions { Widths = [4, 4], Outputs = 2 }, Options.Seed,
                Options.OutputBias);
            data = Data(seed);
            picking = new ValidationPicking(network, Options, data.Validation, ranks);
            Trainer = new Trainer(network, data, Options, ranks) { PickOnValidation = picking.Measure };
        }

        public Trainer Trainer { get; }

        public float[] Parameters() => network.Parameters.Values.GetAsArrayForTest(context);

        public void Dispose()
        {
            Trainer.Dispose();
            picking.Dispose();
            data.Dispose();
            network.Dispose();
            context.Dispose();
        }
    }
}
