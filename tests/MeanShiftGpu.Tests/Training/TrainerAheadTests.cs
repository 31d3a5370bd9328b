using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Training;

/// <summary>
/// A GPU is given the next step before the report of the last one is read. Here the host is treated as such a
/// device, on which a run must be what it is when every report is read at once.
/// </summary>
public sealed class TrainerAheadTests
{
    private const int Edge = 16;
    private const int Never = 100_000;

    private static readonly UNet3dOptions Network = new() { Widths = [4, 4] };

    private static readonly TrainingOptions Options = TrainingOptions.Combined with
    {
        Patch = new Extent(Edge, Edge, Edge),
        Steps = 47,
        ValidationInterval = 17,
        BatchSize = 1,
        CrossEntropyWeight = 0.1,
        LabelRadiusVoxels = 6,
        NoiseJitter = 0.3,
        MeanShift = MeanShiftOptions.Compact with { SeedCount = 32, Iterations = 4 },
    };

    private static readonly TrainingOptions TwoClasses = Options with
    {
        BatchSize = 3,
        Classes = [new ClassOptions("a") { BandwidthVoxels = 3, SeedRadiusVoxels = 5 },
            new ClassOptions("b") { MaskRadiusVoxels = 2 }],
    };

    // A loss that is not finite: at once, as the steps are too long, until the run gives up.
    private static readonly TrainingOptions Diverging = Options with { LearningRate = 1e38, WarmUpSteps = 0 };

    // A map that is dead, which the judgement of every 20 steps sees.
    private static readonly TrainingOptions Dead = Options with
    {
        Steps = 150,
        OutputBias = -20,
        CenterWeight = 0,
        DiceWeight = 0,
        CrossEntropyWeight = 0,
        ValidationInterval = 50,
    };

    private static readonly TestCaseData[] Cases =
    [
        new TestCaseData(Options).SetArgDisplayNames("one class"),
        new TestCaseData(TwoClasses).SetArgDisplayNames("two classes, batch 3"),
        new TestCaseData(Diverging).SetArgDisplayNames("a loss that is not finite"),
        new TestCaseData(Dead).SetArgDisplayNames("a dead map"),
    ];

    [TestCaseSource(nameof(Cases))]
    public void Run_AheadOfTheReports_IsTheSameRun(TrainingOptions options)
    {
        Run expected = Train(options, isHost: false, looksEvery: 1);
        Run actual = Train(options, isHost: false, looksEvery: Never);
        AssertSame(actual, expected);
        if (options.BatchSize == 1)
            AssertSame(actual, Train(options, isHost: true, looksEvery: 1));
        if (options == Diverging)
            Assert.That(actual.History.Rollbacks, Has.Count.EqualTo(3));
        if (options == Dead)
            Assert.That(actual.History.Rollbacks.Select(r => r.Step), Is.EqualTo(new[] { 60, 120, 180 }));
    }

