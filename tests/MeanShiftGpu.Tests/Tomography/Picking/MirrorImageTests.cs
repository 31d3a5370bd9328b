using MeanShiftGpu.Geometry;
using MeanShiftGpu.Tomography.Picking;
using NUnit.Framework;

namespace MeanShiftGpu.Tests.Tomography.Picking;

/// <summary>Mirror images of volumes, and the mean over several predictions.</summary>
public class MirrorImageTests
{
    private static readonly Extent Size = new(3, 4, 5);

    [Test]
    public void Mean_OfScoresOfMirrorImages_IsThatOfTheVolume([Range(0, 7)] int number)
    {
        MirrorImage mirror = MirrorImage.First(8).ElementAt(number);
        using Volume volume = Volume.Of([.. Enumerable.Range(0, (int)Size.Voxels).Select(i => (float)i)], Size);
        MirroredVoxels image = new(volume, mirror);
        using Volume mean = new(Size.Depth, Size.Height, Size.Width);
        using Volume squares = new(Size.Depth, Size.Height, Size.Width);
        // A network that returns its input, tile by tile; then one that adds 2.
        foreach ((int n, float added) in ((int, float)[])[(1, 0), (2, 2)])
        {
            MeanSink sink = new(n, mirror, mean, squares);
            foreach (Box tile in (Box[])[new((0, 0, 0), new Extent(3, 4, 2)), new((0, 0, 2), new Extent(3, 4, 3))])
            {
                float[] values = new float[tile.Size.Voxels];
                image.Read(tile, values);
                sink.Write(tile, [.. values.Select(v => v + added)]);
            }
        }

        Assert.Multiple(() =>
        {
            Assert.That(All(mean), Is.EqualTo(All(volume).Select(v => v + 1)));
            Assert.That(All(squares), Has.All.EqualTo(2f));
            Assert.That(image.Size, Is.EqualTo(Size));
        });
    }

    [Test]
    public void First_Eight_AreDifferentAndBeginWithTheVolume()
    {
        Assert.That(MirrorImage.First(8).Distinct().Count(), Is.EqualTo(8));
        Assert.That(MirrorImage.First(8).First(), Is.EqualTo(default(MirrorImage)));
    }

    private static float[] All(Volume volume)
    {
        float[] values = new float[volume.Length];
        volume.Read(Box.Slices(volume.Size, 0, volume.Depth), values);
        return values;
    }
}
