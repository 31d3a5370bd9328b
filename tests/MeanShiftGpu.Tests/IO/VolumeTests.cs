using MeanShiftGpu.IO;
using NUnit.Framework;

namespace MeanShiftGpu.Tests;

public class VolumeTests
{
    [Test]
    public void Indexer_OddSizes_IsXFastest()
    {
        using Volume volume = new(2, 3, 5);
        for (int i = 0; i < volume.Length; i++)
            volume.AsSpan()[i] = i;

        Assert.Multiple(() =>
        {
            Assert.That(volume[1, 2, 4], Is.EqualTo(29));
            Assert.That(volume[1, 0, 3], Is.EqualTo(18));
            Assert.That(volume.Slice(1)[7], Is.EqualTo(22));
            Assert.That(volume.Row(0, 2).ToArray(), Is.EqualTo(new float[] { 10, 11, 12, 13, 14 }));
            Assert.That(volume.Slab(1, 9).Length, Is.EqualTo(15));
        });
    }

    [Test]
    public void Access_Outside_Throws()
    {
        using Volume volume = new(2, 3, 5);
        Assert.Multiple(() =>
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => volume.Slice(2));
            Assert.Throws<ArgumentOutOfRangeException>(() => volume.Slice(-1));
            Assert.Throws<ArgumentOutOfRangeException>(() => volume.Row(0, 3));
            Assert.Throws<IndexOutOfRangeException>(() => volume[0, 0, 5] = 1);
            Assert.Throws<ArgumentOutOfRangeException>(() => new Volume(0, 1, 1));
        });
    }

    [Test]
    public void Dispose_ThenRead_Throws()
    {
        Volume volume = new(1, 1, 1);
        volume.Dispose();
        Assert.Throws<ObjectDisposedException>(() => volume.Slice(0));
    }

    [TestCase(0, 0, 0, 0, true)]
    [TestCase(10, 10, 10, 10, true)]
    [TestCase(0, 10, 10, 10, true)]
    [TestCase(10, 10, 13, 11, false)]
    public void VoxelSize_Mean_LeavesOutTheUnknown(double z, double y, double x, double mean, bool isotropic)
    {
        VoxelSize size = new(z, y, x);
        Assert.Multiple(() =>
        {
            Assert.That(size.Mean, Is.EqualTo(mean));
            Assert.That(size.IsIsotropic, Is.EqualTo(isotropic));
        });
    }
}
