using MeanShiftGpu.Geometry;
using MeanShiftGpu.Training;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Training;

public class BackgroundTests
{
    private static readonly Extent Size = new(16, 16, 64);
    private static readonly Position Center = new(8, 8, 8);
    private static readonly Position Rejected = new(8, 8, 56);

    private static readonly TrainingOptions Sparse = TrainingOptions.Presets["combined"] with
    {
        Patch = new Extent(16, 16, 16),
        LabelRadiusVoxels = 5,
        MaskRadiusVoxels = 3,
        CenterMarginVoxels = 2,
        BatchSize = 1,
        Augmentation = Augmentation.None,
    };

    [Test]
    public void Fill_AroundARejectedPlace_IsLabelledAsBackground()
    {
        PatchBatch batch = new(1, Sparse);
        batch.Fill(0, Volume(), (0, 0, 48), PatchOrientation.Identity);
        int here = (8 * 16 + 8) * 16 + 8, corner = 0;
        using (Assert.EnterMultipleScope())
        {
            Assert.That(batch.Labelled![here], Is.EqualTo(1), "the rejected place counts");
            Assert.That(batch.Masks![0][here], Is.Zero, "as background");
            Assert.That(batch.Labelled[corner], Is.Zero, "what is far from both does not count");
        }

        PatchBatch without = new(1, Sparse);
        without.Fill(0, Volume() with { Background = [] }, (0, 0, 48), PatchOrientation.Identity);
        Assert.That(without.Labelled, Is.All.Zero);
    }

    [Test]
    public void Sampler_WithRejectedPlaces_ShowsThemAndLeavesOtherRunsAsTheyAre()
    {
        Assert.That(Shown(Sparse, Volume()), Is.InRange(60, 140), "of 400 patches one in four");
        Assert.That(Shown(Sparse, Volume() with { Background = [] }), Is.Zero);
        Assert.That(Shown(Sparse with { LabelRadiusVoxels = 0 }, Volume()), Is.Zero,
            "where everything else is background already");
    }

    // How many of 400 patches show the rejected place, which is too far from the centre for one patch to show
    // both.
    private static int Shown(TrainingOptions options, TrainingVolume volume)
    {
        PatchSampler sampler = new([volume], options);
        PatchBatch batch = new(1, options);
        int shown = 0;
        for (int step = 0; step < 400; step++)
        {
            sampler.Fill(batch, step);
            // The volume's values are its x.
            if (batch.Images.Max() >= 48)
                shown++;
        }

        return shown;
    }

    private static TrainingVolume Volume()
    {
        float[] image = new float[Size.Voxels];
        for (int i = 0; i < image.Length; i++)
            image[i] = i % Size.Width;
        return new TrainingVolume("v", Size, image, null, [Center]) { Background = [Rejected] };
    }
}
