using MeanShiftGpu.Geometry;
using MeanShiftGpu.Kernels.Machine.Real;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Training;

[TestFixture]
public class PatchTests
{
    private static readonly Extent Patch = new(8, 10, 12);

    private static readonly TrainingOptions Options =
        TrainingOptions.Combined with { Patch = Patch, CenterMarginVoxels = 1, MaskRadiusVoxels = 1 };

    // Every voxel has a value of its own.
    private static readonly TrainingVolume Volume = new(
        "volume",
        new Extent(20, 24, 28),
        [.. Enumerable.Range(0, 20 * 24 * 28).Select(i => (float)i)],
        null,
        [new(5, 6, 7), new(9, 10, 11), new(15, 20, 20)]);

    [Test]
    public void Orientations_ThatKeepTheWedge_AreHalfTurnsAndMirrorImages()
    {
        HashSet<PatchOrientation> halfTurns = Seen(Augmentation.HalfTurns);
        HashSet<PatchOrientation> flips = Seen(Augmentation.Flips);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(halfTurns, Has.Count.EqualTo(4));
            Assert.That(halfTurns.Select(Mirrors), Has.All.Matches<int>(mirrors => mirrors % 2 == 0), "rotations");
            Assert.That(flips, Has.Count.EqualTo(8));
            Assert.That(flips.Select(o => o.Permutation), Has.All.Zero, "axes stay");
            Assert.That(Seen(Augmentation.FlipsAndSwaps), Has.Count.EqualTo(48));
            Assert.That(Seen(Augmentation.None), Has.Count.EqualTo(1));
        }

        static int Mirrors(PatchOrientation o) => (o.FlipZ ? 1 : 0) + (o.FlipY ? 1 : 0) + (o.FlipX ? 1 : 0);

