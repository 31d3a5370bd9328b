using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Picking;

/// <summary>What a program calls: open a model, pick a volume.</summary>
public class PickInAProgramTests
{
    private static readonly Extent Size = new(16, 20, 24);

    // A network of one's own, that no training described, as it was made and from its file.
    [Test]
    public void PredictScores_ANetworkOfThreeOutputs_HasThreeMaps()
    {
        using TemporaryFolder folder = new();
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4, 4], Outputs = 3 }, seed: 3);
        network.Save(folder["network.safetensors"]);
        using TomogramPicker made = new(network, MeanShiftOptions.Compact, new PickOptions { BandwidthVoxels = 3 });
        using TomogramPicker opened = TomogramPicker.Open(context, folder["network.safetensors"]);
        Extent odd = new(7, 9, 11);
        float[] image = Array.ConvertAll(TestData.Uniform(odd.Voxels, 5), v => (float)v);
        float[] scores = new float[3 * odd.Voxels];
        float[] again = new float[scores.Length];
        made.PredictScores(image, odd, scores);
        opened.PredictScores(image, odd, again);
        Assert.That(made.Classes.Select(c => c.Label), Is.EqualTo(new[] { "1", "2", "3" }));
        Assert.That(opened.Classes.Select(c => c.Output), Is.EqualTo(new[] { 0, 1, 2 }));
        Assert.That(again, Is.EqualTo(scores));
        Assert.That(scores.Chunk((int)odd.Voxels).Select(map => map.Max()).Distinct().Count(), Is.EqualTo(3));
    }

    [Test]
    public void Pick_ModelOfTwoClasses_IsThePartsOfIt()
    {
        using TemporaryFolder folder = new();
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        string model = folder["model.safetensors"];
        using (UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4, 4], Outputs = 2 }, seed: 3))
            ModelFile.Save(model, network, new ModelDescription
            {
                Training = new TrainingOptions { Classes = [new("rod"), new("7") { BandwidthVoxels = 3 }] },
            });
        using Volume image = Volume.Of([.. Enumerable.Range(0, (int)Size.Voxels).Select(i => (float)Math.Sin(i * i))], Size);
        using TomogramPicker picker = TomogramPicker.Open(context, model);
        using Volume first = new(Size.Depth, Size.Height, Size.Width);
        using Volume second = new(Size.Depth, Size.Height, Size.Width);

        List<PickWarning> told = [];
        PickResult result = picker.Pick(image, new PickRequest
        {
            Scores = [first, second],
            OverlappingClasses = true,
            Warned = told.Add,
        });

        Assert.That(
            picker.Classes.Select(c => (c.Label, c.Number, c.Options.BandwidthVoxels)),
            Is.EqualTo(new[] { ("rod", (int?)1, 4f), ("7", (int?)7, 3f) }));
        Assert.That(told, Is.EqualTo(result.Warnings));
        Assert.That(result.Picks, Is.Not.Empty);
        for (int c = 0; c < 2; c++)
        {
            ClassPicks part = result.Classes[c];
            IReadOnlyList<Pick> expected =
                picker.Cluster(c == 0 ? first : second, part.MaximumScore, options: part.Class.Options).Picks;
            Assert.That(part.Picks, Is.EqualTo(expected.Select(p => p with
            {
                Class = part.Class.Number,
                ClassName = part.Class.Name,
            })));
        }

        Assert.That(
            picker.Pick(image, new PickRequest { OverlappingClasses = true }).Picks,
            Is.EqualTo(result.Picks),
            "the maps may lie anywhere");

        // By default one place has one pick, of the class that scores highest there.
        ClassPicks[] apart = [.. picker.Pick(image).Classes];
        double shortest = Math.Min(
            apart[0].Class.Options.EffectiveMergeDistanceVoxels, apart[1].Class.Options.EffectiveMergeDistanceVoxels);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(apart.Sum(c => c.Picks.Count), Is.InRange(1, result.Picks.Count - 1));
            Assert.That(apart.SelectMany(c => c.Picks).Any(p => p.RunnerUp is not null && p.RunnerUpScore > 0));
            Assert.That(
                apart[0].Picks.SelectMany(
                    a => apart[1].Picks, (a, b) => Math
                        .Sqrt(Math.Pow(a.Z - b.Z, 2) + Math.Pow(a.Y - b.Y, 2) + Math.Pow(a.X - b.X, 2))),
                            Has.All.GreaterThanOrEqualTo(shortest));
        }
    }

    [Test]
    public void Open_ClassThatTheModelDoesNotKnow_SaysWhichItKnows()
    {
        using TemporaryFolder folder = new();
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        string model = folder["model.safetensors"];
        using (UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4, 4], Outputs = 2 }, seed: 3))
            ModelFile.Save(model, network, new ModelDescription
            {
                Training = new TrainingOptions { Classes = [new("rod"), new("ring")] },
            });
        InputException e = Assert.Throws<InputException>(() => TomogramPicker.Open(context, model, onlyClass: "hook"))!;
        Assert.That(e.Message, Does.Contain("'hook'").And.Contain("rod, ring").And.Contain(model));
    }

    [Test]
    public void PredictScores_AllClassesIntoASpan_AreTheMapsOfPick()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4, 4], Outputs = 2 }, seed: 3);
        using TemporaryFolder folder = new();
        string model = folder["model.safetensors"];
        ModelFile.Save(
            model, network, new ModelDescription { Training = new TrainingOptions { Classes = [new("rod"), new("ring")] } });
        using TomogramPicker picker = TomogramPicker.Open(context, model);
        float[] image = [.. Enumerable.Range(0, (int)Size.Voxels).Select(i => (float)Math.Sin(i * i))];
        using Volume volume = Volume.Of(image, Size);
        using Volume first = new(Size.Depth, Size.Height, Size.Width);
        using Volume second = new(Size.Depth, Size.Height, Size.Width);
        picker.Pick(volume, new PickRequest { Scores = [first, second], Normalize = false });
        float[] maps = new float[2 * Size.Voxels];
        picker.PredictScores(image, Size, maps);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(maps[..(int)Size.Voxels], Is.EqualTo(first.AsSpan().ToArray()));
            Assert.That(maps[(int)Size.Voxels..], Is.EqualTo(second.AsSpan().ToArray()));
            Assert.That(picker.PredictScores(image, Size), Is.EqualTo(first.AsSpan().ToArray()));
            Assert.That(
                () => picker.PredictScores(image, Size, new float[3]),
                Throws.ArgumentException.With.Message.Contains("3 scores are not 2 maps"));
        }
    }

    [Test]
    public void Pick_OfGreyValuesThatAreSaidToBeNormalised_IsRefused()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4, 4] }, seed: 3);
        using TomogramPicker picker = new(network, TrainingOptions.Compact.MeanShift, new PickOptions());
        using Volume grey = Volume.Of(
            [.. Enumerable.Range(0, (int)Size.Voxels).Select(i => 128 + 30 * (float)Math.Sin(i * i))], Size);
        Assert.That(
            () => picker.Pick(grey, new PickRequest { Name = "a.mrc", Normalize = false }),
            Throws.TypeOf<InputException>().With.Message.StartsWith("a.mrc: the voxels have mean 128").And.Message.Contains(
                "leave PickRequest.Normalize true"));
        Assert.That(() => picker.Pick(grey), Throws.Nothing);
    }

    [Test]
    public void Request_OfAVoxelSizeThatIsNone_IsRefused([Values(-1.0, double.NaN, double.PositiveInfinity)] double size)
        => Assert.That(
            () => new PickRequest { VoxelSizeAngstrom = size },
            Throws.TypeOf<InputException>().With.Message.Contains("expected 0 (unknown) or more"));

    [Test]
    public void Cluster_CanBeCancelled()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4, 4] }, seed: 3);
        using TomogramPicker picker = new(network, TrainingOptions.Compact.MeanShift, new PickOptions());
        float[] scores = [.. Enumerable.Range(0, (int)Size.Voxels).Select(i => (float)Math.Abs(Math.Sin(i * i)))];
        Assert.That(
            () => picker.Cluster(scores, Size, new CancellationToken(canceled: true)),
            Throws.InstanceOf<OperationCanceledException>());
        Assert.That(picker.Cluster(scores, Size), Is.Not.Empty);
    }

    // A centre at NaN, or none, would look like a result.
    [Test]
    public void Cluster_OfAMapThatIsNotWhatItIsSaidToBe_IsRefused()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4, 4] }, seed: 3);
        using TomogramPicker picker = new(network, TrainingOptions.Compact.MeanShift, new PickOptions());
        float[] scores = [.. Enumerable.Range(0, (int)Size.Voxels).Select(i => (float)Math.Abs(Math.Sin(i * i)))];
        using Volume map = Volume.Of(scores, Size);
        using Volume mask = new(Size.Depth, Size.Height, Size.Width - 1);
        Assert.That(picker.Cluster(map, scores.Max()).Picks, Is.Not.Empty);
        foreach (float maximum in (float[])[float.NaN, 0, 2])
            Assert.That(() => picker.Cluster(map, maximum), Throws.ArgumentException.With.Message.Contains("largest score"));
        Assert.That(
            () => picker.Cluster(map, scores.Max(), mask), Throws.ArgumentException.With.Message.Contains("the mask has"));
        scores[7] = float.NaN;
        using Volume broken = Volume.Of(scores, Size);
        Assert.That(() => picker.Cluster(broken, 1), Throws.TypeOf<InputException>().With.Message.Contains("score map"));
    }

    [Test]
    public void Pick_ConstantVolume_Warns()
    {
        using GpuContext context = TestDevices.Open(DeviceKind.Cpu);
        using UNet3d<float> network = new(context, new UNet3dOptions { Widths = [4, 4] }, seed: 3);
        using TomogramPicker picker = new(network, TrainingOptions.Compact.MeanShift, new PickOptions { BandwidthVoxels = 17 });
        using Volume image = new(Size.Depth, Size.Height, Size.Width);
        Assert.That(
            picker.Pick(image).Warnings.Select(w => w.Kind),
            Is.SupersetOf(new[] { PickWarningKind.NoRoom, PickWarningKind.Constant }));
    }
}
