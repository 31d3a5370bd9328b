using MeanShiftGpu.Device;
using MeanShiftGpu.Geometry;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Tests.Support;
using MeanShiftGpu.Tomography.Picking;
using MeanShiftGpu.Tomography.Simulation;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Picking;

/// <summary>
/// A model of 100 steps (64³ simulated volumes, mean shift alone) on volumes that it does not know: no pick
/// without a warning that names the cause, and no warning on a volume like those that it was trained on.
/// </summary>
public class DiagnosisTests
{
    private const int Edge = 64;

    private GpuContext context = null!;
    private TomogramPicker picker = null!;
    private float[] known = null!;

    [OneTimeSetUp]
    public void Open()
    {
        context = TestDevices.Open(DeviceKind.Cpu);
        picker = TomogramPicker.Open(context, TemporaryFolder.Data("models/hundred-steps.safetensors"));
        known = Sandclock.Create(
            new SandclockOptions
            {
                Depth = Edge,
                Height = Edge,
                Width = Edge,
                MinimumParticles = 12,
                MaximumParticles = 12,
                Seed =
                77
            }, 0).Image;
    }

    [OneTimeTearDown]
    public void Close()
    {
        picker.Dispose();
        context.Dispose();
    }

    [Test]
    public void Pick_AVolumeLikeThoseOfTheTraining_WarnsOfNothing()
    {
        PickResult result = Pick(known);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(result.Warnings, Is.Empty);
            Assert.That(result.Picks, Has.Count.EqualTo(12).Within(1));
        }
    }

    [Test]
    public void Pick_Noise_FindsNothingAndSaysSo()
    {
        PickResult result = Pick(Noise());
        AssertWarned(result, PickWarningKind.WeakScores, "nothing in it", picks: 0);
        // What it may mean is said once.
        Assert.That(result.Warnings.Where(w => w.Kind == PickWarningKind.NoPick).Select(w => w.Remedy), Is.All.Empty);
    }

    [Test]
    public void Pick_InvertedContrast_NamesTheCause()
        => AssertWarned(Pick([.. known.Select(v => -v)]), PickWarningKind.WeakScores, "contrast is inverted", picks: 0);

    [Test]
    public void Pick_Zeros_FindsNothingAndSaysSo()
        => AssertWarned(Pick(new float[known.Length]), PickWarningKind.Constant, "nothing to pick", picks: 0);

    [Test]
    public void Pick_OtherBinning_IsToldByTheGreyValues()
    {
        using (Assert.EnterMultipleScope())
        {
            AssertWarned(
                Pick(Resampled(
                    (z, y, x) => Enumerable.Range(0, 8).Average(i => At(2 * z + i / 4, 2 * y + i / 2 % 2, 2 * x + i % 2)),
                    Edge / 2), Edge / 2), PickWarningKind.OtherGreyValues, "voxel size");
            AssertWarned(
                Pick(Resampled((z, y, x) => At(z / 2 + 16, y / 2 + 16, x / 2 + 16), Edge)),
                PickWarningKind.OtherGreyValues,
                "voxel size");
        }
    }

    [Test]
    public void Pick_SmoothNoiseOfAForeignTomogram_IsToldByTheGreyValues()
    {
        float[] noise = Noise();
        float[] smooth =
            [.. Enumerable.Range(0, noise.Length).Select(
                i => noise[i] + noise[(i + 1) % noise.Length] + noise[(i + Edge) % noise.Length]
                    + noise[(i + (Edge * Edge)) % noise.Length])];
        AssertWarned(Pick(smooth), PickWarningKind.OtherGreyValues, "filtered");
    }

    [Test]
    public void Pick_OneVoxelFarFromAll_IsNamed()
    {
        float[] spiked = [.. known];
        spiked[0] = 1e30f;
        AssertWarned(Pick(spiked), PickWarningKind.Spike, "standard deviation");
    }

    [Test]
    public void Pick_MoreVoxelsThanParticlesHave_IsRefusedBeforeTheClustering()
    {
        Random random = new(5);
        float[] gradient =
            [.. Enumerable.Range(0, known.Length).Select(
                i => (3f * i / known.Length) - 1.5f + (0.2f * (float)random.NextDouble()))];
        InputException refused = Assert.Throws<InputException>(() => Pick(gradient))!;
        Assert.That(refused.Message, Does.Contain("% of the volume, are above the threshold").And.Contain("no particles"));
    }

    // 4 × 10⁴ of 10⁵ voxels are the most that any healthy model has in the volumes that it knows.
    [TestCase(0.19, 39_000, null)]
    [TestCase(0.19, 41_000, "41 % of the volume")]
    [TestCase(0.001, 1_100, "1.1 % of the volume")]
    public void CrowdedBecause_HasALimitThatNoShareLifts(double known, long above, string? expected)
        => Assert.That(Diagnosis.CrowdedBecause(above, 100_000, new ClassLooks(0.9, known, 1)),
            expected is null ? Is.Null : Does.Contain(expected));

    [Test]
    public void OfModel_WhoseMapIsBrightEverywhere_SaysSo()
    {
        static VolumeLooks Looks(params double[] shares)
            => new() { Volumes = 1, Classes = [.. shares.Select(s => new ClassLooks(0.9, s, 1))] };
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Diagnosis.OfModel(null, []), Is.Null);
            Assert.That(Diagnosis.OfModel(Looks(0.19), []), Is.Null);
            Assert.That(Diagnosis.OfModel(Looks(0.97), []), Does.StartWith("97 % of the voxels").And.Contain("train it longer"));
            Assert.That(Diagnosis.OfModel(Looks(0.19, 0.97), ["rod", "ring"]), Does.StartWith("class 'ring': 97 %"));
        }
    }

    [Test]
    public void OfCentres_ReadAtHalfTheirScale_SaysThatTheyFillACorner()
    {
        Random random = new(7);
        Position[] all =
            [.. Enumerable.Range(0, 20).Select(
                _ => new Position(
                    60 * (float)random.NextDouble(), 60 * (float)random.NextDouble(), 60 * (float)random.NextDouble()))];
        TrainingVolume Of(float scale)
            => new("a.mrc", new Extent(Edge, Edge, Edge), known, null,
                [.. all.Select(p => new Position(p.Z * scale, p.Y * scale, p.X * scale))]);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Diagnosis.OfCentres(Of(1)), Is.Null);
            Assert.That(Diagnosis.OfCentres(Of(0.5f)), Does.Contain("corner").And.Contain("binning"));
        }
    }

    private PickResult Pick(float[] voxels, int edge = Edge) => picker.Pick(Volume.Of(voxels, new Extent(edge, edge, edge)));

    private static void AssertWarned(PickResult result, PickWarningKind kind, string cause, int? picks = null)
    {
        Assert.That(
            result.Warnings.Where(w => w.Kind == kind).Select(w => $"{w.Fact} {w.Remedy}"),
            Has.Some.Contains(cause),
            string.Join(' ', result.Warnings));
        if (picks is { } count)
            Assert.That(result.Picks, Has.Count.EqualTo(count));
    }

    private float At(int z, int y, int x) => known[((z * Edge) + y) * Edge + x];

    private static float[] Resampled(Func<int, int, int, float> value, int edge)
        => [.. Enumerable.Range(0, edge * edge * edge).Select(i => value(i / edge / edge, i / edge % edge, i % edge))];

    private static float[] Noise()
    {
        Random random = new(1);
        return [.. Enumerable.Range(0, Edge * Edge * Edge).Select(
            _ => (float)Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * (float)Math.Cos(2 * Math.PI * random.NextDouble()))];
    }
}
