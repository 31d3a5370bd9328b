using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tensors;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Training;

public class TrainerTests
{
    private const int Edge = 16;

    private static readonly UNet3dOptions Network = new() { Widths = [4, 4] };

    private static readonly TrainingOptions Options = TrainingOptions.Combined with
    {
        Patch = new Extent(Edge, Edge, Edge),
        Steps = 8,
        ValidationInterval = 3,
        BatchSize = 2,
        CrossEntropyWeight = 0.1,
        LabelRadiusVoxels = 6,
        ContrastJitter = 0.2,
        NoiseJitter = 0.3,
        MeanShift = MeanShiftOptions.Compact with { SeedCount = 32, Iterations = 4 },
    };

    private static readonly TrainingOptions TwoClasses = Options with
    {
        Classes =
            [new ClassOptions("a") { BandwidthVoxels = 3, SeedRadiusVoxels = 5 }, new ClassOptions("b") { MaskRadiusVoxels = 2 }],
        Augmentation = Augmentation.HalfTurns,
    };

    [TestCase(1)]
    [TestCase(2)]
    public void Run_TwiceAndWithOtherThreads_GivesTheSameBits(int classes)
    {
        TrainingOptions options = classes == 1 ? Options : TwoClasses;
        (float[] first, TrainingHistory history) = Train(options, threads: 1);
        (float[] second, _) = Train(options, threads: 2);
        (float[] third, _) = Train(options, threads: 1);
        Assert.That(second, Is.EqualTo(first));
        Assert.That(third, Is.EqualTo(first));
        Assert.That(history.Steps, Has.Count.EqualTo(8));
        Assert.That(history.Validations.Select(v => v.Step), Is.EqualTo(new[] { 3, 6, 8 }));
    }

    [TestCase(1)]
    [TestCase(2)]
    public void Resume_AfterAnInterruption_GivesTheSameBits(int classes)
    {
        TrainingOptions options = classes == 1 ? Options : TwoClasses;
        UNet3dOptions structure = Network with { Outputs = classes };
        (float[] uninterrupted, TrainingHistory history) = Train(options, threads: 2);
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "checkpoint-test.safetensors");
        using (GpuContext context = TestDevices.Open(DeviceKind.Cpu, threads: 2))
        using (UNet3d<float> network = new(context, structure, options.Seed, options.OutputBias))
        using (Trainer trainer = new(network, Data(classes), options))
        {
            using CancellationTokenSource stop = new();
            Assert.That(
                () => trainer.Run(p => { if (p.Latest.Step == 5) stop.Cancel(); }, stop.Token),
                Throws.InstanceOf<OperationCanceledException>());
            trainer.SaveCheckpoint(path);
        }

