using MeanShiftGpu.Geometry;
using MeanShiftGpu.Network;
using MeanShiftGpu.Ops.MeanShift;
using MeanShiftGpu.Storage;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Training;

public class ParticleSizeTests
{
    private static readonly Extent Large = new(500, 1000, 1000);

    private static TrainingOptions Sized(double diameterVoxels, Extent? largest = null)
        => ParticleSize.Apply(TrainingOptions.Compact, [new ParticleSize(diameterVoxels)], largest ?? Large, 4);

    // The factors come from the defaults, which suit particles of 10 voxels.
    [Test]
    public void Apply_OfTenVoxels_GivesTheDefaults()
    {
        TrainingOptions sized = Sized(10);
        Assert.Multiple(() =>
        {
            Assert.That(sized.MeanShift, Is.EqualTo(MeanShiftOptions.Compact));
            Assert.That(sized.MaskRadiusVoxels, Is.EqualTo(TrainingOptions.Compact.MaskRadiusVoxels));
            Assert.That(sized.CenterMarginVoxels, Is.EqualTo(TrainingOptions.Compact.CenterMarginVoxels));
            Assert.That(sized.Patch, Is.EqualTo(TrainingOptions.Compact.Patch));
        });
    }

    [Test]
    public void Apply_OfEverySizeInRange_IsValidAndGrows()
    {
        TrainingOptions before = Sized(ParticleSize.SmallestVoxels);
        for (double diameter = ParticleSize.SmallestVoxels; diameter <= ParticleSize.LargestVoxels; diameter += 0.5)
        {
            TrainingOptions sized = Sized(diameter);
            sized.ValidateFor(new UNet3dOptions());
            Assert.That(sized.MeanShift.BandwidthVoxels, Is.GreaterThanOrEqualTo(before.MeanShift.BandwidthVoxels));
            Assert.That(sized.MeanShift.SeedRadiusVoxels, Is.GreaterThanOrEqualTo(before.MeanShift.SeedRadiusVoxels));
            Assert.That(sized.MaskRadiusVoxels, Is.GreaterThanOrEqualTo(before.MaskRadiusVoxels));
            Assert.That(sized.CenterMarginVoxels, Is.GreaterThanOrEqualTo(before.CenterMarginVoxels));
            Assert.That(sized.Patch.Depth, Is.GreaterThanOrEqualTo(before.Patch.Depth));
            Assert.That(sized.Patch.Depth, Is.GreaterThanOrEqualTo(ParticleSize.PatchPerDiameter * diameter));
            before = sized;
        }
    }

    [Test]
    public void Apply_ToASmallVolume_CutsThePatchToIt()
    {
        TrainingOptions sized = Sized(10, new Extent(36, 50, 200));
        Assert.That(sized.Patch, Is.EqualTo(new Extent(36, 52, 56)));
        TrainingOptions swapped = ParticleSize.Apply(
            TrainingOptions.Compact with { Augmentation = Augmentation.FlipsAndSwaps }, [new ParticleSize(10)], new Extent(36,
                50, 200), 4);
        Assert.That(swapped.Patch, Is.EqualTo(new Extent(56, 56, 56)));
        Sized(30, new Extent(8, 8, 8)).ValidateFor(new UNet3dOptions());
    }

    [Test]
    public void Apply_OfSeveralClasses_GivesEachItsLengthsAndAllThePatchOfTheLargest()
    {
        TrainingOptions classes = TrainingOptions.Compact with { Classes = [new ClassOptions("a"), new ClassOptions("b")] };
        TrainingOptions sized = ParticleSize.Apply(classes, [new ParticleSize(10), new ParticleSize(20)], Large, 4);
        Assert.Multiple(() =>
        {
            Assert.That(sized.MeanShiftOf(0).BandwidthVoxels, Is.EqualTo(4));
            Assert.That(sized.MeanShiftOf(1).BandwidthVoxels, Is.EqualTo(8));
            Assert.That(sized.MeanShiftOf(1).SeedRadiusVoxels, Is.EqualTo(15));
            Assert.That(sized.MaskRadiusOf(0), Is.EqualTo(4));
            Assert.That(sized.CenterMarginVoxels, Is.EqualTo(8));
            Assert.That(sized.Patch, Is.EqualTo(new Extent(60, 60, 60)));
        });
        Assert.That(
            () => ParticleSize.Apply(classes, [new ParticleSize(8), new ParticleSize(9), new ParticleSize(10)], Large, 4),
            Throws.TypeOf<InputException>().With.Message.Contains("3 diameters for 2 classes"));
    }

    [TestCase(250, 10, ExpectedResult = 25)]
    [TestCase(40, 10, ExpectedResult = 4)]
    public double FromAngstrom_InRange_CountsVoxels(double angstrom, double voxel) => ParticleSize.FromAngstrom(angstrom,
        voxel).DiameterVoxels;

    [TestCase(39, 10, "binned less")]
    [TestCase(250, 1.35, "binned more")]
    public void FromAngstrom_OutOfRange_IsRefusedWithWhatToDo(double angstrom, double voxel, string remedy)
        => Assert.That(() => ParticleSize.FromAngstrom(angstrom, voxel),
            Throws.TypeOf<InputException>().With.Message.Contains(remedy));
}