    // Wherever it is stopped, a checkpoint holds the steps that progress was told of.
    [TestCase(1)]
    [TestCase(9)]
    [TestCase(20)]
    public void Resume_OfARunThatWasAhead_GivesTheSameBits(int stopAt)
    {
        Run expected = Train(Options, isHost: false, looksEvery: Never);
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "checkpoint-ahead.safetensors");
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, Options.Seed, Options.OutputBias);
        using (Trainer trainer = new(network, Data(1), Options, null, isHost: false))
        {
            using CancellationTokenSource stop = new();
            int told = 0;
            Assert.That(
                () => trainer.Run(p =>
                {
                    told = p.Latest.Step;
                    if (told == stopAt)
                        stop.Cancel();
                }, Never, stop.Token),
                Throws.InstanceOf<OperationCanceledException>());
            trainer.SaveCheckpoint(path);
            Assert.That(trainer.StepsDone, Is.EqualTo(told));
            Assert.That(told, Is.InRange(stopAt, stopAt + 1));
        }

        using Trainer resumed = new(network, Data(1), Options, null, isHost: false);
        resumed.Resume(path);
        resumed.Run(null, Never);
        AssertSame(new Run(Values(network), resumed.History), expected);
    }

    // Somebody who looks although he has not said so gets the parameters of the history, and progress misses
    // no step.
    [Test]
    public void SaveCheckpoint_WhileAStepIsUnderWay_SavesThatOne()
    {
        Run expected = Train(Options, isHost: false, looksEvery: 1);
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "checkpoint-under-way.safetensors");
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, Options.Seed, Options.OutputBias);
        using Trainer trainer = new(network, Data(1), Options, null, isHost: false);
        List<int> told = [];
        trainer.Run(p =>
        {
            told.Add(p.Latest.Step);
            if (p.Latest.Step == 6)
                trainer.SaveCheckpoint(path);
        }, Never);
        Assert.That(told, Is.EqualTo(Enumerable.Range(1, Options.Steps)));
        AssertSame(new Run(Values(network), trainer.History), expected);
        Assert.That(Trainer.ReadProgress(path).Done, Is.EqualTo(7));
        using Trainer resumed = new(network, Data(1), Options, null, isHost: false);
        resumed.Resume(path);
        resumed.Run(null, Never);
        AssertSame(new Run(Values(network), resumed.History), expected);
    }

    [Test]
    public void MostCenters_OfPatchesAnywhere_AreNotExceeded()
    {
        Random random = new(5);
        TrainingOptions options = Options with
        {
            Patch = new Extent(8, 12, 16),
            CenterMarginVoxels = 0,
            Augmentation = Augmentation.Flips,
            BatchSize = 2
        };
        Position[] centers = [.. Enumerable.Range(0, 200).Select(
            _ => new Position(39 * random.NextDouble(), 39 * random.NextDouble(), 39 * random.NextDouble()))];
        TrainingVolume volume = new("one", new Extent(40, 40, 40), new float[64_000], null, centers);
        PatchSampler sampler = new([volume], options);
        int most = sampler.MostCenters(1)[0];
        Assert.That(sampler.MostCenters(2)[0], Is.EqualTo(2 * most));
        PatchBatch batch = new(2, options);
        int seen = 0;
        for (int step = 0; step < 200; step++)
        {
            sampler.Fill(batch, step);
            seen = Math.Max(seen, batch.Centers(0).Max(c => c.Count));
        }

        Assert.That(most, Is.GreaterThanOrEqualTo(seen).And.LessThan(200));
    }

    private static void AssertSame(Run actual, Run expected)
    {
        Assert.That(actual.Values, Is.EqualTo(expected.Values));
        Assert.That(actual.History.Steps, Is.EqualTo(expected.History.Steps));
        Assert.That(actual.History.Validations, Is.EqualTo(expected.History.Validations));
        Assert.That(actual.History.Health, Is.EqualTo(expected.History.Health));
        Assert.That(actual.History.Rollbacks, Is.EqualTo(expected.History.Rollbacks));
    }

    private static Run Train(TrainingOptions options, bool isHost, int looksEvery)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network with { Outputs = options.ClassCount }, options.Seed,
            options.OutputBias);
        using Trainer trainer = new(network, Data(options.ClassCount), options, null, isHost);
        try
        {
            trainer.Run(null, looksEvery);
        }
        catch (TrainingFailedException)
        {
            // The parameters that a checkpoint then holds are compared, too.
        }

        return new Run(Values(network), trainer.History);
    }

    private static float[] Values(UNet3d<float> network)
        => [.. network.Parameters.Parameters.SelectMany(p => p.Download(network.Context))];

    private static TrainingData Data(int classes)
    {
        SandclockOptions options = new()
        {
            Depth = Edge,
            Height = Edge,
            Width = Edge,
            MinimumParticles = 1,
            MaximumParticles = 1,
            Seed = 4
        };
        List<TrainingVolume> volumes = [];
        for (int i = 0; i < 5; i++)
        {
            SandclockVolume v = Sandclock.Create(options, i);
            float[] image = [.. v.Image];
            TrainingVolume.Normalize(image);
            volumes.Add(new TrainingVolume($"volume {i}", new Extent(Edge, Edge, Edge), image, i == 0 ? null : v.Mask, v.Centers)
            {
                CenterClasses = classes == 1 ? null : [.. v.Centers.Select((_, k) => (i + k) % 2)],
            });
        }

        return new TrainingData(volumes[..4], volumes[4..]);
    }

    private sealed record Run(float[] Values, TrainingHistory History);
}