        using (GpuContext context = TestDevices.Open(DeviceKind.Cpu, threads: 1))
        using (UNet3d<float> network = new(context, structure, seed: 99))
        using (Trainer trainer = new(network, Data(classes), options))
        {
            trainer.Resume(path);
            Assert.That(trainer.StepsDone, Is.EqualTo(5));
            trainer.Run();
            Assert.That(Values(network), Is.EqualTo(uninterrupted));
            Assert.That(trainer.History.Steps, Is.EqualTo(history.Steps));
            Assert.That(trainer.History.Validations, Is.EqualTo(history.Validations));
        }
    }

    [Test]
    public void Resume_WithOtherSettings_IsRefused()
    {
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "checkpoint-other.safetensors");
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        using (Trainer trainer = new(network, Data(), Options))
            trainer.SaveCheckpoint(path);
        using Trainer other = new(network, Data(), Options with { LearningRate = 1e-4 });
        Assert.That(() => other.Resume(path), Throws.TypeOf<InputException>().With.Message.Contains("other settings "
            + "(LearningRate").And.Message.Contains("here 0.0001"));
    }

    [TestCase("{}")]
    [TestCase("""{"Options":{"MeanShift":{"BandwidthVoxels":-1}},"Steps":[],"Validations":[]}""")]
    public void ReadProgress_OfADamagedState_NamesTheFile(string state)
    {
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "checkpoint-damaged.safetensors");
        SafetensorsFile.Write(path, [], new Dictionary<string, string> { ["meanshift_gpu.training"] = state });
        Assert.That(
            () => Trainer.ReadProgress(path),
            Throws.TypeOf<InputException>().With.Message.Contains("checkpoint-damaged.safetensors: metadata"));
    }

    [Test]
    public void Step_AfterTheFirst_TakesNoDeviceMemory()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        using Trainer trainer = new(network, Data(), Options);
        trainer.Step();
        (long bytes, int allocations) = (trainer.ArenaBytes, trainer.ArenaAllocations);
        for (int i = 0; i < 5; i++)
            trainer.Step();
        Assert.That(trainer.ArenaBytes, Is.EqualTo(bytes));
        Assert.That(trainer.ArenaAllocations, Is.EqualTo(allocations));
    }

    [Test]
    public void Run_LowersTheLoss()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        using Trainer trainer = new(network, Data(), Options with
        {
            Steps = 60,
            LearningRate = 1e-2,
            MeanShiftWeight = 0,
            CrossEntropyWeight = 0,
            DiceWeight = 1,
            LabelRadiusVoxels = 0,
            NoiseJitter = 0,
            ContrastJitter = 0,
        });
        trainer.Run();
        IReadOnlyList<TrainingStep> steps = trainer.History.Steps;
        // A network that only learns that masks are rare stays near 0.9; seen: about 0.3.
        Assert.That(steps.TakeLast(10).Average(s => s.Dice), Is.LessThan(0.6 * steps.Take(5).Average(s => s.Dice)));
    }

    [Test]
    public void Validate_OfARunThatGetsWorse_KeepsTheBest()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        // A rate that is far too high makes the loss go up as well as down.
        using Trainer trainer = new(network, Data(), Options with { Steps = 12, ValidationInterval = 1, LearningRate = 0.3 });
        trainer.Run();
        IReadOnlyList<ValidationResult> validations = trainer.History.Validations;
        double[] losses = [.. validations.Select(v => v.Loss)];
        Assert.That(
            validations.Select(v => v.IsBest),
            Is.EqualTo(losses.Select((loss, i) => losses.Take(i).All(earlier => loss < earlier))));
        Assert.That(validations[^1].IsBest, Is.False, "the case shows nothing unless the last is not the best");

        // The same parameters meet the same seeds again, whatever the step.
        trainer.RestoreBest();
        Assert.That(trainer.Validate()!.Loss, Is.EqualTo(losses.Min()));
    }

    [Test]
    public void Validate_SeedsBesideTheirCentre_AreNotStuck()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        TrainingOptions options =
            Options with { CenterMarginVoxels = 0, MeanShift = Options.MeanShift with { SeedRadiusVoxels = 1, Iterations = 1 } };
        using Trainer near = new(network, Data(), options);
        // Neither the seed's distance nor one shift exceeds the bandwidth of 4 by itself.
        Assert.That(near.Validate()!.StuckSeeds, Is.LessThan(0.3));
        using Trainer far = new(network, Data(), options with
        {
            MeanShift = options.MeanShift with { SeedRadiusVoxels = 12, BandwidthVoxels = 1 },
        });
        Assert.That(far.Validate()!.StuckSeeds, Is.GreaterThan(0.7));
    }

    [Test]
    public void RateAt_WarmUpAndCosine_FollowTheFormula()
    {
        TrainingOptions options = Options with { Steps = 110, WarmUpSteps = 10, LearningRate = 2e-3 };
        using (Assert.EnterMultipleScope())
        {
            Assert.That(options.RateAt(0), Is.EqualTo(2e-4).Within(1e-12));
            Assert.That(options.RateAt(9), Is.EqualTo(2e-3).Within(1e-12));
            Assert.That(options.RateAt(10), Is.EqualTo(2e-3).Within(1e-12));
            Assert.That(options.RateAt(60), Is.EqualTo(1e-3).Within(1e-12));
            Assert.That(options.RateAt(110), Is.Zero.Within(1e-12));
            Assert.That((options with { Schedule = LearningRateSchedule.Constant }).RateAt(60), Is.EqualTo(2e-3));
        }
    }

    [Test]
    public void Beta2_CountsFromTheSecondStepOn()
    {
        // The correction for the moments' start makes the first step the same for every beta2.
        double FarthestAfter(int steps)
        {
            float[] usual = Train(Options with { Steps = steps, Beta2 = 0.999 }, threads: 2).Values;
            float[] shorter = Train(Options with { Steps = steps, Beta2 = 0.5 }, threads: 2).Values;
            return usual.Zip(shorter, (a, b) => Math.Abs((double)a - b)).Max();
        }

        Assert.That(FarthestAfter(1), Is.LessThan(1e-7));
        Assert.That(FarthestAfter(2), Is.GreaterThan(1e-6));
    }

    [Test]
    public void OutputBias_IsAddedToTheHeadsBiasAlone()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> plain = new(context, Network, seed: 1);
        using UNet3d<float> shifted = new(context, Network, seed: 1, outputBias: -2);
        double[] Difference(string name)
            => [.. shifted.ToTensors("")[name].ToDoubles().Zip(plain.ToTensors("")[name].ToDoubles(), (a, b) => a - b)];
        Assert.That(Difference("head.bias"), Has.All.EqualTo(-2).Within(1e-6));
        Assert.That(Difference("head.weight"), Has.All.Zero);
    }

    [Test]
    public void ModelFile_GivesPickingTheMeanShiftOfTheTraining()
    {
        MeanShiftOptions trained = MeanShiftOptions.Combined with { BandwidthVoxels = 2.5f, ScoreFloor = 0.01f };
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "model-test.safetensors");
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        ModelFile.Save(path, network, new ModelDescription { Training = Options with { MeanShift = trained } });
        (UNet3d<float> loaded, ModelDescription? description) = ModelFile.Load(context, path);
        using (loaded)
            Assert.That(ModelFile.MeanShiftOf(description), Is.EqualTo(trained));
    }

    // Without the term at the centres a bias of −20 is a map of zeros from which no gradient leads back, and
    // one of 20 a map of ones.
    [TestCase(-20, "do not stand out from a map that is 0 everywhere")]
    [TestCase(20, "do not stand out from a map that is stuck at its largest value")]
    public void Run_OfAMapThatIsStuck_GoesBackThreeTimesAndSaysWhy(double bias, string reason)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        TrainingOptions options = Options
            with
        {
            Steps = 400,
            OutputBias = bias,
            CenterWeight = 0,
            DiceWeight = 0,
            CrossEntropyWeight = 0,
            ValidationInterval = 1000
        };
        using UNet3d<float> network = new(context, Network, seed: 1, options.OutputBias);
        using Trainer trainer = new(network, Data(), options);
        Assert.That(
            () => trainer.Run(),
            Throws.TypeOf<TrainingFailedException>().With.Message.Contains(reason).And.Message.Contains("3 times")
                .And.Message.Contains("output bias of -2"));
        Assert.That(trainer.History.Rollbacks.Select(r => (r.Step, r.Position, r.RateFactor)),
            Is.EqualTo(new[] { (60, 0, 0.5), (120, 0, 0.25), (180, 0, 0.125) }));
        Assert.That(trainer.StepsDone, Is.EqualTo(240));
    }

    // A map of 6e-16 from which the mean shift alone does not come back: the steps that Adam makes of such
    // gradients are shorter than its 1e-8.
    [TestCase(0.2, 20)]
    [TestCase(0, 34)]
    public void Run_OfAVanishedMap_ComesBackWithTheTermAtTheCentres(double weight, double most)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        TrainingOptions options = Options with
        {
            // Fewer than the guard waits for.
            Steps = 50,
            OutputBias = -35,
            CenterWeight = weight,
            DiceWeight = 0,
            CrossEntropyWeight = 0,
            LearningRate = 0.5,
            Schedule = LearningRateSchedule.Constant,
            WarmUpSteps = 0,
            ValidationInterval = 1000,
        };
        using UNet3d<float> network = new(context, Network, seed: 1, options.OutputBias);
        using Trainer trainer = new(network, Data(), options with { CenterWeight = Math.Max(weight, 1e-30) });
        trainer.Run();
        // At a score of 6e-16 log(1 + 0.05/s) is 32.
        Assert.That(trainer.History.Steps[0].Centers, Is.EqualTo(32).Within(0.5));
        Assert.That(trainer.History.Steps[^1].Centers, Is.LessThan(most).And.GreaterThan(weight > 0 ? 0 : 30));
    }

    // A run that went back is resumed with the bits of one that was not interrupted, wherever it stopped.
    [TestCase(30)]
    [TestCase(62)]
    [TestCase(130)]
    public void Resume_OfARunThatGoesBack_GivesTheSameBits(int stopAt)
    {
        TrainingOptions options = Options
            with
        {
            Steps = 90,
            OutputBias = -20,
            CenterWeight = 0,
            DiceWeight = 0,
            CrossEntropyWeight = 0,
            BatchSize = 1,
            ValidationInterval = 50
        };
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "checkpoint-back.safetensors");
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        (float[] Values, TrainingHistory History) To(int steps, bool resumed)
        {
            using UNet3d<float> network = new(context, Network, options.Seed, options.OutputBias);
            using Trainer trainer = new(network, Data(), options);
            if (resumed)
                trainer.Resume(path);
            while (trainer.StepsDone < steps)
                trainer.Step();
            if (!resumed)
                trainer.SaveCheckpoint(path);
            return (Values(network), trainer.History);
        }

        (float[] expected, TrainingHistory history) = To(150, resumed: false);
        To(stopAt, resumed: false);
        (float[] values, TrainingHistory again) = To(150, resumed: true);
        Assert.That(values, Is.EqualTo(expected));
        Assert.That(again.Steps, Is.EqualTo(history.Steps));
        Assert.That(again.Health, Is.EqualTo(history.Health));
        Assert.That(again.Rollbacks, Is.EqualTo(history.Rollbacks));
        Assert.That(history.Rollbacks, Has.Count.EqualTo(2));
    }

    // What is proposed is something that the run has not had.
    [TestCase(0, "gradient clipping")]
    [TestCase(1, "a lower learning rate (it is 1E+38)")]
    public void Step_WhenTheLossIsNoLongerFinite_GoesBackAndThenSaysWhatMayHelp(double clip, string proposal)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        TrainingOptions options = Options with { Steps = 20, LearningRate = 1e38, ClipNorm = clip, WarmUpSteps = 0 };
        using UNet3d<float> network = new(context, Network, seed: 1);
        using Trainer trainer = new(network, Data(), options);
        Assert.That(() => trainer.Run(), Throws.TypeOf<TrainingFailedException>().With.Message.Contains("the loss is")
            .And.Message.Contains(proposal));
        Assert.That(trainer.History.Rollbacks, Has.Count.EqualTo(3));
    }

    // The step that could not be taken has not been taken: the run goes on from parameters that are numbers,
    // with half the rate.
    [Test]
    public void Step_WhenTheLossIsNoLongerFinite_GoesOnFromTheStart()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        using Trainer trainer = new(network, Data(), Options with { Steps = 20, WarmUpSteps = 0 });
        trainer.Step();
        Parameter<float> head = network.Parameters.Parameters[^1];
        head.Upload(context, [.. head.Download(context).Select(_ => float.NaN)]);
        TrainingStep step = trainer.Step();
        Assert.That(Values(network), Has.All.Matches<float>(float.IsFinite));
        Assert.That(step.LearningRate, Is.EqualTo(Options.LearningRate / 2).Within(1e-12));
        Assert.That(trainer.History.Rollbacks.Select(r => (r.Step, r.Position, r.RateFactor)), Is.EqualTo(new[] { (1, 0, 0.5) }));
        Assert.That(trainer.Position, Is.EqualTo(1));
    }

    // Better picks win over a lower loss, and of equal ones the lower loss wins.
    [Test]
    public void Validate_WithPicks_KeepsTheModelThatPicksBest()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        Queue<PickingScore> scores = new([new(0.2, 0.4), new(0.5, 0.9), new(0.6, 0.7), new(0.1, 0.1)]);
        using Trainer trainer = new(network, Data(), Options with { Steps = 20 }) { PickOnValidation = _ => scores.Dequeue() };
        List<float[]> values = [];
        while (scores.Count > 0)
        {
            trainer.Step();
            values.Add(Values(network));
            trainer.Validate();
        }

        Assert.That(trainer.History.Validations.Select(v => v.IsBest), Is.EqualTo(new[] { true, true, false, false }));
        trainer.RestoreBest();
        Assert.That(Values(network), Is.EqualTo(values[1]));
    }

    [Test]
    public void Run_WithPatience_StopsWhereNothingBecomesBetter()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        TrainingOptions options = Options with { Steps = 1000, ValidationInterval = 2, PatienceValidations = 3 };
        int asked = 0;
        using Trainer trainer = new(network, Data(), options)
        {
            PickOnValidation = _ => ++asked <= 2
            ? new(asked * 0.1, asked * 0.1) : new(0, 0)
        };
        trainer.Run();
        Assert.That(trainer.StepsDone, Is.EqualTo(10));
    }

    [Test]
    public void Step_OfTwoClasses_LeavesTheMapOfAnAbsentClassToItsMaskAlone()
    {
        // Every particle is of the first class; without masks nothing teaches the second output, whose
        // weights then stay as they are.
        TrainingOptions options = TwoClasses with { DiceWeight = 0, CrossEntropyWeight = 0, BatchSize = 1, Steps = 3 };
        TrainingData data = Data(1);
        data = data with { Training = [.. data.Training.Select(v => v with { CenterClasses = [0] })], Validation = [] };
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network with { Outputs = 2 }, seed: 1);
        double[] HeadBias() => network.ToTensors("")["head.bias"].ToDoubles();
        double[] before = HeadBias();
        using Trainer trainer = new(network, data, options);
        trainer.Run();
        double[] after = HeadBias();
        Assert.That(after[0], Is.Not.EqualTo(before[0]));
        Assert.That(after[1], Is.EqualTo(before[1]));
    }

    [Test]
    public void Trainer_WithOtherOutputsThanClasses_IsRefused()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        Assert.That(
            () => new Trainer(network, Data(2), TwoClasses),
            Throws.TypeOf<InputException>().With.Message.Contains("one output for each class"));
    }

    [Test]
    public void Trainer_WithoutAnyCentre_IsRefused()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        TrainingData data = new([.. Data().Training.Select(v => v with { Centers = [] })], []);
        Assert.That(() => new Trainer(network, data, Options), Throws.TypeOf<InputException>().With.Message.Contains("centre"));
    }

    [Test]
    public void Trainer_WithAPatchThatDoesNotFitTheNetwork_IsRefused()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        Assert.That(
            () => new Trainer(network, Data(), Options with { Patch = new Extent(15, 15, 15) }),
            Throws.TypeOf<InputException>().With.Message.Contains("multiples of 2"));
    }

    [Test]
    public void Step_OnVolumesOfOtherSizesThanThePatch_Works()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, Network, seed: 1);
        TrainingOptions options =
            Options with { Patch = new Extent(10, 20, 12), Augmentation = Augmentation.Flips, CenterMarginVoxels = 1 };
        using Trainer trainer = new(network, Data(), options);
        Assert.That(trainer.Step().Loss, Is.Positive);
        Assert.That(trainer.Validate()!.Loss, Is.Positive);
    }

    private static (float[] Values, TrainingHistory History) Train(TrainingOptions options, int threads)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu, threads);
        using UNet3d<float> network = new(
            context, Network with { Outputs = options.ClassCount }, options.Seed, options.OutputBias);
        using Trainer trainer = new(network, Data(options.ClassCount), options);
        trainer.Run();
        return (Values(network), trainer.History);
    }

    // A better model finds more of what nobody annotated, so that with few centres its F1 falls; the loss
    // knows centres alone.
    [TestCase(3, true)]
    [TestCase(9, true)]
    [TestCase(10, false)]
    [TestCase(0, false)] // An earlier version did not count them.
    public void IsBetterThan_WithFewCentres_GoesByTheLoss(int centers, bool lowerLossWins)
    {
        ValidationResult early = new(100, Loss: 4.6, StuckSeeds: 0.2, MapMaximum: 0.8, IsBest: true,
            new PickingScore(0.43, 0.43) { Centers = centers });
        ValidationResult late = new(200, Loss: 1.7, StuckSeeds: 0.0, MapMaximum: 1.0, IsBest: false,
            new PickingScore(0.33, 0.33) { Centers = centers });
        Assert.That(late.IsBetterThan(early), Is.EqualTo(lowerLossWins));
        Assert.That(early.IsBetterThan(late), Is.EqualTo(!lowerLossWins));
    }

    private static float[] Values(UNet3d<float> network) => network.Parameters.Values.GetAsArrayForTest(network.Context);

    private static TrainingData Data(int classes = 1)
    {
        SandclockOptions options =
            new() { Depth = Edge, Height = Edge, Width = Edge, MinimumParticles = 1, MaximumParticles = 1, Seed = 4 };
        List<TrainingVolume> volumes = [];
        for (int i = 0; i < 5; i++)
        {
            SandclockVolume v = Sandclock.Create(options, i);
            float[] image = [.. v.Image];
            TrainingVolume.Normalize(image);
            volumes.Add(new TrainingVolume($"volume {i}", new Extent(Edge, Edge, Edge), image, i == 0 ? null : v.Mask, v.Centers)
            {
                CenterClasses = classes == 1 ? null : [i % 2],
            });
        }

        return new TrainingData(volumes[..4], volumes[4..]);
    }
}
