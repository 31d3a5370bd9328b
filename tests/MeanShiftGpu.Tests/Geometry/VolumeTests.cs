using MeanShiftGpu.Geometry;
using NUnit.Framework;
using NUnit.Framework.Constraints;

namespace MeanShiftGpu.Tests.Geometry;

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

    [TestCase(0, 0, 0, 0, true, "0 Å")]
    [TestCase(10, 10, 10, 10, true, "10 Å")]
    [TestCase(0, 10, 10, 10, true, "10 Å")]
    [TestCase(10, 10, 10.09, 10.03, true, "10.03 Å")]
    [TestCase(10, 10, 10.11, 0, false, "10 × 10 × 10.11 Å (z, y, x)")]
    [TestCase(0, 10, 13, 0, false, "0 × 10 × 13 Å (z, y, x)")]
    public void VoxelSize_OfACube_IsOneWhereTheKnownEdgesAgree(double z, double y, double x, double edge, bool cube, string text)
    {
        VoxelSize size = new(z, y, x);
        Assert.Multiple(() =>
        {
            Assert.That(size.CubeAngstrom, Is.EqualTo(edge).Within(1e-9));
            Assert.That(size.IsCube, Is.EqualTo(cube));
            Assert.That(size.ToString(), Is.EqualTo(text));
            Assert.That(size.ProblemOf("a.mrc"), cube ? Is.Null : Does.StartWith($"a.mrc: has voxels of {text}"));
        });
    }

    [Test]
    public void VoxelSize_OfNoLength_IsRefused([Values(-1.0, double.NaN, double.PositiveInfinity)] double edge)
    {
        Assert.Multiple(() =>
        {
            Assert.That(() => new VoxelSize(edge), Refused("Z"));
            Assert.That(() => new VoxelSize(0, edge, 0), Refused("Y"));
            Assert.That(() => default(VoxelSize) with { X = edge }, Refused("X"));
        });

        static IResolveConstraint Refused(string axis)
            => Throws.TypeOf<ArgumentOutOfRangeException>().With.Property("ParamName").EqualTo(axis)
                .And.Message.Contains("expected 0 (unknown) or more");
    }
}
