using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Training;
using MeanShiftGpu.Training.Ranks;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Network;

/// <summary>
/// What is planned for a network's tensors is what its arena then hands out, in the storage that the
/// precision uses.
/// </summary>
public class NetworkMemoryTests
{
    // An arena's buffers begin at multiples of 256 bytes, so that there are half as many between two on
    // average; a small network's forward pass has fifteen.
    private const long Gaps = 15 * 256;

    private static readonly UNet3dOptions Structure = new() { Widths = [8, 8] };
    private static readonly Extent Size = new(4, 4, 8);

    [TestCase(Precision.Float32)]
    [TestCase(Precision.Bf16)]
    public void Predict_OnAGpu_TakesWhatWasPlanned(Precision precision)
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = precision });
        using UNet3d<float> network = new(context, Structure, seed: 1);
        using TomogramPicker picker = new(network, MeanShiftOptions.Compact, new PickOptions());
        PickPlan plan = picker.Plan(Size);
        Assert.That(plan.Tiles, Has.Count.EqualTo(1));
        Assert.That(plan.NetworkOnHost, Is.False);
        picker.PredictScores(new float[Size.Voxels], Size);
        TestContext.Out.WriteLine($"{precision}: planned {plan.NetworkBytes}, taken {picker.MostArenaBytes}");
        Assert.That(picker.MostArenaBytes, Is.InRange(plan.NetworkBytes, plan.NetworkBytes + Gaps));
    }

    // One class with Dice, several with all losses and annotations around some centres only.
    [TestCase(Precision.Float32, 1)]
    [TestCase(Precision.Bf16, 1)]
    [TestCase(Precision.Float32, 2)]
    public void Step_OnAGpu_TakesWhatWasPlanned(Precision precision, int classes)
    {
        using GpuContext context = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = precision });
        ClassOptions[] both = [new("a"), new("b")];
        TrainingOptions options = TrainingOptions.Combined with
        {
            Patch = Size,
            CenterMarginVoxels = 0,
            MeanShift = MeanShiftOptions.Combined with { SeedCount = 4, BandwidthVoxels = 1.5, Iterations = 2 },
            CrossEntropyWeight = classes - 1,
            Classes = classes == 1 ? [] : both,
        };
        using UNet3d<float> network = new(context, Structure with { Outputs = classes }, seed: 1);
        TrainingVolume volume = new("one", Size, new float[Size.Voxels], null, [new Position(2, 2, 3)]);
        using Trainer trainer = new(network, new TrainingData([volume], []), options);
        trainer.Step();
        long planned = trainer.PlannedBytes(Size, options.BatchSize);
        TestContext.Out.WriteLine($"{precision}, {classes}: planned {planned}, taken {trainer.MostArenaBytes}");
        // Twice the buffers, and the losses' scalars and workspaces; float32 would take almost twice the
        // bytes of BF16.
        Assert.That(
            trainer.MostArenaBytes,
            Is.InRange(planned - sizeof(float) * classes * Size.Voxels, planned + 2 * Gaps + classes * Gaps));
    }

    [TestCase(1, 1)]
    [TestCase(1, 2)]
    [TestCase(2, 1)]
    public void Plan_OfATraining_IsWhatItTakes(int batchSize, int classes)
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        Extent patch = new(32, 32, 32);
        ClassOptions[] both = [new("a"), new("b")];
        TrainingOptions options = TrainingOptions.Combined with
        {
            Patch = patch,
            BatchSize = batchSize,
            Classes = classes == 1 ? [] : both
        };
        UNet3dOptions structure = new() { Widths = [8, 16], Outputs = classes };
        using TrainingData data = new(
            [new TrainingVolume("one", patch, new float[patch.Voxels], null, [new Position(16, 15, 14)])], []);
        double before = TestDevices.BytesHeld(context);
        TrainingMemory plan = TrainingMemory.Of(context, structure, options, data, InProcessRanks.Alone);
        Assert.That(TestDevices.BytesHeld(context), Is.EqualTo(before), "planning takes nothing");
        using UNet3d<float> network = new(context, structure, seed: 1);
        using Trainer trainer = new(network, data, options);
        trainer.Step();
        trainer.Step();
        double held = TestDevices.BytesHeld(context) - before;
        TestContext.Out.WriteLine($"planned {plan.Total}, held {held}");
        Assert.That((double)plan.Total, Is.EqualTo(held).Within(0.05 * held));
    }

    [Test]
    public void Plan_InBf16_FitsLargerTilesIntoTheSameDevice()
    {
        long Voxels(Precision precision)
        {
            using GpuContext context = GpuContext.CreateSimulatedGpu(new GpuContextOptions { Precision = precision });
            context.MemoryLimitBytes = 256 << 20;
            using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [32, 48] }, seed: 1);
            PickPlan plan = PickPlan.Create(
                network, new Extent(256, 256, 256), new PickOptions(), 4L << 30, 1, mapsInMemory: false);
            Assert.That(plan.NetworkBytes, Is.LessThan(256 << 20).And.GreaterThan(128 << 20));
            return plan.LargestTile.Voxels;
        }

        Assert.That(Voxels(Precision.Bf16), Is.GreaterThan(1.5 * Voxels(Precision.Float32)));
    }
}