        static HashSet<PatchOrientation> Seen(Augmentation augmentation)
            => [.. Enumerable.Range(0, 2000).Select(
                i => PatchSampler.Orientation(augmentation, Philox.Block((uint)i, 0, 0, 0, key: 1)))];
    }

    [TestCase(false, false, false)]
    [TestCase(true, false, true)]
    [TestCase(true, true, true)]
    public void Fill_Turned_MovesImageCentresAndMasksAlike(bool z, bool y, bool x)
    {
        PatchBatch batch = new(2, Options);
        batch.Fill(1, Volume, (3, 3, 4), new PatchOrientation(z, y, x, 0));
        Assert.That(batch.Centers(0)[1], Has.Count.EqualTo(2), "the third lies outside");
        for (int i = 0; i < 2; i++)
        {
            Position center = batch.Centers(0)[1][i];
            int index = ((int)center.Z * Patch.Height + (int)center.Y) * Patch.Width + (int)center.X;
            Position original = Volume.Centers[i];
            Assert.That(
                batch.Of(batch.Images, 1)[index], Is.EqualTo(((int)original.Z * 24 + (int)original.Y) * 28 + (int)original.X));
            Assert.That(batch.Of(batch.Masks![0], 1)[index], Is.EqualTo(1));
        }

        // A ball of radius 1 is a voxel and its six neighbours.
        Assert.That(batch.Of(batch.Masks![0], 1).ToArray().Sum(), Is.EqualTo(14));
        Assert.That(batch.Labelled, Is.Null);
    }

    // The faces' voxels are 0 and 7, 9, 11; a margin of 1 leaves 1 to 6, 8, 10.
    [TestCase(1, 5, 5, 1)]
    [TestCase(0.9f, 5, 5, 0)]
    [TestCase(6, 8, 10, 1)]
    [TestCase(6.1f, 5, 5, 0)]
    [TestCase(5, 8.1f, 5, 0)]
    [TestCase(5, 5, 10.1f, 0)]
    public void Fill_CentreNearAFace_CountsFromTheMarginOn(float z, float y, float x, int counted)
    {
        PatchBatch batch = new(1, Options);
        batch.Fill(0, Volume with { Centers = [new(z + 3, y + 3, x + 4)] }, (3, 3, 4), PatchOrientation.Identity);
        Assert.That(batch.Centers(0)[0], Has.Count.EqualTo(counted));
    }

    [TestCase(9, 10, 11)]
    [TestCase(9.3f, 10.5f, 11.7f)]
    public void Sampler_PlacesEveryPatchSoThatItsCentreCounts(float z, float y, float x)
    {
        PatchSampler sampler = new([Volume with { Centers = [new(z, y, x)] }], Options);
        PatchBatch batch = new(1, Options);
        for (int step = 0; step < 300; step++)
        {
            sampler.Fill(batch, step);
            Assert.That(batch.Centers(0)[0], Has.Count.EqualTo(1), $"step {step}");
        }
    }

    [Test]
    public void Fill_WithALabelRadius_LeavesTheRestUnlabelled()
    {
        PatchBatch batch = new(1, Options with { LabelRadiusVoxels = 2, MaskRadiusVoxels = 3 });
        batch.Fill(0, Volume, (3, 3, 4), PatchOrientation.Identity);
        // 33 voxels lie within 2 of a voxel; the first centre is 2, 3 and 3 from the patch's faces, the
        // second 6, 7 and 7.
        Assert.That(batch.Labelled!.Sum(), Is.EqualTo(33 + 32));
        Assert.That(
            batch.Masks![0].Zip(batch.Labelled!), Has.All.Matches<(float Mask, float Labelled)>(v => v.Mask <= v.Labelled));
    }

    [Test]
    public void Fill_OfTwoClasses_KeepsThemApart()
    {
        float[] labels = new float[Volume.Size.Voxels];
        labels[(5 * 24 + 6) * 28 + 7] = 1;
        labels[(9 * 24 + 10) * 28 + 11] = 2;
        TrainingOptions options = Options with { Classes = [new("a"), new("b") { MaskRadiusVoxels = 2 }] };
        foreach (float[]? mask in (float[]?[])[null, labels])
        {
            PatchBatch batch = new(1, options);
            batch.Fill(
                0, Volume with
                {
                    CenterClasses = [0, 1, 0],
                    Mask = mask is null ? null
                    : MeanShiftGpu.Geometry.Volume.Of(mask, Volume.Size)
                }, (3, 3, 4), PatchOrientation.Identity);
            Assert.That(batch.Centers(0)[0], Is.EqualTo(new[] { new Position(2, 3, 3) }));
            Assert.That(batch.Centers(1)[0], Is.EqualTo(new[] { new Position(6, 7, 7) }));
            Assert.That(batch.Masks![0].Sum(), Is.EqualTo(mask is null ? 7 : 1));
            Assert.That(batch.Masks![1].Sum(), Is.EqualTo(mask is null ? 32 : 1));
            Assert.That(batch.Labelled!.Sum(), Is.EqualTo(Patch.Voxels));
        }
    }

    [Test]
    public void Sampler_WithNoiseAndContrast_ChangesAPatchAsMuchAsAsked()
    {
        TrainingVolume flat = Volume with { Image = new Volume(20, 24, 28) };
        TrainingOptions options = Options with { NoiseJitter = 0.5, ContrastJitter = 0.3 };
        PatchSampler sampler = new([flat], options);
        PatchBatch batch = new(1, options);
        List<(double Mean, double Deviation)> seen = [];
        for (int step = 0; step < 200; step++)
        {
            sampler.Fill(batch, step);
            double mean = batch.Images.Average();
            seen.Add((mean, Math.Sqrt(batch.Images.Average(v => (v - mean) * (v - mean)))));
        }

        using (Assert.EnterMultipleScope())
        {
            // Uniform shifts of ±0.3 have an SD of 0.173, deviations from 0 to 0.5 a mean of 0.25.
            Assert.That(seen.Average(s => s.Mean), Is.Zero.Within(0.04));
            Assert.That(Math.Sqrt(seen.Average(s => s.Mean * s.Mean)), Is.EqualTo(0.173).Within(0.02));
            Assert.That(seen.Average(s => s.Deviation), Is.EqualTo(0.25).Within(0.04));
            Assert.That(seen.Max(s => s.Deviation), Is.LessThan(0.53));
        }
    }
}
